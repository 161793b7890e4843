//! What plans are for: tasks, discovery, data, locks, other plans (spec 07 §B3).

use std::sync::Arc;

use indexmap::IndexMap;

use super::{Builtin, Call, maybe_block, plain, with_block};
use crate::error::Fault;
use crate::evaluator::{Evaluator, Outcome, Raise};
use crate::results::TaskResults;
use crate::types::{Aliases, Declared, Type, mismatches, parse};
use crate::value::{Hash, Text, Value, brief};

pub(super) const FUNCTIONS: &[Builtin] = &[
    plain("choria::task", 1, 2, task),
    plain("choria::discover", 1, 2, discover),
    plain("choria::data", 2, 3, data),
    with_block("choria::lock", 2, 2, lock),
    plain("choria::run_playbook", 1, 2, run_playbook),
    plain("choria::playbook_exist", 1, 1, |ev, call| {
        let name = call.text(0)?;
        ev.plan_exists(&name).map(Value::Boolean)
    }),
    with_block("choria::on_error", 1, 1, |ev, call| {
        if let Value::TaskResults(results) = call.get(0)
            && (results.exception.is_some() || results.hosts().any(|result| result.error().is_some()))
        {
            ev.call(&call.block()?, std::slice::from_ref(call.get(0)))?;
        }
        Ok(call.get(0).clone())
    }),
    with_block("choria::on_success", 1, 1, |ev, call| {
        // what is no result is no success of a task either
        if let Value::TaskResults(results) = call.get(0)
            && results.exception.is_none()
            && results.hosts().all(|result| result.error().is_none())
        {
            ev.call(&call.block()?, std::slice::from_ref(call.get(0)))?;
        }
        Ok(call.get(0).clone())
    }),
    maybe_block("choria::in_groups_of", 2, 2, in_groups_of),
    plain("choria::sleep", 1, 1, sleep),
    // of the module that restarts machines; plans use it as theirs
    plain("reboot::sleep", 1, 1, sleep),
    plain("choria::tasks::metadata", 1, 2, |ev, call| {
        let task = call.text(0)?;
        let environment = if call.has(1) { call.text(1)? } else { Text::literal("production") };
        let metadata = ev.host.task_metadata(&task, &environment)?;
        ev.json(&metadata)
    }),
    plain("choria::tasks::validate_input", 2, 2, validate_input),
];

/// A type, if one is named, and a hash of options.
fn type_and_options(call: &Call<'_>) -> Outcome<(Text, Arc<Hash>)> {
    match call.arguments.as_slice() {
        [Value::Hash(options)] => Ok((Text::literal("mcollective"), options.clone())),
        [Value::String(kind), Value::Hash(options)] => Ok((kind.clone(), options.clone())),
        _ => Err(not_accepted(call, "(String type = 'mcollective', Hash options)")),
    }
}

fn not_accepted(call: &Call<'_>, expected: &str) -> Raise {
    let got: Vec<_> = call.arguments.iter().map(super::type_name).collect();
    Raise::new(format!(
        "The function '{}' was called with arguments it does not accept. It expects one of: {expected}; got ({})",
        call.name,
        got.join(", ")
    ))
}

fn task(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let (kind, options) = type_and_options(&call)?;
    let is = |name: &str| options.at(name).is_some_and(Value::is_true);
    let (fail_ok, caught) = (is("fail_ok"), is("_catch_errors"));
    let mut outcome = ev.host.task(&kind, &options)?;
    ev.work(1 + outcome.results.len() as u64)?;
    outcome.fail_ok = fail_ok;
    let (success, message) = (outcome.success, outcome.message.clone());
    let results = TaskResults::from_outcome(outcome, &ev.budget)?;
    match success || fail_ok || caught {
        true => Ok(Value::TaskResults(Arc::new(results))),
        false => Err(Raise::fault(Fault::Host(message))),
    }
}

fn discover(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let (kind, options) = type_and_options(&call)?;
    let nodes = ev.host.discover(&kind, &options)?;
    let mut all = vec![];
    for node in nodes {
        all.push(ev.text(node)?);
    }
    ev.list(all)
}

fn data(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    match call.arguments.as_slice() {
        [Value::String(key), Value::Hash(store)] => {
            let value = ev.host.read(key, store)?;
            ev.json(&value)
        }
        [Value::String(key), Value::String(value), Value::Hash(store)] => {
            ev.host.write(key, value, store)?;
            Ok(Value::String(value.clone()))
        }
        _ => Err(not_accepted(&call, "(String key, Hash store), (String key, String value, Hash store)")),
    }
}

fn lock(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let (key, store) = (call.text(0)?, call.hash(1)?);
    ev.host.lock(&key, &store)?;
    let result = ev.call(&call.block()?, &[]);
    let unlocked = ev.host.unlock(&key, &store);
    let value = result?;
    unlocked?;
    Ok(value)
}

