//! Autonomous agents of a node: what a check finds is put right by its own machine, and what
//! people get wrong hurts nobody.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use crate::network::{Network, Node, NodeSetup, node};
use crate::process::{Daemon, until};

/// A node whose machines live beside it.
pub fn with_machines(network: &Network, name: &str) -> (NodeSetup, PathBuf) {
    let store = network.path(&format!("machines-{name}"));
    fs::create_dir_all(&store).expect("a directory");
    (node(name).lines(&format!("plugin.choria.machine.store = {}\n", store.display())), store)
}

/// A machine and its scripts, complete before anybody looks.
pub fn machine(store: &Path, name: &str, text: &str, scripts: &[(&str, &str)]) -> PathBuf {
    let made = store.join(format!("{name}-temp"));
    fs::create_dir(&made).expect("a directory");
    for (script, content) in scripts {
        let path = made.join(script);
        fs::write(&path, content).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    fs::write(made.join("machine.yaml"), text).expect("a machine");
    let path = store.join(name);
    fs::rename(&made, &path).expect("a directory");
    path
}

/// A check of that name that runs `./check`, and `./remedy` when it is critical.
pub fn check(name: &str, interval: &str) -> String {
    let all = "UNKNOWN, OK, WARNING, CRITICAL";
    let to =
        |state: &str| format!("  - {{name: {state}, from: [{all}, FORCE_CHECK], destination: {state}}}\n");
    format!(
        "name: {name}\nversion: 1.0.0\ninitial_state: UNKNOWN\ntransitions:\n{}{}{}{}{}\
         \x20 - {{name: FORCE_CHECK, from: [{all}], destination: FORCE_CHECK}}\n\
         \x20 - {{name: RESUME, from: [MAINTENANCE], destination: UNKNOWN}}\n\
         watchers:\n  - name: check\n    type: nagios\n    interval: {interval}\n    state_match: [{all}]\n    properties: \
         {{plugin: ./check, timeout: 10s}}\n  - name: remedy\n    type: exec\n    interval: 15m\n    state_match: \
         [CRITICAL]\n    success_transition: UNKNOWN\n    properties: {{command: ./remedy, timeout: 10s}}\n",
        to("UNKNOWN"),
        to("OK"),
        to("WARNING"),
        to("CRITICAL"),
        to("MAINTENANCE"),
    )
}

/// What a node says of one machine.
pub fn state(network: &Network, node: &Node, name: &str) -> Option<Value> {
    let argument = format!("name={name}");
    let reply = network.alice().reply(&node.name, &["choria_util", "machine_state", &argument]);
    (reply["statuscode"] == 0).then(|| reply["data"].clone())
}

#[test]
fn a_check_fails_and_is_remediated_by_its_own_machine() {
    let network = Network::start();
    let (setup, store) = with_machines(&network, "n1");
    let check_script = "#!/bin/sh\n[ -e ./broken ] && { echo 'CRITICAL: broken|broken=1'; exit 2; }\necho \
                        'OK: whole|broken=0'\n";
    let remedy = "#!/bin/sh\n/bin/rm ./broken\n";
    let path =
        machine(&store, "whole", &check("whole", "1s"), &[("check", check_script), ("remedy", remedy)]);
    let nodes = network.nodes([setup]);
    let in_state = |wanted: &str| {
        until(&format!("the check to be {wanted}"), || {
            state(&network, &nodes[0], "whole").filter(|found| found["state"] == wanted)
        })
    };
    let found = in_state("OK");
    assert_eq!(found["current_state"]["perfdata"][0]["label"], "broken");
    let watch = network.alice().start(&["machine", "watch", "--transitions", "--machine", "whole"]);
    watch.says(&["Waiting for events"]);
    fs::write(path.join("broken"), "").expect("a file");
    until("the file to be removed", || (!path.join("broken").exists()).then_some(()));
    in_state("OK");
    watch.says(&["n1.example.net whole transitioned via event CRITICAL: OK => CRITICAL"]);
    watch.says(&["n1.example.net whole transitioned via event UNKNOWN: CRITICAL => UNKNOWN"]);
    watch.says(&["n1.example.net whole transitioned via event OK: UNKNOWN => OK"]);
    // and it is told wherever machines are told of
    let alice = network.alice();
    alice.run(&["scout", "status", &nodes[0].name]).code(0).says(&["whole", "CR", "1 check on"]);
    alice.run(&["machine", "list"]).code(0).says(&["whole", "1.0.0", "OK"]);
    alice.run(&["inventory", &nodes[0].name]).code(0).says(&["Autonomous Agents:", "whole 1.0.0 OK"]);
    alice.run(&["find", "-S", "scout('whole').state == 'OK'"]).code(0).says(&["n1.example.net"]);
    alice.run(&["find", "-S", "machine_state('whole').scout"]).code(0).says(&["n1.example.net"]);
}

const LOOP: &str = "name: looper\nversion: 1.0.0\ninitial_state: a\ntransitions:\n  - {name: go, from: [a], destination: \
                    b}\n  - {name: back, from: [b], destination: a}\nwatchers:\n  - name: data\n    type: exec\n    \
                    interval: 500ms\n    properties: {command: ./data, parse_as_data: true, timeout: 10s}\n";

#[test]
fn a_bad_edit_keeps_the_machine() {
    let network = Network::start();
    let (setup, store) = with_machines(&network, "n1");
    let path = machine(&store, "looper", LOOP, &[("data", "#!/bin/sh\necho '{\"kept\": 1}'\n")]);
    let nodes = network.nodes([setup]);
    let before = until("the machine to run", || state(&network, &nodes[0], "looper"));
    network
        .alice()
        .good(&nodes[0].name, &["choria_util", "machine_transition", "name=looper", "transition=go"]);
    let write = |text: &str| fs::write(path.join("machine.yaml"), text).expect("a machine");
    write(&LOOP.replace("interval: 500ms", "interval: often"));
    let told = nodes[0].log().says(&["the machine that runs stays as it was"]);
    assert!(
        told.contains("interval is wrong: often is no length of time") && told.contains("line 10"),
        "{told}"
    );
    let after = state(&network, &nodes[0], "looper").expect("it runs");
    assert_eq!((&after["id"], after["state"].as_str()), (&before["id"], Some("b")));
    // a good one takes its place, and has what it kept
    until("data to be kept", || path.join("machine_data.json").exists().then_some(()));
    write(&LOOP.replace("version: 1.0.0", "version: 1.0.1"));
    let next = until("the new machine", || {
        state(&network, &nodes[0], "looper").filter(|found| found["version"] == "1.0.1")
    });
    assert_eq!(next["state"], "a");
    assert_ne!(next["id"], before["id"]);
    // what this version lacks is refused by name, and not silently
    let ccm = "{name: other, version: 1.0.0, initial_state: a, transitions: [{name: go, from: [a], destination: b}], \
               watchers: [{name: w, type: ccm_manifest, interval: 10s, properties: {}}]}";
    machine(&store, "other", ccm, &[]);
    nodes[0].log().says(&["type ccm_manifest is not part of this version"]);
    assert!(state(&network, &nodes[0], "other").is_none());
    fs::remove_dir_all(&path).expect("it goes");
    until("the machine to go", || state(&network, &nodes[0], "looper").is_none().then_some(()));
}

/// Whatever moment the power goes, what a machine kept is whole.
#[test]
fn a_kill_leaves_old_or_new_data() {
    let network = Network::start();
    let (setup, store) = with_machines(&network, "n1");
    let count = "#!/bin/sh\nn=0\n[ -e ./count ] && read -r n < ./count\nn=$((n + 1))\necho $n > ./count\npad=$(printf \
                 '%05000d' $n)\necho \"{\\\"n\\\": $n, \\\"pad\\\": \\\"$pad\\\"}\"\n";
    let text = LOOP.replace("    interval: 500ms\n", "    interval: 500ms\n    success_transition: go\n").replace(
        "  - name: data\n",
        "  - {name: again, type: timer, state_match: [b], fail_transition: back, properties: {timer: 1s}}\n  - name: data\n",
    );
    let path = machine(&store, "looper", &text, &[("data", count)]);
    let mut nodes = network.nodes([setup]);
    let file = path.join("machine_data.json");
    let kept = || -> Option<u64> {
        let text = fs::read_to_string(&file).ok()?;
        let data: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        let n = data["n"].as_u64().expect("a number");
        assert_eq!(data["pad"], format!("{n:05000}"));
        Some(n)
    };
    let mut last = until("data to be kept", kept);
    for _ in 0..4 {
        nodes[0].kill();
        let now = kept().expect("it was there");
        assert!(now >= last, "{now} after {last}");
        last = now;
        nodes[0].start();
        last = until("more data to be kept", || kept().filter(|n| *n > last));
    }
    nodes[0].daemon().signal(Signal::TERM);
    assert!(nodes[0].daemon().ended().success());
    let left = fs::read_dir(&path).expect("a directory").flatten().map(|entry| entry.file_name());
    let hidden: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with('.')).collect();
    assert!(hidden.len() <= 5, "a kill leaves one file at most: {hidden:?}");
}

