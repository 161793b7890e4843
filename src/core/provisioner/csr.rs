//! Is this certificate request one we let be signed for this node? Pure.
//!
//! The original looks at the common name and DNS names alone. Here the
//! signature has to be good, the key strong, and nothing may be asked for
//! beyond the node's own name: whoever signs may copy what was asked.

use aws_lc_rs::digest;
use regex::Regex;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use super::settings::{Settings, denials};
use crate::core::connection::parse_hosts;
use crate::core::security::subject;
use crate::core::text::shortened;

/// Characters shown of a name that a node asks for.
const MAX_NAME: usize = 100;
/// Longest request, in bytes of PEM.
const MAX_REQUEST: usize = 32 * 1024;
/// Weakest RSA key, and the strongest a node has use for.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Weakest elliptic curve.
const EC_BITS: usize = 256;

/// Why a request is not passed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the texts say it
pub enum CsrError {
    #[error("the certificate request is no PKCS#10 request in PEM")]
    Unreadable,
    #[error("the certificate request is not signed by its own key")]
    Signature,
    #[error("the certificate request has no common name, or several")]
    NoName,
    #[error("the certificate request is for {found:?}, not {identity:?}")]
    OtherName { found: String, identity: String },
    #[error("the certificate request names {0:?}, which cert_deny_list denies")]
    Denied(String),
    #[error(
        "the certificate request names {0:?}, which is a broker's: that machine becomes a node by 'choria setup node' on it"
    )]
    Broker(String),
    #[error("the certificate request also asks for {0:?}")]
    FurtherName(String),
    #[error("the certificate request asks to be a CA")]
    Ca,
    #[error("the certificate request asks for extension {0}, which nodes have no use for")]
    Extension(String),
    #[error("the certificate request is of a key that is too weak, or of an unknown kind: {0}")]
    Key(String),
}

/// Names that no waiting machine is given a certificate for.
#[derive(Debug, Clone, Default)]
pub struct Denied {
    /// `cert_deny_list`.
    pub patterns: Vec<Regex>,
    /// Those of brokers: a certificate of a broker's name is taken for the broker's by others that
    /// join it, whatever it is good for.
    pub brokers: Vec<String>,
}

/// No name at all.
pub static NOBODY: Denied = Denied { patterns: Vec::new(), brokers: Vec::new() };

impl Denied {
    /// As the settings have it, and by what the provisioner knows of brokers, `host:port` or URLs.
    ///
    /// # Errors
    /// An entry of the list is no regular expression.
    pub fn of(settings: &Settings, around: &[String]) -> Result<Denied, String> {
        let known = parse_hosts(around).into_iter().chain(parse_hosts(&settings.brokers)).flatten();
        let brokers = known.map(|broker| broker.host().to_owned()).collect();
        Ok(Denied { patterns: denials(&settings.cert_deny_list)?, brokers })
    }

    /// Whether a broker has that name.
    pub fn is_broker(&self, name: &str) -> bool {
        self.brokers.iter().any(|broker| broker.eq_ignore_ascii_case(name))
    }

    /// # Errors
    /// A waiting machine is given no certificate of that name.
    pub fn check(&self, name: &str) -> Result<(), CsrError> {
        if self.is_broker(name) {
            return Err(CsrError::Broker(shortened(name, MAX_NAME)));
        }
        match self.patterns.iter().any(|pattern| pattern.is_match(name)) {
            true => Err(CsrError::Denied(shortened(name, MAX_NAME))),
            false => Ok(()),
        }
    }
}

/// A request that may be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedCsr {
    /// Public key, SPKI.
    pub spki: Vec<u8>,
    /// SHA-256 of it.
    pub key_hash: [u8; 32],
}

