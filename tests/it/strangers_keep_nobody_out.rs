//! Thousands who never say who they are, from many addresses: who has a certificate gets in.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::a_hostile_node_does_not_hurt_the_broker::field;
use crate::network::{Network, node};
use crate::process::until;
use crate::raw::{Raw, socket_from, tls};

/// Addresses of the strangers, and connections of each.
const ADDRESSES: usize = 60;
const OF_EACH: usize = 100;
/// How long each waits with its next byte: no connection is ever silent for long.
const TRICKLE: Duration = Duration::from_millis(300);

/// Keeps half-open connections from one address, and says a ClientHello a byte at a time on each.
fn crowd(from: &str, to: SocketAddr, opened: &AtomicUsize, stop: &AtomicBool) {
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let mut held: Vec<(TcpStream, usize)> = vec![];
    while !stop.load(Ordering::Acquire) {
        held.retain_mut(|(socket, said)| {
            let is_open = !matches!(socket.read(&mut [0; 4096]), Ok(0))
                && socket.write(&hello[*said % hello.len()..][..1]).is_ok();
            *said += 1;
            is_open
        });
        while held.len() < OF_EACH {
            let socket = socket_from(from, to);
            socket.set_nonblocking(true).expect("a socket");
            held.push((socket, 0));
            opened.fetch_add(1, Ordering::AcqRel);
        }
        std::thread::sleep(TRICKLE);
    }
}

/// Stops the strangers however a test ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn who_has_a_certificate_gets_in() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("a limit");
    let mut network = Network::start();
    let broker = network.broker().pid();
    let before = field(broker, "RssAnon:");
    let _node = network.node(node("n1"));
    network.answered_by(&["n1.example.net"]);
    let alice = network.alice();
    // nobody has come from there before
    let elsewhere = || Raw::over(socket_from("127.9.9.9", network.address()), tls(&alice), "").try_sync();
    let (opened, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        for last in 1..=ADDRESSES {
            let (network, opened, stop) = (&network, &opened, &stop);
            scope.spawn(move || crowd(&format!("127.7.0.{last}"), network.address(), opened, stop));
        }
        until("more than all places", || {
            (opened.load(Ordering::Acquire) > ADDRESSES * OF_EACH).then_some(())
        });
        let end = Instant::now() + Duration::from_secs(8);
        while Instant::now() < end {
            alice.run(&["rpc", "rpcutil", "ping", "-I", "n1.example.net"]).fine();
            let begun = Instant::now();
            assert!(elsewhere().is_some(), "a stranger's crowd keeps out who comes for the first time");
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        }
        let grown = field(broker, "RssAnon:").saturating_sub(before);
        assert!(grown < 64 * 1024 * 1024, "{grown} bytes for {opened:?} strangers");
    });
    alice.run(&["rpc", "rpcutil", "ping"]).fine();
}
