//! Inputs: from text to values, and whether values are allowed.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use super::agent::{Action, Input};
use super::validation::{Verdict, check};
use crate::core::protocol::json::{Numbers, float_text, read_value};
use crate::core::protocol::number::{parse_bool, parse_float};

/// A key Ruby clients put among the inputs; it is not one.
const PROCESS_RESULTS: &str = "process_results";

/// Why inputs are refused. The text follows "invalid input: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The action has no such input.
    #[error("input '{0}' has not been declared")]
    Undeclared(String),
    /// It must be given and is not.
    #[error("input '{0}' is required")]
    Required(String),
    /// Its value is not allowed.
    #[error("invalid value for '{name}': {reason}")]
    Invalid {
        /// The input.
        name: String,
        /// What is wrong with its value.
        reason: String,
    },
    /// Inputs are an object.
    #[error("inputs are not an object")]
    NotAnObject,
}

/// A check that could not be made: the DDL names one that only Ruby knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The input.
    pub input: String,
    /// The unknown check.
    pub validation: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "input '{}' was not checked: the validation '{}' is not known here",
            self.input, self.validation
        )
    }
}

impl Action {
    /// Turns `key=value` words into inputs: converted to their types, defaults
    /// filled in, required ones there, all of them valid.
    ///
    /// A key means the input of that name, or else of its lower-case form.
    pub fn coerce(&self, args: &[(String, String)]) -> Result<Map<String, Value>, InputError> {
        let mut data = Map::new();
        for (key, text) in args {
            let found =
                self.input.get_key_value(key).or_else(|| self.input.get_key_value(&key.to_lowercase()));
            let Some((name, input)) = found else {
                if !self.open_inputs {
                    return Err(InputError::Undeclared(key.clone()));
                }
                data.insert(key.clone(), Value::String(text.clone()));
                continue;
            };
            let value = input.convert(text);
            let value = value.map_err(|reason| InputError::Invalid { name: name.clone(), reason })?;
            data.insert(name.clone(), value);
        }
        self.input_defaults(&mut data);
        self.validate(&data)?;
        Ok(data)
    }

    /// Whether inputs may be handed to the action: every required one there,
    /// every value of its type and allowed, nothing undeclared.
    pub fn validate(&self, data: &Map<String, Value>) -> Result<Vec<Warning>, InputError> {
        let mut warnings = Vec::new();
        for (name, input) in &self.input {
            match data.get(name) {
                None if input.optional => {}
                None => return Err(InputError::Required(name.clone())),
                Some(value) => {
                    let verdict = input.allows(value);
                    let unknown =
                        verdict.map_err(|reason| InputError::Invalid { name: name.clone(), reason })?;
                    warnings.extend(unknown.map(|validation| Warning { input: name.clone(), validation }));
                }
            }
        }
        match data.keys().find(|key| *key != PROCESS_RESULTS && !self.input.contains_key(*key)) {
            Some(_) if self.open_inputs => Ok(warnings),
            Some(key) => Err(InputError::Undeclared(key.clone())),
            None => Ok(warnings),
        }
    }

    /// The same for JSON text, as external agents are handed it. `null` is no
    /// inputs.
    pub fn validate_json(&self, data: &[u8]) -> Result<Vec<Warning>, InputError> {
        match read_value(data, Numbers::Exact) {
            Ok(Value::Object(data)) => self.validate(&data),
            Ok(Value::Null) => self.validate(&Map::new()),
            _ => Err(InputError::NotAnObject),
        }
    }

    /// Fills every absent input that has a default, required or not.
    pub fn input_defaults(&self, data: &mut Map<String, Value>) {
        for (name, default) in defaults(&self.input, |input| &input.default) {
            data.entry(name.clone()).or_insert_with(|| default.clone());
        }
    }

