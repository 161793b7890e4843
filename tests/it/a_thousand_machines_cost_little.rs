//! What machines of a node cost: there may be a thousand.

use std::fs;

use crate::a_node_mends_itself::with_machines;
use crate::network::{Network, Node};
use crate::process::until;

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
