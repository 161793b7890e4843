//! How values are written.

use serde_json::Value;

/// At the top of a template.
pub(super) fn top(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        other => plain(other),
    }
}

/// As `%v`.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => fraction(float),
            _ => number.to_string(),
        },
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(" ")),
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            let pairs: Vec<String> =
                members.iter().map(|(name, item)| format!("{name}:{}", plain(item))).collect();
            format!("map[{}]", pairs.join(" "))
        }
    }
}

/// In full; only what is very small has an exponent.
pub(super) fn fraction(float: f64) -> String {
    if float != 0.0 && float.abs() < 1e-4 {
        let text = format!("{float:e}");
        let (digits, exponent) = text.split_once("e-").unwrap_or((&text, "0"));
        return format!("{digits}e-{exponent:0>2}");
    }
    format!("{float}")
}
