//! A web service that is told things again and again: one address, connections that
//! are kept, a token that may be renewed while we run.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, HOST, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::https::{self, Roots};
use super::tls_errors;
use crate::core::files::Anew;

/// Connections that are kept.
const KEPT: usize = 64;
/// Longest token file, in bytes.
const MAX_TOKEN: u64 = 16 * 1024;

type Connection = SendRequest<Full<Bytes>>;

/// What keeps a web service from being told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebError {
    /// The rest of a sentence that begins with the address.
    #[error("the address {0}")]
    Address(&'static str),
    /// The CA file cannot be used.
    #[error("its CA: {0}")]
    Ca(String),
    /// The token file cannot be used.
    #[error("its token: {0}")]
    Token(String),
    /// It is not there, or not who it should be.
    #[error("{0}")]
    Unreachable(String),
    /// Its answer cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

/// An answer.
#[derive(Debug)]
pub struct Answered {
    /// Its status.
    pub status: StatusCode,
    /// When to come again, where it says so.
    pub later: Option<Duration>,
    /// What else it says.
    pub body: Bytes,
}

/// A web service.
pub struct WebService {
    host: String,
    port: u16,
    /// Value of header `Host`.
    authority: HeaderValue,
    path: Uri,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    token: Option<TokenFile>,
    idle: Mutex<Vec<Connection>>,
}

impl fmt::Debug for WebService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebService")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// Whether a host is this machine.
pub fn is_here(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Where a request got stuck.
enum Trouble {
    /// A kept connection was closed; nothing says the request arrived.
    Stale,
    Failed(WebError),
}

impl WebService {
    /// The service at `url`, known by the CAs in `ca`, or by the system's, and shown the token
    /// in a file. It is not spoken to before it is told something.
    ///
    /// # Errors
    /// An address, CA or token file that cannot be used.
    pub fn new(url: &str, ca: Option<&Path>, token: Option<&Path>) -> Result<WebService, WebError> {
        let unusable = WebError::Address;
        let uri: Uri = url.parse().map_err(|_| unusable("is no URL"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(unusable("is no URL, write http://HOST:PORT/PATH or https://…"));
        };
        let secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(unusable("is neither http nor https")),
        };
        if authority.as_str().contains('@') {
            return Err(unusable("holds a user name; put a token into a file"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = match secure {
            true => {
                let name = ServerName::try_from(host.clone());
                let name = name.map_err(|_| unusable("has no usable host name"))?;
                let roots = ca.map_or(Roots::System, Roots::File);
                Some((https::connector(roots).map_err(WebError::Ca)?, name))
            }
            false => None,
        };
        let service = WebService {
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| unusable("has an odd host"))?,
            path: uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .parse()
                .map_err(|_| unusable("has an odd path"))?,
            host,
            tls,
            token: token.map(|path| TokenFile::new(path.to_owned())),
            idle: Mutex::default(),
        };
        // Missing now, missing ever after. At the start nothing else waits.
        service.token.as_ref().map(TokenFile::bearer_now).transpose()?;
        Ok(service)
    }

    /// Whether whoever is on the way can read what it is told.
    pub fn is_exposed(&self) -> bool {
        self.tls.is_none() && !is_here(&self.host)
    }

    /// Host and port as the header `Host` says them.
    pub fn authority(&self) -> &str {
        self.authority.to_str().unwrap_or_default()
    }

    /// What is asked for there.
    pub fn path(&self) -> &str {
        self.path.path()
    }

    /// Whether it is shown a token.
    pub fn shows_a_token(&self) -> bool {
        self.token.is_some()
    }

    /// Posts `body` with these headers; the answer may have `most` bytes. Told twice only where
    /// a connection that was kept turned out to be closed.
    ///
    /// # Errors
    /// [`WebError`]; a status is none.
    pub async fn post(
        &self,
        headers: &[(&'static str, &str)],
        body: Bytes,
        most: usize,
    ) -> Result<Answered, WebError> {
        loop {
            match self.attempt(headers, body.clone(), most).await {
                Ok(answered) => return Ok(answered),
                // the others are as old
                Err(Trouble::Stale) => self.kept().clear(),
                Err(Trouble::Failed(error)) => return Err(error),
            }
        }
    }

    async fn attempt(
        &self,
        headers: &[(&'static str, &str)],
        body: Bytes,
        most: usize,
    ) -> Result<Answered, Trouble> {
        let mut request = Request::post(self.path.clone()).header(HOST, self.authority.clone());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.bearer().await.map_err(Trouble::Failed)?);
        }
        let request = request.body(Full::new(body));
        let request = request.map_err(|e| Trouble::Failed(WebError::Unreachable(e.to_string())))?;
        let kept = self.take().await;
        let fresh = kept.is_none();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect().await.map_err(Trouble::Failed)?,
        };
        let failed = |e: hyper::Error| match fresh {
            false => Trouble::Stale,
            true => Trouble::Failed(self.unreachable(&e)),
        };
        let response = connection.send_request(request).await.map_err(failed)?;
        let answered = read(response, most).await.map_err(Trouble::Failed)?;
        let mut kept = self.kept();
        if kept.len() < KEPT {
            kept.push(connection);
        }
        drop(kept);
        Ok(answered)
    }

    /// A kept connection that is still open as far as is known.
    async fn take(&self) -> Option<Connection> {
        loop {
            let mut connection = self.kept().pop()?;
            if !connection.is_closed() && connection.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    async fn connect(&self) -> Result<Connection, WebError> {
        let failed = |e: &(dyn Error + 'static)| self.unreachable(e);
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|e| failed(&e))?;
        stream.set_nodelay(true).map_err(|e| failed(&e))?;
        match &self.tls {
            None => over(stream).await.map_err(|e| failed(&e)),
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await.map_err(|e| failed(&e))?;
                over(stream).await.map_err(|e| failed(&e))
            }
        }
    }

    fn unreachable(&self, error: &(dyn Error + 'static)) -> WebError {
        WebError::Unreachable(format!("{}: {}", self.host, tls_errors::told_of(error)))
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file of the token.
struct TokenFile(Anew);

impl TokenFile {
    fn new(path: PathBuf) -> TokenFile {
        TokenFile(Anew::new(path, MAX_TOKEN))
    }

    async fn bearer(&self) -> Result<HeaderValue, WebError> {
        self.header(self.0.read().await)
    }

    fn bearer_now(&self) -> Result<HeaderValue, WebError> {
        self.header(self.0.read_now())
    }

    fn header(&self, text: io::Result<Zeroizing<Vec<u8>>>) -> Result<HeaderValue, WebError> {
        let text = text.map_err(|e| WebError::Token(e.to_string()))?;
        let token = std::str::from_utf8(text.trim_ascii()).unwrap_or_default();
        let odd = || WebError::Token(format!("{} holds no token in one line", self.0.path().display()));
        if token.is_empty() {
            return Err(odd());
        }
        let whole = Zeroizing::new(format!("Bearer {token}"));
        let mut value = HeaderValue::from_str(&whole).map_err(|_| odd())?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// HTTP over a stream, which a task of its own keeps going until we let go of it.
async fn over(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
) -> hyper::Result<Connection> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a web service ended");
        }
    });
    Ok(sender)
}

/// Reads a whole answer.
async fn read(response: Response<Incoming>, most: usize) -> Result<Answered, WebError> {
    let status = response.status();
    let later = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let later = later.and_then(|later| pause_of(later, jiff::Timestamp::now().as_second()));
    let body = Limited::new(response.into_body(), most).collect().await;
    let body = body.map_err(|e| WebError::Unreadable(e.to_string()))?.to_bytes();
    Ok(Answered { status, later, body })
}

/// What `Retry-After` says at `now` (unix seconds): a number of seconds, or a time.
fn pause_of(text: &str, now: i64) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let time = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Duration::from_secs(u64::try_from(time.as_second() - now).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_says_when_it_has_time() {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = 784_111_777;
        for (text, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:51:37 GMT", Some(120)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
            ("99999999999999999999999", None),
            ("", None),
        ] {
            assert_eq!(pause_of(text, now), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
