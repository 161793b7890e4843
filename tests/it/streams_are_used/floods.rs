//! Somebody without rights has the engine of streams say more than it was ever told.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use choria::core::protocol::subjects::caller_inbox_prefix;
use serde_json::json;

use super::Keeping;
use crate::a_hostile_node_does_not_hurt_the_broker::resident;
use crate::brokers_are_one::engine_of;
use crate::network::Caller;
use crate::process::until;
use crate::raw::Raw;

const VALUES: usize = 20_000;
const CONSUMERS: usize = 150;

fn publish(subject: &str, reply: &str, body: &str) -> String {
    format!("PUB {subject} {reply} {}\r\n{body}\r\n", body.len())
}

#[test]
fn who_has_them_say_too_much_is_held_back_and_others_are_answered() {
    let Keeping { mut network, alice, root } = Keeping::start("");
    root.run(&["kv", "add", "PUB"]).fine();
    root.run(&["kv", "add", "CFG"]).fine();
    alice.run(&["kv", "put", "CFG", "a", "one"]).fine();
    let mallory = network.caller("mallory.mcollective");
    let inbox = caller_inbox_prefix("mcollective", "choria=mallory.mcollective");
    let mut raw = Raw::connect(&network, &mallory);
    let value = "x".repeat(200);
    for number in 0..VALUES {
        raw.send(publish(&format!("$KV.PUB.f{number}"), "", &value));
    }
    raw.sync();
    until("the values", || {
        let told = root.run(&["kv", "status", "PUB", "--json"]).fine().json();
        (told["values"].as_u64() >= Some(VALUES as u64)).then_some(())
    });

    let consumer = |number: usize, place: &str| {
        let config = json!({"name": format!("z{number}"), "deliver_subject": place, "ack_policy": "none",
            "deliver_policy": "all", "num_replicas": 1, "flow_control": true, "idle_heartbeat": 5_000_000_000_u64});
        let body = json!({"stream_name": "KV_PUB", "config": config}).to_string();
        publish(&format!("$JS.API.CONSUMER.CREATE.KV_PUB.z{number}"), &format!("{inbox}.made"), &body)
    };
    // where nodes would hear it
    raw.send(consumer(0, "mcollective.node.n1.example.net"));
    assert!(raw.sync().contains("delivers to \"mcollective.node.n1.example.net"), "it is refused");
    raw.send(publish(
        "$JS.API.CONSUMER.MSG.NEXT.KV_PUB.z0",
        "mcollective.node.n1.example.net",
        "{\"batch\":9}",
    ));
    assert!(raw.sync().contains("Permissions Violation for Publish with Reply"));
    // and where it hears itself
    raw.send((0..CONSUMERS).map(|number| format!("SUB {inbox}.d.{number} {number}\r\n")).collect::<String>());
    raw.sync();
    for number in 0..CONSUMERS {
        raw.send(consumer(number, &format!("{inbox}.d.{number}")));
    }
    let engine = engine_of(&mut network);
    let (heard, begun) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let hears = heard.clone();
    // it ends with the broker
    std::thread::spawn(move || {
        let (mut last, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
        while let Ok(count @ 1..) = raw.stream.read(&mut piece) {
            hears.fetch_add(count as u64, Ordering::Relaxed);
            last.extend_from_slice(&piece[..count]);
            // the engine is told that all of it came, so that it says more
            let (mut told, mut at) = (String::new(), 0);
            while let Some(found) = memchr::memmem::find(&last[at..], b"$JS.FC.") {
                let rest = &last[at + found..];
                let Some(end) = rest.iter().position(u8::is_ascii_whitespace) else { break };
                told.push_str(&publish(&String::from_utf8_lossy(&rest[..end]), "", ""));
                at += found + end;
            }
            if raw.try_send(told).is_err() {
                return;
            }
            last.drain(..at);
            let beyond = last.len().saturating_sub(1024);
            last.drain(..beyond);
        }
    });
    others_are_answered(&alice, engine);
    // it heard much, and no more than it may, with what was on its way
    until("much to be heard", || (heard.load(Ordering::Relaxed) > 32 << 20).then_some(()));
    let most = (256 << 20) + begun.elapsed().as_secs() * (33 << 20);
    assert!(heard.load(Ordering::Relaxed) < most, "{heard:?} of {most}");
}

/// All the while, by an engine that has no more than it should.
fn others_are_answered(alice: &Caller, engine: u32) {
    for _ in 0..25 {
        assert_eq!(alice.run(&["kv", "get", "CFG", "a", "--raw"]).fine().stdout.trim(), "one");
        let memory = resident(engine);
        assert!(memory < 512 << 20, "the engine has {memory} bytes");
    }
}

/// An answer may be ten thousand times as large as what it answers.
#[test]
fn who_asks_for_the_same_again_and_again_waits() {
    let Keeping { mut network, alice, root } = Keeping::start("");
    root.run(&["kv", "add", "BIG", "--max-value-size", "1000000"]).fine();
    root.run(&["kv", "add", "CFG"]).fine();
    alice.run(&["kv", "put", "CFG", "a", "one"]).fine();
    let mallory = network.caller("mallory.mcollective");
    let inbox = caller_inbox_prefix("mcollective", "choria=mallory.mcollective");
    let mut raw = Raw::connect(&network, &mallory);
    raw.send(publish("$KV.BIG.k", &format!("{inbox}.put"), &"x".repeat(900_000)));
    raw.send(format!("SUB {inbox}.> 1\r\n"));
    raw.sync();
    let engine = engine_of(&mut network);
    let asks = publish("$JS.API.DIRECT.GET.KV_BIG.$KV.BIG.k", &format!("{inbox}.x"), "").repeat(100);
    let mut listener = Raw::connect(&network, &mallory);
    listener.send(format!("SUB {inbox}.x 1\r\n"));
    listener.sync();
    std::thread::spawn(move || while raw.try_send(&asks).is_ok() {});
    others_are_answered(&alice, engine);
    assert!(listener.until("Nats-Sequence: 1").is_some(), "it is answered");
}

#[test]
fn who_asks_to_be_told_all_the_time_that_nothing_came_is_refused() {
    let Keeping { mut network, alice, root } = Keeping::start("");
    root.run(&["kv", "add", "CFG"]).fine();
    alice.run(&["kv", "put", "CFG", "a", "one"]).fine();
    let mallory = network.caller("mallory.mcollective");
    let inbox = caller_inbox_prefix("mcollective", "choria=mallory.mcollective");
    let mut raw = Raw::connect(&network, &mallory);
    raw.send(format!("SUB {inbox}.> 1\r\n"));
    let create = |name: &str, config: serde_json::Value| {
        let mut config = config;
        config["name"] = json!(name);
        config["ack_policy"] = json!("none");
        let body = json!({"stream_name": "KV_CFG", "config": config}).to_string();
        publish(&format!("$JS.API.CONSUMER.CREATE.KV_CFG.{name}"), &format!("{inbox}.made"), &body)
    };
    let refused =
        |said: &str| said.matches("it makes a consumer that is one more than may be at a time").count();
    // so many are kept, whether they deliver or are asked
    let asked = json!({"inactive_threshold": 300_000_000_000_u64});
    raw.send(create("p0", asked.clone()));
    raw.until("\"p0\"").expect("the first is made");
    for number in 1..300 {
        raw.send(create(&format!("p{number}"), asked.clone()));
    }
    assert_eq!(refused(&raw.sync()), 300 - 256);
    let deliver = |number: usize| {
        let config = json!({"deliver_subject": format!("{inbox}.d"), "flow_control": true,
            "idle_heartbeat": 60_000_000_000_u64, "inactive_threshold": 300_000_000_000_u64});
        create(&format!("d{number}"), config)
    };
    for number in 0..40 {
        raw.send(deliver(number));
        // the engine takes no removal that asks for what it is not
        raw.send(format!(
            "HPUB $JS.API.CONSUMER.DELETE.KV_CFG.d{number} {inbox}.gone 44 44\r\nNATS/1.0\r\nNats-Required-Api-Level: 99999\r\n\r\n\r\n"
        ));
        raw.send(publish(
            &format!("$JS.API.CONSUMER.DELETE.KV_CFG.d{number}.x"),
            &format!("{inbox}.gone"),
            "",
        ));
    }
    assert_eq!(refused(&raw.sync()), 40 - 32);
    // what waits at the engine ends, and costs what it makes the engine say
    let next = |name: &str, body: &str| {
        publish(&format!("$JS.API.CONSUMER.MSG.NEXT.KV_CFG.{name}"), &format!("{inbox}.n"), body)
    };
    for (body, why) in [
        (r#"{"batch":1,"max_bytes":1,"expires":30000000000,"idle_heartbeat":1}"#, "idle_heartbeat"),
        (r#"{"batch":1}"#, "neither expires nor no_wait"),
        (r#"{"batch":1,"expires":3600000000000}"#, "five minutes"),
    ] {
        raw.send(next("p0", body));
        let said = raw.sync();
        assert!(said.contains("Permissions Violation") && said.contains(why), "{body}: {said}");
    }
    raw.send(next("p0", r#"{"batch":9,"expires":5000000000,"idle_heartbeat":1000000000}"#));
    raw.until("100 Idle Heartbeat").expect("it is told that nothing came");
    // what others made is theirs to remove
    raw.send(publish("$JS.API.CONSUMER.DELETE.KV_CFG.of_another", &format!("{inbox}.gone"), ""));
    assert!(raw.sync().contains("it removes a consumer that it has not made"));
    // and where others are asked the engine says nothing for it
    raw.send(publish("$KV.CFG.m", "mcollective.broadcast.agent.rpcutil", "x"));
    assert!(raw.sync().contains("Permissions Violation for Publish with Reply of"));
    network
        .broker()
        .says(&["mallory.mcollective", "it makes a consumer that is one more than may be at a time"]);
    // all that there are, by what the engine says
    raw.send(publish("$JS.API.CONSUMER.NAMES.KV_CFG", &format!("{inbox}.names"), ""));
    let said = raw.until("\"consumers\"").expect("names");
    let total =
        said.split("\"total\":").nth(1).and_then(|rest| rest.split(',').next()?.parse::<usize>().ok());
    assert!(total.is_some_and(|total| total <= 256 + 32), "{total:?}");
    assert_eq!(alice.run(&["kv", "get", "CFG", "a", "--raw"]).fine().stdout.trim(), "one");
    let memory = resident(engine_of(&mut network));
    assert!(memory < 256 << 20, "the engine has {memory} bytes");
}
