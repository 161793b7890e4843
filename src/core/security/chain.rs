//! What it means for a chain to hold: for which use, for how long, and the
//! words for why it does not.

use std::collections::HashSet;

use rustls_pki_types::CertificateDer;
use thiserror::Error;
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter};
use x509_parser::prelude::X509Certificate;

use super::{Certificate, tls_errors};

/// Most certificates one peer may send; longer chains do not occur.
pub const MAX_CHAIN: usize = 16;
/// Most of them beyond one of each name, as of a CA that was renewed.
const MAX_TWINS: usize = 2;

/// Why a chain is not believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChainError {
    /// Not a certificate.
    #[error("it cannot be read")]
    Unreadable,
    /// No path to a CA certificate of ours.
    #[error("it is not issued by a certificate of the CA file")]
    UnknownIssuer,
    /// Some certificate of the path is past its time.
    #[error("{0} has expired")]
    Expired(&'static str),
    /// Some certificate of the path is before its time.
    #[error("{0} is not valid yet")]
    NotYetValid(&'static str),
    /// The issuer has revoked it, or an intermediate.
    #[error("it has been revoked")]
    Revoked,
    /// Extended key usage says something else.
    #[error("its extended key usage does not allow {0}")]
    Purpose(&'static str),
    /// More certificates than any chain has.
    #[error("it comes with more than {MAX_CHAIN} certificates")]
    TooLong,
    /// So many ways lead through it that finding one would take long.
    #[error("it comes with more than {MAX_TWINS} certificates of a name that another has")]
    Tangled,
    /// Everything else the path builder refuses.
    #[error("{0}")]
    Other(String),
}

/// Whether what comes with a certificate is no more than a chain has. From one
/// certificate each other of its issuer's name is tried, and from there on again: of
/// ten of one name that is hundreds of thousands of ways, which a stranger would have
/// us walk.
pub(super) fn check_extent(others: &[CertificateDer<'_>]) -> Result<(), ChainError> {
    if others.len() > MAX_CHAIN {
        return Err(ChainError::TooLong);
    }
    let names = others.iter().filter_map(|der| EndEntityCert::try_from(der).ok());
    let names: Vec<Vec<u8>> = names.map(|read| read.subject().to_vec()).collect();
    let different: HashSet<&[u8]> = names.iter().map(Vec::as_slice).collect();
    match names.len() - different.len() {
        0..=MAX_TWINS => Ok(()),
        _ => Err(ChainError::Tangled),
    }
}

/// What a certificate is to be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// Calling and connecting: `clientAuth`.
    Client,
    /// Being connected to: `serverAuth`.
    Server,
}

impl Usage {
    pub(super) fn name(self) -> &'static str {
        match self {
            Usage::Client => "client authentication",
            Usage::Server => "server authentication",
        }
    }
}

const ANY: &[usize] = &[2, 5, 29, 37, 0];
const SERVER_AUTH: &[usize] = &[1, 3, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: &[usize] = &[1, 3, 6, 1, 5, 5, 7, 3, 2];

impl ExtendedKeyUsageValidator for Usage {
    /// No extension, the wanted purpose, or the "any" purpose, which the path
    /// builder's own rule does not know but Go does.
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let wanted = if *self == Usage::Client { CLIENT_AUTH } else { SERVER_AUTH };
        let mut none = true;
        for purpose in purposes {
            none = false;
            let purpose = purpose?.to_decoded_oid();
            if purpose == wanted || purpose == ANY {
                return Ok(());
            }
        }
        // The context variant of this error cannot be made outside the crate.
        #[allow(deprecated)]
        if none { Ok(()) } else { Err(webpki::Error::RequiredEkuNotFound) }
    }
}

/// How long a chain that was believed stays believable: the overlap of its
/// certificates, unix seconds, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First second.
    pub not_before: i64,
    /// Last second.
    pub not_after: i64,
}

impl Validity {
    pub(super) fn of(certificate: &Certificate) -> Validity {
        Validity { not_before: certificate.not_before, not_after: certificate.not_after }
    }

    pub(super) fn and(self, other: Validity) -> Validity {
        Validity {
            not_before: self.not_before.max(other.not_before),
            not_after: self.not_after.min(other.not_after),
        }
    }

    /// Whether `now` lies in it.
    pub fn includes(&self, now: i64) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    pub(super) fn check(&self, now: i64, what: &'static str) -> Result<(), ChainError> {
        if now < self.not_before {
            Err(ChainError::NotYetValid(what))
        } else if now > self.not_after {
            Err(ChainError::Expired(what))
        } else {
            Ok(())
        }
    }
}

/// The words for any certificate but the first.
pub(super) const ITS_ISSUER: &str = "its issuer";

/// The rule of [`Usage`] for certificates the path builder does not judge.
pub(super) fn check_purpose(certificate: &X509Certificate<'_>, usage: Usage) -> Result<(), ChainError> {
    let refused = ChainError::Purpose(usage.name());
    match certificate.extended_key_usage() {
        Err(_) => Err(refused),
        Ok(None) => Ok(()),
        Ok(Some(extension)) => {
            let purposes = extension.value;
            let wanted = if usage == Usage::Client { purposes.client_auth } else { purposes.server_auth };
            if wanted || purposes.any { Ok(()) } else { Err(refused) }
        }
    }
}

/// The path builder's error in our words.
pub(super) fn chain_error(error: webpki::Error, usage: Usage) -> ChainError {
    use webpki::Error;
    match error {
        // A CA made anew under its old name: the name fits, the key does not.
        Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => ChainError::UnknownIssuer,
        Error::CertExpired { .. } => ChainError::Expired("it or a certificate of its chain"),
        Error::InvalidCertValidity => ChainError::Expired(ITS_ISSUER),
        Error::CertNotValidYet { .. } => ChainError::NotYetValid("it or a certificate of its chain"),
        Error::CertRevoked => ChainError::Revoked,
        #[allow(deprecated)]
        Error::RequiredEkuNotFound => ChainError::Purpose(usage.name()),
        Error::RequiredEkuNotFoundContext(_) => ChainError::Purpose(usage.name()),
        Error::BadDer | Error::BadDerTime | Error::TrailingData(_) => ChainError::Unreadable,
        other => ChainError::Other(format!("its chain is refused: {}", tls_errors::words(&other))),
    }
}
