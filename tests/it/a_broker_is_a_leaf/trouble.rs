//! What goes wrong between a leaf and its hubs is told, and hurts nobody at home.

use serde_json::json;

use choria::core::pki::Kind;

use crate::network::Network;
use crate::process::until;
use crate::raw::{Raw, tls};

use super::hub::{Hub, RELEASES, remote};

#[test]
fn two_ways_into_one_network_are_a_loop() {
    let mut network = Network::without_broker();
    let one = Hub::start(&network, RELEASES[1]);
    let clear = Hub::start_with(&network, RELEASES[1], "inner", |settings| {
        settings["leafnodes"].as_object_mut().unwrap().remove("tls");
        settings.as_object_mut().unwrap().remove("jetstream");
        settings["accounts"]["choria"].as_object_mut().unwrap().remove("jetstream");
    });
    // the second hub is itself a leaf of the first
    let two = Hub::start_with(&network, RELEASES[0], "two", |settings| {
        settings.as_object_mut().unwrap().remove("jetstream");
        settings["accounts"]["choria"].as_object_mut().unwrap().remove("jetstream");
        settings["leafnodes"]["remotes"] =
            json!([{"url": format!("nats-leaf://{}", clear.leaves), "account": "choria"}]);
    });
    two.log().says(&["Leafnode connection created"]);
    drop(one);
    let lines = remote("two", &two.leaves.to_string()).replace("remotes = two", "remotes = two, inner");
    network.configure_broker(&format!(
        "{lines}plugin.choria.network.leafnode_remote.inner.url = {}\n\
         plugin.choria.network.leafnode_remote.inner.tls.disable = yes\n",
        clear.leaves
    ));
    network.start_broker();
    network.broker().says(&["sent in clear text"]);
    let line = network.broker().says(&["the connection to the hub has ended", "oop"]);
    assert!(line.contains("loop") || line.contains("Loop"), "{line}");
    // one of the two ways stays or comes back, and the broker serves
    network.nodes([crate::network::node("near")]);
}

#[test]
fn a_hub_of_the_same_cluster_name_is_left_alone() {
    let mut network = Network::without_broker();
    let hub = Hub::start_with(&network, RELEASES[0], "hub", |settings| {
        settings["cluster"] = json!({"name": "SITE", "listen": "127.0.0.1:-1"});
        settings.as_object_mut().unwrap().remove("jetstream");
        settings["accounts"]["choria"].as_object_mut().unwrap().remove("jetstream");
    });
    network.configure_broker(&hub.remote());
    network.start_broker();
    network.broker().says(&["connecting to the hub failed", "'SITE'", "plugin.choria.network.gateway_name"]);
    network.nodes([crate::network::node("near")]);
}

#[test]
fn wrong_ports_and_certificates_are_told() {
    let mut network = Network::without_broker();
    let hub = Hub::start(&network, RELEASES[1]);
    for (urls, expected) in [
        (hub.clients.to_string(), "that is no port for leafs"),
        ("127.0.0.1:1".to_owned(), "refused"),
        (format!("127.0.0.1:1,{}", hub.leaves), "refused"),
    ] {
        network.configure_broker(&remote("hub", &urls));
        network.start_broker();
        network.broker().says(&["connecting to the hub failed", expected]);
    }
    // the second address is the one
    network.broker().says(&["connected to the hub as a leaf"]);

    let stranger = Network::without_broker();
    let theirs = Hub::start(&stranger, RELEASES[1]);
    network.configure_broker(&theirs.remote());
    network.start_broker();
    network.broker().says(&["connecting to the hub failed", "TLS with the hub failed"]);
}

/// A hub with the two accounts and the links between them, which knows leafs by their certificates.
fn hub_of_two_accounts(network: &Network) -> Hub {
    Hub::start_with(network, RELEASES[1], "hub", |settings| {
        settings["leafnodes"]["tls"]["verify_and_map"] = true.into();
        settings["leafnodes"]["authorization"] = json!({"users": [
            {"user": "main.example.net", "account": "choria"},
            {"user": "room.example.net", "account": "provisioning"},
        ]});
        settings["accounts"]["choria"]["imports"] =
            json!([{"stream": {"account": "provisioning", "subject": "choria.lifecycle.>"}}]);
        settings["accounts"]["provisioning"] = json!({
            "users": [{"user": "room", "password": "pw"}],
            "exports": [{"stream": "choria.lifecycle.>", "accounts": ["choria"]}],
        });
    })
}

#[test]
fn waiting_machines_are_heard_at_the_hub_once() {
    let mut network = Network::without_broker();
    let hub = hub_of_two_accounts(&network);
    let mut lines = remote("main", &hub.leaves.to_string()).replace("remotes = main", "remotes = main, room");
    lines = lines.replace("by-name", "open");
    for name in ["main", "room"] {
        network.certify(Kind::Broker, &format!("{name}.example.net"));
        let file = |ending: &str| network.path(&format!("ssl/{name}.example.net{ending}.pem"));
        let key = format!("plugin.choria.network.leafnode_remote.{name}.");
        lines.push_str(&format!(
            "{key}tls.cert = {}\n{key}tls.key = {}\n",
            file("").display(),
            file("-key").display()
        ));
    }
    lines.push_str(&format!(
        "plugin.choria.network.leafnode_remote.room.url = {}\n\
         plugin.choria.network.leafnode_remote.room.account = provisioning\n\
         plugin.choria.network.provisioning.client_password = pw\n",
        hub.leaves
    ));
    network.configure_broker(&lines);
    network.start_broker();
    network.broker().says(&["connected to the hub as a leaf", "account=choria"]);
    network.broker().says(&["connected to the hub as a leaf", "account=provisioning"]);

    let alice = tls(&network.alice());
    let waiting = ",\"user\":\"provisioner\",\"pass\":\"pw\"";
    let mut machine = Raw::open(network.address(), alice.clone(), waiting);
    let mut near = Raw::open(network.address(), alice.clone(), "");
    let mut far = Raw::open(hub.clients, alice.clone(), "");
    let mut far_room = Raw::open(hub.clients, alice, ",\"user\":\"room\",\"pass\":\"pw\"");
    machine.send("SUB provisioning.node.> 1\r\nSUB choria.lifecycle.> 2\r\n");
    for raw in [&mut near, &mut far, &mut far_room] {
        raw.send("SUB choria.lifecycle.> 2\r\nSUB provisioning.node.> 1\r\nSUB ready 3\r\n");
    }
    for raw in [&mut machine, &mut near, &mut far, &mut far_room] {
        raw.sync();
    }
    until("the room to be reached", || {
        far_room.send("PUB provisioning.node.m1 3\r\nhey\r\n");
        far_room.sync();
        machine.sync().contains("MSG provisioning.node.m1 1 3").then_some(())
    });
    // until all know of all, events may be missed, which is no doubling
    let mut number = 0;
    until("an event to be heard everywhere", || {
        number += 1;
        let body = format!("event-{number:03}");
        machine.send(format!("PUB choria.lifecycle.event.startup.x 9\r\n{body}\r\n"));
        machine.sync();
        let mut counts = [0; 3];
        for _ in 0..20 {
            for (count, raw) in counts.iter_mut().zip([&mut near, &mut far, &mut far_room]) {
                *count += raw.sync().matches(&body).count();
            }
        }
        assert!(counts.iter().all(|count| *count <= 1), "{counts:?}");
        (counts == [1, 1, 1]).then_some(())
    });
    // nothing else crosses
    let heard = [near.sync(), far.sync()].concat();
    assert!(!heard.contains("provisioning.node"), "{heard}");
}
