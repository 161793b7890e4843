//! The provisioner goes on with those who wait, in bounded memory, and ends when it is told to.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use choria::core::lifecycle::{Event, EventType};
use choria::core::protocol::v1::{
    Headers, Reply, ReplyEnvelope, Request, SecureReply, SecureRequest, Transport,
};
use choria::core::provisioning::{COMPONENT, REGISTRATION_SUBJECTS};
use choria::core::rpc::RequestBody;
use rcgen::{CertificateParams, KeyPair};
use rustix::process::Signal;

use super::Machine;
use crate::a_broker_shows_itself::{free_port, get};
use crate::a_hostile_node_does_not_hurt_the_broker::{Canary, field};
use crate::emulated::Emulated;
use crate::network::now;
use crate::process::{Daemon, until};
use crate::provisioning::provision;
use crate::raw::Raw;
use crate::waiting_room::{ACCESS, WaitingRoom};

const HONEST: usize = 10;
const MIB: u64 = 1024 * 1024;

fn publish(subject: &str, payload: &str) -> String {
    format!("PUB {subject} {}\r\n{payload}\r\n", payload.len())
}

fn event(kind: EventType, name: &str) -> String {
    let event = Event::new(kind, name, COMPONENT, "e0000000-0000-4000-8000-000000000000".to_owned(), now());
    publish(&event.subject(), &event.encode(false))
}

/// Startup events in names that nobody has, and goodbyes in those of others.
fn small_events(round: usize) -> String {
    let made_up = (0..200).map(|n| event(EventType::Startup, &format!("m{round}-{n}.example.net")));
    let others = (0..HONEST).map(|n| event(EventType::Shutdown, &format!("e{n}.example.net")));
    made_up.chain(others).collect()
}

/// As large as the broker takes them.
fn large_messages() -> String {
    let kinds = [EventType::Startup, EventType::Shutdown];
    let events = kinds.map(|kind| Event::new(kind, "m", COMPONENT, String::new(), 0).subject());
    let filler = "[0,".repeat(300_000);
    events.iter().map(String::as_str).chain(REGISTRATION_SUBJECTS).map(|to| publish(to, &filler)).collect()
}

fn answer(request: &Request, to: &str, name: &str, message: String) -> String {
    let envelope = ReplyEnvelope {
        requestid: request.envelope.requestid.as_str().into(),
        senderid: name.into(),
        agent: request.envelope.agent.as_str().into(),
        time: now(),
    };
    let reply = Reply { message: message.into(), envelope };
    let headers = Headers { reply_to: None, sender: name.to_owned(), seen_by: vec![], federation: None };
    let data = SecureReply::of(&reply.encode()).encode().into_bytes();
    publish(to, &Transport { data, headers }.encode())
}

/// Where a request is to be answered, and what it is; nothing for what is no request.
fn asked(payload: &str) -> Option<(String, Request)> {
    let transport = Transport::decode(payload.as_bytes()).ok()?;
    let secure = SecureRequest::decode(&transport.data).ok()?;
    Some((transport.headers.reply_to?, Request::decode(secure.message.as_bytes()).ok()?))
}

/// Answers whatever it is asked, many times, in many names, at length.
fn answers(mut raw: Raw, name: &str, stop: &AtomicBool, heard: &AtomicU64) {
    raw.send(format!("SUB provisioning.node.{name} 1\r\nSUB provisioning.broadcast.agent.discovery 2\r\n"));
    while !stop.load(Ordering::Relaxed) {
        let Some(_) = raw.until("MSG ") else { return };
        let (Some(line), Some(payload)) = (raw.until("\r\n"), raw.until("\r\n")) else { return };
        heard.fetch_add(1, Ordering::Relaxed);
        let Some((to, request)) = asked(&payload) else { continue };
        let flood: String = if line.starts_with("provisioning.broadcast") {
            (0..5000).map(|n| answer(&request, &to, &format!("d{n}.example.net"), "pong".into())).collect()
        } else {
            let large = format!(
                "{{\"statuscode\":0,\"data\":{{\"x\":{}0{}}}}}",
                "[0,".repeat(90_000),
                "]".repeat(90_000)
            );
            answer(&request, &to, name, large).repeat(40)
        };
        if raw.try_send(flood).is_err() {
            return;
        }
    }
}

