//! What a command and a node cost, and a command on 15,000 nodes.
//!
//! `cargo bench --bench fleet` starts the real program, release build, as broker,
//! nodes, emulator and client on loopback, all by mutual TLS and with nodes bound
//! to their names, and prints medians of five beside what was measured on the
//! original. `fleet NODES` takes another number of emulated nodes; a process may
//! open about that many files, so 15,000 fit the usual 20,000. `fleet 0` leaves
//! them out. `fleet cluster NODES` spreads so many over three brokers that are one, by nats-server
//! (`NATS_SERVER`, or the one of the tests). `fleet tasks NODES` runs Puppet Tasks alone, on so many of which each
//! keeps nine megabytes of files meanwhile. `fleet machines NODES` is about autonomous agents of a node, and of so
//! many; `fleet plans NODES` about plans; `fleet federation NODES` and `fleet adapters` are about what stands between networks, beside the original
//! where `CHORIA_ORIGINAL` says where it is.

use std::fs::File;
use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use choria::core::client::ReplyReader;
use futures::StreamExt;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};

#[allow(dead_code)]
#[path = "../../tests/it/adapter_stage.rs"]
mod adapter_stage;
mod adapters;
mod cluster;
#[allow(dead_code)]
#[path = "../common/mod.rs"]
mod common;
mod federation;
mod machines;
#[allow(dead_code)]
#[path = "../../tests/it/network.rs"]
mod network;
mod original;
mod plans;
#[allow(dead_code)]
#[path = "../../tests/it/process.rs"]
mod process;
#[allow(dead_code)]
#[path = "../../tests/it/raw.rs"]
mod raw;
#[allow(dead_code)]
#[path = "../../tests/it/shelf.rs"]
mod shelf;
#[allow(dead_code)]
#[path = "../../tests/it/stream_stage.rs"]
mod stream_stage;
#[allow(dead_code)]
#[path = "../../tests/it/wire.rs"]
mod wire;

use common::{
    ROUNDS, memory, milliseconds, of_children, of_children_of, processor, rounds, show, whole_processor,
};
use network::{Caller, Network, Node, node};
use process::{Daemon, run};
use shelf::{Shelf, action, ddl, text};
use wire::Wire;

/// Emulated nodes of a run that is not told otherwise.
const NODES: usize = 15_000;
/// Emulated nodes that run tasks: each run is a process of its own there.
const TASK_NODES: usize = 500;
/// Emulated nodes of three brokers.
const CLUSTER_NODES: usize = 5_000;
/// Emulated nodes that watch themselves.
const WATCHED_NODES: usize = 5_000;
/// Emulated nodes that a plan asks.
const PLAN_NODES: usize = 1_000;
/// Emulated nodes behind a federation broker.
const SITE_NODES: usize = 500;
/// Bytes of the file of a task.
const TASK_FILE: usize = 1 << 20;
/// Requests sent at once.
const REQUESTS: usize = 1_000;
/// The same, of agents that are programs: with more, a node of the original drops some.
const AT_A_TIME: usize = 8;

fn main() {
    let Some(words) = common::words() else { return };
    let number = |at: usize, other: usize| {
        words.get(at).map_or(other, |word| word.parse().expect("a number of emulated nodes"))
    };
    common::head();
    match words.first().map(String::as_str) {
        Some("tasks") => return tasks(number(1, TASK_NODES)),
        Some("cluster") => return cluster::three_brokers(number(1, CLUSTER_NODES)),
        Some("machines") => {
            machines::one_node();
            return machines::fleet(number(1, WATCHED_NODES));
        }
        Some("plans") => return plans::run_and_asked(number(1, PLAN_NODES)),
        Some("federation") => return federation::carried(number(1, SITE_NODES)),
        Some("adapters") => return adapters::handed_on(),
        _ => {}
    }
    let nodes = number(0, NODES);
    let network = Network::start();
    one_node(&network);
    five_nodes(&network);
    agents(&network);
    machines::one_node();
    adapters::handed_on();
    if nodes > 0 {
        fleet(nodes);
        tasks(nodes.min(TASK_NODES));
        cluster::three_brokers(nodes.min(CLUSTER_NODES));
        machines::fleet(nodes.min(WATCHED_NODES));
        plans::run_and_asked(nodes.min(PLAN_NODES));
        federation::carried(nodes.min(SITE_NODES));
    }
}

// === a node ===

