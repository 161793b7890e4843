//! Tokens of nodes in organizations with issuers (spec 05 §8.3).

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use serde::Deserialize;

use super::answer::Answer;
use super::question::Ed25519Key;
use super::settings::Settings;
use crate::core::files::read_bounded;
use crate::core::security::tokens::server::ChainIssuer;
use crate::core::security::tokens::{
    self, KeyError, ServerClaims, ServerPermissions, SigningKey, StandardClaims, TokenError,
};
use crate::core::text::unhex;

/// Validities up to this long are taken for a mistake, as by the original.
const LEAST_VALIDITY: i64 = 3600;

/// A token could not be made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the texts say it
pub enum ServerTokenError {
    #[error("jwt_signing_key: {0}")]
    Key(#[from] KeyError),
    #[error("jwt_signing_token: {0}")]
    File(#[from] std::io::Error),
    #[error("{0}")]
    Token(#[from] TokenError),
    #[error("server_claims of the helper's answer cannot be read: {0}")]
    Claims(#[from] serde_json::Error),
    #[error("no random numbers are to be had")]
    Randomness,
    #[error("the node has not proven that it holds its ed25519 key")]
    Proof,
}

/// Issues tokens.
pub struct ServerTokens {
    key: SigningKey,
    issuer: Option<ChainIssuer>,
    validity: i64,
}

/// What a helper may say of a token; the rest is ours.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    ou: Option<String>,
    exp: Option<i64>,
    collectives: Option<Vec<String>>,
    pub_subjects: Option<Vec<String>>,
    permissions: Option<ServerPermissions>,
}

impl ServerTokens {
    /// Reads key and issuer of the settings.
    ///
    /// # Errors
    /// [`ServerTokenError`]: found at the start, not when a node waits for its token.
    pub fn new(settings: &Settings) -> Result<ServerTokens, ServerTokenError> {
        let key = SigningKey::from_file(&settings.jwt_signing_key)?;
        let issuer: Option<ChainIssuer> = match settings.jwt_signing_token.as_os_str().is_empty() {
            true => None,
            false => {
                let text = read_bounded(&settings.jwt_signing_token, tokens::MAX_TOKEN as u64)?;
                Some(tokens::unverified(&String::from_utf8_lossy(&text))?)
            }
        };
        let validity = i64::try_from(settings.server_jwt_validity.as_secs()).unwrap_or(i64::MAX);
        let tokens = ServerTokens { key, issuer, validity };
        // whatever is wrong with them is said now
        let now = jiff::Timestamp::now().as_second();
        ServerClaims::default().issue(&tokens.key, tokens.issuer.as_ref(), now, validity, [0; 16])?;
        Ok(tokens)
    }

    /// When the token of whoever signs expires, unix seconds.
    pub fn signer_expires(&self) -> Option<i64> {
        self.issuer.as_ref().and_then(|issuer| issuer.standard.expires)
    }

    /// The token of a node.
    ///
    /// # Errors
    /// [`ServerTokenError`].
    pub fn issue(
        &self,
        node: &str,
        key: &Ed25519Key,
        answer: &Answer,
        now: i64,
    ) -> Result<String, ServerTokenError> {
        let wanted: Wanted = match &answer.server_claims {
            Some(claims) => serde_json::from_value(claims.clone().into())?,
            None => Wanted::default(),
        };
        let configured = |name: &str| answer.configuration.get(name).filter(|value| !value.is_empty());
        let collectives = wanted.collectives.filter(|list| !list.is_empty()).unwrap_or_else(|| {
            match configured("collectives") {
                Some(list) => list.split(',').map(|name| name.trim().to_owned()).collect(),
                None if configured("plugin.security.provider").is_some_and(|name| name == "choria") => {
                    vec!["choria".to_owned()]
                }
                None => vec!["mcollective".to_owned()],
            }
        });
        // a time, not a span: small numbers are years ago
        let validity = match wanted.exp.map(|exp| exp.saturating_sub(now)) {
            Some(validity) if validity > LEAST_VALIDITY => validity,
            Some(_) => {
                tracing::warn!(
                    node,
                    "server_claims.exp is a time that is over or near, server_jwt_validity is used"
                );
                self.validity
            }
            None => self.validity,
        };
        let claims = ServerClaims {
            identity: node.to_owned(),
            collectives,
            permissions: wanted.permissions,
            organization: wanted.ou.unwrap_or_else(|| "choria".to_owned()),
            publish: wanted.pub_subjects.unwrap_or_default(),
            standard: StandardClaims { public_key: key.public_key.clone(), ..StandardClaims::default() },
        };
        let mut random = [0; 16];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| ServerTokenError::Randomness)?;
        Ok(claims.issue(&self.key, self.issuer.as_ref(), now, validity, random)?)
    }
}

/// Whether the node signed our nonce with the key it shows.
///
/// # Errors
/// [`ServerTokenError::Proof`].
pub fn check_proof(key: &Ed25519Key, nonce: &str) -> Result<(), ServerTokenError> {
    let public = unhex::<32>(&key.public_key).ok_or(ServerTokenError::Proof)?;
    let signature = unhex::<64>(&key.signature).ok_or(ServerTokenError::Proof)?;
    UnparsedPublicKey::new(&ED25519, public)
        .verify(nonce.as_bytes(), &signature)
        .map_err(|_| ServerTokenError::Proof)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::text::hex;

    fn node_key(nonce: &str) -> Ed25519Key {
        let key = SigningKey::from_seed(&[5; 32]).unwrap();
        Ed25519Key {
            public_key: key.public_hex().unwrap(),
            directory: "/etc/choria".into(),
            signature: hex(&key.sign_bytes(nonce.as_bytes()).unwrap()),
        }
    }

    #[test]
    fn a_key_is_proven_by_its_signature_over_our_nonce() {
        let key = node_key("nonce");
        assert!(check_proof(&key, "nonce").is_ok());
        assert!(check_proof(&key, "other").is_err());
        assert!(check_proof(&Ed25519Key { signature: "junk".into(), ..key }, "nonce").is_err());
    }

    #[test]
    fn claims_come_from_the_answer_or_its_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let seed = dir.path().join("seed");
        std::fs::write(&seed, "07".repeat(32) + "\n").unwrap();
        let settings = Settings { jwt_signing_key: seed, ..Settings::default() };
        let tokens = ServerTokens::new(&settings).unwrap();
        let issue = |answer: &Answer| -> ServerClaims {
            tokens::unverified(&tokens.issue("n1", &node_key("x"), answer, 1_800_000_000).unwrap()).unwrap()
        };
        let year = 1_800_000_000 + 365 * 86_400;
        let bare = issue(&Answer::default());
        assert_eq!(
            (bare.collectives, bare.organization),
            (vec!["mcollective".to_owned()], "choria".to_owned())
        );
        assert_eq!(bare.standard.expires, Some(year));
        let configuration = [("collectives".to_owned(), "a, b".to_owned())].into();
        let claims =
            serde_json::json!({"exp": 157_680_000, "permissions": {"submission": true}, "ou": "acme"});
        let full =
            issue(&Answer { configuration, server_claims: claims.as_object().cloned(), ..Answer::default() });
        assert_eq!(
            (full.collectives, full.organization),
            (vec!["a".to_owned(), "b".to_owned()], "acme".to_owned())
        );
        assert!(full.permissions.unwrap().submission);
        // the sample helper of the original sends a span here
        assert_eq!(full.standard.expires, Some(year));
        let claims = serde_json::json!({"exp": 1_900_000_000});
        let dated = issue(&Answer { server_claims: claims.as_object().cloned(), ..Answer::default() });
        assert_eq!(dated.standard.expires, Some(1_900_000_000));
    }
}
