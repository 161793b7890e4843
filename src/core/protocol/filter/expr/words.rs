//! What expressions can speak of beside the language itself: a node that is
//! asked whether it is meant, a reply that came back, an autonomous agent, or what
//! people type.

use super::eval::Stop;
use super::types::Type;
use super::value::{PART, Value, from_json};
use crate::core::protocol::filter::budget::Budget;
use crate::core::protocol::filter::fact::FactFilter;
use crate::core::protocol::filter::{
    DataFunction, InputView, MachineView, MatchError, NodeView, PluginView, ReplyView, gjson, input, search,
};

/// Names that are given, and what is known of them before they are looked up.
#[derive(Clone, Copy)]
pub(super) enum Words<'a> {
    /// Those of a node, its data plugins among them.
    Node(&'a [DataFunction]),
    /// Those of a reply.
    Reply,
    /// Those of an autonomous agent.
    Machine,
    /// Those of a plugin's matcher.
    Plugin,
    /// Those of what people type: about one value, or about what was given before.
    Input {
        /// One value.
        value: bool,
    },
}

/// Functions that are the same for both.
const SHARED: [&str; 2] = ["include", "semver"];
/// Functions of a reply that take nothing and say how its action ended.
const STATUS: [&str; 6] =
    ["ok", "aborted", "unknown_action", "missing_data", "invalid_data", "unknown_error"];

/// What was given before.
const GIVEN: [&str; 5] = ["Arguments", "Config", "Flags", "Input", "input"];

impl Words<'_> {
    /// Whether a name is one of them.
    pub(super) fn has(self, name: &str) -> bool {
        SHARED.contains(&name) || self.variable(name).is_some() || self.function(name).is_some()
    }

    /// The type of a variable.
    pub(super) fn variable(self, name: &str) -> Option<Type> {
        Some(match (self, name) {
            (Words::Node(_), "agents" | "classes") => Type::Strings,
            (Words::Node(_), "facts") => Type::Bytes,
            (Words::Machine, "data") => Type::Map,
            (Words::Machine, "facts") => Type::Bytes,
            (Words::Machine, "identity") => Type::Text,
            (Words::Input { value: true }, "value" | "Value") => Type::Text,
            (Words::Input { value: false }, name) if GIVEN.contains(&name) => Type::Unknown,
            (Words::Reply, "msg") => Type::Text,
            (Words::Reply, "code") => Type::Int,
            _ => return None,
        })
    }

    /// What a function takes and gives; that of `include` is not as simple.
    pub(super) fn function(self, name: &str) -> Option<(&'static [Type], Type)> {
        const NOTHING: &[Type] = &[];
        const TEXT: &[Type] = &[Type::Text];
        const TEXTS: &[Type] = &[Type::Text, Type::Text];
        Some(match (self, name) {
            (_, "semver") => (TEXTS, Type::Bool),
            (Words::Node(_), "with") => (TEXT, Type::Bool),
            (Words::Node(_), "fact") => (TEXT, Type::Unknown),
            (Words::Node(functions), name) => match functions.iter().find(|f| f.name == name)? {
                function if function.takes_argument => (TEXT, Type::Map),
                _ => (NOTHING, Type::Map),
            },
            (Words::Machine, "get_fact") => (TEXT, Type::Unknown),
            (Words::Machine, _) => return None,
            (Words::Plugin, "get_fact") => (TEXT, Type::Unknown),
            (Words::Plugin, "identity" | "has_file" | "has_directory" | "has_command") => (TEXT, Type::Bool),
            (Words::Plugin, _) => return None,
            (Words::Input { .. }, "is_regex" | "isRegex") => (TEXTS, Type::Bool),
            (Words::Input { .. }, name) => (input::function(name).map(|_| TEXT)?, Type::Bool),
            (Words::Reply, "data") => (TEXT, Type::Unknown),
            (Words::Reply, "sender") => (NOTHING, Type::Text),
            (Words::Reply, "time") => (NOTHING, Type::Time),
            (Words::Reply, name) if STATUS.contains(&name) => (NOTHING, Type::Bool),
            _ => return None,
        })
    }
}

