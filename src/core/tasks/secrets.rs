//! Secrets, such as inputs of a task, which are not shown, whoever repeats them.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde_json::{Map, Value};

use super::outcome::HIDDEN;

/// Shorter values are in any text: only what is nothing else is one.
const SHORTEST: usize = 4;
/// And lines of a value of several, of which each is shown alone.
const SHORTEST_LINE: usize = 8;

/// Their names and values.
#[derive(Default)]
pub struct Secrets {
    names: Vec<String>,
    /// Every value, and what lists and hashes are made of.
    values: Vec<Value>,
    /// What of them is found in texts, the longest first: one may be a part of another.
    texts: Vec<String>,
}

impl Secrets {
    /// Of the inputs with these names.
    pub fn new(names: Vec<String>, input: &Map<String, Value>) -> Secrets {
        Secrets::of(names.iter().filter_map(|name| input.get(name))).named(names.clone())
    }

    /// The same, by these names, too.
    fn named(self, names: Vec<String>) -> Secrets {
        Secrets { names, ..self }
    }

    /// These values, whatever their names are.
    pub fn of<'v>(given: impl Iterator<Item = &'v Value>) -> Secrets {
        let mut values = vec![];
        given.for_each(|value| gather(value, &mut values));
        let mut texts: Vec<String> =
            values.iter().flat_map(spellings).filter(|text| text.len() >= SHORTEST).collect();
        texts.sort_by_key(|text| Reverse(text.len()));
        texts.dedup();
        Secrets { names: vec![], values, texts }
    }

    /// Hides them in an object, and what stands there by the name of one.
    pub fn mask_members(&self, object: &mut Map<String, Value>) {
        let before = std::mem::take(object);
        // how many are called alike: a node may have called thousands so
        let mut alike: HashMap<String, usize> = HashMap::new();
        for (name, mut value) in before {
            match self.names.contains(&name) && !value.is_null() {
                true => value = HIDDEN.into(),
                false => self.mask(&mut value),
            }
            // names that all tasks have are no secrets
            let mut name = if name.starts_with('_') { name } else { self.masked(&name) };
            if object.contains_key(&name) {
                let count = alike.entry(name.clone()).or_insert(1);
                name = loop {
                    *count += 1;
                    let numbered = format!("{name}{count}");
                    if !object.contains_key(&numbered) {
                        break numbered;
                    }
                };
            }
            object.insert(name, value);
        }
    }

    /// Hides them in a value.
    pub fn mask(&self, value: &mut Value) {
        if self.values.contains(value) {
            *value = HIDDEN.into();
            return;
        }
        match value {
            Value::String(text) => *text = self.masked(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask(item)),
            Value::Object(members) => self.mask_members(members),
            _ => {}
        }
    }

    /// A text without them.
    pub fn masked(&self, text: &str) -> String {
        self.texts.iter().fold(text.to_owned(), |text, secret| match text.contains(secret) {
            true => text.replace(secret, HIDDEN),
            false => text,
        })
    }
}

/// A value and those within it, but for what is not worth hiding or is everywhere.
fn gather(value: &Value, values: &mut Vec<Value>) {
    match value {
        Value::Null | Value::Bool(_) => return,
        Value::String(text) if text.is_empty() => return,
        Value::Array(items) if items.is_empty() => return,
        Value::Object(members) if members.is_empty() => return,
        Value::Number(number) if number.as_u64().is_some_and(|number| number < 10) => return,
        Value::Array(items) => items.iter().for_each(|item| gather(item, values)),
        Value::Object(members) => members.values().for_each(|member| gather(member, values)),
        _ => {}
    }
    values.push(value.clone());
}

/// A secret as texts have it: itself, and as JSON has it within quotes.
fn spellings(value: &Value) -> Vec<String> {
    let json = value.to_string();
    match value {
        // a text is within quotes there
        Value::String(text) => {
            let quoted =
                |json: String| json.get(1..json.len().saturating_sub(1)).unwrap_or_default().to_owned();
            let mut spellings = vec![text.clone(), quoted(json)];
            let lines = text.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE);
            for line in lines.filter(|line| line != text) {
                spellings.extend([line.to_owned(), quoted(Value::from(line).to_string())]);
            }
            spellings.dedup();
            spellings
        }
        Value::Number(_) => vec![json],
        _ => vec![],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_kind_they_are_they_are_not_shown() {
        let input = json!({"pin": 987_654_321, "on": true, "a": "abcd", "b": "abcdefgh", "l": ["list1", 77],
                           "none": [], "empty": {}, "zero": 0, "word": "error",
                           "h": {"k": "hash1"}, "q": "say \"x\"", "free": "free"});
        let names = ["pin", "on", "a", "b", "l", "h", "q", "none", "empty", "zero", "word"];
        let names = names.map(str::to_owned).to_vec();
        let secrets = Secrets::new(names, input.as_object().unwrap());
        for (said, shown) in [
            (
                json!({"pin": 987_654_321, "on": true, "free": "free"}),
                json!({"pin": "*****", "on": "*****", "free": "free"}),
            ),
            (json!({"n": 987_654_321, "t": "the 987654321st"}), json!({"n": "*****", "t": "the *****st"})),
            (json!({"t": "abcdefgh and abcd"}), json!({"t": "***** and *****"})),
            (json!({"t": ["list1", 77, 8]}), json!({"t": ["*****", "*****", 8]})),
            (json!({"t": {"k": "a hash1", "hash1": 1}}), json!({"t": {"k": "a *****", "*****": 1}})),
            (json!({"t": "{\"q\":\"say \\\"x\\\"\"}"}), json!({"t": "{\"q\":\"*****\"}"})),
            (json!({"t": [true, "77 of 9"]}), json!({"t": [true, "77 of 9"]})),
            // what is everywhere
            (
                json!({"list": [], "count": 0, "_error": {"msg": "an error", "details": {}}}),
                json!({"list": [], "count": 0, "_error": {"msg": "an *****", "details": {}}}),
            ),
            (json!({"hash1": 1, "list1": 2}), json!({"*****": 1, "*****2": 2})),
        ] {
            let mut object = said.as_object().unwrap().clone();
            secrets.mask_members(&mut object);
            assert_eq!(Value::Object(object), shown, "{said}");
        }
    }
    /// A node may send thousands of names that are one when they are masked: each has a short one of its own.
    #[test]
    fn members_that_look_alike_are_counted() {
        let input = json!({"pw": ["aaaa", "bbbb"]});
        let secrets = Secrets::new(vec!["pw".to_owned()], input.as_object().unwrap());
        let spelled = |n: usize| -> String {
            (0..12).map(|bit| if n >> bit & 1 == 0 { "aaaa" } else { "bbbb" }).collect()
        };
        let mut object: Map<String, Value> = (0..4096).map(|n| (spelled(n), n.into())).collect();
        object.insert(format!("{}7", HIDDEN.repeat(12)), "there".into());
        secrets.mask_members(&mut object);
        assert_eq!(object.len(), 4097);
        assert!(object.values().any(|value| value == "there"));
        let longest = object.keys().map(String::len).max();
        assert!(longest <= Some(HIDDEN.len() * 12 + 5), "{longest:?}");
    }
}
