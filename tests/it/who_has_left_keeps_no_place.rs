//! Hundreds of names are configured and never seen again, hundreds never say a
//! word: the provisioner has places, time, log and memory for others.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::a_broker_shows_itself::free_port;
use crate::a_hostile_node_does_not_hurt_the_broker::field;
use crate::emulated::Emulated;
use crate::process::{Daemon, parameter, read_page, sample, until};
use crate::provisioning::provision;
use crate::waiting_room::WaitingRoom;

const MIB: u64 = 1024 * 1024;
const HONEST: usize = 20;
/// Nodes in work at once, by default, and of them those that failed before.
const PLACES: f64 = 512.0;
const FAILED: f64 = PLACES / 4.0;

/// A provisioner, and where its counters are.
struct Watched {
    daemon: Daemon,
    page: String,
}

impl Watched {
    fn start(room: &WaitingRoom) -> Watched {
        let port = free_port();
        let daemon = Daemon::start("provisioner", provision(room, &format!("monitor_port: {port}\n")));
        daemon.says(&["watching for nodes"]);
        Watched { daemon, page: format!("127.0.0.1:{port}") }
    }

    fn kill(&mut self) {
        self.daemon.signal(Signal::KILL);
        assert!(!self.daemon.ended().success());
    }

    fn counter(&self, start: &str) -> f64 {
        let page = read_page(&self.page, "/metrics");
        sample(&page, &format!("choria_provisioner_{start}")).unwrap_or_else(|| panic!("no {start}: {page}"))
    }

    /// What it has allocated, in bytes.
    fn memory(&self) -> u64 {
        field(self.daemon.pid(), "RssAnon:")
    }

    /// Watches it for ten seconds, in which it is to be quiet and to leave places to others.
    #[track_caller]
    fn is_at_rest(&self, when: &str) {
        let (mark, begun, tried) = (self.daemon.mark(), Instant::now(), self.counter("walks{"));
        let mut working: f64 = 0.0;
        while begun.elapsed() < Duration::from_secs(10) {
            working = working.max(self.counter("busy_workers{"));
            std::thread::sleep(Duration::from_millis(100));
        }
        let (lines, tries) = (self.daemon.mark() - mark, self.counter("walks{") - tried);
        let memory = self.memory() / MIB;
        println!("{when}: {lines} lines, {tries} tries, at most {working} in work, {memory} MiB");
        assert!(lines <= 50, "{when}: {lines} lines in ten seconds");
        assert!(working <= FAILED, "{when}: {working} nodes in work");
    }

    /// Until nobody has places but those who failed before.
    #[track_caller]
    fn had_all(&self) {
        until("all to have had their turn", || (self.counter("busy_workers{") <= FAILED).then_some(()));
    }
}

/// A fleet that is well, and how long it takes.
fn honest(room: &WaitingRoom, names: &str) -> Duration {
    let begun = Instant::now();
    let fleet = Emulated::waiting_as(room, names, HONEST, &["--rate", "1000", "--keys", "1"]);
    fleet.counts("choria_emulator_provisioned", HONEST as u64);
    begun.elapsed()
}

#[test]
fn after_they_were_configured() {
    let count = usize::try_from(parameter("CHORIA_TEST_NODES", 600)).expect("a number of nodes");
    let room = WaitingRoom::open();
    let mut provisioner = Watched::start(&room);
    let alone = honest(&room, "a{}.example.net");
    let gone = Emulated::waiting_as(&room, "m{}.example.net", count, &["--keys", "1", "--dying", "100"]);
    // on a busy machine some are asked again before they are gone
    gone.counts("choria_emulator_ended", count as u64 * 9 / 10);
    drop(gone);
    provisioner.had_all();
    provisioner.is_at_rest("after they left");
    let others = honest(&room, "b{}.example.net");
    println!("others took {others:?}, {alone:?} alone");
    assert!(provisioner.memory() < 40 * MIB, "{} MiB", provisioner.memory() / MIB);

    provisioner.kill();
    provisioner = Watched::start(&room);
    provisioner.is_at_rest("after the start");
    let others = honest(&room, "c{}.example.net");
    println!("others took {others:?}, {alone:?} alone");
    assert!(others < alone * 2 + Duration::from_secs(3), "others took {others:?}, {alone:?} alone");
    assert!(provisioner.memory() < 24 * MIB, "{} MiB", provisioner.memory() / MIB);
}

#[test]
fn without_a_word() {
    let room = WaitingRoom::open();
    let provisioner = Watched::start(&room);
    let alone = honest(&room, "a{}.example.net");
    let fleet = Emulated::waiting_as(&room, "m{}.example.net", 600, &["--keys", "1", "--silent", "100"]);
    fleet.counts("choria_emulator_waiting", 600);
    let silent = "ends{reason=\"silent\"";
    until("each to be silent", || (provisioner.counter(silent) >= 600.0).then_some(()));
    provisioner.had_all();
    provisioner.is_at_rest("while they are silent");
    let others = honest(&room, "b{}.example.net");
    println!("others took {others:?}, {alone:?} alone");
    assert!(others < alone * 2 + Duration::from_secs(3), "others took {others:?}, {alone:?} alone");
}
