//! What the broker does not put up with.

use std::sync::Arc;
use std::time::Duration;

use super::kit::{
    Raw, ca, loopback, patient_limits, plain_broker, plain_options, quick_limits, tls_options, until,
};
use crate::core::admission::{X509Authenticator, X509Options};
use crate::core::broker::{AdoptError, Broker, BrokerError, Limits, Listener, Options};

#[test]
fn options_that_contradict_each_other() {
    let public = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
    let plain = plain_options();
    assert!(matches!(
        Broker::start(Options { listeners: vec![], ..plain.clone() }),
        Err(BrokerError::NoListener)
    ));
    let options = Options { listeners: vec![Listener::plaintext(public)], ..plain.clone() };
    assert!(matches!(Broker::start(options), Err(BrokerError::PlaintextNotLoopback(_))));
    let options = Options { listeners: vec![Listener::tls(loopback())], ..plain.clone() };
    assert!(matches!(Broker::start(options), Err(BrokerError::NoTls(_))));
    let options = Options { version: "2.10".to_owned(), ..plain.clone() };
    assert!(matches!(Broker::start(options), Err(BrokerError::Version(_))));
    let broker = Broker::start(plain.clone()).unwrap();
    let options = Options { listeners: vec![Listener::plaintext(broker.local_addr())], ..plain };
    assert!(matches!(Broker::start(options), Err(BrokerError::Bind { .. })));
}

#[test]
fn nobody_stays_without_connect() {
    let broker = Broker::start(Options { limits: quick_limits(), ..plain_options() }).unwrap();
    let mut silent = Raw::plain(broker.local_addr());
    assert_eq!(silent.rest(), "-ERR 'Authentication Timeout'\r\n");
    let mut pinging = Raw::plain(broker.local_addr());
    pinging.send("PING\r\n");
    assert_eq!(pinging.rest(), "PONG\r\n-ERR 'Authentication Timeout'\r\n");
    until("both to be counted", || {
        broker.stats().refusals.get("authentication timeout") == Some(&2) && broker.stats().connections == 0
    });

    let broker =
        Broker::start(Options { limits: quick_limits(), ..tls_options(Default::default()) }).unwrap();
    let mut never_tls = Raw::plain(broker.local_addr());
    assert_eq!(never_tls.rest(), "");
    let mut clear_text = Raw::plain(broker.local_addr());
    clear_text.send("CONNECT {}\r\nPING\r\n");
    assert_eq!(clear_text.rest(), "");
    let mut quiet = Raw::tls(broker.local_addr(), ca().client(Some(ca().issue("dev1")))).unwrap();
    assert_eq!(quiet.rest(), "-ERR 'Authentication Timeout'\r\n");
    until("both to be counted", || {
        let refusals = broker.stats().refusals;
        refusals.get("tls timeout") == Some(&1) && refusals.get("tls handshake") == Some(&1)
    });
}

#[test]
fn a_storm_waits_outside_and_those_inside_do_not_notice() {
    let limits = Limits { max_handshakes: 3, ..patient_limits() };
    let broker = Broker::start(Options { limits, ..tls_options(Default::default()) }).unwrap();
    let login = || {
        let mut client = Raw::tls(broker.local_addr(), ca().client(Some(ca().issue("dev1")))).unwrap();
        client.login("");
        client
    };
    let mut inside = login();
    // peers that never finish fill the room, and more wait for it
    let storm: Vec<_> = (0..30).map(|_| std::net::TcpStream::connect(broker.local_addr()).unwrap()).collect();
    until("a full room", || broker.stats().handshaking == 3);
    for _ in 0..100 {
        inside.sync();
    }
    assert!(broker.stats().handshaking <= 3);
    // nobody leaves, and still there is room for one who knows what it wants
    let mut late = login();
    drop(storm);
    late.sync();
    until("the storm to be over", || broker.stats().handshaking == 0);
    assert_eq!(broker.stats().connections, 2);
    assert!(broker.stats().refusals.contains_key("crowded out"));
    assert!(broker.is_healthy());
}

