//! A fleet of which a twentieth is not as it should be, a CA that is away for a
//! while, a broker that restarts and a provisioner that is killed: everybody
//! who is well becomes a member, once, and of everybody else it is said why not.
//!
//! `CHORIA_TEST_NODES` makes the fleet as large as those that networks have.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use choria::core::emulator::{Fault, Faults};
use rustix::process::Signal;

use crate::emulated::Emulated;
use crate::process::{Daemon, PATIENCE, parameter};
use crate::provisioning::provision;
use crate::waiting_room::WaitingRoom;

/// What is wrong in the fleet.
const FAULTS: Faults = Faults { silent: 0.01, dying: 0.01, wrong_token: 0.01, doubled: 0.0 };
/// Of every so many nodes the helper is at fault with four.
const HELPED: usize = 200;

/// Said of nodes that never say a word,
const SILENT: &str = "no answer within 3 s";
/// and of those that are gone.
const GONE: &str = "no answer, nobody listens by this name";

fn name(index: usize) -> String {
    format!("e{}.example.net", index + 1)
}

/// Why a node cannot be provisioned, in words that its line in the log has; `None` for one that can.
fn trouble(index: usize, count: usize) -> Option<&'static str> {
    let helper = match (index + 1) % HELPED {
        7 => Some("the helper gave no answer: it ended with signal"),
        57 => Some("the helper gave no answer: it took longer than 5s"),
        107 => Some("the helper's answer cannot be read"),
        157 => Some("the helper defers it: never"),
        _ => None,
    };
    match FAULTS.of(index, count) {
        Fault::Silent => Some(SILENT),
        Fault::WrongToken => Some("Incorrect provision token supplied"),
        Fault::Dying => helper.or(Some(GONE)),
        _ => helper,
    }
}

/// A one-shot helper around that of the examples, which crashes, hangs, prints
/// junk and defers for ever; whom else it is asked about, it writes down.
fn helper(room: &WaitingRoom) -> String {
    let example = Path::new(env!("CARGO_BIN_EXE_choria")).with_file_name("examples/provisioning_helper");
    fs::create_dir(room.network.path("asked")).expect("a directory");
    let text = format!(
        "#!/bin/sh\n\
         in=$(cat)\n\
         n=${{in#*\\\"identity\\\":\\\"e}}\n\
         n=${{n%%.*}}\n\
         if [ -e {dir}/ca-is-away ]; then echo 'the CA is away' >&2; exit 1; fi\n\
         case $((n % {HELPED})) in\n\
         7) kill -9 $$ ;;\n\
         57) exec sleep 30 ;;\n\
         107) echo '}}{{ junk'; exit 0 ;;\n\
         157) echo '{{\"defer\": true, \"msg\": \"never\"}}'; exit 0 ;;\n\
         esac\n\
         echo >> {dir}/asked/$n\n\
         printf %s \"$in\" | {example} --once {ca} {broker}\n",
        dir = room.network.path("").display(),
        example = example.display(),
        ca = room.network.path("ca").display(),
        broker = room.network.address(),
    );
    let file = room.network.file("sick.sh", &text);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("an executable file");
    file.display().to_string()
}

/// Waits as long as a fleet of thousands may take.
#[track_caller]
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < 15 * PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A provisioner that is killed and started again, and all that it ever said.
struct Mortal {
    daemon: Daemon,
    lines: String,
    /// What it said of nodes that were not provisioned, by node.
    said: BTreeMap<String, Vec<String>>,
    mark: usize,
}

impl Mortal {
    fn start(room: &WaitingRoom, lines: String) -> Mortal {
        let daemon = Daemon::start("provisioner", provision(room, &lines));
        Mortal { daemon, lines, said: BTreeMap::new(), mark: 0 }
    }

    /// Adds what was said since.
    fn listen(&mut self) {
        let lines = self.daemon.lines();
        for line in lines.iter().skip(self.mark).filter(|line| line.contains("not provisioned")) {
            let node = line.split("node=").nth(1).and_then(|rest| rest.split(' ').next());
            self.said.entry(node.unwrap_or_default().to_owned()).or_default().push(line.clone());
        }
        self.mark = lines.len();
    }

