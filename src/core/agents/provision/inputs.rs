//! Inputs as the original types them: absent and `null` are empty.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::action_error::ActionError;

/// Texts of every action, by the name of the input.
const TEXTS: &[&str] = &[
    "token",
    "nonce",
    "cn",
    "C",
    "L",
    "O",
    "OU",
    "ST",
    "config",
    "certificate",
    "ca",
    "ssldir",
    "key",
    "ecdh_public",
    "server_jwt",
    "repository",
    "version",
];
/// Texts by name.
const MAPS: &[&str] = &["action_policies", "opa_policies"];

/// Inputs of a call, every one of its type.
pub struct Inputs(Map<String, Value>);

impl Inputs {
    /// Checks the types of all inputs there are.
    pub fn read(action: &str, data: &Map<String, Value>) -> Result<Inputs, ActionError> {
        let wrong = |problem: String| ActionError::Inputs { action: action.to_owned(), problem };
        for (name, value) in data {
            if value.is_null() {
                continue;
            }
            if TEXTS.contains(&name.as_str()) && !value.is_string() {
                return Err(wrong(format!("input {name} is {}, not a string", kind(value))));
            }
            if MAPS.contains(&name.as_str()) {
                let texts = value.as_object().is_some_and(|map| map.values().all(Value::is_string));
                if !texts {
                    return Err(wrong(format!("input {name} is not a hash of strings")));
                }
            }
            if name == "splay" && value.as_i64().is_none() {
                return Err(wrong(format!("input splay is {}, not a whole number", kind(value))));
            }
        }
        Ok(Inputs(data.clone()))
    }

    /// A text; empty when it is not there.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A number; 0 when it is not there.
    pub fn number(&self, name: &str) -> i64 {
        self.0.get(name).and_then(Value::as_i64).unwrap_or_default()
    }

    /// Texts by name; none when it is not there.
    pub fn texts(&self, name: &str) -> BTreeMap<String, String> {
        let members = self.0.get(name).and_then(Value::as_object).into_iter().flatten();
        members.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
    }

    /// What tells these inputs from others: SHA-256 of all but the token.
    pub fn digest(&self) -> [u8; 32] {
        let ordered: BTreeMap<&String, &Value> = self.0.iter().filter(|(name, _)| *name != "token").collect();
        // texts and maps of texts: nothing to fail on
        let text = serde_json::to_vec(&ordered).unwrap_or_default();
        let mut digest = [0; 32];
        digest.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &text).as_ref());
        digest
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "a hash",
    }
}
