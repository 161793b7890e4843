//! One page of a web server, asked for and read within bounds; redirects are followed only
//! where that is wanted.

use std::path::Path;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use hyper::{HeaderMap, Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::core::build;
use crate::core::files::unless_it_hangs;
use crate::core::security::https::{self, Roots};

/// Bytes of a page.
pub const MOST: usize = 1 << 20;
/// Redirects that are followed.
const MOST_REDIRECTS: usize = 10;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Asking {
    /// The page.
    pub url: Uri,
    /// How.
    pub method: Method,
    /// With these headers,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// and this body.
    pub body: Vec<u8>,
    /// CAs the server is known by; those of the system where none are named.
    pub ca: Option<Box<Path>>,
    /// Whether one goes where one is sent.
    pub follows: bool,
}

/// What came.
#[derive(Debug)]
pub struct Page {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Itself.
    pub body: Bytes,
    /// How long it took.
    pub took: Duration,
}

/// Whether an address is one of a page.
///
/// # Errors
/// Why not, as the end of a sentence.
pub fn address(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|e| format!("is no address of a page: {e}"))?;
    match (url.scheme_str(), url.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(url),
        _ => Err("is no address such as https://host.example.net/page".to_owned()),
    }
}

/// Whether an address names who asks, which nothing here tells a server.
pub fn names_user(url: &Uri) -> bool {
    url.authority().is_some_and(|authority| authority.as_str().contains('@'))
}

/// Asks for a page.
///
/// # Errors
/// None came, in words.
pub async fn page(mut asking: Asking, limit: Duration) -> Result<Page, String> {
    let began = Instant::now();
    let asked = async {
        for _ in 0..=MOST_REDIRECTS {
            let mut page = once(&asking).await?;
            page.took = began.elapsed();
            let next = page.headers.get(LOCATION).filter(|_| asking.follows && page.status.is_redirection());
            let Some(next) = next.and_then(|next| next.to_str().ok()) else { return Ok(page) };
            let next = resolved(&asking.url, next)?;
            sent_on(&mut asking, next, page.status)?;
        }
        Err(format!("it is sent on more than {MOST_REDIRECTS} times"))
    };
    let slow = |_| format!("no answer within {} s", limit.as_secs_f64());
    tokio::time::timeout(limit, asked).await.map_err(slow)?
}

/// What is asked where one is sent.
fn sent_on(asking: &mut Asking, next: Uri, status: StatusCode) -> Result<(), String> {
    let (here, there) = (server(&asking.url), server(&next));
    if here.0 == "https" && there.0 != "https" {
        return Err(format!("it is sent on from https to {next}, where anybody could read along"));
    }
    if !matches!(status.as_u16(), 307 | 308) {
        (asking.method, asking.body) = (Method::GET, Vec::new());
    }
    // what is for one server is not for another
    if here != there {
        if !asking.body.is_empty() {
            return Err(format!("it is sent on to {next}, another server, with all that was sent"));
        }
        asking.headers.clear();
    }
    asking.url = next;
    Ok(())
}

/// Scheme, host and port of a page.
fn server(url: &Uri) -> (String, String, u16) {
    let scheme = url.scheme_str().unwrap_or("http").to_ascii_lowercase();
    let port = url.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    (scheme, url.host().unwrap_or_default().to_ascii_lowercase(), port)
}

fn resolved(base: &Uri, next: &str) -> Result<Uri, String> {
    // a scheme is what comes first; what looks like one behind that is a text in a path or a query
    if next.split(['/', '?', '#']).next().is_some_and(|first| first.contains(':')) {
        return address(next).map_err(|e| format!("it is sent on to {next}, which {e}"));
    }
    let scheme = base.scheme_str().unwrap_or("http");
    let authority = base.authority().map(|a| a.as_str()).unwrap_or_default();
    let here = base.path();
    // RFC 3986 §5.2: another server, another path of this one, another query of this page, or a page beside it
    let whole = if next.starts_with("//") {
        format!("{scheme}:{next}")
    } else if next.starts_with('/') {
        format!("{scheme}://{authority}{next}")
    } else if next.starts_with('?') {
        format!("{scheme}://{authority}{here}{next}")
    } else if next.is_empty() || next.starts_with('#') {
        base.to_string()
    } else {
        let directory = here.rsplit_once('/').map_or("", |(directory, _)| directory);
        format!("{scheme}://{authority}{directory}/{next}")
    };
    address(&whole).map_err(|e| format!("it is sent on to {next}, which {e}"))
}

