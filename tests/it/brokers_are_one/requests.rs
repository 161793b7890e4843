//! Requests that wait for nodes, and who the servers are, where brokers are one.

use std::fs;

use super::Cluster;
use crate::a_broker_is_a_leaf::hub::Release;
use crate::network::node;
use crate::process::until;
use crate::streams_are_used::looks::{SYSTEM, servers};

#[test]
fn requests_wait_in_all_of_them_and_outlive_some() {
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let mut cluster = Cluster::start_each(Release::Newest, |at| {
        format!(
            "plugin.choria.network.stream.store = {}/{at}\nplugin.choria.network.stream.requests = true\n{SYSTEM}",
            directory.path().display()
        )
    });
    for broker in &mut cluster.brokers {
        broker.broker().says(&["system streams are as configured"]);
    }
    let alice = cluster.brokers[0].caller_with("alice.mcollective", &cluster.hosts(1));
    let marks = cluster.brokers[0].path("marks");
    let command = format!("command=echo ran >> {}; sleep 1", marks.display());
    let words = ["rpc", "shell", "run", &command, "-I", "n1.example.net", "--until", "1h"];
    let ids: Vec<String> = (0..3)
        .map(|_| {
            let ran = alice.run(&words);
            let id = ran.stderr.split("choria requests show ").nth(1);
            id.unwrap_or_else(|| panic!("{ran:?}")).trim().to_owned()
        })
        .collect();
    let taking = node("n1").lines(
        "plugin.choria.requests.enabled = true\nplugin.choria.requests.interval = 1s\n\
         plugin.shell.activate_agent = true\n",
    );
    let node = cluster.brokers[0].node(taking.lines(&cluster.hosts(0)));
    let count = || fs::read_to_string(&marks).unwrap_or_default().lines().count();
    until("the first to run", || (count() == 1).then_some(()));
    // the one it is connected to, while it runs
    cluster.brokers[0].kill_broker();
    for id in &ids {
        until(&format!("{id} to be answered"), || {
            let ran = alice.run(&["requests", "show", id, "--json"]);
            let shown: serde_json::Value = serde_json::from_str(&ran.stdout).ok()?;
            (shown["nodes"][0]["state"] == "answered").then_some(())
        });
    }
    assert_eq!((count(), node.audit().len()), (3, 3));

    cluster.brokers[0].start_broker();
    cluster.brokers[0].broker().says(&["connected to the hub as a leaf"]);
    let carol = cluster.brokers[0].caller_with("carol.mcollective", &format!("{SYSTEM}{}", cluster.hosts(2)));
    let name = |at: usize| format!("broker{at}.example.net");
    let engines = (0..3).map(|at| (name(at), "nats-server".to_owned()));
    let mut all: Vec<_> = engines.chain([(name(2), "broker".to_owned())]).collect();
    all.sort();
    until("all servers to be there", || (servers(&carol) == all).then_some(()));
}