/// Whoever replaces a directory does not take away what its machine kept, and a text that comes back is no other.
#[test]
fn what_was_kept_outlives_its_directory() {
    let network = Network::start();
    let (setup, store) = with_machines(&network, "n1");
    let data = [("data", "#!/bin/sh\necho '{\"kept\": 1}'\n")];
    let path = machine(&store, "looper", LOOP, &data);
    let mut nodes = network.nodes([setup]);
    let kept = || fs::read_to_string(path.join("machine_data.json")).is_ok_and(|text| text.contains("kept"));
    until("data to be kept", || kept().then_some(()));
    let mark = nodes[0].log().mark();
    fs::rename(&path, network.path("old")).expect("a directory");
    machine(&store, "looper", &LOOP.replace("version: 1.0.0", "version: 1.0.1"), &data);
    nodes[0].log().says_after(mark, &["looper 1.0.1 loaded anew"]);
    until("data to be kept again", || kept().then_some(()));

    let before = state(&network, &nodes[0], "looper").expect("a state");
    let text = fs::read_to_string(path.join("machine.yaml")).expect("a machine");
    let mark = nodes[0].log().mark();
    fs::write(path.join("machine.yaml"), format!("{text}bad: [\n")).expect("a file");
    nodes[0].log().says_after(mark, &["looper", "stays as it was"]);
    fs::write(path.join("machine.yaml"), &text).expect("a file");
    // a pipe, and a machine that is looked at after it
    fs::create_dir(store.join("pipe")).expect("a directory");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, store.join("pipe/machine.yaml"), mode).expect("a pipe");
    machine(&store, "zlater", &LOOP.replace("name: looper", "name: zlater"), &data);
    until("a later one", || state(&network, &nodes[0], "zlater"));
    let after = state(&network, &nodes[0], "looper").expect("a state");
    assert_eq!(before["id"], after["id"], "it is the same");
    nodes[0].daemon().signal(Signal::TERM);
    assert!(nodes[0].daemon().ended().success());
}

