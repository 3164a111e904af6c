//! Tokens that an identity provider has signed (JWT), beside those of configuration.
//!
//! Belongs here: what such a token must say, the provider's keys and when they are fetched. Does not: what an application
//! may do with it (`auth`).

use std::fmt;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result as JwtResult};
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm};
use jsonwebtoken::signature::{Error as SignatureError, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Validation, decode, decode_header};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use crate::clock;
use crate::control::notify::client;

/// Keys are fetched anew after so long.
const FRESH: Duration = Duration::from_secs(3_600);
/// A set of keys has at most so many bytes.
const MAX_KEYS: usize = 1 << 20;
/// All algorithms that can be configured: those with public keys that are in use.
pub const ALGORITHMS: [&str; 3] = ["RS256", "PS256", "ES256"];

/// What tokens of an identity provider must say.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Their `iss`.
    pub issuer: String,
    /// Their `aud`.
    pub audience: String,
    /// Where the provider's keys are.
    pub jwks_uri: String,
    /// Of [`ALGORITHMS`].
    pub algorithms: Vec<String>,
    /// The claim that names the application.
    pub application_claim: String,
    /// Keys are not fetched more often than this, whoever asks with whatever key's name.
    pub interval: Duration,
}

/// Who a token is from, and what it grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The application's name.
    pub application: String,
    /// Its roles.
    pub roles: Vec<String>,
}

/// An identity provider, and its keys as far as they are known.
pub struct Issuer {
    terms: Terms,
    keys: RwLock<Option<(JwkSet, Instant)>>,
    /// When they were fetched last; held while they are.
    fetched: Mutex<Option<Instant>>,
}

impl Issuer {
    /// Nothing is fetched before the first token comes.
    pub fn new(terms: Terms) -> Issuer {
        // Fails only if it is installed already.
        let _ = PROVIDER.install_default();
        Issuer { terms, keys: RwLock::new(None), fetched: Mutex::new(None) }
    }

    /// What a token grants, if it is valid.
    pub async fn granted(&self, token: &str) -> Option<Granted> {
        // `none` is no algorithm that can be read here.
        let header = decode_header(token).ok()?;
        if !self.terms.algorithms.iter().any(|name| name.parse() == Ok(header.alg)) {
            return None;
        }
        let key = self.key(&header.kid?).await?;
        let for_this = |wanted: KeyAlgorithm| wanted.to_string().parse() == Ok(header.alg);
        if !key.common.key_algorithm.is_none_or(for_this) {
            return None;
        }
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.terms.issuer]);
        validation.set_audience(&[&self.terms.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        let claims = decode::<Map<String, Value>>(token, &DecodingKey::from_jwk(&key).ok()?, &validation).ok()?.claims;
        let roles = claims.get("roles").and_then(Value::as_array).into_iter().flatten();
        Some(Granted {
            application: claims.get(&self.terms.application_claim)?.as_str()?.to_owned(),
            roles: roles.filter_map(Value::as_str).map(str::to_owned).collect(),
        })
    }

    async fn key(&self, id: &str) -> Option<Jwk> {
        let (known, fresh) = self.known(id);
        if known.is_some() && fresh {
            return known;
        }
        let mut fetched = self.fetched.lock().await;
        // Somebody may have fetched them meanwhile, or so lately that nobody does again. An old key is better than none
        // where the provider cannot be reached.
        if fetched.is_none_or(|at| at.elapsed() >= self.terms.interval) {
            *fetched = Some(clock::now());
            match self.fetch().await {
                Ok(set) => *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some((set, clock::now())),
                Err(why) => tracing::warn!("the keys of tokens cannot be fetched from {}: {why}", self.terms.jwks_uri),
            }
        }
        self.known(id).0
    }

    fn known(&self, id: &str) -> (Option<Jwk>, bool) {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let Some((set, at)) = keys.as_ref() else { return (None, false) };
        (set.find(id).cloned(), at.elapsed() < FRESH)
    }

    async fn fetch(&self) -> Result<JwkSet, String> {
        let words = |error: reqwest::Error| error.to_string();
        let response = client().get(&self.terms.jwks_uri).send().await.map_err(words)?;
        let mut response = response.error_for_status().map_err(words)?;
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(words)? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > MAX_KEYS {
                return Err(format!("they have more than {MAX_KEYS} bytes"));
            }
        }
        serde_json::from_slice(&bytes).map_err(|error| error.to_string())
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.terms.fmt(f)
    }
}

/// `jsonwebtoken` with ring, which TLS brings along: its own choices are a second library in C, or one with RUSTSEC-2023-0071.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

struct Ring(Algorithm, DecodingKey);

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> JwtResult<Box<dyn JwtVerifier>> {
    match algorithm {
        Algorithm::RS256 | Algorithm::PS256 | Algorithm::ES256 => Ok(Box::new(Ring(*algorithm, key.clone()))),
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    }
}

impl JwtVerifier for Ring {
    fn algorithm(&self) -> Algorithm {
        self.0
    }
}

