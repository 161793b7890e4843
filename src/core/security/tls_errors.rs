//! What goes wrong in TLS, as a sentence: the library's own texts show names of its types.

use std::error::Error;
use std::fmt::Debug;
use std::io;

use rustls::{AlertDescription, CertificateError};

/// What `error` means, of the other side as "it". Whoever reads it acts on it.
pub fn told(error: &rustls::Error) -> String {
    use rustls::Error as Tls;
    match error {
        Tls::InvalidCertificate(reason) => {
            format!("its certificate is not acceptable: {}", certificate(reason))
        }
        Tls::AlertReceived(alert) => format!("it ended TLS with the alert {:?}", self::alert(*alert)),
        Tls::NoCertificatesPresented => "it sent no certificate".to_owned(),
        Tls::InvalidMessage(what) => format!("what it sends is not TLS ({})", words(what)),
        Tls::InappropriateMessage { .. } | Tls::InappropriateHandshakeMessage { .. } => {
            "it sent what TLS does not allow at this point".to_owned()
        }
        Tls::PeerIncompatible(what) => {
            format!("it and this program have no TLS version or algorithm in common ({})", words(what))
        }
        Tls::PeerMisbehaved(what) => format!("it breaks the rules of TLS ({})", words(what)),
        Tls::DecryptError => "what it sent cannot be decrypted".to_owned(),
        Tls::PeerSentOversizedRecord => "it sent a record larger than TLS allows".to_owned(),
        Tls::HandshakeNotComplete => "the handshake is not done".to_owned(),
        Tls::InconsistentKeys(_) => "the key and the certificate do not belong together".to_owned(),
        Tls::InvalidCertRevocationList(what) => {
            format!("a revocation list cannot be used ({})", words(what))
        }
        Tls::General(text) => text.clone(),
        Tls::Other(other) => other.to_string(),
        other => words(other),
    }
}

/// What `error` means where TLS is its cause, else its own text.
pub fn told_of(error: &(dyn Error + 'static)) -> String {
    let mut cause = Some(error);
    while let Some(inner) = cause {
        if let Some(tls) = within(inner) {
            return told(tls);
        }
        cause = inner.source();
    }
    error.to_string()
}

/// The TLS error in `error`. An I/O error hides the one it was made of from
/// [`Error::source`].
pub fn within<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.downcast_ref().or_else(|| inner.and_then(|inner| inner.downcast_ref()))
}

/// Why a certificate is refused, of which it says "it".
pub fn certificate(reason: &CertificateError) -> String {
    use CertificateError as Bad;
    let text = match reason {
        Bad::BadEncoding => "it cannot be read",
        Bad::UnknownIssuer => "it is not issued by a CA that is trusted here",
        Bad::Expired | Bad::ExpiredContext { .. } => {
            "it or a certificate of its chain has expired by the clock of this machine"
        }
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            "it or a certificate of its chain is not valid yet by the clock of this machine"
        }
        Bad::Revoked => "it has been revoked",
        Bad::BadSignature => "its signature is wrong",
        Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => {
            "its extended key usage does not allow what it is used for"
        }
        Bad::NotValidForName => "it is for another name",
        Bad::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
            return match names.is_empty() {
                true => format!("it is for no name, and not for {expected}"),
                false => format!("it is for {}, and not for {expected}", names.join(", ")),
            };
        }
        Bad::Other(other) => return other.0.to_string(),
        other => return format!("it is refused ({})", words(other)),
    };
    text.to_owned()
}

/// A name without the type of it that the library writes around it.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, inner)| inner.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"')
}

/// A TLS alert as people know it: `unknown CA`.
pub fn alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::Unknown(number) => format!("number {number}"),
        known => words(&known),
    }
}

/// The name of a variant as words, without what is in it.
pub fn words(variant: &dyn Debug) -> String {
    let name = format!("{variant:?}");
    let name = name.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    let mut words = String::with_capacity(name.len() + 8);
    let mut letters = name.chars().peekable();
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        let follows = letters.peek().copied().unwrap_or('A');
        // abbreviations stay what they are
        let short =
            follows.is_ascii_uppercase() || before.is_ascii_uppercase() && !follows.is_ascii_lowercase();
        let begins =
            letter.is_ascii_uppercase() && (!before.is_ascii_uppercase() || follows.is_ascii_lowercase());
        if begins && before != ' ' {
            words.push(' ');
        }
        words.push(if short { letter } else { letter.to_ascii_lowercase() });
        before = letter;
    }
    words
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::{InvalidMessage, OtherError, PeerIncompatible};

    use super::*;
    use crate::core::security::ChainError;

    #[test]
    fn errors_are_sentences() {
        let other = CertificateError::Other(OtherError(Arc::new(ChainError::Tangled)));
        let name = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("broker.example.net").unwrap(),
            presented: vec!["DnsName(\"a.example.net\")".into(), "\"b.example.net\"".into()],
        };
        for (error, text) in [
            (
                rustls::Error::InvalidCertificate(other),
                "its certificate is not acceptable: it comes with more than 2 certificates of a name that another has",
            ),
            (
                rustls::Error::InvalidCertificate(name),
                "its certificate is not acceptable: it is for a.example.net, b.example.net, and not for \
                 broker.example.net",
            ),
            (
                rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer),
                "its certificate is not acceptable: it is not issued by a CA that is trusted here",
            ),
            (
                rustls::Error::InvalidCertificate(CertificateError::UnhandledCriticalExtension),
                "its certificate is not acceptable: it is refused (unhandled critical extension)",
            ),
            (
                rustls::Error::AlertReceived(AlertDescription::UnknownCA),
                "it ended TLS with the alert \"unknown CA\"",
            ),
            (
                rustls::Error::AlertReceived(AlertDescription::Unknown(77)),
                "it ended TLS with the alert \"number 77\"",
            ),
            (
                rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType),
                "what it sends is not TLS (invalid content type)",
            ),
            (
                rustls::Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
                "it and this program have no TLS version or algorithm in common (no cipher suites in common)",
            ),
            (rustls::Error::EncryptError, "encrypt error"),
            (rustls::Error::General("the session ended".into()), "the session ended"),
        ] {
            assert_eq!(told(&error), text);
            let io = io::Error::new(io::ErrorKind::InvalidData, error);
            assert_eq!(told_of(&io), text);
        }
        let gone = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(told_of(&gone), gone.to_string());
    }

    #[test]
    fn names_are_words() {
        for (alert, text) in [
            (AlertDescription::UnknownCA, "unknown CA"),
            (AlertDescription::BadRecordMac, "bad record mac"),
            (AlertDescription::UnknownPSKIdentity, "unknown PSK identity"),
            (AlertDescription::CertificateRevoked, "certificate revoked"),
        ] {
            assert_eq!(self::alert(alert), text);
        }
        assert_eq!(words(&webpki::Error::CaUsedAsEndEntity), "ca used as end entity");
        assert_eq!(words(&"…"), "");
    }
}
