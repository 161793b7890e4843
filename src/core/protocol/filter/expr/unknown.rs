//! Names in an expression that nobody knows: to a node they are nil, so that
//! the expression compiles everywhere and matches nobody.

use std::fmt;

use super::ast::Node;
use super::words::Words;
use super::{Expression, builtin};
use crate::core::text::meant;

/// The first name of an expression that is none, and how it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnknownName {
    /// An argument of a function that takes texts.
    Argument {
        /// The function.
        function: String,
        /// The name.
        name: String,
    },
    /// A variable, with the members that are asked of it: `os.name`.
    Variable(String),
    /// A function.
    Function(String),
}

impl UnknownName {
    /// The name itself.
    pub fn name(&self) -> &str {
        match self {
            UnknownName::Argument { name, .. }
            | UnknownName::Variable(name)
            | UnknownName::Function(name) => name,
        }
    }
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnknownName::Argument { function, name } => write!(
                f,
                "{name} in {function}({name}) is no text and no name of the language: write {function}('{name}'), \
                 and quote the whole expression, or the shell takes the quotes in it away"
            ),
            UnknownName::Variable(name) => write!(
                f,
                "{name} is no name of the language, no node would match: a fact is fact(\"{name}\"), a text has quotes"
            ),
            UnknownName::Function(name) => write!(
                f,
                "{name} is no function of the language and no data plugin known here{}, no node would match: known are \
                 with, fact, include, semver and the data plugins whose DDL is mcollective/data/NAME.json or .ddl \
                 below libdir",
                meant(name, ["with", "fact", "include", "semver"]).trim_end_matches('?')
            ),
        }
    }
}

impl Expression {
    /// The first name that is neither of the language nor a data plugin by
    /// `is_data`.
    pub fn unknown_name(&self, is_data: &dyn Fn(&str) -> bool) -> Option<UnknownName> {
        Search { words: Words::Node(&[]), is_data, declared: vec![] }.node(&self.root)
    }

    /// The first name that is neither of the language nor about a reply.
    pub(in crate::core::protocol::filter) fn unknown_name_for_replies(&self) -> Option<UnknownName> {
        Search { words: Words::Reply, is_data: &|_| false, declared: vec![] }.node(&self.root)
    }

    /// The first name that is neither of the language nor of autonomous agents.
    pub(in crate::core::protocol::filter) fn unknown_name_for_machines(&self) -> Option<UnknownName> {
        Search { words: Words::Machine, is_data: &|_| false, declared: vec![] }.node(&self.root)
    }

    /// The first name that is neither of the language nor of what people type.
    pub(in crate::core::protocol::filter) fn unknown_name_for_input(
        &self,
        value: bool,
    ) -> Option<UnknownName> {
        Search { words: Words::Input { value }, is_data: &|_| false, declared: vec![] }.node(&self.root)
    }

    /// The first name that is neither of the language nor of matchers of plugins.
    pub(in crate::core::protocol::filter) fn unknown_name_for_plugins(&self) -> Option<UnknownName> {
        Search { words: Words::Plugin, is_data: &|_| false, declared: vec![] }.node(&self.root)
    }
}

struct Search<'a> {
    words: Words<'a>,
    is_data: &'a dyn Fn(&str) -> bool,
    declared: Vec<&'a str>,
}

impl<'a> Search<'a> {
    fn knows(&self, name: &str) -> bool {
        name == "$env"
            || self.words.has(name)
            || builtin::find(name).is_some()
            || self.declared.contains(&name)
            || (self.is_data)(name)
    }

    fn all(&mut self, nodes: &'a [Node]) -> Option<UnknownName> {
        nodes.iter().find_map(|node| self.node(node))
    }

    fn node(&mut self, node: &'a Node) -> Option<UnknownName> {
        match node {
            Node::Nil | Node::Bool(_) | Node::Int(_) | Node::Float(_) | Node::Text(_) | Node::Pointer(_) => {
                None
            }
            Node::Name(name) => (!self.knows(name)).then(|| UnknownName::Variable(name.clone())),
            Node::List(nodes)
            | Node::And(nodes)
            | Node::Or(nodes)
            | Node::Builtin(_, nodes)
            | Node::Sequence(nodes) => self.all(nodes),
            Node::Call(name, arguments) => {
                if !self.knows(name) {
                    return Some(UnknownName::Function(name.clone()));
                }
                arguments.iter().find_map(|argument| match self.node(argument) {
                    Some(UnknownName::Variable(argument)) => {
                        Some(UnknownName::Argument { function: name.clone(), name: argument })
                    }
                    other => other,
                })
            }
            Node::Map(pairs) => pairs.iter().find_map(|(key, value)| {
                // A bare key is a text, not a name.
                let key = if matches!(key, Node::Name(_)) { None } else { self.node(key) };
                key.or_else(|| self.node(value))
            }),
            Node::Not(node) | Node::Negate(node) | Node::Plus(node) | Node::Chain(node) => self.node(node),
            Node::Binary(_, a, b) => self.node(a).or_else(|| self.node(b)),
            Node::Member { base, property, .. } => match (self.node(base), &**property) {
                (Some(UnknownName::Variable(base)), Node::Text(property)) => {
                    Some(UnknownName::Variable(format!("{base}.{property}")))
                }
                (None, property) => self.node(property),
                (unknown, _) => unknown,
            },
            Node::Let(name, value, body) => self.node(value).or_else(|| {
                self.declared.push(name);
                let unknown = self.node(body);
                self.declared.pop();
                unknown
            }),
            Node::If(condition, yes, no) => {
                self.node(condition).or_else(|| self.node(yes)).or_else(|| self.node(no))
            }
            Node::Slice { base, from, to } => self
                .node(base)
                .or_else(|| [from, to].into_iter().flatten().find_map(|bound| self.node(bound))),
            Node::Method { base, arguments, .. } => self.node(base).or_else(|| self.all(arguments)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_nobody_knows_is_found_where_it_stands() {
        let unknown = |text: &str| {
            let expression = Expression::compile(text, &[]).unwrap();
            expression.unknown_name(&|name| name == "scout").map(|unknown| unknown.to_string())
        };
        for good in [
            "with('base')",
            "with('base') && fact('cpus') > 4",
            "len(classes) > 3 and 'x' in agents",
            "let x = fact('os'); x == 'Debian'",
            "scout('check_disk').state == 'OK'",
            "any(classes, {# startsWith 'role'})",
            "true",
        ] {
            assert_eq!(unknown(good), None, "{good}");
        }
        for (bad, text) in [
            ("with(base)", "write with('base')"),
            ("os.name == 'Debian'", "fact(\"os.name\")"),
            ("with('a') || apache", "fact(\"apache\")"),
            ("nosuch('x')", "nosuch is no function"),
            ("with('a') and not (facts.x == y)", "y is no name"),
        ] {
            let told = Expression::compile(bad, &[]).ok().and_then(|_| unknown(bad));
            assert!(told.as_deref().is_none_or(|told| told.contains(text)), "{bad}: {told:?}");
        }
        assert!(unknown("with(base)").is_some() && unknown("os.name == 'Debian'").is_some());
    }
}
