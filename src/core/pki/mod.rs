//! Making certificates: the own CA of demos, first networks, tests and
//! provisioning.
//!
//! A [`Ca`] is a directory: `ca.pem`, `ca-key.pem`, `crl.pem` and `issued/`
//! with every certificate it made for people and brokers; what a
//! [`NodeIssuer`] signs is a line of `issued.jsonl` instead. Its key is ECDSA P-256. Nodes and clients
//! get RSA-2048 keys, because protocol version 1 signs with RSA only; brokers,
//! which sign nothing but handshakes, get ECDSA P-256, at half the cost of
//! each. Both run against Go peers.
//!
//! Keys are written 0600 and never over an existing file.

/// A date of the certificate library from unix seconds; before 1970 is 1970. A
/// macro, because the library does not export the name of the type.
macro_rules! date {
    ($unix:expr) => {
        rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(u64::try_from($unix).unwrap_or(0))
    };
}

mod ca;
mod error;
mod issue;
mod ledger;
mod nodes;
mod revoke;

#[cfg(test)]
mod tests;

pub use ca::Ca;
pub use error::PkiError;
pub use issue::{Issued, Kind, Options, full_name, is_callers};
pub use ledger::Entry;
pub use nodes::NodeIssuer;

/// Days a CA certificate is valid: ten years.
pub const CA_DAYS: u32 = 3_650;
/// Days a certificate is valid unless asked otherwise: five years, as Puppet's.
pub const LEAF_DAYS: u32 = 1_825;

/// Clocks differ: certificates are valid from an hour before they are made.
const BACKDATED: i64 = 3_600;
