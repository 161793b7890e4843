//! What is said to an external agent, and what it answers (spec 02 §4). Pure.

use serde_json::{Map, Value, json};

use super::go_json::syntax_error;
use crate::core::agents::{Call, Outcome};
use crate::core::ddl::Action;
use crate::core::protocol::json::{Numbers, read_value};
use crate::core::rpc::StatusCode;

/// Names a request; also what every program gets as its third argument.
pub const RPC_REQUEST: &str = "io.choria.mcorpc.external.v1.rpc_request";
/// Names the question whether the agent can work here.
pub const ACTIVATION_REQUEST: &str = "io.choria.mcorpc.external.v1.activation_request";
/// Ours: what a program that stays up is told it speaks.
pub const LINES: &str = "io.choria.mcorpc.external.v1.lines";

const SCHEMAS: &str = "https://choria.io/schemas/mcorpc/external/v1";

/// The question whether the agent can work here.
pub fn activation_request(agent: &str) -> Value {
    json!({
        "$schema": format!("{SCHEMAS}/activation_request.json"),
        "protocol": ACTIVATION_REQUEST,
        "agent": agent,
    })
}

/// What came of that question.
///
/// # Errors
/// The answer is none.
pub fn activation_reply(answer: &[u8]) -> Result<bool, String> {
    activation(&read(answer)?)
}

/// [`activation_reply`] of what has been read.
///
/// # Errors
/// The answer is none.
pub fn activation(reply: &Map<String, Value>) -> Result<bool, String> {
    match reply.get("activate") {
        Some(Value::Bool(activate)) => Ok(*activate),
        None | Some(Value::Null) => Ok(false),
        Some(_) => Err("'activate' is neither true nor false".to_owned()),
    }
}

/// A request, as the agent is handed it. Everything but `data` was verified.
pub fn rpc_request(call: &Call) -> Value {
    let mut request = call.about();
    request.insert("$schema".to_owned(), format!("{SCHEMAS}/rpc_request.json").into());
    request.insert("protocol".to_owned(), RPC_REQUEST.into());
    request.insert("data".to_owned(), Value::Object(call.data.clone()));
    Value::Object(request)
}

/// The outcome in an answer; outputs it leaves out have the defaults of the interface.
///
/// # Errors
/// The answer is none.
pub fn rpc_reply(answer: &[u8], action: &Action) -> Result<Outcome, String> {
    outcome(read(answer)?, action)
}

/// [`rpc_reply`] of what has been read.
///
/// # Errors
/// The answer is none.
pub fn outcome(reply: Map<String, Value>, action: &Action) -> Result<Outcome, String> {
    let mut outcome = Outcome { code: StatusCode::Ok, message: "OK".to_owned(), data: Map::new() };
    for (key, value) in reply {
        match (key.to_ascii_lowercase().as_str(), value) {
            (_, Value::Null) => {}
            ("statuscode", value) => {
                let code = value.as_u64().filter(|code| *code <= 255);
                let code = code.and_then(|code| i64::try_from(code).ok());
                outcome.code = code.ok_or("'statuscode' is no number from 0 to 255")?.into();
            }
            ("statusmsg", Value::String(text)) => outcome.message = text,
            ("statusmsg", _) => return Err("'statusmsg' is no text".to_owned()),
            ("data", Value::Object(data)) => outcome.data = data,
            ("data", _) => {
                // The original sends the bad value on; clients expect an object.
                let message = "Could not set reply defaults: reply data is in the wrong format";
                return Ok(Outcome::failed(StatusCode::Aborted, message));
            }
            _ => {}
        }
    }
    for (name, output) in &action.output {
        if let Some(default) = output.default.as_ref().filter(|default| !default.is_null())
            && !outcome.data.contains_key(name)
        {
            outcome.data.insert(name.clone(), default.clone());
        }
    }
    Ok(outcome)
}

