//! What is expected of a value: a value, or one of the matchers of goss.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::bounds::Work;
use super::patterns::{self, Expression, Pattern};
use super::semver;
use crate::core::protocol::filter::lookup_value;

/// Deepest nesting of matchers.
const MAX_DEPTH: usize = 16;
/// Most elements of a list of matchers.
const MAX_ELEMENTS: usize = 1024;
/// Bytes of a value that are told.
const MAX_TOLD: usize = 4096;
/// Bytes of a text that is read as JSON, of which a tree takes many times as much.
const MAX_JSON: usize = 1 << 20;
/// Names of matchers, for who mistypes one.
const NAMES: [&str; 20] = [
    "and",
    "consist-of",
    "contain-element",
    "contain-elements",
    "contain-substring",
    "equal",
    "ge",
    "gjson",
    "gt",
    "have-key",
    "have-len",
    "have-patterns",
    "have-prefix",
    "have-suffix",
    "le",
    "lt",
    "match-regexp",
    "not",
    "or",
    "semver-constraint",
];

/// A matcher.
#[derive(Debug)]
pub(super) struct Matcher {
    kind: Kind,
    /// As it stands in the rules.
    shown: Value,
}

#[derive(Debug)]
enum Kind {
    Equal(Value),
    /// A text, whatever becomes of the value as one.
    Text(String),
    Number(&'static str, f64),
    Prefix(String),
    Suffix(String),
    Substring(String),
    Regexp(Expression),
    Length(u64),
    Key(Box<Matcher>),
    Element(Box<Matcher>),
    Elements(Vec<Matcher>),
    Consists(Vec<Matcher>),
    Patterns(Vec<Pattern>),
    Semver(semver::Constraint),
    Gjson(Vec<(String, Matcher)>),
    Not(Box<Matcher>),
    And(Vec<Matcher>),
    Or(Vec<Matcher>),
}

/// What became of a value that is not as expected.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Mismatch {
    pub actual: Value,
    pub message: String,
    pub expected: Value,
    pub missing: Value,
    pub found: Value,
    pub extra: Value,
    /// What was made of the value before, outermost first.
    pub transforms: Vec<Value>,
    pub raw: Value,
}

impl Matcher {
    /// Reads one. A list is one of elements, or of patterns where the value is a long text.
    ///
    /// # Errors
    /// It is none, in words.
    pub fn parse(value: &Value, patterned: bool, work: &Work<'_>) -> Result<Matcher, String> {
        let kind = match value {
            Value::Array(items) if patterned => Kind::Patterns(patterns(items, work)?),
            value => kind(value, 0, work)?,
        };
        Ok(Matcher { kind, shown: value.clone() })
    }

    /// Whether a value is as expected; otherwise, what is not.
    ///
    /// # Errors
    /// It cannot be told, in words.
    pub fn judge(&self, actual: &Value, work: &Work<'_>) -> Result<Option<Mismatch>, String> {
        if self.matches(actual, work)? { Ok(None) } else { self.mismatch(actual, false, work).map(Some) }
    }

    /// What is expected, as it is shown.
    pub fn expected(&self) -> &Value {
        &self.shown
    }

