//! What a link still has to send. Links that are up to date own none of this.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::sid::Sid;
use super::tls::TlsSession;
use crate::core::nats::frame::Frame;

/// Plaintext gathered for one encryption: four full records.
const GATHER: usize = 64 * 1024;
/// Slices of one vectored write.
const SLICES: usize = 63;

/// A frame that counts against the broker's memory budget while anybody holds it.
#[derive(Debug)]
pub struct Message {
    frame: Frame,
    ledger: Arc<AtomicUsize>,
}

impl Message {
    /// Charges a frame to a ledger of bytes.
    pub fn new(frame: Frame, ledger: &Arc<AtomicUsize>) -> Arc<Self> {
        ledger.fetch_add(frame.len(), Ordering::Relaxed);
        Arc::new(Self { frame, ledger: ledger.clone() })
    }
}

impl Deref for Message {
    type Target = Frame;

    fn deref(&self) -> &Frame {
        &self.frame
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.ledger.fetch_sub(self.frame.len(), Ordering::Relaxed);
    }
}

/// One thing to send.
#[derive(Debug)]
pub enum Item {
    /// A message for a subscription.
    Message(Arc<Message>, Sid),
    /// A fixed line.
    Fixed(&'static [u8]),
    /// A line made for this link.
    Line(Box<[u8]>),
}

impl Item {
    fn parts(&self) -> [&[u8]; 3] {
        match self {
            Self::Message(message, sid) => [message.head(), sid.as_bytes(), message.tail()],
            Self::Fixed(line) => [line, &[], &[]],
            Self::Line(line) => [line, &[], &[]],
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Message(message, sid) => message.wire_len(sid.as_bytes().len()),
            Self::Fixed(line) => line.len(),
            Self::Line(line) => line.len(),
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
    #[error("encrypting for the peer failed: {0}")]
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
}

/// The queue of a link that has something to send.
#[derive(Debug, Default)]
pub struct Outbound {
    queue: VecDeque<Item>,
    /// Bytes of the first item that are sent.
    sent: usize,
    /// Bytes of all items, those sent not counted.
    queued: usize,
    /// Ciphertext that the socket did not take; it goes first.
    tail: Vec<u8>,
    tail_sent: usize,
    /// Since when the socket takes nothing, on the shard's clock.
    pub blocked_since: Option<Duration>,
}

impl Outbound {
    /// Queues an item and returns the [`weight`](Self::weight) now.
    pub fn push(&mut self, item: Item) -> usize {
        self.queued += item.len();
        self.queue.push_back(item);
        self.weight()
    }

    /// Items that wait.
    pub fn items(&self) -> usize {
        self.queue.len()
    }

    /// Bytes that wait with what it takes to remember them: a flood of tiny
    /// lines is mostly the latter.
    pub fn weight(&self) -> usize {
        self.pending() + self.queue.len() * size_of::<Item>()
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
        (self.sent, self.queued, self.tail_sent, self.blocked_since) = (0, 0, 0, None);
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
            None => self.flush_plain(stream),
            Some(tls) => self.flush_tls(stream, tls, unread, scratch),
        }
    }

    fn flush_plain(&mut self, stream: &mut impl Write) -> Result<Flushed, WriteError> {
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
                Ok(count) => self.sent_bytes(count),
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
            self.gather(&mut scratch.plain);
            scratch.cipher.clear();
            tls.write(unread, &scratch.plain, &mut scratch.cipher)?;
            self.sent_bytes(scratch.plain.len());
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

    fn sent_bytes(&mut self, mut count: usize) {
        self.queued = self.queued.saturating_sub(count);
        while let Some(first) = self.queue.front() {
            let left = first.len() - self.sent;
            if count < left {
                self.sent += count;
                return;
            }
            count -= left;
            self.sent = 0;
            self.queue.pop_front();
        }
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
