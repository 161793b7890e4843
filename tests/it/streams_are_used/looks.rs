//! `choria broker streams`, `doctor` and `account`: what a network keeps, how that is, and who may.

use serde_json::Value;

use super::Keeping;
use crate::a_broker_is_a_leaf::hub::RELEASES;
use crate::network::{Caller, Network};
use crate::process::until;

#[test]
fn streams_are_listed_and_looked_at() {
    let keeping = Keeping::start("");
    let Keeping { alice, root, .. } = &keeping;
    alice.run(&["broker", "streams"]).fine().says(&["CHORIA_EVENTS", "choria.lifecycle.>", "1d"]);
    let all = alice.run(&["broker", "streams", "--json"]).fine().json();
    assert_eq!(all.as_array().map(Vec::len), Some(5), "{all}");
    alice.run(&["broker", "streams", "CHORIA_EVENTS"]).fine().says(&["drops the oldest", "Expires: 1d"]);
    let add = ["broker", "streams", "REG", "--add", "js.in.>", "--max-age", "1h"];
    alice.run(&add).code(1).complains(&["STREAM.CREATE.REG", "privileged"]);
    root.run(&add).fine().says(&["js.in.>", "Expires: 1h"]);
    root.run(&add).fine();
    root.run(&["broker", "streams", "REG", "--add", "js..in"]).code(1).complains(&["'js..in' is no subject"]);
    root.run(&["broker", "streams", "R.E", "--add", "x"])
        .code(1)
        .complains(&["'R.E' is no name of a stream"]);
    root.run(&["broker", "streams", "--add", "x"]).code(1).complains(&["which needs a name"]);
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

/// Who may look at servers.
pub const SYSTEM: &str =
    "plugin.choria.network.system.user = system\nplugin.choria.network.system.password = s3cret\n";

/// Names and kinds of servers, sorted.
pub fn servers(caller: &Caller) -> Vec<(String, String)> {
    let listed = caller.run(&["broker", "server", "list", "--json"]).json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let listed = listed.as_array().expect("a list");
    let mut all: Vec<_> = listed.iter().map(|s| (text(&s["server"]["name"]), text(&s["kind"]))).collect();
    all.sort();
    all
}

#[test]
fn servers_are_listed_by_who_has_the_password() {
    let network = Network::start_with(&format!("plugin.choria.network.x509_permissions = by-name\n{SYSTEM}"));
    let carol = network.caller_with("carol.mcollective", SYSTEM);
    carol.run(&["broker", "server", "list"]).fine().says(&["broker.example.net", "broker", "Connections"]);
    assert_eq!(servers(&carol), [("broker.example.net".to_owned(), "broker".to_owned())]);
    let one = carol.run(&["broker", "server", "info", "--json"]).fine().json();
    assert_eq!(one["data"]["connections"], 1, "{one}");
    carol.run(&["broker", "server", "info", "broker.example.net"]).fine().says(&["Kind: broker"]);
    carol.run(&["broker", "server", "info", "other"]).code(1).complains(&["no server other has answered"]);
    network
        .alice()
        .run(&["broker", "server", "list"])
        .code(1)
        .complains(&["plugin.choria.network.system.user"]);
    let wrong = SYSTEM.replace("s3cret", "guessed");
    let dave = network
        .caller_with("dave.mcollective", &format!("{wrong}plugin.choria.network.connect_limit = 2s\n"));
    let ran = dave.run(&["broker", "server", "list"]);
    assert!(ran.code == 1 && ran.stdout.is_empty(), "{ran:?}");
}

#[test]
fn engines_are_listed_beside_their_brokers() {
    for release in RELEASES {
        let Keeping { network, .. } = &Keeping::of(release, SYSTEM);
        let carol = network.caller_with("carol.mcollective", SYSTEM);
        let of = |kind: &str| ("broker.example.net".to_owned(), kind.to_owned());
        until("both to be there", || (servers(&carol) == [of("broker"), of("nats-server")]).then_some(()));
        carol.run(&["broker", "server", "list"]).fine().says(&["nats-server", "CHORIA"]);
    }
}
