//! Why a process cannot have an identity, and why a request is refused.

use std::path::PathBuf;

use thiserror::Error;

use super::ChainError;

/// What ends the start of a process, or a reload.
#[derive(Debug, Error)]
pub enum SecurityError {
    /// A provider of the original that is not here (yet).
    #[error("security provider {0:?} is not supported, use puppet or file in plugin.security.provider")]
    Provider(String),
    /// A setting the provider needs.
    #[error("the {provider} security provider needs {setting}: {reason}")]
    Setting {
        /// Which provider.
        provider: &'static str,
        /// Key or environment variable.
        setting: &'static str,
        /// What it is for.
        reason: String,
    },
    /// A name that cannot be a caller id or certificate name.
    #[error("{0:?} cannot be a certificate name: use letters, digits, '_', '.' and '-'")]
    Certname(String),
    /// A certificate that is not for what this process is.
    #[error("{0}")]
    Misfit(String),
    /// A file that cannot be used.
    #[error("{what} {}: {reason}", path.display())]
    File {
        /// "certificate", "private key", "CA file" or "revocation list".
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong and, where it helps, what to do.
        reason: String,
    },
    /// The key signs, but not what protocol version 1 needs.
    #[error("the private key {} is not RSA of 2048 to 8192 bits, which protocol version 1 signs with", .0.display())]
    NotRsa(PathBuf),
    /// The key refused to sign.
    #[error("the private key could not sign the request")]
    Signing,
    /// A request that may not be sent.
    #[error("the request cannot be signed: {0}")]
    Request(String),
    /// TLS settings that leave nothing to use.
    #[error("plugin.security.{setting} leaves nothing this program supports; remove it or name others")]
    Tls {
        /// `cipher_suites` or `ecc_curves`.
        setting: &'static str,
    },
    /// A waiting node cannot know its broker by what it was given.
    #[error("the {what} in the provisioning token, or in this build, cannot be used: {reason}")]
    Waiting {
        /// CA or key.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The TLS library refused the combination.
    #[error("the TLS configuration is not usable: {0}")]
    TlsLibrary(String),
}

/// The one true reason a request is not acted upon. The caller never sees it:
/// a server logs and counts it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// The signed text is not a request.
    #[error("malformed request: {0}")]
    Malformed(String),
    /// The caller id is not one.
    #[error("caller id {0:?} is not kind=name")]
    CallerId(String),
    /// No certificate in the request.
    #[error("the request of {caller} carries no readable certificate")]
    NoCertificate {
        /// Caller the request claims.
        caller: String,
    },
    /// Elliptic curve and other keys cannot sign version 1 requests.
    #[error("the certificate of {caller} has no RSA key of 1024 to 8192 bits")]
    NotRsa {
        /// Caller the request claims.
        caller: String,
    },
    /// The chain does not lead to a CA of ours.
    #[error("the certificate of {caller} is not acceptable: {reason}")]
    Chain {
        /// Caller the request claims.
        caller: String,
        /// Why not.
        reason: ChainError,
    },
    /// The certificate belongs to somebody else.
    #[error("{caller} is not a name of the certificate, which names {names}")]
    Name {
        /// Caller the request claims.
        caller: String,
        /// Names in the certificate, a few of them.
        names: String,
    },
    /// A true name, and a second caller of it: one certificate would be any number of callers, of
    /// whom policies, the replay memory and shares of work know nothing.
    #[error(
        "{caller} is not what a certificate says, which is choria={name}; only privileged ones sign for others"
    )]
    Kind {
        /// Caller the request claims.
        caller: String,
        /// Name in the certificate.
        name: String,
    },
    /// A true name that is nobody who may call.
    #[error("{caller} is not on plugin.choria.security.certname_whitelist")]
    NotListed {
        /// Caller the request claims.
        caller: String,
    },
    /// The signature does not fit.
    #[error("the signature of {caller} does not fit the request")]
    Signature {
        /// Caller the request claims.
        caller: String,
    },
}

impl VerifyError {
    /// One word for counters.
    pub fn kind(&self) -> &'static str {
        match self {
            VerifyError::Malformed(_) => "malformed",
            VerifyError::CallerId(_) => "caller_id",
            VerifyError::NoCertificate { .. } => "no_certificate",
            VerifyError::NotRsa { .. } => "not_rsa",
            VerifyError::Chain { reason: ChainError::Revoked, .. } => "revoked",
            VerifyError::Chain { reason: ChainError::Expired(_), .. } => "expired",
            VerifyError::Chain { .. } => "untrusted",
            VerifyError::Name { .. } => "name",
            VerifyError::Kind { .. } => "kind",
            VerifyError::NotListed { .. } => "not_listed",
            VerifyError::Signature { .. } => "signature",
        }
    }
}
