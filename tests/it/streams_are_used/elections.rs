//! `choria election`.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Keeping, ran, start};
use crate::process::until;

const TTL: Duration = Duration::from_secs(3);

fn keeping() -> Keeping {
    Keeping::start(&format!("plugin.choria.network.stream.leader_election_ttl = {}s\n", TTL.as_secs()))
}

#[test]
fn one_of_two_leads_and_the_other_takes_over() {
    let keeping = keeping();
    let network = &keeping.network;
    let who = |name: &str| {
        network.caller_with(&format!("{name}.mcollective"), &format!("identity = {name}.example.net\n"))
    };
    let script = |name: &str| {
        format!(
            "trap 'echo {name} lost' USR2; trap 'echo {name} won' USR1; echo {name} leads; while kill -0 $PPID 2>/dev/null; do sleep 0.1; done"
        )
    };
    let people = ["one", "two"].map(who);
    let mut running: Vec<_> = ["one", "two"]
        .iter()
        .zip(&people)
        .map(|(name, caller)| start(caller, &["election", "run", "E", "sh", "-c", &script(name)]))
        .collect();
    let leader = || {
        let info = keeping.alice.run(&["election", "info", "--json"]).fine().json();
        info["elections"].as_array()?.iter().find(|e| e["election"] == "E")?["leader"]
            .as_str()
            .map(str::to_owned)
    };
    let leads =
        |at: usize, running: &[crate::process::Daemon]| !running[at].matching(0, &["leads"]).is_empty();
    let first = until("a leader", || (0..2).find(|at| leads(*at, &running)));
    assert_eq!(leader(), Some(format!("{}.example.net", ["one", "two"][first])));
    // more than a renewal later it still does, alone
    std::thread::sleep(TTL + Duration::from_secs(1));
    assert!(!leads(1 - first, &running), "two lead");
    assert!(running[first].matching(0, &["lost"]).is_empty());
    keeping.alice.run(&["election", "info"]).fine().says(&["E", "3s"]);

    // killed, the other one leads in time
    let killed = Instant::now();
    let mut gone = running.remove(first);
    gone.signal(rustix::process::Signal::KILL);
    let _ = gone.ended();
    until("the other to lead", || leads(0, &running).then_some(()));
    assert!(killed.elapsed() < TTL + Duration::from_secs(5), "{:?}", killed.elapsed());

    // evicted, it is told, and wins again: there is nobody else
    keeping.root.run(&["election", "evict", "E", "-f"]).fine();
    running[0].says(&["lost"]);
    running[0].says(&["won"]);
    // by somebody who may only mark the key, too
    keeping.alice.run(&["election", "evict", "E", "-f"]).fine().says(&["for up to 3s"]);
    until("it to be told again", || (running[0].matching(0, &["lost"]).len() == 2).then_some(()));
    until("it to win again", || (running[0].matching(0, &["won"]).len() == 2).then_some(()));
    keeping.alice.run(&["election", "evict", "nobody", "-f"]).code(1).complains(&["nobody leads"]);
}

#[test]
fn a_file_is_there_while_one_leads() {
    let mut keeping = keeping();
    let file = keeping.network.path("leads").display().to_string();
    keeping.alice.run(&["election", "file", &file, "F", "--check"]).code(1).complains(&["does not lead"]);
    let mut kept = keeping.alice.start(&["election", "file", &file, "F"]);
    until("the file", || fs::metadata(&file).is_ok().then_some(()));
    keeping.alice.run(&["election", "file", &file, "F", "--check"]).fine().says(&["leads election F"]);
    let old =
        keeping.network.file("old", &json!({"count": 1, "timestamp": 1}).to_string()).display().to_string();
    keeping.alice.run(&["election", "file", &old, "F", "--check"]).code(1).complains(&["s ago"]);
    // a leader that reaches nobody any more leads no more
    keeping.network.kill_broker();
    until("the file to go", || fs::metadata(&file).is_err().then_some(()));
    keeping.network.start_broker();
    until("the file to come back", || fs::metadata(&file).is_ok().then_some(()));
    kept.signal(rustix::process::Signal::TERM);
    assert!(kept.ended().success());
    assert!(fs::metadata(&file).is_err(), "whoever ended does not lead");
}

#[test]
fn a_command_may_be_ended_with_the_lead() {
    let keeping = keeping();
    let mut running = start(&keeping.alice, &["election", "run", "--terminate", "T", "sleep", "100"]);
    until("a leader", || {
        let info = keeping.alice.run(&["elect", "i", "^T$", "--json"]).fine().json();
        (info["elections"].as_array().map(Vec::len) == Some(1)).then_some(())
    });
    // until it is one, and not only elected
    std::thread::sleep(Duration::from_secs(1));
    keeping.root.run(&["election", "evict", "T", "-f"]).fine();
    running.says(&["is lost, the command is ended"]);
    assert_eq!(running.ended().code(), Some(1));
    assert_eq!(ran(&keeping.alice, &["election", "run", "X", "sh", "-c", "exit 9"]).code, 9);
}
