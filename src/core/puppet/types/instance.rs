//! Whether a value is of a type.

use super::{Count, Kind, Member, Type};
use crate::value::{List, Value};

/// Steps of one match, and the names it is inside of.
#[derive(Debug)]
pub(crate) struct Matching {
    left: u64,
    /// (name, value): the same pair inside of itself leads nowhere.
    inside: Vec<(usize, usize)>,
    /// Whether steps ran out; the answer means nothing then.
    pub(crate) exhausted: bool,
}

/// Steps of a match.
const STEPS: u64 = 2_000_000;

/// Names inside of names.
const INSIDE: usize = 400;

impl Matching {
    pub(crate) fn new() -> Matching {
        Matching { left: STEPS, inside: vec![], exhausted: false }
    }

    pub(super) fn step(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        self.exhausted |= self.left == 0;
        !self.exhausted
    }

    /// Steps that were taken.
    pub(crate) fn taken(&self) -> u64 {
        STEPS - self.left
    }

    /// Goes into a name with a value; false when it is inside of that pair.
    pub(super) fn within(&mut self, pair: (usize, usize), work: impl FnOnce(&mut Matching) -> bool) -> bool {
        if self.inside.contains(&pair) {
            return false;
        }
        if self.inside.len() >= INSIDE {
            self.exhausted = true;
            return false;
        }
        self.inside.push(pair);
        let result = work(self);
        self.inside.pop();
        result
    }
}

/// Whether a value is of a type. Recursion is bounded by the depth of both and by [`INSIDE`].
pub(crate) fn instance(of: &Type, value: &Value, matching: &mut Matching) -> bool {
    if !matching.step() {
        return false;
    }
    match (of.kind(), value) {
        (Kind::Any, _) => true,
        (Kind::Alias(alias), value) => {
            let Some(target) = alias.target() else { return false };
            let pair = (alias.key(), std::ptr::from_ref(value).addr());
            matching.within(pair, |matching| instance(&target, value, matching))
        }
        (Kind::Variant(types), value) => types.iter().any(|of| instance(of, value, matching)),
        (Kind::Optional(of), value) => *value == Value::Undef || instance(of, value, matching),
        (Kind::NotUndef(of), value) => {
            *value != Value::Undef && of.as_ref().is_none_or(|of| instance(of, value, matching))
        }
        (Kind::Undef, Value::Undef) | (Kind::Default, Value::Default) => true,
        (Kind::Numeric, Value::Integer(_) | Value::Float(_)) => true,
        (Kind::ScalarData, value) => scalar_data(value),
        (Kind::Scalar, value) => scalar(value),
        (Kind::Data, value) => {
            *value == Value::Undef || scalar_data(value) || data(value, matching, scalar_data)
        }
        (Kind::RichData, value) => rich(value) || data(value, matching, rich),
        (Kind::Integer(span), Value::Integer(n)) => span.holds(*n),
        (Kind::Float(least, most), Value::Float(n)) => {
            least.is_none_or(|least| least.get() <= n.get()) && most.is_none_or(|most| n.get() <= most.get())
        }
        (Kind::String(count), Value::String(text)) => {
            *count == Count::ANY || count.holds(text.chars().count() as u64)
        }
        (Kind::Text(wanted), Value::String(text)) => wanted == text,
        (Kind::Boolean(wanted), Value::Boolean(b)) => wanted.is_none_or(|wanted| wanted == *b),
        (Kind::Enum(words, any_case), Value::String(text)) => match any_case {
            true => words.iter().any(|word| word.to_lowercase() == text.to_lowercase()),
            false => words.is_empty() || words.contains(text),
        },
        (Kind::Pattern(patterns), Value::String(text)) => {
            patterns.is_empty()
                || patterns.iter().any(|pattern| {
                    pattern.is_match(text).unwrap_or_else(|_| {
                        matching.exhausted = true;
                        false
                    })
                })
        }
        (Kind::Regexp(wanted), Value::Regexp(regexp)) => {
            wanted.as_ref().is_none_or(|wanted| wanted.as_str() == regexp.text())
        }
        (Kind::Array(of, count), Value::Array(items)) => {
            count.holds(items.len() as u64) && items.iter().all(|item| instance(of, item, matching))
        }
        (Kind::Hash(key_type, value_type, count), Value::Hash(hash)) => {
            count.holds(hash.len() as u64)
                && hash.iter().all(|(key, value)| {
                    instance(key_type, key, matching) && instance(value_type, value, matching)
                })
        }
        (Kind::Tuple(types, count), Value::Array(items)) => tuple(types, *count, items, matching),
        (Kind::Struct(members), Value::Hash(hash)) => {
            let mut there = 0;
            members.iter().all(|member| member_is_there(member, hash, matching, &mut there))
                && there == hash.len()
        }
        (Kind::Type(None), Value::Type(_)) => true,
        (Kind::Type(Some(of)), Value::Type(inner)) => super::assignable(of, inner, matching),
        (Kind::Iterable(of), value) => iterable(of.as_ref(), value, matching),
        (Kind::Collection(count), Value::Array(items)) => count.holds(items.len() as u64),
        (Kind::Collection(count), Value::Hash(hash)) => count.holds(hash.len() as u64),
        (Kind::Sensitive(of), Value::Sensitive(inner)) => {
            of.as_ref().is_none_or(|of| instance(of, inner.reveal(), matching))
        }
        (Kind::SemVer(ranges), Value::SemVer(version)) => {
            ranges.is_empty() || ranges.iter().any(|range| range.includes(version))
        }
        (Kind::Timestamp, Value::Timestamp(_)) | (Kind::Timespan, Value::Timespan(_)) => true,
        (Kind::SemVerRange, Value::SemVerRange(_)) | (Kind::Binary, Value::Binary(_)) => true,
        (Kind::Error, Value::Error(_)) => true,
        (Kind::TaskResult, Value::TaskResult(_)) | (Kind::TaskResults, Value::TaskResults(_)) => true,
        _ => false,
    }
}

