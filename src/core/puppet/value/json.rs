//! Values and JSON.

use indexmap::IndexMap;
use serde_json::{Map, Number, Value as Json};

use super::{Float, Text, Value, brief};
use crate::budget::{Budget, Exhausted};

/// JSON cannot say it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("JSON has no {0}")]
pub struct NotJson(pub String);

impl Value {
    /// A value of JSON.
    pub fn from_json(json: &Json, budget: &Budget) -> Result<Value, Exhausted> {
        Value::from_json_at(json, budget, 0)
    }

    fn from_json_at(json: &Json, budget: &Budget, depth: u16) -> Result<Value, Exhausted> {
        if depth > crate::budget::DEPTH {
            return Err(Exhausted::Depth);
        }
        let inner = |json| Value::from_json_at(json, budget, depth + 1);
        Ok(match json {
            Json::Null => Value::Undef,
            Json::Bool(b) => Value::Boolean(*b),
            Json::Number(n) => match (n.as_i64(), n.as_f64().and_then(Float::new)) {
                (Some(n), _) => Value::Integer(n),
                (None, Some(n)) => Value::Float(n),
                (None, None) => Value::string(n.to_string(), budget)?,
            },
            Json::String(text) => Value::String(Text::new(text.clone(), budget)?),
            Json::Array(items) => {
                let items = items.iter().map(inner).collect::<Result<_, _>>()?;
                Value::array(items, budget)?
            }
            Json::Object(entries) => {
                let mut map = IndexMap::with_capacity(entries.len());
                for (key, value) in entries {
                    map.insert(Value::string(key.clone(), budget)?, inner(value)?);
                }
                Value::hash(map, budget)?
            }
        })
    }

    /// As JSON says it: keys are their text, what JSON has no word for is shown as text,
    /// what is sensitive is not shown.
    pub fn to_json(&self) -> Json {
        match self {
            Value::Undef => Json::Null,
            Value::Boolean(b) => Json::Bool(*b),
            Value::Integer(n) => Json::Number((*n).into()),
            Value::Float(n) => Number::from_f64(n.get()).map_or(Json::Null, Json::Number),
            Value::String(text) => Json::String(text.to_string()),
            Value::Array(items) => Json::Array(items.iter().map(Value::to_json).collect()),
            Value::Hash(hash) => {
                let entries = hash.iter().map(|(key, value)| (key_of(key), value.to_json()));
                Json::Object(entries.collect::<Map<_, _>>())
            }
            Value::Error(error) => Json::Object(
                [
                    ("msg".to_owned(), Json::String(error.message.to_string())),
                    ("kind".to_owned(), Json::String(error.kind.to_string())),
                    ("details".to_owned(), error.details.to_json()),
                ]
                .into_iter()
                .collect(),
            ),
            Value::TaskResult(result) => {
                let entries = result.result.iter().map(|(key, value)| (key_of(key), value.to_json()));
                let inner = Json::Object(entries.collect());
                Json::Object([(result.host.to_string(), inner)].into_iter().collect())
            }
            Value::TaskResults(results) => Json::Array(results.results.iter().map(Value::to_json).collect()),
            other => Json::String(brief(other)),
        }
    }

    /// As a task or a file takes it in: nothing of it is hidden or made text that is not.
    pub fn to_data(&self) -> Result<Json, NotJson> {
        Ok(match self {
            Value::Sensitive(inner) => inner.reveal().to_data()?,
            Value::Array(items) => Json::Array(items.iter().map(Value::to_data).collect::<Result<_, _>>()?),
            Value::Hash(hash) => {
                let mut entries = Map::new();
                for (key, value) in hash.iter() {
                    let key = match key {
                        Value::String(text) => text.to_string(),
                        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => key_of(key),
                        other => return Err(NotJson(format!("key {other}"))),
                    };
                    entries.insert(key, value.to_data()?);
                }
                Json::Object(entries)
            }
            Value::Type(_) | Value::Regexp(_) | Value::Default => {
                return Err(NotJson(format!("way to say {}", brief(self))));
            }
            other => other.to_json(),
        })
    }
}

fn key_of(key: &Value) -> String {
    key.to_string()
}

/// What JSON says, written while it is charged: on one line, or with two blanks a level.
pub(crate) fn write_json(
    out: &mut dyn std::fmt::Write,
    value: &Value,
    pretty: Option<usize>,
) -> std::fmt::Result {
    let line = |out: &mut dyn std::fmt::Write, level: usize| match pretty {
        Some(_) => write!(out, "\n{:1$}", "", level * 2),
        None => Ok(()),
    };
    let level = pretty.unwrap_or(0);
    let deeper = pretty.map(|level| level + 1);
    let text = |out: &mut dyn std::fmt::Write, text: String| write!(out, "{}", Json::String(text));
    match value {
        Value::Array(items) if items.is_empty() => out.write_str("[]"),
        Value::Array(items) => {
            out.write_char('[')?;
            for (n, item) in items.iter().enumerate() {
                out.write_str(if n > 0 { "," } else { "" })?;
                line(out, level + 1)?;
                write_json(out, item, deeper)?;
            }
            line(out, level)?;
            out.write_char(']')
        }
        Value::Hash(hash) if hash.is_empty() => out.write_str("{}"),
        Value::Hash(hash) => {
            out.write_char('{')?;
            for (n, (key, value)) in hash.iter().enumerate() {
                out.write_str(if n > 0 { "," } else { "" })?;
                line(out, level + 1)?;
                text(out, key.to_string())?;
                out.write_str(if pretty.is_some() { ": " } else { ":" })?;
                write_json(out, value, deeper)?;
            }
            line(out, level)?;
            out.write_char('}')
        }
        other => write!(out, "{}", other.to_json()),
    }
}
