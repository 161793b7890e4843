//! JSON and YAML.

use serde_json::Value as Json;
use serde_saphyr::options;

use super::{Builtin, Call, plain};
use crate::evaluator::{Evaluator, Outcome, Raise};
use crate::value::{Text, Value, write_json};

pub(super) const FUNCTIONS: &[Builtin] = &[
    plain("parsejson", 1, 2, |ev, call| {
        parse(ev, &call, |text| serde_json::from_str(text).map_err(|e| e.to_string()))
    }),
    plain("parseyaml", 1, 2, |ev, call| parse(ev, &call, yaml)),
    plain("to_json", 1, 1, |ev, call| json(ev, &call, None)),
    plain("to_json_pretty", 1, 3, |ev, call| json(ev, &call, Some(0))),
    plain("to_yaml", 1, 2, |ev, call| {
        with_secrets(ev, &call, |ev, value| {
            // a tree and its text, before they are made
            let room = usize::try_from(value.work()).unwrap_or(usize::MAX).saturating_mul(128);
            let _held = ev.budget.charge(room)?;
            let text = serde_saphyr::to_string(&value.to_json())
                .map_err(|e| Raise::new(format!("to_yaml(): {e}")))?;
            ev.text(format!("---\n{text}"))
        })
    }),
];

/// As Ruby reads it: a number that begins with a zero is octal where it can be, and text else.
fn yaml(text: &str) -> Result<serde_json::Value, String> {
    let octal = options! { legacy_octal_numbers: true };
    let mut document =
        serde_saphyr::from_str_with_options(text, octal).map_err(|e| first_line(&e.to_string()))?;
    let options = options! { leading_zero_numbers_as_strings: true };
    if let Ok(texts) = serde_saphyr::from_str_with_options(text, options) {
        keep_zeros(&mut document, texts);
    }
    Ok(document)
}

/// Puts back what the parser takes for a float and is an integer with zeros in front, such as `08`.
fn keep_zeros(document: &mut Json, texts: Json) {
    match (document, texts) {
        (number @ Json::Number(_), Json::String(text)) if number.is_f64() => *number = Json::String(text),
        (Json::Array(items), Json::Array(texts)) => {
            items.iter_mut().zip(texts).for_each(|(item, text)| keep_zeros(item, text));
        }
        (Json::Object(entries), Json::Object(mut texts)) => {
            for (key, value) in entries {
                if let Some(text) = texts.get_mut(key) {
                    keep_zeros(value, text.take());
                }
            }
        }
        _ => {}
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn parse(
    ev: &mut Evaluator<'_>,
    call: &Call<'_>,
    parse: fn(&str) -> Result<serde_json::Value, String>,
) -> Outcome {
    let text = call.text(0)?;
    ev.work(1 + text.len() as u64 / 8)?;
    let _held = ev.budget.charge(text.len().saturating_mul(32))?;
    match parse(&text) {
        Ok(json) => ev.json(&json),
        Err(_) if call.has(1) => Ok(call.get(1).clone()),
        Err(why) => {
            let begin: String = text.chars().take(40).collect();
            Err(Raise::new(format!("{}(): unexpected token at '{begin}': {why}", call.name)))
        }
    }
}

/// What is made of the first argument. Where that has secrets the text has them, too, and is one:
/// masked, it would be taken for what it says.
fn with_secrets(
    ev: &mut Evaluator<'_>,
    call: &Call<'_>,
    make: impl FnOnce(&mut Evaluator<'_>, &Value) -> Outcome,
) -> Outcome {
    let value = call.get(0);
    ev.work(value.work().saturating_mul(2))?;
    match value.holds_secrets() {
        false => make(ev, value),
        true => {
            let revealed = value.revealed(&ev.budget)?;
            let made = make(ev, &revealed)?;
            Ok(Value::sensitive(made)?)
        }
    }
}

fn json(ev: &mut Evaluator<'_>, call: &Call<'_>, pretty: Option<usize>) -> Outcome {
    with_secrets(ev, call, |ev, value| {
        let mut writer = ev.budget.writer();
        let _ = write_json(&mut writer, value, pretty);
        if pretty.is_some() {
            // a line's end behind it, as in a file
            let _ = writer.push("\n");
        }
        Ok(Value::String(Text::written(writer)?))
    })
}
