//! SRV records name the brokers, and a fleet follows them.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use choria::core::connection::{ServerList, Session, SessionOptions, SrvResolver};
use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use crate::network::Network;
use crate::process::PATIENCE;
use crate::wire::provider;

/// Priority and port of the records of one name; all point to localhost, and
/// port 0 to nothing.
type Zone = Arc<Mutex<Vec<(u16, u16)>>>;

const NAME: &str = "_mcollective-server._tcp.example.net";

/// A DNS server that knows [`NAME`].
struct Dns {
    address: SocketAddr,
    zone: Zone,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Dns {
    fn start() -> Dns {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let address = socket.local_addr().expect("an address");
        let (zone, stop) = (Zone::default(), Arc::new(AtomicBool::new(false)));
        let (records, stopped) = (zone.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
                let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
                let answer = answer(&question, &records.lock().expect("a zone"));
                let _ = socket.send_to(&answer.to_vec().expect("a message"), peer);
            }
        });
        Dns { address, zone, stop, thread: Some(thread) }
    }

    fn say(&self, records: &[(u16, u16)]) {
        *self.zone.lock().expect("a zone") = records.to_vec();
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(question: &Message, records: &[(u16, u16)]) -> Message {
    let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    answer.metadata.authoritative = true;
    for query in &question.queries {
        answer.add_query(query.clone());
        let name = query.name().to_utf8();
        if name.trim_end_matches('.') != NAME {
            answer.metadata.response_code = ResponseCode::NXDomain;
        } else if query.query_type() == RecordType::SRV {
            for (priority, port) in records {
                let target = if *port == 0 { "." } else { "localhost." };
                let target = Name::from_utf8(target).expect("a name");
                let srv = SRV::new(*priority, 1, *port, target);
                answer.add_answer(Record::from_rdata(query.name().clone(), 1, RData::SRV(srv)));
            }
        }
    }
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_session_follows_a_zone_that_changes() {
    let dns = Dns::start();
    let mut network = Network::start();
    let first = network.address().port();
    // A port nobody listens on comes first by priority, and is passed over.
    dns.say(&[(1, 1), (10, first)]);
    let alice = network.alice();
    let tls = provider(&alice.config, &alice.name).client_tls().expect("TLS");
    let resolver = SrvResolver::with_server(dns.address).expect("a resolver");
    let names = ["_nosuch._tcp.example.net", NAME].map(str::to_owned).to_vec();
    let mut options = SessionOptions::new("alice", ServerList::srv(resolver, names), "mcollective.reply");
    options.tls = Some(tls);
    options.connect_timeout = PATIENCE;
    options.give_up_after = Some(PATIENCE);
    let session = Session::connect(options).await.expect("a broker");
    assert_eq!(session.connected_server(), Some(format!("nats://localhost:{first}")));

    // The broker moves, and then the zone says so.
    network.move_broker();
    let second = network.address().port();
    assert_ne!(first, second);
    dns.say(&[(1, second)]);
    let arrived = async {
        while session.connected_server() != Some(format!("nats://localhost:{second}")) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, arrived).await.expect("the session follows");
    assert_eq!(session.stats().reconnections.load(Ordering::Relaxed), 1);
    session.close().await;
}

#[tokio::test]
async fn priorities_order_the_brokers_and_an_empty_zone_has_none() {
    let dns = Dns::start();
    let list = |names: &[&str]| {
        let resolver = SrvResolver::with_server(dns.address).expect("a resolver");
        ServerList::srv(resolver, names.iter().map(|n| (*n).to_owned()).collect())
    };
    dns.say(&[(20, 3), (1, 1), (10, 2)]);
    let servers = list(&[NAME]).resolve().await.expect("an answer");
    assert_eq!(servers.iter().map(|s| s.port()).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(servers.iter().all(|s| s.host() == "localhost"));
    assert!(list(&["_nosuch._tcp.example.net"]).resolve().await.expect("an answer").is_empty());
    dns.say(&[]);
    assert!(list(&[NAME]).resolve().await.expect("an answer").is_empty());
}

#[tokio::test]
async fn a_domain_may_say_that_it_has_no_brokers() {
    let dns = Dns::start();
    let resolver = SrvResolver::with_server(dns.address).expect("a resolver");
    let list = ServerList::srv(resolver, vec![NAME.to_owned()]);
    dns.say(&[(0, 0)]);
    let error = list.resolve().await.expect_err("no service").to_string();
    assert!(error.contains(NAME) && error.contains("no such service"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_name_server_that_says_nothing_is_named_while_it_is_waited_for() {
    let mute = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let resolver = SrvResolver::with_server(mute.local_addr().expect("an address")).expect("a resolver");
    let names = ["_first._tcp.example.net", NAME].map(str::to_owned).to_vec();
    let mut options = SessionOptions::new("alice", ServerList::srv(resolver, names), "mcollective.reply");
    options.give_up_after = Some(Duration::from_secs(4));
    let told = Arc::new(Mutex::new(vec![]));
    let tell = told.clone();
    let begun = std::time::Instant::now();
    options.first_failure = Some(Arc::new(move |reasons: &[String]| {
        tell.lock().expect("texts").push((begun.elapsed(), reasons.join("; ")));
    }));
    let error = Session::connect(options).await.err().expect("nobody answers").to_string();
    let (after, text) = told.lock().expect("texts").first().cloned().expect("a word before the end");
    assert!(after < Duration::from_millis(3500), "{after:?}");
    for text in [text, error] {
        assert!(text.contains("_first._tcp.example.net and _mcollective-server._tcp"), "{text}");
        assert!(text.contains("no answer after 2 s"), "{text}");
    }
}