fn one_node(network: &Network) {
    let mut nodes = network.nodes([node("n1")]);
    let node = &mut nodes[0];
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let alice = runtime.block_on(Wire::connect(network, &network.alice()));

    let begun = rounds(|| milliseconds(runtime.block_on(start_to_answer(node, &alice))));
    show("node, start to first answer", "ms", begun, "160 to 210", "at most 100");

    let (mut all, mut own) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        runtime.block_on(start_to_answer(node, &alice));
        for _ in 0..20 {
            runtime.block_on(answered(&alice, 1));
        }
        // registration, events and the status file have had their turn
        std::thread::sleep(Duration::from_secs(2));
        all.push(memory(node.log().pid(), "Rss:"));
        own.push(memory(node.log().pid(), "Private_Dirty:"));
    }
    show("node, resident memory", "MiB", all, "71", "at most 12");
    show("  of that its own, not the program file's", "MiB", own, "13", "");

    let cost = rounds(|| {
        let before = processor(node.log().pid());
        for _ in 0..200 {
            assert_eq!(runtime.block_on(answered(&alice, 1)), 1);
        }
        milliseconds(processor(node.log().pid()) - before) / 200.0
    });
    show("node, a request, one at a time", "ms CPU", cost, "3.2 to 4.0", "at most 0.5");

    let mut heard = vec![];
    let cost = rounds(|| {
        let before = processor(node.log().pid());
        heard.push(runtime.block_on(answered(&alice, REQUESTS)) as f64);
        milliseconds(processor(node.log().pid()) - before) / REQUESTS as f64
    });
    show(&format!("node, {REQUESTS} requests at once, answered"), "", heard, "34", "1000");
    show("  each of them", "ms CPU", cost, "", "at most 0.5");
    let peak = common::peak(node.log().pid()).expect("it runs");
    show("  most memory meanwhile", "MiB", vec![peak], "", "");
}

/// From the start of the program until somebody holds its answer.
async fn start_to_answer(node: &mut Node, alice: &Wire) -> Duration {
    node.kill();
    // what is dated in the second of what ran before is refused, as it may be one of those
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let subject = alice.reply_subject();
    let mut replies = alice.subscribe(&subject).await;
    let begun = Instant::now();
    node.start();
    loop {
        let request = alice.signed(&alice.request("discovery", "ping", json!({})), &subject);
        alice.publish("mcollective.broadcast.agent.discovery", request).await;
        if tokio::time::timeout(Duration::from_millis(3), replies.next()).await.is_ok() {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < process::PATIENCE, "the node never answered");
    }
}

/// So many requests at once; how many are answered.
async fn answered(alice: &Wire, requests: usize) -> usize {
    answered_by(alice, "n1.example.net", ("rpcutil", "ping", json!({})), requests).await
}

/// The same of any action of a node.
async fn answered_by(
    alice: &Wire,
    node: &str,
    (agent, action, data): (&str, &str, Value),
    requests: usize,
) -> usize {
    let subject = alice.reply_subject();
    let mut replies = alice.subscribe(&subject).await;
    // signed first, so that they come as fast as a connection carries them
    let messages: Vec<String> =
        (0..requests).map(|_| alice.signed(&alice.request(agent, action, data.clone()), &subject)).collect();
    for message in messages {
        alice.publish(&format!("mcollective.node.{node}"), message).await;
    }
    let mut heard = 0;
    while heard < requests {
        match tokio::time::timeout(Duration::from_secs(10), replies.next()).await {
            Ok(Some(_)) => heard += 1,
            _ => break,
        }
    }
    heard
}

// === a command ===

fn five_nodes(network: &Network) {
    let _nodes = network.nodes(["n1", "n2", "n3", "n4", "n5"].map(node));
    let alice = network.alice();
    let timed = |words: &[&str]| {
        let begun = Instant::now();
        run(alice.command(words), None).code(0);
        milliseconds(begun.elapsed())
    };
    let wall = rounds(|| timed(&["rpc", "rpcutil", "ping"]));
    show("five nodes asked, answered and shown", "ms", wall, "2070", "at most 600");
    let one = ["rpc", "rpcutil", "ping", "-I", "n1.example.net"];
    let wall = rounds(|| timed(&one));
    show("one node by name", "ms", wall, "79", "at most 60");
    // Twenty a round: the kernel tells the time of ended children in hundredths of a second.
    let cost = rounds(|| {
        let before = of_children();
        for _ in 0..20 {
            timed(&one);
        }
        milliseconds(of_children() - before) / 20.0
    });
    show("  of the client", "ms CPU", cost, "60", "at most 15");
}

