//! One connection to a broker: one question at a time, each within its time.

use std::path::PathBuf;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    ApiVersionsRequest, RequestHeader, SaslAuthenticateRequest, SaslAuthenticateResponse,
    SaslHandshakeRequest,
};
use kafka_protocol::protocol::{Encodable, StrBytes, VersionRange};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::answers::{self, Answer, Malformed, Question};
use super::scram::{self, Hash, ScramError};
use crate::core::adapters::settings::{Login, Mechanism, Tls};
use crate::core::files::Anew;
use crate::core::security::https::{Roots, connector_showing};
use crate::core::security::tls_errors::{told_of, words};
use crate::core::security::web_service::is_here;
use crate::core::text::{hex, shortened};

/// Time until a broker can be asked something.
const OPENING: Duration = Duration::from_secs(15);
/// Time of one answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest password, in bytes.
const PASSWORD: u64 = 4096;

/// Why a broker cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("{server}: {reason}")]
    Unreachable { server: String, reason: String },
    #[error("{server} does not answer within {0:?}", PATIENCE)]
    Silent { server: String },
    #[error("{server} has closed the connection{hint}")]
    Closed { server: String, hint: &'static str },
    #[error(
        "the cluster sends us to {server}, which is not on this machine, without TLS: set kafka.tls to true, or to false where that is no matter"
    )]
    Exposed { server: String },
    #[error("{server} answers what cannot be read: {reason}")]
    Malformed { server: String, reason: Malformed },
    #[error("{server} answers with {bytes} bytes, {most} are read{hint}")]
    TooLong { server: String, bytes: u32, most: usize, hint: &'static str },
    #[error("{server} answers another question")]
    Another { server: String },
    #[error("{server} speaks versions {theirs} of {what}, here are {ours}")]
    Version { server: String, what: String, theirs: String, ours: String },
    #[error("a question to {server} is none: {reason}")]
    Question { server: String, reason: String },
    #[error("{server} lets nobody in by {mechanism}: it knows {known}")]
    Mechanism { server: String, mechanism: &'static str, known: String },
    #[error("{server} does not let {username} in: {reason}")]
    Login { server: String, username: String, reason: String },
    #[error("{server}: {source}")]
    Scram { server: String, source: ScramError },
    #[error("the password: {0}")]
    Password(String),
    /// What the cluster says, in words.
    #[error("{0}")]
    Said(String),
}

/// How brokers are reached.
pub(super) struct Access {
    tls: Tls,
    login: Option<(Login, Anew)>,
    client: StrBytes,
}

impl Access {
    pub(super) fn new(client: String, tls: Tls, login: Option<Login>) -> Access {
        let login = login.map(|login| {
            let file = Anew::new(login.password.clone(), PASSWORD);
            (login, file)
        });
        Access { tls, login, client: StrBytes::from_string(client) }
    }

    /// Whether files that are needed can be used, as far as they are there now.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some((_, file)) = &self.login {
            one_line(&file.read_now().map_err(|e| e.to_string())?, file)?;
        }
        match &self.tls {
            Tls::Yes { ca, certificate } => tls(ca.clone(), certificate.clone()).map(|_| ()),
            Tls::No | Tls::Here => Ok(()),
        }
    }
}

/// What TLS is spoken by; its files may be renewed, so it is made anew each time.
fn tls(ca: Option<PathBuf>, shown: Option<(PathBuf, PathBuf)>) -> Result<tokio_rustls::TlsConnector, String> {
    let roots = ca.as_deref().map_or(Roots::System, Roots::File);
    connector_showing(roots, shown.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path())))
}

