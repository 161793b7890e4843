//! A fleet in which some deny, some are mute, some are not there and one dies while it is
//! asked: each node is in exactly one class.

use rustix::process::Signal;
use serde_json::json;

use crate::emulated::Emulated;
use crate::network::{Network, node};

const COUNT: u64 = 300;
const GONE: u64 = 15;

#[test]
fn the_classes_are_right_and_together_everybody() {
    let network = Network::start();
    let fleet = Emulated::members(&network, COUNT, &["--silent", "1", "--denying", "2"]);
    fleet.counts("choria_emulator_connected", COUNT);
    let mut nodes = network.nodes([node("cut"), node("n1"), node("hung"), node("stopped")]);
    // It was there, and has ended in order.
    let before = jiff::Timestamp::now();
    nodes[3].log().signal(Signal::TERM);
    nodes[3].daemon().ended();
    let mut names: Vec<String> = (1..=COUNT + GONE).map(|number| format!("e{number}.example.net")).collect();
    names.extend(nodes.iter().map(|node| node.name.clone()));
    let list = network.file("nodes.txt", &names.join("\n")).display().to_string();
    let alice = network.alice();
    // It hears of the request, and is gone before it answers.
    nodes[0].log().signal(Signal::STOP);
    // It hears of it, and does nothing about it.
    nodes[2].log().signal(Signal::STOP);
    let words = ["rpc", "rpcutil", "ping", "--nodes", &list, "--timeout", "6", "--json"];
    let replies = nodes[1].counter("replies");
    let mut asking = alice.start(&words);
    nodes[1].counts("replies", replies + 1);
    nodes[0].kill();
    let status = asking.ended();
    assert_eq!(status.code(), Some(2), "somebody failed");
    let last = alice.run(&["history", "show", "last", "--json"]).code(0).json();
    nodes[2].log().signal(Signal::CONT);
    let expected = json!({
        "ok": 292, "failed": 0, "aborted": 0, "denied": 6, "invalid": 0, "unknown_action": 0, "late": 0,
        "denied_by_broker": 0, "not_connected": 17, "no_answer": 4, "not_asked": 0,
    });
    assert_eq!(last["request_stats"]["accounting"], expected);
    let stats = &last["request_stats"];
    assert_eq!(stats["discovered"], COUNT + GONE + 4);
    assert_eq!(stats["nobody_listens"].as_array().map(Vec::len), Some(16), "of those it was known at once");
    let since = stats["not_connected_since"].as_object().expect("times");
    assert_eq!(since.keys().collect::<Vec<_>>(), ["cut.example.net", "stopped.example.net"]);
    let time = |name: &str| since[name].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let (cut, stopped) = (time("cut.example.net").unwrap(), time("stopped.example.net").unwrap());
    assert!(before.as_second() - 1 <= stopped.as_second() && stopped <= cut && cut <= jiff::Timestamp::now());
    let ran = alice.run(&["history", "show", "last"]).code(0);
    ran.says(&["292 ok, 6 failed (6 denied), 21 silent (17 not connected)"]);
}
