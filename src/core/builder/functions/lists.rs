//! Functions of lists.

use serde_json::Value;

use super::{Arguments, Given, numbers};

pub(super) const NAMES: [&str; 34] = [
    "append",
    "chunk",
    "compact",
    "concat",
    "first",
    "has",
    "initial",
    "last",
    "list",
    "mustAppend",
    "mustChunk",
    "mustCompact",
    "mustFirst",
    "mustHas",
    "mustInitial",
    "mustLast",
    "mustPrepend",
    "mustPush",
    "mustRest",
    "mustReverse",
    "mustSlice",
    "mustUniq",
    "mustWithout",
    "prepend",
    "push",
    "rest",
    "reverse",
    "seq",
    "tuple",
    "uniq",
    "until",
    "untilStep",
    "without",
    "sortNumeric",
];

pub(super) fn call(of: &Arguments<'_>) -> Given {
    if !NAMES.contains(&of.name) {
        return None;
    }
    Some(given(of))
}

fn given(of: &Arguments<'_>) -> Result<Value, String> {
    let name = match of.name.strip_prefix("must") {
        Some(rest) => rest.to_lowercase(),
        None => of.name.to_owned(),
    };
    let with = |extra: Option<&Value>, front: bool| -> Result<Value, String> {
        let mut items = of.list(0)?.clone();
        let extra = extra.cloned().unwrap_or_default();
        if front {
            items.insert(0, extra)
        } else {
            items.push(extra)
        }
        Ok(items.into())
    };
    Ok(match name.as_str() {
        "list" | "tuple" => of.all.to_vec().into(),
        "first" => of.list(0)?.first().cloned().unwrap_or_default(),
        "last" => of.list(0)?.last().cloned().unwrap_or_default(),
        "rest" => of.list(0)?.iter().skip(1).cloned().collect(),
        "initial" => {
            let items = of.list(0)?;
            items[..items.len().saturating_sub(1)].to_vec().into()
        }
        "reverse" => of.list(0)?.iter().rev().cloned().collect(),
        "append" | "push" => with(of.all.get(1), false)?,
        "prepend" => with(of.all.get(1), true)?,
        "uniq" => {
            let mut seen: Vec<Value> = vec![];
            of.may_make(of.list(0)?.len().saturating_mul(of.list(0)?.len()) / 64)?;
            for item in of.list(0)? {
                if !seen.contains(item) {
                    seen.push(item.clone());
                }
            }
            seen.into()
        }
        "without" => {
            let unwanted = of.all.get(1..).unwrap_or_default();
            of.list(0)?.iter().filter(|item| !unwanted.contains(item)).cloned().collect()
        }
        "has" => of.list(1)?.contains(of.any(0)?).into(),
        "compact" => of.list(0)?.iter().filter(|item| crate::core::template::truth(item)).cloned().collect(),
        "concat" => {
            let mut all = vec![];
            for at in 0..of.all.len() {
                all.extend(of.list(at)?.iter().cloned());
            }
            all.into()
        }
        "slice" => {
            let items = of.list(0)?;
            let from = if of.all.len() > 1 { of.size(1)? } else { 0 };
            let to = if of.all.len() > 2 { of.size(2)? } else { items.len() };
            items.get(from..to).ok_or("slice goes beyond its list")?.to_vec().into()
        }
        "chunk" => {
            let size = of.size(0)?.max(1);
            of.list(1)?.chunks(size).map(|part| Value::from(part.to_vec())).collect()
        }
        "sortNumeric" => {
            let mut all: Vec<Value> = of.list(0)?.clone();
            all.sort_by(|a, b| numbers::float(a).total_cmp(&numbers::float(b)));
            all.into()
        }
        "until" => range(of, 0, of.whole(0)?, if of.whole(0)? < 0 { -1 } else { 1 })?,
        "untilStep" => range(of, of.whole(0)?, of.whole(1)?, of.whole(2)?)?,
        _ => {
            let (from, to, step) = match of.all.len() {
                0 => return Ok("".into()),
                1 => (1, of.whole(0)?, if of.whole(0)? < 1 { -1 } else { 1 }),
                2 => (of.whole(0)?, of.whole(1)?, if of.whole(1)? < of.whole(0)? { -1 } else { 1 }),
                _ => (of.whole(0)?, of.whole(2)?, of.whole(1)?),
            };
            // its end is one of them
            let numbers = range(of, from, to.saturating_add(step.signum()), step)?;
            let words: Vec<String> =
                numbers.as_array().into_iter().flatten().map(ToString::to_string).collect();
            words.join(" ").into()
        }
    })
}

fn range(of: &Arguments<'_>, from: i64, to: i64, step: i64) -> Result<Value, String> {
    let count = match step {
        0 => 0,
        step => (i128::from(to) - i128::from(from)).checked_div(i128::from(step)).unwrap_or(0),
    };
    of.may_make(usize::try_from(count.max(0)).unwrap_or(usize::MAX).saturating_mul(8))?;
    let mut all = vec![];
    let mut at = from;
    while step > 0 && at < to || step < 0 && at > to {
        all.push(Value::from(at));
        let Some(next) = at.checked_add(step) else { break };
        at = next;
    }
    Ok(all.into())
}