/// An answer, which is an object.
pub fn read(answer: &[u8]) -> Result<Map<String, Value>, String> {
    match read_value(answer, Numbers::Exact) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err("failed to decode reply json: it is no object".to_owned()),
        Err(e) => {
            let problem = syntax_error(answer).unwrap_or_else(|| e.to_string());
            Err(format!("failed to decode reply json: {problem}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(output: Value) -> Action {
        serde_json::from_value(json!({"action": "bad", "output": output})).unwrap()
    }

    #[test]
    fn replies_may_leave_out_what_they_like() {
        let action = action(json!({"x": {"default": 7}, "y": {"default": null}, "z": {}}));
        let read = |text: &str| rpc_reply(text.as_bytes(), &action).unwrap();
        assert_eq!(read("{}"), Outcome::ok(json!({"x": 7})));
        assert_eq!(read(r#"{"data":null,"extra":[1]}"#), Outcome::ok(json!({"x": 7})));
        let failed = read(r#"{"statuscode":3,"statusmsg":"no","data":{"x":1,"other":[]}}"#);
        assert_eq!((failed.code, failed.message.as_str()), (StatusCode::MissingData, "no"));
        assert_eq!(Value::Object(failed.data), json!({"x": 1, "other": []}));
        for bad in [r#"{"statuscode":"0"}"#, r#"{"statuscode":-1}"#, r#"{"statusmsg":1}"#, "[]", "1", "x"] {
            assert!(rpc_reply(bad.as_bytes(), &action).is_err(), "{bad}");
        }
    }

    /// What the original answered where its agent answered badly; data that is no object
    /// is not sent on here.
    #[test]
    fn failures_are_the_recorded_ones() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/captured");
        let text = std::fs::read_to_string(format!("{dir}/external_agent_failures.json")).unwrap();
        let vectors: Value = serde_json::from_str(&text).unwrap();
        let mut seen = 0;
        for run in vectors["runs"].as_array().unwrap() {
            let command = run["command"].as_str().unwrap();
            let written = match command.split("how=").nth(1).and_then(|rest| rest.split(' ').next()) {
                Some("json") => "{not json",
                Some("empty") => "",
                Some("array") => r#"{"statuscode":0,"statusmsg":"OK","data":[1,2]}"#,
                Some("noise") => r#"{"data":{"x":1}}"#,
                _ => continue,
            };
            let reply = run["messages"].as_array().unwrap().last().unwrap();
            let recorded = &reply["decoded"]["body"];
            let (code, message) = match rpc_reply(written.as_bytes(), &action(json!({}))) {
                Ok(outcome) => (outcome.code.code(), outcome.message),
                Err(problem) => (1, format!("Could not call external agent demo#bad: {problem}")),
            };
            assert_eq!((&json!(code), &json!(message)), (&recorded["statuscode"], &recorded["statusmsg"]));
            seen += 1;
        }
        assert_eq!(seen, 4);
    }

    #[test]
    fn activation_is_a_plain_yes() {
        assert_eq!(activation_reply(br#"{"activate":true}"#), Ok(true));
        assert_eq!(activation_reply(br#"{"activate":false}"#), Ok(false));
        assert_eq!(activation_reply(b"{}"), Ok(false));
        for bad in ["", "yes", r#"{"activate":"true"}"#, "[true]"] {
            assert!(activation_reply(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn requests_have_the_names_of_the_schema() {
        let call = Call {
            agent: "demo".into(),
            action: "echo".into(),
            data: Map::from_iter([("msg".to_owned(), json!("hello"))]),
            request_id: "034c".into(),
            sender: "dev1.example.net".into(),
            caller: "choria=rip.mcollective".into(),
            collective: "mcollective".into(),
            ttl: 60,
            time: 1_568_281_519,
        };
        assert_eq!(
            rpc_request(&call),
            json!({
                "$schema": "https://choria.io/schemas/mcorpc/external/v1/rpc_request.json",
                "protocol": "io.choria.mcorpc.external.v1.rpc_request",
                "agent": "demo", "action": "echo", "requestid": "034c", "senderid": "dev1.example.net",
                "callerid": "choria=rip.mcollective", "collective": "mcollective", "ttl": 60,
                "msgtime": 1_568_281_519, "data": {"msg": "hello"},
            })
        );
    }
}
