//! Which facts a filter reads, as far as its words alone tell. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::core::protocol::filter::{Expression, FactFilter, Filter, NodeView};

/// What the parts of a filter read that are not about names, agents and classes alone.
#[derive(Debug, Default)]
pub struct Wanted {
    parts: Vec<(Test, Reads)>,
}

/// One part, all of which have to match.
#[derive(Debug)]
pub enum Test {
    /// A filter of its own.
    Filter(Filter),
    /// An expression, compiled once.
    Expression(Expression),
}

impl Test {
    /// Whether a node passes. One whose data makes it fail does not.
    pub fn passes(&self, node: &NodeView<'_>) -> bool {
        match self {
            Test::Filter(filter) => filter.matches(node).unwrap_or(false),
            Test::Expression(expression) => expression.evaluate(node).unwrap_or(false),
        }
    }
}

/// Facts by the names at their top; see [`Reads::facts`].
pub type Facts = BTreeMap<String, Vec<String>>;

/// What one part reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    /// Names of facts at the top, each with the members below it that alone are read, outermost
    /// first; none where all of it may be.
    pub facts: Facts,
    /// Whether it reads agents and classes, too.
    pub words: bool,
}

impl Wanted {
    /// That of a filter; nothing where it may read anything.
    pub fn of(filter: &Filter) -> Option<Wanted> {
        let mut parts = vec![];
        for fact in &filter.fact {
            let mut reads = Reads::default();
            add(&mut reads.facts, &fact.fact)?;
            parts.push((Test::Filter(Filter { fact: vec![fact.clone()], ..Filter::default() }), reads));
        }
        if !filter.compound.is_empty() {
            let mut reads = Reads::default();
            for entry in filter.compound.iter().flatten() {
                let expression = entry.expression()?;
                facts_of(expression, &mut reads.facts)?;
                reads.words |= ["agents", "classes", "with"].iter().any(|word| expression.contains(word));
            }
            let only = match filter.compound.iter().flatten().collect::<Vec<_>>().as_slice() {
                [entry] if filter.compound.len() == 1 => entry.expression(),
                _ => None,
            };
            let compiled = only.and_then(|text| Expression::compile(text, &[]).ok());
            let filter = || Filter { compound: filter.compound.clone(), ..Filter::default() };
            parts.push((compiled.map_or_else(|| Test::Filter(filter()), Test::Expression), reads));
        }
        Some(Wanted { parts })
    }

    /// All parts.
    pub fn parts(&self) -> &[(Test, Reads)] {
        &self.parts
    }
}

/// Adds what a path reads; nothing where the name at its top is no plain word. Who reads two
/// members of one fact reads all of it.
fn add(facts: &mut Facts, path: &str) -> Option<()> {
    let is_plain = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    let mut words = path.split('.');
    let top = words.next().filter(|top| is_plain(top))?;
    let words: Vec<String> = words.map(str::to_owned).collect();
    let below = if words.iter().all(|word| is_plain(word)) { words } else { vec![] };
    let known = facts.entry(top.to_owned()).or_insert_with(|| below.clone());
    if *known != below {
        known.clear();
    }
    Some(())
}

/// A value with the member at `path` alone, for a test that looks nowhere else. What is no object,
/// and what is none of ours, is as it was.
pub fn only(path: &[String], value: &str) -> String {
    let Some((first, rest)) = path.split_first().filter(|_| value.starts_with('{')) else {
        return value.to_owned();
    };
    let member = Member(first).deserialize(&mut serde_json::Deserializer::from_str(value));
    match member {
        Ok(Some(member)) => format!("{{\"{first}\":{}}}", only(rest, member.get())),
        Ok(None) => "{}".to_owned(),
        Err(_) => value.to_owned(),
    }
}

