//! Certificates judged again at every decision, not only in the handshake.

use std::fmt;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;

use super::facts::{ConnectionFacts, Transport};
use super::grant::{Authenticator, Grant, Refusal, RefusalKind};
use crate::core::security::{SharedTrust, Usage};

/// Says why a chain, leaf first, is not valid now.
pub type ChainCheck = Arc<dyn Fn(&[CertificateDer<'static>]) -> Result<(), String> + Send + Sync>;

/// Says quickly whether a chain, leaf first, may have been revoked.
pub type ChainSuspicion = Arc<dyn Fn(&[CertificateDer<'static>]) -> bool + Send + Sync>;

/// An authenticator behind a check of the peer's certificate against what is
/// trusted now.
///
/// A handshake has checked the same, but a connection outlives it, and a
/// resumed TLS session has not had one: when a connection is let in, and when
/// the broker judges its connections again after a reload, what has expired or
/// was revoked meanwhile is found here. This is where time enters a decision.
pub struct CurrentCertificates<A> {
    inner: A,
    check: ChainCheck,
    suspicion: Option<ChainSuspicion>,
}

impl<A> CurrentCertificates<A> {
    /// Puts a check in front of an authenticator.
    pub fn new(inner: A, check: ChainCheck) -> Self {
        Self { inner, check, suspicion: None }
    }

    /// Judges by `trust` as it is at each decision, and begins with those its
    /// revocation lists name.
    pub fn of_trust(inner: A, trust: Arc<SharedTrust>) -> Self {
        Self::by_clock(inner, trust, || jiff::Timestamp::now().as_second())
    }

    /// The same by another clock, which tells unix seconds.
    pub fn by_clock(
        inner: A,
        trust: Arc<SharedTrust>,
        clock: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Self {
        let lists = trust.clone();
        let check = move |chain: &[CertificateDer<'static>]| {
            let (leaf, others) = chain.split_first().ok_or("there is none")?;
            let verdict = trust.verify(leaf, others, clock(), Usage::Client);
            verdict.map(|_| ()).map_err(|error| error.to_string())
        };
        let suspicion = move |chain: &[CertificateDer<'static>]| lists.get().lists_as_revoked(chain);
        Self { inner, check: Arc::new(check), suspicion: Some(Arc::new(suspicion)) }
    }

    fn judge(&self, facts: &ConnectionFacts) -> Result<(), Refusal> {
        let Some(certificate) = &facts.certificate else { return Ok(()) };
        (self.check)(certificate.chain()).map_err(|reason| {
            let name = certificate.certname().unwrap_or("without a name");
            let reason = format!("the certificate of {name} is not valid: {reason}");
            Refusal::new(RefusalKind::BadCertificate, reason)
        })
    }
}

impl<A: fmt::Debug> fmt::Debug for CurrentCertificates<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurrentCertificates").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<A: Authenticator> Authenticator for CurrentCertificates<A> {
    fn authenticate(&self, facts: &ConnectionFacts) -> Result<Grant, Refusal> {
        self.judge(facts)?;
        self.inner.authenticate(facts)
    }

    fn authenticate_quickly(&self, facts: &ConnectionFacts) -> Option<Result<Grant, Refusal>> {
        match self.judge(facts) {
            Ok(()) => self.inner.authenticate_quickly(facts),
            Err(refusal) => Some(Err(refusal)),
        }
    }

    fn wants_nonce(&self) -> bool {
        self.inner.wants_nonce()
    }

    fn requires_credentials(&self, transport: Transport) -> bool {
        self.inner.requires_credentials(transport)
    }

    fn judges_chains(&self) -> bool {
        true
    }

    fn suspects(&self, chain: &[CertificateDer<'static>]) -> bool {
        self.suspicion.as_ref().is_some_and(|suspects| suspects(chain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::admission::{Account, PeerCertificate, StaticUsers};

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
