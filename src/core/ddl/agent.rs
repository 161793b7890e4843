//! The types of a DDL, as its JSON file has them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Most bytes a DDL file may have.
pub(super) const MAX_DDL: usize = 1024 * 1024;
/// What a DDL file says it is.
const SCHEMA: &str = "https://choria.io/schemas/mcorpc/ddl/v1/agent.json";
/// Seconds a client allows an agent whose DDL names no timeout.
const DEFAULT_TIMEOUT: u64 = 10;

/// Seconds that nobody waits longer for: clocks have an end.
const LONGEST_TIMEOUT: u64 = 86_400;

fn a_day_at_most<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
    u64::deserialize(input).map(|seconds| seconds.min(LONGEST_TIMEOUT))
}

/// The interface of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentDdl {
    /// Who it is.
    pub metadata: Metadata,
    /// What it can do.
    #[serde(default)]
    pub actions: Vec<Action>,
}

/// Whether this is a name such as agents, actions, inputs and outputs have: letters, digits,
/// `_` and `-`, not at the beginning, a hundred at most.
pub fn is_plain_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    !name.is_empty() && name.len() <= 100 && !name.starts_with('-') && name.bytes().all(plain)
}

/// Who an agent is. The field order is that of inventories.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// License of its code.
    pub license: String,
    /// Who wrote it.
    pub author: String,
    /// Seconds an action may take, a day at most. 0 means "not said".
    #[serde(deserialize_with = "a_day_at_most")]
    pub timeout: u64,
    /// Its name, by which it is called.
    pub name: String,
    /// Version of its code.
    pub version: String,
    /// Where to read more.
    pub url: String,
    /// What it is for.
    pub description: String,
    /// What runs it when it is not compiled in: `external`, `ruby`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Whether one instance answers for all (service agents).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub service: bool,
    /// Ours, for external agents: the program stays up and speaks lines of JSON.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub persistent: bool,
}

impl Metadata {
    /// Seconds a client waits for an action: 10 where the DDL says nothing.
    pub fn client_timeout(&self) -> u64 {
        if self.timeout == 0 { DEFAULT_TIMEOUT } else { self.timeout }
    }
}

/// One thing an agent can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// Its name.
    pub action: String,
    /// What it takes, by name.
    #[serde(default, deserialize_with = "null_default")]
    pub input: BTreeMap<String, Input>,
    /// Ours: whether it takes inputs that are not declared, as texts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open_inputs: bool,
    /// What it gives, by name.
    #[serde(default, deserialize_with = "null_default")]
    pub output: BTreeMap<String, Output>,
    /// Which replies people want to see.
    #[serde(default, deserialize_with = "null_default")]
    pub display: Display,
    /// What it does.
    #[serde(default)]
    pub description: String,
    /// How replies are summed up.
    #[serde(default, deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub aggregate: Vec<Aggregate>,
}

/// Which replies people want to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Display {
    /// Those that worked.
    Ok,
    /// Those that did not; also what a DDL means that says nothing.
    #[default]
    Failed,
    /// All of them.
    Always,
    /// None: what the original makes of any other word.
    None,
}

impl Display {
    /// The mode of a word; unknown words show nothing.
    pub fn from_word(word: &str) -> Display {
        match word {
            "ok" => Display::Ok,
            "failed" | "" => Display::Failed,
            // Ruby's `flatten` differs in form, not in what is shown.
            "always" | "all" | "flatten" => Display::Always,
            _ => Display::None,
        }
    }

    /// Whether a reply that worked, or did not, is shown.
    pub fn shows(self, ok: bool) -> bool {
        match self {
            Display::Ok => ok,
            Display::Failed => !ok,
            Display::Always => true,
            Display::None => false,
        }
    }
}

impl<'de> Deserialize<'de> for Display {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Display, D::Error> {
        Ok(Display::from_word(&String::deserialize(deserializer)?))
    }
}

/// One input of an action.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Input {
    /// How to ask for it.
    pub prompt: String,
    /// What it is.
    pub description: String,
    /// `integer`, `float`, `number`, `string`, `boolean`, `list`, `hash` or
    /// `array`, in any case.
    #[serde(rename = "type")]
    pub kind: String,
    /// Used where the caller gives none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Whether it may be left away.
    pub optional: bool,
    /// A named check or a regular expression, for strings.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub validation: String,
    /// Most bytes of a string; 0 is no bound.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_default")]
    pub maxlength: i64,
    /// Ours: its value is for no log and no history.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
    /// The values a list allows.
    #[serde(rename = "list", skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub choices: Vec<String>,
}

