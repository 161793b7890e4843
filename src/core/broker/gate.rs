//! Who may begin a handshake: connections accepted here or handed in.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use mio::net::TcpStream;

use super::handshake::Arrival;
use super::handshake_queue::{Arrived, NoPlace};
use super::inbox::Inbox;
use super::shared::Shared;
use crate::core::nats::frame;

/// See the module documentation.
pub struct ConnectionGate {
    shared: Arc<Shared>,
    handshakes: Vec<Arc<Inbox<Arrival>>>,
    next_handshake_thread: AtomicUsize,
    /// When the handshake threads were last told that others wait, in milliseconds.
    complained: AtomicU64,
}

/// How often they are told, in milliseconds.
const COMPLAIN: u64 = 100;

impl ConnectionGate {
    /// A gate to these handshake threads.
    pub fn new(shared: Arc<Shared>, handshakes: Vec<Arc<Inbox<Arrival>>>) -> Self {
        Self { shared, handshakes, next_handshake_thread: AtomicUsize::new(0), complained: AtomicU64::new(0) }
    }

    /// How many connections should be accepted for now.
    pub fn places(&self) -> usize {
        self.shared.places()
    }

    /// The handshake threads have as many in hand as they may.
    pub fn is_busy(&self) -> bool {
        let most = self.shared.settings().limits.max_handshakes;
        self.shared.handshaking.load(Ordering::Acquire) >= most
    }

    /// Tells the handshake threads that others wait, now and then.
    pub fn complain(&self) {
        let now = self.shared.start.elapsed().as_millis() as u64;
        let last = self.complained.load(Ordering::Relaxed);
        let due = now >= last.saturating_add(COMPLAIN);
        if !due || self.complained.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return;
        }
        self.handshakes.iter().for_each(|inbox| inbox.send_one(Arrival::Full));
    }

    /// Somebody waits for others.
    pub fn someone_waits(&self) -> bool {
        self.shared.waiting.load(Ordering::Acquire) > 0
    }

    /// Passes a connection to a handshake thread, lets it wait, or closes it.
    ///
    /// # Errors
    /// Under which name it was refused.
    pub fn pass(&self, new: Arrived) -> Result<(), &'static str> {
        let settings = self.shared.settings();
        let limits = &settings.limits;
        // small messages must not wait for acknowledgements
        let _ = new.stream.set_nodelay(true);
        match self.shared.begin_handshake(new, limits) {
            Err(NoPlace::AtAll(new)) => {
                let remote = new.remote;
                say(new.stream, "maximum connections exceeded");
                return Err(self.refuse("maximum connections", remote, limits.max_connections));
            }
            // without a word: text would be taken for a reason not to come back
            Err(NoPlace::OfItsAddress(new)) => {
                let limit = limits.max_handshakes_per_address;
                return Err(self.refuse("too many from one address", new.remote, limit));
            }
            Err(NoPlace::InTheQueue(new)) => {
                return Err(self.refuse("too many wait to be let in", new.remote, limits.max_handshakes));
            }
            Ok(None) => self.complain(),
            Ok(Some(new)) => {
                let next =
                    self.next_handshake_thread.fetch_add(1, Ordering::Relaxed) % self.handshakes.len().max(1);
                if let Some(inbox) = self.handshakes.get(next) {
                    inbox.send_one(Arrival::Socket(new));
                }
            }
        }
        Ok(())
    }

    fn refuse(&self, reason: &'static str, remote: SocketAddr, limit: usize) -> &'static str {
        self.shared.refused(reason);
        self.shared.refusal_log.note(reason, || {
            tracing::warn!(%remote, limit, "connection refused: {reason}");
        });
        reason
    }
}

fn say(mut stream: TcpStream, text: &str) {
    // an empty socket buffer takes one line; if not, the close says it all
    let _ = stream.write(&frame::error_line(text));
}
