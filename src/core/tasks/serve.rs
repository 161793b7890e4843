//! Our own server of tasks: the addresses of a Puppet Server, of directories of modules, for
//! whoever shows a certificate of the network's CA (spec 07 §A7).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::TaskName;
use super::library::{Library, LibraryError, USUAL, refusal};

/// Connections at a time; more wait until one of these ends.
const CONNECTIONS: usize = 512;
/// From accepting a connection to its first request, and between two.
const PATIENCE: Duration = Duration::from_secs(10);
/// From accepting a connection to its last byte.
const LONGEST: Duration = Duration::from_secs(600);
/// Request line and headers, together.
const REQUEST: usize = 16 * 1024;
/// Bytes of a file that are held at a time.
const PIECE: usize = 64 * 1024;

/// Serves a library, for ever.
pub async fn serve(listener: TcpListener, tls: Arc<ServerConfig>, library: Arc<Library>) {
    let acceptor = TlsAcceptor::from(tls);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (acceptor, library) = (acceptor.clone(), library.clone());
        tokio::spawn(async move {
            let _place = place;
            match tokio::time::timeout(LONGEST, connection(stream, &acceptor, library)).await {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => tracing::info!(%peer, "a connection ended: {reason}"),
                Err(_) => {
                    tracing::warn!(%peer, "a connection took longer than {} s and was closed", LONGEST.as_secs())
                }
            }
        });
    }
}

async fn connection(stream: TcpStream, acceptor: &TlsAcceptor, library: Arc<Library>) -> Result<(), String> {
    let accepted = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await;
    let stream = accepted.map_err(|_| "it said nothing".to_owned())?.map_err(|e| e.to_string())?;
    // asked for by the handshake, and verified where there is one
    if stream.get_ref().1.peer_certificates().is_none_or(<[_]>::is_empty) {
        return Err("it shows no certificate".to_owned());
    }
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let library = library.clone();
        async move { Ok::<_, Infallible>(answer(request, library).await) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(REQUEST)
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(|e| e.to_string())
}

async fn answer(request: Request<hyper::body::Incoming>, library: Arc<Library>) -> Response<Body> {
    if request.method() != Method::GET {
        return told(StatusCode::METHOD_NOT_ALLOWED, &json!({"msg": "this server answers GET alone"}));
    }
    let Some(asked) = Asked::of(request.uri().path(), request.uri().query().unwrap_or_default()) else {
        return told(
            StatusCode::NOT_FOUND,
            &json!({"msg": "this server has /puppet/v3/tasks and /puppet/v3/file_content"}),
        );
    };
    // directories may hang
    let found = tokio::task::spawn_blocking(move || asked.find(&library)).await;
    match found {
        Ok(Ok(Found::Told(value))) => told(StatusCode::OK, &value),
        Ok(Ok(Found::File(file, size))) => content(file, size),
        Ok(Err(e)) => {
            if !matches!(e, LibraryError::Absent(_)) {
                tracing::warn!("{e}");
            }
            let (status, value) = refusal(&e);
            told(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &value)
        }
        Err(_) => told(
            StatusCode::INTERNAL_SERVER_ERROR,
            &json!({"msg": "a fault of this server, its log says more"}),
        ),
    }
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    List { environment: String },
    Task { environment: String, name: TaskName },
    File { environment: String, path: String },
}

enum Found {
    Told(Value),
    File(std::fs::File, u64),
}

impl Asked {
    fn of(path: &str, query: &str) -> Option<Asked> {
        let decoded =
            |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().ok().map(Into::into);
        let environment = query.split('&').find_map(|pair| pair.strip_prefix("environment="));
        let environment: String = environment.map_or(Some(USUAL.to_owned()), decoded)?;
        let path: String = decoded(path.strip_prefix("/puppet/v3/")?)?;
        if path == "tasks" {
            return Some(Asked::List { environment });
        }
        if let Some(path) = path.strip_prefix("file_content/") {
            return Some(Asked::File { environment, path: path.to_owned() });
        }
        let (module, task) = path.strip_prefix("tasks/")?.split_once('/')?;
        let name = TaskName::parse(&format!("{module}::{task}")).ok()?;
        Some(Asked::Task { environment, name })
    }

    fn find(&self, library: &Library) -> Result<Found, LibraryError> {
        match self {
            Asked::List { environment } => Ok(Found::Told(json!(library.list(environment)))),
            Asked::Task { environment, name } => Ok(Found::Told(json!(library.task(environment, name)?))),
            Asked::File { environment, path } => {
                let file = std::fs::File::open(library.file(environment, path)?)?;
                let size = file.metadata()?.len();
                Ok(Found::File(file, size))
            }
        }
    }
}

fn told(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}

/// A file, in pieces.
fn content(file: std::fs::File, size: u64) -> Response<Body> {
    let file = tokio::fs::File::from_std(file).take(size);
    let pieces = futures::stream::try_unfold(file, |mut file| async move {
        let mut piece = vec![0; PIECE];
        let read = file.read(&mut piece).await?;
        piece.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then_some((piece, file)))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, size.into());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_a_puppet_server() {
        let production = || "production".to_owned();
        let task = |name: &str| TaskName::parse(name).unwrap();
        for (path, query, asked) in [
            ("/puppet/v3/tasks", "environment=production", Some(Asked::List { environment: production() })),
            ("/puppet/v3/tasks", "x=1&environment=te%73t", Some(Asked::List { environment: "test".into() })),
            (
                "/puppet/v3/tasks/demo/init",
                "",
                Some(Asked::Task { environment: production(), name: task("demo") }),
            ),
            (
                "/puppet/v3/file_content/modules/demo/a%20b",
                "",
                Some(Asked::File { environment: production(), path: "modules/demo/a b".into() }),
            ),
            ("/puppet/v3/tasks/demo", "", None),
            ("/puppet/v3/tasks/demo/..", "", None),
            ("/puppet/v3/catalog/x", "", None),
            ("/", "", None),
            ("/puppet/v3/tasks/%ff/x", "", None),
        ] {
            assert_eq!(Asked::of(path, query), asked, "{path}");
        }
    }

    #[test]
    fn fuzz_addresses() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("demo/tasks")).unwrap();
        std::fs::write(dir.path().join("secret"), "s").unwrap();
        let library = Library::new([dir.path().to_owned()], None);
        bolero::check!().with_iterations(20_000).for_each(|bytes: &[u8]| {
            let path = format!("/puppet/v3/file_content/tasks/demo/{}", String::from_utf8_lossy(bytes));
            if let Some(asked) = Asked::of(&path, "") {
                assert!(asked.find(&library).is_err(), "{path}");
            }
        });
    }
}
