//! `choria machine` without a network: made, judged, tried, run.

use std::fs;
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{Daemon, program, run, until};

fn here(dir: &TempDir, words: &[&str]) -> Command {
    let mut command = program(dir.path());
    command.env("PATH", "/usr/bin:/bin").args(words);
    command
}

#[test]
fn what_new_leaves_runs_as_it_is() {
    let dir = TempDir::new().expect("a directory");
    let ran = |words: &[&str]| run(here(&dir, words), None);
    ran(&["machine", "new", "--control-loop", "motd"]).fine().says(&["choria machine run ./motd"]);
    ran(&["machine", "new", "--check", "disk"]).fine();
    ran(&["machine", "new", "--check", "disk"]).code(1).complains(&["there already"]);
    ran(&["machine", "new", "--check", "a b"]).code(1).complains(&["no name of a machine"]);
    ran(&["machine", "new"]).code(1).complains(&["--builtin disk, --check NAME, or --control-loop NAME"]);
    for name in ["motd", "disk"] {
        ran(&["machine", "validate", name]).fine().says(&["has a valid machine.yaml"]);
    }
    ran(&["machine", "graph", "motd"]).fine().says(&["digraph fsm {", "\"unknown\" [color = \"red\"];"]);
    ran(&["machine", "info", "disk"])
        .fine()
        .says(&["disk 1.0.0, begins in UNKNOWN", "check (nagios) every 5m0s in"]);

    // and it runs: the loop finds what it wants missing, and makes it
    let mut daemon = Daemon::start("machine run", here(&dir, &["machine", "run", "motd"]));
    daemon.says(&["cli motd transitioned via event bad: unknown => broken"]);
    daemon.says(&["cli motd transitioned via event good: broken => stable"]);
    until("what is wanted", || dir.path().join("motd/wanted").exists().then_some(()));
    daemon.signal(Signal::INT);
    assert!(daemon.ended().success());
}

#[test]
fn a_day_is_tried_in_a_moment() {
    let dir = TempDir::new().expect("a directory");
    let ran = |words: &[&str]| run(here(&dir, words), None);
    ran(&["machine", "new", "--check", "disk"]).fine();
    let script =
        "0s check 0 OK\n1h check 2 CRITICAL: full|used=99%\n1h remedy 1\n2h remedy 0\n2h check 0\n24h end\n";
    fs::write(dir.path().join("script"), script).expect("a script");
    let day = ran(&["machine", "simulate", "disk", "--script", "script", "--transitions"]).fine();
    let lines: Vec<&str> = day.stdout.lines().collect();
    assert!(lines[0].ends_with("disk transitioned via event OK: UNKNOWN => OK"), "{day:?}");
    assert!(lines.iter().any(|line| line.ends_with("CRITICAL: OK => CRITICAL")), "{day:?}");
    assert!(lines.last().is_some_and(|line| line.ends_with("=> OK")), "{day:?}");
    assert!(!dir.path().join("disk/machine_data.json").exists());
    fs::write(dir.path().join("script"), "0s chekc 0\n").expect("a script");
    ran(&["machine", "simulate", "disk", "--script", "script"])
        .code(1)
        .complains(&["line 1", "no watcher chekc"]);
}

#[test]
fn mistakes_have_a_line_each() {
    let dir = TempDir::new().expect("a directory");
    let text = "name: demo\nversion: 1.0.0\ninitial_state: a\ntransitions:\n  - {name: go, from: [a], destination: b}\n\
                watchers:\n  - {name: w, type: exce, interval: 10}\n  - {name: v, type: exec, state_match: [c], \
                properties: {command: x, timout: 1s}}\n";
    fs::write(dir.path().join("machine.yaml"), text).expect("a machine");
    let refused = run(here(&dir, &["machine", "validate", "."]), None).code(1).silent();
    let lines: Vec<&str> = refused.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{refused:?}");
    assert!(
        lines[0].contains("7:") && lines[0].contains("type exce is not known, did you mean exec?"),
        "{refused:?}"
    );
    assert!(lines[1].contains("8:") && lines[1].contains("the state c"), "{refused:?}");
    run(here(&dir, &["machine", "validate", "/nonexistent"]), None).code(1).complains(&["/nonexistent"]);
}
