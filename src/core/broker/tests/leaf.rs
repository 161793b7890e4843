//! This broker as the leaf of a hub that says what a test wants it to, the truth or not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::kit::{PATIENCE, Raw, ca, plain_options, until};
use crate::core::admission::{Account, Grant, Permission, SubjectList};
use crate::core::admission::{Authenticator, ConnectionFacts, PeerKind, Refusal};
use crate::core::broker::{Broker, Leaf, LeafProof, LeafTls, Limits, Options};
use crate::core::nats::nkey::UserKey;

const INFO: &str = r#"{"server_id":"NH","server_name":"hub","version":"2.10.26","client_id":5,"headers":true,
    "max_payload":1048576,"jetstream":true,"nonce":"n-o-n-c-e","info_on_connect":true,"leafnode_urls":["127.0.0.1:1"]"#;

/// A hub by hand.
struct Hub {
    listener: TcpListener,
}

/// A connection a leaf made to it.
struct Leafs {
    stream: TcpStream,
    unread: String,
    connect: serde_json::Value,
}

impl Hub {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    fn accept(&self) -> TcpStream {
        let mut accepted = None;
        until("the leaf to connect", || {
            accepted = self.listener.accept().ok();
            accepted.is_some()
        });
        let stream = accepted.unwrap().0;
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Lets a leaf in; `more` goes into both INFOs.
    fn greet(&self, more: &str) -> Leafs {
        let mut stream = self.accept();
        let info = INFO.replace('\n', "");
        write!(stream, "INFO {info}{more}}}\r\n").unwrap();
        let mut leaf = Leafs { stream, unread: String::new(), connect: serde_json::Value::Null };
        let line = leaf.line();
        leaf.connect = serde_json::from_str(line.strip_prefix("CONNECT ").unwrap()).unwrap();
        leaf.say(&format!("INFO {info},\"connect_info\":true{more}}}\r\n"));
        leaf
    }
}

impl Leafs {
    fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        loop {
            if let Some((line, rest)) = self.unread.split_once("\r\n") {
                let (line, rest) = (line.to_owned(), rest.to_owned());
                self.unread = rest;
                return line;
            }
            assert!(self.more(), "the leaf closed, unread: {:?}", self.unread);
        }
    }

    fn more(&mut self) -> bool {
        let mut buffer = [0; 65536];
        match self.stream.read(&mut buffer) {
            Ok(count) if count > 0 => {
                self.unread.push_str(&String::from_utf8_lossy(&buffer[..count]));
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("nothing came: {:?}", self.unread)
            }
            _ => false,
        }
    }

    /// Everything said up to the answer to a ping, which stands behind it all.
    fn sync(&mut self) -> String {
        self.say("PING\r\n");
        while !self.unread.contains("PONG\r\n") {
            assert!(self.more(), "the leaf closed, unread: {:?}", self.unread);
        }
        let (said, rest) = self.unread.split_once("PONG\r\n").unwrap();
        let (said, rest) = (said.to_owned(), rest.to_owned());
        self.unread = rest;
        said
    }

    fn is_closed(&mut self) -> bool {
        while self.more() {}
        true
    }
}

fn leaf(hub: &Hub) -> Leaf {
    Leaf {
        name: "up".to_owned(),
        addresses: vec![hub.address().to_string().parse().unwrap()],
        account: Account::Choria,
        tls: None,
        proof: None,
        whereabouts: None,
        cluster: None,
    }
}

fn options(hub: &Hub) -> Options {
    Options { leaves: vec![leaf(hub)], cluster_name: "SITE".to_owned(), ..plain_options() }
}

/// A broker, its hub's side of the connection, and a client.
fn attached(options: Options, hub: &Hub, more: &str) -> (Broker, Leafs, Raw) {
    let broker = Broker::start(options).unwrap();
    let mut leaf = hub.greet(more);
    // of nobody else than the broker itself
    let said = leaf.sync();
    let said = if said.is_empty() { leaf.sync() } else { said };
    assert!(said.starts_with("LS+ $LDS.") && said.lines().count() == 1, "{said}");
    let client = client(&broker);
    (broker, leaf, client)
}

fn client(broker: &Broker) -> Raw {
    let mut client = Raw::plain(broker.local_addr());
    client.login(",\"headers\":true,\"no_responders\":true");
    client
}

/// What the hub hears of what was done: until `text` is among it.
fn hears(leaf: &mut Leafs, text: &str) -> String {
    let mut said = String::new();
    until(text, || {
        said.push_str(&leaf.sync());
        said.contains(text)
    });
    said
}

