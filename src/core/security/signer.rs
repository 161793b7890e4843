//! Putting our name to a request (spec 01 §2.2).

use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::credentials::SharedCredentials;
use super::{CallerId, SecurityError};
use crate::core::protocol::deferred::Deferred;
use crate::core::protocol::v1::{Request, SecureRequest};

/// Signs requests with the RSA key of this process.
#[derive(Debug, Clone)]
pub struct Signer {
    credentials: Arc<SharedCredentials>,
    key_file: PathBuf,
}

impl Signer {
    pub(super) fn new(credentials: Arc<SharedCredentials>, key_file: PathBuf) -> Signer {
        Signer { credentials, key_file }
    }

    /// Encodes and signs `request`: RSASSA-PKCS1-v1_5 with SHA-256 over the
    /// encoded text, certificate attached. Costs about a millisecond of CPU.
    ///
    /// # Errors
    /// A caller id every server would refuse, or a key that is not RSA (any
    /// more, after a reload).
    pub fn sign(&self, request: &Request) -> Result<SecureRequest, SecurityError> {
        self.sign_text(&request.envelope.callerid, request.encode())
    }

    /// The same with a request that waits for its node.
    ///
    /// # Errors
    /// As [`Signer::sign`].
    pub fn sign_deferred(&self, deferred: &Deferred) -> Result<SecureRequest, SecurityError> {
        self.sign_text(&deferred.caller, deferred.encode())
    }

    fn sign_text(&self, caller: &str, message: String) -> Result<SecureRequest, SecurityError> {
        if CallerId::parse(caller).is_none() {
            return Err(SecurityError::Request(format!("{caller:?} is not a caller id")));
        }
        let credentials = self.credentials.get();
        let key = credentials.rsa.as_ref().ok_or_else(|| SecurityError::NotRsa(self.key_file.clone()))?;
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .map_err(|_| SecurityError::Signing)?;
        let signature = STANDARD.encode(signature);
        Ok(SecureRequest { message, signature, pubcert: credentials.certificate_text.clone() })
    }
}
