//! Who may see names: this machine, and whoever shows a token.
//!
//! Programs on this machine see everything, as with nats-server. From
//! elsewhere pages are redacted, unless the request has `Authorization:
//! Bearer TOKEN` with a token of the configured file. A wrong one is refused
//! and not shown the redacted page: a reader that means to see everything
//! should learn that it does not.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use subtle::{Choice, ConstantTimeEq};

use crate::core::files;
use crate::core::text::Secret;

/// Largest file of tokens.
const FILE: u64 = 4096;
/// Shortest token: what can be guessed is none.
const SHORTEST: usize = 16;
/// Headers by which a proxy on this machine says that it asks for somebody else.
pub const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// Why tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("monitoring tokens: {0}")]
    Read(#[from] std::io::Error),
    /// Others may read or change it.
    #[error("monitoring tokens: {path} has mode {mode:o}, others could read or change it; run: chmod 0640 {path}", path = path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A token is too short, or none is there.
    #[error("monitoring tokens: {path} needs one token a line, each of at least {SHORTEST} characters; make one with: openssl rand -hex 24", path = path.display())]
    Short {
        /// The file.
        path: PathBuf,
    },
}

/// A file with a token a line; empty lines and those that begin with `#` do
/// not count. It is read again whenever a token is shown: a new one is in
/// force at once.
#[derive(Debug, Clone)]
pub struct TokenFile(PathBuf);

impl TokenFile {
    /// Checks the file.
    ///
    /// # Errors
    /// [`TokenError`] when it cannot be read, others could read it, or it has no good token.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, TokenError> {
        let path = path.into();
        read(&path)?;
        Ok(Self(path))
    }

    /// Whether a token is one of the file's, in time that does not tell how much of it is right.
    ///
    /// # Errors
    /// [`TokenError`] when the file has been spoilt meanwhile.
    pub fn knows(&self, shown: &str) -> Result<bool, TokenError> {
        let hash = |text: &str| digest(&SHA256, text.as_bytes());
        let shown = hash(shown);
        let known = read(&self.0)?
            .iter()
            .map(|token| hash(token.expose()).as_ref().ct_eq(shown.as_ref()))
            .fold(Choice::from(0), |known, this| known | this);
        Ok(known.into())
    }
}

fn read(path: &Path) -> Result<Vec<Secret>, TokenError> {
    let mode = std::fs::metadata(path)
        .map_err(|e| std::io::Error::new(e.kind(), format!("cannot read {}: {e}", path.display())))?
        .permissions()
        .mode()
        & 0o777;
    if mode & 0o027 != 0 {
        return Err(TokenError::Mode { path: path.to_owned(), mode });
    }
    let text = zeroize::Zeroizing::new(files::read_bounded(path, FILE)?);
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let tokens: Option<Vec<Secret>> = lines
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
        .map(|line| std::str::from_utf8(line).ok().filter(|token| token.len() >= SHORTEST).map(Secret::new))
        .collect();
    tokens.filter(|tokens| !tokens.is_empty()).ok_or_else(|| TokenError::Short { path: path.to_owned() })
}

/// The credentials of a request were wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrong;

/// Whether a request may see names. `forwarded` is a request that a proxy
/// makes for somebody; `known` is the verdict on its token, if it shows one.
///
/// # Errors
/// It shows a token, and that is wrong.
pub fn sees_names(peer: IpAddr, forwarded: bool, known: Option<bool>) -> Result<bool, Wrong> {
    match known {
        Some(true) => Ok(true),
        Some(false) => Err(Wrong),
        None => Ok(peer.to_canonical().is_loopback() && !forwarded),
    }
}

/// The token of an `Authorization` header; the empty one where it is something else.
pub fn bearer(header: &[u8]) -> &str {
    let text = std::str::from_utf8(header).unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn who_sees_names() {
        for (peer, forwarded, known, expected) in [
            ("127.0.0.1", false, None, Ok(true)),
            ("127.8.9.1", false, None, Ok(true)),
            ("::1", false, None, Ok(true)),
            ("::ffff:127.0.0.1", false, None, Ok(true)),
            ("127.0.0.1", true, None, Ok(false)),
            ("127.0.0.1", true, Some(true), Ok(true)),
            ("127.0.0.1", false, Some(false), Err(Wrong)),
            ("192.0.2.1", false, None, Ok(false)),
            ("::ffff:192.0.2.1", false, None, Ok(false)),
            ("128.0.0.1", false, None, Ok(false)),
            ("0.0.0.0", false, None, Ok(false)),
            ("2001:db8::1", false, None, Ok(false)),
            ("192.0.2.1", false, Some(true), Ok(true)),
            ("192.0.2.1", true, Some(true), Ok(true)),
            ("192.0.2.1", false, Some(false), Err(Wrong)),
        ] {
            assert_eq!(sees_names(peer.parse().unwrap(), forwarded, known), expected, "{peer} {forwarded}");
        }
    }

    #[test]
    fn headers() {
        for (header, token) in [
            ("Bearer abc", "abc"),
            ("bearer  abc ", "abc"),
            ("Bearer", ""),
            ("Basic dTpw", ""),
            ("", ""),
            ("Bearer\u{a0}x", ""),
        ] {
            assert_eq!(bearer(header.as_bytes()), token, "{header}");
        }
        assert_eq!(bearer(&[0xff, b' ']), "");
    }

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        files::write_atomic(&path, text.as_bytes(), mode).unwrap();
        (dir, path)
    }

    #[test]
    fn tokens_are_those_of_the_file_now() {
        let (_dir, path) = file("# prometheus\n0123456789abcdef\n\n  fedcba9876543210  \r\n", 0o640);
        let tokens = TokenFile::new(&path).unwrap();
        for (shown, known) in [
            ("0123456789abcdef", true),
            ("fedcba9876543210", true),
            ("0123456789abcde", false),
            ("0123456789abcdef0", false),
            ("# prometheus", false),
            ("", false),
        ] {
            assert_eq!(tokens.knows(shown).unwrap(), known, "{shown}");
        }
        fs::write(&path, "another-token-of-mine\n").unwrap();
        assert!(!tokens.knows("0123456789abcdef").unwrap());
        assert!(tokens.knows("another-token-of-mine").unwrap());
    }

    #[test]
    fn files_that_protect_nothing() {
        for (text, mode, complaint) in [
            ("0123456789abcdef\n", 0o644, "chmod 0640"),
            ("0123456789abcdef\n", 0o660, "chmod 0640"),
            ("0123456789abcdef\nshort\n", 0o600, "at least 16"),
            ("# nothing\n", 0o600, "one token a line"),
            (&"x".repeat(5000), 0o600, "larger than"),
        ] {
            let (_dir, path) = file(text, mode);
            let error = TokenFile::new(&path).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
            assert!(!error.contains("0123456789abcdef"), "{error}");
        }
        assert!(
            TokenFile::new("/nonexistent/tokens").unwrap_err().to_string().contains("/nonexistent/tokens")
        );
    }
}
