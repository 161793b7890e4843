//! Revocation lists: which certificates of our CAs are no longer good.

use std::path::Path;

use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::tls_errors::words;
use super::{SecurityError, pem};
use crate::core::files::read_bounded;

/// Largest file of revocation lists, in bytes: half a million entries.
const MAX_BYTES: u64 = 32 << 20;
/// Most lists of the same issuer in one file.
const MAX_LAYERS: usize = 16;

/// The lists of one file, every one of them applied.
///
/// The path builder consults one list an issuer. Where a file holds several of
/// the same issuer they go to different layers, and a chain must pass all
/// layers: revoked in any list is revoked.
#[derive(Debug, Default)]
pub struct RevocationLists {
    layers: Vec<Vec<CertRevocationList<'static>>>,
    /// Earliest time any list should have been replaced, unix seconds.
    next_update: Option<i64>,
}

impl RevocationLists {
    /// Reads all lists of `path`.
    ///
    /// # Errors
    /// A file that is unreadable, malformed or holds no list: a revocation
    /// list that silently revokes nobody is worse than none.
    pub fn read(path: &Path) -> Result<RevocationLists, SecurityError> {
        let failed = |reason| SecurityError::File { what: "revocation list", path: path.into(), reason };
        let text = read_bounded(path, MAX_BYTES).map_err(|e| failed(e.to_string()))?;
        RevocationLists::from_pem(&text).map_err(failed)
    }

    /// Reads all lists of a PEM text.
    ///
    /// # Errors
    /// What is wrong with it, "holds no revocation list" included.
    pub fn from_pem(text: &[u8]) -> Result<RevocationLists, String> {
        let mut lists = RevocationLists::default();
        for der in pem::revocation_lists(text)? {
            let parsed = OwnedCertRevocationList::from_der(&der)
                .map_err(|e| format!("holds a revocation list that cannot be used: {}", words(&e)))?;
            let (_, times) = CertificateRevocationList::from_der(&der)
                .map_err(|_| "holds a malformed revocation list".to_owned())?;
            if let Some(next) = times.next_update().map(|time| time.timestamp()) {
                lists.next_update = Some(lists.next_update.map_or(next, |earliest| earliest.min(next)));
            }
            lists.add(CertRevocationList::Owned(parsed))?;
        }
        if lists.layers.is_empty() {
            return Err("holds no revocation list".into());
        }
        Ok(lists)
    }

    fn add(&mut self, list: CertRevocationList<'static>) -> Result<(), String> {
        let same = |other: &CertRevocationList<'_>| {
            other.issuer() == list.issuer()
                && other.issuing_distribution_point() == list.issuing_distribution_point()
        };
        match self.layers.iter().position(|layer| !layer.iter().any(same)) {
            Some(index) => {
                if let Some(layer) = self.layers.get_mut(index) {
                    layer.push(list);
                }
            }
            None if self.layers.len() < MAX_LAYERS => self.layers.push(vec![list]),
            None => return Err(format!("holds more than {MAX_LAYERS} lists of one issuer")),
        }
        Ok(())
    }

    pub(super) fn layers(&self) -> &[Vec<CertRevocationList<'static>>] {
        &self.layers
    }

    /// Whether any list is one of `issuer`, the content of its DER name.
    pub(super) fn covers(&self, issuer: &[u8]) -> bool {
        self.layers.iter().flatten().any(|list| list.issuer() == issuer)
    }

    /// Whether any list of `issuer` (the content of its DER name) holds
    /// `serial`, for the few certificates the path builder does not judge.
    pub(super) fn revokes(&self, issuer: &[u8], serial: &[u8]) -> bool {
        let mut lists = self.layers.iter().flatten().filter(|list| list.issuer() == issuer);
        // An entry that cannot be read may be the one: count it as found.
        lists.any(|list| !matches!(list.find_serial(serial), Ok(None)))
    }

    /// What to say at `now` (unix seconds) about lists past their time. They
    /// are applied all the same: an old list knows most of the revoked.
    pub fn warning(&self, now: i64) -> Option<String> {
        let next = self.next_update.filter(|next| *next < now)?;
        let when = jiff::Timestamp::from_second(next).map(|t| t.to_string()).unwrap_or_default();
        Some(format!("a revocation list should have been replaced on {when}; it is still applied"))
    }
}
