//! The discovery window follows the answers; a node it closes on is not lost
//! without a word.

use rustix::process::Signal;

use crate::network::{Network, node};

#[test]
fn a_node_that_answers_discovery_too_late_is_named() {
    let network = Network::start();
    let late = network.node(node("late"));
    let alice = network.alice();
    // Nodes that are found at once and take a second for every action.
    let broker = network.address().to_string();
    let ca = network.path("ca").display().to_string();
    let slow = alice.start(&[
        "emulate",
        "--count",
        "2",
        "--broker",
        &broker,
        "--ca",
        &ca,
        "--name",
        "slow{}.example.net",
        "--slow",
        "100",
    ]);
    slow.says(&["2 nodes are connected"]);

    late.log().signal(Signal::STOP);
    let mut asking = alice.start(&["rpc", "rpcutil", "ping", "--jsonl"]);
    asking.says(&["\"k\":\"discovery\",\"count\":2"]);
    late.log().signal(Signal::CONT);
    asking.says(&["\"late_discoveries\":[\"late.example.net\"]"]);
    assert_eq!(asking.ended().code(), Some(4), "part of the fleet was not asked");
}
