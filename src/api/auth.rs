//! Who is asking: bearer tokens of applications and of recordings.
//!
//! Belongs here: telling tokens apart without telling anything by time. Does not: what an application owns (`control`), how
//! a JWT is checked (`jwt`).

use std::sync::Arc;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use uuid::Uuid;

use super::jwt::Issuer;
use crate::control::Application;
use crate::control::call::plain;
use crate::error::{Error, Kind};

/// Makes and knows the tokens of recordings: an HMAC of the id under the host's key, so that none is stored.
#[derive(Clone)]
pub struct RecordingTokens([u8; 32]);

impl RecordingTokens {
    /// Under this key of the host.
    pub fn new(key: [u8; 32]) -> RecordingTokens {
        RecordingTokens(key)
    }

    /// The token of one recording: the id and its seal.
    pub fn of(&self, id: Uuid) -> String {
        let mut bytes = id.as_bytes().to_vec();
        bytes.extend(self.seal(id));
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Which recording a token is for, if we made it.
    fn recording(&self, token: &str) -> Option<Uuid> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let (id, seal) = bytes.split_at_checked(16)?;
        let id = Uuid::from_slice(id).ok()?;
        bool::from(seal.ct_eq(&self.seal(id))).then_some(id)
    }

    fn seal(&self, id: Uuid) -> [u8; 32] {
        // HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return [0; 32] };
        mac.update(b"tonearm recording ");
        mac.update(id.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// Who is asking.
#[derive(Clone, Debug)]
pub enum Caller {
    /// An application, with the roles that its token grants.
    Application(Arc<Application>),
    /// Whoever holds this recording's token.
    Recording(Uuid),
}

/// Knows all tokens.
#[derive(Clone)]
pub struct Door {
    applications: Vec<Arc<Application>>,
    issuer: Option<Arc<Issuer>>,
    tokens: RecordingTokens,
}

impl Door {
    /// For these applications, and those of them that an identity provider knows.
    pub fn new(applications: &[Application], issuer: Option<Issuer>, tokens: RecordingTokens) -> Door {
        let applications = applications.iter().cloned().map(Arc::new).collect();
        Door { applications, issuer: issuer.map(Arc::new), tokens }
    }

    /// Who an `Authorization` header is from. A token that is none of ours is refused in the same words and time,
    /// whatever it looks like.
    pub async fn caller(&self, authorization: Option<&str>) -> Result<Caller, Error> {
        let refused =
            || Error::new(Kind::Unauthenticated, "a valid bearer token is needed in the Authorization header");
        let (scheme, token) = authorization.and_then(|value| value.split_once(' ')).ok_or_else(refused)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refused());
        }
        let token = token.trim();
        let digest: [u8; 32] = Sha256::digest(token).into();
        // All are compared, and none is skipped, so that the time does not tell which was near.
        let (mut found, mut index) = (Choice::from(0), 0_u64);
        for (at, app) in self.applications.iter().enumerate() {
            // No token has a digest of zeros.
            let same = app.token_sha256.unwrap_or([0; 32]).ct_eq(&digest);
            index.conditional_assign(&(at as u64), same);
            found |= same;
        }
        let recording = self.tokens.recording(token);
        if bool::from(found) {
            return self.applications.get(index as usize).cloned().map(Caller::Application).ok_or_else(refused);
        }
        match recording {
            Some(id) => Ok(Caller::Recording(id)),
            None => self.granted(token).await.map(Caller::Application).ok_or_else(refused),
        }
    }

    /// The application that an identity provider's token is for: it has the roles that both the token and configuration
    /// give it.
    async fn granted(&self, token: &str) -> Option<Arc<Application>> {
        let granted = self.issuer.as_ref()?.granted(token).await?;
        let app = self.applications.iter().find(|app| plain(&app.id) == plain(&granted.application))?;
        let mut app = Application::clone(app);
        app.roles.retain(|role| granted.roles.contains(role));
        Some(Arc::new(app))
    }
}

/// The digest of a token, as configuration holds it.
pub fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door() -> Door {
        let app = |id: &str, token: Option<&str>| Application {
            id: id.to_owned(),
            token_sha256: token.map(digest),
            roles: Vec::new(),
            lines: Vec::new(),
            callback_uri: None,
            callback_token: None,
            signing_key: None,
        };
        Door::new(&[app("a", Some("one")), app("b", None), app("c", Some("two"))], None, RecordingTokens::new([7; 32]))
    }

    async fn application(door: &Door, header: &str) -> String {
        match door.caller(Some(header)).await {
            Ok(Caller::Application(app)) => app.id.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn each_token_is_its_owners() {
        let door = door();
        assert_eq!(application(&door, "Bearer one").await, "a");
        assert_eq!(application(&door, "bearer two").await, "c");
        let id = Uuid::new_v4();
        let header = format!("Bearer {}", door.tokens.of(id));
        assert!(matches!(door.caller(Some(&header)).await, Ok(Caller::Recording(of)) if of == id));
    }

    #[tokio::test]
    async fn what_is_no_token_of_ours_is_refused_in_one_way() {
        let door = door();
        let mut altered = door.tokens.of(Uuid::new_v4());
        altered.replace_range(0..1, if altered.starts_with('A') { "B" } else { "A" });
        let foreign = RecordingTokens::new([8; 32]).of(Uuid::new_v4());
        let wrong = [
            "Bearer",
            "Bearer ",
            "Basic one",
            "one",
            "Bearer three",
            &format!("Bearer {altered}"),
            &format!("Bearer {foreign}"),
        ];
        let nobody = door.caller(None).await.unwrap_err();
        for header in wrong {
            assert_eq!(door.caller(Some(header)).await.unwrap_err(), nobody, "{header}");
        }
    }
}
