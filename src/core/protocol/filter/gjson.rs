//! gjson paths over JSON text.
use serde_json::Value;
/// Looks a path up.
pub fn lookup(json: &str, path: &str) -> Option<Value> {
    let result = ::gjson::get(json, path);
    if !result.exists() {
        return None;
    }
    Some(match result.kind() {
        ::gjson::Kind::String => Value::String(result.str().into()),
        ::gjson::Kind::Number => {
            serde_json::Number::from_f64(result.f64()).map_or(Value::Null, Value::Number)
        }
        ::gjson::Kind::True => Value::Bool(true),
        ::gjson::Kind::False => Value::Bool(false),
        ::gjson::Kind::Null => Value::Null,
        _ => crate::core::protocol::json::read_value(
            result.json().as_bytes(),
            crate::core::protocol::json::Numbers::Doubles,
        )
        .ok()?,
    })
}