/// Somebody who has a lease of files: whoever opens one waits, as on a network file system that hangs.
const LEASE: &str = "
import fcntl, os, signal, sys, time
signal.signal(signal.SIGIO, signal.SIG_IGN)
held = []
for file in sys.argv[1:]:
    while True:
        held.append(os.open(file, os.O_RDWR))
        try:
            fcntl.fcntl(held[-1], fcntl.F_SETLEASE, fcntl.F_WRLCK)
            break
        except OSError:
            os.close(held.pop())
            time.sleep(0.01)
print('held', file=sys.stderr, flush=True)
time.sleep(600)
";

fn lease(files: impl IntoIterator<Item = PathBuf>) -> Daemon {
    let mut python = std::process::Command::new("python3");
    python.stderr(std::process::Stdio::piped()).args(["-c", LEASE]).args(files);
    let holder = Daemon::start("lease", python);
    holder.says(&["held"]);
    holder
}

#[test]
fn programs_whose_files_hang_hold_up_nobody_else() {
    let network = Network::start();
    let (setup, store) = with_machines(&network, "n1");
    let mut n1 = network.nodes([setup]).remove(0);
    let check_script = "#!/bin/sh\necho fine >>./ran; echo 'OK: whole'\n";
    let names = ["first", "second", "third", "fourth"];
    let paths = names.map(|name| machine(&store, name, &check(name, "1s"), &[("check", check_script)]));
    let is_fine = |name: &str| (state(&network, &n1, name)?["state"] == "OK").then_some(());
    for name in names {
        until("a check to be fine", || is_fine(name));
    }
    let mut holder = lease(paths[..3].iter().map(|path| path.join("check")));
    let mark = n1.log().mark();
    let ran = || fs::read_to_string(paths[3].join("ran")).expect("a file").lines().count();
    for (at, name) in names[..3].iter().enumerate() {
        n1.log().says_after(mark, &[*name, "its file does not answer"]);
        // what can run does, and whoever asks is answered
        let before = ran();
        network.alice().run(&["rpc", "rpcutil", "ping", "-I", "n1.example.net", "--timeout", "5"]).fine();
        until(&format!("another look of the fourth, {at}"), || (ran() > before).then_some(()));
    }
    holder.signal(Signal::KILL);
    holder.ended();
    for name in &names[..3] {
        until("a check to be fine again", || is_fine(name));
    }
    n1.log().signal(Signal::TERM);
    assert!(n1.daemon().ended().success());
}

