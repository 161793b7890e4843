//! A certificate authority, a raw client, and brokers to talk to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::core::admission::{X509Authenticator, X509Options};
use crate::core::broker::{Broker, Limits, Listener, Options};

/// Time after which a condition is not coming true any more.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub type Issued = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Ca {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "test ca");
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    pub fn issue(&self, name: &str) -> Issued {
        let mut params = CertificateParams::new(vec![name.to_owned(), "localhost".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }

    pub fn server(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), provider.clone())
            .allow_unauthenticated()
            .build()
            .unwrap();
        let (chain, key) = self.issue("broker.example.net");
        Arc::new(
            ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_client_cert_verifier(verifier)
                .with_single_cert(chain, key)
                .unwrap(),
        )
    }

    /// A client that trusts this authority and shows a certificate, if given.
    pub fn client(&self, identity: Option<Issued>) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots());
        Arc::new(match identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
            None => builder.with_no_client_auth(),
        })
    }
}

/// The authority of most tests.
pub fn ca() -> &'static Ca {
    static CA: OnceLock<Ca> = OnceLock::new();
    CA.get_or_init(Ca::new)
}

pub fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Clear text on loopback, open to everybody.
pub fn plain_options() -> Options {
    Options {
        listeners: vec![Listener::plaintext(loopback())],
        authenticator: Arc::new(X509Authenticator::new(X509Options {
            allow_plaintext: true,
            ..Default::default()
        })),
        server_name: "broker1.example.net".to_owned(),
        limits: patient_limits(),
        shards: 2,
        ..Default::default()
    }
}

pub fn plain_broker() -> Broker {
    Broker::start(plain_options()).unwrap()
}

/// TLS on loopback with the given rules.
pub fn tls_options(rules: X509Options) -> Options {
    Options {
        listeners: vec![Listener::tls(loopback())],
        tls: Some(ca().server()),
        authenticator: Arc::new(X509Authenticator::new(rules)),
        server_name: "broker1.example.net".to_owned(),
        limits: patient_limits(),
        shards: 2,
        ..Default::default()
    }
}

/// Time-outs that a busy machine does not reach.
pub fn patient_limits() -> Limits {
    // links on different threads, as in networks that are not small
    Limits { tls_timeout: PATIENCE, auth_timeout: PATIENCE, one_shard: 0, ..Default::default() }
}

/// Time-outs that a test can wait for; TLS still has to be done within its own.
pub fn quick_limits() -> Limits {
    Limits {
        tls_timeout: Duration::from_millis(1500),
        auth_timeout: Duration::from_millis(300),
        ..Default::default()
    }
}

/// Waits for a condition.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A client that speaks bytes.
pub struct Raw {
    stream: Box<dyn Stream>,
    socket: TcpStream,
    pub info: String,
    unread: Vec<u8>,
}

impl Raw {
    pub fn plain(address: SocketAddr) -> Self {
        let socket = connect(address);
        let mut raw = Self {
            stream: Box::new(socket.try_clone().unwrap()),
            socket,
            info: String::new(),
            unread: Vec::new(),
        };
        raw.info = raw.line();
        raw
    }

    /// Reads INFO, then does TLS.
    pub fn tls(address: SocketAddr, config: Arc<ClientConfig>) -> std::io::Result<Self> {
        let mut plain = Self::plain(address);
        assert!(plain.info.contains("\"tls_required\":true"), "{}", plain.info);
        let session = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
        let socket = plain.socket.try_clone()?;
        let mut stream = StreamOwned::new(session, plain.socket.try_clone()?);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        plain.stream = Box::new(stream);
        plain.socket = socket;
        Ok(plain)
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self.stream.flush().unwrap();
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// One more piece of input; false at the end of the stream.
    fn more(&mut self) -> bool {
        let mut buffer = [0; 65536];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.unread.extend_from_slice(&buffer[..count]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("nothing came in time; unread: {:?}", String::from_utf8_lossy(&self.unread))
            }
            Err(_) => false,
        }
    }

    pub fn line(&mut self) -> String {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.unread) {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return String::from_utf8_lossy(&line).into_owned();
            }
            assert!(self.more(), "closed in the middle of a line");
        }
    }

    /// Everything up to and including a text.
    pub fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = memchr::memmem::find(&self.unread, text.as_bytes()) {
                let taken: Vec<u8> = self.unread.drain(..at + text.len()).collect();
                return String::from_utf8_lossy(&taken).into_owned();
            }
            assert!(self.more(), "closed before {text:?}; got {:?}", String::from_utf8_lossy(&self.unread));
        }
    }

    /// Everything until the broker closes.
    pub fn rest(&mut self) -> String {
        while self.more() {}
        String::from_utf8_lossy(&std::mem::take(&mut self.unread)).into_owned()
    }

    /// CONNECT without second INFO, then everything up to PONG.
    pub fn login(&mut self, options: &str) -> String {
        self.send(format!("CONNECT {{\"verbose\":false,\"pedantic\":false{options}}}\r\nPING\r\n"));
        self.until("PONG\r\n")
    }

    /// A round trip: everything the broker had to say before.
    pub fn sync(&mut self) -> String {
        self.send("PING\r\n");
        let text = self.until("PONG\r\n");
        text.strip_suffix("PONG\r\n").unwrap().to_owned()
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}
