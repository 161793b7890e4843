//! Somebody without rights has the engine of streams say more than it was ever told.

use std::io::Read;

use choria::core::protocol::subjects::caller_inbox_prefix;
use serde_json::json;

use super::Keeping;
use crate::a_hostile_node_does_not_hurt_the_broker::resident;
use crate::brokers_are_one::engine_of;
use crate::process::until;
use crate::raw::Raw;

const VALUES: usize = 20_000;
const CONSUMERS: usize = 150;

fn publish(subject: &str, reply: &str, body: &str) -> String {
    format!("PUB {subject} {reply} {}\r\n{body}\r\n", body.len())
}

#[test]
fn who_has_them_say_too_much_is_cut_and_others_are_answered() {
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
    let hears = std::thread::spawn(move || {
        let (mut last, mut piece, mut all) = (Vec::new(), vec![0; 64 * 1024], 0);
        loop {
            match raw.stream.read(&mut piece) {
                Ok(count) if count > 0 => last.extend_from_slice(&piece[..count]),
                _ => return (all, String::from_utf8_lossy(&last).into_owned()),
            }
            // the engine is told that all of it came, so that it says more
            let (mut told, mut at) = (String::new(), 0);
            while let Some(found) = memchr::memmem::find(&last[at..], b"$JS.FC.") {
                let rest = &last[at + found..];
                let Some(end) = rest.iter().position(u8::is_ascii_whitespace) else { break };
                told.push_str(&publish(&String::from_utf8_lossy(&rest[..end]), "", ""));
                at += found + end;
            }
            raw.send(told);
            last.drain(..at);
            all += at + last.len();
            let beyond = last.len().saturating_sub(1024);
            last.drain(..beyond);
            all -= last.len();
        }
    });
    let mut asked = 0;
    while !hears.is_finished() || asked < 3 {
        assert_eq!(alice.run(&["kv", "get", "CFG", "a", "--raw"]).fine().stdout.trim(), "one");
        asked += 1;
    }
    let (all, last) = hears.join().expect("a listener");
    assert!(
        last.contains("maximum deliveries of streams exceeded"),
        "after {all} bytes it is told why: {last}"
    );
    network.broker().says(&["streams deliver more to it than it may have", "mallory.mcollective"]);
    let memory = resident(engine);
    assert!(memory < 512 << 20, "the engine has {memory} bytes");
}
