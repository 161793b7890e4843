//! `choria broker streams`, `doctor` and `account`: what a network keeps, how that is, and who may.

use super::Keeping;
use crate::network::Network;

#[test]
fn streams_are_listed_and_looked_at() {
    let keeping = Keeping::start("");
    let Keeping { alice, root, .. } = &keeping;
    alice.run(&["broker", "streams"]).fine().says(&["CHORIA_EVENTS", "choria.lifecycle.>", "1d"]);
    let all = alice.run(&["broker", "streams", "--json"]).fine().json();
    assert_eq!(all.as_array().map(Vec::len), Some(5), "{all}");
    alice.run(&["broker", "streams", "CHORIA_EVENTS"]).fine().says(&["drops the oldest", "Expires: 1d"]);
    alice.run(&["broker", "streams", "NOSUCH"]).code(1).complains(&["no stream NOSUCH"]);
    alice.run(&["broker", "doctor"]).fine().says(&["OK       CHORIA_EVENTS: is fine"]);
    root.run(&["governor", "add", "G", "1", "0s"]).fine();
    let sick = alice.run(&["broker", "doctor"]).code(1).says(&["WARNING  GOVERNOR_G", "never expire"]);
    assert!(sick.stderr.is_empty(), "{sick:?}");
    let found = alice.run(&["broker", "doctor", "--json"]).code(1).json();
    assert!(found.as_array().unwrap().iter().any(|one| one["status"] == "WARNING"), "{found}");
}

#[test]
fn a_caller_is_told_what_it_may() {
    let network = Network::start();
    let alice = network.alice();
    alice.run(&["broker", "account", "info"]).fine().says(&[
        "Account: choria",
        "*.broadcast.agent.>",
        "May hear:",
    ]);
    let data = alice.run(&["broker", "account", "info", "--json"]).fine().json();
    assert_eq!(data["account"], "choria", "{data}");
    // a broker without streams says that it has none
    alice
        .run(&["broker", "streams"])
        .code(1)
        .complains(&["does not let this caller publish to $JS.API.STREAM.NAMES"]);
}
