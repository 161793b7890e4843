//! What a link still has to send. Links that are up to date own none of this.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::sync::Arc;
use std::time::Duration;

use super::ledger::Message;
use super::sid::Sid;
use super::tls::TlsSession;
use crate::core::security::tls_errors::told;

/// Plaintext gathered for one encryption: four full records.
const GATHER: usize = 64 * 1024;
/// Slices of one vectored write.
const SLICES: usize = 63;

/// Most bytes of one piece of laid out lines: what is sent of a queue is given back by pieces.
const PIECE: usize = 64 * 1024;
/// Emptied pieces a thread keeps for the next link.
const SPARE: usize = 8;

/// One thing to send.
#[derive(Debug)]
enum Item {
    /// Lines and messages of this link, one laid behind the other.
    Own(Vec<u8>),
    /// A message for a subscription, held by others too.
    Shared(Arc<Message>, Sid),
}

impl Item {
    fn parts(&self) -> [&[u8]; 3] {
        match self {
            Self::Own(bytes) => [bytes, &[], &[]],
            Self::Shared(message, sid) => [message.head(), sid.as_bytes(), message.tail()],
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Own(bytes) => bytes.len(),
            Self::Shared(message, sid) => message.wire_len(sid.as_bytes().len()),
        }
    }
}

/// How a flush ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing is left.
    All,
    /// The socket takes no more for now.
    Blocked,
}