/// The same while an expression runs.
pub(super) trait World {
    /// The value of a variable; nothing for a name that is none.
    fn variable(&self, name: &str, budget: &Budget) -> Result<Option<Value>, Stop>;

    /// All variables, in order.
    fn variables(&self) -> &'static [&'static str];

    /// What one of its functions gives.
    fn call(&self, name: &str, arguments: &[Value], budget: &Budget) -> Result<Value, Stop>;
}

/// Asking the node about itself costs so much.
const DATA: u64 = 5_000;

/// The text a function is given.
pub(super) fn text<'v>(name: &str, arguments: &'v [Value], at: usize) -> Result<&'v str, Stop> {
    match arguments.get(at) {
        Some(Value::Text(text)) => Ok(text),
        other => {
            let given = other.map_or("nothing", |value| value.type_name());
            Err(format!("{name} takes text, not {given}").into())
        }
    }
}

impl World for NodeView<'_> {
    fn variable(&self, name: &str, budget: &Budget) -> Result<Option<Value>, Stop> {
        let list = |names: &[String]| {
            let text = |name: &String| budget.make(PART + name.len()).map(|()| Value::text(name));
            names.iter().map(text).collect::<Result<_, _>>().map(Value::list)
        };
        Ok(Some(match name {
            "agents" => list(self.agents)?,
            "classes" => list(self.classes)?,
            "facts" => {
                budget.make(self.facts.as_json().len())?;
                Value::Bytes(self.facts.as_json().as_bytes().into())
            }
            _ => return Ok(None),
        }))
    }

    fn variables(&self) -> &'static [&'static str] {
        &["agents", "classes", "facts"]
    }

    fn call(&self, name: &str, arguments: &[Value], budget: &Budget) -> Result<Value, Stop> {
        match name {
            "with" => with(self, text(name, arguments, 0)?, budget),
            "fact" => {
                let found = self.facts.find(text(name, arguments, 0)?, budget)?;
                let fact = found.map(|fact| from_json(&fact, true, budget)).transpose()?;
                Ok(fact.unwrap_or(Value::Nil))
            }
            _ => match self.data.functions().iter().find(|f| f.name == name) {
                Some(function) => {
                    budget.pay(DATA)?;
                    let argument =
                        if function.takes_argument { Some(text(name, arguments, 0)?) } else { None };
                    let data = self.data.call(name, argument)?;
                    Ok(from_json(&serde_json::Value::Object(data), false, budget)?)
                }
                None => Err(format!("{name} is not a function").into()),
            },
        }
    }
}

/// A fact filter if it reads as one, or else a class, or else an agent.
/// Mistakes inside are just not true.
fn with(node: &NodeView<'_>, filter: &str, budget: &Budget) -> Result<Value, Stop> {
    budget.make(filter.len().saturating_mul(2))?;
    budget.pay(filter.len() as u64)?;
    Ok(Value::Bool(match FactFilter::parse(filter) {
        Ok(fact) => match fact.matches_within(node.facts, budget) {
            Err(MatchError::Exhausted(exhausted)) => return Err(exhausted.into()),
            other => other.unwrap_or(false),
        },
        Err(_) => node.has_class_within(filter, budget)? || node.has_agent_within(filter, budget)?,
    }))
}

impl World for ReplyView<'_> {
    fn variable(&self, name: &str, budget: &Budget) -> Result<Option<Value>, Stop> {
        Ok(Some(match name {
            "msg" => {
                budget.make(self.message.len())?;
                Value::text(self.message)
            }
            "code" => Value::Int(self.code),
            _ => return Ok(None),
        }))
    }

    fn variables(&self) -> &'static [&'static str] {
        &["msg", "code"]
    }

    fn call(&self, name: &str, arguments: &[Value], budget: &Budget) -> Result<Value, Stop> {
        if let Some(code) = STATUS.iter().position(|status| *status == name) {
            return Ok(Value::Bool(i64::try_from(code) == Ok(self.code)));
        }
        match name {
            "data" => {
                let found = gjson::find(self.data, text(name, arguments, 0)?, budget)?;
                let data = found.map(|data| from_json(&data, true, budget)).transpose()?;
                Ok(data.unwrap_or(Value::Nil))
            }
            "sender" => {
                budget.make(self.sender.len())?;
                Ok(Value::text(self.sender))
            }
            "time" => Ok(Value::Time(self.time.as_nanosecond())),
            _ => Err(format!("{name} is not a function").into()),
        }
    }
}

