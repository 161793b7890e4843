//! Who may see names: this machine, and whoever shows a token.
//!
//! Programs on this machine see everything, as with nats-server. From
//! elsewhere pages are redacted, unless the request has `Authorization:
//! Bearer TOKEN` with a token of the configured file. A wrong one is refused
//! and not shown the redacted page: a reader that means to see everything
//! should learn that it does not.
//!
//! That a request comes by loopback is not enough to be of this machine.
//! A page of another site makes a browser here ask, by a name of that site
//! which leads to 127.0.0.1: [`is_local`] looks at the name that is asked for.
//! A proxy here asks for people elsewhere: it says so in a header, or, as nginx
//! by default, says nothing and speaks HTTP/1.0, as no program of today does
//! for itself. One that does neither cannot be told from a program of this
//! machine, so that names can be kept for tokens alone ([`LocalNames`]).

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::Version;
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use subtle::{Choice, ConstantTimeEq};

use crate::core::files;
use crate::core::text::Secret;

/// Largest file of tokens.
const FILE: u64 = 4096;
/// Shortest token: what can be guessed is none.
const SHORTEST: usize = 16;
/// What is in the names of headers by which proxies say that they ask for somebody else, whoever made
/// them, and what those of their makers begin with.
const FORWARDED: [&str; 7] =
    ["forwarded", "real-ip", "client-ip", "clientip", "original-", "connecting-ip", "remote-addr"];
const FORWARDED_BY: [&str; 7] = ["via", "cf-", "fastly-", "fly-", "x-azure-", "x-envoy-", "x-amzn-"];

/// Whether programs of this machine see names without a token, and by which
/// names it may be asked.
#[derive(Debug, Clone, Default)]
pub struct LocalNames {
    /// Names of this machine beside `localhost` and addresses.
    pub hosts: Vec<String>,
    /// Nobody sees names without a token.
    pub only_tokens: bool,
}

/// Whether a request is one of this machine, for itself.
pub fn is_local(peer: IpAddr, request: &Parts, names: &LocalNames) -> bool {
    let headers = &request.headers;
    let forwarded = headers.keys().any(|name| {
        let name = name.as_str();
        FORWARDED.iter().any(|part| name.contains(part))
            || FORWARDED_BY.iter().any(|start| name.starts_with(start))
    });
    let asked = headers.get_all(HOST).iter().map(|host| host.to_str().unwrap_or("?"));
    let mut asked = asked.chain(request.uri.authority().map(Authority::as_str));
    !names.only_tokens
        && peer.to_canonical().is_loopback()
        && !forwarded
        && headers.contains_key(HOST)
        && request.version >= Version::HTTP_11
        && asked.all(|host| is_here(host, &names.hosts))
}

/// Whether this name of a host, with or without port, is not one that another
/// site may have given to 127.0.0.1. Addresses are nobody's to give.
pub fn is_here(host: &str, names: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) if port.is_empty() || port.starts_with(':') => name,
            _ => return false,
        },
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok()
        || names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

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
    let (text, ()) = files::read_judged(path, FILE, |found| match found.permissions().mode() & 0o777 {
        mode if mode & 0o027 != 0 => Err(TokenError::Mode { path: path.to_owned(), mode }),
        _ => Ok(()),
    })?;
    let text = zeroize::Zeroizing::new(text);
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

/// Whether a request may see names: one of this machine, see [`is_local`], or
/// one that shows a token; `known` is the verdict on that.
///
/// # Errors
/// It shows a token, and that is wrong.
pub fn sees_names(local: bool, known: Option<bool>) -> Result<bool, Wrong> {
    match known {
        Some(true) => Ok(true),
        Some(false) => Err(Wrong),
        None => Ok(local),
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

    fn parts(version: Version, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = axum::http::Request::builder().version(version).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn who_sees_names() {
        for (peer, local) in [
            ("127.0.0.1", true),
            ("127.8.9.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("192.0.2.1", false),
            ("::ffff:192.0.2.1", false),
            ("128.0.0.1", false),
            ("0.0.0.0", false),
            ("2001:db8::1", false),
        ] {
            let request = parts(Version::HTTP_11, "/connz", &[("Host", "localhost:8222")]);
            let peer = peer.parse().unwrap();
            assert_eq!(is_local(peer, &request, &LocalNames::default()), local, "{peer}");
            let strict = LocalNames { only_tokens: true, ..LocalNames::default() };
            assert!(!is_local(peer, &request, &strict), "{peer}");
            assert_eq!(sees_names(local, None), Ok(local));
            assert_eq!(sees_names(local, Some(true)), Ok(true));
            assert_eq!(sees_names(local, Some(false)), Err(Wrong));
        }
    }

    #[test]
    fn a_request_by_loopback_may_be_for_somebody_else() {
        let names = LocalNames { hosts: vec!["stats.example.net".into()], only_tokens: false };
        let local = |version, uri: &str, headers: &[(&str, &str)]| {
            is_local(IpAddr::from([127, 0, 0, 1]), &parts(version, uri, headers), &names)
        };
        let new = Version::HTTP_11;
        for host in [
            "localhost",
            "localhost:8222",
            "LocalHost.",
            "127.0.0.1:8222",
            "[::1]:8222",
            "[::1]",
            "10.1.1.1",
            "stats.example.net:8222",
            "STATS.example.net.",
        ] {
            assert!(local(new, "/", &[("Host", host)]), "{host}");
            assert!(!local(Version::HTTP_10, "/", &[("Host", host)]), "as nginx asks by default");
        }
        for host in [
            "evil.example.com",
            "localhost.evil.example.com",
            "127.0.0.1.evil.example.com",
            "evil:8222",
            "",
            "[::1].evil.example.com@x",
            "stats.example.net.evil",
            "localhost@evil.example.com",
            "0x7f.1",
        ] {
            assert!(!local(new, "/", &[("Host", host)]), "{host}");
        }
        assert!(!local(new, "/", &[]), "nobody who speaks HTTP/1.1 names no host");
        assert!(!local(new, "http://evil.example.com/connz", &[("Host", "localhost")]));
        assert!(!local(new, "/", &[("Host", "localhost"), ("Host", "evil.example.com")]));
        for name in [
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
            "x-forwarded-port",
            "X-Forwarded",
            "Forwarded",
            "Via",
            "X-Real-IP",
            "Client-IP",
            "X-Cluster-Client-IP",
            "X-Original-Forwarded-For",
            "Fastly-Client-IP",
            "X-Azure-ClientIP",
            "Fly-Client-IP",
            "X-Original-Host",
            "CF-Connecting-IP",
            "True-Client-IP",
        ] {
            assert!(!local(new, "/", &[("Host", "localhost"), (name, "127.0.0.1")]), "{name}");
            assert!(!local(new, "/", &[("Host", "localhost"), (name, "")]), "{name}");
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
