//! Numbers that checks print behind a `|` (spec 06 §6.5).
//!
//! The original ends its whole server at `a=U` and leaves debris of quotes; here an item
//! that is none is passed over, quotes may hold blanks, and exponents are read.

use serde::Serialize;

/// Most items that are taken of one output.
const MOST: usize = 256;
/// Units that are kept; others are dropped.
const UNITS: [&str; 9] = ["us", "ms", "s", "%", "B", "KB", "MB", "TB", "c"];

/// One number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Item {
    /// One that checks have, such as `s` or `%`, or nothing.
    pub unit: &'static str,
    /// What it is a number of.
    pub label: Box<str>,
    /// The number.
    pub value: f64,
}

/// What an output says; the text must have exactly one `|`.
pub fn parse(output: &str) -> Vec<Item> {
    let mut parts = output.split('|');
    let (Some(_), Some(data), None) = (parts.next(), parts.next(), parts.next()) else { return vec![] };
    items(data).filter_map(item).take(MOST).collect()
}

/// Splits at blanks that no quotes hold.
fn items(data: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    data.split(move |c: char| {
        quoted ^= c == '\'';
        !quoted && matches!(c, ' ' | '\t' | '\n' | '\r')
    })
    .filter(|item| !item.is_empty())
}

fn item(text: &str) -> Option<Item> {
    let (label, value) = match text.strip_prefix('\'') {
        Some(quoted) => {
            let (label, rest) = quoted.split_once('\'')?;
            (label, rest.strip_prefix('=')?.trim_end_matches('\''))
        }
        None => text.split_once('=')?,
    };
    let value = value.split(';').next().unwrap_or_default();
    if value.contains('=') {
        return None;
    }
    let (value, unit) = number(value)?;
    // as the original: whatever else ends with it counts as seconds
    let otherwise = if unit.ends_with('s') { "s" } else { "" };
    let unit = UNITS.into_iter().find(|known| *known == unit).unwrap_or(otherwise);
    Some(Item { unit, label: label.into(), value })
}

/// The number a text begins with, and what follows.
fn number(text: &str) -> Option<(f64, &str)> {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes.iter().skip(from).take_while(|b| b.is_ascii_digit()).count();
    let mut end = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    end += digits(end);
    if bytes.get(end) == Some(&b'.') {
        end += 1 + digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
        let exponent = digits(end + 1 + sign);
        end += if exponent > 0 { 1 + sign + exponent } else { 0 };
    }
    let (number, rest) = text.split_at(end);
    // two points make no number
    if rest.starts_with('.') {
        return None;
    }
    number.parse::<f64>().ok().filter(|value| value.is_finite()).map(|value| (value, rest))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::machine::tests::vectors;

    /// Where the original crashes, or leaves debris: what is read here.
    fn ours(output: &str) -> Option<Value> {
        let item =
            |label: &str, unit: &str, value: f64| json!({"unit": unit, "label": label, "value": value});
        Some(match output {
            "OK|a=" | "OK|a=U" | "OK|a=~5" => Value::Null,
            "OK|a=1 b=U c=2" => json!([item("a", "", 1.0), item("c", "", 2.0)]),
            "OK|'quoted'=1 'two words'=2" => json!([item("quoted", "", 1.0), item("two words", "", 2.0)]),
            "OK|'a b'=3s;4;5" => json!([item("a b", "s", 3.0)]),
            "OK|a=1e5" => json!([item("a", "", 100_000.0)]),
            "OK|a=1\tb=2" => json!([item("a", "", 1.0), item("b", "", 2.0)]),
            _ => return None,
        })
    }

    #[test]
    fn captured_outputs_are_read_alike() {
        let mut seen = 0;
        for case in vectors("machine-parse-tables.json")["perfdata"].as_array().unwrap() {
            let output = case["output"].as_str().unwrap();
            let items = parse(output);
            let read = if items.is_empty() { Value::Null } else { serde_json::to_value(&items).unwrap() };
            let expected = ours(output).unwrap_or_else(|| case["perfdata"].clone());
            // The vectors write whole numbers as such.
            let plain = |value: &Value| -> Vec<(String, String, f64)> {
                let field = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
                let item = |i: &Value| (field(i, "label"), field(i, "unit"), i["value"].as_f64().unwrap());
                value.as_array().into_iter().flatten().map(item).collect()
            };
            assert_eq!(plain(&read), plain(&expected), "{output:?}");
            assert!(!case["panic"].is_string() || ours(output).is_some(), "{output:?}");
            seen += 1;
        }
        assert_eq!(seen, 36);
    }

    #[test]
    fn what_ended_the_original_does_not_end_us() {
        let crash = vectors("machine-crashes.json")["crashes"][0]["input"].as_str().unwrap().to_owned();
        let labels: Vec<Box<str>> = parse(&crash).into_iter().map(|item| item.label).collect();
        assert_eq!(labels.iter().map(|l| &**l).collect::<Vec<_>>(), ["load1", "load5", "mem", "x", "y"]);
        bolero::check!().with_iterations(5000).with_type::<String>().for_each(|text: &String| {
            let _ = parse(text);
            let _ = parse(&format!("OK|{text}"));
        });
    }
}
