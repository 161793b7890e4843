//! Events are counted for Prometheus.

use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::a_broker_shows_itself::{free_port, get};
use crate::a_node_mends_itself::{check, machine, with_machines};
use crate::network::Network;
use crate::process::until;

/// Every metric of the dashboard is counted, and every expression is PromQL.
fn the_dashboard_asks_for_what_is_there(network: &Network, metrics: &str) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/grafana/tally.json");
    let dashboard: Value =
        serde_json::from_str(&std::fs::read_to_string(file).expect("a file")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let expressions: Vec<&str> =
        targets.map(|target| target["expr"].as_str().expect("an expression")).collect();
    assert!(expressions.len() >= 10, "{expressions:?}");
    let names = regex::Regex::new(r"\bchoria_tally_[a-z_]+").expect("an expression");
    for text in &expressions {
        for name in names.find_iter(text).map(|name| name.as_str()) {
            assert!(metrics.contains(&format!("\n{name}{{")), "{name} of {text} is not shown: {metrics}");
        }
    }
    let rules: Vec<Value> = expressions
        .iter()
        .enumerate()
        .map(|(place, text)| serde_json::json!({"record": format!("r{place}"), "expr": text}))
        .collect();
    let rules = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules}]});
    let file = network.file("rules.json", &rules.to_string());
    let checked = Command::new("promtool").args(["check", "rules"]).arg(file).output().expect("promtool");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn what_nodes_and_machines_do_is_counted() {
    let network = Network::start();
    let alice = network.alice();
    let port = free_port();
    let mut tally = alice.start(&["tool", "tally", "--port", &port.to_string()]);
    tally.says(&["Counting events of server, at http://127.0.0.1:"]);
    let (setup, store) = with_machines(&network, "n1");
    let script = "#!/bin/sh\n[ -e ./broken ] && { echo 'CRITICAL: broken'; exit 2; }\necho 'OK: whole'\n";
    let remedy = "#!/bin/sh\n[ -e ./again ] && { /bin/rm ./broken ./again; exit 0; }\n: > ./again\nexit 1\n";
    let text = check("whole", "1s").replace("interval: 15m", "interval: 1s");
    let path = machine(&store, "whole", &text, &[("check", script), ("remedy", remedy)]);
    std::fs::write(path.join("broken"), "").expect("a file");
    let _nodes = network.nodes([setup]);
    let shows = |line: &str| {
        until(&format!("{line} to be counted"), || {
            let page = get(port, "/metrics");
            page.contains(line).then_some(page)
        })
    };
    shows("choria_tally_event_types{component=\"server\",type=\"startup\",active=\"1\"} 1");
    shows(
        "choria_tally_machine_transition{machine=\"whole\",version=\"1.0.0\",transition=\"CRITICAL\",from=\"UNKNOWN\",to=\"CRITICAL\",active=\"1\"}",
    );
    shows(
        "choria_tally_exec_watcher_success{machine=\"whole\",version=\"1.0.0\",watcher=\"remedy\",active=\"1\"}",
    );
    shows(
        "choria_tally_exec_watcher_failures{machine=\"whole\",version=\"1.0.0\",watcher=\"remedy\",active=\"1\"}",
    );
    shows("choria_tally_machine_states{machine=\"whole\",version=\"1.0.0\",state=\"OK\",active=\"1\"} 1");
    let page = shows("choria_tally_checks{check=\"whole\",status=\"OK\",active=\"1\"} 1");
    the_dashboard_asks_for_what_is_there(&network, &page);
    tally.signal(Signal::TERM);
    assert!(tally.ended().success());
    alice.run(&["tool", "tally", "--prefix", "a b"]).code(1).complains(&["is no begin of a metric's name"]);
}
