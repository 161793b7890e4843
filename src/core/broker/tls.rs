//! TLS on a link: bytes in, bytes out, no buffers of its own.
//!
//! [`Unbuffered`] keeps nothing between calls but rustls's state: ciphertext
//! that is not yet a whole record stays with the caller, and what is produced
//! is appended to the caller's scratch. [`Buffered`] does the same over
//! rustls's ordinary connection, should the unbuffered API go (it is absent
//! from rustls 0.24). Both pass the same tests.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, ClientConnection, Connection, HandshakeKind, ServerConfig, ServerConnection};
use rustls_pki_types::{CertificateDer, ServerName};

/// What a call to [`TlsSession::read`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the input that are done with; the rest comes again, with more behind it.
    pub used: usize,
    /// The peer said goodbye: nothing more will come.
    pub closed: bool,
}

/// This side of one TLS connection.
pub trait TlsSession: Send {
    /// Takes ciphertext from the front of `incoming`, appends plaintext to
    /// `plain` and what must be sent (handshake, key updates) to `reply`.
    ///
    /// # Errors
    /// A broken record or a refused certificate; `reply` then holds the alert to send.
    fn read(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        reply: &mut Vec<u8>,
    ) -> Result<Progress, rustls::Error>;

    /// Encrypts into `cipher`. `unread` is what the last [`read`](TlsSession::read) left.
    ///
    /// # Errors
    /// The session cannot send, before the handshake or after its keys are used up.
    fn write(&mut self, unread: &mut [u8], plain: &[u8], cipher: &mut Vec<u8>) -> Result<(), rustls::Error>;

    /// Appends a close notification to `cipher`, if one can be sent.
    fn close(&mut self, unread: &mut [u8], cipher: &mut Vec<u8>);

    /// Whether the handshake is not complete.
    fn is_handshaking(&self) -> bool;

    /// Whether the handshake continued an earlier session: the chain of the peer
    /// is then that session's.
    fn is_resumed(&self) -> bool;

    /// Verified chain of the peer, leaf first.
    fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]>;

    /// Protocol version and cipher suite, for reports.
    fn summary(&self) -> String;
}

/// Starts the server's side of a connection.
///
/// # Errors
/// The configuration cannot be used.
pub fn accept(config: Arc<ServerConfig>, buffered: bool) -> Result<Box<dyn TlsSession>, rustls::Error> {
    Ok(if buffered { Box::new(Buffered::new(config)?) } else { Box::new(Unbuffered::new(config)?) })
}

/// Space for record headers and tags: 5 + 8 + 17 bytes a record, rounded up,
/// and room for one key update.
fn overhead(plain: usize) -> usize {
    256 + (plain / 16_384 + 1) * 64
}

/// See the module documentation.
pub struct Unbuffered {
    session: UnbufferedServerConnection,
    handshaking: bool,
    /// After an error rustls must not be called again: it asserts that it is not.
    failed: bool,
}

impl Unbuffered {
    /// A session that waits for a ClientHello.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self { session: UnbufferedServerConnection::new(config)?, handshaking: true, failed: false })
    }

    /// Appends the alert that says why, which rustls has queued before it failed.
    fn drain_alert(&mut self, unread: &mut [u8], reply: &mut Vec<u8>) {
        if let Ok(ConnectionState::EncodeTlsData(mut alert)) = self.session.process_tls_records(unread).state
        {
            // without it the peer sees the close alone
            let _ = encode(reply, |out| alert.encode(out));
        }
    }

    fn read_records(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        reply: &mut Vec<u8>,
    ) -> Result<Progress, rustls::Error> {
        let mut progress = Progress::default();
        let mut rest = incoming;
        loop {
            let UnbufferedStatus { mut discard, state } = self.session.process_tls_records(rest);
            let mut done = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        plain.extend_from_slice(record.payload);
                        discard += record.discard;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(reply, |out| data.encode(out))?,
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::BlockedHandshake) => done = true,
                Ok(ConnectionState::WriteTraffic(_)) => {
                    self.handshaking = false;
                    done = true;
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    progress.closed = true;
                    done = true;
                }
                // early data is not enabled by any configuration of ours
                Ok(_) => {
                    return Err(rustls::Error::General("unexpected state of the TLS session".to_owned()));
                }
                Err(error) => {
                    let unread = std::mem::take(&mut rest).get_mut(discard..).unwrap_or_default();
                    self.drain_alert(unread, reply);
                    return Err(error);
                }
            }
            progress.used += discard;
            rest = std::mem::take(&mut rest).get_mut(discard..).unwrap_or_default();
            if done {
                return Ok(progress);
            }
        }
    }

    fn encrypt_records(
        &mut self,
        unread: &mut [u8],
        plain: &[u8],
        cipher: &mut Vec<u8>,
    ) -> Result<(), rustls::Error> {
        // a key update to be answered may stand before the state that encrypts
        for _ in 0..8 {
            // rustls remembers where in the unread bytes half a handshake message lies,
            // and panics when they are not there
            let UnbufferedStatus { discard, state } = self.session.process_tls_records(unread);
            if discard > 0 {
                return Err(rustls::Error::General("the TLS session reads while it writes".to_owned()));
            }
            match state? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    return encrypt(cipher, plain.len() + overhead(plain.len()), |out| {
                        traffic.encrypt(plain, out)
                    });
                }
                ConnectionState::EncodeTlsData(mut data) => encode(cipher, |out| data.encode(out))?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => {}
                _ => break,
            }
        }
        Err(rustls::Error::General("the TLS session cannot send".to_owned()))
    }

    /// Calls rustls, once it has failed never again. A panic in there ends
    /// one connection, not the thread that serves thousands.
    fn guard<T>(
        &mut self,
        call: impl FnOnce(&mut Self) -> Result<T, rustls::Error>,
    ) -> Result<T, rustls::Error> {
        if self.failed {
            return Err(rustls::Error::General("the TLS session has failed before".to_owned()));
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call(self)))
            .unwrap_or_else(|_| Err(rustls::Error::General("the TLS implementation failed".to_owned())));
        self.failed = outcome.is_err();
        outcome
    }
}