// === agents ===

/// An agent in Python, classic and as one that stays up, and packages, on a node and on twenty.
fn agents(network: &Network) {
    let shelf = Shelf::of(network, "lib");
    for (name, stays) in [("classic", false), ("stays", true)] {
        let echo = action(
            "echo",
            json!({"msg": text(false)}),
            json!({"msg": {"description": "M", "display_as": "M"}}),
        );
        let mut interface = ddl(name, "1.0.0", 10, json!([echo]));
        interface["metadata"]["persistent"] = json!(stays);
        shelf.ddl(&interface);
        shelf.program(name, AGENT);
    }
    let names: Vec<String> = (1..=20).map(|n| format!("a{n}")).collect();
    let nodes = network.nodes(names.iter().map(|name| node(name).lines(&shelf.lines())));
    nodes[0].log().says(&["hosting an agent from disk", "agent=stays"]);
    let alice = network.caller_with("alice.mcollective", &shelf.libdir());
    let ask = |words: &[&str]| {
        let begun = Instant::now();
        run(alice.command(&[&["rpc"], words].concat()), None).code(0);
        milliseconds(begun.elapsed())
    };
    let pid = nodes[0].log().pid();
    let with_children = || whole_processor(pid) + of_children_of(pid);
    for (what, agent, original, wanted) in [
        ("node, package status, its programs included", "package", "2000", "at most 100"),
        ("node, an agent in Python, a process a request", "classic", "23.6", ""),
        ("node, the same as one that stays up", "stays", "23.6", "at most 2.4"),
    ] {
        let words: &[&str] = match agent {
            "package" => &["package", "status", "package=bash", "-I", "a1.example.net"],
            agent => &[agent, "echo", "msg=x", "-I", "a1.example.net"],
        };
        ask(words);
        let cost = rounds(|| {
            let before = with_children();
            for _ in 0..20 {
                ask(words);
            }
            milliseconds(with_children() - before) / 20.0
        });
        show(what, "ms CPU", cost, original, wanted);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let wire = runtime.block_on(Wire::connect(network, &alice));
    for (what, agent, requests, original) in [
        ("node, an agent in Python, a process a request", "classic", 96, "67"),
        ("node, the same as one that stays up", "stays", 800, "67"),
    ] {
        let rate = rounds(|| {
            let begun = Instant::now();
            for _ in 0..requests / AT_A_TIME {
                let asked = (agent, "echo", json!({"msg": "x"}));
                let heard = runtime.block_on(answered_by(&wire, "a1.example.net", asked, AT_A_TIME));
                assert_eq!(heard, AT_A_TIME, "answers of {agent}");
            }
            requests as f64 / begun.elapsed().as_secs_f64()
        });
        show(what, "requests a second", rate, original, "");
    }
    let all = ["package", "status", "package=bash", "-I", "/^a/"];
    show("package status of twenty nodes", "ms", rounds(|| ask(&all)), "", "");
}

const AGENT: &str = r#"#!/usr/bin/python3
import json, os, sys

def answer(request):
    if request["protocol"].endswith("activation_request"):
        return {"activate": True}
    return {"statuscode": 0, "data": {"msg": request["data"]["msg"]}}

if os.environ["CHORIA_EXTERNAL_PROTOCOL"] == "io.choria.mcorpc.external.v1.lines":
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps({"id": asked["id"], "reply": answer(asked["request"])}), flush=True)
else:
    request = json.load(open(os.environ["CHORIA_EXTERNAL_REQUEST"]))
    json.dump(answer(request), open(os.environ["CHORIA_EXTERNAL_REPLY"], "w"))
"#;

// === a fleet ===

