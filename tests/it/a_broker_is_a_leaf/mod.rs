//! A site's own broker joins a larger network: who is on one side asks those on the other.

pub mod hub;
mod streams;
mod trouble;

use crate::network::{Caller, Network, node};
use crate::process::{read_page, sample, until};
use crate::raw::{Raw, tls};

use hub::{Hub, RELEASES, remote};

/// A network whose broker is a leaf of a hub.
fn leaf_of(hub: &Hub, network: &mut Network) {
    network.configure_broker(&format!("{}plugin.choria.stats_port = 0\n", hub.remote()));
    network.start_broker();
    network.broker().says(&["connected to the hub as a leaf"]);
}

/// Somebody who connects to the hub.
fn at(hub: &Hub, network: &Network, name: &str) -> Caller {
    network.caller_with(name, &format!("plugin.choria.middleware_hosts = {}\n", hub.clients))
}

/// Waits until exactly these answer a ping of somebody.
#[track_caller]
fn answer(caller: &Caller, names: &[&str]) {
    let count = names.len().to_string();
    until(&format!("an answer of {names:?}"), || {
        let ran = caller.run(&["ping", "--names", "--expect", &count]);
        (ran.sorted() == names).then_some(())
    });
}

#[test]
fn nodes_on_both_sides_answer_callers_on_both_sides() {
    for release in RELEASES {
        let mut network = Network::without_broker();
        let hub = Hub::start(&network, release);
        leaf_of(&hub, &mut network);
        let _near = network.node(node("near"));
        let line = format!("plugin.choria.middleware_hosts = {}\n", hub.clients);
        let _far = network.node(node("far").lines(&line));
        let both = ["far.example.net", "near.example.net"];
        answer(&network.alice(), &both);
        // the names are in the files of one: another certificate for the hub's side
        let bob = at(&hub, &network, "bob.mcollective");
        answer(&bob, &both);
        let ran = network.alice().run(&["rpc", "rpcutil", "ping", "--json"]).json();
        let mut senders: Vec<_> =
            ran["replies"].as_array().unwrap().iter().map(|r| r["sender"].as_str().unwrap()).collect();
        senders.sort_unstable();
        assert_eq!(senders, both, "{ran:#}");
    }
}

#[test]
fn everything_passes_once_and_in_order() {
    for release in RELEASES {
        let mut network = Network::without_broker();
        let hub = Hub::start(&network, release);
        network.configure_broker(&hub.remote().replace("by-name", "open"));
        network.start_broker();
        network.broker().says(&["connected to the hub as a leaf"]);
        let alice = network.alice();
        let (mut near, mut near_too) = (Raw::connect(&network, &alice), Raw::connect(&network, &alice));
        let mut far = Raw::open(hub.clients, tls(&alice), "");
        let mut far_too = Raw::open(hub.clients, tls(&alice), "");
        for raw in [&mut near, &mut far] {
            raw.send("SUB numbers.> 1\r\nSUB numbers.* 2\r\nSUB shared 3\r\nSUB work crew 4\r\n");
            raw.sync();
        }
        // both sides know of each other's wishes when a question gets its answer
        for (asks, answers) in [(&mut near_too, &mut far), (&mut far_too, &mut near)] {
            until("interest to be known", || {
                asks.send("PUB shared 2\r\nhi\r\n");
                asks.sync();
                answers.sync().contains("MSG shared 3 2").then_some(())
            });
        }
        for raw in [&mut near, &mut far] {
            raw.sync();
        }
        for (publisher, name) in [(&mut near_too, "near"), (&mut far_too, "far")] {
            for number in 0..500 {
                let body = format!("{name}-{number}");
                publisher.send(format!("PUB numbers.{name} {}\r\n{body}\r\n", body.len()));
            }
            publisher.send("PUB work 4\r\nwork\r\nPUB last.one 0\r\n\r\n");
            publisher.sync();
        }
        let mut work = 0;
        for raw in [&mut near, &mut far] {
            let mut heard = String::new();
            until("all numbers", || {
                heard.push_str(&raw.sync());
                (heard.matches("MSG numbers").count() >= 2000).then_some(())
            });
            // nothing more is on its way
            std::iter::repeat_with(|| raw.sync()).take(5).for_each(|more| heard.push_str(&more));
            assert_eq!(heard.matches("MSG numbers").count(), 2000, "{release:?}");
            for name in ["near", "far"] {
                let all: Vec<usize> = heard
                    .split(&format!("MSG numbers.{name} 1 "))
                    .skip(1)
                    .filter_map(|text| text.split("\r\n").nth(1)?.rsplit('-').next()?.parse().ok())
                    .collect();
                assert!(all.iter().copied().eq(0..500), "{release:?} {name}: {all:?}");
            }
            work += heard.matches("MSG work 4").count();
        }
        // one member of the group for each of the two messages
        assert_eq!(work, 2, "{release:?}");
    }
}

