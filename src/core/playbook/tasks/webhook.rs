//! A request to a web service.

use serde_json::Value as Json;

use super::TaskType;
use crate::core::playbook::http::{Address, Question, ask, form_escaped};
use crate::core::playbook::options::Options;
use crate::core::playbook::world::{World, result};
use crate::core::puppet::host::{Outcome, Trouble};

pub(super) const TYPE: TaskType = TaskType {
    name: "webhook",
    options: &["uri", "method", "headers", "data", "verify_ssl", "ca", "timeout"],
    run,
};

/// Largest file of CAs.
const MAX_CA: u64 = 8 << 20;

/// What is sent, with the id of the request.
pub(super) fn question(options: &Options<'_>, id: &str) -> Result<Question, Trouble> {
    let mut address = Address::parse(options.required("uri")?).map_err(|e| options.wrong(e))?;
    let method = options.text("method")?.unwrap_or("POST").to_uppercase();
    let data = options.map("data")?;
    let mut headers = vec![];
    let mut body = vec![];
    match method.as_str() {
        "GET" => {
            for (name, value) in &data {
                let value = match value {
                    Json::String(text) => text.clone(),
                    other => other.to_string(),
                };
                address.target.push(if address.target.contains('?') { '&' } else { '?' });
                address.target.push_str(&format!("{}={}", form_escaped(name), form_escaped(&value)));
            }
        }
        "POST" => {
            headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
            body = Json::Object(data).to_string().into_bytes();
        }
        other => return Err(options.wrong(format!("the option 'method' is GET or POST, not '{other}'"))),
    }
    headers.push(("User-Agent".to_owned(), "Choria Playbooks http://choria.io".to_owned()));
    headers.push(("X-Choria-Request-ID".to_owned(), id.to_owned()));
    for (name, value) in options.words("headers")? {
        if hyper::header::HeaderName::try_from(name.as_str()).is_err()
            || hyper::header::HeaderValue::try_from(value.as_str()).is_err()
        {
            return Err(
                options.wrong(format!("the header '{name}' has a name or a value that cannot be sent"))
            );
        }
        // those that are given win
        headers.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
        headers.push((name, value));
    }
    finished(options, method, address, headers, body)
}

pub(super) fn finished(
    options: &Options<'_>,
    method: String,
    address: Address,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
) -> Result<Question, Trouble> {
    if !options.flag("verify_ssl", true)? {
        return Err(options.wrong(
            "whom nobody verifies nobody sends secrets: name the CA with 'ca' instead of 'verify_ssl'",
        ));
    }
    let ca = match options.text("ca")? {
        None => String::new(),
        Some(file) => {
            let bytes = crate::core::files::read_bounded(std::path::Path::new(file), MAX_CA);
            let bytes = bytes.map_err(|e| options.wrong(format!("the CA {file}: {e}")))?;
            String::from_utf8(bytes).map_err(|_| options.wrong(format!("the CA {file} is no PEM file")))?
        }
    };
    Ok(Question { method, address, headers, body, ca, limit: options.seconds("timeout", 30)? })
}

pub(super) fn send(
    world: &mut World,
    options: &Options<'_>,
    kind: &str,
    question: Question,
) -> Result<Outcome, Trouble> {
    let fail_ok = options.flag("fail_ok", false)?;
    let host = question.address.host.clone();
    let (method, id) = (question.method.clone(), request_id(&question));
    let (value, failure) = match world.wait(ask(question))? {
        Ok((status, body)) => {
            let good = matches!(status.as_u16(), 200 | 201);
            (body, (!good).then(|| format!("it answered {status}")))
        }
        Err(e) => (String::new(), Some(e)),
    };
    let message = match &failure {
        None => format!("Successfully sent {method} request to {kind} {host} with id {id}"),
        Some(why) => format!("Failed to send {method} request to {kind} {host} with id {id}: {why}"),
    };
    let error = failure.map(|_| (message.clone(), serde_json::json!({})));
    let success = error.is_none();
    let results = vec![(host, result(kind, value.into(), fail_ok, error))];
    Ok(Outcome { message, success, fail_ok, results })
}

fn request_id(question: &Question) -> String {
    let id = question.headers.iter().find(|(name, _)| name == "X-Choria-Request-ID");
    id.map(|(_, id)| id.clone()).unwrap_or_default()
}

fn run(world: &mut World, options: &Options<'_>) -> Result<Outcome, Trouble> {
    let question = question(options, &uuid::Uuid::new_v4().to_string())?;
    send(world, options, "webhook", question)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::puppet::{Budget, Value};

    #[test]
    fn requests_are_as_ever() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/tasks-playbooks.json");
        let vectors: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut seen = 0;
        for case in vectors["task_requests"].as_array().unwrap() {
            let Value::Hash(hash) = Value::from_json(&case["properties"], &Budget::new(1 << 20)).unwrap()
            else {
                panic!("{case}")
            };
            let options = Options::new("task", &hash);
            let question = match case["type"].as_str().unwrap() {
                "webhook" => question(&options, "<uuid>").unwrap(),
                "graphite_event" => super::super::graphite_event::question(&options, "<uuid>", 7).unwrap(),
                "slack" => super::super::slack::question(&options, "<caller id>", "<playbook name>").unwrap(),
                _ => continue,
            };
            seen += 1;
            let wanted = &case["request"];
            assert_eq!(question.method, wanted["method"], "{case}");
            let target = wanted["target"].as_str().unwrap();
            assert!(target.ends_with(&question.address.target), "{target} {question:?}");
            for (name, value) in wanted["headers"].as_object().into_iter().flatten() {
                let found = question.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
                let found: Vec<_> = found.map(|(_, value)| value.as_str()).collect();
                assert_eq!(found, [value.as_str().unwrap()], "{name} of {case}");
            }
            if let Some(body) = wanted["body"].as_str() {
                assert_eq!(String::from_utf8_lossy(&question.body), body);
            }
            if let Some(body) = wanted.get("body_json") {
                let mut ours: Json = serde_json::from_slice(&question.body).unwrap();
                if ours["when"] == 7 {
                    ours["when"] = "<unix seconds>".into();
                }
                assert_eq!(&ours, body);
            }
            if case["type"] != "slack" {
                assert_eq!(question.address.host, case["result_host"]);
            }
        }
        assert_eq!(seen, 4);
    }

    #[test]
    fn what_cannot_be_sent_is_refused_before() {
        for (properties, why) in [
            (serde_json::json!({}), "'uri' is missing"),
            (serde_json::json!({"uri": "https://x/", "method": "PUT"}), "is GET or POST, not 'PUT'"),
            (serde_json::json!({"uri": "https://x/", "verify_ssl": false}), "name the CA with 'ca'"),
            (serde_json::json!({"uri": "https://x/", "headers": {"a b": "c"}}), "the header 'a b'"),
            (serde_json::json!({"uri": "https://x/", "data": "text"}), "'data' has to be a Hash"),
        ] {
            let Value::Hash(hash) = Value::from_json(&properties, &Budget::new(1 << 20)).unwrap() else {
                panic!()
            };
            let e = question(&Options::new("webhook task", &hash), "id").unwrap_err().0;
            assert!(e.starts_with("webhook task: ") && e.contains(why), "{e}");
        }
    }
}