/// One output of an action.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Output {
    /// What it is.
    pub description: String,
    /// Its label for people.
    pub display_as: String,
    /// Its type; absent is any.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its value where a node sends none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

/// One way replies are summed up.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Aggregate {
    /// `summary`, `boolean_summary`, `average`, `sum`, `chart`, or one that a public
    /// agent brings along; others are skipped.
    pub function: String,
    /// The output, then an object of options.
    pub args: Value,
}

/// Why a DDL cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DdlError {
    /// Larger than any interface.
    #[error("the DDL has {0} bytes, more than {MAX_DDL}")]
    TooLarge(usize),
    /// Not a DDL.
    #[error("the DDL is not valid: {0}; check it against the schema it names")]
    Invalid(String),
    /// Without a name it belongs to no agent.
    #[error("the DDL names no agent in metadata.name")]
    NoName,
}

impl AgentDdl {
    /// Reads a DDL file.
    pub fn parse(json: &[u8]) -> Result<AgentDdl, DdlError> {
        if json.len() > MAX_DDL {
            return Err(DdlError::TooLarge(json.len()));
        }
        let ddl: AgentDdl = serde_json::from_slice(json).map_err(|e| DdlError::Invalid(e.to_string()))?;
        if ddl.metadata.name.is_empty() {
            return Err(DdlError::NoName);
        }
        Ok(ddl)
    }

    /// Whether all its names are words that no shell, terminal or path reads otherwise.
    pub fn has_plain_names(&self) -> bool {
        let action = |action: &Action| {
            is_plain_name(&action.action)
                && action.input.keys().chain(action.output.keys()).all(|n| is_plain_name(n))
        };
        is_plain_name(&self.metadata.name) && self.actions.iter().all(action)
    }

    /// A DDL document, with the schema it names.
    pub fn to_value(&self) -> Value {
        let mut document = serde_json::Map::new();
        document.insert("$schema".to_owned(), SCHEMA.into());
        if let Ok(Value::Object(members)) = serde_json::to_value(self) {
            document.extend(members);
        }
        Value::Object(document)
    }

    /// The text of a DDL file.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(&self.to_value()).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The action of a name.
    pub fn action(&self, name: &str) -> Option<&Action> {
        self.actions.iter().find(|a| a.action == name)
    }

    /// Names of all actions, sorted.
    pub fn action_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.actions.iter().map(|a| a.action.as_str()).collect();
        names.sort_unstable();
        names
    }
}

impl Action {
    /// The label of an output for people: what the DDL says, or its name.
    pub fn label<'a>(&'a self, output: &'a str) -> &'a str {
        match self.output.get(output).map(|o| o.display_as.as_str()) {
            Some(label) if !label.is_empty() => label,
            _ => output,
        }
    }
}

fn is_zero(n: &i64) -> bool {
    *n == 0
}

/// Converters write `null` where they have nothing.
pub(super) fn null_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words() {
        for (name, plain) in [("get_fact", true), ("a-1", true), ("-a", false), ("", false), ("a b", false)] {
            assert_eq!(is_plain_name(name), plain, "{name}");
        }
        for name in ["`>pwned`name", "$(id)", "a\nb", "--config=/tmp/x", "*", "\u{1b}[2J", "a;b", "é"] {
            assert!(!is_plain_name(name), "{name}");
        }
    }

    #[test]
    fn nobody_is_waited_for_longer_than_a_day() {
        let timeout = |text: &str| {
            let ddl = format!(r#"{{"metadata":{{"name":"a","timeout":{text}}}}}"#);
            AgentDdl::parse(ddl.as_bytes()).map(|ddl| ddl.metadata.client_timeout())
        };
        for (text, seconds) in [("0", 10), ("20", 20), ("18446744073709551615", LONGEST_TIMEOUT)] {
            assert_eq!(timeout(text).unwrap(), seconds);
        }
        assert!(timeout("-1").is_err() && timeout("1e400").is_err());
    }
}
