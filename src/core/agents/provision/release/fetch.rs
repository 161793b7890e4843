//! GET of one file, bounded, without redirects.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use axum::body::Body;
use futures::StreamExt;
use hyper::client::conn::http1;
use hyper::{Request, Response, Uri, header};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::core::security::https::{self, Roots};
use crate::core::security::tls_errors;

/// Longest wait for a connection, for an answer, and for more of it.
const PATIENCE: Duration = Duration::from_secs(15);

/// A small file.
pub async fn text(url: &Uri, ca: &str, limit: u64) -> Result<Vec<u8>, String> {
    let mut text = vec![];
    get(url, ca, limit, |piece| {
        text.extend_from_slice(piece);
        Ok(())
    })
    .await?;
    Ok(text)
}

/// A large one, into `file`.
pub async fn file(url: &Uri, ca: &str, limit: u64, mut file: &File) -> Result<(), String> {
    get(url, ca, limit, |piece| file.write_all(piece).map_err(|e| e.to_string())).await
}

async fn get(
    url: &Uri,
    ca: &str,
    limit: u64,
    mut take: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let response = patient(request(url, ca)).await??;
    if !response.status().is_success() {
        return Err(response.status().to_string());
    }
    let mut pieces = Body::new(response.into_body()).into_data_stream();
    let mut total = 0;
    while let Some(piece) = patient(pieces.next()).await? {
        let piece = piece.map_err(|e| e.to_string())?;
        total += piece.len() as u64;
        if total > limit {
            return Err(format!("it is larger than {limit} bytes"));
        }
        take(&piece)?;
    }
    Ok(())
}

async fn patient<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let slow = |_| format!("nothing came for {} s", PATIENCE.as_secs());
    tokio::time::timeout(PATIENCE, work).await.map_err(slow)
}

async fn request(url: &Uri, ca: &str) -> Result<Response<hyper::body::Incoming>, String> {
    let host = url.host().ok_or("it names no host")?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let tls = url.scheme_str() == Some("https");
    let port = url.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let stream = TcpStream::connect((bare, port)).await.map_err(|e| e.to_string())?;
    if !tls {
        return exchange(stream, url).await;
    }
    let name = ServerName::try_from(bare.to_owned()).map_err(|e| e.to_string())?;
    let connector = https::connector(Roots::SystemAnd(ca))?;
    exchange(connector.connect(name, stream).await.map_err(|e| tls_errors::told_of(&e))?, url).await
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    url: &Uri,
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
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, concat!("choria/", env!("CARGO_PKG_VERSION")))
        .body(Body::empty())
        .map_err(|e| e.to_string())?;
    sender.send_request(request).await.map_err(|e| tls_errors::told_of(&e))
}
