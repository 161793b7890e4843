//! What nobody is shown of a run: all that was ever `Sensitive` in it, whoever repeats it.

use serde_json::{Map, Value as Json};

use super::options::unwrapped;
use crate::core::puppet::Value;
use crate::core::puppet::value::Hash;
use crate::core::tasks::secrets::Secrets;

/// Secrets that are known at a time; of more the first are forgotten.
const MOST: usize = 1_000;

/// Secrets of a run so far. One is often part of a larger one, such as a password of a command, and may be repeated
/// without the rest.
#[derive(Default)]
pub(super) struct Hidden(Vec<Json>);

impl Hidden {
    /// Something is `Sensitive`, or has something in it that is.
    pub(super) fn add(&mut self, value: &Value) {
        let mut found = vec![];
        gather(value, &mut found);
        for secret in found {
            if self.0.contains(&secret) {
                continue;
            }
            if self.0.len() >= MOST {
                self.0.remove(0);
            }
            self.0.push(secret);
        }
    }

    /// What is not shown while something is done with these options: that, all that is `Sensitive` in them, and inputs
    /// of a Puppet Task that it is told are secret.
    pub(super) fn with(&self, options: &Hash) -> Secrets {
        let mut found = vec![];
        options.iter().for_each(|(_, value)| gather(value, &mut found));
        if let Some(Value::Hash(properties)) = options.at("properties").map(unwrapped) {
            let text = |name: &str| match properties.at(name).map(unwrapped) {
                Some(Value::String(text)) => text.to_string(),
                _ => String::new(),
            };
            let names: Vec<String> = serde_json::from_str(&text("sensitive")).unwrap_or_default();
            let input: Map<String, Json> = serde_json::from_str(&text("input")).unwrap_or_default();
            found.extend(names.iter().filter_map(|name| input.get(name).cloned()));
        }
        // an address is used without the slash at its end
        let bare = found.iter().filter_map(|value| Some(Json::from(value.as_str()?.trim_end_matches('/'))));
        let all: Vec<Json> = bare.collect::<Vec<_>>().into_iter().chain(found).collect();
        Secrets::of(all.iter().chain(&self.0))
    }
}

fn gather(value: &Value, found: &mut Vec<Json>) {
    match value {
        Value::Sensitive(inner) => found.extend(inner.reveal().to_data().ok()),
        Value::Array(items) => items.iter().for_each(|item| gather(item, found)),
        Value::Hash(hash) => hash.iter().for_each(|(key, value)| {
            gather(key, found);
            gather(value, found);
        }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::playbook::testing::hash;
    use crate::core::puppet::Budget;

    #[test]
    fn a_secret_within_a_larger_one_is_hidden_alone() {
        let budget = Budget::new(1 << 20);
        let text = |text: &str| Value::string(text, &budget).unwrap();
        let secret = |text: Value| Value::sensitive(text).unwrap();
        let mut hidden = Hidden::default();
        hidden.add(&Value::array(vec![text("open"), secret(text("hunter2"))], &budget).unwrap());
        hidden.add(&secret(text("echo the hunter2 word")));
        let secrets = hidden.with(&hash(serde_json::json!({"command": "x"})));
        assert_eq!(secrets.masked("an open hunter2"), "an open *****");
        assert_eq!(secrets.masked("echo the hunter2 word"), "*****");
        // so many are known
        for n in 0..MOST {
            hidden.add(&secret(text(&format!("secret number {n}"))));
        }
        assert_eq!(hidden.0.len(), MOST);
    }
}
