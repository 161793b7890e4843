//! What strangers and members may try, case by case, while others talk.
//!
//! Every case is a fresh connection, some bytes, and exactly what must come
//! back before the connection ends (`<closed>`) or answers a last PING
//! (`<alive>`). Meanwhile a pair of canaries in an account of their own
//! exchanges messages, and hears nothing else.

mod cases;
mod stubborn;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::kit::{PATIENCE, Raw, ca, loopback, plain_options, until};
use crate::core::admission::{Account, Credential, GrantLimits, Permission, StaticUser, StaticUsers};
use crate::core::broker::{Broker, Limits, Listener, Options};
use crate::core::text::Secret;

/// Who sends.
#[derive(Clone, Copy, PartialEq)]
pub enum As {
    /// Nobody yet: the bytes come before any CONNECT.
    Stranger,
    /// A member without restriction, in its own account.
    Member,
    /// The same, having announced headers.
    Headers,
    /// A member who may publish `n1.out.>` and subscribe `n1.>`.
    Node,
}

fn user(name: &str, account: &str) -> StaticUser {
    let credential = Credential::Password { user: name.to_owned(), password: Secret::new("pw") };
    StaticUser::new(credential, Account::named(account).unwrap())
}

fn broker() -> Broker {
    let member =
        StaticUser { limits: GrantLimits { max_subscriptions: Some(100) }, ..user("member", "adv-members") };
    let node = StaticUser {
        publish: Permission::only(["n1.out.>"]),
        subscribe: Permission::only(["n1.>"]),
        ..user("node", "adv-members")
    };
    let users = StaticUsers::new([member, node, user("canary", "adv-canaries")]).unwrap();
    Broker::start(Options {
        listeners: vec![Listener::plaintext(loopback()), Listener::tls(loopback())],
        tls: Some(ca().server()),
        authenticator: Arc::new(users),
        limits: Limits {
            tls_timeout: Duration::from_millis(500),
            auth_timeout: Duration::from_millis(500),
            max_payload: 4096,
            max_pending: 1 << 20,
            ..Limits::default()
        },
        ..plain_options()
    })
    .unwrap()
}

/// Two who talk all the time and hear nobody else.
struct Canaries {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Canaries {
    fn start(address: SocketAddr) -> Self {
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopping, counted) = (stop.clone(), rounds.clone());
        let thread = std::thread::spawn(move || {
            let login = || {
                let mut raw = Raw::plain(address);
                raw.login(",\"user\":\"canary\",\"pass\":\"pw\"");
                raw.send("SUB > 1\r\n");
                assert_eq!(raw.sync(), "");
                raw
            };
            let (mut one, mut other) = (login(), login());
            while !stopping.load(Ordering::Relaxed) {
                let round = counted.load(Ordering::Relaxed);
                one.send(format!("PUB song {}\r\n{round}\r\n", round.to_string().len()));
                let heard = format!("MSG song 1 {}\r\n{round}\r\n", round.to_string().len());
                // anything else that reached this account would stand before it
                for bird in [&mut other, &mut one] {
                    let got = bird.until(&heard);
                    if got.starts_with("PING\r\n") {
                        bird.send("PONG\r\n");
                    }
                    assert_eq!(got.strip_prefix("PING\r\n").unwrap_or(&got), heard);
                }
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { stop, rounds, thread: Some(thread) }
    }

    /// They are well: another round takes place.
    fn sing(&self, after: &str) {
        let before = self.rounds.load(Ordering::Relaxed);
        until(&format!("the canaries after {after}"), || {
            let thread = self.thread.as_ref().unwrap();
            assert!(!thread.is_finished(), "the canaries died of {after}");
            self.rounds.load(Ordering::Relaxed) > before + 1
        });
    }
}

impl Drop for Canaries {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the canaries have died");
    }
}

/// Everything that comes back, and how it ends.
fn outcome(address: SocketAddr, who: As, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut got = read_until(&mut stream, b"\r\n");
    assert!(got.starts_with(b"INFO {"), "{}", String::from_utf8_lossy(&got));
    let (name, headers) = match who {
        As::Stranger => ("", false),
        As::Member => ("member", false),
        As::Headers => ("member", true),
        As::Node => ("node", false),
    };
    if who != As::Stranger {
        let connect = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":{headers},\"user\":\"{name}\",\"pass\":\"pw\"}}\r\nPING\r\n"
        );
        stream.write_all(connect.as_bytes()).unwrap();
        got = read_until(&mut stream, b"PONG\r\n");
        assert_eq!(got, b"PONG\r\n");
    }
    // the broker may close while it is still written to
    let _ = stream.write_all(bytes).and_then(|()| stream.write_all(b"PING\r\n"));
    let _ = stream.shutdown(Shutdown::Write);
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    match text.strip_suffix("PONG\r\n") {
        Some(text) => format!("{text}<alive>"),
        None => format!("{text}<closed>"),
    }
}

fn read_until(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let (mut got, mut byte) = (Vec::new(), [0]);
    while !got.ends_with(end) && stream.read(&mut byte).is_ok_and(|count| count > 0) {
        got.push(byte[0]);
    }
    got
}

#[test]
fn each_gets_what_it_deserves_and_others_do_not_notice() {
    let broker = broker();
    let address = broker.local_addrs()[0];
    let canaries = Canaries::start(address);
    let mut wrong = Vec::new();
    let cases = cases::cases();
    assert!(cases.len() >= 100, "{}", cases.len());
    for (name, who, bytes, expected) in &cases {
        let got = outcome(address, *who, bytes);
        if got != *expected {
            wrong.push(format!("(\"{name}\", {got:?}) expected {expected:?}"));
        }
        canaries.sing(name);
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    until("all to be gone", || broker.stats().connections == 2 && broker.stats().handshaking == 0);
    assert_eq!(broker.stats().subscriptions, 2);
    assert!(broker.is_healthy());
}