/// Checks a request of node `identity`.
///
/// # Errors
/// [`CsrError`].
pub fn check(pem: &str, identity: &str, denied: &Denied) -> Result<CheckedCsr, CsrError> {
    if pem.len() > MAX_REQUEST {
        return Err(CsrError::Unreadable);
    }
    let (_, block) = parse_x509_pem(pem.as_bytes()).map_err(|_| CsrError::Unreadable)?;
    if !matches!(block.label.as_str(), "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST") {
        return Err(CsrError::Unreadable);
    }
    let (rest, request) =
        X509CertificationRequest::from_der(&block.contents).map_err(|_| CsrError::Unreadable)?;
    if !rest.is_empty() {
        return Err(CsrError::Unreadable);
    }
    let info = &request.certification_request_info;
    check_key(&info.subject_pki)?;
    request.verify_signature().map_err(|_| CsrError::Signature)?;
    let deny = |name: &str| denied.check(name);
    let name = subject::common_name(&info.subject).ok().flatten().ok_or(CsrError::NoName)?;
    deny(name)?;
    if name != identity {
        return Err(CsrError::OtherName { found: shortened(name, MAX_NAME), identity: identity.to_owned() });
    }
    for attribute in info.iter_attributes() {
        let ParsedCriAttribute::ExtensionRequest(extensions) = attribute.parsed_attribute() else { continue };
        for extension in &extensions.extensions {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(alt) => {
                    for name in &alt.general_names {
                        match name {
                            GeneralName::DNSName(name) => {
                                deny(name)?;
                                if *name != identity {
                                    return Err(CsrError::FurtherName(shortened(name, MAX_NAME)));
                                }
                            }
                            other => {
                                return Err(CsrError::FurtherName(shortened(
                                    &format!("{other:?}"),
                                    MAX_NAME,
                                )));
                            }
                        }
                    }
                }
                ParsedExtension::BasicConstraints(constraints) if constraints.ca => return Err(CsrError::Ca),
                ParsedExtension::BasicConstraints(_)
                | ParsedExtension::KeyUsage(_)
                | ParsedExtension::ExtendedKeyUsage(_)
                | ParsedExtension::SubjectKeyIdentifier(_) => {}
                _ => return Err(CsrError::Extension(extension.oid.to_id_string())),
            }
        }
    }
    let spki = info.subject_pki.raw.to_vec();
    let mut key_hash = [0; 32];
    key_hash.copy_from_slice(digest::digest(&digest::SHA256, &spki).as_ref());
    Ok(CheckedCsr { spki, key_hash })
}