    fn matches(&self, actual: &Value, work: &Work<'_>) -> Result<bool, String> {
        let text = || {
            let text = text_in(actual);
            work.look(text.len()).map(|()| text)
        };
        Ok(match &self.kind {
            Kind::Equal(expected) => {
                work.look(actual.as_str().map_or(0, str::len))?;
                equal(expected, actual)
            }
            Kind::Text(expected) => *text()? == **expected,
            Kind::Number(how, expected) => compares(how, number_of(actual)?, *expected),
            Kind::Prefix(part) => text()?.starts_with(part.as_str()),
            Kind::Suffix(part) => text()?.ends_with(part.as_str()),
            Kind::Substring(part) => text()?.contains(part.as_str()),
            Kind::Regexp(expression) => expression.is_in(&text_in(actual), work)?,
            Kind::Length(length) => length_of(actual)? == *length,
            Kind::Key(matcher) => match actual {
                Value::Object(members) => any(members.keys().map(|key| Value::from(key.as_str())), |key| {
                    matcher.matches(&key, work)
                })?,
                other => return Err(format!("have-key takes a map, and this is {}", shown(other))),
            },
            Kind::Element(matcher) => any(elements_of(actual)?, |item| matcher.matches(&item, work))?,
            Kind::Elements(matchers) => {
                pairs(matchers, elements_of(actual)?, work)?.iter().all(Option::is_some)
            }
            Kind::Consists(matchers) => {
                count_of(actual)? == matchers.len()
                    && pairs(matchers, list_of(actual)?, work)?.iter().all(Option::is_some)
            }
            Kind::Patterns(patterns) => patterns::missing(patterns, &text_in(actual), work)?.is_empty(),
            Kind::Semver(constraint) => any_not(elements_of(actual)?, |item| {
                let item = text_in(&item);
                work.look(item.len())?;
                Ok(constraint.allows(&item))
            })?,
            Kind::Gjson(paths) => {
                let document = document_of(actual, work)?;
                for (path, matcher) in paths {
                    if !matcher.matches(&at_path(&document, path, work)?, work)? {
                        return Ok(false);
                    }
                }
                true
            }
            Kind::Not(matcher) => !matcher.matches(actual, work)?,
            Kind::And(matchers) => any_not(matchers.iter(), |matcher| matcher.matches(actual, work))?,
            Kind::Or(matchers) => any(matchers.iter(), |matcher| matcher.matches(actual, work))?,
        })
    }