#[test]
fn strangers_get_no_memory() {
    let broker = plain_broker();
    let mut flooding = Raw::plain(broker.local_addr());
    flooding.send("PUB a 1000000\r\n");
    assert_eq!(flooding.rest(), "-ERR 'Authorization Violation'\r\n");
    let mut pinging = Raw::plain(broker.local_addr());
    let pings = "PING\r\n".repeat(10_000);
    while pinging.try_send(&pings).is_ok() {}
    until("it to be gone", || broker.stats().refusals.contains_key("protocol"));
    until("all to be gone", || broker.stats().handshaking == 0);
}

#[test]
fn a_flood_of_tiny_lines_counts_what_it_costs() {
    let limits = Limits { max_pending: 1024 * 1024, ..patient_limits() };
    let broker = Broker::start(Options { limits, ..plain_options() }).unwrap();
    let mut pinging = Raw::plain(broker.local_addr());
    pinging.login("");
    let pings = "PING\r\n".repeat(10_000);
    while pinging.try_send(&pings).is_ok() {}
    until("it to be cut", || broker.stats().slow_consumers == 1);
    until("its queue to be freed", || broker.stats().pending_bytes == 0);
}

#[test]
fn too_many_connections() {
    let limits = Limits { max_connections: 2, ..patient_limits() };
    let broker = Broker::start(Options { limits, ..plain_options() }).unwrap();
    let mut all: Vec<Raw> = (0..2).map(|_| Raw::plain(broker.local_addr())).collect();
    for client in &mut all {
        client.login("");
    }
    let refused = Raw::plain(broker.local_addr());
    assert_eq!(refused.info, "-ERR 'maximum connections exceeded'\r\n");
    drop(all.pop());
    until("room for one", || broker.stats().connections == 1);
    Raw::plain(broker.local_addr()).login("");
}

#[test]
fn too_many_subscriptions() {
    let limits = Limits { max_subscriptions: Some(2), ..patient_limits() };
    let broker = Broker::start(Options { limits, ..plain_options() }).unwrap();
    let mut client = Raw::plain(broker.local_addr());
    client.login("");
    client.send("SUB a 1\r\nSUB b 2\r\nSUB c 3\r\n");
    assert_eq!(client.sync(), "-ERR 'maximum subscriptions exceeded'\r\n");
    client.send("UNSUB 1\r\nSUB c 3\r\n");
    assert_eq!(client.sync(), "");
}

#[test]
fn a_peer_that_answers_no_ping_is_stale() {
    let limits = Limits { ping_interval: Duration::from_millis(200), ..patient_limits() };
    let broker = Broker::start(Options { limits, ..plain_options() }).unwrap();
    let mut silent = Raw::plain(broker.local_addr());
    silent.login("");
    let mut alive = Raw::plain(broker.local_addr());
    alive.login("");
    alive.send("SUB x 1\r\n");
    let answering = std::thread::spawn(move || {
        for _ in 0..6 {
            alive.until("PING\r\n");
            alive.send("PONG\r\n");
        }
        alive
    });
    assert_eq!(silent.rest(), "PING\r\nPING\r\n-ERR 'Stale Connection'\r\n");
    let mut alive = answering.join().unwrap();
    assert_eq!(alive.sync().replace("PING\r\n", ""), "");
    assert_eq!(broker.stats().stale_connections, 1);
}