#[test]
fn a_hub_hears_of_the_first_and_the_last_and_of_members_of_groups() {
    let hub = Hub::new();
    let (broker, mut leaf, mut one) = attached(options(&hub), &hub, "");
    assert_eq!(leaf.connect["cluster"], "SITE");
    assert_eq!(leaf.connect["remote_account"], "choria");
    assert!(leaf.connect.get("lang").is_none() && leaf.connect.get("user").is_none());
    let mut other = client(&broker);
    one.send("SUB a.> 1\r\nSUB b crew 2\r\n");
    one.sync();
    other.send("SUB a.> 1\r\nSUB b crew 2\r\nSUB last 3\r\n");
    other.sync();
    let said = hears(&mut leaf, "LS+ last\r\n");
    assert_eq!(said.matches("LS+ a.>\r\n").count(), 1, "{said}");
    assert!(said.ends_with("LS+ last\r\n") || said.contains("LS+ b crew 2\r\n"), "{said}");
    one.send("UNSUB 1\r\nUNSUB 2\r\nSUB gone 3\r\n");
    one.sync();
    let said = hears(&mut leaf, "LS+ gone\r\n");
    assert!(!said.contains("LS- a.>") && said.contains("LS+ b crew 1\r\n"), "{said}");
    drop(other);
    let said = hears(&mut leaf, "LS- last\r\n");
    assert!(said.contains("LS- a.>\r\n") && said.contains("LS- b crew\r\n"), "{said}");
}

#[test]
fn a_question_never_overtakes_the_wish_for_its_answer() {
    let hub = Hub::new();
    // the link to the hub is the first shard's, clients are of both
    let (broker, mut leaf, _) = attached(options(&hub), &hub, "");
    leaf.say("LS+ ask\r\n");
    leaf.sync();
    for number in 0..200 {
        let mut client = client(&broker);
        client.send(format!("SUB answer.{number} 1\r\nPUB ask answer.{number} 0\r\n\r\n"));
        let said = hears(&mut leaf, &format!("LMSG ask answer.{number} 0"));
        let (wish, question) = (said.find(&format!("LS+ answer.{number}\r\n")), said.find("LMSG ask answer"));
        assert!(wish.is_some() && wish < question, "{said}");
        leaf.say(&format!("LMSG answer.{number} 2\r\nhi\r\n"));
        assert!(client.until("hi\r\n").contains(&format!("MSG answer.{number} 1 2\r\n")));
    }
}

#[test]
fn groups_get_what_a_hub_lists_them_for_and_a_hub_what_no_member_here_takes() {
    let hub = Hub::new();
    let (broker, mut leaf, mut client_here) = attached(options(&hub), &hub, "");
    client_here.send("SUB in 1\r\nSUB in one 2\r\nSUB in other 3\r\n");
    client_here.sync();
    for (line, expected) in [
        ("LMSG in 1\r\nx\r\n", vec!["1"]),
        ("LMSG in | one 1\r\nx\r\n", vec!["1", "2"]),
        ("LMSG in + re one other 1\r\nx\r\n", vec!["1", "2", "3"]),
        ("HMSG in | other nobody 12 13\r\nNATS/1.0\r\n\r\nx\r\n", vec!["1", "3"]),
    ] {
        leaf.say(line);
        leaf.sync();
        let heard = client_here.sync();
        let sids = |heard: &str| {
            let lines = heard.lines().filter(|line| line.contains("MSG in "));
            let mut sids: Vec<String> =
                lines.map(|line| line.split(' ').nth(2).unwrap().to_owned()).collect();
            sids.sort();
            sids
        };
        assert_eq!(sids(&heard), expected, "{line}: {heard}");
    }
    leaf.say("LS+ out crew 3\r\nLS+ out.* crew 1\r\nLS+ out pair 1\r\n");
    leaf.sync();
    let mut publisher = client(&broker);
    publisher.send("PUB out re 1\r\nx\r\nHPUB out 12 13\r\nNATS/1.0\r\n\r\nx\r\n");
    publisher.sync();
    let said = hears(&mut leaf, "HMSG out |");
    let groups =
        |text: &str| ["crew pair", "pair crew"].iter().any(|both| said.contains(&text.replace('%', both)));
    assert!(groups("LMSG out + re % 1\r\nx\r\n"), "{said}");
    assert!(groups("HMSG out | % 12 13\r\nNATS/1.0\r\n\r\nx\r\n"), "{said}");
    // a member here comes first, and the other group is elsewhere still
    client_here.send("SUB out crew 9\r\n");
    client_here.sync();
    publisher.send("PUB out 1\r\ny\r\n");
    publisher.sync();
    let said = hears(&mut leaf, "LMSG out");
    assert!(said.contains("LMSG out | pair 1\r\ny\r\n"), "{said}");
    assert!(client_here.until("y\r\n").contains("MSG out 9 1\r\n"));
}

