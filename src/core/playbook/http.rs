//! One request to a web service, in the clear or by TLS.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::core::security::https::{self, Roots};

/// Largest answer.
const MOST: usize = 8 << 20;

/// Where a web service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query.
    pub(super) target: String,
}

impl Address {
    /// The address is `http://…` or `https://…`.
    pub(super) fn parse(text: &str) -> Result<Address, String> {
        // what is wrong with it is said without it: addresses hold secrets
        let wrong = |why: &str| format!("this is not the address of a web service: {why}");
        let uri: Uri = text.parse().map_err(|_| wrong("it is written like https://host/path"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("it begins with http:// or https://")),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it names no host"))?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(wrong("a name or password in it would be shown in logs; send them as headers"));
        }
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Address { tls, host: host.trim_matches(['[', ']']).to_owned(), port, target })
    }

    /// What the header `Host` says.
    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

/// A request, before it is sent.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) method: String,
    pub(super) address: Address,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// PEM text of CAs beside those of the system.
    pub(super) ca: String,
    pub(super) limit: Duration,
}

/// Asks; the answer is its status and its text. There are no redirects.
pub(super) async fn ask(question: Question) -> Result<(StatusCode, String), String> {
    let limit = question.limit;
    let asked = tokio::time::timeout(limit, ask_now(question)).await;
    let (status, body) = asked.map_err(|_| format!("no answer within {} s", limit.as_secs_f64()))??;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

async fn ask_now(question: Question) -> Result<(StatusCode, Bytes), String> {
    let Question { method, address, headers, body, ca, .. } = question;
    let mut request = Request::builder().method(method.as_str()).uri(address.target.as_str());
    request = request.header("Host", address.authority());
    for (name, value) in &headers {
        request = request.header(name.as_str(), value.as_str());
    }
    let request = request.body(Full::new(Bytes::from(body))).map_err(|e| e.to_string())?;
    if address.tls {
        let roots = if ca.is_empty() { Roots::System } else { Roots::SystemAnd(&ca) };
        return https::ask(&https::connector(roots)?, (&address.host, address.port), request, MOST).await;
    }
    let stream =
        TcpStream::connect((address.host.as_str(), address.port)).await.map_err(|e| e.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    // ends with the answer: nothing else is asked of it
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MOST).collect().await.map_err(|e| e.to_string())?;
    Ok((status, body.to_bytes()))
}

/// Text in an address, blanks as `+`, as forms have it.
pub(super) fn form_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b if b.is_ascii_alphanumeric() || b"-_.*".contains(&b) => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let address = Address::parse("https://hooks.example.net/x?k=1").unwrap();
        assert_eq!((address.authority().as_str(), address.target.as_str()), ("hooks.example.net", "/x?k=1"));
        let address = Address::parse("http://[::1]:8080").unwrap();
        assert_eq!(
            (address.host.as_str(), address.authority().as_str(), address.target.as_str()),
            ("::1", "[::1]:8080", "/")
        );
        for (text, why) in [
            ("ftp://x/", "begins with http"),
            ("x", "begins with http"),
            ("", "is written like"),
            ("https://a b/", "is written like"),
            ("https://me:secret@x/", "as headers"),
        ] {
            let e = Address::parse(text).unwrap_err();
            assert!(e.contains(why), "{text}: {e}");
        }
        assert_eq!(form_escaped("a b&c=é"), "a+b%26c%3D%C3%A9");
    }
}
