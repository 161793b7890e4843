//! Why a certificate was not made.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// What a [`Ca`](super::Ca) could not do.
#[derive(Debug, Error)]
pub enum PkiError {
    /// There is a key or certificate already; it is never replaced.
    #[error("{} exists and is not replaced: move it away first if it is no longer wanted", .0.display())]
    Exists(PathBuf),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is not what its name says.
    #[error("{} {reason}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A name that cannot be in a certificate or a file name.
    #[error(
        "{0:?} cannot be a certificate name: use letters, digits, '_', single inner '.' and '-', not '-' first, 64 at most"
    )]
    Name(String),
    /// A further name that makes it an operator's.
    #[error(
        "{0:?} is a name of callers, whom nodes would take whoever has this certificate for: issue it with --client"
    )]
    CallerName(String),
    /// It would be valid for no time at all.
    #[error("a certificate of 0 days is never valid: give the days it is to be good for")]
    NoDays,
    /// Nothing to revoke.
    #[error("no certificate of {0} that is not revoked already")]
    NothingToRevoke(String),
    /// The certificate library refused.
    #[error("the certificate could not be made: {0}")]
    Library(#[from] rcgen::Error),
    /// The system gave no randomness.
    #[error("the system has no randomness for a serial number")]
    Randomness,
}
