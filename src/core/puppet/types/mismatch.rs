//! What is wrong with a value, in the words that people know from Puppet.

use indexmap::IndexMap;

use super::infer::general;
use super::instance::tuple_size;
use super::{Count, Kind, Matching, Type, infer, instance, plain};
use crate::value::{Value, brief};

/// Most complaints about one value.
const MOST: usize = 20;

/// A parameter that values are given for.
#[derive(Debug, Clone)]
pub struct Declared<'d> {
    /// Its name.
    pub name: &'d str,
    /// What it takes.
    pub of: &'d Type,
    /// Whether it may be left out, for it has a default.
    pub optional: bool,
}

/// What is wrong with values for these parameters, each as `parameter 'a' expects an
/// Integer value, got String`; nothing when all is well.
pub fn mismatches(parameters: &[Declared<'_>], given: &IndexMap<Value, Value>) -> Vec<String> {
    let mut wrong = vec![];
    for parameter in parameters {
        let value = given.get(&Value::word(parameter.name));
        match value {
            Some(value) => {
                let path = format!("parameter '{}'", parameter.name);
                wrong.extend(describe(&path, parameter.of, value));
            }
            None if parameter.optional => {}
            None if instance(parameter.of, &Value::Undef, &mut Matching::new()) => {}
            None => wrong.push(format!("expects a value for parameter '{}'", parameter.name)),
        }
    }
    for name in given.keys() {
        let known = name.as_str().is_some_and(|name| parameters.iter().any(|known| known.name == name));
        if !known {
            wrong.push(format!("has no parameter named '{}'", brief(name)));
        }
    }
    wrong.truncate(MOST);
    wrong
}

/// How many arguments there are, where others are expected.
pub(crate) fn argument_count(expected: Count, got: usize) -> String {
    let plural = if expected == Count::exactly(1) { "argument" } else { "arguments" };
    let got = if got == 0 { "none".to_owned() } else { got.to_string() };
    format!("expects {} {plural}, got {got}", counted(expected, "no"))
}

fn counted(count: Count, zero: &str) -> String {
    match (count.least, count.most) {
        (0, 0) => zero.to_owned(),
        (least, most) if least == most => least.to_string(),
        (0, u64::MAX) => "any number of".to_owned(),
        (0, most) => format!("at most {most}"),
        (least, u64::MAX) => format!("at least {least}"),
        (least, most) => format!("between {least} and {most}"),
    }
}

/// What is wrong with a value, behind the words for where it is.
pub(crate) fn describe(path: &str, of: &Type, value: &Value) -> Vec<String> {
    let mut matching = Matching::new();
    let mut found = vec![];
    look(&[path.to_owned()], of, value, &mut matching, &mut found);
    let lines = found.into_iter().map(|(path, what)| {
        let path: Vec<_> = path.into_iter().filter(|part| !part.is_empty()).collect();
        if path.is_empty() { what } else { format!("{} {what}", path.join(" ")) }
    });
    lines.take(MOST).collect()
}

type Found = Vec<(Vec<String>, String)>;

fn look(path: &[String], of: &Type, value: &Value, matching: &mut Matching, found: &mut Found) {
    if found.len() >= MOST || instance(of, value, matching) {
        return;
    }
    if matching.exhausted {
        found.push((path.to_vec(), format!("cannot be matched against {} in reasonable time", of.name())));
        return;
    }
    let inner = |part: String| [path, &[part]].concat();
    let target = of.resolved();
    let kind = target.as_ref().map_or(of.kind(), Type::kind);
    match (kind, value) {
        (Kind::Optional(of), Value::Array(_) | Value::Hash(_)) => look(path, of, value, matching, found),
        (Kind::Array(item, count), Value::Array(items)) => {
            if size_is_wrong(path, *count, items.len(), found) {
                return;
            }
            for (n, value) in items.iter().enumerate() {
                look(&inner(format!("index {n}")), item, value, matching, found);
            }
        }
        (Kind::Tuple(types, size), Value::Array(items)) => {
            let count = tuple_size(types, *size);
            if size_is_wrong(path, count, items.len(), found) {
                return;
            }
            let Some(last) = types.last() else { return };
            for (n, value) in items.iter().enumerate() {
                look(&inner(format!("index {n}")), types.get(n).unwrap_or(last), value, matching, found);
            }
        }
        (Kind::Hash(key_type, value_type, count), Value::Hash(hash)) => {
            if size_is_wrong(path, *count, hash.len(), found) {
                return;
            }
            for (key, value) in hash.iter() {
                let shown = brief(key);
                look(&inner(format!("key of entry '{shown}'")), key_type, key, matching, found);
                look(&inner(format!("entry '{shown}'")), value_type, value, matching, found);
            }
        }
        (Kind::Struct(members), Value::Hash(hash)) => {
            for member in members {
                match hash.get(&Value::String(member.name.clone())) {
                    Some(value) => {
                        look(&inner(format!("entry '{}'", member.name)), &member.of, value, matching, found);
                    }
                    None if member.may_be_absent() => {}
                    None => found.push((path.to_vec(), format!("expects a value for key '{}'", member.name))),
                }
            }
            for key in hash.entries().keys() {
                let known = key.as_str().is_some_and(|key| members.iter().any(|m| m.name.as_str() == key));
                if !known {
                    found.push((path.to_vec(), format!("unrecognized key '{}'", brief(key))));
                }
            }
        }
        _ => found.push((path.to_vec(), expectation(of, value))),
    }
}

fn size_is_wrong(path: &[String], count: Count, got: usize, found: &mut Found) -> bool {
    let wrong = !count.holds(got as u64);
    if wrong {
        found.push((path.to_vec(), format!("expects size to be {}, got {got}", counted(count, "0"))));
    }
    wrong
}

/// `expects an Integer value, got String`
fn expectation(of: &Type, value: &Value) -> String {
    let resolved = of.resolved();
    let target = resolved.as_ref().unwrap_or(of);
    let (inner, optional) = match target.kind() {
        Kind::Optional(inner) => (inner.clone(), true),
        _ => (if target == of { of.clone() } else { target.clone() }, false),
    };
    let shown = |plain: &Type| match of.kind() {
        Kind::Alias(alias) if !optional => format!("{} = {plain}", alias.name()),
        _ => plain.to_string(),
    };
    if matches!(inner.kind(), Kind::Enum(..) | Kind::Pattern(_)) {
        let or = if optional { "an undef value or " } else { "" };
        let got = match value {
            Value::String(_) => format!("'{}'", brief(value)),
            other => type_of(other, false),
        };
        return format!("expects {or}a match for {}, got {got}", shown(&inner));
    }
    let mut expected = match inner.kind() {
        Kind::Variant(types) => types.iter().map(|of| named(of, value).0).collect(),
        _ if of.resolved().as_ref() != Some(of) && !optional => vec![of.to_string()],
        _ => vec![named(&inner, value).0],
    };
    let detailed = match inner.kind() {
        Kind::Variant(types) => types.iter().any(|of| named(of, value).1),
        _ => named(&inner, value).1,
    };
    if optional {
        expected.insert(0, "Undef".to_owned());
    }
    expected.dedup();
    let got = type_of(value, detailed);
    match expected.as_slice() {
        [one] => format!("expects {} {one} value, got {got}", article(one)),
        [a, b] => format!("expects a value of type {a} or {b}, got {got}"),
        [most @ .., last] => format!("expects a value of type {}, or {last}, got {got}", most.join(", ")),
        [] => format!("expects another value, got {got}"),
    }
}

/// A type by name, and in whole where the name alone would fit the value.
fn named(of: &Type, value: &Value) -> (String, bool) {
    let fits = plain(of.name()).is_some_and(|plain| instance(&plain, value, &mut Matching::new()));
    match fits {
        true => (of.to_string(), true),
        false => (of.name().to_owned(), false),
    }
}

fn type_of(value: &Value, detailed: bool) -> String {
    let of = infer(value);
    match (of, detailed) {
        (Ok(of), true) if !matches!(of.kind(), Kind::Struct(_) | Kind::Tuple(..)) => of.to_string(),
        (Ok(of), _) => match general(&of) {
            Ok(of) => of.name().to_owned(),
            Err(_) => "a large value".to_owned(),
        },
        (Err(_), _) => "a large value".to_owned(),
    }
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" }
}
