//! A peer that speaks to the broker by the byte, over TLS with a certificate.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use choria::core::pki::Ca;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

use crate::network::{Caller, Network};
use crate::process::PATIENCE;
use crate::wire::provider;

/// A connection that has said CONNECT.
pub struct Raw {
    pub stream: StreamOwned<ClientConnection, TcpStream>,
    read: Vec<u8>,
}

/// A socket to the broker from an address of this machine.
pub fn socket_from(from: &str, to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let from = SocketAddr::new(from.parse().expect("an address"), 0);
    socket.bind(&from.into()).expect("an address of loopback");
    socket.connect(&to.into()).expect("the broker listens");
    socket.into()
}

/// The TLS of a caller, to be used for many connections.
pub fn tls(caller: &Caller) -> Arc<ClientConfig> {
    provider(&caller.config, &caller.name).client_tls().expect("TLS")
}

/// The TLS of somebody without a certificate, who knows the CA.
pub fn tls_of(ca: &Ca) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.certificate_pem().as_bytes()) {
        roots.add(certificate.expect("PEM")).expect("a CA");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(config.expect("versions").with_root_certificates(roots).with_no_client_auth())
}

impl Raw {
    /// A connection by somebody's certificate.
    pub fn connect(network: &Network, caller: &Caller) -> Raw {
        let mut raw = Raw::open(network.address(), tls(caller), "");
        raw.sync();
        raw
    }

    /// Says CONNECT with these further options, and does not wait for anything.
    pub fn open(address: SocketAddr, tls: Arc<ClientConfig>, options: &str) -> Raw {
        Raw::over(TcpStream::connect(address).expect("the broker listens"), tls, options)
    }

    /// The same over a socket that is connected.
    pub fn over(mut socket: TcpStream, tls: Arc<ClientConfig>, options: &str) -> Raw {
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        socket.set_write_timeout(Some(PATIENCE)).expect("a socket");
        let mut byte = [0];
        while byte != *b"\n" {
            socket.read_exact(&mut byte).expect("INFO");
        }
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(tls, name).expect("TLS");
        let mut raw = Raw { stream: StreamOwned::new(session, socket), read: Vec::new() };
        raw.send(format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true{options}}}\r\n"
        ));
        raw
    }

    /// Sends; whether the broker takes it shows later.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.try_send(bytes);
    }

    /// Sends, or says that the broker has closed.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// Gives up writing after so long: for peers that do not read.
    pub fn impatient(&mut self, time: Duration) {
        self.stream.sock.set_write_timeout(Some(time)).expect("a socket");
    }

    /// Sends PING and returns what came before its PONG; `None` when the broker has closed.
    pub fn try_sync(&mut self) -> Option<String> {
        self.try_send("PING\r\n").ok()?;
        self.until("PONG\r\n")
    }

    /// The same of a connection that lives.
    #[track_caller]
    pub fn sync(&mut self) -> String {
        self.try_sync().expect("a connection that lives")
    }

    /// What comes up to a text, without it; `None` when the broker has closed.
    pub fn until(&mut self, text: &str) -> Option<String> {
        let begin = Instant::now();
        loop {
            if let Some(place) = memchr::memmem::find(&self.read, text.as_bytes()) {
                let rest = self.read.split_off(place + text.len());
                let mut found = std::mem::replace(&mut self.read, rest);
                found.truncate(place);
                return Some(String::from_utf8_lossy(&found).into_owned());
            }
            let mut piece = [0; 16 * 1024];
            match self.stream.read(&mut piece) {
                Ok(0) => return None,
                Ok(count) => self.read.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("waited {:?} for {text:?}", begin.elapsed());
                }
                Err(_) => return None,
            }
            // the broker's own pings
            while let Some(place) = memchr::memmem::find(&self.read, b"PING\r\n") {
                self.read.drain(place..place + 6);
                self.send("PONG\r\n");
            }
        }
    }
}