/// Runs an encoder on the end of a vector, with more space if it asks for it.
fn encode(
    out: &mut Vec<u8>,
    mut encoder: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> Result<(), rustls::Error> {
    let start = out.len();
    let mut space = 4096;
    loop {
        out.resize(start + space, 0);
        match encoder(out.get_mut(start..).unwrap_or_default()) {
            Ok(written) => {
                out.truncate(start + written);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(need)) if need.required_size > space => {
                space = need.required_size
            }
            Err(error) => {
                out.truncate(start);
                return Err(rustls::Error::General(error.to_string()));
            }
        }
    }
}

/// As [`encode`], for application data.
fn encrypt(
    out: &mut Vec<u8>,
    mut space: usize,
    mut encryptor: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), rustls::Error> {
    let start = out.len();
    loop {
        out.resize(start + space, 0);
        match encryptor(out.get_mut(start..).unwrap_or_default()) {
            Ok(written) => {
                out.truncate(start + written);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(need)) if need.required_size > space => {
                space = need.required_size
            }
            Err(error) => {
                out.truncate(start);
                return Err(rustls::Error::General(error.to_string()));
            }
        }
    }
}

impl TlsSession for Unbuffered {
    fn read(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        reply: &mut Vec<u8>,
    ) -> Result<Progress, rustls::Error> {
        self.guard(|session| session.read_records(incoming, plain, reply))
    }

    fn write(&mut self, unread: &mut [u8], plain: &[u8], cipher: &mut Vec<u8>) -> Result<(), rustls::Error> {
        if self.handshaking {
            return Err(rustls::Error::HandshakeNotComplete);
        }
        self.guard(|session| session.encrypt_records(unread, plain, cipher))
    }

    fn close(&mut self, unread: &mut [u8], cipher: &mut Vec<u8>) {
        if self.handshaking || self.failed {
            return;
        }
        // best effort: the socket closes next
        let _ = self.guard(|this| {
            if let Ok(ConnectionState::WriteTraffic(mut traffic)) =
                this.session.process_tls_records(unread).state
            {
                encrypt(cipher, overhead(0), |out| traffic.queue_close_notify(out))?;
            }
            Ok(())
        });
    }

    fn is_handshaking(&self) -> bool {
        self.handshaking
    }

    fn is_resumed(&self) -> bool {
        self.session.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.session.peer_certificates()
    }

    fn summary(&self) -> String {
        describe(self.session.protocol_version(), self.session.negotiated_cipher_suite())
    }
}

fn describe(version: Option<rustls::ProtocolVersion>, suite: Option<rustls::SupportedCipherSuite>) -> String {
    match (version, suite) {
        (Some(version), Some(suite)) => format!("{version:?} {:?}", suite.suite()),
        _ => String::new(),
    }
}

/// See the module documentation.
pub struct Buffered {
    session: Connection,
}

impl Buffered {
    /// A session that waits for a ClientHello.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self::of(ServerConnection::new(config)?.into()))
    }

    /// The side that begins: its first words come out of a [`read`](TlsSession::read) of nothing.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, rustls::Error> {
        Ok(Self::of(ClientConnection::new(config, name)?.into()))
    }

    fn of(mut session: Connection) -> Self {
        // the caller bounds what it queues, and takes everything at once
        session.set_buffer_limit(None);
        Self { session }
    }

    fn take_output(&mut self, out: &mut Vec<u8>) {
        while self.session.wants_write() {
            if self.session.write_tls(out).is_err() {
                return;
            }
        }
    }
}

impl TlsSession for Buffered {
    fn read(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        reply: &mut Vec<u8>,
    ) -> Result<Progress, rustls::Error> {
        let mut progress = Progress::default();
        let total = incoming.len();
        let mut rest: &[u8] = incoming;
        loop {
            let before = rest.len();
            if before > 0 && self.session.wants_read() {
                self.session
                    .read_tls(&mut rest)
                    .map_err(|error| rustls::Error::General(error.to_string()))?;
            }
            let state = self.session.process_new_packets();
            self.take_output(reply);
            let state = state?;
            // reading from memory fails only when there is nothing to read
            let _ = self.session.reader().read_to_end(plain);
            progress.closed |= state.peer_has_closed();
            if rest.len() == before {
                break;
            }
        }
        progress.used = if progress.closed { total } else { total - rest.len() };
        Ok(progress)
    }

    fn write(&mut self, _: &mut [u8], plain: &[u8], cipher: &mut Vec<u8>) -> Result<(), rustls::Error> {
        if self.session.is_handshaking() {
            return Err(rustls::Error::HandshakeNotComplete);
        }
        self.session.writer().write_all(plain).map_err(|error| rustls::Error::General(error.to_string()))?;
        self.take_output(cipher);
        Ok(())
    }

    fn close(&mut self, _: &mut [u8], cipher: &mut Vec<u8>) {
        if !self.session.is_handshaking() {
            self.session.send_close_notify();
            self.take_output(cipher);
        }
    }

    fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    fn is_resumed(&self) -> bool {
        self.session.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.session.peer_certificates()
    }

    fn summary(&self) -> String {
        describe(self.session.protocol_version(), self.session.negotiated_cipher_suite())
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