    /// What to say; of what is negated, the opposite. Values that are long are told in part.
    fn mismatch(&self, actual: &Value, negated: bool, work: &Work<'_>) -> Result<Mismatch, String> {
        let plain = |seen: Value, message: &str, expected: Value| Mismatch {
            actual: seen,
            message: if negated { format!("not {message}") } else { message.to_owned() },
            expected,
            ..Mismatch::default()
        };
        // a text or a number is made of the value, which is told where it was none
        let made = |seen: Value, same: bool, how: &str, message: &str, expected: Value| {
            let transforms = if same { vec![] } else { vec![json!({how: {}})] };
            Mismatch { transforms, raw: excerpt(actual), ..plain(seen, message, expected) }
        };
        let text = |message: &str, expected: &str| {
            let seen = excerpt_of(&text_in(actual));
            made(seen, actual.is_string(), "to-string", message, expected.into())
        };
        Ok(match &self.kind {
            Kind::Equal(expected) => plain(excerpt(actual), "to equal", expected.clone()),
            Kind::Text(expected) => text("to equal", expected),
            Kind::Number(how, _) => {
                let seen = match actual {
                    Value::Number(_) => actual.clone(),
                    other => number_of(other).map(|number| json!(number)).unwrap_or_default(),
                };
                let expected = self.shown.get(how).unwrap_or(&self.shown).clone();
                let same = seen == *actual;
                made(seen, same, "to-numeric", &format!("to be numerically {how}"), expected)
            }
            Kind::Prefix(expected) => text("to have prefix", expected),
            Kind::Suffix(expected) => text("to have suffix", expected),
            Kind::Substring(expected) => text("to contain substring", expected),
            Kind::Regexp(expression) => text("to match regular expression", expression.as_str()),
            Kind::Length(length) => plain(excerpt(actual), "to have length", json!(length)),
            Kind::Key(matcher) => plain(excerpt(actual), "to have key matching", matcher.shown.clone()),
            Kind::Element(matcher) => {
                let seen = elements_told(actual);
                made(
                    seen,
                    !becomes_list(actual),
                    "to-array",
                    "to contain element matching",
                    matcher.shown.clone(),
                )
            }
            Kind::Elements(matchers) => {
                let seen = if actual.is_string() { elements_told(actual) } else { excerpt(actual) };
                let message = "to contain elements matching";
                let mut told = made(seen, !actual.is_string(), "to-array", message, all_shown(matchers));
                if !negated {
                    let pairs = pairs(matchers, elements_of(actual)?, work)?;
                    (told.missing, told.found) = parted(matchers, &pairs);
                }
                told
            }
            Kind::Consists(matchers) => {
                let mut told = plain(excerpt(actual), "to consist of", all_shown(matchers));
                if !negated {
                    let pairs = pairs(matchers, list_of(actual)?, work)?;
                    (told.missing, told.found) = parted(matchers, &pairs);
                    told.extra = extra(&pairs, list_of(actual)?);
                }
                told
            }
            Kind::Patterns(patterns) => {
                let seen = text_in(actual);
                let all: Vec<&str> = patterns.iter().map(|pattern| pattern.as_str()).collect();
                let missing = patterns::missing(patterns, &seen, work)?;
                let found: Vec<&str> = all.iter().filter(|text| !missing.contains(text)).copied().collect();
                let mut told = plain(excerpt_of(&seen), "to have patterns", json!(all));
                if !negated {
                    told.missing = json!(missing);
                    told.found = if found.is_empty() { Value::Null } else { json!(found) };
                }
                told
            }
            Kind::Semver(constraint) => {
                plain(excerpt(actual), "to satisfy semver constraint", constraint.as_str().into())
            }
            Kind::Gjson(paths) => {
                let document = document_of(actual, work)?;
                let mut failing = None;
                for (path, matcher) in paths {
                    let seen = at_path(&document, path, work)?;
                    if negated || !matcher.matches(&seen, work)? {
                        failing = Some((path, matcher.mismatch(&seen, negated, work)?));
                        break;
                    }
                }
                match failing {
                    Some((path, mut told)) => {
                        told.transforms.insert(0, json!({"gjson": {"Path": path}}));
                        told.raw = excerpt(actual);
                        told
                    }
                    None => plain(excerpt(actual), "to satisfy all of these matchers", self.shown.clone()),
                }
            }
            Kind::Not(matcher) => matcher.mismatch(actual, !negated, work)?,
            Kind::And(matchers) => {
                let mut failing = None;
                for matcher in matchers.iter().filter(|_| !negated) {
                    if !matcher.matches(actual, work)? {
                        failing = Some(matcher);
                        break;
                    }
                }
                match failing {
                    Some(matcher) => matcher.mismatch(actual, false, work)?,
                    None => plain(excerpt(actual), "to satisfy all of these matchers", all_shown(matchers)),
                }
            }
            Kind::Or(matchers) => {
                plain(excerpt(actual), "to satisfy at least one of these matchers", all_shown(matchers))
            }
        })
    }
}