fn fleet(count: usize) {
    let network = Network::start();
    let alice = network.caller_with("alice.mcollective", "discovery_timeout = 60\n");
    let _emulator = emulated(&network, &alice, count, &[]);
    let (mut cost, mut peak, mut first, mut wall) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let seen = on_a_terminal(&alice, count, None);
        cost.push(seen.processor.as_secs_f64() * 1e6 / count as f64);
        peak.push(seen.peak);
        wall.push(seen.wall.as_secs_f64());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let listener = runtime.block_on(Wire::connect(&network, &alice));
    for _ in 0..ROUNDS {
        let seen = on_a_terminal(&alice, count, Some((&runtime, &listener)));
        first.push(milliseconds(seen.first_row));
    }
    show(&format!("{count} nodes found, asked and shown"), "s", wall, "", "");
    show("  of the client, a node", "µs CPU", cost, "45 (of 20,000)", "at most 20");
    show("  most memory of the client", "MiB", peak, "108 (of 20,000)", "at most 120 MB");
    show("  first answer to first row on a terminal", "ms", first, "3850 after the start", "at most 100");
}

/// So many emulated nodes, all connected.
fn emulated(network: &Network, alice: &Caller, count: usize, more: &[&str]) -> Daemon {
    let broker = network.address().to_string();
    let ca = network.ca.dir().display().to_string();
    let number = count.to_string();
    let name = "e{}.example.net";
    let words =
        ["emulate", "--count", &number, "--broker", &broker, "--ca", &ca, "--name", name, "--rate", "2000"];
    let emulator = Daemon::start("emulator", alice.command(&[&words[..], more].concat()));
    let begun = Instant::now();
    let connected = loop {
        if let Some(line) = emulator.matching(0, &["nodes are connected"]).pop() {
            break line;
        }
        assert!(begun.elapsed() < 5 * process::PATIENCE, "the fleet never came up");
        std::thread::sleep(Duration::from_millis(100));
    };
    println!("{connected}");
    emulator
}

// === tasks on a fleet ===

/// A task whose file of a megabyte nobody has, the same when all have it, and a request that does nothing, in turns.
fn tasks(count: usize) {
    let network = Network::start();
    let mut command = process::program(network.directory());
    command.args(["tasks", "serve", "--listen", "127.0.0.1", "--port", "0", "--config"]);
    std::fs::create_dir_all(network.path("modules")).expect("a directory");
    let server = Daemon::start("tasks", {
        command.arg(network.path("broker.conf")).arg(network.path("modules"));
        command
    });
    let line = server.says(&["the server of tasks is listening"]);
    let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
    let address = address.expect("an address");
    let port = address.rsplit(':').next().expect("a port");
    let lines = format!(
        "discovery_timeout = 60\nplugin.choria.puppetserver_host = 127.0.0.1\nplugin.choria.puppetserver_port = {port}\n"
    );
    let alice = network.caller_with("alice.mcollective", &lines);
    let mut emulator = emulated(&network, &alice, count, &["--tasks", address]);
    let (mut first, mut again, mut ping) = (Costs::default(), Costs::default(), Costs::default());
    for round in 0..3 {
        // what it is padded with makes it another file each time
        let padding = format!("# {round} {}\n", "x".repeat(60)).repeat(TASK_FILE / 65);
        network.file("modules/demo/tasks/nothing.sh", &format!("#!/bin/sh\nexit 0\n{padding}"));
        let words = ["tasks", "run", "demo::nothing", "--summary", "-y"];
        let successful = format!("Successful: {count}\n");
        for costs in [&mut first, &mut again] {
            let said = costs.of(&alice, &words, &emulator, &server);
            assert!(said.contains(&successful), "{said}");
        }
        ping.of(&alice, &["rpc", "rpcutil", "ping", "--np"], &emulator, &server);
    }
    // its files go with an emulator that may tidy up
    emulator.leave();
    first.show(&format!("{count} nodes, a task of 1 MiB that nobody has"), count);
    again.show("the same when all have it", count);
    ping.show("rpcutil ping of the same nodes", count);
}

/// What commands cost, and those who had to do with them.
#[derive(Default)]
struct Costs {
    wall: Vec<f64>,
    client: Vec<f64>,
    nodes: Vec<f64>,
    server: Vec<f64>,
}

impl Costs {
    /// Runs one, which has to succeed; what it said.
    fn of(&mut self, alice: &Caller, words: &[&str], emulator: &Daemon, server: &Daemon) -> String {
        let (nodes, files) = (whole_processor(emulator.pid()), whole_processor(server.pid()));
        let (before, begun) = (of_children(), Instant::now());
        let ran = run(alice.command(words), None).code(0);
        self.wall.push(begun.elapsed().as_secs_f64());
        self.client.push(milliseconds(of_children() - before));
        self.nodes.push(milliseconds(whole_processor(emulator.pid()) - nodes));
        self.server.push(milliseconds(whole_processor(server.pid()) - files));
        ran.stdout
    }

