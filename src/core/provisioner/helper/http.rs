//! A web service that is asked about each node (spec 05 §15.2).
//!
//! A POST of what a [`oneshot`](super::oneshot) helper reads, answered by 200
//! and what it writes. 429 and 503 mean later: after `Retry-After`, where it is
//! there, within bounds that the [`population`](crate::core::provisioner::population)
//! sets. `X-Choria-Request` is the same
//! when a request is repeated, which happens once, and only where a connection
//! that was kept turned out to be closed.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::{Asking, Helper, HelperError};
use crate::core::files::{self, Look, read_bounded};
use crate::core::provisioner::answer::{Answer, MAX_ANSWER};
use crate::core::provisioner::question::Question;
use crate::core::provisioner::settings::Settings;
use crate::core::security::https::{self, Roots};
use crate::core::security::tls_errors;

/// Nodes it is asked about at once, and connections kept.
const AT_ONCE: usize = 64;
/// Idempotency key of a request.
const REQUEST_ID: &str = "x-choria-request";
/// Longest token file and CA file, in bytes.
const MAX_TOKEN: u64 = 16 * 1024;

type Connection = SendRequest<Full<Bytes>>;

/// A web service.
pub struct Http {
    host: String,
    port: u16,
    /// Value of header `Host`.
    authority: HeaderValue,
    path: Uri,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    token_file: Option<TokenFile>,
    timeout: Duration,
    idle: Mutex<Vec<Connection>>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// Where a request got stuck.
enum Trouble {
    /// A kept connection was closed; nothing says the request arrived.
    Stale,
    Helper(HelperError),
}

impl Http {
    /// The service of the settings. It is not spoken to before the first node.
    ///
    /// # Errors
    /// An address, CA or token file that cannot be used.
    pub fn new(settings: &Settings) -> Result<Http, HelperError> {
        let url = &settings.helper_url;
        let unusable = |text: &str| HelperError::Unreachable(format!("helper_url {url:?} {text}"));
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
            return Err(unusable("holds a user name; use helper_token_file"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = match secure {
            true => {
                let name = ServerName::try_from(host.clone());
                let name = name.map_err(|_| unusable("has no usable host name"))?;
                Some((connector(&settings.helper_ca)?, name))
            }
            false => None,
        };
        let token_file = Some(settings.helper_token_file.clone()).filter(|file| !file.as_os_str().is_empty());
        let http = Http {
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| unusable("has an odd host"))?,
            path: uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .parse()
                .map_err(|_| unusable("has an odd path"))?,
            host,
            tls,
            token_file: token_file.map(TokenFile::new),
            timeout: settings.helper_timeout,
            idle: Mutex::default(),
        };
        // missing now, missing for every node
        // At the start nothing else waits.
        let token = http.token_file.as_ref().map(TokenFile::read).transpose()?;
        if token.is_some() && !secure && !is_loopback(&http.host) {
            tracing::warn!(
                "helper_url is not https: whoever is on the way can read the token and the keys of nodes"
            );
        }
        Ok(http)
    }

    async fn put(&self, question: &Question) -> Result<Answer, HelperError> {
        let asking = async {
            let id = uuid::Uuid::new_v4().to_string();
            loop {
                match self.attempt(&id, question).await {
                    Ok(answer) => return Ok(answer),
                    // the others are as old
                    Err(Trouble::Stale) => self.kept().clear(),
                    Err(Trouble::Helper(error)) => return Err(error),
                }
            }
        };
        match tokio::time::timeout(self.timeout, asking).await {
            Ok(answer) => answer,
            Err(_) => Err(HelperError::Failed(format!("it did not answer within {:?}", self.timeout))),
        }
    }

    async fn attempt(&self, id: &str, question: &Question) -> Result<Answer, Trouble> {
        let request = self.request(id, question).await?;
        let kept = self.take().await;
        let fresh = kept.is_none();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let failed = |e: hyper::Error| match fresh {
            false => Trouble::Stale,
            true => {
                let text = format!("{}: {}", self.host, tls_errors::told_of(&e));
                Trouble::Helper(HelperError::Unreachable(text))
            }
        };
        let response = connection.send_request(request).await.map_err(failed)?;
        let (status, text) = read(response).await?;
        let mut kept = self.kept();
        if kept.len() < AT_ONCE {
            kept.push(connection);
        }
        drop(kept);
        match status {
            Ok(()) => Answer::decode(&text).map_err(|e| Trouble::Helper(HelperError::Unreadable(e))),
            Err(error) => Err(Trouble::Helper(error)),
        }
    }

    async fn request(&self, id: &str, question: &Question) -> Result<Request<Full<Bytes>>, Trouble> {
        let mut request = Request::post(self.path.clone())
            .header(HOST, self.authority.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(REQUEST_ID, id);
        if let Some(bearer) = self.bearer().await.map_err(Trouble::Helper)? {
            request = request.header(AUTHORIZATION, bearer);
        }
        let body = Full::new(Bytes::from(question.encode()));
        request.body(body).map_err(|e| Trouble::Helper(HelperError::Unreachable(e.to_string())))
    }

    async fn bearer(&self) -> Result<Option<HeaderValue>, HelperError> {
        match &self.token_file {
            None => Ok(None),
            Some(file) => file.bearer().await.map(Some),
        }
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

    async fn connect(&self) -> Result<Connection, Trouble> {
        let failed = |e: &(dyn Error + 'static)| {
            let text = format!("{}: {}", self.host, tls_errors::told_of(e));
            Trouble::Helper(HelperError::Unreachable(text))
        };
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

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file of the token, read anew for each question: it may be renewed while we run. One
/// that hangs costs those questions and a thread, not the provisioner.
struct TokenFile {
    path: PathBuf,
    look: Arc<Look>,
    turn: tokio::sync::Mutex<()>,
}

impl TokenFile {
    fn new(path: PathBuf) -> TokenFile {
        TokenFile { path, look: Arc::default(), turn: tokio::sync::Mutex::default() }
    }

    async fn bearer(&self) -> Result<HeaderValue, HelperError> {
        let _turn = self.turn.lock().await;
        let (look, file) = (self.look.clone(), TokenFile::new(self.path.clone()));
        let read = files::within_deadline(move || {
            let _looking = look.begin(&file.path)?;
            Some(file.read())
        });
        let hangs = || self.unusable(format!("{} does not answer", self.path.display()));
        read.await.flatten().ok_or_else(hangs)?
    }

    fn read(&self) -> Result<HeaderValue, HelperError> {
        let text = read_bounded(&self.path, MAX_TOKEN).map_err(|e| self.unusable(e.to_string()))?;
        let text = Zeroizing::new(text);
        let token = std::str::from_utf8(text.trim_ascii()).unwrap_or_default();
        let odd = || self.unusable(format!("{} holds no token in one line", self.path.display()));
        if token.is_empty() {
            return Err(odd());
        }
        let whole = Zeroizing::new(format!("Bearer {token}"));
        let mut value = HeaderValue::from_str(&whole).map_err(|_| odd())?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn unusable(&self, text: String) -> HelperError {
        HelperError::Unreachable(format!("helper_token_file: {text}"))
    }
}

impl Helper for Http {
    fn ask<'a>(&'a self, question: &'a Question) -> Asking<'a> {
        Box::pin(self.put(question))
    }

    fn at_once(&self) -> usize {
        AT_ONCE
    }
}

/// HTTP over a stream, which a task of its own keeps going until we let go of it.
async fn over(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
) -> hyper::Result<Connection> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to the helper ended");
        }
    });
    Ok(sender)
}

/// Reads a whole answer; what is not 200 is an error in words.
async fn read(
    response: Response<hyper::body::Incoming>,
) -> Result<(Result<(), HelperError>, Bytes), Trouble> {
    let status = response.status();
    let later = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let text = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    let text = text.map_err(|e| Trouble::Helper(HelperError::Unreadable(e.to_string())))?.to_bytes();
    let verdict = match (status, later) {
        (StatusCode::OK, _) => Ok(()),
        (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, later) => {
            let pause = later.and_then(|later| pause_of(&later, jiff::Timestamp::now().as_second()));
            let later = pause.map_or(String::new(), |pause| format!(", again in {} s", pause.as_secs()));
            Err(HelperError::Busy { reason: format!("status {status}{later}"), pause })
        }
        (status, _) => {
            let text = words(&String::from_utf8_lossy(&text), 200);
            Err(HelperError::Failed(format!("status {status}: {text}")))
        }
    };
    Ok((verdict, text))
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

fn words(text: &str, most: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect()
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn connector(ca: &Path) -> Result<TlsConnector, HelperError> {
    let roots = if ca.as_os_str().is_empty() { Roots::System } else { Roots::File(ca) };
    https::connector(roots).map_err(|reason| HelperError::Unreachable(format!("helper_ca: {reason}")))
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
