//! The certificate and key of this process.

use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::{fmt, io};

use aws_lc_rs::rsa::KeyPair;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use zeroize::Zeroizing;

use super::{Certificate, Files, SecurityError, pem, tls_errors};
use crate::core::files::{read_bounded, read_judged};

/// Fewest bits of an RSA key of this process.
const LEAST_RSA: usize = 2048;
/// Largest certificate or key file, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// A certificate with its private key, read and checked to belong together.
pub struct Credentials {
    /// The file of the certificate as text: requests carry it.
    pub(super) certificate_text: String,
    /// What the certificate says.
    pub(super) certificate: Certificate,
    /// For TLS.
    pub(super) tls: Arc<CertifiedKey>,
    /// For requests; `None` when the key is not RSA.
    pub(super) rsa: Option<Arc<KeyPair>>,
    /// Who else could read the key when it was read.
    pub(super) exposed: Option<String>,
}

impl Credentials {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// A missing or malformed file, or a key that does not fit the certificate.
    pub fn read(files: &Files, provider: &CryptoProvider) -> Result<Credentials, SecurityError> {
        let of_certificate = |reason| failed("certificate", &files.certificate, reason);
        let of_key = |reason| failed("private key", &files.key, reason);

        let text = read_bounded(&files.certificate, MAX_BYTES).map_err(|e| of_certificate(e.to_string()))?;
        let chain = pem::certificates(&text).map_err(of_certificate)?;
        let leaf = chain.first().ok_or_else(|| of_certificate("holds no certificate".into()))?;
        let certificate = Certificate::parse(leaf).ok_or_else(|| of_certificate("is malformed".into()))?;
        let certificate_text =
            String::from_utf8(text).map_err(|_| of_certificate("holds text that is not UTF-8".into()))?;

        let look = |found: &Metadata| Ok::<_, io::Error>(permission_warning(&files.key, found));
        let (text, exposed) = read_judged(&files.key, MAX_BYTES, look).map_err(|e| of_key(e.to_string()))?;
        let text = Zeroizing::new(text);
        let key = pem::private_key(&text).map_err(of_key)?;
        let rsa = match &key {
            PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()).ok(),
            PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok(),
            _ => None,
        };
        let kind = kind_of(leaf);
        let tls = CertifiedKey::from_der(chain, key, provider).map_err(|e| {
            of_key(match kind.filter(|(kind, bits)| *kind == "RSA" && *bits < LEAST_RSA) {
                Some((_, bits)) => format!(
                    "the key is RSA of {bits} bits, {LEAST_RSA} are the least: have a new one made, such as by \
                     'choria tool ca issue NAME' or 'openssl genrsa -out FILE {LEAST_RSA}', with a certificate for it"
                ),
                None => {
                    let (file, why) = (files.certificate.display(), tls_errors::told(&e));
                    format!("cannot be used with the certificate {file}: {why}")
                }
            })
        })?;
        Ok(Credentials { certificate_text, certificate, tls: Arc::new(tls), rsa: rsa.map(Arc::new), exposed })
    }
}

/// What kind of key a certificate is of, and of how many bits.
fn kind_of(certificate: &[u8]) -> Option<(&'static str, usize)> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let key = certificate.public_key().parsed().ok()?;
    let kind = match key {
        PublicKey::RSA(_) => "RSA",
        PublicKey::EC(_) => "EC",
        _ => return None,
    };
    Some((kind, key.key_size()))
}

impl Credentials {
    /// The same key with another certificate of it, PEM.
    pub(super) fn with_certificate(&self, text: &str) -> Result<Credentials, SecurityError> {
        let failed = |reason| failed("certificate", Path::new("(in memory)"), reason);
        let chain = pem::certificates(text.as_bytes()).map_err(failed)?;
        let leaf = chain.first().ok_or_else(|| failed("holds no certificate".into()))?;
        let certificate = Certificate::parse(leaf).ok_or_else(|| failed("is malformed".into()))?;
        let tls = CertifiedKey::new(chain, self.tls.key.clone());
        tls.keys_match().map_err(|e| failed(format!("is not of this key: {}", tls_errors::told(&e))))?;
        Ok(Credentials {
            certificate_text: text.to_owned(),
            certificate,
            tls: Arc::new(tls),
            rsa: self.rsa.clone(),
            exposed: None,
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

fn failed(what: &'static str, path: &Path, reason: String) -> SecurityError {
    // The path is named already.
    let reason = match reason.strip_prefix(&format!("cannot read {}: ", path.display())) {
        Some(why) if why.contains("Permission denied") => {
            let shown = path.display();
            format!("cannot read it: {why}; sudo chgrp GROUP {shown} && sudo chmod 0640 {shown} lets a group")
        }
        Some(why) => format!("cannot read it: {why}"),
        None => reason,
    };
    SecurityError::File { what, path: path.to_path_buf(), reason }
}

/// What to say about a private key everybody on the machine can read. Group
/// access is how Puppet shares keys on purpose.
fn permission_warning(key: &Path, found: &Metadata) -> Option<String> {
    let mode = found.permissions().mode() & 0o777;
    (mode & 0o007 != 0).then(|| {
        format!("private key {} may be read by every user (mode {mode:04o}): chmod 0600", key.display())
    })
}

/// The [`Credentials`] in use, replaced in one step when files change.
#[derive(Debug)]
pub(super) struct SharedCredentials(RwLock<Arc<Credentials>>);

impl SharedCredentials {
    pub(super) fn new(credentials: Credentials) -> SharedCredentials {
        SharedCredentials(RwLock::new(Arc::new(credentials)))
    }

    pub(super) fn get(&self) -> Arc<Credentials> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn replace(&self, credentials: Credentials) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(credentials);
    }
}
