//! TLS sessions that continue, on both sides, without continuing what has changed.
//!
//! A resumed session skips the certificates: rustls takes those of the session
//! before. So a ticket is only good while trust and credentials are the very
//! ones it was made under; keys and sessions of another generation are thrown
//! away at the next look. Dates are looked at again where a session is taken
//! up: by the listener when it lets the connection in (admission), by the
//! connecting side before it offers the session.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;
use rustls_pki_types::{ServerName, UnixTime};

use super::credentials::{Credentials, SharedCredentials};
use super::{SharedTrust, Validity};

/// How long one key makes tickets. They are taken for as long again: a ticket
/// lives between half a day and a day.
const ROTATION: Duration = Duration::from_secs(12 * 3600);
/// Servers whose sessions a client remembers. The table is made for all of
/// them at once, and seven fit the smallest one above four.
const SERVERS: usize = 7;
/// TLS 1.3 tickets of one server that rustls keeps.
const TICKETS: usize = 8;

/// What sessions hang on. Holds the credentials themselves, so that their
/// address cannot be another's.
struct Ground {
    trust: u64,
    credentials: Arc<Credentials>,
}

impl Ground {
    fn now(trust: &SharedTrust, credentials: &SharedCredentials) -> Ground {
        Ground { trust: trust.get().generation(), credentials: credentials.get() }
    }

    fn is(&self, other: &Ground) -> bool {
        self.trust == other.trust && Arc::ptr_eq(&self.credentials, &other.credentials)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === the listening side ===

type Key = Arc<dyn ProducesTickets>;

/// Keys of session tickets.
pub(super) struct Tickets {
    trust: Arc<SharedTrust>,
    credentials: Arc<SharedCredentials>,
    keys: Mutex<Keys>,
}

struct Keys {
    ground: Ground,
    /// Unix seconds.
    since: u64,
    /// `None` when the system had no randomness: then there are no tickets.
    current: Option<Key>,
    previous: Option<Key>,
}

impl Keys {
    fn new(ground: Ground, now: u64) -> Keys {
        Keys { ground, since: now, current: Ticketer::new().ok(), previous: None }
    }

    /// Rotates, and forgets what another ground has made.
    fn renew(&mut self, ground: Ground, now: u64) {
        let age = now.saturating_sub(self.since);
        let lifetime = ROTATION.as_secs();
        if !self.ground.is(&ground) || age >= 2 * lifetime {
            *self = Keys::new(ground, now);
        } else if age >= lifetime {
            self.previous = std::mem::replace(&mut self.current, Ticketer::new().ok());
            self.since = now;
        }
    }
}

impl Tickets {
    pub(super) fn new(trust: Arc<SharedTrust>, credentials: Arc<SharedCredentials>) -> Tickets {
        let ground = Ground::now(&trust, &credentials);
        let keys = Mutex::new(Keys::new(ground, UnixTime::now().as_secs()));
        Tickets { trust, credentials, keys }
    }

    fn keys(&self) -> (Option<Key>, Option<Key>) {
        let ground = Ground::now(&self.trust, &self.credentials);
        let mut keys = lock(&self.keys);
        keys.renew(ground, UnixTime::now().as_secs());
        (keys.current.clone(), keys.previous.clone())
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        ROTATION.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys().0?.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let (current, previous) = self.keys();
        let open = |key: Key| key.decrypt(cipher);
        current.and_then(open).or_else(|| previous.and_then(open))
    }
}

// === the connecting side ===

/// Sessions a client may continue.
pub(super) struct Sessions {
    trust: Arc<SharedTrust>,
    credentials: Arc<SharedCredentials>,
    state: Mutex<Remembered>,
}

struct Remembered {
    ground: Ground,
    store: Arc<ClientSessionMemoryCache>,
    /// How long the chain holds that a server has shown.
    chains: HashMap<ServerName<'static>, Validity>,
}

impl Remembered {
    fn new(ground: Ground) -> Remembered {
        let store = Arc::new(ClientSessionMemoryCache::new(SERVERS * TICKETS));
        Remembered { ground, store, chains: HashMap::new() }
    }
}

impl Sessions {
    pub(super) fn new(trust: Arc<SharedTrust>, credentials: Arc<SharedCredentials>) -> Sessions {
        let state = Mutex::new(Remembered::new(Ground::now(&trust, &credentials)));
        Sessions { trust, credentials, state }
    }

    fn state(&self) -> MutexGuard<'_, Remembered> {
        let ground = Ground::now(&self.trust, &self.credentials);
        let mut state = lock(&self.state);
        if !state.ground.is(&ground) {
            *state = Remembered::new(ground);
        }
        state
    }

    /// A server has shown a chain that holds this long. Sessions from before
    /// are forgotten: their tickets may have come after trust had changed.
    pub(super) fn believed(&self, server: &ServerName<'_>, validity: Validity) {
        let mut state = self.state();
        if state.chains.len() >= SERVERS {
            state.chains.clear();
        }
        let server = server.to_owned();
        state.store.remove_tls12_session(&server);
        while state.store.take_tls13_ticket(&server).is_some() {}
        state.chains.insert(server, validity);
    }

    /// The store, if the server's chain still holds at `now` (unix seconds).
    fn store_for(&self, server: &ServerName<'_>, now: i64) -> Option<Arc<ClientSessionMemoryCache>> {
        let state = self.state();
        let holds = state.chains.get(server).is_some_and(|validity| validity.includes(now));
        holds.then(|| state.store.clone())
    }

    fn store(&self) -> Arc<ClientSessionMemoryCache> {
        self.state().store.clone()
    }
}

fn now() -> i64 {
    i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX)
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.store().set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.store().kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.store().set_tls12_session(server, value);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.store_for(server, now())?.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.store().remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.store().insert_tls13_ticket(server, value);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.store_for(server, now())?.take_tls13_ticket(server)
    }
}

#[cfg(test)]
#[path = "resumption_tests.rs"]
mod tests;
