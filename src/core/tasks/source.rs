//! Where tasks come from: a Puppet Server, or our own server of files, by the same addresses
//! and with this process's own certificate (spec 07 §§A4.1, A6.1).

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::TaskName;
use super::metadata::{Listed, Task};
use crate::core::build;
use crate::core::config::{Config, Environment, Origin};
use crate::core::connection::{ServerUrl, SrvResolver, srv_domain};
use crate::core::security::tls_errors;
use crate::core::text::shortened;

/// Longest wait for a connection, for an answer, and for more of it.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longest wait for the beginning of a file: a server has so many places, and whoever waits for one keeps its turn.
const PLACE: Duration = Duration::from_secs(600);
/// Longest wait for all of an answer that is no file.
const WHOLE: Duration = Duration::from_secs(60);
/// How often a busy server is asked, and the shortest time between.
const TRIES: usize = 8;
const PAUSE: Duration = Duration::from_millis(500);
/// Largest answer that is no file.
const MOST: usize = 8 << 20;
/// Bytes of what a server says of its refusal.
const SAID: usize = 2048;

/// What went wrong with a server.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// None can be reached.
    #[error("the server of tasks {server} cannot be reached: {reason}")]
    Unreachable {
        /// Which.
        server: String,
        /// Why.
        reason: String,
    },
    /// It does not have that, or does not give it.
    #[error("the server of tasks {server} answers {status} for {target}{said}")]
    Refused {
        /// Which.
        server: String,
        /// What it says.
        status: StatusCode,
        /// What it was asked.
        target: String,
        /// In its words.
        said: String,
    },
    /// It keeps whoever asks waiting.
    #[error("the server of tasks {server} did not begin to answer for {seconds} s")]
    Silent {
        /// Which.
        server: String,
        /// How long.
        seconds: u64,
    },
    /// It stopped in the middle.
    #[error("the server of tasks {server} broke off: {reason}")]
    Broken {
        /// Which.
        server: String,
        /// Why.
        reason: String,
    },
    /// What it says is not what such servers say.
    #[error("the answer of the server of tasks {server} is not understood: {reason}")]
    Answer {
        /// Which.
        server: String,
        /// Why.
        reason: String,
    },
    /// There is no such task.
    #[error("there is no task {0}; choria tasks list shows those there are")]
    Unknown(TaskName),
}

impl SourceError {
    /// Whether it is only busy, and asked again later.
    pub fn is_busy(&self) -> bool {
        matches!(
            self,
            SourceError::Silent { .. } | SourceError::Refused { status: StatusCode::SERVICE_UNAVAILABLE, .. }
        )
    }
}

/// The servers that have tasks, in the order they are asked.
#[derive(Debug, Clone)]
pub struct Source {
    tls: Arc<ClientConfig>,
    servers: Vec<ServerUrl>,
}

impl Source {
    /// As configured, else by SRV records, else `puppet`.
    pub async fn find(config: &Config, env: &dyn Environment, tls: Arc<ClientConfig>) -> Source {
        let port = u16::try_from(config.choria_puppetserver_port).unwrap_or(8140);
        let configured = ["plugin.choria.puppetserver_host", "plugin.choria.puppetserver_port"];
        let is_set = configured.iter().any(|key| config.origin(key) != Origin::Default);
        let mut servers = vec![];
        if !is_set
            && config.choria_use_srv
            && let (Some(domain), Ok(resolver)) = (srv_domain(config, env), SrvResolver::system())
        {
            let found = resolver.first(&[format!("_x-puppet._tcp.{domain}")]).await;
            servers = found
                .inspect_err(|e| tracing::warn!("looking for the server of tasks: {e}; plugin.choria.puppetserver_host names it without them"))
                .unwrap_or_default();
        }
        if servers.is_empty() {
            let host = Some(config.choria_puppetserver_host.as_str()).filter(|host| !host.is_empty());
            servers.push(ServerUrl::nats(host.unwrap_or("puppet"), port));
        }
        Source { tls, servers }
    }

    /// A connection to the first that can be reached.
    ///
    /// # Errors
    /// None can.
    pub async fn connect(&self) -> Result<Connection, SourceError> {
        let mut last = None;
        for server in &self.servers {
            let shown = format!("{}:{}", server.host(), server.port());
            match tokio::time::timeout(PATIENCE, connect(&self.tls, server)).await {
                Ok(Ok(sender)) => return Ok(Connection { sender, server: shown }),
                Ok(Err(reason)) => last = Some(SourceError::Unreachable { server: shown, reason }),
                Err(_) => {
                    let reason = format!("it did not answer within {} s", PATIENCE.as_secs());
                    last = Some(SourceError::Unreachable { server: shown, reason });
                }
            }
        }
        let none = || SourceError::Unreachable { server: "?".to_owned(), reason: "none is known".to_owned() };
        Err(last.unwrap_or_else(none))
    }

    /// What is at a path; asked again of a server that is busy, as one person may have many connections to it at a time.
    async fn text(&self, target: &str) -> Result<(Connection, Vec<u8>), SourceError> {
        let mut tries = 1..=TRIES;
        loop {
            tries.next();
            let mut connection = self.connect().await?;
            match connection.text(target).await {
                Err(SourceError::Refused { status: StatusCode::SERVICE_UNAVAILABLE, .. })
                    if !tries.is_empty() =>
                {
                    tokio::time::sleep(PAUSE.mul_f64(1.0 + fastrand::f64())).await;
                }
                Err(e) => return Err(e),
                Ok(text) => return Ok((connection, text)),
            }
        }
    }