    /// SIGKILL, and another one on the same journal.
    fn kill(&mut self, room: &WaitingRoom) {
        self.daemon.signal(Signal::KILL);
        assert!(!self.daemon.ended().success());
        self.listen();
        self.daemon = Daemon::start("provisioner", provision(room, &self.lines));
        self.mark = 0;
    }

    /// Waits until each of these nodes has this said of it.
    #[track_caller]
    fn says_why(&mut self, reasons: &BTreeMap<String, &str>) {
        let mut left = usize::MAX;
        until("every reason to be told", || {
            self.listen();
            let told = |node: &String, reason: &str| {
                self.said.get(node).is_some_and(|lines| lines.iter().any(|line| line.contains(reason)))
            };
            let missing: Vec<_> = reasons.iter().filter(|(node, reason)| !told(node, reason)).collect();
            if missing.len() < left {
                left = missing.len();
                eprintln!("reasons yet to be told: {left}, such as {:?}", missing.first());
            }
            missing.is_empty().then_some(())
        });
    }
}

#[test]
fn the_well_are_provisioned_once_and_the_sick_are_told_of() {
    let count = usize::try_from(parameter("CHORIA_TEST_NODES", 300)).expect("a number of nodes");
    let reasons: BTreeMap<String, &str> =
        (0..count).filter_map(|index| Some((name(index), trouble(index, count)?))).collect();
    let dying = (0..count).filter(|index| FAULTS.of(*index, count) == Fault::Dying);
    let dying: Vec<usize> = dying.filter(|index| reasons[&name(*index)] == GONE).collect();
    let well = (count - reasons.len()) as u64;
    let mut room = WaitingRoom::open();
    let begun = Instant::now();
    let step = |what: &str| eprintln!("{:6.1} s: {what}", begun.elapsed().as_secs_f64());

    // The CA is away, and nobody who answers gets further than to the helper.
    let away = room.network.file("ca-is-away", "");
    let lines = format!("helper: {}\nhelper_timeout: 5s\nworkers: 8\n", helper(&room));
    let mut provisioner = Mortal::start(&room, lines);
    let words = ["--come-back", "--rate", "1000", "--silent", "1", "--dying", "1", "--wrong-token", "1"];
    let fleet = Emulated::waiting(&room, count, &words);
    let reaches = |counter: &str, least: u64| {
        until(&format!("{counter} to reach {least}"), || (fleet.counter(counter) >= least).then_some(()));
    };
    until("all to wait", || (fleet.counter("choria_emulator_waiting") == count as u64).then_some(()));
    step("all wait");
    // who never says a word is only known by the event of its start
    let silent = reasons.iter().filter(|(_, reason)| **reason == SILENT);
    provisioner.says_why(&silent.map(|(node, reason)| (node.clone(), *reason)).collect());
    step("the silent are told of");
    assert_eq!(fleet.counter("choria_emulator_provisioned"), 0);
    fs::remove_file(away).expect("a file");

    for percent in [10, 30, 50, 60, 80] {
        reaches("choria_emulator_provisioned", well * percent / 100);
        step(&format!("{percent} % are provisioned"));
        if percent == 50 {
            room.network.kill_broker();
            room.network.start_broker();
        } else {
            provisioner.kill(&room);
        }
    }
    reaches("choria_emulator_provisioned", well);
    step("all who are well are provisioned");
    reaches("choria_emulator_members", well);
    step("and members");
    provisioner.says_why(&reasons);
    step("every reason is told");

    // a node that is provisioned is so for good: the emulator counts each once
    assert_eq!(fleet.counter("choria_emulator_provisioned"), well);
    assert_eq!(fleet.counter("choria_emulator_ended"), dying.len() as u64);
    let other = provisioner.said.values().flatten().find(|line| line.contains("was configured by"));
    assert_eq!(other, None, "nobody was given another answer than its first");
    let asked = |index: usize| {
        let runs = fs::read(room.network.path(&format!("asked/{}", index + 1))).unwrap_or_default();
        runs.len()
    };
    let again = (0..count).filter(|index| trouble(*index, count).is_none() && asked(*index) > 1).count();
    eprintln!("{count} nodes, {well} well; the helper was asked again about {again} of these");
}