#[test]
fn a_hub_may_go_away_and_come_back() {
    let mut network = Network::without_broker();
    let mut hub = Hub::start(&network, RELEASES[1]);
    leaf_of(&hub, &mut network);
    let _near = network.node(node("near"));
    let bob = at(&hub, &network, "bob.mcollective");
    answer(&bob, &["near.example.net"]);
    let mark = network.broker().mark();
    hub.kill();
    network.broker().says_after(mark, &["the connection to the hub has ended"]);
    // those at home do not notice
    answer(&network.alice(), &["near.example.net"]);
    hub.come_back();
    network.broker().says_after(mark, &["connected to the hub as a leaf"]);
    answer(&bob, &["near.example.net"]);
}

#[test]
fn the_next_hub_takes_over() {
    let mut network = Network::without_broker();
    let peers = |settings: &mut serde_json::Value, own: &str| {
        settings["cluster"] = serde_json::json!({"name": "CENTRE", "listen": own});
        settings["jetstream"] = serde_json::Value::Null;
        settings.as_object_mut().unwrap().remove("jetstream");
        settings["accounts"]["choria"].as_object_mut().unwrap().remove("jetstream");
    };
    let mut one = Hub::start_with(&network, RELEASES[1], "one", |s| peers(s, "127.0.0.1:-1"));
    let line = one.log().says(&["Cluster name is CENTRE"]);
    assert!(!line.is_empty());
    let route = one.log().says(&["Listening for route connections on"]);
    let route = route.rsplit(' ').next().unwrap().to_owned();
    let two = Hub::start_with(&network, RELEASES[1], "two", |settings| {
        peers(settings, "127.0.0.1:-1");
        settings["cluster"]["routes"] = serde_json::json!([format!("nats://{route}")]);
    });
    let urls = format!("{},{}", one.leaves, two.leaves);
    network.configure_broker(&remote("centre", &urls));
    network.start_broker();
    network.broker().says(&["connected to the hub as a leaf", &one.leaves.to_string()]);
    let _near = network.node(node("near"));
    let bob = at(&two, &network, "bob.mcollective");
    answer(&bob, &["near.example.net"]);
    one.kill();
    network.broker().says(&["connected to the hub as a leaf", &two.leaves.to_string()]);
    answer(&bob, &["near.example.net"]);
}

#[test]
fn leaves_are_shown() {
    let mut network = Network::without_broker();
    let hub = Hub::start(&network, RELEASES[1]);
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    network.configure_broker(&format!("{}plugin.choria.stats_port = {port}\n", hub.remote()));
    network.start_broker();
    network.broker().says(&["connected to the hub as a leaf"]);
    let _near = network.node(node("near"));
    answer(&at(&hub, &network, "bob.mcollective"), &["near.example.net"]);
    let address = format!("127.0.0.1:{port}");
    let page = read_page(&address, "/leafz");
    let body = page.split("\r\n\r\n").nth(1).expect("a body");
    let shown: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(shown["leafnodes"], 1, "{shown:#}");
    let leaf = &shown["leafs"][0];
    assert_eq!(
        (&leaf["name"], &leaf["account"], &leaf["is_spoke"]),
        (&"hub".into(), &"choria".into(), &true.into())
    );
    assert!(leaf["in_msgs"].as_u64() > Some(0) && leaf["out_msgs"].as_u64() > Some(0), "{shown:#}");
    let metrics = read_page(&address, "/choria/metrics");
    assert_eq!(sample(&metrics, "choria_network_leafnode_remotes{"), Some(1.0));
    let messages = sample(&metrics, "choria_network_leafnode_in_msgs{").expect("a sample");
    assert!(messages > 0.0, "{metrics}");
    // a leaf is no client
    let page = read_page(&address, "/connz");
    assert!(page.contains("near.example.net") && !page.contains(&hub.leaves.port().to_string()), "{page}");
    // and it does not keep the broker from ending
    network.broker().signal(rustix::process::Signal::TERM);
    assert!(network.broker().ended().success());
}