    /// What is shown of a reply, sorted by name: its data, and the defaults of
    /// outputs that it left out.
    pub fn shown<'a>(&'a self, data: &'a Map<String, Value>) -> Vec<(&'a str, &'a Value)> {
        let absent = defaults(&self.output, |output| &output.default)
            .filter(|(name, _)| !data.contains_key(name.as_str()));
        let mut shown: Vec<_> =
            data.iter().chain(absent).map(|(name, value)| (name.as_str(), value)).collect();
        shown.sort_unstable_by_key(|(name, _)| *name);
        shown
    }
}

/// Defaults that are one: `null` is none.
fn defaults<'a, T>(
    items: &'a BTreeMap<String, T>,
    of: impl Fn(&'a T) -> &'a Option<Value>,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let defaults = items.iter().filter_map(move |(name, item)| Some((name, of(item).as_ref()?)));
    defaults.filter(|(_, default)| !default.is_null())
}

impl Input {
    /// The value a text stands for. The error is the reason, for people.
    pub fn convert(&self, text: &str) -> Result<Value, String> {
        match self.kind.to_lowercase().as_str() {
            "integer" => {
                let integer = text.parse::<i64>().ok();
                integer.map(Value::from).ok_or_else(|| format!("'{text}' is not a valid integer"))
            }
            "float" | "number" => {
                // Infinity and NaN are numbers to the original and cannot be sent.
                let number = parse_float(text).and_then(|float| {
                    let shortest = float_text(float);
                    shortest.parse::<i64>().ok().map(Number::from).or_else(|| Number::from_f64(float))
                });
                number.map(Value::Number).ok_or_else(|| format!("'{text}' is not a valid float"))
            }
            "string" | "list" => Ok(Value::String(text.into())),
            "boolean" => {
                parse_bool(text).map(Value::Bool).ok_or_else(|| format!("'{text}' is not a valid boolean"))
            }
            "hash" => match read_value(text.as_bytes(), Numbers::Exact) {
                Ok(value @ Value::Object(_)) => Ok(value),
                _ => Err(format!("'{text}' is not a valid JSON string with a hash inside")),
            },
            "array" => match read_value(text.as_bytes(), Numbers::Exact) {
                Ok(value @ Value::Array(_)) => Ok(value),
                _ => Err(format!("'{text}' is not a valid JSON string with an array inside")),
            },
            other => Err(format!("the DDL gives it the unknown type '{other}'")),
        }
    }

    /// Whether a value may be given. An unknown named check passes and is
    /// returned; the error is the reason, for people.
    pub fn allows(&self, value: &Value) -> Result<Option<String>, String> {
        let kind = self.kind.to_lowercase();
        let ok = match kind.as_str() {
            "integer" | "int" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(fits_integer),
            "float" | "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "hash" => value.is_object(),
            "array" => value.is_array(),
            "list" => return self.allows_choice(value),
            "string" => return self.allows_string(value),
            _ => return Err(format!("the DDL gives it the unknown type '{}'", self.kind)),
        };
        if ok { Ok(None) } else { Err(format!("is not of type {kind}")) }
    }

    fn allows_choice(&self, value: &Value) -> Result<Option<String>, String> {
        if value.as_str().is_some_and(|text| self.choices.iter().any(|choice| choice == text)) {
            return Ok(None);
        }
        Err(format!("should be one of {}", self.choices.join(", ")))
    }

    /// Length, then content. The original looks at neither when no length is
    /// set; the content counts here always (spec 02 §16, row 3).
    fn allows_string(&self, value: &Value) -> Result<Option<String>, String> {
        let Some(text) = value.as_str() else { return Err("is not of type string".into()) };
        if self.maxlength != 0 && i64::try_from(text.len()).is_ok_and(|length| length > self.maxlength) {
            return Err(format!("is longer than {} characters", self.maxlength));
        }
        match check(&self.validation, text) {
            Verdict::Pass => Ok(None),
            Verdict::Refuse(reason) => Err(reason),
            Verdict::Unknown => Ok(Some(self.validation.clone())),
        }
    }
}

fn fits_integer(float: f64) -> bool {
    float.fract() == 0.0 && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&float)
}
