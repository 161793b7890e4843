//! A fleet of a thousand in which some deny, some are mute, some are not there and some die
//! while they are asked: each node is in exactly one class.

use rustix::process::Signal;
use serde_json::json;

use crate::emulated::Emulated;
use crate::network::{Network, node};

/// Emulated; ten of them hang, twenty deny.
const COUNT: u64 = 1000;
/// Named, and never there.
const GONE: usize = 49;
/// Die while they are asked.
const CUT: usize = 5;

#[test]
fn the_classes_are_right_and_together_everybody() {
    let network = Network::start();
    let fleet = Emulated::members(&network, COUNT, &["--silent", "1", "--denying", "2"]);
    fleet.counts("choria_emulator_connected", COUNT);
    let cut: Vec<String> = (1..=CUT).map(|number| format!("cut{number}")).collect();
    let names = ["n1", "hung", "stopped"].into_iter().chain(cut.iter().map(String::as_str));
    let mut nodes = network.nodes(names.map(node));
    let (others, cut) = nodes.split_at_mut(3);
    let [n1, hung, stopped] = others else { panic!("three") };
    // It was there, and has ended in order.
    let before = jiff::Timestamp::now();
    stopped.log().signal(Signal::TERM);
    stopped.daemon().ended();
    let count = usize::try_from(COUNT).unwrap();
    let mut names: Vec<String> = (1..=count + GONE).map(|number| format!("e{number}.example.net")).collect();
    names.extend(
        [&n1.name, &hung.name, &stopped.name].into_iter().chain(cut.iter().map(|n| &n.name)).cloned(),
    );
    let list = network.file("nodes.txt", &names.join("\n")).display().to_string();
    let alice = network.alice();
    // They hear of the request, and are gone before they answer.
    for node in &*cut {
        node.log().signal(Signal::STOP);
    }
    // It hears of it, and does nothing about it.
    hung.log().signal(Signal::STOP);
    let words = ["rpc", "rpcutil", "ping", "--nodes", &list, "--timeout", "6", "--json"];
    let replies = n1.counter("replies");
    let mut asking = alice.start(&words);
    n1.counts("replies", replies + 1);
    for node in cut.iter_mut() {
        node.kill();
    }
    let status = asking.ended();
    assert_eq!(status.code(), Some(2), "somebody failed");
    let last = alice.run(&["history", "show", "last", "--json"]).code(0).json();
    hung.log().signal(Signal::CONT);
    let expected = json!({
        "ok": 971, "failed": 0, "aborted": 0, "denied": 20, "invalid": 0, "unknown_action": 0, "late": 0,
        "denied_by_broker": 0, "not_connected": 55, "no_answer": 11, "not_asked": 0,
    });
    assert_eq!(last["request_stats"]["accounting"], expected);
    let stats = &last["request_stats"];
    assert_eq!(stats["discovered"], count + GONE + CUT + 3);
    assert_eq!(
        stats["nobody_listens"].as_array().map(Vec::len),
        Some(GONE + 1),
        "of those it was known at once"
    );
    let since = stats["not_connected_since"].as_object().expect("times");
    assert_eq!(since.len(), CUT + 1, "{since:?}");
    let time =
        |name: &str| since[name].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()).unwrap();
    let stopped = time(&stopped.name);
    assert!(before.as_second() - 1 <= stopped.as_second());
    for node in &*cut {
        assert!(stopped <= time(&node.name) && time(&node.name) <= jiff::Timestamp::now());
    }
    let ran = alice.run(&["history", "show", "last"]).code(0);
    ran.says(&["971 ok, 20 failed (20 denied), 66 silent (55 not connected)"]);
}
