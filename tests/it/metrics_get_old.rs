//! What a node exporter finds of checks and metrics is of now, also where nothing new is to be said.

use std::fs;
use std::path::Path;

use crate::a_node_mends_itself::{check, machine, with_machines};
use crate::network::Network;
use crate::process::until;

const GATHER: &str = "name: gather\nversion: 1.0.0\ninitial_state: a\ntransitions:\n  - {name: go, from: [a], destination: \
                      b}\nwatchers:\n  - name: depth\n    type: metric\n    interval: 1s\n    properties: {command: \
                      ./gather, interval: 1s}\n";

#[test]
fn what_is_not_gathered_any_more_is_not_shown() {
    let network = Network::start();
    let (setup, store) = with_machines(&network, "n1");
    let exports = network.path("exports");
    fs::create_dir(&exports).expect("a directory");
    let line = format!("plugin.choria.prometheus_textfile_directory = {}\n", exports.display());
    let script = "#!/bin/sh\n[ -e ./broken ] && exit 1\necho '{\"metrics\": {\"depth\": 5}}'\n";
    let gather = machine(&store, "gather", GATHER, &[("gather", script)]);
    let mut n1 = network.node(setup.lines(&line));
    let has = |file: &str, text: &str| {
        let found = fs::read_to_string(exports.join(file)).is_ok_and(|found| found.contains(text));
        move |wanted: bool| (found == wanted).then_some(())
    };
    let metric = || has("choria_machine_metrics_watcher_status.prom", "_depth{");
    let status = || has("choria_machine_nagios_watcher_status.prom", "name=\"whole\"");
    until("the metric", || metric()(true));
    fs::write(gather.join("broken"), "").expect("a file");
    until("the metric to be too old", || metric()(false));
    fs::remove_file(gather.join("broken")).expect("it goes");
    until("the metric again", || metric()(true));
    // what was taken away meanwhile is not shown either
    let whole = machine(&store, "whole", &check("whole", "1s"), &[("check", "#!/bin/sh\necho OK\n")]);
    until("the check", || status()(true));
    n1.kill();
    let gone = |path: &Path| fs::remove_dir_all(path).expect("it goes");
    gone(&gather);
    gone(&whole);
    n1.start();
    until("the metric to go", || metric()(false));
    until("the check to go", || status()(false));
}
