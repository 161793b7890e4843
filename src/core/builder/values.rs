//! Values of arguments and flags, by the types they were given.

use serde_json::Value;

use super::World;
use super::definition::{Input, Type, truth};
use crate::core::protocol::filter::InputView;

/// What is said of a value that has to be there and is not.
pub const REQUIRED: &str = "it is required";

/// The value of an input: what was given, what is the default, or nothing of its type.
///
/// # Errors
/// There is none, or it will not do; a sentence.
pub fn of(input: &Input, given: &[String], world: &dyn World) -> Result<Value, String> {
    if input.of == Type::Counter {
        let counted = given.iter().map(|text| text.parse::<u64>().unwrap_or(1)).fold(0, u64::saturating_add);
        let default = || input.default.as_ref().and_then(|text| text.parse::<u64>().ok());
        let count = if given.is_empty() { default().unwrap_or(0) } else { counted };
        return Ok(Value::from(count));
    }
    let text = match (given.last(), &input.default) {
        (Some(given), _) => given,
        (None, Some(default)) => default,
        (None, None) if input.required => return Err(REQUIRED.to_owned()),
        (None, None) => return Ok(nothing(input.of)),
    };
    let value = typed(input, text)?;
    let (kind, is_there) = match input.of {
        Type::ExistingFile => ("file", world.is_file(text)),
        Type::ExistingDir => ("directory", world.is_dir(text)),
        _ => ("", true),
    };
    if !is_there {
        return Err(format!("there is no {kind} {text}"));
    }
    if let (Some((written, expression)), false) = (&input.validate, given.is_empty()) {
        match expression.evaluate(&InputView { value: Some(text), given: &Value::Null }) {
            Ok(true) => {}
            Ok(false) => return Err(format!("'{text}' does not meet {written}")),
            Err(e) => return Err(format!("{written} says nothing of '{text}': {e}")),
        }
    }
    Ok(value)
}

/// A value that nobody gave.
fn nothing(of: Type) -> Value {
    match of {
        Type::Text | Type::ExistingFile | Type::ExistingDir => Value::from(""),
        Type::Bool => Value::from(false),
        Type::Counter | Type::Int(_) | Type::Uint(_) => Value::from(0),
        Type::Float => Value::from(0.0),
    }
}

/// A text as a value of the type of an input.
///
/// # Errors
/// It is none; a sentence.
pub fn typed(input: &Input, text: &str) -> Result<Value, String> {
    if !input.choices.is_empty() && !input.choices.iter().any(|choice| choice == text) {
        return Err(format!("'{text}' is not one of {}", input.choices.join(", ")));
    }
    let value = match input.of {
        Type::Text | Type::ExistingFile | Type::ExistingDir => Some(Value::from(text)),
        Type::Bool => truth(text).map(Value::from),
        Type::Counter => text.parse::<u64>().ok().map(Value::from),
        Type::Int(bits) => {
            let most = i64::MAX >> (64 - bits.clamp(1, 64));
            text.parse::<i64>().ok().filter(|n| (-most - 1..=most).contains(n)).map(Value::from)
        }
        Type::Uint(bits) => {
            let most = u64::MAX >> (64 - bits.clamp(1, 64));
            text.parse::<u64>().ok().filter(|n| *n <= most).map(Value::from)
        }
        Type::Float => text.parse::<f64>().ok().filter(|f| f.is_finite()).map(Value::from),
    };
    value.ok_or_else(|| format!("'{text}' is not {}", input.of.spoken()))
}
