//! Those who take their time, come in crowds, or do not listen.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::super::kit::{PATIENCE, Raw, ca, until};
use super::{Canaries, broker, read_until};

fn connect(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(read_until(&mut stream, b"\r\n").starts_with(b"INFO {"));
    stream
}

fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn nobody_holds_a_place_by_being_slow() {
    let broker = broker();
    let [clear, tls] = [broker.local_addrs()[0], broker.local_addrs()[1]];
    let canaries = Canaries::start(clear);
    let drip = |address, bytes: &[u8]| {
        let mut stream = connect(address);
        for byte in bytes.iter().cycle() {
            if stream.write_all(&[*byte]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        rest(&mut stream)
    };
    type Try<'a> = (&'a str, Box<dyn Fn() -> String + 'a>, &'a str);
    let cases: [Try<'_>; 8] = [
        ("silence", Box::new(|| rest(&mut connect(clear))), "-ERR 'Authentication Timeout'\r\n"),
        ("pings and no CONNECT", Box::new(|| drip(clear, b"PING\r\n")), "-ERR 'Authentication Timeout'\r\n"),
        (
            "CONNECT by the byte",
            Box::new(|| drip(clear, b"CONNECT {\"user\":\"                        ")),
            "-ERR 'Authentication Timeout'\r\n",
        ),
        ("silence instead of TLS", Box::new(|| rest(&mut connect(tls))), ""),
        ("TLS by the byte", Box::new(|| drip(tls, &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3])), ""),
        (
            "clear text instead of TLS",
            Box::new(|| {
                let mut stream = connect(tls);
                stream.write_all(b"CONNECT {\"user\":\"member\",\"pass\":\"pw\"}\r\nPING\r\n").unwrap();
                rest(&mut stream)
            }),
            "",
        ),
        (
            "a record larger than TLS has",
            Box::new(|| {
                let mut stream = connect(tls);
                stream.write_all(&[22, 3, 1, 255, 255]).unwrap();
                let _ = stream.write_all(&[0; 4096]);
                // an alert in TLS, if anything
                rest(&mut stream).chars().filter(char::is_ascii_alphabetic).collect()
            }),
            "",
        ),
        (
            "silence in TLS",
            Box::new(|| Raw::tls(tls, ca().client(None)).unwrap().rest()),
            "-ERR 'Authentication Timeout'\r\n",
        ),
    ];
    for (name, attempt, expected) in cases {
        let since = Instant::now();
        let got = attempt();
        let pongs = got.replace("PONG\r\n", "");
        // a reset may overtake the words to somebody who goes on sending
        assert!(pongs == expected || pongs.is_empty(), "{name}: {got}");
        assert!(since.elapsed() < PATIENCE, "{name}");
        canaries.sing(name);
    }
    until("the timers to have counted", || {
        let refusals = broker.stats().refusals;
        refusals.get("authentication timeout").copied() >= Some(4)
            && refusals.get("tls timeout").copied() >= Some(2)
    });
    until("all to be gone", || broker.stats().connections == 2 && broker.stats().handshaking == 0);
}

#[test]
fn a_crowd_at_the_door_does_not_keep_others_out() {
    let broker = broker();
    let address = broker.local_addrs()[0];
    let canaries = Canaries::start(address);
    // more than the room holds, in waves: each wave leaves in another way
    for wave in 0..4 {
        let crowd: Vec<TcpStream> = (0..600).map(|_| TcpStream::connect(address).unwrap()).collect();
        canaries.sing("a crowd");
        let mut late = Raw::plain(address);
        late.login(",\"user\":\"member\",\"pass\":\"pw\"");
        for stream in &crowd {
            match wave {
                // resets instead of ends
                0 => SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap(),
                1 => drop(stream.shutdown(Shutdown::Write)),
                2 => drop((&*stream).write_all(b"CONNECT {\"user\":")),
                _ => {}
            }
        }
        drop(crowd);
        canaries.sing("its leaving");
    }
    until("all to be gone", || broker.stats().connections == 2 && broker.stats().handshaking == 0);
    assert!(broker.is_healthy());
}

#[test]
fn who_does_not_read_is_cut_and_nobody_waits() {
    let broker = broker();
    let address = broker.local_addrs()[0];
    let canaries = Canaries::start(address);
    let login = || {
        let mut raw = Raw::plain(address);
        raw.login(",\"user\":\"member\",\"pass\":\"pw\"");
        raw
    };
    let (mut deaf, mut loud) = (login(), login());
    deaf.send("SUB flood 1\r\n");
    deaf.sync();
    let message = format!("PUB flood 4096\r\n{}\r\n", "x".repeat(4096));
    until("the deaf one to be cut", || {
        loud.send(message.repeat(64));
        assert_eq!(loud.sync(), "");
        assert!(broker.stats().pending_bytes < 8 << 20, "{}", broker.stats().pending_bytes);
        broker.stats().slow_consumers == 1
    });
    canaries.sing("a flood");
    until("its memory to be free", || broker.stats().pending_bytes < 64 << 10);
}

#[test]
fn what_is_left_unfinished_is_taken_back() {
    let broker = broker();
    let address = broker.local_addrs()[0];
    let canaries = Canaries::start(address);
    let unfinished: [&[u8]; 6] = [
        b"PUB a 4096\r\nxxx",
        b"SUB a.> 1\r\nSUB b q 2\r\nPUB a.b 1\r\n",
        b"PI",
        b"SUB a 1\r\nUNSUB 1 5\r\n",
        b"PUB a",
        b"SUB s.1 1\r\nSUB s.1 2\r\nSUB s.1 3\r\nUNSUB 2\r\n",
    ];
    for (number, bytes) in unfinished.iter().cycle().take(60).enumerate() {
        let mut stream = connect(address);
        stream
            .write_all(b"CONNECT {\"verbose\":false,\"user\":\"member\",\"pass\":\"pw\"}\r\nPING\r\n")
            .unwrap();
        assert_eq!(read_until(&mut stream, b"PONG\r\n"), b"PONG\r\n");
        stream.write_all(bytes).unwrap();
        match number % 3 {
            0 => SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
            1 => stream.shutdown(Shutdown::Write).unwrap(),
            _ => {}
        }
    }
    canaries.sing("the unfinished");
    until("all to be gone", || broker.stats().connections == 2 && broker.stats().subscriptions == 2);
    until("nothing to be kept", || broker.stats().pending_bytes < 64 << 10);
}
