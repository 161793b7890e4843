//! Going through values.

use indexmap::IndexMap;

use super::items::{Gathered, Item, Items, gathered, whole};
use super::{Builtin, Call, maybe_block, with_block};
use crate::evaluator::{Block, Evaluator, Outcome, Raise};
use crate::value::{Value, equals};

pub(super) const FUNCTIONS: &[Builtin] = &[
    with_block("each", 1, 1, each),
    with_block("map", 1, 1, map),
    with_block("filter", 1, 1, filter),
    with_block("reduce", 1, 2, reduce),
    maybe_block("any", 1, 1, |ev, call| any(ev, &call, true)),
    maybe_block("all", 1, 1, |ev, call| any(ev, &call, false)),
    maybe_block("index", 1, 2, index),
    maybe_block("slice", 2, 2, slice),
    maybe_block("reverse_each", 1, 1, reverse_each),
    maybe_block("step", 2, 2, step),
    with_block("group_by", 1, 1, group_by),
    with_block("partition", 1, 1, partition),
    maybe_block("tree_each", 1, 2, tree_each),
];

/// How many values a block is given for one item.
fn wanted(call: &Call<'_>) -> Outcome<usize> {
    let takes = call.block()?.takes();
    if takes.least > 2 {
        let got = takes.least;
        return Err(Raise::new(format!(
            "'{}' block expects between 1 and 2 arguments, got {got}",
            call.name
        )));
    }
    if takes.most == 0 {
        return Err(Raise::new(format!("'{}' block expects between 1 and 2 arguments, got none", call.name)));
    }
    // those with defaults count as asked for, `*rest` alone does not
    Ok(if takes.most >= 2 && takes.most != u64::MAX || takes.least == 2 { 2 } else { 1 })
}

fn give(ev: &mut Evaluator<'_>, block: &Block<'_>, wanted: usize, item: &Item) -> Outcome {
    match (wanted, item.pair) {
        (2, _) => ev.call(block, &[item.key.clone(), item.value.clone()]),
        (_, true) => {
            let pair = ev.list(vec![item.key.clone(), item.value.clone()])?;
            ev.call(block, &[pair])
        }
        (_, false) => ev.call(block, std::slice::from_ref(&item.value)),
    }
}

