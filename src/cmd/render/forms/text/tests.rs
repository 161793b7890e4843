use serde_json::{Map, json};

use choria::core::ddl::{AgentDdl, builtin};
use choria::core::protocol::v1::{Reply, ReplyEnvelope};
use choria::core::rpc::ReplyBody;

use super::*;

fn reply(code: StatusCode, message: &str, data: Value) -> RpcReply {
    let data = data.as_object().cloned().unwrap_or_else(Map::new);
    let body = ReplyBody { action: "get_fact".into(), statuscode: code, statusmsg: message.into(), data };
    let envelope = ReplyEnvelope {
        requestid: "".into(),
        senderid: "n1.example.net".into(),
        agent: "rpcutil".into(),
        time: 0,
    };
    let protocol = Reply { message: body.encode().into(), envelope };
    RpcReply::new(Default::default(), &protocol)
}

fn action() -> &'static Action {
    builtin("rpcutil").unwrap().action("get_fact").unwrap()
}

const STYLE: Style = Style { display: Display::Always, verbose: false, colour: false };

#[test]
fn outputs_are_labelled_and_aligned() {
    let reply = reply(StatusCode::Ok, "OK", json!({"fact": "os", "value": {"name": "Debian", "v": [1]}}));
    assert_eq!(
        block(&reply, action(), STYLE).unwrap(),
        "n1.example.net\n\n    Fact: os\n   Value: {\n            \"name\": \"Debian\",\n            \"v\": [\n              1\n            ]\n          }\n\n"
    );
}

#[test]
fn what_is_not_there_is_not_empty() {
    let shown =
        |value| block(&reply(StatusCode::Ok, "OK", json!({"fact": "x", "value": value})), action(), STYLE);
    assert!(shown(json!(null)).unwrap().contains("   Value: (none)\n"));
    assert!(shown(json!("")).unwrap().contains("   Value:\n"));
}

#[test]
fn a_failure_says_why_in_every_mode() {
    let reply = reply(StatusCode::Aborted, "it broke\u{1b}[2J", json!({}));
    for verbose in [false, true] {
        let text = block(&reply, action(), Style { verbose, ..STYLE }).unwrap();
        assert!(text.contains("Request Aborted") && text.contains("    it broke\u{fffd}[2J"), "{text}");
    }
}

#[test]
fn the_display_mode_hides_replies() {
    let good = reply(StatusCode::Ok, "OK", json!({}));
    let bad = reply(StatusCode::Aborted, "no", json!({}));
    let shown = |display, reply| block(reply, action(), Style { display, ..STYLE }).is_some();
    assert!(!shown(Display::Failed, &good) && shown(Display::Failed, &bad));
    assert!(shown(Display::Ok, &good) && !shown(Display::Ok, &bad));
}

/// What the original printed of recorded replies, block by block and sum by sum.
#[test]
fn recorded_replies_read_as_recorded() {
    let recorded = |file: &str| -> Value {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/captured");
        serde_json::from_str(&std::fs::read_to_string(format!("{dir}/{file}.json")).unwrap()).unwrap()
    };
    let registry = recorded("service_registry");
    let ddl = registry["runs"][3]["messages"][1]["decoded"]["body"]["data"]["ddl"].as_str().unwrap();
    let ddl = AgentDdl::parse(ddl.as_bytes()).unwrap();
    let mut seen = 0;
    for run in recorded("aggregates")["runs"].as_array().unwrap() {
        let command = run["command"].as_str().unwrap();
        let words: Vec<&str> = command.split(' ').collect();
        let [_, _, "demo", name, rest @ ..] = words.as_slice() else { continue };
        if rest.iter().any(|word| ["-j", "--table", "--senders", "-v"].contains(word)) {
            continue;
        }
        let action = ddl.action(name).unwrap();
        let mut sums = action.aggregator();
        let mut shown;
        let bodies = run["messages"].as_array().unwrap().iter().map(|message| &message["decoded"]);
        for message in bodies.filter(|message| !message["body"]["statuscode"].is_null()) {
            let body = &message["body"];
            let code = StatusCode::from(body["statuscode"].as_i64().unwrap());
            let sender = message["message"]["envelope"]["senderid"].as_str().unwrap();
            let mut reply = reply(code, body["statusmsg"].as_str().unwrap(), body["data"].clone());
            reply.sender = sender.to_owned();
            sums.add(&reply.body.data);
            let style = Style { display: action.display, ..STYLE };
            shown = block(&reply, action, style).unwrap_or_default();
            let ours: Vec<&str> = shown.lines().skip(1).collect();
            let stdout = run["stdout"].as_str().unwrap();
            assert!(stdout.contains(&ours.join("\n")), "{command}:\n{shown}");
        }
        let sums = summaries(action, &sums.summaries(Spelling::Today));
        let stdout = run["stdout"].as_str().unwrap();
        match stdout.find("Summary of").filter(|_| !sums.is_empty()) {
            Some(at) => assert!(stdout[at..].starts_with(&sums), "{command}:\n{sums}"),
            None => assert_eq!(sums, "", "{command}"),
        }
        seen += 1;
    }
    assert!(seen >= 6, "{seen}");
}
