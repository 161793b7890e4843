//! Rules of goss: from afar, on this machine, and as a check.

use crate::a_node_mends_itself::{machine, state, with_machines};
use crate::network::Network;
use crate::process::until;

#[test]
fn rules_are_tried_on_nodes_and_here() {
    let network = Network::start();
    let (setup, store) = with_machines(&network, "n1");
    let here = network.file("goss.yaml", "file: {/etc/passwd: {exists: true}, /nosuch: {exists: true}}\n");
    let with = network.file("vars.yaml", "file: {'{{ .Vars.f }}': {exists: true}}\n");
    let vars = network.file("values.yaml", "f: /etc/group\n");
    let command = network.file("command.yaml", "command: {/bin/true: {exit-status: 0}}\n");
    let overrides = network.file("overrides.json", r#"{"where": "/nosuch"}"#);
    let check = "name: rules\nversion: 1.0.0\ninitial_state: UNKNOWN\ntransitions:\n  - {name: OK, from: [UNKNOWN, CRITICAL], \
                 destination: OK}\n  - {name: CRITICAL, from: [UNKNOWN, OK], destination: CRITICAL}\nwatchers:\n  - {name: \
                 check, type: nagios, interval: 1s, properties: {builtin: goss, gossfile: goss.yaml}}\n";
    let rules = "file: {'{{ .Vars.where }}': {exists: true}, /etc/passwd: {exists: true}}\n";
    machine(&store, "rules", check, &[("goss.yaml", rules)]);
    let nodes = network.nodes([setup.lines(&format!("plugin.scout.overrides = {}\n", overrides.display()))]);
    let alice = network.alice();
    let path = |file: &std::path::Path| file.to_string_lossy().into_owned();
    let (here, with, vars, command) = (path(&here), path(&with), path(&vars), path(&command));
    // given by the caller, with what differs told and exit code 1
    let told = alice.run(&["scout", "validate", &here]);
    told.code(1).says(&[
        "n1.example.net: Count: 2, Failed: 1, Duration: 0.",
        "   X File: /nosuch: exists:\n   Expected\n       false\n   to equal\n       true\n",
        "Nodes: 1, Failed: 1, Skipped: 0, Success: 1, Duration: ",
    ]);
    alice
        .run(&["scout", "validate", &with, &vars, "--display", "all"])
        .code(0)
        .says(&["✓ File: /etc/group: exists"]);
    // a file of the node; from afar no command runs, of its own files it does
    alice.run(&["scout", "validate", &command]).code(0).says(&["? Command: /bin/true: exit-status: skipped"]);
    alice
        .run(&["scout", "validate", &command, "--remote-rules", "-v"])
        .code(0)
        .says(&["Count: 1, Failed: 0", "Success: 1"]);
    alice
        .run(&["scout", "validate", &here, "--table"])
        .code(1)
        .says(&["Goss check results", "Expected false to equal true"]);
    let json = alice.run(&["scout", "validate", &here, "--json"]).code(1).json();
    let results = &json["replies"][0]["data"]["results"];
    assert_eq!(results[1]["matcher-result"]["message"], "to equal", "{results}");
    alice
        .run(&["scout", "validate", "/nosuch.yaml", "--remote-rules"])
        .code(1)
        .says(&["cannot read /nosuch.yaml", "Refused: 1"]);
    alice.run(&["scout", "validate", "/nosuch.yaml"]).code(1).complains(&["cannot read /nosuch.yaml"]);
    // here, nobody is asked
    alice.run(&["scout", "validate", &here, "--local"]).code(1).says(&["localhost: Count: 2, Failed: 1"]);
    let wrong = network.file("wrong.yaml", "flie: {a: {exists: true}}\n");
    alice
        .run(&["scout", "validate", &path(&wrong), "--local"])
        .code(1)
        .complains(&["there is no type flie, did you mean file?"]);
    for (words, said) in [
        (&["--local", "--remote-rules"][..], "is a file of the nodes, and --local asks none of them"),
        (&["--kv-rules", "--remote-rules"], "--remote-rules and --kv-rules are two places, give one"),
        (&["--kv-variables"], "--kv-variables says where variables are, and none are named"),
        (&["--kv-rules"], "is no name of a bucket"),
    ] {
        alice.run(&[&["scout", "validate", &here], words].concat()).code(1).complains(&[said]);
    }
    // as a check, with what the node has otherwise
    let found = until("the rules as a check", || {
        let found = state(&network, &nodes[0], "rules")?["current_state"].clone();
        (found["status"] == "CRITICAL").then_some(found)
    });
    let output = found["output"].as_str().unwrap_or_default();
    assert!(
        output.starts_with("CRITICAL: Count: 2, Failed: 1") && output.contains("|checks=2;; failed=1;; "),
        "{output}"
    );
}
