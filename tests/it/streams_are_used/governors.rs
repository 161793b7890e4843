//! `choria governor`.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Keeping, ran, start};
use crate::network::{Caller, node};
use crate::process::{Daemon, program, run, until};

fn leases(caller: &Caller, name: &str) -> usize {
    let view = caller.run(&["governor", "view", name, "--json"]).fine().json();
    view["leases"].as_array().unwrap().len()
}

#[test]
fn so_many_at_a_time_run_and_no_more() {
    let keeping = Keeping::start("");
    let Keeping { network, alice, root } = &keeping;
    ran(alice, &["governor", "run", "G", "true"]).code(1).complains(&["no governor G", "governor add G"]);
    root.run(&["governor", "add", "G", "2", "10m"]).fine().says(&["Capacity: 2", "Expires: 10m"]);
    root.run(&["governor", "add", "G", "2", "10m"]).fine().says(&["as wanted already"]);
    root.run(&["governor", "add", "G", "3", "10m"]).code(1).complains(&["-f"]);

    // each says when it runs; never more than two at once
    let log = network.path("log");
    let script = format!("echo + >> {0}; sleep 0.3; echo - >> {0}; exit 7", log.display());
    let runs: Vec<_> = (0..6)
        .map(|_| start(alice, &["governor", "run", "--interval", "1s", "G", "sh", "-c", &script, "unused"]))
        .collect();
    for mut run in runs {
        assert_eq!(run.ended().code(), Some(7), "the child's code");
    }
    let text = fs::read_to_string(&log).unwrap();
    let (mut now, mut most) = (0, 0);
    for line in text.lines() {
        now += if line == "+" { 1 } else { -1 };
        most = most.max(now);
    }
    assert_eq!((text.lines().count(), now, most), (12, 0, 2), "{text}");
    until("all slots to be free", || (leases(alice, "G") == 0).then_some(()));

    // nobody waits for ever
    let hold = ["governor", "run", "G", "sleep", "100"];
    let mut holders: Vec<_> = (0..2).map(|_| start(alice, &hold)).collect();
    until("two to be in", || (leases(alice, "G") == 2).then_some(()));
    ran(alice, &["governor", "run", "G", "echo ran", "--max-wait", "1s"])
        .code(1)
        .complains(&["no slot within 1s"]);
    let did =
        ran(alice, &["governor", "run", "--max-wait", "1s", "--max-per-period", "G", "echo", "ran"]).fine();
    assert!(!did.stdout.contains("ran"), "{did:?}");

    // whose slot is taken away is ended
    let view = alice.run(&["governor", "view", "G", "--json"]).fine().json();
    assert_eq!(view["leases"][0]["name"], "console.example.net");
    alice.run(&["governor", "view", "G"]).fine().says(&["Active Leases: 2", "console.example.net"]);
    let slot = view["leases"][0]["id"].to_string();
    alice.run(&["governor", "evict", "G", &slot, "-f"]).fine();
    alice.run(&["governor", "evict", "G", &slot, "-f"]).code(1).complains(&["no slot"]);
    until("one of them to be ended", || {
        holders.iter().any(|h| !h.matching(0, &["was taken away"]).is_empty()).then_some(())
    });
    // and who is told to end ends what runs, and gives the slot back
    for holder in &mut holders {
        if holder.matching(0, &["was taken away"]).is_empty() {
            holder.signal(rustix::process::Signal::TERM);
        }
        assert_eq!(holder.ended().code(), Some(1));
    }
    until("all slots to be free", || (leases(alice, "G") == 0).then_some(()));
    root.run(&["governor", "rm", "G", "-f"]).fine();
    alice.run(&["governor", "ls"]).fine().says(&["There are no governors"]);
}

