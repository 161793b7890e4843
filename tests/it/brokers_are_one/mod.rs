//! Three brokers are one: whoever connects to any of them reaches everybody.

mod requests;
mod streams;
mod trouble;

use std::net::TcpListener;

use crate::a_broker_is_a_leaf::hub::Release;
use crate::link::Link;
use crate::network::{Caller, Network, Node, NodeSetup, node};
use crate::process::{named_program, run, until};

/// Brokers that know each other, and where they are.
struct Cluster {
    brokers: Vec<Network>,
    release: Release,
    ports: [u16; 3],
    /// As each is told of all.
    peers: [String; 3],
}

/// Ports that were free a moment ago.
fn ports<const N: usize>() -> [u16; N] {
    let listeners: Vec<TcpListener> =
        std::iter::repeat_with(|| TcpListener::bind("127.0.0.1:0").expect("a port")).take(N).collect();
    std::array::from_fn(|at| listeners[at].local_addr().expect("an address").port())
}

impl Cluster {
    fn start(release: Release, lines: &str) -> Cluster {
        Cluster::start_each(release, |_| lines.to_owned())
    }

    /// The same with lines of each broker's own.
    fn start_each(release: Release, lines: impl Fn(usize) -> String) -> Cluster {
        let ports = ports::<3>();
        Cluster::start_by(release, ports, std::array::from_fn(|_| ports), lines)
    }

    /// The same where each finds the others at ports of its own.
    fn start_by(
        release: Release,
        ports: [u16; 3],
        found: [[u16; 3]; 3],
        lines: impl Fn(usize) -> String,
    ) -> Cluster {
        let peers = found.map(|ports| ports.map(|port| format!("localhost:{port}")).join(", "));
        let network = Network::without_broker();
        let mut cluster = Cluster { brokers: vec![], release, ports, peers };
        let others: Vec<Network> = (0..2).map(|_| network.without_broker_beside()).collect();
        cluster.brokers = std::iter::once(network).chain(others).collect();
        for at in 0..3 {
            cluster.configure(at, &lines(at));
            cluster.brokers[at].start_broker();
        }
        for broker in &mut cluster.brokers {
            broker.broker().says(&["connected to the hub as a leaf"]);
        }
        cluster
    }

    /// Writes what a broker is told, `lines` among it, which counts from its next start on.
    fn configure(&mut self, at: usize, lines: &str) {
        let settings = format!(
            "identity = broker{at}.example.net\n\
             plugin.choria.network.x509_permissions = by-name\n\
             plugin.choria.network.lame_duck_duration = 1\n\
             plugin.choria.network.peers = {}\nplugin.choria.network.peer_port = {port}\n\
             plugin.choria.network.nats_server = {}\n",
            self.peers[at],
            self.release.program().display(),
            port = self.ports[at],
        );
        self.brokers[at].configure_broker(&(settings + lines));
    }

    /// All brokers, as a setting; `first` is tried first.
    fn hosts(&self, first: usize) -> String {
        let order = (0..3).map(|at| (at + first) % 3);
        let hosts: Vec<String> = order.map(|at| self.brokers[at].address().to_string()).collect();
        format!("plugin.choria.middleware_hosts = {}\n", hosts.join(","))
    }

    /// A node that knows one broker only.
    fn node_of(&self, at: usize, setup: NodeSetup) -> Node {
        self.brokers[0]
            .node(setup.lines(&format!("plugin.choria.middleware_hosts = {}\n", self.brokers[at].address())))
    }

    /// Somebody who knows one broker only.
    fn caller_of(&self, at: usize) -> Caller {
        let name = format!("alice{at}.mcollective");
        self.brokers[0]
            .caller_with(&name, &format!("plugin.choria.middleware_hosts = {}\n", self.brokers[at].address()))
    }
}

/// Everybody may call it.
fn open(name: &str) -> NodeSetup {
    node(name).policy("rpcutil", "policy default allow\n")
}