impl Verifier<Vec<u8>> for Ring {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        let verified = match (self.0, self.1.kind()) {
            (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            (Algorithm::PS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PSS_2048_8192_SHA256, message, signature)
            }
            (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            _ => return Err(SignatureError::new()),
        };
        verified.map_err(|_| SignatureError::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signed elsewhere (PyJWT 2.15, cryptography 50): valid until 2100.
    const MODULUS: &str = "okXUuC4tIbsiuuL62dsykoLDp8S-gNvfE6LxgUaQGTaLP3svqrRGmfS4JgUncsOm-laBQlAD37Zt8cF4CcBVkQE8TNjUroJYynj4r5NeDCXuGnZrsSOsXg1KJibtpiyCK0369MzkrNPONukyBCZNOVlDtqPAiCbQyWzU_pi6t6pJmMn2I9oPciZ6O1-6Dd7ne2r79a7W6xOUjoSeEgO5xevwOpDlPTyZAHvy2t4s_JGC_e5dCiy40sY_diniHwqwBdFQCkQmgdAk1_Wl1vtzcZ5QLwBu8Zl5Zz5Y3rx1zYmkoNZ8a7zJZKW_rdC8h6kSvKdbvirkO8j6Dlp-jHf92Q";
    const RS256: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0IiwiYXVkIjoidG9uZWFybSIsImV4cCI6NDEwMjQ0NDgwMCwiYXpwIjoiYm90Iiwicm9sZXMiOlsiQ2FsbHMuQWNjZXNzTWVkaWEuQWxsIl19.Mnjx5yIgnqn3q7jpR5EuTkDrScxfPs_8QD0QMuHOJM9N7f2FhNEr1Dqp5YaRjFclSqvxZYSsoWGHE6ez98Ax8sWb7lggwpFgfnJb7QR2d0hkFUJBqkh3Y1KtJg_g27x7HkHFwCInXfMEOsCFWcThcwC0BE5E54DcBF2FIT72tgN3tSo7TGvYASWcjJqaHwSco0dN7OQrIkoX9fXF1vyg8TBZXnY8Tc1EKn98cNx1j9Z0xXNFuzJjt9zn9g7h0zstO-mMIh-KcRbPC3gh8VTqfYQtRj16WUJduGlgaS2_QzZjUxqgiLMhn0cbLwcNmjh8f3esypZylhIJ7LL642TQvg";
    const PS256: &str = "eyJhbGciOiJQUzI1NiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0IiwiYXVkIjoidG9uZWFybSIsImV4cCI6NDEwMjQ0NDgwMCwiYXpwIjoiYm90Iiwicm9sZXMiOlsiQ2FsbHMuQWNjZXNzTWVkaWEuQWxsIl19.oKdD5RKQ7mI1s7WE0dXA3GEEm008AVRrQLooWOUxtdKZNN7uwey3DMGx8SMfjtH8cQz4XybRvy2_6gEPvlW0Q1dZEKQftjwsrL2-LN7a7SyJxpjnZFwFgJnEY6jLWtfDoMXLEV1tOqG6AUAvnzHdd3g-30GdnX6voa6ijQPSl0QPd8AsO52qW6terK1FE4_B6J7egQOBYM43xV_K3NX5H6w1dIWhkp9nG6qwrP0c_OTNZPD-5uGLo2NR3s4ZxsKGGwVZUKCQnW2JbSgq8i_YUrECT0Xbn_gDM-nCT7y5i1D8Zgt6Dzm4KfWDqyPcVu7J7eY2N3Cvsfu738H_gJKygg";

    fn issuer(algorithms: &[&str]) -> Issuer {
        let terms = Terms {
            issuer: "https://issuer.test".to_owned(),
            audience: "tonearm".to_owned(),
            jwks_uri: "http://127.0.0.1:1/".to_owned(),
            algorithms: algorithms.iter().map(|name| (*name).to_owned()).collect(),
            application_claim: "azp".to_owned(),
            interval: Duration::from_secs(60),
        };
        let issuer = Issuer::new(terms);
        let keys = serde_json::json!({"keys": [{"kty": "RSA", "kid": "rsa", "use": "sig", "n": MODULUS, "e": "AQAB"}]});
        *issuer.keys.write().unwrap() = Some((serde_json::from_value(keys).unwrap(), clock::now()));
        issuer
    }

    #[tokio::test]
    async fn what_another_library_signed_with_rsa_is_understood_and_what_was_altered_is_not() {
        let both = issuer(&["RS256", "PS256"]);
        for token in [RS256, PS256] {
            let granted = both.granted(token).await.unwrap();
            assert_eq!(granted.application, "bot");
            assert_eq!(granted.roles, ["Calls.AccessMedia.All"]);
            for at in [token.find('.').unwrap() + 5, token.len() - 20] {
                let mut altered = token.to_owned();
                altered.replace_range(at..=at, if &token[at..=at] == "A" { "B" } else { "A" });
                assert_eq!(both.granted(&altered).await, None);
            }
        }
    }

    #[tokio::test]
    async fn an_algorithm_that_is_not_configured_is_refused() {
        assert_eq!(issuer(&["ES256"]).granted(RS256).await, None);
        assert_eq!(issuer(&["PS256"]).granted(RS256).await, None);
        assert!(issuer(&["RS256"]).granted(RS256).await.is_some());
    }
}
