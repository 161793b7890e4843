use serde_json::{Value, json};

use super::*;

#[test]
fn a_request_is_read_whatever_else_a_ruby_client_puts_in() {
    let body = RequestBody::decode(
        br#"{"agent":"service","action":"restart","data":{"service":"httpd","process_results":true,"n":9007199254740993},"caller":"choria=rip.mcollective"}"#,
    )
    .unwrap();
    assert_eq!((body.agent.as_str(), body.action.as_str()), ("service", "restart"));
    assert_eq!(
        Value::Object(body.data.clone()),
        json!({"service":"httpd","process_results":true,"n":9007199254740993i64})
    );
    assert_eq!(RequestBody::decode(body.encode().as_bytes()), Ok(body));
    let empty = RequestBody::decode(br#"{"agent":"rpcutil","action":"ping"}"#).unwrap();
    assert_eq!(empty.encode(), r#"{"agent":"rpcutil","action":"ping","data":{}}"#);
}

#[test]
fn a_body_of_the_wrong_shape_is_refused() {
    for body in [
        "",
        "null",
        "[]",
        "ping",
        r#"{"agent":1}"#,
        r#"{"data":[]}"#,
        r#"{"data":"x"}"#,
        r#"{"ttl":"60"}"#,
        r#"{"time":1.5}"#,
        r#"{"agent":"a"}x"#,
    ] {
        assert!(RequestBody::decode(body.as_bytes()).is_err(), "{body}");
    }
    let deep = format!(r#"{{"data":{{"a":{}1{}}}}}"#, "[".repeat(5000), "]".repeat(5000));
    assert!(RequestBody::decode(deep.as_bytes()).is_err());
}

#[test]
fn a_reply_keeps_unknown_codes_and_tolerates_the_string_for_no_data() {
    let reply =
        ReplyBody::decode(br#"{"action":"run","statuscode":99,"statusmsg":"x","data":"{}"}"#).unwrap();
    assert_eq!(reply.statuscode, StatusCode::Other(99));
    assert!(reply.data.is_empty());
    assert_eq!(reply.encode(), r#"{"action":"run","statuscode":99,"statusmsg":"x","data":{}}"#);
    let ruby = ReplyBody::decode(br#"{"statuscode":0,"statusmsg":"OK","data":{"a":1}}"#).unwrap();
    assert_eq!((ruby.action.as_str(), ruby.statuscode.is_ok()), ("", true));
}

#[test]
fn bodies_of_recorded_replies_come_back_the_same() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/go-made-v1.json");
    let vectors: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut seen = 0;
    for case in vectors["replies"].as_array().unwrap() {
        let payload = case["expect"]["payload"].as_str().unwrap_or_default();
        if let Ok(body) = ReplyBody::decode(payload.as_bytes()) {
            assert_eq!(ReplyBody::decode(body.encode().as_bytes()).unwrap(), body);
            if payload.starts_with("{\"action\"") {
                assert_eq!(body.encode(), payload);
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn inputs_are_weighed_before_they_are_taken() {
    let body = |data: &str| format!(r#"{{"agent":"a","action":"b","data":{data}}}"#);
    let inputs = |data: &str, most| RequestBody::inputs(body(data).as_bytes(), most, |name| name != "x");
    let found = inputs(r#"{"x":[1,2,3],"y":{"z":[true,null]}}"#, 1 << 20).unwrap();
    assert_eq!(serde_json::Value::from(found.data), serde_json::json!({"y": {"z": [true, null]}}));
    assert_eq!(inputs("null", 0).unwrap(), Inputs::default());
    assert!(inputs("[]", 1 << 20).is_err() && inputs(r#"{"x":[1,}"#, 1 << 20).is_err());
    // what is not wanted costs nothing, whatever it is
    let zeros = format!("[{}0]", "0,".repeat(100_000));
    assert_eq!(inputs(&format!(r#"{{"x":{zeros}}}"#), 0).unwrap(), Inputs::default());
    let problem = inputs(&format!(r#"{{"y":{zeros}}}"#), 1 << 20).unwrap_err().to_string();
    assert!(problem.contains("more than the limit of 1048576"), "{problem}");
    let heading = RequestBody::heading(body(&zeros).as_bytes()).unwrap();
    assert_eq!((heading.agent.as_str(), heading.action.as_str()), ("a", "b"));
}

#[test]
fn outputs_are_weighed_before_they_are_taken() {
    let reply = |n: usize| {
        let zeros = format!("[{}0]", "0,".repeat(n));
        ReplyBody::decode(format!(r#"{{"statuscode":0,"data":{{"x":{zeros}}}}}"#).as_bytes())
    };
    assert_eq!(reply(100_000).unwrap().data["x"].as_array().unwrap().len(), 100_001);
    assert!(reply(500_000).unwrap_err().to_string().contains("more than the limit"));
}