fn check_key(spki: &x509_parser::x509::SubjectPublicKeyInfo<'_>) -> Result<(), CsrError> {
    let weak = |what: String| Err(CsrError::Key(what));
    match spki.parsed() {
        Ok(PublicKey::RSA(key)) if RSA_BITS.contains(&key.key_size()) => Ok(()),
        Ok(PublicKey::RSA(key)) => weak(format!("RSA with {} bits", key.key_size())),
        Ok(PublicKey::EC(point)) if point.key_size() >= EC_BITS => Ok(()),
        Ok(PublicKey::EC(point)) => weak(format!("a curve with {} bits", point.key_size())),
        _ => weak(spki.algorithm.algorithm.to_id_string()),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, PKCS_ED25519,
        PKCS_RSA_SHA256, RsaKeySize, SanType,
    };

    use super::*;
    use crate::core::provisioner::settings::Settings;

    fn request(key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "n1.example.net");
        change(&mut params);
        params.serialize_request(key).unwrap().pem().unwrap()
    }

    fn denied() -> Denied {
        let settings = Settings { brokers: vec!["b1.example.net:4222".to_owned()], ..Settings::default() };
        Denied::of(&settings, &["nats://b2.example.net:4222".to_owned()]).unwrap()
    }

    fn verdict(pem: &str) -> Result<CheckedCsr, CsrError> {
        check(pem, "n1.example.net", &denied())
    }

    #[test]
    fn only_the_nodes_own_name_and_a_strong_key() {
        let key = KeyPair::generate().unwrap();
        let san = |name: SanType| request(&key, |params| params.subject_alt_names.push(name));
        let dns = |name: &str| san(SanType::DnsName(name.try_into().unwrap()));
        let named =
            |name: &str| request(&key, |params| params.distinguished_name.push(DnType::CommonName, name));
        assert!(verdict(&request(&key, |_| ())).is_ok());
        assert!(verdict(&dns("n1.example.net")).is_ok());
        let usage = |params: &mut CertificateParams| {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        };
        assert!(verdict(&request(&key, usage)).is_ok());
        for (pem, why) in [
            (dns("n2.example.net"), "also asks for \"n2.example.net\""),
            (dns("alice.mcollective"), "names \"alice.mcollective\", which cert_deny_list"),
            (dns("Alice.MCollective"), "names \"Alice.MCollective\", which cert_deny_list"),
            (san(SanType::IpAddress([127, 0, 0, 1].into())), "also asks for"),
            (san(SanType::Rfc822Name("root@example.net".try_into().unwrap())), "also asks for"),
            (named("n2.example.net"), "is for \"n2.example.net\", not \"n1.example.net\""),
            (named("rip.privileged.mcollective"), "which cert_deny_list denies"),
            (
                request(&key, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
                "asks to be a CA",
            ),
            (
                request(&KeyPair::generate_for(&PKCS_ED25519).unwrap(), |_| ()),
                "too weak, or of an unknown kind",
            ),
            ("not a request".to_owned(), "no PKCS#10 request"),
            (String::new(), "no PKCS#10 request"),
            ("x".repeat(100_000), "no PKCS#10 request"),
        ] {
            let error = verdict(&pem).unwrap_err().to_string();
            assert!(error.contains(why), "{why}: {error}");
        }
    }

    #[test]
    fn nobody_waits_for_the_name_of_a_broker() {
        let key = KeyPair::generate().unwrap();
        for name in ["b1.example.net", "B2.example.net"] {
            let pem = request(&key, |params| {
                params.distinguished_name = rcgen::DistinguishedName::new();
                params.distinguished_name.push(DnType::CommonName, name);
            });
            let error = check(&pem, name, &denied()).unwrap_err();
            assert_eq!(error, CsrError::Broker(name.to_owned()));
            assert!(denied().is_broker(name));
        }
        assert!(!denied().is_broker("b3.example.net"));
    }

    #[test]
    fn a_request_that_was_changed_is_not_signed_by_its_key() {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let pem = request(&key, |_| ());
        let (_, block) = parse_x509_pem(pem.as_bytes()).unwrap();
        let mut der = block.contents;
        let place = der.windows(14).position(|window| window == b"n1.example.net").unwrap();
        der[place + 1] = b'2';
        let changed = crate::core::security::pem::encode("CERTIFICATE REQUEST", &der);
        assert_eq!(check(&changed, "n2.example.net", &Denied::default()), Err(CsrError::Signature));
        assert!(verdict(&pem).is_ok());
    }

    #[test]
    fn the_originals_request_is_taken() {
        let text = include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/vectors/provisioning/provisioning-v1-csr.json"
        ));
        let captured: serde_json::Value = serde_json::from_str(text).unwrap();
        let told: serde_json::Value =
            serde_json::from_str(captured["helper"]["stdin"].as_str().unwrap()).unwrap();
        check(told["csr"]["csr"].as_str().unwrap(), "node1.example.net", &denied()).unwrap();
    }

    #[test]
    fn reading_requests_never_panics() {
        let good = request(&KeyPair::generate().unwrap(), |_| ());
        let (_, block) = parse_x509_pem(good.as_bytes()).unwrap();
        bolero::check!().with_iterations(2000).for_each(|input: &[u8]| {
            let mut der = block.contents.clone();
            for change in input.chunks_exact(3) {
                let place = usize::from(u16::from_le_bytes([change[0], change[1]])) % der.len();
                der[place] ^= change[2];
            }
            let _ = verdict(&crate::core::security::pem::encode("CERTIFICATE REQUEST", &der));
            let _ = verdict(&String::from_utf8_lossy(input));
        });
    }
}
