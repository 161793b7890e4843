//! Hundreds of names are configured, and nobody by them is ever seen again: the
//! provisioner has places, time, log and memory for others.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::a_hostile_node_does_not_hurt_the_broker::field;
use crate::emulated::Emulated;
use crate::process::{Daemon, parameter};
use crate::provisioning::provision;
use crate::waiting_room::WaitingRoom;

const MIB: u64 = 1024 * 1024;
const HONEST: usize = 20;

/// Lines, resident memory and the most it ever was.
fn measure(provisioner: &Daemon, what: &str) {
    let mark = provisioner.mark();
    let begun = Instant::now();
    for second in 1..=10 {
        std::thread::sleep(Duration::from_secs(1));
        println!("{what}: second {second}, {} lines", provisioner.mark() - mark);
    }
    let [now, most] = ["VmRSS:", "VmHWM:"].map(|name| field(provisioner.pid(), name) / MIB);
    println!("{what}: {:?}, {now} MiB, most {most} MiB", begun.elapsed());
}

fn honest(room: &WaitingRoom, names: &str) -> Duration {
    let begun = Instant::now();
    let fleet = Emulated::waiting_as(room, names, HONEST, &["--rate", "1000"]);
    fleet.counts("choria_emulator_provisioned", HONEST as u64);
    begun.elapsed()
}

#[test]
fn others_have_it() {
    let count = usize::try_from(parameter("CHORIA_TEST_NODES", 700)).expect("a number of nodes");
    let room = WaitingRoom::open();
    let mut provisioner = Daemon::start("provisioner", provision(&room, ""));
    provisioner.says(&["watching for nodes"]);
    println!("alone {:?}", honest(&room, "a{}.example.net"));
    println!("{} MiB", field(provisioner.pid(), "VmRSS:") / MIB);
    let gone = Emulated::waiting_as(&room, "m{}.example.net", count, &["--rate", "1000", "--dying", "100"]);
    gone.counts("choria_emulator_ended", count as u64 * 9 / 10);
    drop(gone);
    measure(&provisioner, "left");
    println!("honest {:?}", honest(&room, "b{}.example.net"));
    provisioner.signal(Signal::KILL);
    provisioner.ended();
    provisioner = Daemon::start("provisioner", provision(&room, ""));
    provisioner.says(&["watching for nodes"]);
    measure(&provisioner, "again");
    println!("honest {:?}", honest(&room, "c{}.example.net"));
    for line in provisioner.lines().iter().rev().take(5) {
        println!("{line}");
    }
}
