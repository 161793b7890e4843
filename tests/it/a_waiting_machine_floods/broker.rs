//! The broker serves others, in bounded memory.

use std::time::Duration;

use super::Machine;
use crate::a_hostile_node_does_not_hurt_the_broker::{Canary, field, resident};
use crate::raw::Raw;
use crate::waiting_room::WaitingRoom;

const MIB: u64 = 1024 * 1024;
const NAME: &str = "evil.example.net";

/// Runs an attack while an operator is served, and measures what the broker took for it, in MiB.
#[track_caller]
fn survives(lines: &str, allowed: u64, attack: impl FnOnce(&Machine, &WaitingRoom)) {
    let mut room = WaitingRoom::open_with(lines);
    let machine = Machine::of(&room);
    machine.connect(NAME);
    let canary = Canary::start(&room.network);
    let pid = room.network.broker().pid();
    let before = resident(pid);
    attack(&machine, &room);
    let worst = canary.worst();
    let grown = field(pid, "VmHWM:").saturating_sub(before) / MIB;
    println!("the canary waited {worst:?} at most, the broker grew by {grown} MiB");
    assert!(worst < Duration::from_secs(5), "the canary waited {worst:?}");
    assert!(grown <= allowed, "the broker grew by {grown} MiB, {allowed} are allowed");
    Raw::connect(&room.network, &room.network.alice()).sync();
    // and the room is open to others
    machine.connect("honest.example.net").sync();
    room.network.broker().still_runs();
}

#[test]
fn patterns_and_queue_groups_are_few() {
    survives("", 32, |machine, _| {
        let mut raw = machine.connect(NAME);
        let deep = "*.".repeat(1500);
        raw.send((0..200).map(|n| format!("SUB provisioning.{deep}{n} {n}\r\n")).collect::<String>());
        assert!(raw.sync().matches("-ERR").count() >= 200);
        let mut refused = 0;
        for round in 0..80 {
            let subject = "provisioning.broadcast.agent.discovery";
            raw.send(
                (0..1000).map(|n| format!("SUB {subject} g{round}.{n} {round}.{n}\r\n")).collect::<String>(),
            );
            let Some(told) = raw.try_sync() else { break };
            refused += told.matches("maximum subscriptions exceeded").count();
        }
        assert!(refused >= 80_000 - 64, "only {refused} were refused");
    });
}

#[test]
fn unfinished_messages_of_many_names_cut_whoever_began_them() {
    survives("plugin.choria.network.memory = 64M\n", 64, |machine, _| {
        let half = format!("PUB choria.lifecycle.event.startup.x 1000000\r\n{}", "x".repeat(999_000));
        let mut held = vec![];
        for number in 0..80 {
            let mut raw = machine.connect(&format!("m{number}.example.net"));
            raw.send(&half);
            held.push(raw);
        }
    });
}

#[test]
fn what_is_told_to_the_deaf_is_in_the_account() {
    // a quarter of it for all who wait, by whatever names
    survives("plugin.choria.network.memory = 128M\n", 64, |machine, _| {
        std::thread::scope(|scope| {
            for number in 0..30 {
                scope.spawn(move || {
                    let mut raw = machine.connect(&format!("m{number}.example.net"));
                    raw.impatient(Duration::from_secs(3));
                    let forbidden = format!("PUB {} 0\r\n\r\n", "q".repeat(3900)).repeat(20);
                    for _ in 0..200 {
                        if raw.try_send(&forbidden).is_err() {
                            break;
                        }
                    }
                });
            }
        });
    });
}

#[test]
fn who_logs_in_again_and_again_is_cut() {
    survives("", 32, |machine, _| {
        std::thread::scope(|scope| {
            for number in 0..20 {
                scope.spawn(move || {
                    let mut raw = machine.connect(&format!("m{number}.example.net"));
                    let again = format!(
                        "CONNECT {{\"name\":\"m{number}.example.net\",\"auth_token\":\"{}\"}}\r\n",
                        machine.token
                    );
                    let again = again.repeat(200);
                    while raw.try_send(&again).is_ok() {}
                });
            }
        });
    });
}

#[test]
fn a_name_has_so_many_connections_and_one_that_is_full_hurts_no_other() {
    survives("", 96, |machine, _| {
        let mut held = vec![];
        for number in 0..60 {
            let name = format!("m{number}.example.net");
            held.extend((0..4).map(|_| machine.connect(&name)));
            let mut fifth = machine.open(&name);
            assert_eq!(fifth.until("maximum connections exceeded").as_deref(), Some("-ERR '"));
        }
        held.iter_mut().for_each(|raw| drop(raw.sync()));
    });
}

#[test]
fn all_of_them_together_leave_connections_to_others() {
    survives("plugin.choria.network.connections = 40\n", 32, |machine, room| {
        let mut held: Vec<Raw> =
            (0..45).map(|number| machine.open(&format!("m{number}.example.net"))).collect();
        let let_in = held.iter_mut().filter_map(Raw::try_sync).count();
        // all come from one address, which has half of the nine tenths
        assert!((14..=18).contains(&let_in), "{let_in}");
        Raw::connect(&room.network, &room.network.alice()).sync();
    });
}

#[test]
fn the_name_of_a_member_that_is_there_is_not_free() {
    survives("", 32, |machine, room| {
        room.network.certify(choria::core::pki::Kind::Node, "member.example.net");
        let member = Raw::connect(&room.network, &room.network.caller("member.example.net"));
        let refused = machine.open("member.example.net").until("a member of this name is connected");
        assert!(refused.is_some_and(|before| before.ends_with("-ERR '")));
        drop(member);
        crate::process::until("its name to be free", || machine.open("member.example.net").try_sync());
    });
}

/// A machine is given a certificate by the name it waits by.
#[test]
fn nobody_waits_by_the_name_of_the_broker() {
    let mut room = WaitingRoom::open();
    let machine = Machine::of(&room);
    assert!(machine.open("Broker.example.net").try_sync().is_none(), "it was let in");
    room.network.broker().says(&["Broker.example.net is a name of a broker here"]);
    machine.connect("n1.example.net").sync();
}
