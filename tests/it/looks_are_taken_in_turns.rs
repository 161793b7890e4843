//! Somebody who may only look asks a node for more programs at once than it has processors.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::network::{Network, node};
use crate::process::until;
use crate::wire::{self, Wire};

/// What is sent at once.
const FLOOD: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_looks_often_waits_and_others_do_not() {
    let network = Network::start();
    let (begun, go_on) = (network.path("begun"), network.path("go-on"));
    std::fs::create_dir(&begun).expect("a directory");
    // As a service's own script it tells of its state, once it is let.
    let script = network.file(
        "service",
        &format!(
            "#!/bin/sh\n: > '{}/'\"$1.$$\"\nwhile [ ! -e '{}' ] && [ -d '{}' ]; do sleep 0.1; done\n",
            begun.display(),
            go_on.display(),
            network.directory().display()
        ),
    );
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    let lines = format!(
        "plugin.service.provider = service\nplugin.service.service.servicecmd = {}\n",
        script.display()
    );
    let everybody = "policy default deny\nallow\t*\tstatus\t*\t*\n";
    let nodes = network.nodes([node("n1").lines(&lines).policy("service", everybody)]);
    let mallory = Wire::connect(&network, &network.caller("mallory.mcollective")).await;
    let alice = Wire::connect(&network, &network.alice()).await;
    let all = mallory.reply_subject();
    let mut looks = mallory.subscribe(&all).await;
    let hers = alice.reply_subject();
    let mut replies = alice.subscribe(&hers).await;
    let of = |who: &str| {
        let names =
            std::fs::read_dir(&begun).expect("the directory").flatten().map(|entry| entry.file_name());
        names.filter(|name| name.to_string_lossy().starts_with(who)).count()
    };
    for _ in 0..FLOOD {
        let request = mallory.request("service", "status", json!({"service": "his"}));
        mallory.publish("mcollective.node.n1.example.net", mallory.signed(&request, &all)).await;
    }
    tokio::task::block_in_place(|| until("his first two", || (of("his") >= 2).then_some(())));
    // Hers begins while they last, and so does what starts no program.
    let request = alice.request("service", "status", json!({"service": "hers"}));
    alice.publish("mcollective.node.n1.example.net", alice.signed(&request, &hers)).await;
    tokio::task::block_in_place(|| {
        until("hers", || (of("hers") == 1).then_some(()));
        network.alice().run(&["rpc", "rpcutil", "ping", "-I", "n1.example.net"]).code(0).says(&["1 / 1"]);
    });
    assert_eq!(of("his"), 2, "of {FLOOD} that he asked for");
    std::fs::write(&go_on, "").expect("a file");
    wire::next(&mut replies).await;
    for _ in 0..FLOOD {
        wire::next(&mut looks).await;
    }
    assert_eq!(of("his"), FLOOD, "each in its turn");
    drop(nodes);
}
