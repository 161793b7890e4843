//! Many nodes, and brokers that die.

use super::{keeping, shown};
use crate::emulated::Emulated;
use crate::process::{parameter, until};
use crate::streams_are_used::Keeping;

/// `CHORIA_TEST_WAITING` nodes of which a third is away; the broker dies three times while they come.
#[test]
fn none_is_lost_and_none_doubled_while_brokers_die() {
    let Keeping { mut network, alice, .. } = keeping();
    let nodes = parameter("CHORIA_TEST_WAITING", 60);
    let names: String = (1..=nodes).map(|n| format!("e{n}.example.net\n")).collect();
    let list = network.file("nodes", &names).display().to_string();
    let memory = network.path("memory").display().to_string();
    let here = nodes - nodes * 3 / 10;
    let present = Emulated::members(&network, here, &["--requests", &memory]);
    present.counts("choria_emulator_connected", here);
    let words = ["rpc", "rpcutil", "ping", "--nodes", &list, "--until", "1h", "--timeout", "20", "--json"];
    let ran = alice.run(&words);
    let away = (nodes - here) as usize;
    assert!(ran.stderr.contains(&format!("kept for {away} nodes")), "{}", ran.stderr);
    let ran_at_first = present.counter("choria_server_passed");
    assert_eq!(ran_at_first, here);
    drop(present);

    // all come, again those that were there
    let all = Emulated::members(&network, nodes, &["--requests", &memory, "--rate", "20"]);
    for died in 1..=3 {
        let share = away * died / 4;
        until("some to have answered", || (answered(&alice) >= share).then_some(()));
        network.kill_broker();
        network.start_broker();
    }
    until("all to have answered", || (answered(&alice) == away).then_some(()));
    let states = shown(&alice, "last")["states"].clone();
    assert_eq!(states.as_object().unwrap().len(), 1, "{states}");
    assert_eq!(all.counter("choria_server_passed"), away as u64, "each ran it once, and nobody else did");
}

fn answered(caller: &crate::network::Caller) -> usize {
    let ran = caller.run(&["requests", "show", "last", "--json"]);
    serde_json::from_str::<serde_json::Value>(&ran.stdout)
        .ok()
        .and_then(|shown| shown["states"]["answered"].as_u64())
        .unwrap_or(0) as usize
}
