//! `[jwt]`: the identity provider whose tokens are taken.

use std::time::Duration;

use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Wrong, within};
use crate::api::jwt::{ALGORITHMS, Terms};
use crate::control::hosts::Hosts;

/// `[jwt]`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must be.
    pub audience: String,
    /// Where the provider's keys are: https, or http on loopback.
    pub jwks_uri: String,
    /// The algorithms that are taken, of `RS256`, `PS256` and `ES256`; `["RS256"]`.
    #[serde(default = "rs256")]
    pub algorithms: Vec<String>,
    /// The claim that holds the id of an application; `azp`.
    #[serde(default = "azp")]
    pub application_claim: String,
    /// The keys are fetched at most so often, even for tokens under unknown keys, 1 to 3,600 s; 60.
    #[serde(default = "minute")]
    pub refetch_seconds: u32,
}

fn rs256() -> Vec<String> {
    vec!["RS256".to_owned()]
}

fn azp() -> String {
    "azp".to_owned()
}

fn minute() -> u32 {
    60
}

impl Jwt {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        // As for callbacks: https, or loopback.
        let host =
            Url::parse(&self.jwks_uri).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        let hosts = Hosts::parse(&[host]).unwrap_or_default();
        let at_uri = |why: String| Wrong::at("jwt.jwks_uri", format!("jwt.jwks_uri is not valid: {why}"));
        hosts.check_callback(&self.jwks_uri).map_err(at_uri)?;
        let known = |name: &String| ALGORITHMS.contains(&name.as_str());
        if self.algorithms.is_empty() || !self.algorithms.iter().all(known) {
            let why = format!("jwt.algorithms is {:?}; valid are {}", self.algorithms, ALGORITHMS.join(", "));
            return Err(Wrong::at("jwt.algorithms", why));
        }
        within("jwt.refetch_seconds", self.refetch_seconds, 1, 3_600)
    }

    /// What its tokens must say.
    pub fn terms(&self) -> Terms {
        Terms {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            jwks_uri: self.jwks_uri.clone(),
            algorithms: self.algorithms.clone(),
            application_claim: self.application_claim.clone(),
            interval: Duration::from_secs(self.refetch_seconds.into()),
        }
    }
}
