//! The names a certificate, or a request for one, gives its holder.
//!
//! Everything that binds a name to a certificate reads it here: requests, TLS,
//! the permissions of brokers, the provisioner. The original takes the last of
//! several common names (Go's `FillFromRDNSequence`) and OpenSSL shows the
//! first, so that a certificate with two of them is two people to two readers:
//! it is refused by all of them, unless they say the same.

use std::net::IpAddr;

use x509_parser::prelude::{GeneralName, ParsedExtension};
use x509_parser::x509::X509Name;

/// Most alternative names taken from one certificate.
const MAX_NAMES: usize = 1_000;

/// A subject with common names that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has several common names that differ")]
pub struct SeveralNames;

/// The common name of a subject; `None` without one, or where it is no text.
///
/// # Errors
/// [`SeveralNames`].
pub fn common_name<'a>(subject: &'a X509Name<'_>) -> Result<Option<&'a str>, SeveralNames> {
    let mut names = subject.iter_common_name();
    let Some(first) = names.next() else { return Ok(None) };
    if names.any(|other| other.as_slice() != first.as_slice()) {
        return Err(SeveralNames);
    }
    Ok(first.as_str().ok().filter(|name| !name.is_empty()))
}

/// The DNS names among the alternative names.
pub fn dns_names<'a>(extensions: impl IntoIterator<Item = &'a ParsedExtension<'a>>) -> Vec<String> {
    alternative_names(extensions, |name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    })
}

/// Addresses among them, as many.
pub fn addresses<'a>(extensions: impl IntoIterator<Item = &'a ParsedExtension<'a>>) -> Vec<IpAddr> {
    alternative_names(extensions, |name| match name {
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok()
        }
        _ => None,
    })
}

fn alternative_names<'a, T>(
    extensions: impl IntoIterator<Item = &'a ParsedExtension<'a>>,
    wanted: impl Fn(&GeneralName<'a>) -> Option<T>,
) -> Vec<T> {
    let alternative = extensions.into_iter().find_map(|extension| match extension {
        ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
        _ => None,
    });
    alternative.into_iter().flatten().filter_map(wanted).take(MAX_NAMES).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;
    use crate::core::admission::PeerCertificate;
    use crate::core::security::Certificate;

    /// A certificate with these common names: the builder keeps one of a type,
    /// so that the others are put in by another type and its object identifier
    /// changed afterwards.
    fn certificate(names: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["alt.example.net".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let kinds = [DnType::CommonName, DnType::OrganizationName, DnType::OrganizationalUnitName];
        for (name, kind) in names.iter().zip(kinds) {
            params.distinguished_name.push(kind, DnValue::Utf8String((*name).to_owned()));
        }
        let key = KeyPair::generate().unwrap();
        let mut der = params.self_signed(&key).unwrap().der().to_vec();
        for kind in [10, 11] {
            let (from, to) = ([0x06, 3, 0x55, 4, kind], [0x06, 3, 0x55, 4, 3]);
            while let Some(at) = der.windows(5).position(|window| window == from) {
                der[at..at + 5].copy_from_slice(&to);
            }
        }
        der
    }

    #[test]
    fn all_readers_take_the_same_name_or_none() {
        for (names, expected) in [
            (&["n1.example.net"][..], Ok(Some("n1.example.net"))),
            (&["n1.example.net", "n1.example.net"], Ok(Some("n1.example.net"))),
            (&["n1.example.net", "alice.mcollective"], Err(SeveralNames)),
            (&["alice.mcollective", "n1.example.net"], Err(SeveralNames)),
            (&["a", "a", "b"], Err(SeveralNames)),
            (&["a", ""], Err(SeveralNames)),
            (&[""], Ok(None)),
            (&[], Ok(None)),
        ] {
            let der = certificate(names);
            let (_, parsed) = X509Certificate::from_der(&der).unwrap();
            assert_eq!(common_name(parsed.subject()), expected, "{names:?}");
            let of_request = Certificate::parse(&der);
            let of_connection = PeerCertificate::parse(vec![der.clone().into()]);
            match expected {
                Err(SeveralNames) => {
                    assert!(of_request.is_none() && of_connection.is_err(), "{names:?}");
                }
                Ok(name) => {
                    let (one, other) = (of_request.unwrap(), of_connection.unwrap());
                    assert_eq!(one.common_name, name.unwrap_or_default());
                    assert_eq!(other.common_name(), name);
                    assert_eq!(one.dns_names, ["alt.example.net"]);
                    assert_eq!(other.dns_names(), one.dns_names);
                }
            }
        }
    }
}
