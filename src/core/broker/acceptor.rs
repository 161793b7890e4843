//! The thread that accepts: counts, and passes sockets to the handshake threads.
//!
//! Those the handshake threads cannot have in hand wait here by their addresses, so that a crowd
//! of few addresses keeps out nobody else. Where very many wait, what comes is accepted slowly: the
//! rest stands in the system's queue.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};

use super::gate::ConnectionGate;
use super::handshake_queue::Arrived;
use super::options::{BrokerError, Listener};
use super::shard::WAKER;

/// Connections the system holds for us.
const BACKLOG: i32 = 4096;
/// How soon a full handshake queue is looked at again.
const PAUSE: Duration = Duration::from_millis(5);
/// How soon after an error such as "too many open files", and how often those are thought of
/// who wait for others of their address.
const RECOVER: Duration = Duration::from_millis(100);
/// How often it is told that connections cannot be accepted.
const AGAIN: Duration = Duration::from_secs(60);

/// Binds all listeners but those others accept on; nothing is accepted yet.
///
/// # Errors
/// The first address that cannot be bound.
pub fn bind(listeners: &[Listener]) -> Result<Vec<Option<std::net::TcpListener>>, BrokerError> {
    let bind = |listener: &Listener| match listener.handed_in {
        true => Ok(None),
        false => bind_one(listener.address)
            .map(Some)
            .map_err(|source| BrokerError::Bind { address: listener.address, source }),
    };
    listeners.iter().map(bind).collect()
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

/// What to do about it, where that is known.
fn explained(error: &io::Error) -> String {
    let used_up = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE].map(|errno| errno.raw_os_error());
    match error.raw_os_error().is_some_and(|code| used_up.contains(&code)) {
        true => format!(
            "{error}: as many connections are open as may be, others wait; raise the limit of open files \
             (LimitNOFILE of the unit, ulimit -n)"
        ),
        false => error.to_string(),
    }
}

/// See the module documentation.
pub struct Acceptor {
    poll: Poll,
    /// Each with its number among the broker's listeners, and whether it speaks TLS.
    listeners: Vec<(usize, TcpListener, bool)>,
    gate: Arc<ConnectionGate>,
    stop: Arc<AtomicBool>,
}

impl Acceptor {
    /// Takes the bound sockets, each with its number and whether it speaks TLS.
    ///
    /// # Errors
    /// The event queue refuses them.
    pub fn new(
        poll: Poll,
        sockets: Vec<(usize, std::net::TcpListener, bool)>,
        gate: Arc<ConnectionGate>,
        stop: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let mut listeners = Vec::new();
        for (place, (number, socket, tls)) in sockets.into_iter().enumerate() {
            let mut listener = TcpListener::from_std(socket);
            poll.registry().register(&mut listener, Token(place), Interest::READABLE)?;
            listeners.push((number, listener, tls));
        }
        Ok(Self { poll, listeners, gate, stop })
    }

    /// Accepts until told to stop; the sockets close when this returns.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(64);
        let mut pending = vec![false; self.listeners.len()];
        let (mut wait, mut told) = (None, None);
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
            for (place, flag) in pending.iter_mut().enumerate() {
                if *flag {
                    match self.accept_all(place) {
                        Ok(true) => *flag = false,
                        Ok(false) => {
                            wait = Some(PAUSE);
                            self.gate.complain();
                        }
                        Err(error) => {
                            if told.is_none_or(|at: Instant| at.elapsed() > AGAIN) {
                                told = Some(Instant::now());
                                tracing::warn!(
                                    "accepting a connection failed, trying on: {}",
                                    explained(&error)
                                );
                            }
                            wait = Some(RECOVER);
                        }
                    }
                }
            }
            if wait.is_none() && self.gate.someone_waits() {
                wait = Some(RECOVER);
                self.gate.complain();
            }
        }
    }

    /// Accepts what is there; false if some was left for later.
    fn accept_all(&mut self, place: usize) -> io::Result<bool> {
        let Some((number, listener, tls)) = self.listeners.get(place) else { return Ok(true) };
        for accepted in 0.. {
            if accepted >= self.gate.places() {
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
            // who is refused has been counted, and closed
            let _ = self.gate.pass(Arrived { stream, remote, listener: *number, tls: *tls });
        }
        Ok(false)
    }
}
