//! Why one try to connect failed, and whether another could do better.

use std::error::Error;

use async_nats::ConnectErrorKind;
use rustls::AlertDescription;

use crate::core::security::tls_errors;

/// A failed try at one broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// What happened, and where it helps what to do.
    pub(super) text: String,
    /// One side refused the other for what it is: the next try would end the
    /// same way.
    pub(super) refused: bool,
}

impl Failure {
    pub(super) fn passing(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), refused: false }
    }

    fn refused(text: String) -> Failure {
        Failure { text, refused: true }
    }

    /// What `error` means. The outer texts of an error only repeat that it
    /// failed; the innermost cause is what a person can act on.
    pub(super) fn of(error: &async_nats::ConnectError) -> Failure {
        let mut text = error.to_string();
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(inner) = cause {
            text = inner.to_string();
            if let Some(tls) = tls_errors::within(inner) {
                return of_tls(tls);
            }
            cause = inner.source();
        }
        match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                let text = "the broker refused this connection (-ERR 'Authorization Violation'): it knows no \
                            such certificate or user, its log says why";
                Failure::refused(text.to_owned())
            }
            _ => Failure::passing(text),
        }
    }
}

/// Verdicts of either side on the other; what else goes wrong in TLS may pass.
fn of_tls(error: &rustls::Error) -> Failure {
    use AlertDescription as Alert;
    let refused = match error {
        rustls::Error::InvalidCertificate(reason) => {
            let reason = tls_errors::certificate(reason);
            format!("the certificate of the broker is not acceptable here: {reason}")
        }
        rustls::Error::AlertReceived(alert) => {
            let reason = match alert {
                Alert::UnknownCA => "it is not issued by a CA the broker trusts",
                Alert::CertificateExpired => {
                    "by the broker's clock it has expired or is not valid yet: renew it, or set the clocks"
                }
                Alert::CertificateRevoked => "it has been revoked: ask for a new one",
                Alert::CertificateRequired | Alert::NoCertificate => "none was sent and the broker wants one",
                Alert::UnsupportedCertificate | Alert::BadCertificate | Alert::CertificateUnknown => {
                    "it is no certificate the broker takes from clients, its log says why"
                }
                Alert::AccessDenied => "its log says why",
                Alert::HandshakeFailure | Alert::ProtocolVersion | Alert::InsufficientSecurity => {
                    return Failure::refused(format!(
                        "the broker and this client have no TLS version or cipher suite in common \
                         (TLS alert: {})",
                        tls_errors::alert(*alert)
                    ));
                }
                _ => return Failure::passing(tls_errors::told(error)),
            };
            let alert = tls_errors::alert(*alert);
            format!("the broker refused this client's certificate, {reason} (TLS alert: {alert})")
        }
        _ => return Failure::passing(tls_errors::told(error)),
    };
    Failure::refused(refused)
}

#[cfg(test)]
mod tests {
    use std::io;

    use rustls::CertificateError;

    use super::*;

    #[test]
    fn verdicts_are_told_from_what_may_pass() {
        let of = |error: rustls::Error| {
            let io = io::Error::new(io::ErrorKind::InvalidData, error);
            Failure::of(&async_nats::ConnectError::with_source(ConnectErrorKind::Io, io))
        };
        for (error, refused, text) in [
            (rustls::Error::AlertReceived(AlertDescription::UnknownCA), true, "CA the broker trusts"),
            (rustls::Error::AlertReceived(AlertDescription::CertificateRevoked), true, "revoked"),
            (rustls::Error::AlertReceived(AlertDescription::CertificateExpired), true, "clock"),
            (rustls::Error::AlertReceived(AlertDescription::ProtocolVersion), true, "TLS version"),
            (rustls::Error::AlertReceived(AlertDescription::InternalError), false, "alert"),
            (rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer), true, "is trusted here"),
            (rustls::Error::DecryptError, false, "decrypt"),
        ] {
            let failure = of(error);
            assert!(failure.refused == refused && failure.text.contains(text), "{failure:?}");
        }
        let gone = io::Error::from(io::ErrorKind::ConnectionRefused);
        let gone = Failure::of(&async_nats::ConnectError::with_source(ConnectErrorKind::Io, gone));
        assert!(!gone.refused && gone.text.contains("refused"), "{gone:?}");
        let unknown = async_nats::ConnectError::new(ConnectErrorKind::AuthorizationViolation);
        assert!(Failure::of(&unknown).refused);
    }
}
