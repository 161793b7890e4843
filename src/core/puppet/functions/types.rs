//! Questions about types and names.

use super::{Builtin, Call, MANY, maybe_block, plain};
use crate::evaluator::{Evaluator, Outcome, Raise};
use crate::types::{Kind, describe, infer};
use crate::value::Value;

pub(super) const FUNCTIONS: &[Builtin] = &[
    plain("type", 1, 2, |ev, call| {
        ev.work(call.get(0).work())?;
        Ok(Value::Type(infer(call.get(0))?))
    }),
    maybe_block("assert_type", 2, 2, assert_type),
    plain("defined", 1, MANY, defined),
    maybe_block("getvar", 1, 2, |ev, call| {
        let way = call.text(0)?;
        let (name, rest) = way.split_once('.').unwrap_or((&way, ""));
        let found = match ev.variable(name) {
            Some(value) => super::collections::along(ev, value, rest)?,
            None => Value::Undef,
        };
        Ok(match found {
            Value::Undef => call.get(1).clone(),
            found => found,
        })
    }),
];

fn assert_type(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let value = call.get(1);
    let of = match call.get(0) {
        Value::Type(of) => of.clone(),
        Value::String(text) => {
            let (of, _) = crate::types::parse(text, &mut crate::types::Aliases::default())
                .map_err(|e| Raise::new(format!("assert_type(): {e}")))?;
            of
        }
        _ => return Err(call.mismatch(0, "Type or String")),
    };
    if ev.is_instance(&of, value)? {
        return Ok(value.clone());
    }
    if let Some(block) = &call.block {
        let actual = Value::Type(infer(value)?);
        return ev.call(block, &[Value::Type(of), actual]);
    }
    Err(Raise::new(describe("assert_type():", &of, value).join("; ")))
}

/// Whether any of these is there: `$variable`, a function, a type.
fn defined(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    for value in &call.arguments {
        ev.work(1)?;
        let there = match value {
            Value::String(name) => match name.strip_prefix('$') {
                Some(name) => ev.variable(name.trim_start_matches("::")).is_some(),
                None => crate::types::plain(name).is_some() || ev.has_function(name)?,
            },
            Value::Type(of) => !matches!(of.kind(), Kind::Catalog(_)),
            _ => false,
        };
        if there {
            return Ok(Value::Boolean(true));
        }
    }
    Ok(Value::Boolean(false))
}