#[test]
fn nothing_goes_back_to_the_hub_it_came_from() {
    let hub = Hub::new();
    let (_broker, mut leaf, mut client) = attached(options(&hub), &hub, "");
    client.send("SUB echo 1\r\n");
    client.sync();
    leaf.say("LS+ echo\r\nLS+ >\r\nLMSG echo 1\r\nx\r\nLMSG other 1\r\nx\r\n");
    let said = hears(&mut leaf, "LS+ echo");
    client.until("MSG echo 1 1\r\nx\r\n");
    let said = said + &leaf.sync();
    assert!(!said.contains("LMSG"), "{said}");
}

#[test]
fn who_asks_is_told_when_nobody_is_there_and_a_hub_counts_as_somebody() {
    let hub = Hub::new();
    let (_broker, mut leaf, mut client) = attached(options(&hub), &hub, "");
    client.send("SUB re 1\r\nPUB ask re 0\r\n\r\n");
    assert!(client.sync().contains("503"));
    leaf.say("LS+ ask\r\n");
    leaf.sync();
    client.send("PUB ask re 0\r\n\r\n");
    assert!(!client.sync().contains("503"));
    hears(&mut leaf, "LMSG ask re 0");
    leaf.say("LS- ask\r\n");
    leaf.sync();
    client.send("PUB ask re 0\r\n\r\n");
    assert!(client.sync().contains("503"));
    // streams are asked for without a wish of theirs
    client.send("PUB $KV.B.k re 0\r\n\r\nPUB $JS.API.DIRECT.GET.KV_B.k re 0\r\n\r\n");
    assert!(!client.sync().contains("503"));
    let said = hears(&mut leaf, "DIRECT.GET");
    assert!(
        said.contains("LMSG $KV.B.k re 0") && said.contains("LMSG $JS.API.DIRECT.GET.KV_B.k + re _sys_ 0"),
        "{said}"
    );
}

#[test]
fn what_a_hub_does_not_let_pass_is_not_sent_and_not_taken() {
    let hub = Hub::new();
    let limits = r#","import":{"allow":["in.>"],"deny":["in.secret"]},"export":{"deny":["out.secret"]}"#;
    let (_broker, mut leaf, mut client) = attached(options(&hub), &hub, limits);
    client.send("SUB in.> 1\r\nSUB in.secret 2\r\nSUB elsewhere 3\r\nSUB in.a 4\r\n");
    client.sync();
    let said = hears(&mut leaf, "LS+ in.a\r\n") + &leaf.sync();
    assert!(
        said.contains("LS+ in.>\r\n") && !said.contains("elsewhere") && !said.contains("in.secret"),
        "{said}"
    );
    leaf.say("LS+ out.>\r\nLMSG in.secret 1\r\nx\r\nLMSG elsewhere 1\r\nx\r\nLMSG in.a 1\r\ny\r\n");
    leaf.sync();
    let heard = client.until("MSG in.a 4 1\r\ny\r\n") + &client.sync();
    assert!(!heard.contains("secret") && !heard.contains("elsewhere"), "{heard}");
    client.send("PUB out.secret 1\r\nx\r\nPUB out.a 1\r\nx\r\n");
    client.sync();
    let said = hears(&mut leaf, "LMSG out.a");
    assert!(!said.contains("secret"), "{said}");
    // other limits are those of another connection
    leaf.say(&format!("INFO {}}}\r\n", INFO.replace('\n', "")));
    leaf.sync();
    leaf.say(&format!("INFO {},\"import\":{{\"allow\":[\"b\"]}}}}\r\n", INFO.replace('\n', "")));
    assert!(leaf.is_closed());
}

/// Everybody may subscribe all but secrets.
struct NoSecrets;

impl Authenticator for NoSecrets {
    fn requires_credentials(&self, _: crate::core::admission::Transport) -> bool {
        false
    }

