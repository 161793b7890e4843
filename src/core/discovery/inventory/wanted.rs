//! Which facts a filter reads, as far as its words alone tell. Pure.

use std::collections::BTreeSet;

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

/// What one part reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    /// Names of facts at the top.
    pub facts: BTreeSet<String>,
    /// Whether it reads agents and classes, too.
    pub words: bool,
}

impl Wanted {
    /// That of a filter; nothing where it may read anything.
    pub fn of(filter: &Filter) -> Option<Wanted> {
        let mut parts = vec![];
        for fact in &filter.fact {
            let reads = Reads { facts: BTreeSet::from([top(&fact.fact)?.to_owned()]), words: false };
            parts.push((Test::Filter(Filter { fact: vec![fact.clone()], ..Filter::default() }), reads));
        }
        if !filter.compound.is_empty() {
            let mut reads = Reads::default();
            for entry in filter.compound.iter().flatten() {
                let expression = entry.expression()?;
                reads.facts.extend(facts_of(expression)?);
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

/// The name at the top of a path, where that is a plain word.
fn top(path: &str) -> Option<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let end = path.find(|c| !plain(c)).unwrap_or(path.len());
    let (top, rest) = path.split_at_checked(end)?;
    (!top.is_empty() && (rest.is_empty() || rest.starts_with('.'))).then_some(top)
}

/// Names of the facts an expression reads: all its calls of `fact` and `with` have to have one
/// literal text.
fn facts_of(expression: &str) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let mut rest = expression;
    while let Some(found) = rest.find(['f', 'w', '\'', '"', '`', '/', '#']) {
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
                            ("fact", _) => drop(names.insert(top(text)?.to_owned())),
                            (_, Ok(fact)) => drop(names.insert(top(&fact.fact)?.to_owned())),
                            // a class or an agent
                            (_, Err(_)) => {}
                        }
                        behind
                    }
                    "facts" => return None,
                    _ => behind,
                }
            }
            first => here.get(first.len_utf8()..)?,
        };
    }
    Some(names)
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

    #[test]
    fn names_are_found_or_nothing_is_said() {
        for (expression, expected) in [
            ("true", Some(&[][..])),
            ("fact('os.name') == 'x' and fact( \"cpus\" ) > 2", Some(&["cpus", "os"])),
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
            ("fact /* x */ ('os')", None),
            ("let f = fact; f('os')", None),
            ("'open", None),
        ] {
            let names = facts_of(expression);
            let expected = expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
            assert_eq!(names, expected, "{expression}");
        }
    }

    #[test]
    fn tops_are_plain_words() {
        for (path, expected) in [
            ("os", Some("os")),
            ("os.release.major", Some("os")),
            ("list.#(a==1).b", Some("list")),
            ("a-b_c.d", Some("a-b_c")),
            ("o*.x", None),
            ("@this.os", None),
            ("a\\.b", None),
            ("a|b", None),
            ("{os,x}", None),
            ("", None),
            (".x", None),
        ] {
            assert_eq!(top(path), expected, "{path}");
        }
    }

    #[test]
    fn any_expression_ends() {
        bolero::check!().with_type::<String>().for_each(|text| drop(facts_of(text)));
    }
}