/// A machine says what it was sent again, in an error: the log is not where to read it.
#[test]
fn the_access_token_is_not_in_the_log() {
    let room = WaitingRoom::open();
    let provisioner = Daemon::start("provisioner", provision(&room, ""));
    provisioner.says(&["watching for nodes"]);
    let mut raw = Machine::of(&room).connect("evil.example.net");
    raw.send("SUB provisioning.node.evil.example.net 1\r\n");
    raw.sync();
    raw.send(event(EventType::Startup, "evil.example.net"));
    // Inventory and token are asked for at once, in any order.
    for _ in 0..2 {
        raw.until("MSG ").expect("a request");
        let (_, payload) = (raw.until("\r\n"), raw.until("\r\n").expect("a request"));
        let (to, request) = asked(&payload).expect("a request");
        let text = format!("wrong token {ACCESS}! {}", ACCESS.to_uppercase());
        let quoted = serde_json::json!({"statuscode": 5, "statusmsg": text, "data": {}});
        raw.send(answer(&request, &to, "evil.example.net", quoted.to_string()));
    }
    provisioner.says(&["not provisioned", "wrong token *****! *****", "evil.example.net"]);
    assert_eq!(provisioner.matching(0, &[ACCESS]), Vec::<String>::new());
}

/// Names are in every log and on every page.
#[test]
fn a_name_that_shows_the_access_token_is_refused() {
    let port = free_port();
    let mut room = WaitingRoom::open();
    let provisioner = Daemon::start("provisioner", provision(&room, &format!("monitor_port: {port}\n")));
    provisioner.says(&["watching for nodes"]);
    let machine = Machine::of(&room);
    let names = [ACCESS.to_owned(), format!("n1.{}.example.net", ACCESS.to_uppercase())];
    for name in &names {
        let refused = machine.open(name).until("Authorization Violation");
        assert!(refused.is_some_and(|before| before.ends_with("-ERR '")));
    }
    room.network.broker().says(&["the name of its connection shows its access token"]);
    // by the words of another
    let mut raw = machine.connect("evil.example.net");
    raw.send("SUB provisioning.broadcast.agent.discovery 1\r\n");
    names.iter().for_each(|name| raw.send(event(EventType::Startup, name)));
    provisioner.says(&["a waiting machine's name shows the access token", "Event"]);
    raw.until("MSG ").expect("a discovery");
    let (_, payload) = (raw.until("\r\n"), raw.until("\r\n").expect("a discovery"));
    let (to, request) = asked(&payload).expect("a discovery");
    names.iter().for_each(|name| raw.send(answer(&request, &to, name, "pong".into())));
    provisioner.says(&["a waiting machine's name shows the access token", "Discovery"]);
    // the next one gets its turn, and what is told of it shows nothing either
    raw.send("SUB provisioning.node.evil.example.net 2\r\n");
    raw.send(event(EventType::Startup, "evil.example.net"));
    until("the next node to be tried", || get(port, "/status.json").contains("evil").then_some(()));
    let shows = |text: &str| text.to_lowercase().contains(ACCESS);
    let lines = [provisioner.lines(), room.network.broker().lines()].concat();
    assert_eq!(lines.iter().filter(|line| shows(line)).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(!shows(&get(port, "/status.json")));
}

/// Names are free to whoever has the token: what hundreds of them say that nobody has asked for
/// has less room than an answer.
#[test]
fn a_crowd_that_nobody_asked_is_in_nobodys_way() {
    const CROWD: usize = 300;
    let mut room = WaitingRoom::open();
    let provisioner = Daemon::start("provisioner", provision(&room, ""));
    provisioner.says(&["watching for nodes"]);
    let machine = Machine::of(&room);
    let mut first = machine.connect("evil.example.net");
    first
        .send("SUB provisioning.broadcast.agent.discovery 1\r\nSUB provisioning.node.evil.example.net 2\r\n");
    first.send(event(EventType::Startup, "evil.example.net"));
    first.until("MSG ").expect("a request");
    let (_, payload) = (first.until("\r\n"), first.until("\r\n").expect("a request"));
    let transport = Transport::decode(payload.as_bytes()).expect("a transport");
    let to = transport.headers.reply_to.clone().expect("it is to be answered");
    let broker = room.network.broker().pid();
    let (stop, sent, there) = (AtomicBool::new(false), AtomicU64::new(0), AtomicUsize::new(0));
    let message = publish(&to, &"x".repeat(200_000));
    std::thread::scope(|scope| {
        for number in 0..CROWD {
            let (machine, stop, sent, there, message) = (&machine, &stop, &sent, &there, &message);
            scope.spawn(move || {
                let mut raw = machine.connect(&format!("w{number}.example.net"));
                // nobody is at the door when the broker ends
                there.fetch_add(1, Ordering::Relaxed);
                while there.load(Ordering::Relaxed) < CROWD && !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                while !stop.load(Ordering::Relaxed) && raw.try_send(message).is_ok() {
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let stopped = Stop(&stop);
        until("the crowd to speak", || (sent.load(Ordering::Relaxed) > CROWD as u64).then_some(()));
        let begin = Instant::now();
        let _honest = Emulated::waiting(&room, HONEST, &[]);
        let done = || {
            let lines = provisioner.matching(0, &["provisioned", "node=e", "millis="]);
            lines.iter().filter(|line| !line.contains("not provisioned")).count()
        };
        while done() < HONEST && begin.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let (took, count, peak) = (begin.elapsed(), done(), field(broker, "VmHWM:") / MIB);
        drop(stopped);
        // wakes whoever is held
        room.network.kill_broker();
        println!(
            "{count} of {HONEST} after {took:?}, {} messages, broker {peak} MiB",
            sent.load(Ordering::Relaxed)
        );
        assert_eq!(count, HONEST, "provisioned in {took:?}");
        assert!(took < Duration::from_secs(20), "{took:?}");
    });
}

/// Stops a flood however its test ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn others_are_provisioned_all_the_while() {
    let mut room = WaitingRoom::open();
    let mut provisioner = Daemon::start("provisioner", provision(&room, ""));
    provisioner.says(&["watching for nodes"]);
    let machine = Machine::of(&room);
    let canary = Canary::start(&room.network);
    let (stop, sent, heard) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let (took, worst) = std::thread::scope(|scope| {
        for place in 0..3 {
            let (machine, stop, sent) = (&machine, &stop, &sent);
            let what: Vec<String> = match place {
                0 | 1 => (0..100).map(|round| small_events(place * 1000 + round)).collect(),
                _ => vec![large_messages()],
            };
            scope.spawn(move || {
                let mut raw = machine.connect("evil.example.net");
                for text in what.iter().cycle() {
                    if stop.load(Ordering::Relaxed) || raw.try_send(text).is_err() {
                        return;
                    }
                    sent.fetch_add(text.len() as u64, Ordering::Relaxed);
                }
            });
        }
        for name in ["evil.example.net", "evil2.example.net"] {
            let raw = machine.connect(name);
            let (stop, heard) = (&stop, &heard);
            scope.spawn(move || answers(raw, name, stop, heard));
        }
        // most of it waits in the sockets: the broker lets them say little
        until("the flood to flow", || (sent.load(Ordering::Relaxed) > 2 * MIB).then_some(()));
        let begin = Instant::now();
        let _honest = Emulated::waiting(&room, HONEST, &[]);
        let deadline = begin + Duration::from_secs(150);
        let done = || {
            let lines = provisioner.matching(0, &["provisioned", "node=", "e", "millis="]);
            lines.iter().filter(|line| !line.contains("not provisioned")).count()
        };
        while done() < HONEST && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        let (took, count) = (begin.elapsed(), done());
        let pids = [provisioner.pid(), room.network.broker().pid()];
        let [own, broker] = pids.map(|pid| field(pid, "VmHWM:") / MIB);
        let begin = Instant::now();
        provisioner.signal(Signal::TERM);
        let status = provisioner.ended();
        let ending = begin.elapsed();
        let worst = canary.worst();
        let cut = room.network.broker().matching(0, &["Slow Consumer"]);
        stop.store(true, Ordering::Relaxed);
        // wakes whoever listens
        room.network.kill_broker();
        println!(
            "{count} of {HONEST} nodes after {took:?} of the flood, the end took {ending:?}; provisioner \
             {own} MiB, broker {broker} MiB; {} MiB in events, {} requests answered at length",
            sent.load(Ordering::Relaxed) / MIB,
            heard.load(Ordering::Relaxed),
        );
        assert_eq!(count, HONEST, "provisioned in {took:?}");
        assert!(status.success(), "{status}");
        assert!(ending < Duration::from_secs(30), "it ended after {ending:?}");
        assert!(cut.is_empty(), "somebody was cut: {cut:?}");
        assert!(own < 400, "the provisioner took {own} MiB");
        assert!(broker < 400, "the broker took {broker} MiB");
        (took, worst)
    });
    assert!(worst < Duration::from_secs(5), "the canary waited {worst:?}");
    assert!(provisioner.matching(0, &["the broker connection ended"]).is_empty(), "it was cut");
    assert!(took < Duration::from_secs(150));
}

/// Whoever waits by the name of a machine hears what it is asked, and may answer first what takes that a while.
#[test]
fn an_answer_to_what_another_was_asked_before_counts_for_nothing() {
    const NAME: &str = "n1.example.net";
    let mut room = WaitingRoom::open();
    let machine = Machine::of(&room);
    let mut stranger = machine.connect(NAME);
    stranger.send(format!("SUB provisioning.node.{NAME} 1\r\n"));
    stranger.sync();
    let key = KeyPair::generate().expect("a key");
    let wanted = CertificateParams::new([NAME.to_owned()]).expect("a name");
    let csr = wanted.serialize_request(&key).expect("a request").pem().expect("PEM");
    let mut node = room.node(NAME);
    node.start();
    node.waits(0);
    room.network.broker().says(&["two waiting nodes claim this name"]);
    let provisioner = Daemon::start("provisioner", provision(&room, ""));

    let mut heard = vec![];
    loop {
        stranger.until("MSG ").expect("a request");
        let (_, payload) = (stranger.until("\r\n"), stranger.until("\r\n").expect("a request"));
        let (to, request) = asked(&payload).expect("a request");
        let body = RequestBody::decode(request.message.as_bytes()).expect("a request of an agent");
        heard.push(body.action.clone());
        if body.action != "gencsr" {
            continue;
        }
        let data =
            serde_json::json!({"csr": csr, "public_key": key.public_key_pem(), "ssldir": "/etc/choria/ssl"});
        let body = serde_json::json!({"statuscode": 0, "statusmsg": "OK", "data": data});
        stranger.send(answer(&request, &to, NAME, body.to_string()));
        stranger.sync();
        node.daemon().signal(Signal::CONT);
        break;
    }
    provisioner.says(&["two machines claim this name, neither is configured"]);
    assert_eq!(heard.len(), 3, "inventory, token, key: {heard:?}");
    let issued = std::fs::read_to_string(room.network.path("ca/issued.jsonl")).unwrap_or_default();
    assert!(!issued.contains(NAME), "nobody has a certificate of that name: {issued}");
    stranger.impatient(Duration::from_secs(1));
    let said = stranger.sync();
    assert!(!said.contains("MSG "), "nothing is said after that: {said}");
    assert!(!node.config().exists());
}
