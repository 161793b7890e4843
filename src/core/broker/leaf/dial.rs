//! From an address to a connection that its hub has let in.
//!
//! Runs on the remote's own thread, which may wait: every wait has an end, and looks whether
//! the broker stops. The hub is nobody until TLS has said who it is, so it is not
//! given more than two lines of patience.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls_pki_types::ServerName;

use super::hear::{PAUSE, pause_after};
use super::options::{HubAddress, LeafTls};
use crate::core::broker::outbound::write_all;
use crate::core::broker::tls::{Buffered, TlsSession};
use crate::core::nats::codec::Bounds;
use crate::core::nats::frame;
use crate::core::nats::leaf::hello::{HelloError, HubInfo};
use crate::core::nats::leaf::read::{self, Event, LeafError, Step};
use crate::core::security::tls_errors::told;

/// Time for each step: to connect, to be greeted, for TLS, to be let in.
const STEP: Duration = Duration::from_secs(5);
/// How often it is looked whether the broker stops.
const SLICE: Duration = Duration::from_millis(100);
/// Bytes of one read.
const READ: usize = 16 * 1024;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address.
    #[error("looking up {0} failed: {1}")]
    Name(HubAddress, std::io::Error),
    /// Nobody answers, or the connection broke.
    #[error("{0}")]
    Socket(#[from] std::io::Error),
    /// Nothing came in time.
    #[error("the hub did not {0} within {STEP:?}")]
    Late(&'static str),
    /// It closed.
    #[error("the hub closed the connection while it was to {0}")]
    Closed(&'static str),
    /// TLS failed.
    #[error("TLS with the hub failed: {}", told(.0))]
    Tls(rustls::Error),
    /// Our side of TLS.
    #[error("{0}")]
    Own(String),
    /// A hub without TLS, where we want it.
    #[error("the hub speaks no TLS; where that is meant, set .tls.disable = yes for this remote")]
    NoTls,
    /// A hub with TLS, where it is switched off.
    #[error("the hub demands TLS; remove .tls.disable of this remote")]
    WantsTls,
    /// Not JSON as it should be.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// Not the protocol.
    #[error(transparent)]
    Protocol(#[from] LeafError),
    /// A port for clients or for routes.
    #[error(
        "that is no port for leafs; ask for the hub's leafnode port, which is 7422 where nothing else is said"
    )]
    WrongPort,
    /// The same cluster name on both sides.
    #[error(
        "the hub's cluster is called '{0}', and this broker's too; give this one another name by \
         plugin.choria.network.gateway_name"
    )]
    SameCluster(String),
    /// The hub says why.
    #[error("the hub says: {0}")]
    Refused(String),
    /// The broker ends.
    #[error("the broker stops")]
    Stopping,
}

impl DialError {
    /// How long to keep away.
    pub fn pause(&self) -> Duration {
        match self {
            Self::SameCluster(_) => PAUSE,
            Self::Refused(text) => pause_after(text),
            _ => Duration::ZERO,
        }
    }
}

/// A connection that the hub has let in.
pub struct Dialed {
    /// Socket.
    pub stream: TcpStream,
    /// TLS.
    pub tls: Option<Box<dyn TlsSession>>,
    /// Where it leads.
    pub remote: SocketAddr,
    /// Plaintext behind the last INFO.
    pub input: Vec<u8>,
    /// Ciphertext that is no whole record yet.
    pub cipher: Vec<u8>,
    /// What the hub said, first and last.
    pub info: HubInfo,
}

/// What a connection is made with.
pub struct Dialing<'a> {
    /// Where to.
    pub address: &'a HubAddress,
    /// Name the hub's certificate may also have: of the configured hub that named this one.
    pub also_named: Option<&'a str>,
    /// TLS, unless switched off.
    pub tls: Option<&'a LeafTls>,
    /// Name of our cluster.
    pub cluster: &'a str,
    /// Makes the line with CONNECT of the first INFO.
    pub connect: &'a dyn Fn(&HubInfo) -> Result<Vec<u8>, String>,
    /// The broker stops.
    pub stop: &'a AtomicBool,
}