fn member_is_there(
    member: &Member,
    hash: &crate::value::Hash,
    matching: &mut Matching,
    there: &mut usize,
) -> bool {
    match hash.get(&Value::String(member.name.clone())) {
        Some(value) => {
            *there += 1;
            instance(&member.of, value, matching)
        }
        None => member.may_be_absent(),
    }
}

pub(super) fn tuple_size(types: &[Type], count: Option<Count>) -> Count {
    count.unwrap_or(match types {
        [] => Count::ANY,
        types => Count::exactly(types.len()),
    })
}

fn tuple(types: &[Type], count: Option<Count>, items: &List, matching: &mut Matching) -> bool {
    if !tuple_size(types, count).holds(items.len() as u64) {
        return false;
    }
    let Some(last) = types.last() else { return true };
    // the last type is that of all that follow
    items.iter().enumerate().all(|(n, item)| instance(types.get(n).unwrap_or(last), item, matching))
}

fn scalar_data(value: &Value) -> bool {
    matches!(value, Value::Integer(_) | Value::Float(_) | Value::String(_) | Value::Boolean(_))
}

fn scalar(value: &Value) -> bool {
    scalar_data(value)
        || matches!(
            value,
            Value::Regexp(_)
                | Value::Timestamp(_)
                | Value::Timespan(_)
                | Value::SemVer(_)
                | Value::SemVerRange(_)
        )
}

fn rich(value: &Value) -> bool {
    scalar(value)
        || matches!(
            value,
            Value::Undef
                | Value::Default
                | Value::Type(_)
                | Value::Sensitive(_)
                | Value::Binary(_)
                | Value::Error(_)
                | Value::TaskResult(_)
                | Value::TaskResults(_)
        )
}

fn data(value: &Value, matching: &mut Matching, leaf: fn(&Value) -> bool) -> bool {
    let inner = |value: &Value, matching: &mut Matching| {
        matching.step() && (*value == Value::Undef || leaf(value) || data(value, matching, leaf))
    };
    match value {
        Value::Array(items) => items.iter().all(|item| inner(item, matching)),
        Value::Hash(hash) => hash.iter().all(|(key, value)| {
            let key = if leaf(&Value::Default) { leaf(key) } else { matches!(key, Value::String(_)) };
            key && inner(value, matching)
        }),
        _ => false,
    }
}

fn iterable(of: Option<&Type>, value: &Value, matching: &mut Matching) -> bool {
    let Some(of) = of else {
        return match value {
            Value::Array(_) | Value::Hash(_) | Value::String(_) | Value::TaskResults(_) => true,
            Value::Integer(n) => *n >= 0,
            Value::Type(of) => {
                matches!(of.kind(), Kind::Integer(span) if span.least > i64::MIN && span.most < i64::MAX)
            }
            _ => false,
        };
    };
    match value {
        Value::Array(items) => items.iter().all(|item| instance(of, item, matching)),
        Value::Integer(n) => *n >= 0 && instance(of, value, matching),
        Value::String(text) => text.is_empty() || matches!(of.kind(), Kind::String(_) | Kind::Any),
        _ => matches!(of.kind(), Kind::Any) && iterable(None, value, matching),
    }
}
