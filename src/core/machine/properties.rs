//! Reading members of a definition (spec 06 §2.3): names match in any case, values are taken
//! for what they look like, and what nobody asked for is warned of.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use super::duration;
use super::findings::Findings;
use super::yaml::{At, Node, What};
use crate::core::text::meant;

/// Longest text that is taken over.
const MAX_TEXT: usize = 64 * 1024;
/// Longest list.
const MAX_LIST: usize = 1024;

/// The members of one mapping, and where complaints go.
pub struct Properties<'a, 'f> {
    members: BTreeMap<String, (At, &'a str, &'a Node)>,
    at: At,
    of: String,
    findings: &'f mut Findings,
    asked: Vec<&'static str>,
    elsewhere: Vec<String>,
}

impl<'a, 'f> Properties<'a, 'f> {
    /// Of a mapping that is `of` something; nothing is an empty one.
    pub fn new(node: Option<&'a Node>, at: At, of: String, findings: &'f mut Findings) -> Properties<'a, 'f> {
        let mut members = BTreeMap::new();
        match node.map(|node| (node, &node.what)) {
            Some((_, What::Map(all))) => {
                for (at, key, value) in all {
                    // of two that differ in case, the first counts
                    match members.entry(key.to_ascii_lowercase()) {
                        Entry::Vacant(place) => drop(place.insert((*at, key.as_str(), value))),
                        Entry::Occupied(place) => {
                            let (_, first, _) = place.get();
                            let text = format!("{of}: {key} means nothing beside {first}, which counts");
                            findings.warn(*at, text);
                        }
                    }
                }
            }
            Some((node, _)) if !node.is_null() => {
                findings.error(
                    node.at,
                    format!("{of} is {} where a mapping of names and values is expected", node.kind()),
                );
            }
            _ => {}
        }
        Properties { members, at, of, findings, asked: Vec::new(), elsewhere: Vec::new() }
    }