    fn authenticate(&self, _: &ConnectionFacts) -> Result<Grant, Refusal> {
        let subscribe = Permission { deny: SubjectList::new(["secret.>"]), ..Default::default() };
        Ok(Grant { subscribe: Arc::new(subscribe), ..Grant::unrestricted(Account::Choria, "x") })
    }
}

#[test]
fn stream_messages_show_what_they_were_stored_by_and_go_by_what_was_asked() {
    let hub = Hub::new();
    let options = Options { authenticator: Arc::new(NoSecrets), ..options(&hub) };
    let (broker, mut leaf, mut one) = attached(options, &hub, "");
    let mut other = client(&broker);
    for client in [&mut one, &mut other] {
        client.send("SUB > 1\r\nSUB re.* 2\r\n");
        client.sync();
    }
    leaf.say("LMSG re.1 $JS.ACK.S.c.1.1.1.9.0@stored.here 1\r\nx\r\n");
    leaf.say("LMSG secret.re $JS.ACK.S.c.2.2.2.9.0@stored.here 1\r\ny\r\n");
    // a reply of that kind without a subject is one
    leaf.say("LMSG re.1 $JS.ACK.S.c.1.1.1.9.0 1\r\nz\r\n");
    leaf.say("LMSG re.1 $JS.ACK.S.c.1.1.1.9.0@not..one 1\r\nw\r\n");
    leaf.sync();
    for client in [&mut one, &mut other] {
        let mut heard = String::new();
        until("the message without", || {
            heard.push_str(&client.sync());
            heard.matches("z\r\n").count() == 2
        });
        assert_eq!(heard.matches("MSG stored.here 1 $JS.ACK.S.c.1.1.1.9.0 1\r\nx\r\n").count(), 1, "{heard}");
        assert_eq!(heard.matches("MSG stored.here 2 $JS.ACK.S.c.1.1.1.9.0 1\r\nx\r\n").count(), 1, "{heard}");
        assert!(heard.contains("MSG re.1 2 $JS.ACK.S.c.1.1.1.9.0 1\r\nz\r\n"), "{heard}");
        assert!(!heard.contains("y\r\n") && !heard.contains("w\r\n"), "{heard}");
    }
}

#[test]
fn a_hub_that_lies_is_left_and_nobody_here_is_hurt() {
    let mut limits = plain_options().limits;
    limits.of_mut(PeerKind::Hub).subscriptions = 50;
    let many: String = (0..60).map(|number| format!("LS+ w.{number}\r\n")).collect();
    let deep = format!("LS+ {}\r\n", "a.".repeat(100));
    let endless = "LS+ ".to_owned() + &"a".repeat(70_000);
    for lie in [
        "LS+ a..b\r\n",
        "LS+ a.>.b\r\n",
        deep.as_str(),
        many.as_str(),
        endless.as_str(),
        "LS+ a b c d\r\n",
        "LMSG a 9999999\r\n",
        "LMSG a -1\r\n",
        "LMSG a 1\r\nxyz\r\n",
        "MSG a 1 1\r\nx\r\n",
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "INFO nonsense\r\n",
        "-ERR 'Permissions Violation for Subscription to \"x\"'\r\n",
    ] {
        let hub = Hub::new();
        let options = Options { limits: limits.clone(), ..options(&hub) };
        let (broker, mut leaf, mut client) = attached(options, &hub, "");
        leaf.say(lie);
        assert!(leaf.is_closed(), "{lie}");
        until("it to be gone", || broker.stats().hubs == 0);
        client.send("SUB a 1\r\nSUB re 2\r\nPUB a 1\r\nx\r\nPUB w.1 re 0\r\n\r\n");
        let heard = client.sync();
        // nothing of its wishes is left
        assert!(heard.contains("MSG a 1 1\r\nx\r\n") && heard.contains("503"), "{lie}: {heard}");
    }
}

#[test]
fn what_a_hub_says_that_is_no_message_for_anybody_is_dropped() {
    let hub = Hub::new();
    let (broker, mut leaf, mut client) = attached(options(&hub), &hub, "");
    client.send("SUB > 1\r\n");
    client.sync();
    for line in [
        "LMSG a..b 1\r\nx\r\n",
        "LMSG a. 1\r\nx\r\n",
        "LS- never\r\n",
        "LS- never crew\r\n",
        "+OK\r\n",
        "LS+ $LDS.others\r\n",
    ] {
        leaf.say(line);
    }
    leaf.say("LMSG fine 1\r\ny\r\n");
    leaf.sync();
    let heard = client.until("y\r\n");
    assert!(heard.contains("MSG fine 1 1") && !heard.contains("x\r\n"), "{heard}");
    assert_eq!(broker.stats().hubs, 1);
}

