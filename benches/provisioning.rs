//! What it costs to provision a node, and where the time goes.
//!
//! `cargo bench --bench provisioning` starts the real program, release build,
//! as broker, provisioner and emulated waiting nodes on one machine, and
//! prints its figures beside what was measured on the original. Keys and
//! certificate requests of the nodes are made before the clock starts.
//! `provisioning NODES` takes another number of them than 10,000; a process
//! may open about that many files. Rows that hang less on the number take half
//! of it.

use std::fs::File;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use choria::core::agents::provision::keys::{self, CsrSubject};
use choria::core::provisioner::calls::ACTIONS;
use choria::core::provisioner::socket;
use choria::core::provisioner::status::Status;
use rcgen::KeyPair;
use serde_json::json;

#[allow(dead_code)]
mod common;
#[allow(dead_code)]
#[path = "../tests/it/emulated.rs"]
mod emulated;
/// Helpers that are measured sign by our own CA, as the built-in one does.
#[allow(dead_code)]
#[path = "../examples/provisioning_helper.rs"]
mod helper;
#[allow(dead_code)]
#[path = "../tests/it/network.rs"]
mod network;
#[allow(dead_code)]
#[path = "../tests/it/process.rs"]
mod process;
#[path = "../tests/it/provisioning.rs"]
mod provisioning;
#[allow(dead_code)]
#[path = "../tests/it/waiting_room.rs"]
mod waiting_room;
#[allow(dead_code)]
#[path = "../tests/it/wire.rs"]
mod wire;

use common::{milliseconds, of_children, of_children_of, peak, show, whole_processor};
use emulated::Emulated;
use process::{Daemon, PATIENCE, read_page, sample};
use provisioning::{provision, state};
use waiting_room::WaitingRoom;

/// Waiting nodes of a run that is not told otherwise.
const NODES: usize = 10_000;
/// Nodes a one-shot helper is measured with, which is some hundred times slower.
const ONE_SHOT: usize = 500;
/// Runs of a one-shot helper by hand.
const BY_HAND: usize = 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let Some(("helper", words)) = arguments.split_first().map(|(first, rest)| (*first, rest)) {
        return help(words);
    }
    let Some(words) = common::words() else { return };
    let nodes = words.first().map_or(NODES, |word| word.parse().expect("a number of waiting nodes"));
    common::head();
    built_in(nodes);
    full_cycle(nodes / 2);
    persistent(nodes / 2);
    one_shot(ONE_SHOT.min(nodes));
}

/// This program as a helper.
fn help(words: &[&str]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(helper::help(words)).expect("a helper that helps");
}

// === the cases ===

fn built_in(nodes: usize) {
    let room = WaitingRoom::open();
    let mut bench = Bench::new(room, nodes, &[]);
    bench.wait();
    let before = bench.used();
    let begun = bench.provision("");
    let took = bench.provisioned(begun);
    let used = bench.used();
    let row = |name: &str, unit: &str, value, original: &str, wanted: &str| {
        show(name, unit, vec![value], original, wanted);
    };
    row(
        &format!("{nodes} waiting nodes, first found to last restart"),
        "a minute",
        a_minute(nodes, took),
        "911 to 1496",
        "20000, at least 10000",
    );
    let each = |of: fn(&Used) -> Duration| milliseconds(of(&used).saturating_sub(of(&before))) / nodes as f64;
    row("  of the provisioner, a node", "ms CPU", each(|u| u.provisioner), "38", "2, at most 3");
    row("  of the broker, a node", "ms CPU", each(|u| u.broker), "19", "");
    row("  of the emulated nodes, a node", "ms CPU", each(|u| u.nodes), "", "");
    let most = peak(bench.provisioner().pid()).expect("it runs");
    row("  most memory of the provisioner", "MiB", most, "547 (of 2,000)", "at most 100 MB");
    let all = used.all().saturating_sub(before.all());
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let share = all.as_secs_f64() / took.as_secs_f64() / processors as f64 * 100.0;
    row("  of all processors used meanwhile", "%", share, "", "");
    bench.stages();
}

