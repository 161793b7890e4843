//! Certificates for nodes that made their own keys, thousands a minute.

use std::time::Duration;

use aws_lc_rs::digest;
use rcgen::SubjectPublicKeyInfo;

use super::issue::full_name;
use super::ledger::{Entry, Ledger};
use super::{Ca, Kind, PkiError};
use crate::core::text::hex;

/// Signs certificates of nodes. Clones share the log they are written to.
#[derive(Debug)]
pub struct NodeIssuer {
    ca: Ca,
    ledger: Ledger,
}

impl NodeIssuer {
    /// Signs by this CA, and writes what it signs into its directory.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn new(ca: Ca) -> Result<NodeIssuer, PkiError> {
        let ledger = Ledger::open(&ca)?;
        Ok(NodeIssuer { ca, ledger })
    }

    /// The CA.
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// A certificate of node `name` for the public key `spki` (DER), PEM, valid
    /// from an hour ago for `validity`, once it is in the log on disk.
    ///
    /// Subject, names and usages are ours; of what a node asks for only the key
    /// is taken. It is good for clients alone: nodes say their own names, and
    /// one that says the broker's must not be able to stand in for it.
    ///
    /// # Errors
    /// A name or key that cannot be certified, or a log that cannot be written.
    pub async fn issue(
        &self,
        name: &str,
        spki: &[u8],
        validity: Duration,
        now_unix: i64,
    ) -> Result<String, PkiError> {
        let name = full_name(Kind::Node, name)?;
        let key = SubjectPublicKeyInfo::from_der(spki)?;
        let until = now_unix.saturating_add(i64::try_from(validity.as_secs()).unwrap_or(i64::MAX));
        let signed = self.ca.sign(Kind::Node, &name, &Default::default(), &key, now_unix, until)?;
        let entry = Entry {
            name,
            serial: signed.serial,
            key: hex(digest::digest(&digest::SHA256, spki).as_ref()),
            from: signed.from,
            until: signed.until,
        };
        let path = self.ca.dir();
        self.ledger.write(&entry).await.map_err(|source| PkiError::File { path: path.into(), source })?;
        Ok(signed.pem)
    }
}