/// A connection from an address of this machine's many.
fn from(host: [u8; 4], to: std::net::SocketAddr) -> std::net::TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from((host, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = std::net::TcpStream::from(socket);
    stream.set_read_timeout(Some(super::kit::PATIENCE)).unwrap();
    stream
}

#[test]
fn one_address_does_not_fill_the_room() {
    let limits = Limits { max_handshakes: 10, max_handshakes_per_address: 3, ..patient_limits() };
    let broker = Broker::start(Options { limits, ..plain_options() }).unwrap();
    let address = broker.local_addr();
    let mut held: Vec<_> = (0..3).map(|_| from([127, 0, 0, 2], address)).collect();
    until("three guests", || broker.stats().handshaking == 3);
    // eight times as many wait for them
    let mut waiting: Vec<_> = (0..24).map(|_| from([127, 0, 0, 2], address)).collect();
    until("the others", || broker.stats().waiting == 24);
    assert_eq!((broker.stats().handshaking, broker.stats().connections), (3, 0));
    let mut refused = from([127, 0, 0, 2], address);
    assert_eq!(std::io::Read::read(&mut refused, &mut [0; 10]).unwrap_or(0), 0, "closed without a word");
    assert_eq!(broker.stats().refusals.get("too many from one address"), Some(&1));
    // others do not notice
    Raw::plain(address).login("");
    held.push(from([127, 0, 0, 3], address));
    until("a guest from elsewhere", || broker.stats().handshaking == 4);
    // whoever waits has its turn, and gets in
    let mut first = waiting.remove(0);
    std::io::Write::write_all(&mut first, b"CONNECT {}\r\nPING\r\n").unwrap();
    let mut text = Vec::new();
    while !text.ends_with(b"PONG\r\n") {
        let mut piece = [0; 1];
        std::io::Read::read_exact(&mut first, &mut piece).unwrap();
        text.extend_from_slice(&piece);
    }
    assert!(text.starts_with(b"INFO {"));
    drop((held, waiting));
    until("all to be gone", || broker.stats().handshaking == 0 && broker.stats().waiting == 0);
    until("one to be in", || broker.stats().connections == 1);
    assert_eq!(broker.stats().refusals.get("too many from one address"), Some(&1));
}

#[test]
fn ten_thousand_who_never_say_who_they_are() {
    const ALL: usize = 10_000;
    const AT_ONCE: usize = 500;
    let limits = Limits { auth_timeout: Duration::from_millis(300), ..Limits::default() };
    let broker = Broker::start(Options { limits, ..plain_options() }).unwrap();
    let mut inside = Raw::plain(broker.local_addr());
    inside.login("");
    inside.send("SUB song 1\r\n");
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).map(str::to_owned);
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok()).unwrap_or(0)
    };
    let mut after_first = 0;
    for round in 0..ALL / AT_ONCE {
        let crowd: Vec<_> = (0..AT_ONCE)
            .map(|number| from([127, 1, round as u8, (number % 8) as u8 + 1], broker.local_addr()))
            .collect();
        inside.send("PUB song 1\r\nx\r\n");
        inside.until("MSG song 1 1\r\nx\r\n");
        for mut stranger in crowd {
            let mut said = String::new();
            // a peer that was sent away to make room may see a reset
            let _ = std::io::Read::read_to_string(&mut stranger, &mut said);
            assert!(said.is_empty() || said.starts_with("INFO {"), "{said}");
        }
        if round == 0 {
            after_first = resident();
        }
    }
    until("all to be gone", || broker.stats().handshaking == 0 && broker.stats().connections == 1);
    let stats = broker.stats();
    let refused: u64 = ["authentication timeout", "crowded out"]
        .iter()
        .map(|reason| stats.refusals.get(reason).copied().unwrap_or(0))
        .sum();
    assert_eq!(refused, ALL as u64, "{:?}", stats.refusals);
    assert!(stats.refusals["authentication timeout"] > 0);
    assert_eq!(stats.handshakes_failed, ALL as u64);
    // other tests of this process need memory too: what matters is that it is not ten thousand times something
    let grown = resident().saturating_sub(after_first);
    assert!(grown < 200 * 1024, "{grown} KiB more after {ALL} strangers than after {AT_ONCE}");
    assert_eq!(inside.sync(), "");
    assert_eq!(stats.stale_connections + stats.slow_consumers, 0);
}

