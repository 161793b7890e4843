//! Web services of every mood.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::post;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::super::fixtures::question;
use super::*;
use crate::core::pki::{Ca, Kind, Options};

#[derive(Default)]
struct Service {
    connections: AtomicUsize,
    seen: Mutex<Vec<HashMap<String, String>>>,
}

/// Answers by the name of the node.
async fn answer(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    body: String,
) -> axum::response::Response {
    let headers = headers.iter().map(|(k, v)| (k.to_string(), v.to_str().unwrap().to_owned()));
    service.seen.lock().unwrap().push(headers.collect());
    let asked: Value = serde_json::from_str(&body).unwrap();
    match asked["identity"].as_str().unwrap() {
        "busy" => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "30")], "").into_response(),
        "down" => (StatusCode::SERVICE_UNAVAILABLE, "").into_response(),
        "broken" => (StatusCode::INTERNAL_SERVER_ERROR, "the CA\nis away").into_response(),
        "junk" => "hello".into_response(),
        "big" => "x".repeat(2 * MAX_ANSWER).into_response(),
        "slow" => std::future::pending().await,
        name => json!({"defer": true, "msg": name}).to_string().into_response(),
    }
}

/// Serves at a port of the system's choice; `per_connection` requests, then it hangs up.
async fn serve(service: Arc<Service>, tls: Option<tokio_rustls::TlsAcceptor>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let pages = axum::Router::new().route("/ask", post(answer)).with_state(service.clone());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            service.connections.fetch_add(1, Ordering::SeqCst);
            let pages = hyper_util::service::TowerToHyperService::new(pages.clone());
            let tls = tls.clone();
            tokio::spawn(async move {
                let http = hyper::server::conn::http1::Builder::new();
                match tls {
                    None => drop(http.serve_connection(TokioIo::new(stream), pages).await),
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            let _ = http.serve_connection(TokioIo::new(stream), pages).await;
                        }
                    }
                }
            });
        }
    });
    port
}

fn settings(url: String) -> Settings {
    Settings { helper_url: url, helper_timeout: Duration::from_secs(30), ..Settings::default() }
}

