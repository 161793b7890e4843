//! Keys that tokens are verified and made with. The key decides the algorithm, never the token.

use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::Serialize;
use serde::de::DeserializeOwned;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo};
use zeroize::Zeroizing;

use super::standard::TokenError;
use super::trimmed;
use crate::core::files::read_bounded;
use crate::core::security::{Certificate, pem};
use crate::core::text::{hex, unhex};

/// Most bytes of a key file.
const MAX_KEY_FILE: u64 = 64 * 1024;
/// The prefix that makes an ed25519 seed a PKCS#8 document.
const PKCS8_ED25519: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// A key is not usable.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// It holds something else.
    #[error(
        "{} is no {what}: expected {expected}",
        .file.as_deref().map_or("the key".into(), |file| file.display().to_string())
    )]
    Unknown {
        /// Where it came from.
        file: Option<PathBuf>,
        /// What it should be.
        what: &'static str,
        /// In which forms.
        expected: &'static str,
    },
}

/// Verifies tokens.
#[derive(Clone)]
pub struct VerifyKey {
    key: DecodingKey,
    algorithms: Vec<Algorithm>,
    /// Of ed25519 keys: for signatures of other things than tokens.
    ed25519: Option<[u8; 32]>,
}

impl std::fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifyKey({:?})", self.algorithms)
    }
}

impl VerifyKey {
    /// From a setting: 64 hex digits of an ed25519 key, or a file with those or an RSA
    /// certificate or public key in PEM. What is a key is not looked for among files:
    /// a directory that cannot be searched has nothing to do with it.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_setting(setting: &str) -> Result<VerifyKey, KeyError> {
        if let Some(key) = Self::from_hex(setting) {
            return Ok(key);
        }
        let path = Path::new(setting);
        let content = read_bounded(path, MAX_KEY_FILE)?;
        let text = String::from_utf8_lossy(&content);
        Self::from_hex(text.trim()).or_else(|| Self::from_pem(&content)).ok_or_else(|| KeyError::Unknown {
            file: Some(path.to_owned()),
            what: "public key",
            expected: "an RSA certificate or public key in PEM, or 64 hex digits of an ed25519 key",
        })
    }

    /// From 64 hex digits of an ed25519 public key.
    pub fn from_hex(text: &str) -> Option<VerifyKey> {
        let bytes = unhex::<32>(text)?;
        let key = DecodingKey::from_ed_der(&bytes);
        Some(VerifyKey { key, algorithms: vec![Algorithm::EdDSA], ed25519: Some(bytes) })
    }

    /// From an RSA certificate or public key in PEM.
    pub fn from_pem(text: &[u8]) -> Option<VerifyKey> {
        let certificate = pem::certificates(text).ok()?.first().and_then(|der| Certificate::parse(der));
        let pkcs1 = match certificate {
            Some(certificate) => certificate.rsa_key?,
            None => {
                let der = pem::public_key(text)?;
                let (_, info) = SubjectPublicKeyInfo::from_der(&der).ok()?;
                let rsa = x509_parser::oid_registry::OID_PKCS1_RSAENCRYPTION;
                (info.algorithm.algorithm == rsa).then(|| info.subject_public_key.data.to_vec())?
            }
        };
        Some(VerifyKey {
            key: DecodingKey::from_rsa_der(&pkcs1),
            algorithms: vec![Algorithm::RS256, Algorithm::RS384, Algorithm::RS512],
            ed25519: None,
        })
    }

    /// Whether bytes are signed by it; never of a key that is not ed25519.
    pub fn verifies_bytes(&self, bytes: &[u8], signature: &[u8]) -> bool {
        use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
        let verified = |key| UnparsedPublicKey::new(&ED25519, key).verify(bytes, signature).is_ok();
        self.ed25519.as_ref().is_some_and(verified)
    }

    /// The claims of a token this key has signed; their times are not looked at.
    ///
    /// # Errors
    /// [`TokenError::Signature`], [`TokenError::Malformed`].
    pub fn verify<T: DeserializeOwned>(&self, token: &str) -> Result<T, TokenError> {
        use jsonwebtoken::errors::ErrorKind;
        let mut validation = Validation::new(self.algorithms[0]);
        validation.algorithms.clone_from(&self.algorithms);
        // times are judged by StandardClaims::check_time, with a clock that is given
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        jsonwebtoken::decode(trimmed(token)?, &self.key, &validation).map(|data| data.claims).map_err(
            |error| match error.kind() {
                ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => TokenError::Signature,
                _ => TokenError::malformed(error),
            },
        )
    }
}

/// Makes tokens.
pub struct SigningKey {
    key: EncodingKey,
    algorithm: Algorithm,
    /// Of ed25519 keys: for trust chains.
    ed25519: Option<Ed25519KeyPair>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({:?})", self.algorithm)
    }
}

impl SigningKey {
    /// From a file: an RSA key in PEM, or 64 hex digits of an ed25519 seed, line end or not.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_file(path: &Path) -> Result<SigningKey, KeyError> {
        let content = Zeroizing::new(read_bounded(path, MAX_KEY_FILE)?);
        let seed = std::str::from_utf8(&content).ok().and_then(|text| unhex::<32>(text.trim()));
        seed.and_then(|seed| Self::from_seed(&seed)).or_else(|| Self::from_rsa_pem(&content)).ok_or_else(
            || KeyError::Unknown {
                file: Some(path.to_owned()),
                what: "signing key",
                expected: "an RSA private key in PEM, or 64 hex digits of an ed25519 seed",
            },
        )
    }

    /// From an ed25519 seed.
    pub fn from_seed(seed: &[u8; 32]) -> Option<SigningKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let mut der = Zeroizing::new(PKCS8_ED25519.to_vec());
        der.extend_from_slice(seed);
        let key = EncodingKey::from_ed_der(&der);
        Some(SigningKey { key, algorithm: Algorithm::EdDSA, ed25519: Some(pair) })
    }

    fn from_rsa_pem(text: &[u8]) -> Option<SigningKey> {
        use rustls_pki_types::PrivateKeyDer::{Pkcs1, Pkcs8};
        let pair = match pem::private_key(text).ok()? {
            Pkcs1(der) => aws_lc_rs::rsa::KeyPair::from_der(der.secret_pkcs1_der()),
            Pkcs8(der) => aws_lc_rs::rsa::KeyPair::from_pkcs8(der.secret_pkcs8_der()),
            _ => return None,
        };
        // ed25519 keys come in PKCS#8 too: only what is an RSA key may sign as one
        pair.ok()?;
        let key = EncodingKey::from_rsa_pem(text).ok()?;
        Some(SigningKey { key, algorithm: Algorithm::RS256, ed25519: None })
    }

    /// Signs claims: EdDSA by ed25519 keys, RS256 by RSA keys.
    ///
    /// # Errors
    /// Claims that are no JSON object.
    pub fn sign<T: Serialize>(&self, claims: &T) -> Result<String, TokenError> {
        jsonwebtoken::encode(&Header::new(self.algorithm), claims, &self.key).map_err(TokenError::malformed)
    }

    /// Signs bytes, for trust chains; none by an RSA key.
    pub fn sign_bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        Some(self.ed25519.as_ref()?.sign(bytes).as_ref().to_vec())
    }

    /// The public half of an ed25519 key, in hex.
    pub fn public_hex(&self) -> Option<String> {
        Some(hex(self.ed25519.as_ref()?.public_key().as_ref()))
    }
}