    /// All tasks of an environment, sorted by name.
    ///
    /// # Errors
    /// The server.
    pub async fn list(&self, environment: &str) -> Result<Vec<Listed>, SourceError> {
        let target = format!("/puppet/v3/tasks?environment={}", escaped(environment));
        let (connection, text) = self.text(&target).await?;
        let mut found: Vec<Listed> = read(&text).map_err(|e| connection.answer(e))?;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// What is known of a task.
    ///
    /// # Errors
    /// The server; [`SourceError::Unknown`].
    pub async fn task(&self, name: &TaskName, environment: &str) -> Result<Task, SourceError> {
        let (module, task) = (name.module(), name.task());
        let target = format!("/puppet/v3/tasks/{module}/{task}?environment={}", escaped(environment));
        let (connection, text) = self.text(&target).await.map_err(|e| match e {
            // where it is the environment that is not there, the server says so
            SourceError::Refused { status: StatusCode::NOT_FOUND, said, .. }
                if !said.contains("find environment") =>
            {
                SourceError::Unknown(name.clone())
            }
            other => other,
        })?;
        read(&text).map_err(|e| connection.answer(e))
    }
}

/// An answer; of a member that stands there twice the last counts.
fn read<T: serde::de::DeserializeOwned>(text: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(text).and_then(serde_json::from_value)
}

/// What a server says of itself, in its words: Puppet Server says some of it in JSON.
fn in_words(said: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Said {
        msg: String,
    }
    match serde_json::from_slice::<Said>(said) {
        Ok(said) => said.msg,
        Err(_) => String::from_utf8_lossy(said).into_owned(),
    }
}

/// Letters, digits and `_` stand for themselves.
fn escaped(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

async fn connect(
    tls: &Arc<ClientConfig>,
    server: &ServerUrl,
) -> Result<http1::SendRequest<http_body_util::Empty<Bytes>>, String> {
    let told = |e: &(dyn std::error::Error + 'static)| tls_errors::told_of(e);
    let name = ServerName::try_from(server.host().to_owned()).map_err(|e| told(&e))?;
    let stream = TcpStream::connect((server.host(), server.port())).await.map_err(|e| told(&e))?;
    let stream = TlsConnector::from(tls.clone()).connect(name, stream).await.map_err(|e| told(&e))?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| told(&e))?;
    // ends with the last answer that is wanted
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

/// A connection to a server; one thing is asked after the other.
pub struct Connection {
    sender: http1::SendRequest<http_body_util::Empty<Bytes>>,
    server: String,
}

/// A file as it comes.
pub struct Body {
    incoming: Incoming,
    server: String,
}

impl Connection {
    fn answer(&self, e: impl std::fmt::Display) -> SourceError {
        SourceError::Answer { server: self.server.clone(), reason: e.to_string() }
    }

    /// Asks for a file by its path with its query, and waits for a place where the server is busy.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn file(&mut self, target: &str) -> Result<Body, SourceError> {
        self.get(target, "application/octet-stream", PLACE).await
    }

    /// Asks for a path with its query, and waits so long for the beginning. There are no redirects: what is not 200
    /// is refused.
    async fn get(&mut self, target: &str, accept: &str, patience: Duration) -> Result<Body, SourceError> {
        let server = self.server.clone();
        let broken = |reason: String| SourceError::Broken { server: server.clone(), reason };
        let request = Request::get(target)
            .header(HOST, &server)
            .header(USER_AGENT, format!("Choria version {} http://choria.io", build::VERSION))
            .header(ACCEPT, accept)
            .body(http_body_util::Empty::new())
            .map_err(|e| broken(e.to_string()))?;
        let sender = &mut self.sender;
        let asked = async {
            sender.ready().await?;
            sender.send_request(request).await
        };
        let slow = |_| SourceError::Silent { server: server.clone(), seconds: patience.as_secs() };
        let answered = tokio::time::timeout(patience, asked).await.map_err(slow)?;
        let response = answered.map_err(|e| broken(tls_errors::told_of(&e)))?;
        let status = response.status();
        let mut body = Body { incoming: response.into_body(), server: server.clone() };
        if status == StatusCode::OK {
            return Ok(body);
        }
        let said = tokio::time::timeout(PATIENCE, body.collect(SAID)).await;
        let said = said.ok().and_then(Result::ok).unwrap_or_default();
        let said = shortened(in_words(&said).trim(), 200);
        let said = if said.is_empty() { said } else { format!(": {said}") };
        Err(SourceError::Refused { server, status, target: target.to_owned(), said })
    }

    async fn text(&mut self, target: &str) -> Result<Vec<u8>, SourceError> {
        let server = self.server.clone();
        let whole = async {
            let mut body = self.get(target, "application/json", PATIENCE).await?;
            body.collect(MOST).await
        };
        // however steadily it drips
        let slow = |_| {
            let reason = format!("its answer was not whole after {} s", WHOLE.as_secs());
            SourceError::Broken { server, reason }
        };
        tokio::time::timeout(WHOLE, whole).await.map_err(slow)?
    }
}

impl Body {
    /// More of it; nothing at its end.
    ///
    /// # Errors
    /// [`SourceError::Broken`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        let broken = |reason: String| SourceError::Broken { server: self.server.clone(), reason };
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.incoming.frame()).await;
            let frame = frame.map_err(|_| broken(format!("nothing came for {} s", PATIENCE.as_secs())))?;
            match frame.transpose().map_err(|e| broken(tls_errors::told_of(&e)))? {
                None => return Ok(None),
                // what is no data is of no interest
                Some(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// All of it.
    async fn collect(&mut self, most: usize) -> Result<Vec<u8>, SourceError> {
        let mut all = vec![];
        while let Some(piece) = self.next().await? {
            if all.len() + piece.len() > most {
                let reason = format!("it is larger than {most} bytes");
                return Err(SourceError::Answer { server: self.server.clone(), reason });
            }
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }
}
