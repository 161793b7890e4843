//! GET of one file of a web service, bounded, without redirects.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use base64::Engine;
use bytes::Bytes;
use futures::StreamExt;
use hyper::client::conn::http1;
use hyper::{Request, Response, Uri, header};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::https::{self, Roots};
use super::tls_errors;

/// Longest wait for a connection, for an answer, and for more of it.
const PATIENCE: Duration = Duration::from_secs(15);

/// Bytes that are written at a time, at least.
const AT_ONCE: usize = 256 * 1024;

/// Who asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asking<'a> {
    /// CAs beside those of the system, PEM.
    pub ca: &'a str,
    /// User and password, by which they know who asks.
    pub login: Option<(&'a str, &'a str)>,
    /// What the program calls itself; default its name and version.
    pub agent: Option<&'a str>,
}

/// A small file.
///
/// # Errors
/// There is none, or it is too large; in words.
pub async fn text(url: &Uri, asking: Asking<'_>, limit: u64) -> Result<Vec<u8>, String> {
    let mut text = vec![];
    let mut coming = get(url, asking, limit).await?;
    while let Some(piece) = coming.next().await? {
        text.extend_from_slice(&piece);
    }
    Ok(text)
}

/// A large one, into `file`.
///
/// # Errors
/// As [`text`].
pub async fn file(url: &Uri, asking: Asking<'_>, limit: u64, file: &File) -> Result<(), String> {
    let mut waiting = Vec::new();
    let mut coming = get(url, asking, limit).await?;
    while let Some(piece) = coming.next().await? {
        waiting.extend_from_slice(&piece);
        if waiting.len() >= AT_ONCE {
            written(file, std::mem::take(&mut waiting)).await?;
        }
    }
    written(file, waiting).await
}

/// Writes by a thread that may be left behind: the file may be on a file system that hangs.
async fn written(file: &File, text: Vec<u8>) -> Result<(), String> {
    let mut file = file.try_clone().map_err(|e| e.to_string())?;
    let write = tokio::task::spawn_blocking(move || file.write_all(&text).map_err(|e| e.to_string()));
    write.await.map_err(|e| e.to_string())?
}

/// A file that comes.
struct Coming {
    pieces: BodyDataStream,
    total: u64,
    limit: u64,
}

impl Coming {
    /// More of it; none at its end.
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        let Some(piece) = patient(self.pieces.next()).await? else { return Ok(None) };
        let piece = piece.map_err(|e| e.to_string())?;
        self.total += piece.len() as u64;
        match self.total > self.limit {
            true => Err(format!("it is larger than {} bytes", self.limit)),
            false => Ok(Some(piece)),
        }
    }
}

async fn get(url: &Uri, asking: Asking<'_>, limit: u64) -> Result<Coming, String> {
    let response = patient(request(url, asking)).await??;
    if !response.status().is_success() {
        return Err(response.status().to_string());
    }
    let pieces = Body::new(response.into_body()).into_data_stream();
    Ok(Coming { pieces, total: 0, limit })
}

async fn patient<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let slow = |_| format!("nothing came for {} s", PATIENCE.as_secs());
    tokio::time::timeout(PATIENCE, work).await.map_err(slow)
}

async fn request(url: &Uri, asking: Asking<'_>) -> Result<Response<hyper::body::Incoming>, String> {
    let host = url.host().ok_or("it names no host")?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let tls = url.scheme_str() == Some("https");
    let port = url.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let stream = TcpStream::connect((bare, port)).await.map_err(|e| e.to_string())?;
    if !tls {
        return exchange(stream, url, asking).await;
    }
    let name = ServerName::try_from(bare.to_owned()).map_err(|e| e.to_string())?;
    let connector = https::connector(Roots::SystemAnd(asking.ca))?;
    exchange(connector.connect(name, stream).await.map_err(|e| tls_errors::told_of(&e))?, url, asking).await
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    url: &Uri,
    asking: Asking<'_>,
) -> Result<Response<hyper::body::Incoming>, String> {
    let (mut sender, connection) =
        http1::handshake::<_, Body>(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    // Ends with the response: nothing else is asked of it.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let agent = asking.agent.unwrap_or(concat!("choria/", env!("CARGO_PKG_VERSION")));
    let mut request = Request::get(path).header(header::HOST, host).header(header::USER_AGENT, agent);
    if let Some((user, password)) = asking.login {
        let mut login = header::HeaderValue::from_str(&format!(
            "Basic {}",
            base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))
        ))
        .map_err(|e| e.to_string())?;
        login.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, login);
    }
    let request = request.body(Body::empty()).map_err(|e| e.to_string())?;
    sender.send_request(request).await.map_err(|e| tls_errors::told_of(&e))
}
