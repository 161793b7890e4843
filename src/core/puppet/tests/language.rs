//! What the original makes of over four hundred snippets, and what we do.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::stage::Stage;
use crate::Value;

/// Where we differ, and why: (code, what we say instead, reason).
const DIFFERENT: &[(&str, &str, &str)] = &[
    (
        "choria::run_playbook('demo::bad', _catch_errors => true).choria::on_error |$e| { notice($e.message) }",
        r#""message":"boom""#,
        "the original knows methods of a set only after its type was named once",
    ),
    ("5.choria::on_success |$e| { fail('no') }", "5", "the documents call it harmless"),
    (
        "$t = Choria::TaskResults\n$r = choria::run_playbook('demo::bad', _catch_errors => true)\n\
         [$r.count, $r.ok, $r.empty, $r.error_set.empty, $r.exception =~ Undef]",
        "[0,false,true,true,false]",
        "a set that an exception left empty is not ok",
    ),
];

/// Errors in other words: (what the original says, what we say).
const OTHER_WORDS: &[(&str, &str)] = &[
    ("859: unexpected token at 'nope'", "unexpected token at 'nope'"),
    (
        "Illegal variable name, The given name 'X' does not conform to the naming rule \
         /^((::)?[a-z]\\w*)*((::)?[a-z_]\\w*)$/",
        "Illegal variable name, The given name 'X' begins neither",
    ),
    (
        "The operator '+=' is no longer supported. See http://links.puppet.com/remove-plus-equals",
        "The operator '+=' is no longer supported",
    ),
    (
        "'length' parameter 'arg' expects a value of type Collection, String, or Binary, got Choria::TaskResults",
        "'length' parameter 1 expects a value of type Collection, String, or Binary, got Choria::TaskResults",
    ),
    (
        "'size' parameter 'arg' expects a value of type Collection, String, or Binary, got Choria::TaskResults",
        "'size' parameter 1 expects a value of type Collection, String, or Binary, got Choria::TaskResults",
    ),
];

fn key(key: &Value) -> String {
    match key {
        Value::String(text) => text.to_string(),
        Value::Integer(n) => format!("(Integer) {n}"),
        Value::Default => "(Symbol) default".to_owned(),
        Value::Boolean(true) => "(TrueClass) true".to_owned(),
        Value::Boolean(false) => "(FalseClass) false".to_owned(),
        Value::Undef => "(NilClass) ".to_owned(),
        other => format!("{other:?}"),
    }
}

/// A value as the vectors write it.
fn said(value: &Value) -> Json {
    match value {
        Value::Array(items) => items.iter().map(said).collect(),
        Value::Hash(hash) => {
            Json::Object(hash.iter().map(|(name, value)| (key(name), said(value))).collect::<Map<_, _>>())
        }
        Value::Type(of) => json!({"string": of.to_string()}),
        Value::TaskResults(results) => json!({
            "__TaskResults": results.results.iter().map(Value::to_json).collect::<Json>(),
            "exception": results.exception.is_some(),
            "message": results.message.to_string(),
        }),
        other => other.to_json(),
    }
}

/// What the vectors say, without what only Ruby knows.
fn wanted(result: &Json) -> Json {
    let mut result = result.clone();
    if let Some(object) = result.as_object_mut() {
        object.remove("__type");
        if object.contains_key("__TaskResults") {
            let exception = !object["exception"].is_null();
            object.insert("exception".into(), exception.into());
            // without the words around and the place behind (spec 07 §B8)
            let message = object["message"].as_str().expect("a message").to_owned();
            let message =
                message.split(" Call, ").last().and_then(|m| m.split(" (file:").next()).map(str::to_owned);
            object.insert("message".into(), message.expect("a message").into());
        }
    }
    result
}

#[test]
fn snippets_mean_what_they_always_did() {
    let vectors = super::vectors();
    let files: BTreeMap<String, String> =
        serde_json::from_value(vectors["language_modules"].clone()).expect("modules");
    let cases = vectors["language"].as_array().expect("cases");
    assert!(cases.len() > 400, "{}", cases.len());
    let (mut wrong, mut different) = (vec![], 0);
    for case in cases {
        let code = case["code"].as_str().expect("code");
        let mut stage = Stage { files: files.clone(), ..Stage::default() };
        let result = stage.run(code);
        let shown = match &result {
            Ok(value) => said(value).to_string(),
            Err(e) => e.message(),
        };
        if let Some((_, ours, _)) = DIFFERENT.iter().find(|(known, ..)| *known == code) {
            different += 1;
            if !shown.contains(ours) {
                wrong.push(format!("{code}\n    ours {shown}\n    not  {ours}"));
            }
            continue;
        }
        let good = match (case.get("error").and_then(Json::as_str), &result) {
            (Some(error), Err(e)) => {
                let other = OTHER_WORDS.iter().find(|(theirs, _)| *theirs == error);
                e.message().contains(other.map_or(error, |(_, ours)| ours))
            }
            (None, Ok(value)) => said(value) == wanted(&case["result"]),
            _ => false,
        };
        if !good {
            let expected = case.get("error").unwrap_or(&case["result"]);
            wrong.push(format!("{code}\n    ours {shown}\n    not  {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert_eq!(different, DIFFERENT.len(), "a difference that is none goes");
}