#[test]
fn a_lease_ends_and_what_runs_in_it_too() {
    let keeping = Keeping::start("");
    let Keeping { network, alice, root } = &keeping;
    root.run(&["governor", "add", "L", "1", "2s"]).fine();
    let began = Instant::now();
    let file = network.path("child");
    let script = format!("trap 'echo told > {0}; exit 3' TERM; while :; do sleep 0.1; done", file.display());
    let did = ran(alice, &["governor", "run", "L", "sh", "-c", &script]).code(1).complains(&["has expired"]);
    assert!(began.elapsed() < Duration::from_secs(20), "{did:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "told\n");
    ran(alice, &["governor", "run", "--let-finish", "L", "sh", "-c", "sleep 3; exit 5"]).code(5);
    // so many a period: the slot stays when the command has ended
    ran(alice, &["governor", "run", "--max-per-period", "L", "true"]).fine();
    let did =
        ran(alice, &["governor", "run", "--max-per-period", "--max-wait", "0s", "L", "echo", "ran"]).fine();
    assert!(!did.stdout.contains("ran"), "{did:?}");
    // whoever dies gives its slot back by and by
    root.run(&["governor", "add", "L", "1", "4s", "-f"]).fine();
    until("the slot to be free", || (leases(alice, "L") == 0).then_some(()));
    drop(start(alice, &["governor", "run", "L", "sleep", "1"]));
    ran(alice, &["governor", "run", "--interval", "1s", "L", "true"]).fine();
}

#[test]
fn a_machine_itself_takes_slots_of_the_governors_that_are_named() {
    let keeping = Keeping::start("plugin.choria.network.stream.node_governors = CRON\n");
    let Keeping { network, alice, root } = &keeping;
    root.run(&["governor", "add", "CRON", "1", "10m"]).fine();
    root.run(&["governor", "add", "OTHER", "1", "10m"]).fine();
    let node = network.node_elsewhere(node("n1"));
    let run = |governor: &str, script: &str| {
        let mut command = program(network.directory());
        command.env("PATH", "/usr/bin:/bin").arg("--config").arg(&node.config);
        command.args(["governor", "run", governor, "sh", "-c", script]);
        run(command, None)
    };
    run("CRON", "exit 4").code(4);
    run("OTHER", "true").code(1).complains(&["does not let this caller", "GOVERNOR_OTHER"]);
    let mut command = program(network.directory());
    command.env("PATH", "/usr/bin:/bin").arg("--config").arg(&node.config);
    command.args(["governor", "run", "CRON", "sleep", "100"]);
    let mut held = Daemon::start("held", command);
    until("the machine to be in", || {
        let view = alice.run(&["governor", "view", "CRON", "--json"]).fine().json();
        (view["leases"][0]["name"] == "n1.example.net").then_some(())
    });
    held.signal(rustix::process::Signal::TERM);
    assert_eq!(held.ended().code(), Some(1));
    until("the slot to be free", || (leases(alice, "CRON") == 0).then_some(()));
}

#[test]
fn puppet_looks_after_governors() {
    let keeping = Keeping::start("");
    let root = &keeping.root;
    let words = ["governor", "api", "--ensure", "--name", "P", "--capacity", "2"];
    let ensure = |more: &[&str]| root.run(&[&words[..], more].concat());
    let expected =
        "{\"name\":\"P\",\"capacity\":2,\"expire\":90,\"replicas\":1,\"collective\":\"mcollective\"}\n";
    assert_eq!(ensure(&["--expire", "90"]).fine().stdout, expected);
    assert_eq!(ensure(&["--expire", "90"]).fine().stdout, expected, "and again");
    assert_eq!(ensure(&["--expire", "5"]).fine().json()["expire"], 5);
    let copies = ensure(&["--replicas", "3"]).code(1);
    assert!(copies.json()["error"].as_str().unwrap().contains("--force"), "{copies:?}");
    assert_eq!(root.run(&["gov", "api", "--list"]).fine().json()[0]["expire"], json!(5));
    root.run(&["gov", "api", "--delete", "--name", "P"]).fine();
    assert_eq!(root.run(&["gov", "api", "--list"]).fine().stdout, "[]\n");
}
