//! One of several alertds tells.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use super::Keeping;
use crate::a_node_mends_itself::{machine, with_machines};
use crate::people_are_told_of_checks::{CHECK, checks, hook};
use crate::process::until;

#[test]
fn one_of_two_tells_and_the_other_goes_on_where_it_was() {
    let keeping = Keeping::start("plugin.choria.network.stream.leader_election_ttl = 5s\n");
    let Keeping { network, alice, root } = &keeping;
    let (port, told) = hook();
    let settings = |name: &str| -> PathBuf {
        let state = network.path(&format!("{name}.json"));
        network.file(
            &format!("{name}.yaml"),
            &format!(
                "state: {}\ngroup: 1s\nelection: alertd\nbucket: ALERTS\nreceivers:\n  - webhook: http://127.0.0.1:{port}/\n",
                state.display()
            ),
        )
    };
    let files = ["one", "two"].map(settings);
    let words = |file: &PathBuf| {
        ["scout", "alertd", "--settings"]
            .map(str::to_owned)
            .into_iter()
            .chain([file.display().to_string()])
            .collect::<Vec<_>>()
    };
    let start = |file: &PathBuf| {
        let words = words(file);
        alice.start(&words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let words = words(&files[0]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    alice.run(&words).code(1).complains(&["there is no bucket ALERTS", "choria kv add ALERTS"]);
    root.run(&["kv", "add", "ALERTS"]).fine();

    let mut one = start(&files[0]);
    one.says(&["Telling webhook of checks, once elected"]);
    one.says(&["Elected: this one tells now"]);
    let mut two = start(&files[1]);
    two.says(&["Telling webhook of checks, once elected"]);
    let (setup, store) = with_machines(network, "n1");
    let path = machine(&store, "whole", &checks(), &[("check", CHECK)]);
    fs::write(path.join("broken"), "").expect("a file");
    let nodes = network.nodes([setup]);
    let first = told.recv_timeout(Duration::from_secs(60)).expect("it is told");
    assert_eq!((&first["status"], &first["check"]), (&"firing".into(), &"whole".into()));
    until("what was told to be shared", || {
        let set = |set| {
            let part =
                alice.command(&["kv", "get", "--raw", "ALERTS", &format!("alertd.{set}.0")]).output().ok()?;
            let mut text = String::new();
            flate2::read::ZlibDecoder::new(&*part.stdout).read_to_string(&mut text).ok()?;
            text.contains("\"told\":[[2,").then_some(())
        };
        set(0).or(set(1))
    });
    until("both to have heard of it", || {
        (fs::read_to_string(network.path("two.json")).ok()?.contains("whole")).then_some(())
    });
    // the one that told is gone without a word
    one.signal(rustix::process::Signal::KILL);
    one.ended();
    two.says(&["Elected: this one tells now"]);
    let seen = nodes[0].log().matching(0, &["whole#check CRITICAL"]).len();
    until("some checks more", || {
        (nodes[0].log().matching(0, &["whole#check CRITICAL"]).len() >= seen + 4).then_some(())
    });
    assert!(told.try_recv().is_err(), "it was told twice");
    fs::remove_file(path.join("broken")).expect("a file");
    let second = told.recv_timeout(Duration::from_secs(60)).expect("it is told");
    assert_eq!((&second["status"], &second["alerts"][0]["before"]), (&"resolved".into(), &"CRITICAL".into()));
    // and one that comes later tells nothing
    let three = start(&files[0]);
    three.says(&["once elected"]);
    two.signal(rustix::process::Signal::TERM);
    assert!(two.ended().success());
    three.says(&["Elected: this one tells now"]);
    assert!(told.recv_timeout(Duration::from_secs(5)).is_err(), "what is over was told again");
}

/// What happened before somebody looked is watched as well.
#[test]
fn what_checks_found_is_kept_for_a_while() {
    let keeping = Keeping::start("");
    let Keeping { network, alice, .. } = &keeping;
    let (setup, store) = with_machines(network, "n1");
    let path = machine(&store, "whole", &checks(), &[("check", CHECK)]);
    fs::write(path.join("broken"), "").expect("a file");
    let mut nodes = network.nodes([setup]);
    nodes[0].log().says(&["whole#check CRITICAL"]);
    nodes[0].daemon().leave();
    drop(nodes);
    alice.run(&["scout", "watch", "--history", "30m", "--check", "whole", "--count", "2"]).code(0).says(&[
        "n1.example.net whole",
        "UNKNOWN => CRITICAL",
        "CRITICAL: broken",
    ]);
    alice.run(&["scout", "watch", "--history", "2h"]).code(1).complains(&["1h is the most"]);
}