impl Dialing<'_> {
    /// Connects and logs in.
    ///
    /// # Errors
    /// [`DialError`].
    pub fn run(&self) -> Result<Dialed, DialError> {
        let mut wire = self.reach()?;
        let first = wire.info("say who it is", self.stop)?;
        // hubs that keep their addresses for themselves are known by the second INFO they announce
        if first.client_id == 0 || (first.leafnode_urls.is_none() && !first.info_on_connect) {
            return Err(DialError::WrongPort);
        }
        match (first.tls_required, self.tls) {
            (true, Some(tls)) => wire.secure(self.session(tls)?, self.stop)?,
            (true, None) => return Err(DialError::WantsTls),
            (false, Some(_)) => return Err(DialError::NoTls),
            (false, None) => {}
        }
        if !first.cluster.is_empty() && first.cluster == self.cluster {
            return Err(DialError::SameCluster(first.cluster));
        }
        wire.say(&(self.connect)(&first).map_err(DialError::Own)?)?;
        let mut info = first.clone();
        if first.info_on_connect {
            info = wire.info("let this broker in", self.stop)?;
        }
        // what only the first says
        if info.server_name.is_empty() {
            info.server_name = first.server_name;
        }
        if info.max_payload == 0 {
            info.max_payload = first.max_payload;
        }
        info.jetstream |= first.jetstream;
        let Wire { stream, tls, remote, plain, cipher } = wire;
        Ok(Dialed { stream, tls, remote, input: plain, cipher, info })
    }

    fn reach(&self) -> Result<Wire, DialError> {
        let HubAddress { host, port } = self.address;
        let found = (host.as_str(), *port).to_socket_addrs();
        let found = found.map_err(|error| DialError::Name(self.address.clone(), error))?;
        let mut last = std::io::Error::from(ErrorKind::AddrNotAvailable);
        for remote in found.take(8) {
            if self.stop.load(Ordering::Relaxed) {
                return Err(DialError::Stopping);
            }
            match TcpStream::connect_timeout(&remote, STEP) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(SLICE))?;
                    stream.set_write_timeout(Some(STEP))?;
                    return Ok(Wire { stream, tls: None, remote, plain: Vec::new(), cipher: Vec::new() });
                }
                Err(error) => last = error,
            }
        }
        Err(last.into())
    }

    /// A TLS session for the name this hub goes by.
    fn session(&self, tls: &LeafTls) -> Result<Box<dyn TlsSession>, DialError> {
        let config = (tls.config)().map_err(DialError::Own)?;
        // hubs name others by address, which no certificate has: those are known by the name that led there
        let is_address = self.address.host.parse::<std::net::IpAddr>().is_ok();
        let host = self.also_named.filter(|_| is_address).unwrap_or(&self.address.host);
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| DialError::Own(format!("'{host}' is no name a certificate can have")))?;
        Ok(Box::new(Buffered::client(config, name).map_err(DialError::Tls)?))
    }
}

/// A connection on the way.
struct Wire {
    stream: TcpStream,
    tls: Option<Box<dyn TlsSession>>,
    remote: SocketAddr,
    plain: Vec<u8>,
    cipher: Vec<u8>,
}

impl Wire {
    /// Waits for INFO, and answers what comes before it.
    fn info(&mut self, what: &'static str, stop: &AtomicBool) -> Result<HubInfo, DialError> {
        let until = Instant::now() + STEP;
        let bounds = Bounds { payload: 0, ..Bounds::default() };
        loop {
            let (used, said) = match read::next(&self.plain, &bounds)? {
                Step::Need(_) => {
                    self.more(what, until, stop)?;
                    continue;
                }
                Step::Event(event, used) => match event {
                    Event::Info(body) => (used, Some(HubInfo::decode(body)?)),
                    Event::Error(text) => {
                        return Err(DialError::Refused(String::from_utf8_lossy(text).into_owned()));
                    }
                    Event::Ping => (used, None),
                    _ => return Err(LeafError::UnknownOperation.into()),
                },
            };
            self.plain.drain(..used);
            match said {
                Some(info) => return Ok(info),
                None => self.say(frame::PONG)?,
            }
        }
    }

    /// Does the handshake. Nothing that was said before it is taken for said within it.
    fn secure(&mut self, mut session: Box<dyn TlsSession>, stop: &AtomicBool) -> Result<(), DialError> {
        if !self.plain.is_empty() {
            return Err(LeafError::UnknownOperation.into());
        }
        let mut hello = Vec::new();
        session.read(&mut [], &mut self.plain, &mut hello).map_err(DialError::Tls)?;
        self.stream.write_all(&hello)?;
        self.tls = Some(session);
        let until = Instant::now() + STEP;
        while self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            self.more("finish the TLS handshake", until, stop)?;
        }
        Ok(())
    }

    /// Reads once more.
    fn more(&mut self, what: &'static str, until: Instant, stop: &AtomicBool) -> Result<(), DialError> {
        let mut bytes = [0; READ];
        let count = loop {
            if stop.load(Ordering::Relaxed) {
                return Err(DialError::Stopping);
            }
            if Instant::now() >= until {
                return Err(DialError::Late(what));
            }
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(DialError::Closed(what)),
                Ok(count) => break count,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => return Err(error.into()),
                },
            }
        };
        let bytes = bytes.get(..count).unwrap_or_default();
        let Some(tls) = self.tls.as_deref_mut() else {
            self.plain.extend_from_slice(bytes);
            return Ok(());
        };
        self.cipher.extend_from_slice(bytes);
        let mut reply = Vec::new();
        let read = tls.read(&mut self.cipher, &mut self.plain, &mut reply);
        // an alert is worth a try
        let written = self.stream.write_all(&reply);
        let progress = read.map_err(DialError::Tls)?;
        written?;
        self.cipher.drain(..progress.used.min(self.cipher.len()));
        match progress.closed {
            true => Err(DialError::Closed(what)),
            false => Ok(()),
        }
    }

    fn say(&mut self, line: &[u8]) -> Result<(), DialError> {
        let mut out = line.to_vec();
        if let Some(tls) = self.tls.as_deref_mut() {
            out.clear();
            tls.write(&mut self.cipher, line, &mut out).map_err(DialError::Tls)?;
        }
        match write_all(&mut self.stream, &out)? {
            taken if taken == out.len() => Ok(()),
            _ => Err(DialError::Late("take what was sent")),
        }
    }
}