async fn once(asking: &Asking) -> Result<Page, String> {
    let url = &asking.url;
    let host = url.host().ok_or("the address names no host")?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let tls = url.scheme_str() == Some("https");
    let port = url.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let shown = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder().method(asking.method.clone()).uri(path);
    request = request.header(USER_AGENT, format!("choria/{}", build::VERSION));
    for (name, value) in &asking.headers {
        request = request.header(name, value);
    }
    if !asking.headers.iter().any(|(name, _)| *name == HOST) {
        request = request.header(HOST, shown);
    }
    let request = request.body(Full::new(Bytes::from(asking.body.clone()))).map_err(|e| e.to_string())?;
    if tls {
        let ca = asking.ca.clone();
        // files are read
        let connector = match ca {
            None => tokio::task::spawn_blocking(|| https::connector(Roots::System)).await,
            Some(file) => {
                let made = unless_it_hangs(&file.clone(), move || https::connector(Roots::File(&file))).await;
                Ok(made.unwrap_or_else(|| Err("its ca does not answer".into())))
            }
        };
        let connector = connector.map_err(|e| e.to_string())??;
        let (status, headers, body) = https::ask_whole(&connector, (bare, port), request, MOST).await?;
        return Ok(Page { status, headers, body, took: Duration::ZERO });
    }
    let stream = TcpStream::connect((bare, port)).await.map_err(|e| e.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    // ends with the answer: nothing else is asked of it
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = Limited::new(response.into_body(), MOST).collect().await.map_err(|e| e.to_string())?;
    Ok(Page { status, headers, body: body.to_bytes(), took: Duration::ZERO })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_one_is_sent_is_read_from_where_one_is() {
        let base = address("https://a.example/x/y?z=1").unwrap();
        for (next, expected) in [
            ("/b", "https://a.example/b"),
            ("c", "https://a.example/x/c"),
            ("http://b.example/", "http://b.example/"),
            ("//b.example:8080/x", "https://b.example:8080/x"),
            ("?p=2", "https://a.example/x/y?p=2"),
            ("#there", "https://a.example/x/y?z=1"),
            ("/x?u=//b.example", "https://a.example/x?u=//b.example"),
            ("/x?back=http://b.example/c", "https://a.example/x?back=http://b.example/c"),
            ("c?back=http://b.example/c", "https://a.example/x/c?back=http://b.example/c"),
            ("?back=http://b.example/c", "https://a.example/x/y?back=http://b.example/c"),
            ("//b.example/x?u=http://c.example", "https://b.example/x?u=http://c.example"),
            ("#http://b.example", "https://a.example/x/y?z=1"),
        ] {
            assert_eq!(resolved(&base, next).unwrap().to_string(), expected);
        }
        for next in ["file:///etc/passwd", "mailto:a@b.example", "javascript:x"] {
            assert!(resolved(&base, next).is_err(), "{next}");
        }
        assert!(address("ftp://a").is_err() && address("/x").is_err());
    }

    /// A server that answers so and so, and hands over what it was asked.
    async fn answering(answers: Vec<String>) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let mut asked = vec![];
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![];
                let whole = |request: &[u8]| {
                    let end = if request.starts_with(b"POST") { &b"a body"[..] } else { &b"\r\n\r\n"[..] };
                    request.ends_with(end)
                };
                while !whole(&request) {
                    let mut more = [0; 4096];
                    let read = stream.read(&mut more).await.unwrap();
                    assert!(read > 0);
                    request.extend_from_slice(&more[..read]);
                }
                asked.push(String::from_utf8(request).unwrap());
                let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        });
        (port, serving)
    }

    fn asking(port: u16, body: &str) -> Asking {
        Asking {
            url: address(&format!("http://127.0.0.1:{port}/first")).unwrap(),
            method: if body.is_empty() { Method::GET } else { Method::POST },
            headers: vec![(HeaderName::from_static("x-api-key"), HeaderValue::from_static("secret"))],
            body: body.as_bytes().to_vec(),
            ca: None,
            follows: true,
        }
    }

    #[tokio::test]
    async fn what_is_for_one_server_is_not_sent_to_another() {
        let limit = Duration::from_secs(10);
        let (other, others) = answering(vec!["200 OK".to_owned()]).await;
        let away = format!("302 Found\r\nLocation: http://127.0.0.1:{other}/away");
        let near = "302 Found\r\nLocation: /near".to_owned();
        let (port, ours) = answering(vec![near, away]).await;
        assert_eq!(page(asking(port, ""), limit).await.unwrap().status, StatusCode::OK);
        let (ours, others) = (ours.await.unwrap(), others.await.unwrap());
        assert!(ours.iter().all(|request| request.contains("secret")), "{ours:?}");
        assert!(others[0].starts_with("GET /away ") && !others[0].contains("secret"), "{others:?}");
        // a body stays here
        let (port, _) = answering(vec!["307 Away\r\nLocation: http://127.0.0.2:1/".to_owned()]).await;
        let told = page(asking(port, "a body"), limit).await.unwrap_err();
        assert!(told.contains("another server"), "{told}");
    }

    #[test]
    fn nobody_is_sent_on_to_where_others_read_along() {
        let mut one = asking(80, "");
        one.url = address("https://a.example/x").unwrap();
        for (next, well) in [("http://a.example/x", false), ("https://b.example/x", true)] {
            let told = sent_on(&mut one.clone(), address(next).unwrap(), StatusCode::FOUND);
            assert_eq!(told.is_ok(), well, "{told:?}");
        }
        sent_on(&mut one, address("https://a.example:444/").unwrap(), StatusCode::FOUND).unwrap();
        assert!(one.headers.is_empty());
        let mut two = asking(80, "a body");
        let next = address("http://127.0.0.1:80/y").unwrap();
        sent_on(&mut two, next, StatusCode::PERMANENT_REDIRECT).unwrap();
        assert_eq!((two.headers.len(), two.body.as_slice()), (1, b"a body".as_slice()));
    }

    #[test]
    fn servers_differ_by_scheme_host_and_port() {
        let of = |text: &str| server(&address(text).unwrap());
        assert_eq!(of("http://a.example/x"), of("http://A.example:80/y"));
        for other in ["https://a.example/x", "http://b.example/x", "http://a.example:81/x"] {
            assert_ne!(of("http://a.example/x"), of(other));
        }
    }
}