#[test]
fn its_own_voice_from_the_hub_is_a_loop() {
    let hub = Hub::new();
    let broker = Broker::start(options(&hub)).unwrap();
    let mut leaf = hub.greet("");
    let own = leaf.line();
    assert!(own.starts_with("LS+ $LDS."), "{own}");
    leaf.say(&format!("{own}\r\n"));
    assert!(leaf.is_closed());
    let closed = Instant::now();
    until("the link to go", || broker.stats().hubs == 0);
    // it keeps away: half a minute is not waited for here, but two rounds of connecting are
    while closed.elapsed() < Duration::from_secs(3) {
        assert!(hub.listener.accept().is_err(), "it came back at once");
        std::thread::sleep(Duration::from_millis(20));
    }
    // and the end does not wait for it
    let ending = Instant::now();
    broker.shutdown();
    assert!(ending.elapsed() < PATIENCE / 4);
}

#[test]
fn a_hub_that_does_not_read_holds_nobody_and_no_memory() {
    let hub = Hub::new();
    let limits =
        Limits { max_pending: 1024 * 1024, write_deadline: Duration::from_secs(2), ..plain_options().limits };
    let (broker, mut leaf, mut publisher) = attached(Options { limits, ..options(&hub) }, &hub, "");
    let mut listener = client(&broker);
    listener.send("SUB flood 1\r\n");
    listener.sync();
    leaf.say("LS+ flood\r\n");
    leaf.sync();
    let message = format!("PUB flood 8192\r\n{}\r\n", "x".repeat(8192));
    // It may be slow enough itself to lose some; it is served all the time.
    let over = Arc::new(AtomicBool::new(false));
    let until_then = over.clone();
    let reading = std::thread::spawn(move || {
        let mut heard = 0;
        while !until_then.load(Ordering::Relaxed) {
            heard += listener.sync().matches("MSG flood").count();
        }
        listener.sync();
        (listener, heard)
    });
    for _ in 0..4000 {
        publisher.send(&message);
        let held = broker.stats().pending_bytes;
        assert!(held < 24 * 1024 * 1024, "{held}");
    }
    publisher.sync();
    over.store(true, Ordering::Relaxed);
    let (mut listener, heard) = reading.join().unwrap();
    assert!(heard > 0);
    publisher.send("PUB flood 4\r\nlast\r\n");
    listener.until("last\r\n");
    until("it to be cut", || broker.stats().hubs == 0);
}

#[test]
fn credentials_sign_what_the_hub_says_and_nothing_is_sent_without_tls_where_it_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("up.creds");
    let (seed, key) = seed_of(&[9; 32]);
    let text = format!(
        "-----BEGIN NATS USER JWT-----\na.b.c\n------END NATS USER JWT------\n-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    );
    std::fs::write(&file, text).unwrap();
    let hub = Hub::new();
    let leaves = vec![Leaf { proof: Some(LeafProof::Credentials(file)), ..leaf(&hub) }];
    let broker = Broker::start(Options { leaves, ..options(&hub) }).unwrap();
    let leaf_there = hub.greet("");
    assert_eq!(leaf_there.connect["jwt"], "a.b.c");
    assert!(key.verifies("n-o-n-c-e", leaf_there.connect["sig"].as_str().unwrap()));
    drop((broker, leaf_there));

    let hub = Hub::new();
    let config = ca().client(Some(ca().issue("leaf.example.net")));
    let tls = LeafTls { config: Arc::new(move || Ok(config.clone())), check: Arc::new(|_| Ok(())) };
    let leaves = vec![Leaf { tls: Some(tls), ..leaf(&hub) }];
    let _broker = Broker::start(Options { leaves, ..options(&hub) }).unwrap();
    let mut stream = hub.accept();
    write!(stream, "INFO {}}}\r\n", INFO.replace('\n', "")).unwrap();
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    assert_eq!(String::from_utf8_lossy(&said), "");
}

/// A seed as nkeys are written, and its public key.
fn seed_of(seed: &[u8; 32]) -> (String, UserKey) {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).unwrap();
    let key = UserKey::new(pair.public_key().as_ref().try_into().unwrap());
    (crate::core::nats::nkey::seed_text(seed), key)
}