fn kind(value: &Value, depth: usize, work: &Work<'_>) -> Result<Kind, String> {
    if depth > MAX_DEPTH {
        return Err(format!("matchers are nested deeper than {MAX_DEPTH}"));
    }
    let members = match value {
        Value::String(text) => return Ok(Kind::Text(text.clone())),
        Value::Number(number) => return Ok(Kind::Number("eq", number.as_f64().unwrap_or(f64::NAN))),
        Value::Bool(_) => return Ok(Kind::Equal(value.clone())),
        Value::Array(items) => return Ok(Kind::Elements(several(items, depth, work)?)),
        Value::Null => return Err("a value is missing".to_owned()),
        Value::Object(members) => members,
    };
    let mut all = members.iter();
    let (Some((name, value)), None) = (all.next(), all.next()) else {
        let names: Vec<&str> = members.keys().map(String::as_str).collect();
        return Err(format!(
            "one matcher is allowed at a place, and there are {} ({})",
            names.len(),
            names.join(", ")
        ));
    };
    let wrong = |expected: &str| format!("{name} takes {expected}, and {} is none", shown(value));
    let text = || value.as_str().map(str::to_owned).ok_or_else(|| wrong("a text"));
    let list = || value.as_array().ok_or_else(|| wrong("a list"));
    let one = || -> Result<Box<Matcher>, String> {
        Ok(Box::new(Matcher { kind: kind(value, depth + 1, work)?, shown: value.clone() }))
    };
    Ok(match name.as_str() {
        "equal" => Kind::Equal(value.clone()),
        "have-prefix" => Kind::Prefix(text()?),
        "have-suffix" => Kind::Suffix(text()?),
        "contain-substring" => Kind::Substring(text()?),
        "match-regexp" => Kind::Regexp(Expression::parse(&text()?, work)?),
        "have-len" => Kind::Length(value.as_u64().ok_or_else(|| wrong("a whole number"))?),
        "have-patterns" => Kind::Patterns(patterns(list()?, work)?),
        "have-key" => Kind::Key(one()?),
        "contain-element" => Kind::Element(one()?),
        "contain-elements" => Kind::Elements(several(list()?, depth, work)?),
        "consist-of" => Kind::Consists(several(list()?, depth, work)?),
        "not" => Kind::Not(one()?),
        "and" => Kind::And(several(list()?, depth, work)?),
        "or" => Kind::Or(several(list()?, depth, work)?),
        "gt" | "ge" | "lt" | "le" => {
            let how = ["gt", "ge", "lt", "le"].into_iter().find(|how| how == name).unwrap_or("eq");
            Kind::Number(how, value.as_f64().ok_or_else(|| wrong("a number"))?)
        }
        "semver-constraint" => Kind::Semver(semver::Constraint::parse(&text()?)?),
        "gjson" => {
            let paths = value.as_object().ok_or_else(|| wrong("a map of paths"))?;
            let read = |(path, value): (&String, &Value)| {
                Ok((path.clone(), Matcher { kind: kind(value, depth + 1, work)?, shown: value.clone() }))
            };
            Kind::Gjson(paths.iter().take(MAX_ELEMENTS).map(read).collect::<Result<_, String>>()?)
        }
        "xml" => return Err("the matcher xml is not part of this version".to_owned()),
        other => {
            let meant = crate::core::text::meant(other, NAMES);
            return Err(format!("there is no matcher {other}{meant}"));
        }
    })
}

fn several(items: &[Value], depth: usize, work: &Work<'_>) -> Result<Vec<Matcher>, String> {
    if items.len() > MAX_ELEMENTS {
        return Err(format!("a list has more than {MAX_ELEMENTS} elements"));
    }
    let read = |value: &Value| Ok(Matcher { kind: kind(value, depth + 1, work)?, shown: value.clone() });
    items.iter().map(read).collect()
}

fn patterns(items: &[Value], work: &Work<'_>) -> Result<Vec<Pattern>, String> {
    if items.len() > MAX_ELEMENTS {
        return Err(format!("a list has more than {MAX_ELEMENTS} elements"));
    }
    let read = |item: &Value| match item {
        Value::String(text) => Pattern::parse(text, work),
        other => Err(format!("patterns are texts, and {} is none", shown(other))),
    };
    items.iter().map(read).collect()
}

/// A value in a sentence, cut where it is long.
fn shown(value: &Value) -> String {
    let mut text = excerpt(value).to_string();
    crate::core::text::shorten(&mut text, 200);
    text
}

/// A value as it is told: long texts are not carried around, and neither are long lists.
pub(super) fn excerpt(value: &Value) -> Value {
    let mut left = MAX_TOLD;
    cut(value, &mut left)
}

fn excerpt_of(text: &str) -> Value {
    let mut left = MAX_TOLD;
    cut_text(text, &mut left)
}

