//! Our own server of tasks: the addresses of a Puppet Server, of directories of modules, for
//! whoever shows a certificate of the network's CA (spec 07 §A7).

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
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
use tokio_rustls::server::TlsStream;

use super::TaskName;
use super::library::{Library, LibraryError, USUAL, refusal};
use crate::core::log::RefusalLog;
use crate::core::security::Certificate;
use crate::core::web::Doors;

/// Connections that have not shown a certificate yet.
const STRANGERS: Doors = Doors {
    connections: 256,
    of_this_machine: 32,
    waiting: 2048,
    waiting_of_one: 512,
    grace: Duration::from_millis(500),
};
/// Connections of those who have, at a time, of one name, and those that wait; more are closed.
const CONNECTIONS: usize = 512;
const OF_ONE: u32 = 16;
const WAITING: usize = 2048;
/// Those without a place that are told so at a time.
const TOLD: usize = 64;
/// From accepting a connection to its first request, and between two.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long somebody who has shown a certificate may begin requests.
const BELIEVED: Duration = Duration::from_secs(60);
/// From showing a certificate to the last byte: a large file on a slow line takes its time.
/// As long as nodes let it take.
const LONGEST: Duration = Duration::from_secs(6 * 3600);
/// Request line and headers, together.
const REQUEST: usize = 16 * 1024;
/// Bytes of a file that are held at a time.
const PIECE: usize = 64 * 1024;

/// Serves a library, for ever.
pub async fn serve(listener: TcpListener, tls: Arc<ServerConfig>, library: Arc<Library>) {
    let server = Arc::new(Server {
        acceptor: TlsAcceptor::from(tls),
        library,
        places: Semaphore::new(CONNECTIONS),
        told: Semaphore::new(TOLD),
        members: Mutex::default(),
        log: RefusalLog::default(),
    });
    let stranger = |stream, peer: IpAddr| {
        let server = server.clone();
        async move {
            match server.handshake(stream).await {
                // whoever is known keeps no place of those who are not
                Ok((stream, name)) => {
                    drop(tokio::spawn(async move { server.member(stream, peer, name).await }))
                }
                Err(reason) => server.log.note_of("tasks_stranger", &peer.to_string(), || {
                    tracing::info!(%peer, "a connection ended: {reason}");
                }),
            }
        }
    };
    STRANGERS.open(listener, stranger).await;
}

/// What all connections share.
struct Server {
    acceptor: TlsAcceptor,
    library: Arc<Library>,
    places: Semaphore,
    /// Those who are told that there is no place.
    told: Semaphore,
    /// Connections of each certificate's names.
    members: Mutex<HashMap<String, u32>>,
    log: RefusalLog,
}

/// A connection of somebody that is counted.
struct Counted<'a> {
    server: &'a Server,
    name: String,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let mut members = self.server.members.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = members.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                members.remove(&self.name);
            }
        }
    }
}

impl Server {
    /// Who it is that connects.
    async fn handshake(&self, stream: TcpStream) -> Result<(TlsStream<TcpStream>, String), String> {
        let accepted = tokio::time::timeout(PATIENCE, self.acceptor.accept(stream)).await;
        let stream = accepted.map_err(|_| "it said nothing".to_owned())?.map_err(|e| e.to_string())?;
        // asked for by the handshake, and verified where there is one
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let shown = shown.ok_or("it shows no certificate")?;
        let certificate = Certificate::parse(shown).ok_or("its certificate cannot be read")?;
        let name = certificate.names().next().ok_or("its certificate has no name")?.to_owned();
        Ok((stream, name))
    }

    fn count(&self, name: &str) -> Result<Counted<'_>, String> {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if members.values().map(|count| *count as usize).sum::<usize>() >= CONNECTIONS + WAITING {
            return Err("too many connections wait, ask again later".to_owned());
        }
        let count = members.entry(name.to_owned()).or_default();
        if *count >= OF_ONE {
            return Err(format!(
                "{OF_ONE} connections of {name} are open, which are all it may have: ask again later"
            ));
        }
        *count += 1;
        Ok(Counted { server: self, name: name.to_owned() })
    }

    async fn member(&self, stream: TlsStream<TcpStream>, peer: IpAddr, name: String) {
        let ended = match self.count(&name) {
            Ok(_counted) => {
                let Ok(_place) = self.places.acquire().await else { return };
                match tokio::time::timeout(LONGEST, self.connection(stream, &name)).await {
                    Ok(Ok(())) => return,
                    Ok(Err(reason)) => reason,
                    Err(_) => format!("it took longer than {} s", LONGEST.as_secs()),
                }
            }
            Err(refused) => {
                self.refuse(stream, &refused).await;
                refused
            }
        };
        self.log.note_of("tasks_connection", &name, || {
            tracing::info!(%peer, name, "a connection ended: {ended}");
        });
    }

    /// Tells who has too many why it is not served; those who are told are bounded, too.
    async fn refuse(&self, stream: TlsStream<TcpStream>, why: &str) {
        let Ok(_told) = self.told.try_acquire() else { return };
        let service = service_fn(move |_: Request<hyper::body::Incoming>| async move {
            let mut response = told(StatusCode::SERVICE_UNAVAILABLE, &json!({"msg": why}));
            let headers = response.headers_mut();
            headers.insert(hyper::header::CONNECTION, hyper::header::HeaderValue::from_static("close"));
            Ok::<_, Infallible>(response)
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .max_buf_size(REQUEST)
            .serve_connection(TokioIo::new(stream), service);
        let _ = tokio::time::timeout(PATIENCE, connection).await;
    }

    async fn connection(&self, stream: TlsStream<TcpStream>, name: &str) -> Result<(), String> {
        let service = service_fn(move |request: Request<hyper::body::Incoming>| async move {
            Ok::<_, Infallible>(answer(request, self, name).await)
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .max_buf_size(REQUEST)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return ended.map_err(|e| e.to_string()),
            () = tokio::time::sleep(BELIEVED) => {}
        }
        // who goes on asking shows a certificate again, which may be revoked by now
        connection.as_mut().graceful_shutdown();
        connection.await.map_err(|e| e.to_string())
    }
}

async fn answer(request: Request<hyper::body::Incoming>, server: &Server, name: &str) -> Response<Body> {
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
    let library = server.library.clone();
    let found = tokio::task::spawn_blocking(move || asked.find(&library)).await;
    match found {
        Ok(Ok(Found::Told(value))) => told(StatusCode::OK, &value),
        Ok(Ok(Found::File(file, size))) => content(file, size),
        Ok(Err(e)) => {
            if !matches!(e, LibraryError::Absent(_)) {
                server.log.note_of("tasks_file", name, || tracing::warn!("{e}"));
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
