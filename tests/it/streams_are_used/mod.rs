//! Buckets, governors and elections, by commands, on a broker that keeps streams.

mod alerts;
mod buckets;
mod elections;
mod floods;
mod governors;
pub mod looks;
mod machines;
mod playbooks;
mod plugins;
mod provisioners;

use std::process::Command;

use choria::core::pki::{Kind, Options};

use crate::a_broker_is_a_leaf::hub::Release;
use crate::network::{Caller, Network, now};
use crate::process::{Daemon, Ran, program, run};

/// A network with streams, somebody who uses them, and somebody who makes them.
pub struct Keeping {
    pub network: Network,
    pub alice: Caller,
    pub root: Caller,
}

/// A command that runs another one: what is said behind it is that one's.
fn runner(caller: &Caller, words: &[&str]) -> Command {
    let mut command = caller.command(&[]);
    command.args(words).env("PATH", "/usr/bin:/bin");
    command
}

fn start(caller: &Caller, words: &[&str]) -> Daemon {
    Daemon::start(&words.join(" "), runner(caller, words))
}

#[track_caller]
fn ran(caller: &Caller, words: &[&str]) -> Ran {
    run(runner(caller, words), None)
}

impl Keeping {
    pub fn start(lines: &str) -> Keeping {
        Keeping::of(Release::Newest, lines)
    }

    pub fn of(release: Release, lines: &str) -> Keeping {
        let mut network = Network::without_broker();
        let settings = format!(
            "plugin.choria.network.x509_permissions = by-name\n\
             plugin.choria.network.lame_duck_duration = 1\n\
             plugin.choria.network.stream.store = {}\n\
             plugin.choria.network.nats_server = {}\n{lines}",
            network.path("streams").display(),
            release.program().display()
        );
        network.configure_broker(&settings);
        network.start_broker();
        network.broker().says(&["system streams are as configured"]);
        let (alice, root) = (network.alice(), network.caller("root.privileged.mcollective"));
        Keeping { network, alice, root }
    }
}

/// Somebody starts the broker by hand, on a machine whose daemon runs.
#[test]
fn a_second_broker_leaves_the_streams_of_the_first_alone() {
    let Keeping { mut network, alice, root } = Keeping::start("");
    root.run(&["kv", "add", "CFG"]).fine();
    let mut second = program(network.directory());
    second.arg("broker").arg("run").arg("--config").arg(network.path("broker.conf"));
    run(second, None)
        .code(1)
        .complains(&["a broker that runs keeps its streams in", "one of the two has to end"]);
    alice.run(&["kv", "put", "CFG", "a", "one"]).fine();
    assert_eq!(alice.run(&["kv", "get", "CFG", "a", "--raw"]).fine().stdout.trim(), "one");
    network.broker().still_runs();
}

/// Whatever is read again, streams answer during it and after.
#[test]
fn a_reload_loses_no_streams() {
    let Keeping { mut network, alice, root } = Keeping::start("");
    root.run(&["kv", "add", "CFG"]).fine();
    alice.run(&["kv", "put", "CFG", "a", "one"]).fine();
    for revokes in [false, true] {
        let mark = network.broker().mark();
        if revokes {
            network.ca.issue(Kind::Node, "gone.example.net", &Options::default(), now()).expect("a node");
            network.ca.revoke("gone.example.net", now()).expect("a list");
        } else {
            network.broker().signal(rustix::process::Signal::HUP);
        }
        network.broker().says_after(mark, &["read keys, CA and revocation lists again"]);
        for _ in 0..20 {
            assert_eq!(alice.run(&["kv", "get", "CFG", "a", "--raw"]).fine().stdout.trim(), "one");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}
