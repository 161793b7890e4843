//! Autonomous agents that follow a bucket, and take turns by a governor.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::Keeping;
use crate::a_node_mends_itself::{machine, state, with_machines};
use crate::network::Node;
use crate::process::until;

const FOLLOWER: &str = "\
name: follower
version: 1.0.0
initial_state: a
transitions:
  - {name: go, from: [a], destination: b}
  - {name: back, from: [b], destination: a}
watchers:
  - name: cfg
    type: kv
    interval: 1s
    state_match: [a]
    success_transition: go
    properties: {bucket: CFG, key: 'cfg.{{ lookup \"facts.country\" \"none\" }}'}
  - name: query
    type: kv
    interval: 1s
    properties: {bucket: CFG, key: cfg.mt, query: limits.most, store_key: most, bucket_prefix: false}
";

fn data(path: &Path) -> Value {
    let text = fs::read_to_string(path.join("machine_data.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn in_state(keeping: &Keeping, node: &Node, name: &str, wanted: &str) {
    until(&format!("{name} to be in {wanted}"), || {
        (state(&keeping.network, node, name)?["state"] == wanted).then_some(())
    });
}

#[test]
fn a_machine_follows_a_bucket_that_nodes_may_read() {
    let keeping = Keeping::start("plugin.choria.network.stream.node_buckets = CFG\n");
    let Keeping { network, alice, root } = &keeping;
    let (setup, store) = with_machines(network, "n1");
    let path = machine(&store, "follower", FOLLOWER, &[]);
    let nodes = network.nodes([setup.facts(json!({"country": "mt"}))]);
    // told what is missing, once
    nodes[0].log().says(&["follower#cfg", "there is no bucket CFG"]);
    root.run(&["kv", "add", "CFG"]).fine();
    root.run(&["kv", "add", "SECRETS"]).fine();
    alice.run(&["kv", "put", "CFG", "cfg.mt", "{\"limits\": {\"most\": 7}, \"on\": true}"]).fine();
    in_state(&keeping, &nodes[0], "follower", "b");
    until("data", || {
        let wanted = json!({"CFG_cfg.mt": {"limits": {"most": 7}, "on": true}, "most": 7});
        (data(&path) == wanted).then_some(())
    });
    // a value that stays sets nothing off, one that goes is forgotten
    alice.good(&nodes[0].name, &["choria_util", "machine_transition", "name=follower", "transition=back"]);
    std::thread::sleep(std::time::Duration::from_millis(2500));
    in_state(&keeping, &nodes[0], "follower", "a");
    alice.run(&["kv", "put", "CFG", "cfg.mt", "text"]).fine();
    in_state(&keeping, &nodes[0], "follower", "b");
    until("data", || (data(&path) == json!({"CFG_cfg.mt": "text", "most": "text"})).then_some(()));
    alice.run(&["kv", "del", "CFG", "cfg.mt", "-f"]).fine();
    until("what was removed to go", || data(&path).get("most").is_none().then_some(()));

    // rules of goss and what they speak of, from a bucket, on nodes and here
    alice.run(&["kv", "put", "CFG", "rules", "file: {'{{ .Vars.f }}': {exists: true}}"]).fine();
    alice.run(&["kv", "put", "CFG", "web.vars", "f: /etc/group"]).fine();
    let from_bucket = ["scout", "validate", "CFG.rules", "CFG.web.vars", "--kv-rules", "--kv-variables"];
    for (words, node) in
        [(&["--display", "all"][..], &*nodes[0].name), (&["--display", "all", "--local"], "localhost")]
    {
        let said = alice.run(&[&from_bucket, words].concat());
        said.code(0).says(&[node, "✓ File: /etc/group: exists"]);
    }
    let none = alice.run(&["scout", "validate", "CFG.nosuch", "--kv-rules", "--local"]);
    none.code(1).complains(&["bucket CFG has no key nosuch"]);

    // other buckets are not for nodes, and are not waited for
    let curious =
        FOLLOWER.replace("bucket: CFG", "bucket: SECRETS").replace("name: follower", "name: curious");
    machine(&store, "curious", &curious, &[]);
    nodes[0]
        .log()
        .says(&["curious#cfg", "does not let this caller publish to $JS.API.STREAM.INFO.KV_SECRETS"]);
}

#[test]
fn machines_take_turns_by_a_governor() {
    let keeping = Keeping::start("plugin.choria.network.stream.node_governors = TURNS\n");
    let Keeping { network, alice, root } = &keeping;
    root.run(&["governor", "add", "TURNS", "1", "1m"]).fine();
    root.run(&["governor", "add", "OTHER", "1", "1m"]).fine();
    let log = network.path("turns");
    let work = format!("#!/bin/sh\necho + >> {0}\n/bin/sleep 0.3\necho - >> {0}\n", log.display());
    let turns = |name: &str, governor: &str| {
        format!(
            "name: {name}\nversion: 1.0.0\ninitial_state: a\ntransitions:\n  - {{name: go, from: [a], destination: b}}\n\
             watchers:\n  - name: work\n    type: exec\n    interval: 500ms\n    fail_transition: go\n    state_match: [a]\n    \
             properties: {{command: ./work, timeout: 10s, governor: {governor}, governor_timeout: 1m}}\n"
        )
    };
    let mut setups = vec![];
    for name in ["n1", "n2"] {
        let (setup, store) = with_machines(network, name);
        for number in 0..2 {
            let name = format!("turns{number}");
            machine(&store, &name, &turns(&name, "TURNS"), &[("work", &work)]);
        }
        machine(&store, "barred", &turns("barred", "OTHER"), &[("work", "#!/bin/sh\ntrue\n")]);
        machine(&store, "nobody", &turns("nobody", "NONE"), &[("work", "#!/bin/sh\ntrue\n")]);
        setups.push(setup);
    }
    let events = alice.start(&["tool", "event", "--type", "governor"]);
    events.says(&["Waiting for events"]);
    let mut nodes = network.nodes(setups);
    let count = || fs::read_to_string(&log).unwrap_or_default().lines().count();
    until("six turns", || (count() >= 12).then_some(()));
    let text = fs::read_to_string(&log).unwrap();
    let mut inside = 0;
    for line in text.lines() {
        inside += if line == "+" { 1 } else { -1 };
        assert!((0..=1).contains(&inside), "{text}");
    }
    events.says(&["turns0", "obtained slot"]);
    events.says(&["turns1", "vacated slot"]);
    until("a holder to be shown", || {
        let view = alice.run(&["governor", "view", "TURNS", "--json"]).fine().json();
        view["leases"][0]["name"].as_str()?.starts_with("Auto Agent  turns").then_some(())
    });
    // what may not be, and what is not there, is an error at once
    for name in ["barred", "nobody"] {
        in_state(&keeping, &nodes[0], name, "b");
    }
    nodes[0].log().says(&["barred#work", "does not let this caller publish to mcollective.governor.OTHER"]);
    // nodes that stop leave no slot behind
    for node in &mut nodes {
        node.daemon().leave();
    }
    until("all slots to be free", || {
        let view = alice.run(&["governor", "view", "TURNS", "--json"]).fine().json();
        view["leases"].as_array()?.is_empty().then_some(())
    });
}
