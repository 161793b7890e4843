//! Streams of a broker that has a place to keep them.

use std::time::{Duration, Instant};

use choria::core::pki::{Kind, Options};
use serde_json::Value;

use crate::a_broker_is_a_leaf::hub::Release;
use crate::network::{Caller, Network, now};
use crate::process::until;
use crate::raw::{Raw, tls};

use super::{Cluster, open};

/// Asks as a by-name client may: with an answer to a subject of its own.
struct Asking {
    raw: Raw,
    inbox: String,
    asked: usize,
}

impl Asking {
    fn connect(address: std::net::SocketAddr, caller: &Caller) -> Asking {
        let mut raw = Raw::open(address, tls(caller), "");
        let caller = format!("choria={}", caller.name);
        let inbox = choria::core::protocol::subjects::reply("mcollective", &caller, "asking");
        raw.send(format!("SUB {inbox}.* 1\r\n"));
        raw.sync();
        Asking { raw, inbox, asked: 0 }
    }

    /// What is answered, headers included; nothing when nobody is there, or does not answer in time.
    fn try_ask(&mut self, subject: &str, body: &str) -> Option<String> {
        self.asked += 1;
        let inbox = format!("{}.{}", self.inbox, self.asked);
        self.raw.send(format!("PUB {subject} {inbox} {}\r\n{body}\r\n", body.len()));
        let until = Instant::now() + Duration::from_secs(3);
        let mut heard = String::new();
        while Instant::now() < until {
            heard.push_str(&self.raw.sync());
            assert!(!heard.contains("Permissions Violation"), "{heard}");
            if let Some((_, answer)) = heard.split_once(&format!("MSG {inbox} ")) {
                return (!answer.contains("NATS/1.0 503")).then(|| answer.to_owned());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// The same of JSON.
    fn api(&mut self, call: &str) -> Option<Value> {
        let heard = self.try_ask(&format!("$JS.API.{call}"), "")?;
        serde_json::from_str(heard.split("\r\n").nth(1)?).ok()
    }

    /// Waits until a stream is as wanted.
    fn stream(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        until(&format!("stream {name}"), || self.api(&format!("STREAM.INFO.{name}")).filter(&wanted))
    }
}

const SYSTEM: [&str; 5] = [
    "CHORIA_EVENTS",
    "CHORIA_MACHINE",
    "CHORIA_STREAM_ADVISORIES",
    "CHORIA_EXECUTOR",
    "KV_CHORIA_LEADER_ELECTION",
];

#[test]
fn one_broker_keeps_events_and_elections_over_a_restart() {
    for release in [Release::Oldest, Release::Newest] {
        let mut network = Network::without_broker();
        let store = network.path("streams");
        let lines = |age: &str| {
            format!(
                "plugin.choria.network.x509_permissions = by-name\n\
                 plugin.choria.network.lame_duck_duration = 1\n\
                 plugin.choria.network.stream.store = {}\n\
                 plugin.choria.network.stream.event_retention = {age}\n\
                 plugin.choria.network.nats_server = {}\n",
                store.display(),
                release.program().display()
            )
        };
        network.configure_broker(&lines("24h"));
        network.start_broker();
        network.broker().says(&["system streams are as configured", "created=5"]);
        let alice = network.alice();
        let mut asking = Asking::connect(network.address(), &alice);
        for name in SYSTEM {
            let info = asking.stream(name, |info| info.get("error").is_none());
            assert_eq!(info["config"]["num_replicas"], 1, "{info:#}");
        }
        // what a node says of itself is kept
        let _node = network.node(open("n1"));
        let before = asking.stream("CHORIA_EVENTS", |info| info["state"]["messages"].as_u64() > Some(0));
        // and who leads
        let put = asking.try_ask("$KV.CHORIA_LEADER_ELECTION.test", "me").expect("an answer");
        assert!(put.contains("\"seq\":1"), "{put}");
        let got = asking
            .try_ask("$JS.API.DIRECT.GET.KV_CHORIA_LEADER_ELECTION.$KV.CHORIA_LEADER_ELECTION.test", "");
        assert!(got.as_deref().is_some_and(|got| got.contains("\r\nme")), "{got:?}");

        network.broker().signal(rustix::process::Signal::TERM);
        assert!(network.broker().ended().success());
        network.configure_broker(&lines("48h"));
        network.start_broker();
        network.broker().says(&["system streams are as configured", "created=0", "changed=1"]);
        let mut asking = Asking::connect(network.address(), &alice);
        let after = asking.stream("CHORIA_EVENTS", |info| info.get("error").is_none());
        assert!(after["state"]["messages"].as_u64() >= before["state"]["messages"].as_u64(), "{after:#}");
        assert_eq!(after["config"]["max_age"], 48 * 3600 * 1_000_000_000_u64);
    }
}

/// Certificates of brokers change while they run.
#[test]
fn new_certificates_of_brokers_lose_no_streams() {
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let mut cluster = Cluster::start_each(Release::Newest, |at| {
        format!("plugin.choria.network.stream.store = {}/{at}\n", directory.path().display())
    });
    let callers = [0, 1, 2].map(|at| cluster.caller_of(at));
    let known = |caller: &Caller| caller.run(&["kv", "list"]).stdout.contains("CHORIA_LEADER_ELECTION");
    until("streams", || known(&callers[0]).then_some(()));
    for at in 0..3 {
        let broker = &mut cluster.brokers[at];
        let loopback = Options { loopback: true, ..Options::default() };
        for file in ["ssl/broker.example.net.pem", "ssl/broker.example.net-key.pem"] {
            std::fs::remove_file(broker.path(file)).expect("it is there");
        }
        let issued = broker.ca.issue(Kind::Broker, "broker.example.net", &loopback, now());
        issued.and_then(|issued| issued.write(&broker.path("ssl"))).expect("a certificate");
        let mark = broker.broker().mark();
        broker.broker().signal(rustix::process::Signal::HUP);
        broker.broker().says_after(mark, &["nats-server has read its certificates again"]);
        broker.broker().says_after(mark, &["connected to the hub as a leaf"]);
    }
    for caller in &callers {
        until("streams again", || known(caller).then_some(()));
    }
}

#[test]
fn streams_are_on_all_machines_and_outlive_one_of_them() {
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let mut cluster = Cluster::start_each(Release::Newest, |at| {
        format!("plugin.choria.network.stream.store = {}/{at}\n", directory.path().display())
    });
    let alice = cluster.brokers[0].caller("alice.mcollective");
    cluster.brokers[1].broker().says(&["system streams are as configured"]);
    let mut asking = Asking::connect(cluster.brokers[1].address(), &alice);
    for name in SYSTEM {
        asking.stream(name, |info| info["config"]["num_replicas"] == 3);
    }
    let _node = cluster.node_of(1, open("n1"));
    let before = asking.stream("CHORIA_EVENTS", |info| info["state"]["messages"].as_u64() > Some(0));
    cluster.brokers[0].kill_broker();
    let after = asking.stream("CHORIA_EVENTS", |info| {
        info["cluster"]["leader"].as_str().is_some_and(|leader| leader != "broker0.example.net")
    });
    assert!(after["state"]["messages"].as_u64() >= before["state"]["messages"].as_u64(), "{after:#}");
    until("something to be stored", || {
        let put = asking.try_ask("$KV.CHORIA_LEADER_ELECTION.test", "me")?;
        put.contains("\"stream\":\"KV_CHORIA_LEADER_ELECTION\"").then_some(())
    });
}