/// The member of this name, as it is written.
struct Member<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = members.next_key::<Cow<'de, str>>()? {
            if name == self.0 {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// The facts an expression reads: all its calls of `fact` and `with` have to have one literal text.
fn facts_of(expression: &str, names: &mut Facts) -> Option<()> {
    let mut rest = expression;
    while let Some(found) = rest.find(['f', 'w', '$', '\'', '"', '`', '/', '#']) {
        let here = rest.get(found..)?;
        let before = rest.get(..found)?.chars().next_back();
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let begins = !before.is_some_and(is_word);
        let first = here.chars().next()?;
        rest = match first {
            // a text: what is in it is no call
            '\'' | '"' | '`' => literal(here)?.1,
            // a comment hides what follows
            '/' if here.starts_with("//") || here.starts_with("/*") => return None,
            '#' | '/' => here.get(1..)?,
            _ if begins => {
                let end = here.find(|c| !is_word(c)).unwrap_or(here.len());
                let (word, behind) = here.split_at_checked(end)?;
                match word {
                    "fact" | "with" => {
                        let argument = behind.trim_start().strip_prefix('(')?.trim_start();
                        let (text, behind) = literal(argument)?;
                        behind.trim_start().strip_prefix(')')?;
                        match (word, FactFilter::parse(text)) {
                            ("fact", _) => add(names, text)?,
                            (_, Ok(fact)) => add(names, &fact.fact)?,
                            // a class or an agent
                            (_, Err(_)) => {}
                        }
                        behind
                    }
                    // all of them, by their name or by that of all names
                    "facts" | "$env" => return None,
                    _ => behind,
                }
            }
            first => here.get(first.len_utf8()..)?,
        };
    }
    Some(())
}

/// A text at the beginning, and what is behind it; nothing where it has escapes.
fn literal(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"' | '`'))?;
    let (inner, behind) = text.get(1..)?.split_once(quote)?;
    (!inner.contains('\\')).then_some((inner, behind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::protocol::filter::lookup;

    fn written(facts: &Facts) -> Vec<String> {
        let path = |(top, below): (&String, &Vec<String>)| {
            [std::slice::from_ref(top), below.as_slice()].concat().join(".")
        };
        facts.iter().map(path).collect()
    }

    #[test]
    fn names_are_found_or_nothing_is_said() {
        for (expression, expected) in [
            ("true", Some(&[][..])),
            ("fact('os.name') == 'x' and fact( \"cpus\" ) > 2", Some(&["cpus", "os.name"])),
            ("fact('os.name') == fact('os.name')", Some(&["os.name"])),
            ("fact('os.name') == fact('os.family')", Some(&["os"])),
            ("fact('os') == '' or with('os.name=x') or fact('os.name')", Some(&["os"])),
            ("with('country=mt') or with('/apache/') or with('apache')", Some(&["country"])),
            ("'fact(x)' == 'y' && classes[0] == 'with('", Some(&[])),
            ("any(agents, # == 'x') && semver(fact('v'), '>1')", Some(&["v"])),
            ("factory('x')", Some(&[])),
            ("fact('os' + '.name') == 1", None),
            ("fact(agents[0]) == 1", None),
            ("fact(\"o\\x73\") == 1", None),
            ("fact('*.name') == 1", None),
            ("fact('@this') == 1", None),
            ("facts == 1", None),
            ("len($env['facts']) > 2", None),
            ("$env.facts.os == 1", None),
            ("fact /* x */ ('os')", None),
            ("let f = fact; f('os')", None),
            ("'open", None),
        ] {
            let mut facts = Facts::new();
            let names = facts_of(expression, &mut facts).map(|()| written(&facts));
            let expected = expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
            assert_eq!(names, expected, "{expression}");
        }
    }

    #[test]
    fn tops_are_plain_words() {
        for (path, expected) in [
            ("os", Some("os")),
            ("os.release.major", Some("os.release.major")),
            ("list.0", Some("list.0")),
            ("list.#(a==1).b", Some("list")),
            ("os.rel*", Some("os")),
            ("os.", Some("os")),
            ("os.@this", Some("os")),
            ("os.a|b", Some("os")),
            ("os.a\\.b", Some("os")),
            ("a-b_c.d", Some("a-b_c.d")),
            ("o*.x", None),
            ("@this.os", None),
            ("a\\.b", None),
            ("a|b", None),
            ("{os,x}", None),
            ("", None),
            (".x", None),
        ] {
            let mut facts = Facts::new();
            let read = add(&mut facts, path).map(|()| written(&facts));
            assert_eq!(read, expected.map(|path| vec![path.to_owned()]), "{path}");
        }
    }

    #[test]
    fn a_value_is_as_much_as_is_read() {
        let value = r#"{"a":{"b":[1,{"c":2}],"d":3,"e\u0041":4},"f":"{","g":null}"#;
        for (path, expected) in [
            ("", value),
            ("a", r#"{"a":{"b":[1,{"c":2}],"d":3,"e\u0041":4}}"#),
            ("a.d", r#"{"a":{"d":3}}"#),
            ("a.eA", r#"{"a":{"eA":4}}"#),
            ("a.d.x", r#"{"a":{"d":3}}"#),
            ("a.b.1.c", r#"{"a":{"b":[1,{"c":2}]}}"#),
            ("a.nosuch", r#"{"a":{}}"#),
            ("nosuch.b", "{}"),
            ("f.b", r#"{"f":"{"}"#),
            ("g", r#"{"g":null}"#),
        ] {
            let words: Vec<String> =
                path.split('.').filter(|word| !word.is_empty()).map(Into::into).collect();
            assert_eq!(only(&words, value), expected, "{path}");
            let found = |json: &str| lookup(json, if path.is_empty() { "a" } else { path });
            assert_eq!(found(&only(&words, value)), found(value), "{path}");
        }
        for odd in ["[1]", "{", "{\"a\":", "", "7"] {
            assert_eq!(only(&["a".to_owned()], odd), odd);
        }
    }

    #[test]
    fn any_expression_ends() {
        bolero::check!().with_type::<String>().for_each(|text| {
            let _ = facts_of(text, &mut Facts::new());
        });
    }
}
