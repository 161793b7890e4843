//! What a caller can know of its own certificate before anybody refuses it.

use std::path::Path;

use super::{Certificate, ChainError, NameList, Trust, Usage};
use rustls_pki_types::CertificateDer;

/// A caller's certificate and what it will be held against, as known here.
pub(super) struct Fitness<'a> {
    pub(super) certname: &'a str,
    pub(super) name_origin: &'a str,
    pub(super) certificate: &'a Certificate,
    pub(super) chain: &'a [CertificateDer<'static>],
    pub(super) file: &'a Path,
    pub(super) ca: &'a Path,
    pub(super) trust: &'a Trust,
    pub(super) allowed: &'a NameList,
    pub(super) privileged: &'a NameList,
}

impl Fitness<'_> {
    /// Why nobody can accept this certificate at `now`, unix seconds.
    pub(super) fn unfit(&self, now: i64) -> Option<String> {
        let expired = now > self.certificate.not_after;
        expired.then(|| {
            format!(
                "certificate {} expired on {} (this machine's clock says {}): renew it, or set the clock",
                self.file.display(),
                date(self.certificate.not_after),
                date(now)
            )
        })
    }

    /// Why brokers and nodes may refuse it. They may know more, other names and
    /// other CAs, so none of this ends a request; it explains one that failed.
    pub(super) fn doubts(&self, now: i64) -> Vec<String> {
        let file = self.file.display();
        let mut doubts = Vec::new();
        let (leaf, others) = match self.chain.split_first() {
            Some(split) => split,
            None => return doubts,
        };
        match self.trust.verify(leaf, others, now, Usage::Client) {
            Ok(_) => {}
            Err(ChainError::UnknownIssuer) => doubts.push(format!(
                "certificate {file} is not issued by a CA of {}: get one from the CA of this network",
                self.ca.display()
            )),
            Err(ChainError::NotYetValid(_)) if now < self.certificate.not_before => doubts.push(format!(
                "certificate {file} is not valid before {} and this machine's clock says {}: set the clock if \
                 it is wrong",
                date(self.certificate.not_before),
                date(now)
            )),
            Err(reason) => doubts.push(format!("certificate {file} will be refused, {reason}: renew it")),
        }
        let privileged = self.certificate.names().any(|name| self.privileged.matches(name));
        let names: Vec<&str> = self.certificate.names().take(5).collect();
        if !privileged && !self.certificate.names().any(|name| name == self.certname) {
            doubts.push(format!(
                "certificate {file} names {}, not {}, which is from {}: set MCOLLECTIVE_CERTNAME or use the \
                 certificate of that name",
                names.join(", "),
                self.certname,
                self.name_origin
            ));
        }
        if !privileged && !self.allowed.matches(self.certname) {
            doubts.push(format!(
                "{}, which is from {}, is not on plugin.choria.security.certname_whitelist as configured here: nodes \
                 with the same list refuse it as a caller; use a certificate such as NAME.mcollective",
                self.certname, self.name_origin
            ));
        }
        if self.certificate.rsa_key.is_none() {
            doubts.push(format!("certificate {file} has no RSA key, which nodes verify requests with"));
        }
        doubts
    }
}

fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map(|t| t.to_string()).unwrap_or_default()
}