    fn show(self, name: &str, count: usize) {
        let each = |values: Vec<f64>| values.into_iter().map(|value| value / count as f64).collect();
        show(name, "s", self.wall, "", "");
        show("  of the client, a node", "ms CPU", each(self.client), "", "");
        show("  of a node, without what it runs", "ms CPU", each(self.nodes), "", "");
        show("  of the server of tasks, a node", "ms CPU", each(self.server), "", "");
    }
}

/// What a command on a terminal did.
struct Seen {
    wall: Duration,
    processor: Duration,
    /// MiB.
    peak: f64,
    /// From the first reply on the network to the first row.
    first_row: Duration,
}

/// `rpc rpcutil ping` of everybody, on a terminal of its own; with `listener`, a second connection of
/// the same caller hears when the first reply to the action is there, which costs the broker a copy of each.
fn on_a_terminal(alice: &Caller, count: usize, listener: Option<(&tokio::runtime::Runtime, &Wire)>) -> Seen {
    let heard = listener.map(|(runtime, wire)| runtime.block_on(first_reply(wire)));
    let (mut screen, terminal) = pseudo_terminal();
    let mut command = alice.command(&["rpc", "rpcutil", "ping"]);
    command.stdin(terminal.try_clone().expect("a terminal"));
    command.stdout(terminal.try_clone().expect("a terminal")).stderr(Stdio::null());
    let (before, begun) = (of_children(), Instant::now());
    let mut child = command.spawn().expect("the program");
    drop((command, terminal));
    let reader = std::thread::spawn(move || {
        let (mut bytes, mut shown, mut row) = (vec![0; 1 << 16], Vec::new(), None);
        // a terminal whose other end is closed reads as an error
        while let Ok(read) = screen.read(&mut bytes) {
            if read == 0 {
                break;
            }
            shown.extend_from_slice(&bytes[..read]);
            // "e17.example.net", where no bar says such a thing
            if row.is_none() && shown.windows(12).any(|text| text == b".example.net") {
                row = Some(Instant::now());
            }
        }
        (row, shown)
    });
    let mut peak = 0.0;
    // it ends with its terminal's last row, and its memory is told until then
    while child.try_wait().expect("our child").is_none() {
        peak = common::peak(child.id()).unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(5));
    }
    let status = child.wait().expect("our child");
    let (wall, processor) = (begun.elapsed(), of_children() - before);
    let (row, shown) = reader.join().expect("a reader");
    let shown = String::from_utf8_lossy(&shown).into_owned();
    let tail: String = shown.chars().rev().take(600).collect::<Vec<_>>().into_iter().rev().collect();
    assert!(status.success(), "{status}: {tail}");
    assert!(shown.contains(&format!("{count} / {count}")), "{tail}");
    let first_row = heard.map_or(Duration::ZERO, |heard| {
        let heard = listener.expect("there is one").0.block_on(heard).expect("a listener");
        row.expect("a row").saturating_duration_since(heard)
    });
    Seen { wall, processor, peak, first_row }
}

/// When the first answer to an action is heard that comes from now on.
async fn first_reply(wire: &Wire) -> tokio::task::JoinHandle<Instant> {
    let subject = wire.reply_subject();
    let everything = format!("{}.>", subject.rsplit_once('.').expect("a subject of several words").0);
    let mut replies = wire.subscribe(&everything).await;
    wire.served().await;
    let _ = tokio::time::timeout(Duration::from_millis(50), replies.next()).await;
    tokio::spawn(async move {
        loop {
            let message = replies.next().await.expect("a connection");
            let now = Instant::now();
            if agent_of(&message.payload).is_some_and(|agent| agent == "rpcutil") {
                return now;
            }
        }
    })
}

fn agent_of(payload: &[u8]) -> Option<String> {
    ReplyReader::default().read(payload).ok().map(|reply| reply.envelope.agent.into_owned())
}

/// The side that shows and the side a program writes to.
fn pseudo_terminal() -> (File, File) {
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo terminal");
    grantpt(&screen).and_then(|()| unlockpt(&screen)).expect("a pseudo terminal");
    let name = ptsname(&screen, Vec::new()).expect("a name");
    let name = name.into_string().expect("a path");
    let terminal = File::options().read(true).write(true).open(name).expect("a terminal");
    (File::from(screen), terminal)
}
