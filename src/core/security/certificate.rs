//! What we read out of one certificate: names, times, key.

use std::net::IpAddr;

use x509_parser::prelude::{FromDer, X509Certificate};

use super::subject;

/// Facts of a certificate, copied out of its DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Common name of the subject; empty without one.
    pub common_name: String,
    /// DNS names of the subject alternative names.
    pub dns_names: Vec<String>,
    /// Addresses among them.
    pub addresses: Vec<IpAddr>,
    /// Whether there is a subject alternative name extension at all.
    pub has_alt_names: bool,
    /// First second it is valid, unix time.
    pub not_before: i64,
    /// Last second it is valid, unix time.
    pub not_after: i64,
    /// Serial number, big-endian bytes.
    pub serial: Vec<u8>,
    /// Public key for request signatures (PKCS#1 `RSAPublicKey`); `None` when
    /// the key is not RSA.
    pub rsa_key: Option<Vec<u8>>,
}

impl Certificate {
    /// Reads `der`; `None` when it is not a certificate, or has several common
    /// names that differ.
    pub fn parse(der: &[u8]) -> Option<Certificate> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let has_alt_names = certificate
            .extensions()
            .iter()
            .any(|e| e.oid == x509_parser::oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME);
        let spki = certificate.public_key();
        let is_rsa = spki.algorithm.algorithm == x509_parser::oid_registry::OID_PKCS1_RSAENCRYPTION;
        let common_name = subject::common_name(certificate.subject()).ok()?;
        Some(Certificate {
            common_name: common_name.unwrap_or_default().to_owned(),
            dns_names: subject::dns_names(certificate.extensions().iter().map(|e| e.parsed_extension())),
            addresses: subject::addresses(certificate.extensions().iter().map(|e| e.parsed_extension())),
            has_alt_names,
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            serial: certificate.raw_serial().to_vec(),
            rsa_key: is_rsa.then(|| spki.subject_public_key.data.to_vec()),
        })
    }

    /// Common name and DNS names, each once: any of them may be a caller's name. An alt
    /// name does not replace the common name; wildcards are literal text.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let common = Some(self.common_name.as_str()).filter(|name| !name.is_empty());
        let others = self.dns_names.iter().map(String::as_str).filter(move |name| Some(*name) != common);
        common.into_iter().chain(others)
    }

    /// Whether others may reach whose it is by this name or address.
    pub fn is_for(&self, name: &str) -> bool {
        let address = name.parse::<IpAddr>().is_ok_and(|address| self.addresses.contains(&address));
        address || self.names().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// Its first name, where it has not this one.
    pub fn other_name(&self, name: &str) -> Option<&str> {
        match self.names().any(|own| own == name) {
            true => None,
            false => self.names().next(),
        }
    }
}

/// What to say about a certificate that ends at `not_after` (unix seconds):
/// nothing with more than 30 days left, then ever more urgently at 30, 7 and 1
/// day and once it has expired.
pub fn expiry_warning(not_after: i64, now: i64) -> Option<String> {
    const DAY: i64 = 86_400;
    let left = not_after.saturating_sub(now);
    let when = jiff::Timestamp::from_second(not_after).map(|t| t.to_string()).unwrap_or_default();
    match left {
        ..0 => Some(format!("expired on {when}: it no longer works, replace it")),
        0..DAY => Some(format!("expires on {when}, in less than a day: replace it now")),
        DAY.. if left < 7 * DAY => {
            Some(format!("expires on {when}, in {} days: replace it this week", left / DAY))
        }
        _ if left < 30 * DAY => Some(format!("expires on {when}, in {} days", left / DAY)),
        _ => None,
    }
}