/// Where there is no more place, the rest of a list is left away.
fn cut(value: &Value, left: &mut usize) -> Value {
    match value {
        Value::String(text) => cut_text(text, left),
        Value::Array(items) => cut_list(items.iter().map(Cow::Borrowed), left),
        Value::Object(members) => {
            let mut kept = Map::new();
            for (name, value) in members {
                if *left == 0 {
                    kept.insert("…".to_owned(), Value::Null);
                    break;
                }
                let mut key = name.clone();
                crate::core::text::shorten(&mut key, *left);
                *left = left.saturating_sub(key.len() + 1);
                kept.insert(key, cut(value, left));
            }
            kept.into()
        }
        other => other.clone(),
    }
}

fn cut_text(text: &str, left: &mut usize) -> Value {
    let end = (0..=text.len().min(*left)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    *left -= end;
    let mut kept = text.get(..end).unwrap_or_default().to_owned();
    if end < text.len() {
        kept.push('…');
    }
    kept.into()
}

fn cut_list<'a>(items: impl Iterator<Item = Cow<'a, Value>>, left: &mut usize) -> Value {
    let mut kept: Vec<Value> = Vec::new();
    for item in items {
        if *left == 0 {
            kept.push("…".into());
            break;
        }
        // as much as a number takes
        *left = left.saturating_sub(8);
        kept.push(cut(&item, left));
    }
    kept.into()
}

fn equal(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            let same =
                |(name, value): (&String, &Value)| b.get(name).is_some_and(|other| equal(value, other));
            a.len() == b.len() && a.iter().all(same)
        }
        (a, b) => a == b,
    }
}

/// A value as text; of a list, a line each.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join("\n"),
        Value::Null => "<nil>".to_owned(),
        Value::Number(number) => number.as_f64().map_or_else(
            || number.to_string(),
            |float| if number.is_f64() { float.to_string() } else { number.to_string() },
        ),
        other => other.to_string(),
    }
}

/// [`text_of`], without a copy where it is one already.
fn text_in(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(text_of(other)),
    }
}

fn number_of(value: &Value) -> Result<f64, String> {
    let read = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(_) | Value::Array(_) => text_in(value).trim().parse().ok(),
        _ => None,
    };
    read.ok_or_else(|| format!("a number is expected, and {} is none", shown(value)))
}

fn compares(how: &str, actual: f64, expected: f64) -> bool {
    match how {
        "gt" => actual > expected,
        "ge" => actual >= expected,
        "lt" => actual < expected,
        "le" => actual <= expected,
        _ => actual == expected,
    }
}

fn length_of(value: &Value) -> Result<u64, String> {
    let length = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        other => return Err(format!("have-len takes a text, a list or a map, and this is {}", shown(other))),
    };
    Ok(length as u64)
}

/// Elements, one at a time.
type Elements<'a> = Box<dyn Iterator<Item = Cow<'a, Value>> + 'a>;

/// Elements of a list, or lines of a text.
fn elements_of(value: &Value) -> Result<Elements<'_>, String> {
    match value {
        Value::String(text) => Ok(Box::new(text.split('\n').map(|line| Cow::Owned(Value::from(line))))),
        other => list_of(other),
    }
}

fn list_of(value: &Value) -> Result<Elements<'_>, String> {
    match value {
        Value::Array(items) => Ok(Box::new(items.iter().map(Cow::Borrowed))),
        Value::Object(members) => Ok(Box::new(members.values().map(Cow::Borrowed))),
        other => Err(format!("a list is expected, and {} is none", shown(other))),
    }
}

/// How many a list has.
fn count_of(value: &Value) -> Result<usize, String> {
    list_of(value).map(Iterator::count)
}

fn elements_told(value: &Value) -> Value {
    let mut left = MAX_TOLD;
    let told = elements_of(value).map(|elements| cut_list(elements, &mut left));
    told.unwrap_or_else(|_| excerpt(value))
}

/// Whether it is made a list of before its elements are looked at.
fn becomes_list(value: &Value) -> bool {
    value.is_string() || value.is_object()
}