fn full_cycle(nodes: usize) {
    let room = WaitingRoom::open();
    let mut bench = Bench::new(room, nodes, &["--come-back"]);
    bench.provision("");
    let begun = bench.first_waits();
    bench.reaches("choria_emulator_members", nodes, begun);
    let name = format!("{nodes} nodes connect, restart and come back");
    show(&name, "a minute", vec![a_minute(nodes, begun.elapsed())], "", "");
}

fn persistent(nodes: usize) {
    let room = WaitingRoom::open();
    let lines = format!("helper: {}\nhelper_mode: stream\n", helper_words(&room, &[]).join(" "));
    let mut bench = Bench::new(room, nodes, &[]);
    bench.wait();
    let begun = bench.provision(&lines);
    let took = bench.provisioned(begun);
    show(
        &format!("persistent helper, {nodes} nodes"),
        "a minute",
        vec![a_minute(nodes, took)],
        "",
        "at least 8000",
    );
    let cost = milliseconds(whole_processor(bench.provisioner().pid())) / nodes as f64;
    show("  of the provisioner, a node", "ms CPU", vec![cost], "", "");
}

fn one_shot(nodes: usize) {
    let room = WaitingRoom::open();
    let words = helper_words(&room, &["--once"]);
    let lines = format!("helper: {}\nhelper_mode: oneshot\n", words.join(" "));
    let mut bench = Bench::new(room, nodes, &[]);
    bench.wait();
    let begun = bench.provision(&lines);
    let took = bench.provisioned(begun);
    show(&format!("one-shot helper, {nodes} nodes"), "a minute", vec![a_minute(nodes, took)], "", "");
    let pid = bench.provisioner().pid();
    let own = milliseconds(whole_processor(pid)) / nodes as f64;
    show("  of the provisioner, a node", "ms CPU", vec![own], "", "");
    let helpers = milliseconds(of_children_of(pid)) / nodes as f64;
    show("  of the helper under it, a node", "ms CPU", vec![helpers], "", "");
    let (wall, cost) = by_hand(&bench.room, &words);
    show("  of the helper run by hand", "ms CPU", vec![cost], "", "");
    show("  its run by hand takes", "ms", vec![wall], "", "");
}

/// The command line of this program as a helper of the room's CA.
fn helper_words(room: &WaitingRoom, first: &[&str]) -> Vec<String> {
    let program = std::env::current_exe().expect("a path").display().to_string();
    let ca = room.network.path("ca").display().to_string();
    let broker = room.network.address().to_string();
    let words = [program, "helper".to_owned()].into_iter();
    words.chain(first.iter().map(|word| (*word).to_owned())).chain([ca, broker]).collect()
}

/// Milliseconds, on the clock and of a processor, of a run of a helper without a provisioner.
fn by_hand(room: &WaitingRoom, words: &[String]) -> (f64, f64) {
    let key = KeyPair::generate().expect("a key");
    let name = "byhand.example.net";
    let csr = keys::request(&key, &CsrSubject { name, ..CsrSubject::default() }).expect("a request");
    let question = json!({"identity": name, "csr": {"csr": csr, "ssldir": "/etc/choria/ssl"}}).to_string();
    let (before, begun) = (of_children(), Instant::now());
    for _ in 0..BY_HAND {
        let question = File::open(room.network.file("question.json", &question)).expect("a file");
        let mut command = Command::new(&words[0]);
        let status = command.args(&words[1..]).stdin(question).stdout(Stdio::null()).status();
        assert!(status.expect("a helper").success());
    }
    let each = |time: Duration| milliseconds(time) / BY_HAND as f64;
    (each(begun.elapsed()), each(of_children() - before))
}