#[test]
fn connections_that_somebody_else_has_accepted() {
    let plain = std::net::TcpListener::bind(loopback()).unwrap();
    let secure = std::net::TcpListener::bind(loopback()).unwrap();
    let own = Listener::plaintext(loopback());
    let handed = [
        own,
        Listener::plaintext(plain.local_addr().unwrap()).handed_in(),
        Listener::tls(secure.local_addr().unwrap()).handed_in(),
    ];
    let limits = Limits { max_handshakes: 2, max_connections: 4, ..patient_limits() };
    let options = Options { limits, listeners: handed.to_vec(), ..tls_options(Default::default()) };
    let rules = X509Authenticator::new(X509Options { allow_plaintext: true, ..Default::default() });
    let broker = Broker::start(Options { authenticator: Arc::new(rules), ..options }).unwrap();
    assert_eq!(broker.local_addrs()[1..], [plain.local_addr().unwrap(), secure.local_addr().unwrap()]);
    let adopt = |number, socket: &std::net::TcpListener| broker.adopt(number, socket.accept().unwrap().0);

    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut client = Raw::plain(plain.local_addr().unwrap());
            client.login("");
            client
        });
        adopt(1, &plain).unwrap();
        let mut client = client.join().unwrap();
        assert!(client.info.contains(&format!("\"port\":{}", plain.local_addr().unwrap().port())));
        let member = scope.spawn(|| {
            let identity = ca().client(Some(ca().issue("dev1.example.net")));
            let mut client = Raw::tls(secure.local_addr().unwrap(), identity).unwrap();
            client.login("");
            client
        });
        adopt(2, &secure).unwrap();
        let mut member = member.join().unwrap();
        member.send("SUB a 1\r\n");
        member.sync();
        client.send("PUB a 1\r\nx\r\n");
        member.until("MSG a 1 1\r\nx\r\n");

        // limits are the same: two in the room, four altogether
        let silent: Vec<_> =
            (0..3).map(|_| std::net::TcpStream::connect(plain.local_addr().unwrap()).unwrap()).collect();
        adopt(1, &plain).unwrap();
        adopt(1, &plain).unwrap();
        let back = match adopt(1, &plain) {
            Err(AdoptError::Busy(stream)) => stream,
            other => panic!("{other:?}"),
        };
        broker.reload(
            Some(ca().server()),
            Arc::new(X509Authenticator::new(X509Options { allow_plaintext: true, ..Default::default() })),
            Limits { max_connections: 4, ..patient_limits() },
        );
        assert!(matches!(broker.adopt(1, back), Err(AdoptError::Refused("maximum connections"))));
        drop(silent);
        let _waiting = std::net::TcpStream::connect(plain.local_addr().unwrap()).unwrap();
        assert!(matches!(adopt(0, &plain), Err(AdoptError::NoListener(0))));
        let _waiting = std::net::TcpStream::connect(plain.local_addr().unwrap()).unwrap();
        assert!(matches!(adopt(9, &plain), Err(AdoptError::NoListener(9))));
        let _waiting = std::net::TcpStream::connect(plain.local_addr().unwrap()).unwrap();
        broker.shutdown();
        assert!(matches!(adopt(1, &plain), Err(AdoptError::Stopping)));
    });
}

#[test]
fn limits_can_change_while_running() {
    let options = plain_options();
    let authenticator = Arc::clone(&options.authenticator);
    let broker = Broker::start(options).unwrap();
    let mut client = Raw::plain(broker.local_addr());
    client.login("");
    broker.reload(None, authenticator, Limits { max_payload: 10, ..patient_limits() });
    until("new limits", || Raw::plain(broker.local_addr()).info.contains("\"max_payload\":10,"));
    client.sync();
    client.send("PUB a 11\r\n");
    assert_eq!(client.rest(), "-ERR 'Maximum Payload Violation'\r\n");
}

#[test]
fn no_bytes_end_the_broker() {
    let broker = plain_broker();
    let address = broker.local_addr();
    let talk = [
        "CONNECT {\"verbose\":false,\"headers\":true}\r\n",
        "PING\r\n",
        "SUB > 1\r\n",
        "SUB a.* g 2\r\n",
        "PUB a.b 3\r\nxyz\r\n",
        "HPUB a.b r 2 3\r\nxyz\r\n",
        "UNSUB 1 2\r\n",
        "UNSUB 2\r\n",
        "PUB $SYS.REQ.USER.INFO a.b 0\r\n\r\n",
        "\r\n",
        "PUB a",
    ];
    bolero::check!().with_iterations(300).for_each(|bytes: &[u8]| {
        let mut peer = std::net::TcpStream::connect(address).unwrap();
        let mut said = talk[0].as_bytes().to_vec();
        for byte in bytes {
            match talk.get(usize::from(*byte) % (talk.len() + 2)) {
                Some(line) => said.extend_from_slice(line.as_bytes()),
                None => said.push(*byte),
            }
        }
        // the broker may close at any point
        let _ = std::io::Write::write_all(&mut peer, &said);
    });
    until("all to be gone", || broker.stats().connections == 0 && broker.stats().handshaking == 0);
    until("all subscriptions to be gone", || {
        broker.stats().subscriptions == 0 && broker.stats().pending_bytes == 0
    });
    assert!(broker.is_healthy());
    let mut client = Raw::plain(broker.local_addr());
    client.login("");
    client.sync();
}
