//! A first check needs nothing but the program: what is built in looks by itself.

use std::fs;

use crate::a_node_mends_itself::{state, with_machines};
use crate::network::Network;
use crate::process::until;

#[test]
fn the_starter_set_runs_as_it_is_and_takes_the_limits_of_its_node() {
    let network = Network::start();
    let (setup, store) = with_machines(&network, "n1");
    let overrides = network.file("overrides.json", r#"{"memory": {"critical": "@0:100"}}"#);
    let alice = network.alice();
    let directory = store.to_string_lossy().into_owned();
    let sets =
        ["disk", "load", "memory", "swap", "systemd", "puppet", "status", "certificate", "http", "ntp"];
    for name in sets {
        alice.run(&["machine", "new", "--builtin", name, "--dir", &directory]).code(0).says(&[name]);
        let made = store.join(name);
        alice.run(&["machine", "validate", &made.to_string_lossy()]).code(0);
        // nobody outside is asked here
        let text = fs::read_to_string(made.join("machine.yaml")).expect("a machine");
        let text =
            text.replace("pool.ntp.org", "127.0.0.1").replace("http://localhost/", "http://127.0.0.1:1/");
        fs::write(made.join("machine.yaml"), text).expect("a machine");
    }
    alice
        .run(&["machine", "new", "--builtin", "dsk", "--dir", &directory])
        .code(1)
        .complains(&["dsk is not built in, did you mean disk?"]);
    let nodes = network.nodes([setup.lines(&format!("plugin.scout.overrides = {}\n", overrides.display()))]);
    let node = &nodes[0];
    until("all machines", || sets.iter().all(|name| state(&network, node, name).is_some()).then_some(()));
    alice.run(&["scout", "trigger"]).code(0).says(&["Triggered 10 checks on 1 node"]);
    let said = |name: &str, begin: &str| {
        until(&format!("{name} to say {begin}"), || {
            let found = state(&network, node, name)?["current_state"].clone();
            found["output"].as_str()?.starts_with(begin).then_some(found)
        })
    };
    let disk = said("disk", "");
    assert_eq!(disk["plugin"], "disk");
    let disk = until("the disk to be looked at", || {
        let found = state(&network, node, "disk")?["current_state"].clone();
        found["output"].as_str()?.contains(" % full").then_some(found)
    });
    assert_eq!(disk["perfdata"][0]["unit"], "%", "{disk}");
    let memory = said("memory", "CRITICAL: ");
    assert_eq!(memory["perfdata"][0]["label"], "memory", "what the node has otherwise counts: {memory}");
    said("certificate", "CRITICAL: cannot read /etc/choria/tls/certificate.pem");
    said("http", "CRITICAL: http://127.0.0.1:1/: ");
    said("load", "");
    let page = alice.run(&["scout", "status", &node.name, "-v"]).code(0);
    page.says(&["disk", "memory", "% full", "CR", "10 checks on n1.example.net"]);
}
