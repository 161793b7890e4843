//! `=~`, and which option of a `case` or selector a value takes.

use std::sync::Arc;

use super::{Evaluator, Outcome, Raise};
use crate::syntax::{Id, Node, Unit};
use crate::value::{Regexp, Value, equals};

/// Regular expressions that were text and are kept for the next time.
const KEPT: usize = 16;

impl Evaluator<'_> {
    /// `=~`
    pub(super) fn matches(&mut self, left: &Value, right: &Value) -> Outcome<bool> {
        match right {
            Value::Type(of) => self.is_instance(of, left),
            Value::SemVerRange(range) => match left {
                Value::SemVer(version) => Ok(range.includes(version)),
                Value::String(text) => {
                    let version = crate::versions::Version::parse(text)
                        .ok_or_else(|| Raise::new(format!("'{text}' is not a version")))?;
                    Ok(range.includes(&version))
                }
                _ => Err(Raise::new("a range of versions is matched against a version")),
            },
            Value::Regexp(regexp) => self.matches_regexp(left, &regexp.clone()),
            Value::String(text) => {
                let regexp = self.regexp(text)?;
                self.matches_regexp(left, &regexp)
            }
            _ => Err(Raise::new(
                "Right match operand must result in a String, Regexp, or Type value, got another",
            )),
        }
    }

    /// The regular expression of a text. Those of a loop are made once.
    pub(crate) fn regexp(&mut self, text: &str) -> Outcome<Arc<Regexp>> {
        if let Some(known) = self.regexps.iter().find(|known| known.text() == text) {
            return Ok(known.clone());
        }
        self.work(1_000)?;
        let made = Arc::new(Regexp::new(text).map_err(|e| Raise::new(format!("/{text}/: {e}")))?);
        if self.regexps.len() >= KEPT {
            self.regexps.remove(0);
        }
        self.regexps.push(made.clone());
        Ok(made)
    }

    fn matches_regexp(&mut self, left: &Value, regexp: &Regexp) -> Outcome<bool> {
        let Value::String(text) = left else {
            let kind = crate::functions::kind_of(left);
            return Err(Raise::new(format!("Left match operand must result in a String value. Got {kind}.")));
        };
        self.find_groups(text, regexp)
    }

    fn find_groups(&mut self, text: &str, regexp: &Regexp) -> Outcome<bool> {
        self.work(1 + text.len() as u64 / 16)?;
        let Some((_, found)) = regexp.find(text, 0)? else { return Ok(false) };
        let mut groups = Vec::with_capacity(found.len());
        for group in found {
            groups.push(match group {
                Some(range) => self.text(&text[range])?,
                None => Value::Undef,
            });
        }
        self.set_groups(groups);
        Ok(true)
    }

    pub(super) fn option_matches(&mut self, unit: &Arc<Unit>, option: Id, value: &Value) -> Outcome<bool> {
        match unit.node(option) {
            // comes last, whatever its place
            Node::Default => Ok(*value == Value::Default),
            Node::Splat(inner) => {
                let options = self.eval(unit, *inner)?;
                let options = self.unfolded(options)?;
                for option in &options {
                    if self.takes(option, value)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            _ => {
                let option = self.eval(unit, option)?;
                self.takes(&option, value)
            }
        }
    }

    /// Whether an option takes a value: by type, regular expression, parts, or equality.
    fn takes(&mut self, option: &Value, value: &Value) -> Outcome<bool> {
        self.work(1)?;
        match (option, value) {
            (Value::Type(of), Value::Type(_)) if !matches!(of.kind(), crate::types::Kind::Type(_)) => {
                Ok(option == value)
            }
            (Value::Type(of), value) => self.is_instance(of, value),
            (Value::Regexp(regexp), Value::String(text)) => self.find_groups(text, &regexp.clone()),
            (Value::Regexp(_), _) => Ok(option == value),
            (Value::Array(options), Value::Array(values)) => {
                if options.len() != values.len() {
                    return Ok(false);
                }
                for (option, value) in options.iter().zip(values.iter()) {
                    if !self.takes(option, value)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Value::Hash(options), Value::Hash(values)) => {
                for (key, option) in options.iter() {
                    let Some(value) = values.get(key) else { return Ok(false) };
                    if !self.takes(option, value)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            _ => {
                self.work(option.work().min(value.work()))?;
                Ok(equals(option, value))
            }
        }
    }
}