/// Why a flush ends a connection.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The socket failed.
    #[error("writing to the peer failed: {0}")]
    Socket(#[from] io::Error),
    /// TLS failed.
    #[error("encrypting for the peer failed: {}", told(.0))]
    Tls(#[from] rustls::Error),
}

impl WriteError {
    /// Whether the peer closed or reset the connection: nobody reads any more,
    /// and there may still be something to read.
    pub fn peer_has_gone(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        matches!(self, Self::Socket(error) if matches!(error.kind(), BrokenPipe | ConnectionReset))
    }
}

/// Output buffers of a thread.
#[derive(Default)]
pub struct WriteScratch {
    plain: Vec<u8>,
    cipher: Vec<u8>,
    spare: Vec<Vec<u8>>,
}

impl WriteScratch {
    /// An empty piece.
    fn piece(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    fn keep(&mut self, mut piece: Vec<u8>) {
        if self.spare.len() < SPARE && piece.capacity() <= 2 * PIECE {
            piece.clear();
            self.spare.push(piece);
        }
    }
}

/// The queue of a link that has something to send.
#[derive(Debug, Default)]
pub struct Outbound {
    queue: VecDeque<Item>,
    /// Bytes of the first item that are sent.
    sent: usize,
    /// Bytes of all items, those sent not counted.
    queued: usize,
    /// Those of them that others hold too.
    shared: usize,
    /// Ciphertext that the socket did not take; it goes first.
    tail: Vec<u8>,
    tail_sent: usize,
    /// Since when the socket takes nothing, on the shard's clock.
    pub blocked_since: Option<Duration>,
}

impl Outbound {
    /// Lays bytes behind what waits. `lay` appends them to what it is given.
    pub fn lay(&mut self, scratch: &mut WriteScratch, lay: impl FnOnce(&mut Vec<u8>)) {
        if !matches!(self.queue.back(), Some(Item::Own(piece)) if piece.len() < PIECE) {
            self.queue.push_back(Item::Own(scratch.piece()));
        }
        if let Some(Item::Own(piece)) = self.queue.back_mut() {
            let before = piece.len();
            lay(piece);
            self.queued += piece.len() - before;
        }
    }

    /// Queues a message that others hold too.
    pub fn share(&mut self, message: Arc<Message>, sid: Sid) {
        let item = Item::Shared(message, sid);
        self.queued += item.len();
        self.shared += item.len();
        self.queue.push_back(item);
    }

    /// Bytes that wait with what it takes to remember them, as if nobody shared any.
    pub fn weight(&self) -> usize {
        self.pending() + self.queue.len() * size_of::<Item>()
    }

    /// Bytes that are this link's alone.
    pub fn own(&self) -> usize {
        self.weight().saturating_sub(self.shared)
    }

    /// Queues ciphertext made by TLS itself; it must not be encrypted again.
    pub fn push_cipher(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
    }

    /// Bytes that wait.
    pub fn pending(&self) -> usize {
        self.queued + self.tail.len() - self.tail_sent
    }

    /// Whether nothing waits.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.tail.is_empty()
    }

    /// Makes an emptied queue small enough to be kept for another link.
    pub fn recycle(&mut self) {
        self.queue.clear();
        self.queue.shrink_to(32);
        self.tail = Vec::new();
        (self.sent, self.queued, self.shared, self.tail_sent) = (0, 0, 0, 0);
        self.blocked_since = None;
    }

    /// Sends as much as the socket takes. `unread` is the link's ciphertext that is no whole record yet.
    ///
    /// # Errors
    /// [`WriteError`]; the connection cannot be used any more.
    pub fn flush(
        &mut self,
        stream: &mut impl Write,
        tls: Option<&mut (dyn TlsSession + 'static)>,
        unread: &mut [u8],
        scratch: &mut WriteScratch,
    ) -> Result<Flushed, WriteError> {
        match tls {
            None => self.flush_plain(stream, scratch),
            Some(tls) => self.flush_tls(stream, tls, unread, scratch),
        }
    }

    fn flush_plain(
        &mut self,
        stream: &mut impl Write,
        scratch: &mut WriteScratch,
    ) -> Result<Flushed, WriteError> {
        while !self.queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut used = 0;
            let mut skip = self.sent;
            'gather: for item in &self.queue {
                for part in item.parts() {
                    let Some(rest) = part.get(skip..) else {
                        skip -= part.len();
                        continue;
                    };
                    skip = 0;
                    if rest.is_empty() {
                        continue;
                    }
                    let Some(slice) = slices.get_mut(used) else { break 'gather };
                    *slice = IoSlice::new(rest);
                    used += 1;
                }
            }
            match stream.write_vectored(slices.get(..used).unwrap_or_default()) {
                Ok(0) => return Err(io::Error::from(ErrorKind::WriteZero).into()),
                Ok(count) => self.sent_bytes(count, scratch),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Flushed::All)
    }

    fn flush_tls(
        &mut self,
        stream: &mut impl Write,
        tls: &mut (dyn TlsSession + 'static),
        unread: &mut [u8],
        scratch: &mut WriteScratch,
    ) -> Result<Flushed, WriteError> {
        loop {
            if !self.tail.is_empty() {
                let waiting = self.tail.get(self.tail_sent..).unwrap_or_default();
                let count = write_all(stream, waiting)?;
                if count < waiting.len() {
                    self.tail_sent += count;
                    return Ok(Flushed::Blocked);
                }
                self.tail = Vec::new();
                self.tail_sent = 0;
            }
            if self.queue.is_empty() {
                return Ok(Flushed::All);
            }
            scratch.cipher.clear();
            let count = match self.queue.front() {
                // what is laid out is encrypted where it is
                Some(Item::Own(piece)) if self.queue.len() == 1 || piece.len() - self.sent >= GATHER => {
                    let plain = piece.get(self.sent..).unwrap_or_default();
                    let plain = plain.get(..GATHER).unwrap_or(plain);
                    tls.write(unread, plain, &mut scratch.cipher)?;
                    plain.len()
                }
                _ => {
                    self.gather(&mut scratch.plain);
                    tls.write(unread, &scratch.plain, &mut scratch.cipher)?;
                    scratch.plain.len()
                }
            };
            self.sent_bytes(count, scratch);
            let count = write_all(stream, &scratch.cipher)?;
            if let Some(left) = scratch.cipher.get(count..).filter(|left| !left.is_empty()) {
                self.tail = left.to_vec();
                return Ok(Flushed::Blocked);
            }
        }
    }

    /// Copies what comes next, up to [`GATHER`] bytes.
    fn gather(&self, plain: &mut Vec<u8>) {
        plain.clear();
        let mut skip = self.sent;
        for part in self.queue.iter().flat_map(Item::parts) {
            let Some(rest) = part.get(skip..) else {
                skip -= part.len();
                continue;
            };
            skip = 0;
            let space = GATHER - plain.len();
            plain.extend_from_slice(rest.get(..space).unwrap_or(rest));
            if plain.len() == GATHER {
                return;
            }
        }
    }

    fn sent_bytes(&mut self, mut count: usize, scratch: &mut WriteScratch) {
        self.queued = self.queued.saturating_sub(count);
        while let Some(first) = self.queue.front() {
            let length = first.len();
            let left = length - self.sent;
            if count < left {
                self.sent += count;
                break;
            }
            count -= left;
            self.sent = 0;
            match self.queue.pop_front() {
                Some(Item::Own(piece)) => scratch.keep(piece),
                _ => self.shared = self.shared.saturating_sub(length),
            }
        }
        // of a shared message that is half sent only the rest counts
        self.shared = self.shared.min(self.queued);
    }
}

/// Writes until done or the socket is full, and returns the bytes taken.
pub fn write_all(stream: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    let mut taken = 0;
    while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
        match stream.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => taken += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}

#[cfg(test)]
#[path = "outbound_tests.rs"]
mod tests;
