use serde_json::Value;

use super::carry::{Carried, Carrier, Dropped};
use super::transport::{Unreadable, read};
use crate::core::nats::subject::{is_literal, valid_subject};

const COLLECTIVES: [&str; 2] = ["mcollective", "uk"];

fn vectors(name: &str) -> Value {
    let path = format!("{}/tests/vectors/captured/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn requests(cluster: &str) -> Carrier {
    Carrier::requests("fed1.example.net", cluster, COLLECTIVES.map(str::to_owned).into())
}

fn replies() -> Carrier {
    Carrier::replies("fed1.example.net")
}

/// The original has ten of each worker, and this is the first of each.
fn without_numbers(message: &Value) -> String {
    let text = message.to_string();
    let number = regex::Regex::new(r"(choria_\w+):\d").unwrap();
    number.replace_all(&text, "$1:0").into_owned()
}

fn parsed(carried: &Carried) -> Value {
    serde_json::from_slice(&carried.text).unwrap()
}

#[test]
fn captured_messages_are_carried_as_the_original_does() {
    for (file, cluster, of) in [("federation-v1", "london", 2), ("federation-v2", "mcollective", 2)] {
        let vectors = vectors(file);
        let messages = vectors["messages"].as_array().unwrap();
        let mut carried = 0;
        for pair in messages.windows(2) {
            let [from, to] = pair else { unreachable!() };
            let (network, subject) = (from["network"].as_str().unwrap(), from["subject"].as_str().unwrap());
            let carrier = match (network, subject.rsplit('.').next()) {
                ("federation", Some("federation")) => requests(cluster),
                ("collective", Some("collective")) => replies(),
                _ => continue,
            };
            let urls = ["nats://127.0.0.1:14301", "nats://127.0.0.1:14302"];
            let (here, there) = if network == "federation" { (0, 1) } else { (1, 0) };
            let message = from["transport"].to_string();
            let ours = carrier.carry(message.as_bytes(), urls[here], urls[there]).unwrap();
            // key order included
            assert_eq!(
                without_numbers(&parsed(&ours)),
                without_numbers(&to["transport"]),
                "{file} {subject}"
            );
            assert_eq!(ours.targets, [to["subject"].as_str().unwrap()]);
            carried += 1;
        }
        assert_eq!(carried, 2 * of, "{file}");
    }
}

#[test]
fn edge_cases_of_the_original() {
    let vectors = vectors("federation-edge-cases");
    let cases = vectors["cases"].as_array().unwrap();
    let mut seen = 0;
    for case in cases {
        let name = case["case"].as_str().unwrap();
        let from_federation = case["sent_on"] == "federation";
        let carrier = if from_federation { requests("london") } else { replies() };
        let (there, urls) = match from_federation {
            true => ("collective_received", ["nats://127.0.0.1:14301", "nats://127.0.0.1:14302"]),
            false => ("federation_received", ["nats://127.0.0.1:14302", "nats://127.0.0.1:14301"]),
        };
        let wanted = case[there].as_array().unwrap();
        let payload = case["payload"].as_str().unwrap();
        let carried = carrier.carry(payload.as_bytes(), urls[0], urls[1]);
        seen += 1;
        // The original carries anything anywhere; see docs/compatibility.md.
        let safer = ["target outside mcollective subjects"];
        if safer.contains(&name) || name.contains("any subject") || name.contains("outside") {
            let nowhere = match &carried {
                Ok(carried) => carried.targets.is_empty(),
                Err(dropped) => matches!(dropped, Dropped::Elsewhere(_)),
            };
            assert!(nowhere && !wanted.is_empty(), "{name}: {carried:?}");
            continue;
        }
        let targets: Vec<_> = wanted.iter().map(|message| message[0].as_str().unwrap()).collect();
        match carried {
            Err(_) => assert!(targets.is_empty(), "{name}"),
            Ok(carried) => {
                assert_eq!(carried.targets, targets, "{name}");
                for message in wanted {
                    let mut theirs: Value = serde_json::from_str(message[1].as_str().unwrap()).unwrap();
                    let mut ours = parsed(&carried);
                    // Keys it does not know are lost there, and kept here.
                    let extra = ours["headers"].as_object_mut().unwrap().shift_remove("extra");
                    if let Some(Value::Object(federation)) = ours["headers"].get_mut("federation") {
                        let unknown = federation.shift_remove("unknown");
                        assert_eq!(extra.is_some(), unknown.is_some(), "{name}");
                    }
                    assert_eq!(extra.is_some(), payload.contains("extra"), "{name}");
                    theirs = serde_json::from_str(&without_numbers(&theirs)).unwrap();
                    assert_eq!(ours.to_string(), theirs.to_string(), "{name}");
                }
            }
        }
    }
    assert_eq!(seen, cases.len());
    assert!(seen > 10, "{seen}");
}

#[test]
fn messages_go_where_requests_and_answers_go() {
    let request = |target: &str| {
        let target = Value::from(target);
        let text = format!(
            r#"{{"protocol":"choria:transport:1","data":"eA==","headers":{{"reply-to":"c.reply.x","federation":{{"target":[{target}]}}}}}}"#
        );
        requests("london").carry(text.as_bytes(), "a", "b").unwrap().targets.len()
    };
    for good in [
        "mcollective.node.n1.example.net",
        "mcollective.broadcast.agent.rpcutil",
        "uk.broadcast.service.choria_registry",
    ] {
        assert_eq!(request(good), 1, "{good}");
    }
    let long = format!("mcollective.node.{}", "x".repeat(2000));
    for bad in [
        "",
        "mcollective",
        "mcollective.node.",
        "mcollective.node.>",
        "mcollective.node.*",
        "mcollective.node.a b",
        "mcollective.node.a\r\nPUB x 0",
        "mcollective.node.a..b",
        "mcollective.broadcast.agent.a.b",
        "mcollective.broadcast.agent.",
        "mcollective.broadcast.agent.*",
        "mcollective.reply.x.1",
        "mcollectives.node.n1",
        "de.node.n1",
        "choria.federation.london.federation",
        "choria.lifecycle.event.shutdown.server",
        "$SYS.REQ.SERVER.PING",
        &long,
    ] {
        assert_eq!(request(bad), 0, "{bad}");
    }
    let reply = |to: &str| {
        let to = Value::from(to);
        let text = format!(
            r#"{{"protocol":"choria:transport:1","data":"eA==","headers":{{"federation":{{"reply-to":{to}}}}}}}"#
        );
        replies().carry(text.as_bytes(), "a", "b")
    };
    assert!(reply("mcollective.reply.x.1").is_ok());
    for bad in ["reply.x", "a.b.reply.x", "a.reply.>", "a.reply.", ".reply.x", "a.node.x", "a.reply.x y"] {
        assert!(matches!(reply(bad), Err(Dropped::Elsewhere(_))), "{bad}");
    }
}

#[test]
fn what_two_peers_could_read_in_two_ways_is_not_carried() {
    let federation = r#""federation":{"target":["mcollective.node.a"]}"#;
    for twice in [
        format!(r#"{{"protocol":"choria:transport:1","headers":{{"reply-to":"c.reply.x",{federation}}},"headers":{{}}}}"#),
        format!(r#"{{"protocol":"choria:transport:1","headers":{{"reply-to":"c.reply.x",{federation},"Federation":{{}}}}}}"#),
        format!(r#"{{"protocol":"choria:transport:1","headers":{{"reply-to":"c.reply.x","REPLY-TO":"d.reply.y",{federation}}}}}"#),
        format!(r#"{{"protocol":"choria:transport:1","data":"","Data":"","headers":{{"reply-to":"c.reply.x",{federation}}}}}"#),
        r#"{"protocol":"choria:transport:1","headers":{"reply-to":"c.reply.x","federation":{"target":["mcollective.node.a"],"Target":["mcollective.node.b"]}}}"#.to_owned(),
    ] {
        assert!(matches!(read(twice.as_bytes()), Err(Unreadable::Decode(_))), "{twice}");
    }
    let many: Vec<String> = (0..1001).map(|i| format!("mcollective.node.n{i}")).collect();
    let many =
        serde_json::json!({"protocol": "choria:transport:1", "headers": {"federation": {"target": many}}});
    assert!(read(many.to_string().as_bytes()).is_err());
    let hops: Vec<_> = (0..64).map(|_| ["a", "b", "a"]).collect();
    let circle = serde_json::json!({"protocol": "choria:transport:1", "headers":
        {"reply-to": "c.reply.x", "seen-by": hops, "federation": {"target": ["mcollective.node.a"]}}});
    let circle = requests("london").carry(circle.to_string().as_bytes(), "a", "b");
    assert!(matches!(circle, Err(Dropped::Incomplete(_))));
}

#[test]
fn fuzz_what_is_carried_is_a_transport() {
    let seeds: Vec<Vec<u8>> = ["federation-v1", "federation-v2"]
        .iter()
        .flat_map(|file| vectors(file)["messages"].as_array().unwrap().clone())
        .map(|message| message["transport"].to_string().into_bytes())
        .collect();
    bolero::check!().with_type::<(u8, Vec<(u16, u8)>, Vec<u8>)>().for_each(|(seed, changes, free)| {
        let mut message = seeds[usize::from(*seed) % seeds.len()].clone();
        // the data is of no interest, and long
        message.drain(60..message.len().saturating_sub(500).max(60));
        for (at, byte) in changes {
            let at = usize::from(*at) % message.len();
            message[at] = *byte;
        }
        for message in [&message, free] {
            for carrier in [requests("london"), replies()] {
                let Ok(carried) = carrier.carry(message, "nats://a:1", "nats://b:1") else { continue };
                let again = read(&carried.text).map(|_| ());
                assert!(again.is_ok(), "{again:?}: {}", String::from_utf8_lossy(&carried.text));
                assert!(carried.targets.iter().all(|t| valid_subject(t) && is_literal(t)));
            }
        }
    });
}
