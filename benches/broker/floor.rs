//! The least a message can cost: what comes in by one link goes out by others,
//! through epoll and rustls, and nothing is looked at.
//!
//! It says INFO and PONG as a server does, so that the same clients can use it.
//! Whoever has subscribed gets every byte others send from then on.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rustls::{ServerConfig, ServerConnection};

use super::Failure;

const LISTENER: Token = Token(usize::MAX);
/// Bytes of a read, as a broker's.
const READ: usize = 64 * 1024;
/// As in the INFO of a server; clients of ours read its line end only.
const INFO: &[u8] = b"INFO {\"server_id\":\"floor\",\"headers\":true,\"max_payload\":1048576}\r\n";

struct Peer {
    stream: TcpStream,
    tls: ServerConnection,
    receives: bool,
    /// Nothing is relayed before this was answered.
    greeted: bool,
}

/// Relays until the process is killed; says where it listens.
pub fn serve(config: Arc<ServerConfig>) -> Result<(), Failure> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("listening for client connections on {}", listener.local_addr()?);
    let mut events = Events::with_capacity(1024);
    let mut peers: Vec<Option<Peer>> = Vec::new();
    let mut bytes = vec![0; READ];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            let token = event.token();
            if token == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    stream.write_all(INFO)?;
                    poll.registry().register(
                        &mut stream,
                        Token(peers.len()),
                        Interest::READABLE | Interest::WRITABLE,
                    )?;
                    let mut tls = ServerConnection::new(config.clone())?;
                    tls.set_buffer_limit(None);
                    peers.push(Some(Peer { stream, tls, receives: false, greeted: false }));
                }
                continue;
            }
            if !peers.get(token.0).is_some_and(Option::is_some) {
                continue;
            }
            if event.is_readable() {
                relay(&mut peers, token.0, &mut bytes);
            }
            if event.is_writable()
                && let Some(Some(peer)) = peers.get_mut(token.0)
            {
                send(peer);
            }
        }
    }
}

/// Reads all that is there and passes it on.
fn relay(peers: &mut [Option<Peer>], from: usize, bytes: &mut [u8]) {
    loop {
        let Some(Some(peer)) = peers.get_mut(from) else { return };
        let mut gone = false;
        let mut plain = Vec::with_capacity(READ);
        match peer.stream.read(bytes) {
            Ok(0) => gone = true,
            Ok(count) => {
                let mut input = &bytes[..count];
                while !input.is_empty() && !gone {
                    gone = peer.tls.read_tls(&mut input).is_err() || peer.tls.process_new_packets().is_err();
                    // reading from memory fails only when there is nothing to read
                    let _ = peer.tls.reader().read_to_end(&mut plain);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => gone = true,
        }
        if gone {
            peers[from] = None;
            return;
        }
        if !peer.greeted && memchr::memmem::find(&plain, b"PING\r\n").is_some() {
            peer.greeted = true;
            peer.receives = memchr::memmem::find(&plain, b"SUB ").is_some();
            let _ = peer.tls.writer().write_all(b"PONG\r\n");
            plain.clear();
        }
        send(peer);
        if plain.is_empty() {
            continue;
        }
        for (number, other) in peers.iter_mut().enumerate() {
            if let Some(other) = other
                && other.receives
                && number != from
            {
                let _ = other.tls.writer().write_all(&plain);
                send(other);
            }
        }
    }
}

fn send(peer: &mut Peer) {
    while peer.tls.wants_write() {
        match peer.tls.write_tls(&mut peer.stream) {
            Ok(count) if count > 0 => {}
            _ => return,
        }
    }
}
