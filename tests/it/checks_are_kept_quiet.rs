//! Scout: many checks of a node at once, by people far away.

use crate::a_node_mends_itself::{check, machine, state, with_machines};
use crate::network::Network;
use crate::process::until;

const OK: &str = "#!/bin/sh\necho 'OK: fine|load=1'\n";

/// The original answers neither in time nor for all of them.
#[test]
fn eleven_checks_rest_at_once_and_come_back() {
    let network = Network::start();
    let (setup, store) = with_machines(&network, "n1");
    let names: Vec<String> = (0..11).map(|n| format!("check_{n:02}")).collect();
    for name in &names {
        machine(&store, name, &check(name, "1s"), &[("check", OK), ("remedy", OK)]);
    }
    let nodes = network.nodes([setup]);
    let node = &nodes[0];
    let all = |wanted: &str| {
        until(&format!("all checks to be {wanted}"), || {
            let is =
                |name: &String| state(&network, node, name).is_some_and(|found| found["state"] == wanted);
            names.iter().all(is).then_some(())
        });
    };
    all("OK");
    let alice = network.alice();
    // every node has to be meant
    alice.run(&["scout", "maintenance"]).code(1).silent().complains(&["every node", "-y"]);
    alice
        .run(&["scout", "maintenance", "-y"])
        .code(0)
        .says(&["Placed 11 checks into maintenance mode on 1 node"]);
    all("MAINTENANCE");
    // it does not apply to what rests already
    let again = alice.run(&["scout", "maintenance", "--json", "-y"]).code(0).json();
    assert_eq!(again["replies"][0]["data"]["skipped"].as_array().map(Vec::len), Some(11), "{again}");
    alice.run(&["scout", "trigger", "--check", "check_03"]).code(0).says(&["Triggered 0 checks on 1 node"]);
    alice.run(&["scout", "resume", "-y", "--check", "check_03", "--check", "nosuch"]).code(1).says(&[
        "nosuch",
        "check_03",
        "Some checks could not be transitioned to RESUME",
        "Placed 1 check into normal",
    ]);
    let watch = alice.start(&["scout", "watch", "--check", "check_03"]);
    watch.says(&["Waiting for events"]);
    watch.says(&["n1.example.net check_03#check OK: OK: fine"]);
    alice
        .run(&["scout", "resume", "-y"])
        .code(0)
        .says(&["Placed 10 checks into normal check mode on 1 node"]);
    all("OK");
    alice.run(&["scout", "trigger"]).code(0).says(&["Triggered 11 checks on 1 node"]);
    all("OK");
    let status = alice.run(&["scout", "status", "n1.example.net", "--json"]).code(0).json();
    assert_eq!(status["replies"][0]["data"]["checks"].as_array().map(Vec::len), Some(11));
    // who is not there did nothing, and who asks is told so by the exit code
    let (to, absent) = ("n1.example.net", "nosuch.example.net");
    let rules = network.file("goss.yaml", "file: {/etc/passwd: {exists: true}}\n");
    let rules = rules.to_string_lossy();
    for words in [
        &["scout", "maintenance", "--check", "check_00"][..],
        &["scout", "trigger", "--check", "check_01"],
        &["scout", "resume", "--check", "check_00"],
        &["scout", "validate", &rules],
        &["machine", "list"],
    ] {
        alice.run(&[words, &["-I", to]].concat()).code(0);
        alice.run(&[words, &["-I", to, "-I", absent]].concat()).code(4);
        alice.run(&[words, &["-I", absent]].concat()).code(3);
    }
    alice.run(&["scout", "status", absent]).code(3).complains(&[absent, "did not answer"]);
    let text = alice.bad("n1.example.net", 1, &["scout", "goss_validate", "file=/nosuch.yaml"]);
    assert!(text.contains("Could not validate: cannot read /nosuch.yaml"), "{text}");
}

/// Machines are moved from afar, and who asks for what cannot be is told.
#[test]
fn a_machine_is_moved_from_afar() {
    let network = Network::start();
    let (setup, store) = with_machines(&network, "n1");
    machine(&store, "check_load", &check("check_load", "1h"), &[("check", OK), ("remedy", OK)]);
    let _nodes = network.nodes([setup]);
    let alice = network.alice();
    let to = "n1.example.net";
    until("the machine to run", || {
        (alice.run(&["machine", "list"]).stdout.contains("check_load")).then_some(())
    });
    alice.run(&["machine", "transition", "check_load", "FORCE_CHECK", "-I", to, "--np"]).code(0);
    until("the check", || {
        let shown = alice.run(&["machine", "state", "check_load", "-I", to, "--np"]);
        shown.stdout.contains("State: OK").then_some(())
    });
    let refused = alice.run(&["machine", "transition", "check_load", "RESUME", "-I", to, "--np"]);
    assert!(
        refused.code != 0 && refused.stdout.contains("transition RESUME is not valid while in OK state"),
        "{refused:?}"
    );
    let unknown = alice.run(&["machine", "state", "nosuch", "-I", to, "--np"]);
    assert!(unknown.code != 0 && unknown.stdout.contains("Could not find a matching machine"), "{unknown:?}");
    alice.run(&["machine", "transition", "check_load", "OK"]).code(1).complains(&["without a filter"]);
    // a node without machines says so
    let (other, _) = with_machines(&network, "n2");
    drop(other);
    let plain = network.nodes([crate::network::node("n3")]);
    let text = alice.bad(&plain[0].name, 1, &["choria_util", "machine_state", "name=nosuch"]);
    assert_eq!(text, "No running machines");
}
