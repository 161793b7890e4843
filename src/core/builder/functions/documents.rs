//! Functions of any value, and of JSON.

use serde_json::Value;

use super::{Arguments, Given};
use crate::core::template::truth;

pub(super) const NAMES: [&str; 22] = [
    "all",
    "any",
    "coalesce",
    "deepCopy",
    "deepEqual",
    "empty",
    "fromJson",
    "kindIs",
    "kindOf",
    "mustDeepCopy",
    "mustFromJson",
    "mustToJson",
    "mustToPrettyJson",
    "mustToRawJson",
    "ternary",
    "toJson",
    "toPrettyJson",
    "toRawJson",
    "typeIs",
    "typeIsLike",
    "typeOf",
    "toYaml",
];

pub(super) fn call(of: &Arguments<'_>) -> Given {
    if !NAMES.contains(&of.name) {
        return None;
    }
    Some(given(of))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "invalid",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}

fn given(of: &Arguments<'_>) -> Result<Value, String> {
    Ok(match of.name {
        "empty" => (!truth(of.any(0)?)).into(),
        "all" => of.all.iter().all(truth).into(),
        "any" => of.all.iter().any(truth).into(),
        "coalesce" => of.all.iter().find(|value| truth(value)).cloned().unwrap_or_default(),
        "ternary" => (if truth(of.any(2)?) { of.any(0)? } else { of.any(1)? }).clone(),
        "deepEqual" => (of.any(0)? == of.any(1)?).into(),
        "deepCopy" | "mustDeepCopy" => of.any(0)?.clone(),
        "fromJson" => serde_json::from_str(&of.text(0)?).unwrap_or_default(),
        "mustFromJson" => serde_json::from_str(&of.text(0)?).map_err(|e| format!("mustFromJson: {e}"))?,
        "toPrettyJson" | "mustToPrettyJson" => escaped(&format!("{:#}", sorted(of.any(0)?))).into(),
        "toRawJson" | "mustToRawJson" => sorted(of.any(0)?).to_string().into(),
        "toYaml" => {
            serde_saphyr::to_string(of.any(0)?).map_err(|e| format!("toYaml: {e}"))?.trim_end().into()
        }
        "kindOf" | "typeOf" => kind(of.any(0)?).into(),
        "kindIs" | "typeIs" | "typeIsLike" => (of.text(0)? == kind(of.any(1)?)).into(),
        _ => escaped(&sorted(of.any(0)?).to_string()).into(),
    })
}

/// With the members of objects by their names, as the original's JSON has them.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> =
                members.iter().map(|(name, member)| (name.clone(), sorted(member))).collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(members.into_iter().collect())
        }
        other => other.clone(),
    }
}

/// Signs that pages take for their own are written by number in JSON; there they stand within texts alone.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}