impl World for MachineView<'_> {
    fn variable(&self, name: &str, budget: &Budget) -> Result<Option<Value>, Stop> {
        Ok(Some(match name {
            "data" => from_json(self.data, true, budget)?,
            "facts" => {
                budget.make(self.facts.as_json().len())?;
                Value::Bytes(self.facts.as_json().as_bytes().into())
            }
            "identity" => {
                budget.make(self.identity.len())?;
                Value::text(self.identity)
            }
            _ => return Ok(None),
        }))
    }

    fn variables(&self) -> &'static [&'static str] {
        &["data", "facts", "identity"]
    }

    fn call(&self, name: &str, arguments: &[Value], budget: &Budget) -> Result<Value, Stop> {
        if name != "get_fact" {
            return Err(format!("{name} is not a function").into());
        }
        let found = self.facts.find(text(name, arguments, 0)?, budget)?;
        let fact = found.map(|fact| from_json(&fact, true, budget)).transpose()?;
        Ok(fact.unwrap_or(Value::Nil))
    }
}

impl World for InputView<'_> {
    fn variable(&self, name: &str, budget: &Budget) -> Result<Option<Value>, Stop> {
        match (name, self.value) {
            ("value" | "Value", Some(value)) => {
                budget.make(value.len())?;
                Ok(Some(Value::text(value)))
            }
            (name, None) if GIVEN.contains(&name) => {
                let member = if name == "input" { "Input" } else { name };
                let given = self.given.get(member).unwrap_or(&serde_json::Value::Null);
                Ok(Some(from_json(given, false, budget)?))
            }
            _ => Ok(None),
        }
    }

    fn variables(&self) -> &'static [&'static str] {
        if self.value.is_some() { &["Value", "value"] } else { &GIVEN }
    }

    fn call(&self, name: &str, arguments: &[Value], budget: &Budget) -> Result<Value, Stop> {
        let given = text(name, arguments, 0)?;
        budget.read(given.len().saturating_mul(4))?;
        match input::function(name) {
            Some(says) => Ok(Value::Bool(says(given))),
            None if matches!(name, "is_regex" | "isRegex") => {
                Ok(Value::Bool(input::matches(given, text(name, arguments, 1)?)?))
            }
            None => Err(format!("{name} is not a function").into()),
        }
    }
}

/// Looking at a disk costs so much.
const LOOK: u64 = 1_000;

impl World for PluginView<'_> {
    fn variable(&self, _: &str, _: &Budget) -> Result<Option<Value>, Stop> {
        Ok(None)
    }

    fn variables(&self) -> &'static [&'static str] {
        &[]
    }

    fn call(&self, name: &str, arguments: &[Value], budget: &Budget) -> Result<Value, Stop> {
        let given = text(name, arguments, 0)?;
        if name == "get_fact" {
            let found = self.facts.find(given, budget)?;
            let fact = found.map(|fact| from_json(&fact, true, budget)).transpose()?;
            return Ok(fact.unwrap_or(Value::Nil));
        }
        budget.pay(LOOK)?;
        Ok(Value::Bool(match name {
            "identity" => {
                let expression = search(given).ok_or_else(|| format!("{given} is no regular expression"))?;
                expression.is_match(self.identity)
            }
            "has_file" => self.sight.has_file(given),
            "has_directory" => self.sight.has_directory(given),
            "has_command" => self.sight.has_command(given),
            _ => return Err(format!("{name} is not a function").into()),
        }))
    }
}
