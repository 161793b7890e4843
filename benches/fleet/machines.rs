//! What autonomous agents cost their node, and a fleet that watches itself the broker and the page that shows it.
//! Figures of the original: one node of 0.29 on two cores, with the same machines.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::{Value, json};

use crate::common::{memory, milliseconds, of_children_of, rounds, show, whole_processor};
use crate::emulated;
use crate::network::{Network, Node, node};
use crate::process::PATIENCE;
use crate::wire::Wire;

/// How long the processor time of a node is taken.
const LONG: Duration = Duration::from_secs(20);
/// What a node does before that: machines start and look at what they never looked at.
const SETTLED: Duration = Duration::from_secs(8);
/// Checks of an emulated node.
const CHECKS: usize = 10;

/// A machine that waits for what never comes.
const IDLE: &str = "initial_state: waiting, transitions: [{name: fire, from: [never], destination: waiting}], \
     watchers: [{name: timer, type: timer, state_match: [never], fail_transition: fire, properties: {timer: 1h}}]";
/// One that runs a command each second.
const EXEC: &str = "initial_state: up, transitions: [{name: fire, from: [never], destination: up}], \
     watchers: [{name: run, type: exec, interval: 1s, properties: {command: /bin/true, timeout: 10s}}]";
/// One that finds its node alive.
const HEARTBEAT: &str = "initial_state: UNKNOWN, transitions: [{name: OK, from: [UNKNOWN, OK], destination: OK}, \
     {name: UNKNOWN, from: [OK], destination: UNKNOWN}], watchers: [{name: check, type: nagios, interval: 10s, \
     properties: {builtin: heartbeat}}]";
/// A check that is asked for.
const CHECK: &str = "initial_state: UNKNOWN, transitions: [\
     {name: UNKNOWN, from: [UNKNOWN, OK, WARNING, CRITICAL, FORCE_CHECK], destination: UNKNOWN}, \
     {name: OK, from: [UNKNOWN, OK, WARNING, CRITICAL, FORCE_CHECK], destination: OK}, \
     {name: WARNING, from: [UNKNOWN, OK, WARNING, CRITICAL, FORCE_CHECK], destination: WARNING}, \
     {name: CRITICAL, from: [UNKNOWN, OK, WARNING, CRITICAL, FORCE_CHECK], destination: CRITICAL}, \
     {name: FORCE_CHECK, from: [UNKNOWN, OK, WARNING, CRITICAL], destination: FORCE_CHECK}], watchers: [\
     {name: check, type: nagios, interval: 1h, state_match: [UNKNOWN, OK, WARNING, CRITICAL], \
     properties: {plugin: /bin/true, timeout: 10s}}]";

/// A node with so many machines of a kind, up and settled.
fn settled(network: &Network, name: &str, count: usize, kind: &str) -> Node {
    let store = network.path(&format!("machines-{name}"));
    for number in 0..count {
        let directory = store.join(format!("m_{number:04}"));
        fs::create_dir_all(&directory).expect("a directory");
        let text = format!("{{name: m_{number:04}, version: 1.0.0, {kind}}}");
        fs::write(directory.join("machine.yaml"), text).expect("a machine");
    }
    fs::create_dir_all(&store).expect("a directory");
    let setup = node(name).lines(&format!("plugin.choria.machine.store = {}\n", store.display()));
    let node = network.nodes([setup]).remove(0);
    std::thread::sleep(SETTLED);
    node
}

/// Percent of a processor that a node uses, and what it starts.
fn used(node: &Node) -> (f64, f64) {
    let pid = node.log().pid();
    let times = || (whole_processor(pid), of_children_of(pid));
    let (before, begun) = (times(), Instant::now());
    std::thread::sleep(LONG);
    let (now, took) = (times(), begun.elapsed().as_secs_f64());
    let percent = |now: Duration, before: Duration| (now - before).as_secs_f64() / took * 100.0;
    (percent(now.0, before.0), percent(now.1, before.1))
}

pub fn one_node() {
    let network = Network::start();
    let resident = |name: &str, count: usize, kind: &str| {
        let node = settled(&network, name, count, kind);
        (memory(node.log().pid(), "Rss:") * 1024.0, used(&node).0)
    };
    let (none, quiet) = resident("none", 0, IDLE);
    let (hundred, _) = resident("hundred", 100, IDLE);
    let (thousand, timers) = resident("thousand", 1000, IDLE);
    show("node, a machine of 100 that are idle", "KiB", vec![(hundred - none) / 100.0], "104", "at most 20");
    show("  of 1,000", "KiB", vec![(thousand - none) / 1000.0], "43", "at most 10");
    show("node without machines", "% CPU", vec![quiet], "0.1", "");
    show("  with 1,000 idle ones more", "% CPU", vec![timers - quiet], "1.03", "at most 0.1");
    let beating = settled(&network, "beating", 100, HEARTBEAT);
    show(
        "  with 100 heartbeats each 10 s more",
        "% CPU",
        vec![used(&beating).0 - quiet],
        "2.2",
        "at most 0.3",
    );
    drop(beating);
    let running = settled(&network, "running", 100, EXEC);
    let (own, children) = used(&running);
    show("node, 100 commands each second", "% CPU", vec![own], "8.17", "at most 2.5");
    show("  the commands", "% CPU", vec![children], "8.47", "");
    drop(running);
    triggered(&network);
}