/// Goes through all; the work says whether to go on. `break` ends it.
fn go(
    ev: &mut Evaluator<'_>,
    call: &Call<'_>,
    mut work: impl FnMut(&mut Evaluator<'_>, &Item, Value) -> Outcome<bool>,
) -> Outcome<()> {
    let (block, wanted) = (call.block()?, wanted(call)?);
    let mut items = Items::of(ev, call.get(0), call.name)?;
    let mut at = 0;
    while let Some(item) = items.next(ev, at)? {
        let value = match give(ev, &block, wanted, &item) {
            Err(Raise::Break(_)) => break,
            other => other?,
        };
        if !work(ev, &item, value)? {
            break;
        }
        at += 1;
    }
    Ok(())
}

fn each(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    go(ev, &call, |_, _, _| Ok(true))?;
    Ok(call.get(0).clone())
}

fn map(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let mut all = Gathered::new();
    go(ev, &call, |ev, _, value| all.push(ev, value).map(|()| true))?;
    all.list(ev)
}

fn filter(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    if let Value::Hash(_) = call.get(0) {
        let mut entries = IndexMap::new();
        go(ev, &call, |_, item, value| {
            if value.is_true() {
                entries.insert(item.key.clone(), item.value.clone());
            }
            Ok(true)
        })?;
        return ev.map(entries);
    }
    let mut all = Gathered::new();
    go(ev, &call, |ev, item, value| {
        if value.is_true() {
            all.push(ev, item.value.clone())?;
        }
        Ok(true)
    })?;
    all.list(ev)
}

fn partition(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let (mut yes, mut no) = (Gathered::new(), Gathered::new());
    go(ev, &call, |ev, item, value| {
        let whole = match item.pair {
            true => ev.list(vec![item.key.clone(), item.value.clone()])?,
            false => item.value.clone(),
        };
        if value.is_true() {
            yes.push(ev, whole)?
        } else {
            no.push(ev, whole)?
        }
        Ok(true)
    })?;
    let (yes, no) = (yes.list(ev)?, no.list(ev)?);
    ev.list(vec![yes, no])
}

fn group_by(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let mut groups: IndexMap<Value, Gathered> = IndexMap::new();
    go(ev, &call, |ev, item, key| {
        let whole = match item.pair {
            true => ev.list(vec![item.key.clone(), item.value.clone()])?,
            false => item.value.clone(),
        };
        groups.entry(key).or_insert_with(Gathered::new).push(ev, whole)?;
        Ok(true)
    })?;
    let mut entries = IndexMap::new();
    for (key, group) in groups {
        entries.insert(key, group.list(ev)?);
    }
    ev.map(entries)
}

fn reduce(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let block = call.block()?;
    let mut items = Items::of(ev, call.get(0), call.name)?;
    let mut memo = call.has(1).then(|| call.get(1).clone());
    let mut at = 0;
    while let Some(item) = items.next(ev, at)? {
        at += 1;
        let value = match item.pair {
            true => ev.list(vec![item.key.clone(), item.value.clone()])?,
            false => item.value,
        };
        memo = Some(match memo {
            None => value,
            Some(memo) => match ev.call(&block, &[memo.clone(), value]) {
                Err(Raise::Break(_)) => return Ok(memo),
                other => other?,
            },
        });
    }
    Ok(memo.unwrap_or(Value::Undef))
}

/// `any` looks for what is true, `all` for what is not.
fn any(ev: &mut Evaluator<'_>, call: &Call<'_>, wanted: bool) -> Outcome {
    let mut found = false;
    if call.block.is_some() {
        go(ev, call, |_, _, value| {
            found |= value.is_true() == wanted;
            Ok(!found)
        })?;
    } else {
        let mut items = Items::of(ev, call.get(0), call.name)?;
        while let Some(item) = items.next(ev, 0)? {
            found |= (item.pair || item.value.is_true()) == wanted;
        }
    }
    Ok(Value::Boolean(found == wanted))
}

fn index(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let mut found = Value::Undef;
    if call.block.is_some() {
        go(ev, &call, |_, item, value| {
            if value.is_true() {
                found = item.key.clone();
            }
            Ok(!value.is_true())
        })?;
        return Ok(found);
    }
    let wanted = call.get(1);
    if let (Value::String(text), Value::String(wanted)) = (call.get(0), wanted) {
        ev.work(1 + text.len() as u64 / 16)?;
        let at = text.find(wanted.as_str()).map(|at| text[..at].chars().count());
        return Ok(at.map_or(Value::Undef, |at| Value::Integer(at as i64)));
    }
    let mut items = Items::of(ev, call.get(0), call.name)?;
    let mut at = 0;
    while let Some(item) = items.next(ev, at)? {
        ev.work(wanted.work().min(item.value.work()))?;
        if equals(&item.value, wanted) {
            return Ok(item.key);
        }
        at += 1;
    }
    Ok(Value::Undef)
}

fn slice(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let size = match usize::try_from(call.integer(1)?) {
        Ok(size) if size > 0 => size,
        _ => return Err(Raise::new("'slice' parameter 2 expects an Integer[1] value")),
    };
    let spread = match &call.block {
        None => false,
        Some(block) => match block.takes().most {
            1 => false,
            most if most == u64::MAX || most >= size as u64 => true,
            most => {
                let message = format!("'slice' block takes {most} values, which is neither 1 nor {size}");
                return Err(Raise::new(message));
            }
        },
    };
    let mut items = Items::of(ev, call.get(0), call.name)?;
    let mut slices = Gathered::new();
    loop {
        let mut slice = Gathered::new();
        while slice.values.len() < size {
            let Some(item) = items.next(ev, 0)? else { break };
            let item = whole(ev, item)?;
            slice.push(ev, item)?;
        }
        if slice.values.is_empty() {
            break;
        }
        let Some(block) = &call.block else {
            let slice = slice.list(ev)?;
            slices.push(ev, slice)?;
            continue;
        };
        let result = if spread {
            // what the last slice lacks is undef
            while (slice.values.len() as u64) < block.takes().least {
                slice.push(ev, Value::Undef)?;
            }
            ev.call(block, &slice.values)
        } else {
            let slice = slice.list(ev)?;
            ev.call(block, &[slice])
        };
        match result {
            Err(Raise::Break(_)) => break,
            other => drop(other?),
        }
    }
    match call.block {
        Some(_) => Ok(call.get(0).clone()),
        None => slices.list(ev),
    }
}

fn reverse_each(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let items = Items::of(ev, call.get(0), call.name)?;
    let mut all = gathered(ev, items)?;
    all.values.reverse();
    let Some(block) = &call.block else { return all.list(ev) };
    for value in &all.values {
        match ev.call(block, std::slice::from_ref(value)) {
            Err(Raise::Break(_)) => break,
            other => drop(other?),
        }
    }
    Ok(Value::Undef)
}

fn step(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let by = call.integer(1)?;
    if by < 1 {
        return Err(Raise::new("'step' parameter 2 expects an Integer[1] value"));
    }
    let mut items = Items::of(ev, call.get(0), call.name)?;
    let mut every = Gathered::new();
    if let Items::Integers(.., step) = &mut items {
        *step = by;
        every = gathered(ev, items)?;
    } else {
        let mut at = 0_i64;
        while let Some(item) = items.next(ev, at)? {
            if at % by == 0 {
                let item = whole(ev, item)?;
                every.push(ev, item)?;
            }
            at += 1;
        }
    }
    let Some(block) = &call.block else { return every.list(ev) };
    for value in &every.values {
        match ev.call(block, std::slice::from_ref(value)) {
            Err(Raise::Break(_)) => break,
            other => drop(other?),
        }
    }
    Ok(Value::Undef)
}

/// Everything in lists and hashes, with the way to it: those that hold others first.
fn tree_each(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let option = |name: &str, otherwise: bool| match call.get(1) {
        Value::Hash(options) => options.at(name).map_or(otherwise, Value::is_true),
        _ => otherwise,
    };
    let (containers, values, root) =
        (option("include_containers", true), option("include_values", true), option("include_root", true));
    let mut found = Gathered::new();
    let mut open: Vec<(Vec<Value>, Value)> = vec![(vec![], call.get(0).clone())];
    while let Some((path, value)) = open.pop() {
        ev.work(1 + path.len() as u64)?;
        let is_container = matches!(value, Value::Array(_) | Value::Hash(_));
        let wanted = if path.is_empty() {
            root && containers
        } else if is_container {
            containers
        } else {
            values
        };
        if wanted {
            let path = ev.list(path.clone())?;
            let pair = ev.list(vec![path, value.clone()])?;
            found.push(ev, pair)?;
        }
        let inner = |key: Value| path.iter().cloned().chain([key]).collect::<Vec<_>>();
        match &value {
            Value::Array(items) => {
                let all = items.iter().enumerate().rev();
                open.extend(all.map(|(n, item)| (inner(Value::Integer(n as i64)), item.clone())));
            }
            Value::Hash(hash) => {
                open.extend(hash.iter().rev().map(|(key, value)| (inner(key.clone()), value.clone())));
            }
            _ => {}
        }
    }
    let Some(block) = &call.block else { return found.list(ev) };
    for pair in &found.values {
        let result = match (block.takes().most, pair) {
            (2.., Value::Array(both)) => ev.call(block, both),
            _ => ev.call(block, std::slice::from_ref(pair)),
        };
        match result {
            Err(Raise::Break(_)) => break,
            other => drop(other?),
        }
    }
    Ok(call.get(0).clone())
}