fn a_minute(nodes: usize, took: Duration) -> f64 {
    nodes as f64 * 60.0 / took.as_secs_f64()
}

// === one of them ===

/// A room full of waiting nodes and whoever provisions them.
struct Bench {
    nodes: usize,
    fleet: Emulated,
    provisioner: Option<Daemon>,
    page: String,
    room: WaitingRoom,
    runtime: tokio::runtime::Runtime,
}

/// Processor time so far.
struct Used {
    provisioner: Duration,
    broker: Duration,
    nodes: Duration,
}

impl Used {
    fn all(&self) -> Duration {
        self.provisioner + self.broker + self.nodes
    }
}

impl Bench {
    fn new(room: WaitingRoom, nodes: usize, words: &[&str]) -> Bench {
        let words = [&["--rate", "2000"], words].concat();
        let fleet = Emulated::waiting(&room, nodes, &words);
        // nobody else takes it in that moment
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let page = port.expect("a port").to_string();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Bench { nodes, fleet, provisioner: None, page, room, runtime }
    }

    fn provisioner(&self) -> &Daemon {
        self.provisioner.as_ref().expect("it was started")
    }

    /// Until all nodes wait.
    fn wait(&self) {
        self.reaches("choria_emulator_waiting", self.nodes, Instant::now());
    }

    /// Until a node waits.
    fn first_waits(&self) -> Instant {
        self.reaches("choria_emulator_waiting", 1, Instant::now());
        Instant::now()
    }

    fn reaches(&self, counter: &str, least: usize, begun: Instant) {
        while self.fleet.counter(counter) < least as u64 {
            assert!(begun.elapsed() < 10 * PATIENCE, "{counter} never reached {least}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts the provisioner; returns when it begins to look for nodes.
    fn provision(&mut self, lines: &str) -> Instant {
        let port = self.page.rsplit_once(':').expect("a port").1;
        let lines = format!("loglevel: warn\nmonitor_port: {port}\n{lines}");
        self.provisioner = Some(Daemon::start("provisioner", provision(&self.room, &lines)));
        let begun = Instant::now();
        while self.status().is_none() {
            assert!(begun.elapsed() < PATIENCE, "the provisioner never came up");
            std::thread::sleep(Duration::from_millis(1));
        }
        Instant::now()
    }

    fn status(&self) -> Option<Status> {
        self.runtime.block_on(socket::ask(&state(&self.room))).ok()
    }

    /// Until all have accepted their restart.
    fn provisioned(&self, begun: Instant) -> Duration {
        loop {
            let status = self.status().expect("a provisioner");
            if status.provisioned as usize >= self.nodes {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < 10 * PATIENCE, "stuck: {status:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn used(&mut self) -> Used {
        // broker and emulator do not end threads that work
        let provisioner = self.provisioner.as_ref().map(|daemon| whole_processor(daemon.pid()));
        Used {
            provisioner: provisioner.unwrap_or_default(),
            broker: whole_processor(self.room.network.broker().pid()),
            nodes: whole_processor(self.fleet.daemon.pid()),
        }
    }

    /// Where the time of a node goes, as the provisioner counts it.
    fn stages(&self) {
        let page = read_page(&self.page, "/metrics");
        let mean = |name: &str, label: &str| {
            let of = |part: &str| sample(&page, &format!("choria_provisioner_{name}_{part}{{{label}"));
            let (sum, count) = (of("sum")?, of("count")?);
            (count > 0.0).then(|| sum / count * 1e3)
        };
        let row = |name: &str, value: Option<f64>| {
            if let Some(value) = value {
                show(name, "ms", vec![value], "", "");
            }
        };
        row("  a node from its turn to its end", mean("walk_time", ""));
        for action in ACTIONS {
            row(&format!("    of that {action}"), mean("rpc_time", &format!("rpc=\"{action}\"")));
        }
        row("    of that the helper", mean("helper_time", ""));
    }
}
