//! JSON and YAML.

use super::{Builtin, Call, plain};
use crate::evaluator::{Evaluator, Outcome, Raise};
use crate::value::{Text, Value, write_json};

pub(super) const FUNCTIONS: &[Builtin] = &[
    plain("parsejson", 1, 2, |ev, call| {
        parse(ev, &call, |text| serde_json::from_str(text).map_err(|e| e.to_string()))
    }),
    plain("parseyaml", 1, 2, |ev, call| {
        parse(ev, &call, |text| serde_saphyr::from_str(text).map_err(|e| first_line(&e.to_string())))
    }),
    plain("to_json", 1, 1, |ev, call| json(ev, &call, None)),
    plain("to_json_pretty", 1, 3, |ev, call| json(ev, &call, Some(0))),
    plain("to_yaml", 1, 2, |ev, call| {
        ev.work(call.get(0).work())?;
        // a tree and its text, before they are made
        let room = usize::try_from(call.get(0).work()).unwrap_or(usize::MAX).saturating_mul(128);
        let _held = ev.budget.charge(room)?;
        let text = serde_saphyr::to_string(&call.get(0).to_json())
            .map_err(|e| Raise::new(format!("to_yaml(): {e}")))?;
        ev.text(format!("---\n{text}"))
    }),
];

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
    let _held = ev.budget.charge(text.len().saturating_mul(16))?;
    match parse(&text) {
        Ok(json) => ev.json(&json),
        Err(_) if call.has(1) => Ok(call.get(1).clone()),
        Err(why) => {
            let begin: String = text.chars().take(40).collect();
            Err(Raise::new(format!("{}(): unexpected token at '{begin}': {why}", call.name)))
        }
    }
}

fn json(ev: &mut Evaluator<'_>, call: &Call<'_>, pretty: Option<usize>) -> Outcome {
    ev.work(call.get(0).work())?;
    let mut writer = ev.budget.writer();
    let _ = write_json(&mut writer, call.get(0), pretty);
    if pretty.is_some() {
        // a line's end behind it, as in a file
        let _ = writer.push("\n");
    }
    Ok(Value::String(Text::written(writer)?))
}