    /// The members of one of its members.
    pub fn inner<'b>(&mut self, name: &str, node: &'b Node) -> Properties<'b, '_> {
        let of = format!("{}: {name}", self.of);
        Properties::new(Some(node), node.at, of, self.findings)
    }

    /// Whether anything of the definition is wrong so far at its place.
    pub fn is_wrong(&self) -> bool {
        self.findings.errors.iter().any(|finding| finding.at >= self.at)
    }

    /// Something that concerns all of it.
    pub fn error(&mut self, text: impl std::fmt::Display) {
        let text = format!("{}: {text}", self.of);
        self.findings.error(self.at, text);
    }

    /// Something that concerns one member.
    pub fn error_at(&mut self, name: &str, text: impl std::fmt::Display) {
        let (at, text) = (self.place(name), format!("{}: {name} {text}", self.of));
        self.findings.error(at, text);
    }

    /// Something odd about all of it.
    pub fn warn(&mut self, text: impl std::fmt::Display) {
        let text = format!("{}: {text}", self.of);
        self.findings.warn(self.at, text);
    }

    /// Something odd about one member.
    pub fn warn_at(&mut self, name: &str, text: impl std::fmt::Display) {
        let (at, text) = (self.place(name), format!("{}: {name} {text}", self.of));
        self.findings.warn(at, text);
    }

    /// A sentence about all of it.
    pub fn said(&self, text: impl std::fmt::Display) -> String {
        format!("{}: {text}", self.of)
    }

    /// A member as it stands, be it null.
    pub fn whole(&self, name: &str) -> Option<&'a Node> {
        self.members.get(name).map(|(_, _, node)| *node)
    }

    /// A member is known, and read elsewhere.
    pub fn known(&mut self, name: &str) {
        self.elsewhere.push(name.to_ascii_lowercase());
    }

    /// All members are known, and read elsewhere.
    pub fn all_known(&mut self) {
        self.elsewhere.extend(self.members.keys().cloned());
    }

    fn place(&self, name: &str) -> At {
        self.members.get(name).map_or(self.at, |(at, ..)| *at)
    }

    /// A member, nothing where it is null.
    pub fn get(&mut self, name: &'static str) -> Option<&'a Node> {
        self.asked.push(name);
        self.members.get(name).map(|(_, _, node)| *node).filter(|node| !node.is_null())
    }

    /// Whether it is there.
    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// A text; empty where there is none.
    pub fn text(&mut self, name: &'static str) -> Box<str> {
        let Some(node) = self.get(name) else { return Box::default() };
        match &node.what {
            What::Scalar { text, .. } if text.len() <= MAX_TEXT => text.as_str().into(),
            What::Scalar { .. } => {
                self.error_at(name, format_args!("is longer than {MAX_TEXT} bytes"));
                Box::default()
            }
            _ => {
                self.error_at(name, format_args!("is {} where a text is expected", node.kind()));
                Box::default()
            }
        }
    }

    /// A text that must be there.
    pub fn required(&mut self, name: &'static str) -> Box<str> {
        let text = self.text(name);
        let wrong =
            self.members.get(name).is_some_and(|(_, _, node)| !matches!(node.what, What::Scalar { .. }));
        if text.is_empty() && !wrong {
            self.error(format_args!("{name} is required"));
        }
        text
    }

    /// A list of texts; a single text is a list of one.
    pub fn list(&mut self, name: &'static str) -> Box<[Box<str>]> {
        let Some(node) = self.get(name) else { return Box::default() };
        let single = std::slice::from_ref(node);
        let items = if let What::List(items) = &node.what { items.as_slice() } else { single };
        if items.len() > MAX_LIST {
            self.error_at(name, format_args!("has more than {MAX_LIST} entries"));
            return Box::default();
        }
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match &item.what {
                What::Scalar { text, .. } if text.len() <= MAX_TEXT => texts.push(text.as_str().into()),
                _ => self.error_at(name, format_args!("holds {} where a text is expected", item.kind())),
            }
        }
        texts.into()
    }

    /// Names and texts.
    pub fn labels(&mut self, name: &'static str) -> Box<[(Box<str>, Box<str>)]> {
        let Some(node) = self.get(name) else { return Box::default() };
        let What::Map(members) = &node.what else {
            self.error_at(name, format_args!("is {} where names and texts are expected", node.kind()));
            return Box::default();
        };
        let mut labels: Vec<(Box<str>, Box<str>)> = Vec::new();
        for (_, key, value) in members.iter().take(MAX_LIST) {
            match &value.what {
                What::Scalar { text, .. } if text.len() <= MAX_TEXT => {
                    labels.push((key.as_str().into(), text.as_str().into()));
                }
                _ => self
                    .error_at(name, format_args!("has {} as {key} where a text is expected", value.kind())),
            }
        }
        labels.sort();
        labels.into()
    }

    /// Yes or no; no where there is none.
    pub fn flag(&mut self, name: &'static str) -> bool {
        match &*self.text(name) {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
            other => {
                let text = format!("is {other}, which is neither true nor false");
                self.error_at(name, text);
                false
            }
        }
    }

    /// A whole number within bounds.
    pub fn number(&mut self, name: &'static str, most: u64) -> Option<u64> {
        let text = self.text(name);
        if text.is_empty() {
            return None;
        }
        match text.parse::<u64>() {
            Ok(number) if number <= most => Some(number),
            _ => {
                self.error_at(name, format_args!("is {text}, which is no whole number up to {most}"));
                None
            }
        }
    }

    /// A length of time, in nanoseconds.
    pub fn duration(&mut self, name: &'static str) -> Option<i64> {
        let node = self.get(name)?;
        let What::Scalar { text, plain } = &node.what else {
            self.error_at(name, format_args!("is {} where a length of time is expected", node.kind()));
            return None;
        };
        if *plain && let Some(nanoseconds) = bare(text) {
            // a small one is meant as seconds, a large one as what it is
            let meant = match nanoseconds.unsigned_abs() {
                0..1_000_000 => format!("{text}s for seconds"),
                _ => duration::show(nanoseconds),
            };
            if nanoseconds != 0 {
                let told = format_args!("is {text} without a unit, which are nanoseconds: write {meant}");
                self.warn_at(name, told);
            }
            return Some(nanoseconds);
        }
        match duration::property(text) {
            Ok(nanoseconds) => Some(nanoseconds),
            Err(e) => {
                self.error_at(name, format_args!("is wrong: {e}"));
                None
            }
        }
    }

    /// A length of time of zero or more; a negative one is none, and warned of.
    pub fn positive(&mut self, name: &'static str) -> Option<Duration> {
        let nanoseconds = self.duration(name)?;
        let length = u64::try_from(nanoseconds).ok().map(Duration::from_nanos);
        if length.is_none() {
            self.warn_at(name, "is negative and means nothing");
        }
        length
    }

    /// Warns of what nobody asked for; `also` are names that mean something elsewhere.
    pub fn finish(self, also: &[(&str, &str)]) {
        for (lower, (at, name, _)) in &self.members {
            if self.asked.contains(&lower.as_str()) || self.elsewhere.contains(lower) {
                continue;
            }
            let hint = match also.iter().find(|(other, _)| other == lower) {
                Some((_, hint)) => format!(", {hint}"),
                None => meant(lower, self.asked.iter().copied()),
            };
            self.findings.warn(*at, format!("{}: {name} is not known and means nothing{hint}", self.of));
        }
    }
}

/// What a plain number or boolean is as a length of time.
fn bare(text: &str) -> Option<i64> {
    match text {
        "true" | "True" | "TRUE" => Some(1),
        "false" | "False" | "FALSE" => Some(0),
        _ => {
            let number: f64 = text.parse().ok()?;
            text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+').then_some(number as i64)
        }
    }
}
