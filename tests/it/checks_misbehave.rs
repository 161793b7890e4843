//! Commands of machines that do what they should not: a node lives on, and nothing of them is
//! left when it ends.

use std::fs;

use rustix::process::Signal;

use crate::a_node_mends_itself::{check, machine, state, with_machines};
use crate::network::Network;
use crate::process::until;
use crate::shelf::processes;

/// A check that floods, one that forks, one that does not want to end, one that is no program.
#[test]
fn a_check_that_forks_floods_or_ignores_signals_hurts_nobody() {
    let network = Network::start();
    let (setup, store) = with_machines(&network, "n1");
    let mark = format!("100.8{}", std::process::id());
    let fast = |name: &str| check(name, "1s").replace("timeout: 10s", "timeout: 1s");
    let flood = "#!/bin/sh\nwhile :; do echo 0123456789012345678901234567890123456789; done\n";
    let fork = format!("#!/bin/sh\nfor n in 1 2 3 4 5; do /bin/sleep {mark}1 & done\n/bin/sleep {mark}1\n");
    let stubborn = format!("#!/bin/sh\ntrap '' TERM INT HUP\n/bin/sleep {mark}2\n/bin/sleep {mark}2\n");
    let perfdata = "#!/bin/sh\necho 'OK|x=U y= z=~5 good=1'\n";
    for (name, script) in [
        ("flood", flood),
        ("fork", fork.as_str()),
        ("stubborn", &stubborn),
        ("perfdata", perfdata),
        ("nothing", ""),
    ] {
        machine(&store, name, &fast(name), &[("check", script), ("remedy", "#!/bin/sh\n")]);
    }
    let mut nodes = network.nodes([setup]);
    let output = |name: &str, wanted: &str| {
        until(&format!("{name} to say {wanted}"), || {
            let found = state(&network, &nodes[0], name)?;
            let said = found["current_state"]["output"].as_str()?.to_owned();
            (found["state"] != "OK" || name == "perfdata").then_some(())?;
            said.contains(wanted).then_some(found)
        })
    };
    output("flood", "wrote more than 65536 bytes and was killed");
    output("fork", "timed out after 1s");
    output("stubborn", "timed out after 1s");
    output("nothing", "cannot be started");
    let good = output("perfdata", "good=1");
    assert_eq!(good["current_state"]["perfdata"][0]["label"], "good");
    assert_eq!(good["current_state"]["perfdata"].as_array().map(Vec::len), Some(1));
    // what took too long is gone with all it started; what runs now is of the next round
    until("their children to be few", || (processes(&format!("{mark}1")).len() <= 7).then_some(()));
    network.answered_by(&["n1.example.net"]);
    let memory = nodes[0].peak_memory();
    assert!(memory < 96 << 20, "{memory} bytes");
    nodes[0].daemon().signal(Signal::TERM);
    assert!(nodes[0].daemon().ended().success());
    for text in ["1", "2"] {
        let left = processes(&format!("{mark}{text}"));
        assert!(left.is_empty(), "{left:?} are left");
    }
}

/// What runs when a node is told to stop does not outlive it, unless it was disowned.
#[test]
fn children_are_gone_after_a_stop() {
    let network = Network::start();
    let (setup, store) = with_machines(&network, "n1");
    let mark = format!("100.9{}", std::process::id());
    let text = "{name: long, version: 1.0.0, initial_state: a, transitions: [{name: go, from: [a], destination: b}], \
                watchers: [{name: w, type: exec, interval: 500ms, properties: {command: ./long, timeout: 10m}}, {name: \
                d, type: exec, interval: 500ms, properties: {command: ./own, disown: true}}]}";
    let long = format!("#!/bin/sh\ntrap '' TERM\necho > ./began\n/bin/sleep {mark}3 &\n/bin/sleep {mark}3\n");
    let own = format!("#!/bin/sh\necho $$ > ./own.pid\nexec /bin/sleep {mark}4\n");
    let path = machine(&store, "long", text, &[("long", &long), ("own", &own)]);
    let mut nodes = network.nodes([setup]);
    until("both to run", || {
        (path.join("began").exists() && processes(&format!("{mark}4")).len() == 1).then_some(())
    });
    until("the children", || (processes(&format!("{mark}3")).len() >= 2).then_some(()));
    nodes[0].daemon().signal(Signal::TERM);
    assert!(nodes[0].daemon().ended().success());
    assert!(processes(&format!("{mark}3")).is_empty());
    let own = processes(&format!("{mark}4"));
    assert_eq!(own.len(), 1, "what was disowned goes on");
    let pid: i32 =
        fs::read_to_string(path.join("own.pid")).expect("a file").trim().parse().expect("a number");
    let pid = rustix::process::Pid::from_raw(pid).expect("a process");
    rustix::process::kill_process(pid, Signal::KILL).expect("it ends");
}

/// What a check prints is heard whatever there is of it: brokers take events of 64 KiB.
#[test]
fn a_check_of_many_numbers_is_heard() {
    let network = Network::start();
    let (setup, store) = with_machines(&network, "n1");
    let many = "#!/bin/sh\nn=0\nline='CRITICAL: full|'\nwhile [ $n -lt 250 ]; do\n  line=\"$line /srv/data/volume$n=93.5%;80;90\"\n  \
                n=$((n + 1))\ndone\necho \"$line\"\nexit 2\n";
    let text = check("many", "1s");
    let text = text.split("  - name: remedy").next().expect("a check");
    machine(&store, "many", text, &[("check", many)]);
    let nodes = network.nodes([setup]);
    let watch = network.alice().start(&["scout", "watch", "--lines", "--check", "many"]);
    watch.says(&["Waiting for events"]);
    // more than are remembered of it
    until("its results to be heard", || {
        (watch.matching(0, &["many#check CRITICAL"]).len() >= 17).then_some(())
    });
    assert!(nodes[0].log().matching(0, &["Permissions Violation"]).is_empty());
    let found = state(&network, &nodes[0], "many").expect("a state");
    assert_eq!(found["current_state"]["perfdata"].as_array().map(Vec::len), Some(250));
}

/// A check that looks when it is put to rest has nothing to say any more.
#[test]
fn a_check_that_runs_when_it_is_put_to_rest_counts_as_well() {
    let network = Network::start();
    let (setup, store) = with_machines(&network, "n1");
    let slow = "#!/bin/sh\necho > ./begun\nwhile [ ! -e ./go ]; do /bin/sleep 0.1; done\necho 'CRITICAL: slow'\necho > ./over\nexit \
                2\n";
    let text = check("slow", "1h");
    let text = text.split("  - name: remedy").next().expect("a check");
    let path = machine(&store, "slow", text, &[("check", slow)]);
    let nodes = network.nodes([setup]);
    let alice = network.alice();
    until("the machine to run", || state(&network, &nodes[0], "slow"));
    alice.run(&["scout", "trigger", "--check", "slow"]).code(0);
    until("the check to run", || path.join("begun").exists().then_some(()));
    alice.run(&["scout", "maintenance", "-y", "--check", "slow"]).code(0);
    std::fs::write(path.join("go"), "").expect("a file");
    until("the check to end", || path.join("over").exists().then_some(()));
    // another one, which is told after that
    machine(&store, "other", &check("other", "1s"), &[("check", "#!/bin/sh\nexit 0\n")]);
    until("another one", || state(&network, &nodes[0], "other").filter(|found| found["state"] == "OK"));
    let found = state(&network, &nodes[0], "slow").expect("a state");
    assert_eq!((&found["state"], &found["current_state"]["status"]), (&"MAINTENANCE".into(), &"OK".into()));
}