/// The password in a file.
fn one_line(text: &[u8], file: &Anew) -> Result<Zeroizing<Vec<u8>>, String> {
    let word = text.strip_suffix(b"\n").unwrap_or(text);
    let word = word.strip_suffix(b"\r").unwrap_or(word);
    match word.is_empty() || word.iter().any(|byte| matches!(byte, b'\n' | b'\r' | 0)) {
        true => Err(format!("{} holds no password in one line", file.path().display())),
        false => Ok(Zeroizing::new(word.to_vec())),
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// A connection. After a fault it is of no use any more.
pub(super) struct Connection {
    server: String,
    stream: Box<dyn Stream>,
    client: StrBytes,
    /// Whether we said who we are.
    named: bool,
    count: i32,
    /// What the broker speaks: kinds of questions, their versions.
    spoken: Vec<(i16, VersionRange)>,
}

impl Connection {
    /// Connects, and says who we are where that is asked for.
    pub(super) async fn open(host: &str, port: u16, access: &Access) -> Result<Connection, Fault> {
        let server = format!("{host}:{port}");
        let opening = Connection::opened(host, port, &server, access);
        let late = || Fault::Unreachable {
            server: server.clone(),
            reason: format!("no connection within {OPENING:?}"),
        };
        timeout(OPENING, opening).await.unwrap_or_else(|_| Err(late()))
    }

    async fn opened(host: &str, port: u16, server: &str, access: &Access) -> Result<Connection, Fault> {
        let unreachable = |reason| Fault::Unreachable { server: server.to_owned(), reason };
        let shown = access.login.as_ref().is_some_and(|(login, _)| login.mechanism == Mechanism::Plain);
        if (access.tls == Tls::Here || shown && access.tls == Tls::No) && !is_here(host) {
            return Err(Fault::Exposed { server: server.to_owned() });
        }
        let stream = TcpStream::connect((host, port)).await.map_err(|e| unreachable(e.to_string()))?;
        stream.set_nodelay(true).map_err(|e| unreachable(e.to_string()))?;
        let stream: Box<dyn Stream> = match &access.tls {
            Tls::No | Tls::Here => Box::new(stream),
            Tls::Yes { ca, certificate } => {
                let (ca, certificate) = (ca.clone(), certificate.clone());
                let connector = tokio::task::spawn_blocking(move || tls(ca, certificate)).await;
                let connector =
                    connector.map_err(|e| e.to_string()).and_then(|made| made).map_err(unreachable)?;
                let name = ServerName::try_from(host.to_owned()).map_err(|e| unreachable(e.to_string()))?;
                let stream = connector.connect(name, stream).await;
                Box::new(stream.map_err(|e| unreachable(told_of(&e)))?)
            }
        };
        let mut connection = Connection {
            server: server.to_owned(),
            stream,
            client: access.client.clone(),
            named: false,
            count: 0,
            spoken: vec![],
        };
        connection.learn().await?;
        if let Some((login, file)) = &access.login {
            connection.log_in(login, file).await?;
            connection.named = true;
        }
        Ok(connection)
    }

    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Asks what is spoken there.
    async fn learn(&mut self) -> Result<(), Fault> {
        let answer = self.ask_in(&ApiVersionsRequest::default(), 0).await?;
        let range = |min, max| VersionRange { min, max };
        self.spoken = answer
            .api_keys
            .iter()
            .map(|key| (key.api_key, range(key.min_version, key.max_version)))
            .collect();
        match ResponseError::try_from_code(answer.error_code) {
            None => Ok(()),
            Some(error) => Err(self.unreachable(format!("it answers: {}", words(&error)))),
        }
    }

    async fn log_in(&mut self, login: &Login, file: &Anew) -> Result<(), Fault> {
        let mechanism = login.mechanism.name();
        let handshake = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
        let answer = self.ask(&handshake).await?;
        if answer.error_code != 0 {
            let known: Vec<&str> = answer.mechanisms.iter().map(|name| name.as_str()).collect();
            let known = shortened(&known.join(", "), 200);
            return Err(Fault::Mechanism { server: self.server.clone(), mechanism, known });
        }
        let text = file.read().await.map_err(|e| Fault::Password(e.to_string()))?;
        let password = one_line(&text, file).map_err(Fault::Password)?;
        let hash = match login.mechanism {
            Mechanism::Plain => {
                let mut words = Zeroizing::new(vec![0]);
                words.extend_from_slice(login.username.as_bytes());
                words.push(0);
                words.extend_from_slice(&password);
                self.show(login, Bytes::copy_from_slice(&words)).await?;
                return Ok(());
            }
            Mechanism::Scram256 => Hash::Sha256,
            Mechanism::Scram512 => Hash::Sha512,
        };
        let mut random = [0; 18];
        aws_lc_rs::rand::fill(&mut random)
            .map_err(|_| self.unreachable("no random numbers are to be had".into()))?;
        let server = self.server.clone();
        let wrong = move |source| Fault::Scram { server: server.clone(), source };
        let (begun, first) = scram::begin(hash, &login.username, &hex(&random));
        let answer = self.show(login, Bytes::from(first)).await?;
        // Thousands of rounds take their time.
        let proving = tokio::task::spawn_blocking(move || begun.prove(&password, &answer)).await;
        let (proven, second) = proving.map_err(|e| self.unreachable(e.to_string()))?.map_err(&wrong)?;
        let answer = self.show(login, Bytes::from(second)).await?;
        proven.check(&answer).map_err(wrong)
    }

    /// One message of a login, and the answer.
    async fn show(&mut self, login: &Login, message: Bytes) -> Result<Bytes, Fault> {
        let request = SaslAuthenticateRequest::default().with_auth_bytes(message);
        let answer: SaslAuthenticateResponse = self.ask(&request).await?;
        if answer.error_code == 0 {
            return Ok(answer.auth_bytes);
        }
        let code = ResponseError::try_from_code(answer.error_code);
        let reason = match answer.error_message.as_ref().map(|text| text.as_str()) {
            // Whoever was shown the password could say it, and this goes to a log.
            Some(text) if !text.is_empty() && login.mechanism != Mechanism::Plain => shortened(text, 200),
            _ => code.map_or_else(String::new, |code| words(&code)),
        };
        Err(Fault::Login { server: self.server.clone(), username: login.username.clone(), reason })
    }

    /// Asks something, in the latest version that both sides speak.
    pub(super) async fn ask<Q: Question>(&mut self, request: &Q) -> Result<Q::Answer, Fault> {
        let (min, max) = Q::Answer::SPOKEN;
        let theirs = self.spoken.iter().find(|(key, _)| *key == Q::KEY as i16).map(|(_, range)| range);
        let common = theirs.map(|theirs| theirs.intersect(&VersionRange { min, max }));
        match common.filter(|common| !common.is_empty()) {
            Some(common) => self.ask_in(request, common.max).await,
            None => Err(Fault::Version {
                server: self.server.clone(),
                what: format!("{:?}", Q::KEY),
                theirs: theirs
                    .map_or_else(|| "none".to_owned(), |range| format!("{}–{}", range.min, range.max)),
                ours: format!("{min}–{max}"),
            }),
        }
    }

    async fn ask_in<Q: Question>(&mut self, request: &Q, version: i16) -> Result<Q::Answer, Fault> {
        self.count = self.count.wrapping_add(1);
        let header = RequestHeader::default()
            .with_request_api_key(Q::KEY as i16)
            .with_request_api_version(version)
            .with_correlation_id(self.count)
            .with_client_id(Some(self.client.clone()));
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        let encoded = header.encode(&mut frame, Q::header_version(version));
        let encoded = encoded.and_then(|()| request.encode(&mut frame, version));
        let none = |reason: String| Fault::Question { server: self.server.clone(), reason };
        encoded.map_err(|e| none(e.to_string()))?;
        let length = i32::try_from(frame.len() - 4).map_err(|_| none("it is too long".to_owned()))?;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        let talk = async {
            self.stream.write_all(&frame).await?;
            self.stream.flush().await?;
            self.stream.read_u32().await
        };
        let bytes = match timeout(PATIENCE, talk).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => return Err(self.ended(&error)),
            Err(_) => return Err(Fault::Silent { server: self.server.clone() }),
        };
        let most = Q::Answer::MOST;
        let length = usize::try_from(bytes).ok().filter(|length| *length <= most).ok_or_else(|| {
            // An alert of TLS, read as a length.
            let hint = if bytes >> 8 == 0x0015_0303 { ": it speaks TLS, set kafka.tls" } else { "" };
            Fault::TooLong { server: self.server.clone(), bytes, most, hint }
        })?;
        let mut text = vec![];
        let mut reading = (&mut self.stream).take(length as u64);
        match timeout(PATIENCE, reading.read_to_end(&mut text)).await {
            Ok(Ok(read)) if read == length => {}
            Ok(Ok(_)) => return Err(self.closed()),
            Ok(Err(error)) => return Err(self.ended(&error)),
            Err(_) => return Err(Fault::Silent { server: self.server.clone() }),
        }
        let mut text = Bytes::from(text);
        let number = text.split_to(text.len().min(4));
        if number[..] != self.count.to_be_bytes() {
            return Err(Fault::Another { server: self.server.clone() });
        }
        answers::read(&text, version)
            .map_err(|reason| Fault::Malformed { server: self.server.clone(), reason })
    }

    fn unreachable(&self, reason: String) -> Fault {
        Fault::Unreachable { server: self.server.clone(), reason }
    }

    fn ended(&self, error: &std::io::Error) -> Fault {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.closed(),
            _ => self.unreachable(told_of(error)),
        }
    }

    /// Brokers close connections of whom they do not want to talk to.
    fn closed(&self) -> Fault {
        let hint = match self.spoken.is_empty() {
            true => ": it may speak TLS, see kafka.tls",
            false if !self.named => ": it may want a login, see kafka.sasl",
            false => "",
        };
        Fault::Closed { server: self.server.clone(), hint }
    }
}