/// Waits until exactly these answer a ping.
#[track_caller]
fn answer(caller: &Caller, names: &[&str]) {
    let count = names.len().to_string();
    until(&format!("an answer of {names:?}"), || {
        let ran = caller.run(&["ping", "--names", "--expect", &count]);
        (ran.sorted() == names).then_some(())
    });
}

const ALL: [&str; 3] = ["n0.example.net", "n1.example.net", "n2.example.net"];

/// As `make demo-cluster` does.
#[test]
fn the_show_is_as_promised() {
    let show = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/demo/cluster.sh");
    let network = Network::without_broker();
    let mut command = named_program(&show, &network.path(""));
    command
        .env("PATH", "/usr/bin:/bin")
        .arg(env!("CARGO_BIN_EXE_choria"))
        .env("NATS_SERVER", Release::Newest.program());
    let shown = run(command, None).code(0);
    shown.says(&["REG", "Broker 1 is killed", "All was as it should be"]);
}

/// Who has no TLS between them meets nobody who has, and says at each start what that means.
#[test]
fn as_the_originals_are_they_speak_clear_text_where_they_are_told_to() {
    let lines = |at| if at < 2 { "plugin.choria.network.peer_tls = false\n" } else { "" };
    let mut cluster = Cluster::start_each(Release::Newest, |at| lines(at).to_owned());
    for broker in &mut cluster.brokers[..2] {
        broker.broker().says(&["whoever reaches the port is one of them"]);
    }
    let _nodes = [0, 1, 2].map(|at| cluster.node_of(at, open(&format!("n{at}"))));
    for at in 0..2 {
        answer(&cluster.caller_of(at), &ALL[..2]);
    }
    answer(&cluster.caller_of(2), &ALL[2..]);
}

#[test]
fn everybody_is_reached_from_every_broker() {
    for release in [Release::Oldest, Release::Newest] {
        let cluster = Cluster::start(release, "");
        let _nodes = [0, 1, 2].map(|at| cluster.node_of(at, open(&format!("n{at}"))));
        for at in 0..3 {
            let caller = cluster.caller_of(at);
            answer(&caller, &ALL);
            let replies = caller.run(&["rpc", "rpcutil", "ping", "--json"]).json();
            let mut senders: Vec<&str> = replies["replies"]
                .as_array()
                .unwrap()
                .iter()
                .map(|r| r["sender"].as_str().unwrap())
                .collect();
            senders.sort_unstable();
            assert_eq!(senders, ALL, "{release:?} {at}: {replies:#}");
        }
    }
}

#[test]
fn a_broker_that_is_killed_is_done_without_and_comes_back() {
    let mut cluster = Cluster::start(Release::Newest, "");
    let nodes: Vec<Node> =
        (0..3).map(|at| cluster.brokers[0].node(open(&format!("n{at}")).lines(&cluster.hosts(at)))).collect();
    let caller = cluster.brokers[0].caller_with("alice.mcollective", &cluster.hosts(1));
    answer(&caller, &ALL);
    // in the middle of a request to all
    let asking = caller.start(&["rpc", "rpcutil", "ping", "--json"]);
    let engine = engine_of(&mut cluster.brokers[0]);
    cluster.brokers[0].kill_broker();
    drop(asking);
    // nothing of it is left behind
    until("its engine to end", || {
        (!std::path::Path::new(&format!("/proc/{engine}/stat")).exists()).then_some(())
    });
    let killed = std::time::Instant::now();
    answer(&caller, &ALL);
    assert!(killed.elapsed() < std::time::Duration::from_secs(20), "{:?}", killed.elapsed());
    cluster.brokers[0].start_broker();
    cluster.brokers[0].broker().says(&["connected to the hub as a leaf"]);
    answer(&cluster.caller_of(0), &ALL);
    no_request_ran_twice(&nodes);
}

