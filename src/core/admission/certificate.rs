//! The certificate a peer proved to hold, reduced to the names the rules ask for.

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::core::security::subject;

/// The last second the certificate of a peer is valid in, unix time; nothing without one. What it shows
/// beside it may have ended long ago and be on no way to the CA: that of the CA may have been renewed.
pub fn valid_until(chain: &[CertificateDer<'_>]) -> Option<i64> {
    let until =
        |der| X509Certificate::from_der(der).map(|(_, parsed)| parsed.validity().not_after.timestamp());
    // what cannot be read is valid no longer
    chain.first().map(|certificate| until(certificate).unwrap_or_default())
}

/// A verified peer certificate. The TLS layer has checked chain, dates and revocation.
#[derive(Debug, Clone)]
pub struct PeerCertificate {
    chain: Vec<CertificateDer<'static>>,
    common_name: Option<String>,
    dns_names: Vec<String>,
}

/// Why a certificate cannot be used for a decision.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum CertificateError {
    /// No certificate in the chain.
    #[error("the peer's certificate chain is empty")]
    Empty,
    /// Not X.509.
    #[error("reading the peer's certificate failed: {0}")]
    Unreadable(String),
}

impl PeerCertificate {
    /// Reads the names of the first certificate of a verified chain, leaf first.
    ///
    /// # Errors
    /// [`CertificateError`] when the chain is empty or its leaf cannot be parsed.
    pub fn parse(chain: Vec<CertificateDer<'static>>) -> Result<Self, CertificateError> {
        let leaf = chain.first().ok_or(CertificateError::Empty)?;
        let (_, parsed) = X509Certificate::from_der(leaf)
            .map_err(|error| CertificateError::Unreadable(error.to_string()))?;
        let unreadable = |reason: String| CertificateError::Unreadable(reason);
        let common_name = subject::common_name(parsed.subject()).map_err(|e| unreadable(e.to_string()))?;
        let common_name = common_name.map(str::to_owned);
        // Alternative names that cannot be read are not none.
        parsed.subject_alternative_name().map_err(|e| unreadable(e.to_string()))?;
        let dns_names = subject::dns_names(parsed.extensions().iter().map(|e| e.parsed_extension()));
        Ok(Self { chain, common_name, dns_names })
    }

    /// A certificate known by its names alone, for tables and callout requests.
    pub fn named(common_name: impl Into<String>, dns_names: Vec<String>) -> Self {
        Self { chain: Vec::new(), common_name: Some(common_name.into()), dns_names }
    }

    /// Chain as presented, leaf first, in DER.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Subject common name.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// DNS names among the alternative names.
    pub fn dns_names(&self) -> &[String] {
        &self.dns_names
    }

    /// The one name rules bind to: the common name, else the first DNS name.
    ///
    /// Alternative names are no identities: a server's certificate lists
    /// service names that other nodes may share.
    pub fn certname(&self) -> Option<&str> {
        self.common_name()
            .filter(|name| !name.is_empty())
            .or_else(|| self.dns_names.first().map(String::as_str))
    }
}
