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
    ran(&["machine", "new", "--check", "my-temp"]).code(1).complains(&["nodes pass over tmp, and over"]);
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

/// What could not be shown is no success, nor what comes after the end.
#[test]
fn a_script_that_is_not_lived_through_says_so() {
    let dir = TempDir::new().expect("a directory");
    let text = "name: busy\nversion: 1.0.0\ninitial_state: a\ntransitions:\n  - {name: go, from: [a], destination: b}\n\
                watchers:\n  - {name: w, type: exec, interval: 500ms, properties: {command: x}}\n";
    fs::write(dir.path().join("machine.yaml"), text).expect("a machine");
    let simulated = |script: &str| {
        fs::write(dir.path().join("script"), script).expect("a script");
        run(here(&dir, &["machine", "simulate", ".", "--script", "script", "--transitions"]), None)
    };
    simulated("0s w 1\n300d transition go\n").code(1).silent().complains(&["more than 250000 events"]);
    simulated("1h end\n5h w 1\n").code(1).silent().complains(&["script: line 2: it comes after the end"]);
}

/// Whatever its definition is called, a machine goes on with what it kept.
#[test]
fn what_a_machine_kept_is_not_written_over() {
    let dir = TempDir::new().expect("a directory");
    let text = "name: keeps\nversion: 1.0.0\ninitial_state: a\ntransitions:\n  - {name: go, from: [a], destination: b}\n\
                watchers:\n  - {name: w, type: exec, interval: 500ms, success_transition: go, properties: {command: \
                ./new, parse_as_data: true}}\n";
    fs::write(dir.path().join("other.yaml"), text).expect("a machine");
    let (data, new) = (dir.path().join("machine_data.json"), dir.path().join("new"));
    fs::write(&data, "{\"precious\":42}").expect("data");
    fs::write(&new, "#!/bin/sh\necho '{\"new\": 1}'\n").expect("a script");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&new, mode).expect("a mode");
    let mut daemon = Daemon::start("machine run", here(&dir, &["machine", "run", "other.yaml"]));
    until("data to be kept", || {
        let text = fs::read_to_string(&data).expect("data");
        text.contains("new").then(|| assert!(text.contains("\"precious\":42"), "{text}"))
    });
    daemon.signal(Signal::INT);
    assert!(daemon.ended().success());
}

/// A key that nobody reads would make a plugin of few nodes one of all.
#[test]
fn a_list_of_plugins_with_a_mistyped_key_is_not_signed() {
    let dir = TempDir::new().expect("a directory");
    let sum = "ab".repeat(32);
    let text = format!(
        "[{{\"name\":\"tool\",\"source\":\"http://h/t.tgz\",\"checksum\":\"{sum}\",\"verify_checksum\":\"{sum}\",\"matcher\":\
         \"false\"}}]"
    );
    fs::write(dir.path().join("plugins.json"), &text).expect("a list");
    let ran = |words: &[&str]| run(here(&dir, words), None);
    let told = "plugin 'tool' has matcher, which nobody reads, did you mean match?";
    ran(&["machine", "plugins", "pack", "plugins.json"]).code(1).silent().complains(&[told]);
    ran(&["machine", "plugins", "list"]).code(1).silent().complains(&[told]);
    ran(&["machine", "plugins", "add", "more", "http://h/m.tgz", &sum, &sum]).code(1).complains(&[told]);
    assert_eq!(fs::read_to_string(dir.path().join("plugins.json")).expect("a list"), text);
    fs::write(dir.path().join("plugins.json"), text.replace("matcher", "match")).expect("a list");
    ran(&["machine", "plugins", "list"]).fine().says(&["tool", "false"]);
    ran(&["machine", "plugins", "add", "more", "http://", &sum, &sum])
        .code(1)
        .complains(&["source that is no http"]);
    ran(&["machine", "plugins", "add", "more", "http://h/m.tgz", &sum, &sum, "--governor", "bad name!"])
        .code(1)
        .complains(&["has a governor that is none"]);
}

#[test]
fn what_can_never_be_is_warned_of() {
    let dir = TempDir::new().expect("a directory");
    let check = |more: &str, properties: &str| {
        format!("  - {{name: w, type: nagios, {more}properties: {{{properties}}}}}\n")
    };
    let every = "interval: 1m, ";
    for (watcher, told) in [
        (check("", "builtin: heartbeat"), "without an interval it looks only when it is asked to"),
        (check("", "builtin: heartbeat, interval: 1m"), "interval is not known and means nothing, it belongs beside"),
        (check(every, "plugin: \"./x 'a\""), "plugin never works: it has a quote that is not closed"),
        (check(every, "builtin: load, warning: 5, critical: 4"), "makes it never WARNING"),
        (check(every, "builtin: memory, critical: 80"), "makes it never WARNING"),
        (check("interval: 1m, Interval: 5m, ", "builtin: heartbeat"), "Interval means nothing beside interval"),
        (check(every, "builtin: http, url: 'http://u:p@h/'"), "url has a user, who is not told to the server"),
        ("  - {name: w, type: exec, properties: {command: \"x 'a\"}}\n".to_owned(), "command never works: it has a quote"),
        (
            "  - {name: w, type: exec, properties: {command: x, governor: G, governor_timeout: -1m}}\n".to_owned(),
            "governor_timeout is negative and means nothing",
        ),
        ("  - {name: w, type: timer, properties: {timer: 5s}}\n".to_owned(), "without a fail_transition nothing happens"),
        (
            "  - {name: w, type: schedule, success_transition: OK, properties: {schedules: ['0 0 30 2 *']}}\n".to_owned(),
            "has \"0 0 30 2 *\", which never comes",
        ),
    ] {
        let text = format!(
            "name: demo\nversion: 1.0.0\ninitial_state: OK\ntransitions:\n  - {{name: OK, from: [CRITICAL], destination: \
             OK}}\n  - {{name: CRITICAL, from: [OK], destination: CRITICAL}}\n  - {{name: WARNING, from: [OK], destination: \
             CRITICAL}}\n  - {{name: UNKNOWN, from: [OK], destination: CRITICAL}}\nwatchers:\n{watcher}"
        );
        fs::write(dir.path().join("machine.yaml"), text).expect("a machine");
        run(here(&dir, &["machine", "validate", "."]), None)
            .code(0)
            .says(&["has a valid machine.yaml"])
            .complains(&[told]);
    }
    let wrong = "{name: d, version: 1.0.0, initial_state: a, transitions: [{name: go, from: [a], destination: b}], watchers: \
                 [{name: w, type: nagios, interval: 1m, properties: {builtin: http, url: 'http://h/', matches: '(('}}]}";
    fs::write(dir.path().join("machine.yaml"), wrong).expect("a machine");
    let told = run(here(&dir, &["machine", "validate", "."]), None).code(1);
    assert!(told.stderr.contains("matches is no regular expression: unclosed group"), "{told:?}");
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
