//! Reading a socket through TLS or not, into buffers that belong to the thread.

use std::io::{self, ErrorKind, Read};

use mio::net::TcpStream;

use super::tls::TlsSession;
use crate::core::security::tls_errors::told;

/// One read from a socket, at most.
const READ: usize = 64 * 1024;
/// Most ciphertext that is not yet a record: a handshake message may span several.
const MOST_REST: usize = 80 * 1024;

/// Input buffers of a thread; links own none.
#[derive(Default)]
pub struct ReadScratch {
    input: Vec<u8>,
    plain: Vec<u8>,
    taken: usize,
    /// What TLS wants to have sent.
    pub reply: Vec<u8>,
}

/// The state of a socket after a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Everything that was there has been read.
    Drained,
    /// There may be more.
    More,
    /// The peer is gone; what was read still counts.
    Closed,
}

/// Why a read ends a connection.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The socket failed.
    #[error("reading from the peer failed: {0}")]
    Socket(#[from] io::Error),
    /// TLS failed; `reply` holds the alert.
    #[error("TLS with the peer failed: {}", told(.0))]
    Tls(#[from] rustls::Error),
    /// A record that does not end.
    #[error("the peer sent {MOST_REST} bytes that are no TLS record")]
    Endless,
}

impl ReadError {
    /// Whether the peer went, and nothing is wrong.
    pub fn is_reset(&self) -> bool {
        matches!(self, Self::Socket(error) if error.kind() == io::ErrorKind::ConnectionReset)
    }
}

impl ReadScratch {
    /// Buffers for one thread.
    pub fn new() -> Self {
        Self {
            input: vec![0; READ + MOST_REST],
            plain: Vec::with_capacity(READ),
            taken: 0,
            reply: Vec::new(),
        }
    }

    /// Reads once. Plaintext is then in [`plain`](Self::plain), TLS's own answer in `reply`;
    /// ciphertext that is no whole record stays in `rest`, which owns no memory when empty.
    ///
    /// `hung_up` says that the system has seen the peer's end of stream: then
    /// a short read does not mean that all was read.
    ///
    /// # Errors
    /// [`ReadError`]; the connection cannot be used any more.
    pub fn receive(
        &mut self,
        stream: &mut TcpStream,
        tls: Option<&mut (dyn TlsSession + 'static)>,
        rest: &mut Vec<u8>,
        hung_up: bool,
    ) -> Result<Received, ReadError> {
        self.plain.clear();
        self.reply.clear();
        if rest.len() > MOST_REST {
            return Err(ReadError::Endless);
        }
        let kept = rest.len();
        if let Some(front) = self.input.get_mut(..kept) {
            front.copy_from_slice(rest);
        }
        let space = self.input.get_mut(kept..kept + READ).unwrap_or_default();
        let (count, mut received) = loop {
            match stream.read(space) {
                Ok(0) => break (0, Received::Closed),
                Ok(count) if count == space.len() || hung_up => break (count, Received::More),
                Ok(count) => break (count, Received::Drained),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break (0, Received::Drained),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        };
        self.taken = count;
        let bytes = self.input.get_mut(..kept + count).unwrap_or_default();
        match tls {
            None => self.plain.extend_from_slice(bytes),
            Some(_) if count == 0 => {}
            Some(tls) => {
                let total = bytes.len();
                let progress = tls.read(bytes, &mut self.plain, &mut self.reply)?;
                if progress.closed {
                    received = Received::Closed;
                }
                let left = self.input.get(progress.used.min(total)..total).unwrap_or_default();
                *rest = left.to_vec();
            }
        }
        Ok(received)
    }

    /// Bytes the last read took from the socket.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// What the last read brought.
    pub fn plain(&self) -> &[u8] {
        &self.plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_owns_nothing() {
        let scratch = ReadScratch::default();
        assert_eq!(scratch.input.capacity() + scratch.plain.capacity() + scratch.reply.capacity(), 0);
    }
}
