//! Tokens signed by HashiCorp Vault: the key is an ed25519 key of its transit
//! engine and never leaves it.
//!
//! One POST of what is to be signed to `/v1/transit/sign/NAME`, answered by
//! `vault:vN:` and the signature in base64. Where Vault is and who we are comes
//! from its own environment variables.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use serde::Serialize;
use serde_json::{Value, json};
use tokio_rustls::TlsConnector;

use crate::core::config::Environment;
use crate::core::security::https::{self, Roots};
use crate::core::text::shortened;

/// Address of Vault, https only.
const ADDRESS: &str = "VAULT_ADDR";
/// What we show it.
const TOKEN: &str = "VAULT_TOKEN";
/// CA certificates it is known by; by default those of the system.
const CA: &str = "VAULT_CACERT";
/// Longest wait for a signature.
const PATIENCE: Duration = Duration::from_secs(10);
const MAX_ANSWER: usize = 64 * 1024;
/// Length of an ed25519 signature.
const SIGNATURE: usize = 64;

/// Vault did not sign.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The environment does not say enough.
    #[error("{0}")]
    Environment(String),
    /// No such key can be.
    #[error("{0:?} cannot be the name of a key in Vault's transit engine")]
    Key(String),
    /// It cannot be reached.
    #[error("Vault at {address}: {reason}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        reason: String,
    },
    /// It said no.
    #[error("Vault refuses to sign by key {key:?}: {reason}")]
    Refused {
        /// Which key.
        key: String,
        /// Its words, shortened.
        reason: String,
    },
    /// Its answer is no signature by an ed25519 key.
    #[error("Vault's answer is no ed25519 signature, make the key with type=ed25519")]
    Signature,
    /// Claims that are no JSON.
    #[error("the claims cannot be written: {0}")]
    Claims(#[from] serde_json::Error),
}

/// A Vault. `Debug` shows no token.
pub struct Vault {
    address: Uri,
    host: String,
    token: HeaderValue,
    tls: TlsConnector,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Vault {
    /// The one that `VAULT_ADDR`, `VAULT_TOKEN` and `VAULT_CACERT` name.
    ///
    /// # Errors
    /// [`VaultError::Environment`].
    pub fn from_environment(env: &dyn Environment) -> Result<Vault, VaultError> {
        let bad = |text: String| VaultError::Environment(text);
        let variable =
            |name: &str| env.var(name).ok_or_else(|| bad(format!("set {name}, Vault is asked to sign")));
        let text = variable(ADDRESS)?;
        let odd = || bad(format!("{ADDRESS} {text:?} is no address, write https://HOST:PORT"));
        let address: Uri = text.parse().map_err(|_| odd())?;
        if address.scheme_str() != Some("https") {
            // the token that is shown to it can do more than sign
            return Err(odd());
        }
        let host = address.host().ok_or_else(odd)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let token = HeaderValue::from_str(variable(TOKEN)?.trim());
        let mut token = token.map_err(|_| bad(format!("{TOKEN} holds no token in one line")))?;
        token.set_sensitive(true);
        let ca = env.var(CA);
        let roots = ca.as_deref().map_or(Roots::System, |file| Roots::File(Path::new(file)));
        let tls = https::connector(roots).map_err(|e| bad(format!("{CA}: {e}")))?;
        Ok(Vault { address, host, token, tls })
    }

    /// Signs claims by a key of the transit engine.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn sign<T: Serialize + Sync>(&self, key: &str, claims: &T) -> Result<String, VaultError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if key.is_empty() || key.len() > 256 || key.starts_with('.') || !key.chars().all(plain) {
            return Err(VaultError::Key(shortened(key, 64)));
        }
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","typ":"JWT"}"#);
        let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims)?));
        let asking = tokio::time::timeout(PATIENCE, self.post(key, &input));
        let unreachable = |reason| VaultError::Unreachable { address: self.address.to_string(), reason };
        let (status, text) = match asking.await {
            Ok(answer) => answer.map_err(unreachable)?,
            Err(_) => return Err(unreachable(format!("no answer within {} s", PATIENCE.as_secs()))),
        };
        if status != StatusCode::OK {
            let words = shortened(&String::from_utf8_lossy(&text), 200);
            return Err(VaultError::Refused { key: key.to_owned(), reason: format!("{status}: {words}") });
        }
        let signature = signature(&text).ok_or(VaultError::Signature)?;
        Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    async fn post(&self, key: &str, input: &str) -> Result<(StatusCode, Bytes), String> {
        let authority = self.address.authority().map_or("", |authority| authority.as_str());
        let body = json!({"signature_algorithm": "ed25519", "input": STANDARD.encode(input)});
        let request = Request::post(format!("/v1/transit/sign/{key}"))
            .header(HOST, authority)
            .header(CONTENT_TYPE, "application/json")
            .header("X-Vault-Token", self.token.clone())
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|e| e.to_string())?;
        let port = self.address.port_u16().unwrap_or(443);
        https::ask(&self.tls, (&self.host, port), request, MAX_ANSWER).await
    }
}

/// `vault:vN:` and base64, whatever version of the key signed.
fn signature(answer: &[u8]) -> Option<[u8; SIGNATURE]> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let text = answer.get("data")?.get("signature")?.as_str()?;
    let (version, encoded) = text.strip_prefix("vault:v")?.split_once(':')?;
    version.parse::<u32>().ok()?;
    STANDARD.decode(encoded).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::Fixed;

    #[test]
    fn what_is_missing_is_named() {
        let env = |variables: &[(&str, &str)]| {
            let fixed = Fixed::default();
            variables.iter().fold(fixed, |fixed, (name, value)| fixed.with_var(name, value))
        };
        let address = (ADDRESS, "https://127.0.0.1:8200");
        for (variables, why) in [
            (&[][..], "set VAULT_ADDR"),
            (&[address][..], "set VAULT_TOKEN"),
            (&[(ADDRESS, "http://127.0.0.1"), (TOKEN, "t")][..], "write https://HOST:PORT"),
            (&[(ADDRESS, "127.0.0.1:8200"), (TOKEN, "t")][..], "write https://HOST:PORT"),
            (&[address, (TOKEN, "a\nb")][..], "no token in one line"),
            (&[address, (TOKEN, "t"), (CA, "/nonexistent")][..], "VAULT_CACERT: "),
        ] {
            let error = Vault::from_environment(&env(variables)).unwrap_err().to_string();
            assert!(error.contains(why), "{variables:?}: {error}");
        }
    }

    #[test]
    fn only_ed25519_signatures_are_taken() {
        let answer = |text: &str| signature(json!({"data": {"signature": text}}).to_string().as_bytes());
        let encoded = STANDARD.encode([7; 64]);
        assert_eq!(answer(&format!("vault:v1:{encoded}")), Some([7; 64]));
        assert_eq!(answer(&format!("vault:v12:{encoded}")), Some([7; 64]));
        for bad in [
            encoded.clone(),
            format!("vault:vx:{encoded}"),
            format!("vault:v1:{}", STANDARD.encode([7; 256])),
        ] {
            assert_eq!(answer(&bad), None, "{bad}");
        }
        assert_eq!(signature(b"{}"), None);
    }
}
