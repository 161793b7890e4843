//! Leaving blocks and plans, and calling a block with values.

use super::{Builtin, Call, MANY, maybe_block, plain, with_block};
use crate::error::Fault;
use crate::evaluator::{Evaluator, Outcome, Raise};
use crate::value::Value;

/// Bytes of a message of `fail`, about.
const LONGEST: usize = 64 << 10;

pub(super) const FUNCTIONS: &[Builtin] = &[
    plain("next", 0, 1, |_, call| Err(Raise::Next(call.get(0).clone(), None))),
    plain("break", 0, 0, |_, _| Err(Raise::Break(None))),
    plain("return", 0, 1, |_, call| Err(Raise::Return(call.get(0).clone(), None))),
    plain("fail", 0, MANY, fail),
    with_block("with", 0, MANY, |ev, call| ev.call(&call.block()?, &call.arguments)),
    with_block("then", 1, 1, |ev, call| match call.get(0) {
        Value::Undef => Ok(Value::Undef),
        value => ev.call(&call.block()?, std::slice::from_ref(value)),
    }),
    with_block("lest", 1, 1, |ev, call| match call.get(0) {
        Value::Undef => ev.call(&call.block()?, &[]),
        value => Ok(value.clone()),
    }),
    maybe_block("call", 1, MANY, |ev, mut call| {
        let name = call.text(0)?;
        call.arguments.remove(0);
        ev.call_named(&name, call.arguments, call.block)
    }),
    plain("require", 0, MANY, catalog),
    plain("realize", 0, MANY, catalog),
    plain("include", 0, MANY, catalog),
    plain("contain", 0, MANY, catalog),
    plain("tag", 0, MANY, catalog),
    plain("import", 0, MANY, catalog),
    plain("hiera_include", 0, MANY, catalog),
    plain("create_resources", 0, MANY, catalog),
    plain("template", 0, MANY, feature),
    plain("inline_template", 0, MANY, feature),
    plain("epp", 0, MANY, feature),
    plain("inline_epp", 0, MANY, feature),
];

fn fail(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let mut message = String::new();
    for (n, value) in call.arguments.iter().enumerate() {
        let text = ev.shown(value)?;
        message.push_str(if n > 0 { " " } else { "" });
        // enough for any person
        message.extend(text.chars().take(LONGEST.saturating_sub(message.len())));
    }
    Err(Raise::fault(Fault::Failed(message)))
}

fn catalog(_: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let message = format!(
        "The catalog operation '{}' is only available when compiling a catalog, not in a plan",
        call.name
    );
    Err(Raise::new(message))
}

fn feature(_: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let what = if call.name.contains("epp") { "EPP template" } else { "ERB template" };
    Err(Raise::new(format!("The feature '{what}' is only available when compiling a catalog, not in a plan")))
}
