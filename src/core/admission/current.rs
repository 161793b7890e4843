//! Certificates judged again at every decision, not only in the handshake.

use std::fmt;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;

use super::facts::ConnectionFacts;
use super::grant::{Authenticator, Grant, Refusal, RefusalKind};

/// Says why a chain, leaf first, is not valid now.
pub type ChainCheck = Arc<dyn Fn(&[CertificateDer<'static>]) -> Result<(), String> + Send + Sync>;

/// An authenticator behind a check of the peer's certificate against what is
/// trusted now.
///
/// The handshake has checked the same, but a connection outlives it: when the
/// broker judges its connections again after a reload, what has expired or was
/// revoked meanwhile is found here. This is where time enters a decision.
pub struct CurrentCertificates<A> {
    inner: A,
    check: ChainCheck,
}

impl<A> CurrentCertificates<A> {
    /// Puts a check in front of an authenticator.
    pub fn new(inner: A, check: ChainCheck) -> Self {
        Self { inner, check }
    }
}

impl<A: fmt::Debug> fmt::Debug for CurrentCertificates<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurrentCertificates").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<A: Authenticator> Authenticator for CurrentCertificates<A> {
    fn authenticate(&self, facts: &ConnectionFacts) -> Result<Grant, Refusal> {
        if let Some(certificate) = &facts.certificate {
            (self.check)(certificate.chain()).map_err(|reason| {
                let name = certificate.certname().unwrap_or("without a name");
                let reason = format!("the certificate of {name} is not valid: {reason}");
                Refusal::new(RefusalKind::BadCertificate, reason)
            })?;
        }
        self.inner.authenticate(facts)
    }

    fn wants_nonce(&self) -> bool {
        self.inner.wants_nonce()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::admission::{Account, PeerCertificate, StaticUsers, Transport};

    #[test]
    fn a_certificate_has_to_be_valid_now() {
        let authenticator = |valid: bool| {
            let check = move |_: &[CertificateDer<'static>]| {
                if valid { Ok(()) } else { Err("it has expired".to_owned()) }
            };
            CurrentCertificates::new(StaticUsers::open(Account::Choria), Arc::new(check))
        };
        let mut facts = ConnectionFacts::new(Transport::Tls);
        assert!(authenticator(false).authenticate(&facts).is_ok(), "no certificate, nothing to check");
        facts.certificate = Some(PeerCertificate::named("n1", vec![]));
        assert!(authenticator(true).authenticate(&facts).is_ok());
        let refusal = authenticator(false).authenticate(&facts).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::BadCertificate);
        assert_eq!(refusal.reason, "the certificate of n1 is not valid: it has expired");
    }
}