fn document_of(actual: &Value, work: &Work<'_>) -> Result<Value, String> {
    let text = actual.as_str().ok_or_else(|| format!("gjson takes a text, and this is {}", shown(actual)))?;
    if text.len() > MAX_JSON {
        return Err(format!("gjson takes at most {MAX_JSON} bytes, and this is longer"));
    }
    work.look(text.len())?;
    serde_json::from_str(text).map_err(|_| "the value is no JSON".to_owned())
}

fn at_path(document: &Value, path: &str, work: &Work<'_>) -> Result<Value, String> {
    work.check()?;
    lookup_value(document, path).ok_or_else(|| format!("there is nothing at {path}"))
}

fn any<T>(
    items: impl Iterator<Item = T>,
    mut test: impl FnMut(T) -> Result<bool, String>,
) -> Result<bool, String> {
    for item in items {
        if test(item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether all pass.
fn any_not<T>(
    items: impl Iterator<Item = T>,
    mut test: impl FnMut(T) -> Result<bool, String>,
) -> Result<bool, String> {
    for item in items {
        if !test(item)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// For each matcher an element of its own, where there is one, by their places.
fn pairs<'a>(
    matchers: &[Matcher],
    items: impl Iterator<Item = Cow<'a, Value>>,
    work: &Work<'_>,
) -> Result<Vec<Option<usize>>, String> {
    // As many elements as there are matchers are enough for each: one is left, whatever the
    // others take. So no more is kept of a text of many lines.
    let mut fits: Vec<Vec<usize>> = vec![vec![]; matchers.len()];
    let mut places: Vec<usize> = vec![];
    for (place, item) in items.enumerate() {
        let mut fit = false;
        for (matcher, fits) in matchers.iter().zip(&mut fits) {
            // an element that a matcher cannot judge is none of its
            if fits.len() < matchers.len() && matcher.matches(&item, work).unwrap_or(false) {
                fits.push(places.len());
                fit = true;
            }
        }
        // unless it was too much to be judged
        work.look(0)?;
        if fit {
            places.push(place);
        }
    }
    let mut taken: Vec<Option<usize>> = vec![None; places.len()];
    for matcher in 0..matchers.len() {
        work.check()?;
        let mut seen = vec![false; places.len()];
        place(matcher, &fits, &mut taken, &mut seen, 0);
    }
    let mut pairs = vec![None; matchers.len()];
    for (place, matcher) in places.iter().zip(&taken) {
        if let Some(slot) = matcher.and_then(|matcher| pairs.get_mut(matcher)) {
            *slot = Some(*place);
        }
    }
    Ok(pairs)
}

/// Finds an element for a matcher, moving others where that makes room.
fn place(
    matcher: usize,
    fits: &[Vec<usize>],
    taken: &mut [Option<usize>],
    seen: &mut [bool],
    depth: usize,
) -> bool {
    if depth > MAX_ELEMENTS {
        return false;
    }
    for item in fits.get(matcher).into_iter().flatten().copied() {
        if std::mem::replace(&mut seen[item], true) {
            continue;
        }
        let free = match taken[item] {
            None => true,
            Some(other) => place(other, fits, taken, seen, depth + 1),
        };
        if free {
            taken[item] = Some(matcher);
            return true;
        }
    }
    false
}

/// What is missing, and what was found.
fn parted(matchers: &[Matcher], pairs: &[Option<usize>]) -> (Value, Value) {
    let of = |there: bool| -> Value {
        let all = matchers.iter().zip(pairs).filter(|(_, pair)| pair.is_some() == there);
        let all: Vec<Value> = all.map(|(matcher, _)| matcher.shown.clone()).collect();
        if all.is_empty() { Value::Null } else { all.into() }
    };
    (of(false), of(true))
}

/// What was not expected.
fn extra<'a>(pairs: &[Option<usize>], items: impl Iterator<Item = Cow<'a, Value>>) -> Value {
    let used: std::collections::HashSet<usize> = pairs.iter().flatten().copied().collect();
    let extra = items.enumerate().filter(|(at, _)| !used.contains(at)).map(|(_, item)| item);
    let mut left = MAX_TOLD;
    match cut_list(extra, &mut left) {
        Value::Array(extra) if extra.is_empty() => Value::Null,
        extra => extra,
    }
}

fn all_shown(matchers: &[Matcher]) -> Value {
    matchers.iter().map(|matcher| matcher.shown.clone()).collect::<Vec<_>>().into()
}

impl Mismatch {
    /// As results have it.
    pub fn fields(self) -> Map<String, Value> {
        let Value::Object(fields) = json!({
            "actual": self.actual,
            "message": self.message,
            "expected": self.expected,
            "missing-elements": self.missing,
            "found-elements": self.found,
            "extra-elements": self.extra,
            "transform-chain": if self.transforms.is_empty() { Value::Null } else { self.transforms.into() },
            "untransformed-value": self.raw,
        }) else {
            return Map::new();
        };
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::super::bounds::Bounds;
    use super::*;

    fn judged(expected: Value, actual: Value) -> Result<Option<Mismatch>, String> {
        let bounds = Bounds::local();
        let work = bounds.work();
        Matcher::parse(&expected, false, &work)?.judge(&actual, &work)
    }

    #[test]
    fn values_are_judged_as_by_goss() {
        for (expected, actual, well) in [
            (json!(true), json!(true), true),
            (json!(true), json!(false), false),
            (json!("0644"), json!("0644"), true),
            (json!("5"), json!(5), true),
            (json!(5), json!("5\n"), true),
            (json!(5), json!(5.0), true),
            (json!({"gt": 3}), json!(4), true),
            (json!({"le": 3}), json!(4), false),
            (json!({"have-prefix": "/ho"}), json!("/home"), true),
            (json!({"have-suffix": "me"}), json!("/home"), true),
            (json!({"contain-substring": "x"}), json!("/home"), false),
            (json!({"match-regexp": "^/h.*e$"}), json!("/home"), true),
            (json!({"have-len": 3}), json!(["a", "b", "c"]), true),
            (json!({"have-key": "a"}), json!({"a": 1}), true),
            (json!({"contain-element": {"have-prefix": "b"}}), json!(["a", "bc"]), true),
            (json!(["a", "b"]), json!(["c", "b", "a"]), true),
            (json!(["a", "a"]), json!(["a", "b"]), false),
            (json!({"consist-of": ["a", "b"]}), json!(["b", "a"]), true),
            (json!({"consist-of": [{"match-regexp": "."}, "b"]}), json!(["b", "a"]), true),
            (json!({"consist-of": ["a"]}), json!(["b", "a"]), false),
            (json!({"have-patterns": ["one", "!three", "/t.o/"]}), json!("one\ntwo"), true),
            (json!({"not": "a"}), json!("b"), true),
            (json!({"not": {"contain-element": "a"}}), json!(["a"]), false),
            (json!({"and": [{"gt": 1}, {"lt": 3}]}), json!(2), true),
            (json!({"or": [{"lt": 1}, {"gt": 3}]}), json!(2), false),
            (json!({"semver-constraint": ">=1.2.0 <2.0.0"}), json!(["1.2.3", "1.9.0"]), true),
            (json!({"semver-constraint": ">=1.2.0 <2.0.0"}), json!(["1.2.3", "2.0.0"]), false),
            (json!({"gjson": {"a.b": 5, "c": {"have-len": 2}}}), json!(r#"{"a":{"b":5},"c":[1,2]}"#), true),
            (json!({"equal": [1, 2.0]}), json!([1.0, 2]), true),
        ] {
            let told = judged(expected.clone(), actual.clone()).unwrap();
            assert_eq!(told.is_none(), well, "{expected} of {actual}: {told:?}");
        }
    }

    #[test]
    fn what_differs_is_told_as_by_goss() {
        let told = judged(json!(["a", "c"]), json!(["a", "b"])).unwrap().unwrap();
        assert_eq!(told.message, "to contain elements matching");
        assert_eq!((told.missing, told.found), (json!(["c"]), json!(["a"])));
        let told = judged(json!({"consist-of": ["a"]}), json!(["a", "b"])).unwrap().unwrap();
        assert_eq!((told.missing, told.extra), (Value::Null, json!(["b"])));
        let told = judged(json!("6"), json!(5)).unwrap().unwrap();
        assert_eq!((told.transforms, told.raw), (vec![json!({"to-string": {}})], json!(5)));
        let told = judged(json!({"not": {"gt": 1}}), json!(5)).unwrap().unwrap();
        assert_eq!((told.message.as_str(), told.expected), ("not to be numerically gt", json!(1)));
        let told = judged(json!({"gjson": {"a": 2}}), json!(r#"{"a":1}"#)).unwrap().unwrap();
        assert_eq!((told.actual, told.transforms), (json!(1), vec![json!({"gjson": {"Path": "a"}})]));
    }

    #[test]
    fn what_is_no_matcher_is_refused_by_name() {
        let bounds = Bounds::local();
        for (value, why) in [
            (json!({"have-lenn": 1}), "there is no matcher have-lenn, did you mean have-len?"),
            (json!({"xml": {}}), "xml is not part"),
            (json!({"gt": 1, "lt": 2}), "one matcher is allowed"),
            (json!({"have-prefix": 1}), "have-prefix takes a text, and 1 is none"),
            (json!({"match-regexp": "("}), "is no regular expression"),
            (json!({"semver-constraint": "about 3"}), "is no constraint"),
            (json!(null), "a value is missing"),
        ] {
            let told = Matcher::parse(&value, false, &bounds.work()).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
        let deep = (0..40).fold(json!(1), |inner, _| json!({"not": inner}));
        assert!(Matcher::parse(&deep, false, &bounds.work()).unwrap_err().contains("nested deeper"));
        assert!(judged(json!(1), json!("one")).is_err() && judged(json!(["a"]), json!(true)).is_err());
    }

    #[test]
    fn of_long_values_a_part_is_told() {
        let text = json!("line\n".repeat(1 << 16));
        let small = |value: &Value| value.to_string().len() < 3 * MAX_TOLD;
        assert!(small(&excerpt(&text)) && small(&excerpt(&json!({"a": [text]}))));
        assert_eq!(excerpt(&json!(["a", {"b": 1}])), json!(["a", {"b": 1}]));
        for expected in [
            json!("x"),
            json!({"equal": "x"}),
            json!({"have-prefix": "x"}),
            json!({"have-suffix": "x"}),
            json!({"contain-substring": "x"}),
            json!({"match-regexp": "x"}),
            json!({"have-len": 1}),
            json!({"have-patterns": ["x"]}),
            json!({"contain-element": "x"}),
            json!({"semver-constraint": "1.x"}),
            json!({"not": {"contain-substring": "line"}}),
            json!({"and": [{"have-prefix": "x"}]}),
            json!({"or": [{"have-prefix": "x"}]}),
            json!(["x", "line"]),
        ] {
            let told = judged(expected.clone(), text.clone()).unwrap().unwrap();
            for value in [&told.actual, &told.raw, &told.missing, &told.found, &told.extra] {
                assert!(small(value), "{expected}");
            }
        }
        let many: Vec<u32> = (0..100_000).collect();
        let told = judged(json!({"consist-of": [1]}), json!(many)).unwrap().unwrap();
        assert!(small(&told.actual) && small(&told.extra));
    }

    #[test]
    fn many_matchers_of_many_lines_end() {
        let bounds = Bounds::of(std::time::Duration::from_secs(60), 1 << 20, 1 << 20);
        let work = bounds.work();
        let many: Vec<String> = (0..1000).map(|at| format!("nosuch{at}")).collect();
        let matcher = Matcher::parse(&json!(many), false, &work).unwrap();
        let told = matcher.judge(&json!("line\n".repeat(1 << 16)), &work).unwrap_err();
        assert!(told.contains("all patterns together"), "{told}");
    }
}