async fn said(http: &Http, name: &str) -> String {
    match http.ask(&question(name, &json!({}))).await {
        Ok(answer) => answer.msg,
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_service_says_what_nodes_become() {
    let service = Arc::new(Service::default());
    let port = serve(service.clone(), None).await;
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "s3cret\n").unwrap();
    let mut settings = settings(format!("http://127.0.0.1:{port}/ask"));
    settings.helper_token_file = token.clone();
    let http = Http::new(&settings).unwrap();
    for (name, end) in [
        ("n1", "n1"),
        ("busy", "the helper is busy: status 429 Too Many Requests, again in 30 s"),
        ("down", "the helper is busy: status 503 Service Unavailable"),
        ("broken", "the helper gave no answer: status 500 Internal Server Error: the CA is away"),
        ("junk", "the helper's answer cannot be read: it is no JSON object"),
        ("n2", "n2"),
    ] {
        assert_eq!(said(&http, name).await, end);
    }
    assert_eq!(service.connections.load(Ordering::SeqCst), 1, "connections are kept");
    assert!(said(&http, "big").await.contains("cannot be read"), "more than an answer is not read");
    std::fs::write(&token, "renewed").unwrap();
    assert_eq!(said(&http, "n3").await, "n3");
    let seen = service.seen.lock().unwrap();
    assert_eq!(seen[0]["authorization"], "Bearer s3cret");
    assert_eq!(seen.last().unwrap()["authorization"], "Bearer renewed");
    assert_eq!(seen[0]["host"], format!("127.0.0.1:{port}"));
    let ids: std::collections::BTreeSet<&String> =
        seen.iter().map(|seen| &seen["x-choria-request"]).collect();
    assert_eq!(ids.len(), seen.len());
    assert!(!format!("{http:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_service_that_is_slow_or_away_costs_its_time() {
    let port = serve(Arc::default(), None).await;
    let mut slow = settings(format!("http://127.0.0.1:{port}/ask"));
    slow.helper_timeout = Duration::from_millis(500);
    let http = Http::new(&slow).unwrap();
    assert_eq!(said(&http, "slow").await, "the helper gave no answer: it did not answer within 500ms");
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let away = Http::new(&settings(format!("http://127.0.0.1:{unused}/ask"))).unwrap();
    assert!(said(&away, "n1").await.starts_with("the helper cannot be asked: 127.0.0.1: "));
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_no_error() {
    let service = Arc::new(Service::default());
    let port = serve(service.clone(), None).await;
    let http = Http::new(&settings(format!("http://127.0.0.1:{port}/ask"))).unwrap();
    // a server that hangs up after one answer, without saying so
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rude = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            let mut read = vec![];
            while !read.ends_with(b"null}") {
                let mut some = [0; 4096];
                let length = stream.read(&mut some).await.unwrap();
                read.extend_from_slice(&some[..length]);
            }
            let body = r#"{"defer":true,"msg":"x"}"#;
            let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    });
    let impolite = Http::new(&settings(format!("http://127.0.0.1:{rude}/ask"))).unwrap();
    for _ in 0..5 {
        assert_eq!(said(&impolite, "n1").await, "x");
        assert_eq!(said(&http, "n1").await, "n1");
    }
    assert_eq!(count.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_token_file_that_hangs_costs_its_question_alone() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "secret").unwrap();
    let mut settings = settings("http://127.0.0.1:1/".into());
    settings.helper_token_file = file.clone();
    let http = Http::new(&settings).unwrap();
    // a pipe that nobody writes to
    std::fs::remove_file(&file).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let both = tokio::join!(said(&http, "n1"), said(&http, "n2"));
    for text in [both.0, both.1] {
        assert!(text.contains("helper_token_file: ") && text.contains("does not answer"), "{text}");
    }
    // whoever was left behind comes back
    drop(std::fs::OpenOptions::new().write(true).open(&file).unwrap());
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "secret").unwrap();
    let well = || async { said(&http, "n3").await.contains("127.0.0.1") };
    while !well().await {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn https_is_verified() {
    let dir = tempfile::tempdir().unwrap();
    let now = jiff::Timestamp::now().as_second();
    let ca = Ca::create(&dir.path().join("ca"), "Test CA", now).unwrap();
    let options = Options { loopback: true, ..Options::default() };
    let issued = ca.issue(Kind::Broker, "helper.example.net", &options, now).unwrap();
    let chain = crate::core::security::pem::certificates(issued.certificate_pem.as_bytes()).unwrap();
    let key = crate::core::security::pem::private_key(issued.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let port = serve(Arc::default(), Some(Arc::new(config).into())).await;
    let mut good = settings(format!("https://localhost:{port}/ask"));
    good.helper_ca = ca.certificate_file();
    assert_eq!(said(&Http::new(&good).unwrap(), "n1").await, "n1");
    let other = Ca::create(&dir.path().join("other"), "Other CA", now).unwrap();
    let stranger = Settings { helper_ca: other.certificate_file(), ..good };
    let error = said(&Http::new(&stranger).unwrap(), "n1").await;
    assert!(error.starts_with("the helper cannot be asked: localhost: "), "{error}");
}

#[test]
fn what_cannot_work_is_found_at_the_start() {
    let problem = |settings: Settings| Http::new(&settings).unwrap_err().to_string();
    for (url, text) in [
        ("ftp://x/", "neither http nor https"),
        ("/path", "is no URL"),
        ("http://u:p@x/", "holds a user name"),
        ("not a url", "is no URL"),
    ] {
        let error = problem(settings(url.into()));
        assert!(error.contains(text), "{url}: {error}");
    }
    let missing = Settings { helper_ca: "/nonexistent".into(), ..settings("https://x/".into()) };
    assert!(problem(missing).contains("helper_ca"));
    let missing = Settings { helper_token_file: "/nonexistent".into(), ..settings("http://x/".into()) };
    assert!(problem(missing).contains("helper_token_file"));
}
