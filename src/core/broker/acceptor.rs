//! The thread that accepts: counts, and passes sockets to the handshake threads.
//!
//! It accepts no more than the handshake threads can have in hand. What comes
//! beyond waits in the system's queue, where it costs nothing and starves nobody.

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};

use super::handshake::Arrival;
use super::inbox::Inbox;
use super::options::{BrokerError, Listener};
use super::shard::WAKER;
use super::shared::Shared;
use crate::core::log::RefusalLog;
use crate::core::nats::frame;

/// Connections the system holds for us.
const BACKLOG: i32 = 4096;
/// How soon a full handshake room is looked at again.
const PAUSE: Duration = Duration::from_millis(5);
/// How often the handshake threads are told that others wait.
const COMPLAIN: Duration = Duration::from_millis(100);
/// How soon after an error such as "too many open files".
const RECOVER: Duration = Duration::from_millis(100);

/// Binds all listeners; nothing is accepted yet.
///
/// # Errors
/// The first address that cannot be bound.
pub fn bind(listeners: &[Listener]) -> Result<Vec<std::net::TcpListener>, BrokerError> {
    listeners
        .iter()
        .map(|listener| {
            bind_one(listener.address)
                .map_err(|source| BrokerError::Bind { address: listener.address, source })
        })
        .collect()
}

fn bind_one(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // a restarted broker must not wait for old connections to be forgotten
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `::` means every address, IPv4 included, on all systems
        let _ = socket.set_only_v6(false);
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// See the module documentation.
pub struct Acceptor {
    shared: Arc<Shared>,
    poll: Poll,
    listeners: Vec<(TcpListener, bool)>,
    rooms: Vec<Arc<Inbox<Arrival>>>,
    next_room: usize,
    refusals: RefusalLog,
    stop: Arc<AtomicBool>,
}

impl Acceptor {
    /// Takes the bound sockets, each with whether it speaks TLS.
    ///
    /// # Errors
    /// The event queue refuses them.
    pub fn new(
        shared: Arc<Shared>,
        poll: Poll,
        sockets: Vec<(std::net::TcpListener, bool)>,
        rooms: Vec<Arc<Inbox<Arrival>>>,
        stop: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let mut listeners = Vec::new();
        for (number, (socket, tls)) in sockets.into_iter().enumerate() {
            let mut listener = TcpListener::from_std(socket);
            poll.registry().register(&mut listener, Token(number), Interest::READABLE)?;
            listeners.push((listener, tls));
        }
        Ok(Self { shared, poll, listeners, rooms, next_room: 0, refusals: RefusalLog::default(), stop })
    }

    /// Accepts until told to stop; the sockets close when this returns.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(64);
        let mut pending = vec![false; self.listeners.len()];
        let mut wait = None;
        let mut complained = Instant::now();
        while !self.stop.load(Ordering::Acquire) {
            if let Err(error) = self.poll.poll(&mut events, wait)
                && error.kind() != ErrorKind::Interrupted
            {
                tracing::error!(%error, "waiting for connections failed, no more are accepted");
                return;
            }
            for event in events.iter().filter(|event| event.token() != WAKER) {
                if let Some(flag) = pending.get_mut(event.token().0) {
                    *flag = true;
                }
            }
            wait = None;
            for (number, flag) in pending.iter_mut().enumerate() {
                if *flag {
                    match self.accept_all(number) {
                        Ok(true) => *flag = false,
                        Ok(false) => {
                            wait = Some(PAUSE);
                            if complained.elapsed() >= COMPLAIN {
                                complained = Instant::now();
                                self.rooms.iter().for_each(|room| room.send_one(Arrival::Crowded));
                            }
                        }
                        Err(error) => {
                            tracing::warn!(%error, "accepting a connection failed, trying again");
                            wait = Some(RECOVER);
                        }
                    }
                }
            }
        }
    }

    /// Accepts what is there; false if some was left for later.
    fn accept_all(&mut self, number: usize) -> io::Result<bool> {
        let settings = self.shared.settings();
        let Some((listener, tls)) = self.listeners.get(number) else { return Ok(true) };
        loop {
            if self.shared.handshaking.load(Ordering::Acquire) >= settings.limits.max_handshakes {
                return Ok(false);
            }
            let (stream, remote) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                // the peer gave up while it waited
                Err(error)
                    if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            if self.shared.open.load(Ordering::Acquire) >= settings.limits.max_connections {
                refuse(stream);
                self.shared.refused("maximum connections");
                let limit = settings.limits.max_connections;
                self.refusals.note("maximum connections", || {
                    tracing::warn!(%remote, limit, "connection refused: maximum connections exceeded");
                });
                continue;
            }
            // small messages must not wait for acknowledgements
            let _ = stream.set_nodelay(true);
            self.shared.open.fetch_add(1, Ordering::AcqRel);
            self.shared.handshaking.fetch_add(1, Ordering::AcqRel);
            self.next_room = (self.next_room + 1) % self.rooms.len().max(1);
            if let Some(room) = self.rooms.get(self.next_room) {
                room.send_one(Arrival::Socket { stream, remote, listener: number, tls: *tls });
            }
        }
    }
}

fn refuse(mut stream: TcpStream) {
    // an empty socket buffer takes one line; if not, the close says it all
    let _ = stream.write(&frame::error_line("maximum connections exceeded"));
}