fn run_playbook(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let name = call.text(0)?;
    let given = if call.has(1) { call.hash(1)? } else { Arc::new(Hash::empty()) };
    let caught = given.at("_catch_errors").is_some_and(Value::is_true);
    if !ev.plan_exists(&name)? {
        return Err(Raise::new(format!("Function choria::run_playbook(): Unknown playbook: '{name}'")));
    }
    let result = ev.run_plan(&name, given.entries());
    match result {
        Err(Raise::Error(e)) if caught && !e.is_final() && !ev.host.is_over() => {
            let message = Text::new(e.message(), &ev.budget)?;
            let results = TaskResults::new(vec![], Some(message.clone()), message, false)?;
            Ok(Value::TaskResults(Arc::new(results)))
        }
        other => other,
    }
}

fn in_groups_of(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let items = call.array(0)?;
    let size = match usize::try_from(call.integer(1)?) {
        Ok(size) if size > 0 => size,
        _ => return Err(Raise::new("'choria::in_groups_of' parameter 2 expects an Integer[1] value")),
    };
    let mut all = vec![];
    for group in items.chunks(size) {
        let group = ev.list(group.to_vec())?;
        all.push(match &call.block {
            None => group,
            Some(block) => match ev.call(block, &[group]) {
                Err(Raise::Break(_)) => break,
                other => other?,
            },
        });
    }
    ev.list(all)
}

fn sleep(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let seconds = call.integer(0)?;
    let wait = u64::try_from(seconds)
        .map_err(|_| Raise::new(format!("'{}' parameter 1 expects an Integer[0] value", call.name)))?;
    ev.host.sleep(wait)?;
    ev.work(1)?;
    Ok(Value::Integer(seconds))
}

/// Whether inputs are what the metadata of a task asks for.
fn validate_input(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let (input, metadata) = (call.hash(0)?, call.hash(1)?);
    ev.work(call.get(0).work().saturating_add(call.get(1).work()))?;
    let metadata = match metadata.at("metadata") {
        Some(Value::Hash(inner)) => inner.clone(),
        _ => metadata,
    };
    let parameters = match metadata.at("parameters") {
        Some(Value::Hash(parameters)) => parameters.clone(),
        // nothing is said about what it takes, so it takes anything
        _ => return Ok(Value::Boolean(true)),
    };
    let mut aliases = Aliases::default();
    let mut types: IndexMap<String, (Type, bool)> = IndexMap::new();
    let mut secret = std::collections::HashSet::new();
    for (name, parameter) in parameters.iter() {
        let (text, default, sensitive) = match parameter {
            Value::Hash(parameter) => {
                (parameter.at("type"), parameter.at("default"), parameter.at("sensitive"))
            }
            _ => (None, None, None),
        };
        let text = text.and_then(Value::as_str).unwrap_or("Any");
        let (of, _) = parse(text, &mut aliases)
            .map_err(|e| Raise::new(format!("parameter '{}' of the task: {e}", brief(name))))?;
        if sensitive.is_some_and(Value::is_true) {
            secret.insert(name.to_string());
        }
        types.insert(name.to_string(), (of, default.is_some()));
    }
    let mut declared: Vec<_> =
        types.iter().map(|(name, (of, optional))| Declared { name, of, optional: *optional }).collect();
    // a task is given the values themselves, whichever of them the plan or the task hides
    let mut given = IndexMap::new();
    for (key, value) in input.entries() {
        let Some(name) = key.as_str().filter(|name| !name.starts_with('_')) else { continue };
        let mut plain = value.revealed(&ev.budget)?;
        if let Some((of, _)) = types.get(name) {
            plain = plain.concealed(of, &ev.budget)?;
        }
        if value.holds_secrets() || plain.holds_secrets() {
            secret.insert(name.to_owned());
        }
        given.insert(key.clone(), plain);
    }
    let mut wrong = vec![];
    // what is wrong with a secret would show it
    declared.retain(|parameter| {
        let value = given.get(&Value::word(parameter.name)).filter(|_| secret.contains(parameter.name));
        if value.is_none_or(|value| parameter.of.takes(value)) {
            return true;
        }
        wrong.push(format!(
            "parameter '{}' expects a value of type {}; what is given, which is not shown, is none",
            parameter.name, parameter.of
        ));
        given.shift_remove(&Value::word(parameter.name));
        false
    });
    wrong.extend(mismatches(&declared, &given));
    match wrong.is_empty() {
        true => Ok(Value::Boolean(true)),
        false => Err(Raise::new(format!("Invalid input: {}", wrong.join("; ")))),
    }
}