/// What goes wrong for a while is well after it, without anybody who does anything about it.
#[test]
fn what_could_not_be_read_or_written_is_tried_again() {
    let network = Network::start();
    let (setup, store) = with_machines(&network, "n1");
    let n1 = network.nodes([setup]).remove(0);
    let data = [("data", "#!/bin/sh\necho '{\"kept\": 1}'\n")];
    let place = store.join("unkept").join("machine_data.json");
    let mark = n1.log().mark();
    let unread = machine(&store, "unread.tmp-temp", &LOOP.replace("name: looper", "name: unread"), &data);
    let late = machine(&store, "late.tmp-temp", &LOOP.replace("name: looper", "name: late"), &data);
    fs::write(late.join("machine_data.json"), "{\"before\":2}").expect("a file");
    let mut holder = lease([unread.join("machine.yaml"), late.join("machine_data.json")]);
    fs::rename(&unread, store.join("unread")).expect("a directory");
    fs::rename(&late, store.join("late")).expect("a directory");
    n1.log().says_after(mark, &["unread/machine.yaml", "temporarily unavailable"]);
    n1.log().says_after(mark, &["late/machine_data.json", "temporarily unavailable"]);
    let unkept = machine(&store, "unkept.tmp-temp", &LOOP.replace("name: looper", "name: unkept"), &data);
    // when it can be written, what it keeps has long been what it is
    fs::create_dir(unkept.join("machine_data.json")).expect("a directory");
    fs::rename(&unkept, store.join("unkept")).expect("a directory");
    n1.log().says_after(mark, &["unkept was not kept, which is tried again"]);
    holder.signal(Signal::KILL);
    holder.ended();
    fs::remove_dir(&place).expect("it goes");
    until("the machine to run", || state(&network, &n1, "unread"));
    let kept = |file: &Path| fs::read_to_string(file).ok().filter(|text| text.contains("kept"));
    until("the data to be kept", || kept(&place));
    // nothing is lost of what could not be read
    let all = until("more to be kept", || kept(&store.join("late/machine_data.json")));
    assert!(all.contains("before"), "{all}");
}
