//! Files, which the host reads.

use super::{Builtin, Call, MANY, plain};
use crate::evaluator::{Evaluator, Outcome, Raise};
use crate::value::{Value, brief};

pub(super) const FUNCTIONS: &[Builtin] = &[
    plain("file", 1, MANY, |ev, call| match content(ev, &call)? {
        Some(bytes) => match String::from_utf8(bytes) {
            Ok(text) => ev.text(text),
            Err(_) => Err(Raise::new(format!("{} is not UTF-8; binary_file() reads it", brief(call.get(0))))),
        },
        None => Err(missing(&call)),
    }),
    plain("find_file", 1, MANY, |ev, call| {
        for name in names(&call) {
            if let Some(path) = name.as_str().and_then(|name| ev.host.find_file(name)) {
                return ev.text(path);
            }
        }
        Ok(Value::Undef)
    }),
    plain("lookup", 1, MANY, |_, call| {
        let name = call.text(0)?;
        Err(Raise::new(format!(
            "Function lookup() did not find a value for the name '{name}': a plan has no Hiera, give it as a parameter"
        )))
    }),
];

fn names(call: &Call<'_>) -> Vec<Value> {
    let lists = call.arguments.iter().flat_map(|value| match value {
        Value::Array(names) => names.to_vec(),
        one => vec![one.clone()],
    });
    lists.collect()
}

/// The first of several files that there is.
pub(super) fn content(ev: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome<Option<Vec<u8>>> {
    for name in names(call) {
        ev.work(1)?;
        let Some(name) = name.as_str() else { return Err(call.mismatch(0, "String")) };
        if let Some(bytes) = ev.host.file(name)? {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

pub(super) fn missing(call: &Call<'_>) -> Raise {
    let names: Vec<_> = names(call).iter().take(5).map(brief).collect();
    Raise::new(format!("Could not find any files from {}", names.join(", ")))
}
