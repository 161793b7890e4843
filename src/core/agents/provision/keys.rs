//! Where the key of a node comes from, and the request for its certificate.

use std::sync::{Arc, Mutex, PoisonError, mpsc};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, PKCS_RSA_SHA256, RsaKeySize,
    string::PrintableString,
};
use x509_parser::der_parser::der::parse_der_sequence;
use zeroize::Zeroizing;

use crate::core::security::pem;

/// Makes the key of a node.
pub trait KeySource: Send + Sync {
    /// A key; takes some hundred milliseconds of computing where it is not there yet.
    ///
    /// # Errors
    /// Why there is none.
    fn key(&self) -> Result<Arc<KeyPair>, String>;

    /// The request for the certificate of one of its keys, PEM.
    ///
    /// # Errors
    /// Why there is none.
    fn request(&self, key: &KeyPair, subject: &CsrSubject<'_>) -> Result<String, String> {
        request(key, subject)
    }
}

/// RSA keys of 2048 bits, made when asked; one is made before anybody asks.
#[derive(Default)]
pub struct OwnKeys {
    ahead: Mutex<Option<mpsc::Receiver<Result<KeyPair, rcgen::Error>>>>,
}

impl OwnKeys {
    /// Begins with the first key at once, on a thread of its own.
    pub fn begin() -> OwnKeys {
        let (send, receive) = mpsc::channel();
        let begun = std::thread::Builder::new().name("node key".to_owned()).spawn(move || {
            // nobody waits for it: the node has ended
            let _ = send.send(make());
        });
        OwnKeys { ahead: Mutex::new(begun.is_ok().then_some(receive)) }
    }
}

fn make() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
}

impl KeySource for OwnKeys {
    fn key(&self) -> Result<Arc<KeyPair>, String> {
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner).take();
        let made = ahead.and_then(|ahead| ahead.recv().ok()).unwrap_or_else(make);
        made.map(Arc::new).map_err(|e| e.to_string())
    }
}

/// A private key as the file of a node: PKCS#1 for RSA keys, which is what the
/// original writes and sends, PKCS#8 for others.
pub fn private_pem(key: &KeyPair) -> Result<Zeroizing<String>, String> {
    let der = Zeroizing::new(key.serialize_der());
    if !key.is_compatible(&PKCS_RSA_SHA256) {
        return Ok(Zeroizing::new(pem::encode("PRIVATE KEY", &der)));
    }
    // version, algorithm, key
    let unreadable = "the library made a key that is no PKCS#8";
    let (_, sequence) = parse_der_sequence(&der).map_err(|_| unreadable)?;
    let members = sequence.as_sequence().map_err(|_| unreadable)?;
    let inner = members.get(2).and_then(|key| key.as_slice().ok()).ok_or(unreadable)?;
    Ok(Zeroizing::new(pem::encode("RSA PRIVATE KEY", inner)))
}

/// The public half in the form the original answers with: PKCS#1 under the label of another form.
pub fn public_pem(key: &KeyPair) -> String {
    pem::encode("PUBLIC KEY", key.public_key_raw())
}

/// What a certificate is asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CsrSubject<'a> {
    /// Common name.
    pub name: &'a str,
    /// Country, locality, organization and unit; empty for none.
    pub country: &'a str,
    /// See above.
    pub locality: &'a str,
    /// See above.
    pub organization: &'a str,
    /// See above.
    pub unit: &'a str,
}

/// A certificate request: the subject in the original's order, nothing else.
pub fn request(key: &KeyPair, subject: &CsrSubject<'_>) -> Result<String, String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for (kind, text) in [
        (DnType::CountryName, subject.country),
        (DnType::LocalityName, subject.locality),
        (DnType::OrganizationName, subject.organization),
        (DnType::OrganizationalUnitName, subject.unit),
        (DnType::CommonName, subject.name),
    ] {
        if !text.is_empty() {
            let printable = PrintableString::try_from(text).map(DnValue::PrintableString);
            let value = printable.unwrap_or_else(|_| DnValue::Utf8String(text.to_owned()));
            params.distinguished_name.push(kind, value);
        }
    }
    let request = params.serialize_request(key).map_err(|e| e.to_string())?;
    Ok(pem::encode("CERTIFICATE REQUEST", request.der()))
}