/// Each with a newer engine than before.
#[test]
fn brokers_are_started_anew_one_by_one() {
    let mut cluster = Cluster::start(Release::Oldest, "");
    cluster.release = Release::Newest;
    let nodes: Vec<Node> =
        (0..3).map(|at| cluster.brokers[0].node(open(&format!("n{at}")).lines(&cluster.hosts(at)))).collect();
    for at in 0..3 {
        let caller =
            cluster.brokers[0].caller_with(&format!("bob{at}.mcollective"), &cluster.hosts((at + 1) % 3));
        answer(&caller, &ALL);
        let engine = engine_of(&mut cluster.brokers[at]);
        cluster.brokers[at].broker().signal(rustix::process::Signal::TERM);
        assert!(cluster.brokers[at].broker().ended().success());
        assert!(!std::path::Path::new(&format!("/proc/{engine}/stat")).exists(), "its engine is left");
        answer(&caller, &ALL);
        cluster.configure(at, "");
        cluster.brokers[at].start_broker();
        cluster.brokers[at].broker().says(&["connected to the hub as a leaf"]);
        // by the one that has come back, as soon as it knows of the others
        answer(&cluster.caller_of(at), &ALL);
    }
    no_request_ran_twice(&nodes);
}

/// Two of three do not hear each other for a while; the third hears both.
#[test]
fn a_split_takes_what_would_go_between_the_two_and_nothing_else() {
    let ports = ports::<3>();
    let links = [0, 1].map(|at| Link::to(([127, 0, 0, 1], ports[at]).into()));
    let mut found = [ports; 3];
    found[0][1] = links[1].address.port();
    found[1][0] = links[0].address.port();
    let mut cluster = Cluster::start_by(Release::Newest, ports, found, |_| String::new());
    let nodes = [0, 1, 2].map(|at| cluster.node_of(at, open(&format!("n{at}"))));
    let callers = [0, 1, 2].map(|at| cluster.caller_of(at));
    callers.iter().for_each(|caller| answer(caller, &ALL));
    assert!(links.iter().map(Link::down).sum::<usize>() > 0, "they talk over the links");
    answer(&callers[0], &["n0.example.net", "n2.example.net"]);
    answer(&callers[1], &["n1.example.net", "n2.example.net"]);
    answer(&callers[2], &ALL);
    // whoever is on the other side is told of at once, and what was not asked did not happen
    let names = ALL.map(|name| ["-I", name]).concat();
    let asked = callers[0].run(&[&["rpc", "rpcutil", "ping", "--json"][..], &names].concat()).json();
    let stats = &asked["request_stats"];
    assert_eq!((&stats["responses"], &stats["no_responses"]), (&2.into(), &serde_json::json!([ALL[1]])));
    links.iter().for_each(Link::up);
    let up = std::time::Instant::now();
    callers.iter().for_each(|caller| answer(caller, &ALL));
    eprintln!("all are one again {:?} after the split", up.elapsed());
    no_request_ran_twice(&nodes);
    cluster.brokers.iter_mut().for_each(|network| network.broker().still_runs());
}

/// Each request stands in each audit log once.
fn no_request_ran_twice(nodes: &[Node]) {
    for node in nodes {
        let mut ids: Vec<String> =
            node.audit().iter().map(|line| line["request_id"].as_str().unwrap().to_owned()).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "{}", node.name);
    }
}

/// The process of nats-server behind a broker.
pub fn engine_of(network: &mut Network) -> u32 {
    let broker = network.broker().pid();
    until("the engine to run", || {
        let children =
            std::fs::read_dir(format!("/proc/{broker}/task")).ok()?.flatten().find_map(|task| {
                let children = std::fs::read_to_string(task.path().join("children")).ok()?;
                children.split_whitespace().find_map(|pid| pid.parse::<u32>().ok())
            })?;
        let name = std::fs::read_to_string(format!("/proc/{children}/comm")).ok()?;
        (name.trim() == "nats-server").then_some(children)
    })
}
