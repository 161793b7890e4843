//! Functions of names and values. Those that change one in place are not among them: here values do
//! not change.

use serde_json::{Map, Value};

use super::{Arguments, Given};
use crate::core::template::plain;

pub(super) const NAMES: [&str; 13] = [
    "dict",
    "dig",
    "get",
    "hasKey",
    "keys",
    "merge",
    "mergeOverwrite",
    "mustMerge",
    "mustMergeOverwrite",
    "omit",
    "pick",
    "pluck",
    "values",
];

pub(super) fn call(of: &Arguments<'_>) -> Given {
    if !NAMES.contains(&of.name) {
        return None;
    }
    Some(given(of))
}

fn given(of: &Arguments<'_>) -> Result<Value, String> {
    let named = |from: usize| of.all.get(from..).unwrap_or_default().iter().map(plain).collect::<Vec<_>>();
    Ok(match of.name {
        "dict" => {
            let pairs = of.all.chunks(2);
            let pair = |pair: &[Value]| (plain(&pair[0]), pair.get(1).cloned().unwrap_or_else(|| "".into()));
            pairs.map(pair).collect::<Map<_, _>>().into()
        }
        "get" => of.map(0)?.get(&of.text(1)?).cloned().unwrap_or_else(|| "".into()),
        "hasKey" => of.map(0)?.contains_key(&of.text(1)?).into(),
        "keys" => {
            let mut names: Vec<Value> = vec![];
            for at in 0..of.all.len() {
                names.extend(of.map(at)?.keys().map(|name| Value::from(name.as_str())));
            }
            names.into()
        }
        "values" => {
            let mut values = vec![];
            for at in 0..of.all.len() {
                values.extend(of.map(at)?.values().cloned());
            }
            values.into()
        }
        "pick" => {
            let names = named(1);
            let kept = of.map(0)?.iter().filter(|(name, _)| names.contains(name));
            kept.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into()
        }
        "omit" => {
            let names = named(1);
            let kept = of.map(0)?.iter().filter(|(name, _)| !names.contains(name));
            kept.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into()
        }
        "pluck" => {
            let name = of.text(0)?;
            let mut values = vec![];
            for at in 1..of.all.len() {
                values.extend(of.map(at)?.get(&name).cloned());
            }
            values.into()
        }
        "dig" => dug(of)?,
        name => {
            let mut whole = of.map(0)?.clone();
            for at in 1..of.all.len() {
                merged(&mut whole, of.map(at)?, name.ends_with("ergeOverwrite"));
            }
            whole.into()
        }
    })
}

/// `dig NAME… DEFAULT MAP`.
fn dug(of: &Arguments<'_>) -> Result<Value, String> {
    let [names @ .., default, map] = of.all else {
        return Err("dig takes names, a default and a map".to_owned());
    };
    let found = names.iter().try_fold(map, |map, name| map.get(plain(name)));
    Ok(found.unwrap_or(default).clone())
}

fn merged(into: &mut Map<String, Value>, from: &Map<String, Value>, overwrites: bool) {
    for (name, value) in from {
        match (into.get_mut(name), value) {
            (Some(Value::Object(inner)), Value::Object(value)) => merged(inner, value, overwrites),
            (Some(slot), value) if overwrites => *slot = value.clone(),
            (Some(_), _) => {}
            (None, value) => drop(into.insert(name.clone(), value.clone())),
        }
    }
}