/// From the request until all checks have said how they are.
fn triggered(network: &Network) {
    const ALL: usize = 11;
    let node = settled(network, "checks", ALL, CHECK);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let alice = runtime.block_on(Wire::connect(network, &network.alice()));
    let mut said = runtime.block_on(alice.subscribe("choria.machine.transition"));
    let took = rounds(|| {
        let subject = alice.reply_subject();
        let request = alice.signed(&alice.request("scout", "trigger", json!({})), &subject);
        let begun = Instant::now();
        runtime.block_on(async {
            alice.publish(&format!("mcollective.node.{}", node.name), request).await;
            let mut good = 0;
            while good < ALL {
                let one = tokio::time::timeout(PATIENCE, said.next()).await;
                let one = one.unwrap_or_else(|_| panic!("{good} of {ALL} checks")).expect("a connection");
                good += usize::from(memchr::memmem::find(&one.payload, b"\"to_state\":\"OK\"").is_some());
            }
        });
        milliseconds(begun.elapsed())
    });
    show("node, 11 checks triggered and told", "ms", took, "3800, 2 of them", "at most 100");
}

/// Checks of so many nodes, each of which is looked at every minute, on a page.
pub fn fleet(count: usize) {
    let mut network = Network::start();
    let alice = network.caller_with("alice.mcollective", "discovery_timeout = 60\n");
    let web = alice.start(&["scout", "web", "--port", "0"]);
    let said = web.says(&["The page of checks is at http://127.0.0.1:"]);
    let (_, rest) = said.rsplit_once("127.0.0.1:").expect("an address");
    let (port, token) = rest.trim().split_once("/#token=").expect("a token");
    let page = Page { port: port.parse().expect("a port"), token: token.to_owned() };
    let checks = CHECKS.to_string();
    let _emulator = emulated(&network, &alice, count, &["--checks", &checks]);
    let begun = Instant::now();
    // each begins when its node does
    while page.fleet()["nodes"].as_array().map_or(0, Vec::len) < count || page.checks() < count * CHECKS {
        assert!(begun.elapsed() < 5 * PATIENCE, "{} checks are on the page", page.checks());
        std::thread::sleep(Duration::from_millis(500));
    }
    let broker = network.broker().pid();
    let times = || (whole_processor(broker), whole_processor(web.pid()));
    let (before, begun) = (times(), Instant::now());
    std::thread::sleep(LONG);
    let (now, took) = (times(), begun.elapsed().as_secs_f64());
    let percent = |now: Duration, before: Duration| (now - before).as_secs_f64() / took * 100.0;
    let all = format!("{count} nodes with {CHECKS} checks each, every minute");
    show(&format!("{all}: broker"), "% CPU", vec![percent(now.0, before.0)], "", "");
    show("  the page's server", "% CPU", vec![percent(now.1, before.1)], "", "");
    show("  its memory", "MiB", vec![memory(web.pid(), "Rss:")], "", "");
    let mut turn = 0;
    let followed = rounds(|| {
        turn += 1;
        let name = format!("e{turn}.example.net");
        let begun = Instant::now();
        alice.run(&["scout", "maintenance", "--check", "check_01", "-I", &name]).code(0);
        while !page.rests(&name) {
            assert!(begun.elapsed() < PATIENCE, "the page did not follow");
            std::thread::sleep(Duration::from_millis(10));
        }
        milliseconds(begun.elapsed())
    });
    show("  a command that changes one, until the page has it", "ms", followed, "", "at most 2000");
}

/// What a browser asks.
struct Page {
    port: u16,
    token: String,
}

impl Page {
    fn fleet(&self) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        let request = format!(
            "GET /fleet.json HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
            self.port, self.token
        );
        stream.write_all(request.as_bytes()).expect("a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        let (_, body) = text.split_once("\r\n\r\n").expect("a head");
        serde_json::from_str(body).expect("JSON")
    }

    fn checks(&self) -> usize {
        let all = self.fleet();
        let of = |node: &Value| node[2].as_array().map_or(0, Vec::len);
        all["nodes"].as_array().map_or(0, |nodes| nodes.iter().map(of).sum())
    }

    /// Whether the first check of that node is kept quiet.
    fn rests(&self, name: &str) -> bool {
        let all = self.fleet();
        let nodes = all["nodes"].as_array().into_iter().flatten();
        nodes
            .filter(|node| node[0] == name)
            .any(|node| node[2].as_array().into_iter().flatten().any(|check| check[2] == 1))
    }
}
