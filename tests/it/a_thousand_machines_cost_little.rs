//! What machines of a node cost: there may be a thousand.

use std::fs;
use std::time::{Duration, Instant};

use crate::a_node_mends_itself::with_machines;
use crate::network::{Network, Node};
use crate::process::{parameter, until};

/// Bytes of its own memory a process has now.
fn own_memory(node: &Node) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", node.log().pid())).expect("Linux");
    let line = text.lines().find(|line| line.starts_with("RssAnon:")).expect("RssAnon");
    line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).expect("a number") * 1024
}

#[test]
fn ten_kilobytes_a_machine_and_no_thread() {
    let network = Network::start();
    let with = |name: &str, count: usize| {
        let (setup, store) = with_machines(&network, name);
        for n in 0..count {
            let text = format!(
                "{{name: hb_{n:04}, version: 1.0.0, initial_state: UNKNOWN, transitions: [{{name: OK, from: [UNKNOWN], \
                 destination: OK}}, {{name: UNKNOWN, from: [OK], destination: UNKNOWN}}], watchers: [{{name: check, \
                 type: nagios, interval: 1s, properties: {{builtin: heartbeat}}}}]}}"
            );
            let directory = store.join(format!("hb_{n:04}"));
            fs::create_dir(&directory).expect("a directory");
            fs::write(directory.join("machine.yaml"), text).expect("a machine");
        }
        setup.lines("loglevel = info\n")
    };
    let setups = [with("few", 100), with("many", 1100)];
    let nodes = network.nodes(setups);
    let (few, many) = (&nodes[0], &nodes[1]);
    // each has remembered all it ever will
    for (node, last) in [(few, "hb_0099"), (many, "hb_1099")] {
        let heard = format!("{last}#check OK: ");
        until("the checks to have a history", || {
            (node.log().matching(0, &[&heard]).len() >= 16).then_some(())
        });
    }
    let each = own_memory(many).saturating_sub(own_memory(few)) / 1000;
    assert!(each < 10 * 1024, "{each} bytes a machine");
    let threads =
        |node: &Node| fs::read_dir(format!("/proc/{}/task", node.log().pid())).expect("Linux").count();
    assert!(threads(many) <= threads(few) + 8, "{} and {}", threads(many), threads(few));
}

/// Checks that run programs and change their minds all the time.
#[test]
fn a_day_of_machines_leaves_nothing_behind() {
    let (count, seconds) = (parameter("CHORIA_TEST_NODES", 20), parameter("CHORIA_TEST_SECONDS", 10));
    let network = Network::start();
    let (setup, store) = with_machines(&network, "n1");
    for n in 0..count {
        let text = format!(
            "{{name: turn_{n:04}, version: 1.0.0, initial_state: A, transitions: [{{name: to_b, from: [A], \
             destination: B}}, {{name: to_a, from: [B], destination: A}}], watchers: [\
             {{name: there, type: exec, interval: 1s, state_match: [A], success_transition: to_b, \
             properties: {{command: /bin/true, timeout: 10s}}}}, \
             {{name: back, type: exec, interval: 1s, state_match: [B], fail_transition: to_a, \
             properties: {{command: /bin/false, timeout: 10s}}}}]}}"
        );
        let directory = store.join(format!("turn_{n:04}"));
        fs::create_dir(&directory).expect("a directory");
        fs::write(directory.join("machine.yaml"), text).expect("a machine");
    }
    let nodes = network.nodes([setup]);
    let node = &nodes[0];
    let files = || fs::read_dir(format!("/proc/{}/fd", node.log().pid())).expect("Linux").count();
    let (begun, mut warm) = (Instant::now(), None);
    let alice = network.alice();
    while begun.elapsed() < Duration::from_secs(seconds) {
        alice.run(&["rpc", "choria_util", "machine_states", "--json"]).code(0);
        if begun.elapsed() > Duration::from_secs(seconds) / 3 {
            warm.get_or_insert_with(|| (own_memory(node), files()));
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    let (memory, open) = warm.expect("a while");
    let now = own_memory(node);
    eprintln!(
        "{} KiB warm, {} KiB after {seconds} s, {open} and {} files",
        memory / 1024,
        now / 1024,
        files()
    );
    assert!(now <= memory + memory / 20 + (1 << 20), "it grew from {memory} to {now} bytes");
    assert!(files() <= open + 16, "{open} and {} files", files());
    until("no child to be left", || {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", node.log().pid())).ok()?;
        (children.split_whitespace().count() <= count as usize).then_some(())
    });
}
