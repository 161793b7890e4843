//! YAML that remembers where it stands (spec 06 §2.1, 07 D).
//!
//! Definitions are judged with line and column, and a scalar is what its reader wants: `1.0`
//! is a version, `on` a state, `0700` a mode. So this is a tree of texts, from the events of
//! the parser that fact files are read with, and not values of a general deserializer. It is
//! dropped as soon as a definition is made of it.

use std::collections::{BTreeMap, BTreeSet};

use granit_parser::{Event, Parser, ScalarStyle, Span};

/// Bytes of a definition.
pub const MAX_TEXT: usize = 256 * 1024;
/// Deepest nesting.
const MAX_DEPTH: usize = 32;
/// Values of a definition, aliases written out.
const MAX_VALUES: usize = 20_000;

/// Where something stands, both counted from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct At {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

/// A value and its place.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its place.
    pub at: At,
    /// What it is.
    pub what: What,
}

/// What a value is.
#[derive(Debug, Clone)]
pub enum What {
    /// A text; a plain one may stand for something else.
    Scalar {
        /// As written, escapes resolved.
        text: String,
        /// Without quotes.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in order.
    Map(Vec<(At, String, Node)>),
}

impl Node {
    /// Whether it is nothing at all.
    pub fn is_null(&self) -> bool {
        match &self.what {
            What::Scalar { text, plain } => {
                *plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }

    /// The member of that exact name.
    pub fn member(&self, name: &str) -> Option<&Node> {
        match &self.what {
            What::Map(members) => members.iter().find(|(_, key, _)| key == name).map(|(_, _, node)| node),
            _ => None,
        }
    }

    /// What it is, for a sentence.
    pub fn kind(&self) -> &'static str {
        match self.what {
            What::Scalar { .. } => "a single value",
            What::List(_) => "a list",
            What::Map(_) => "a mapping",
        }
    }
}

/// Why a text is no YAML, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {}, column {}: {problem}", at.line, at.column)]
pub struct YamlError {
    /// Where.
    pub at: At,
    /// Why, as a sentence.
    pub problem: String,
}

fn wrong<T>(at: At, problem: impl Into<String>) -> Result<T, YamlError> {
    Err(YamlError { at, problem: problem.into() })
}

/// The first document of a text; an empty text is an empty mapping.
///
/// # Errors
/// It is not YAML, or too much of it.
pub fn read(text: &str) -> Result<Node, YamlError> {
    if text.len() > MAX_TEXT {
        return wrong(At { line: 1, column: 1 }, format!("it is longer than {MAX_TEXT} bytes"));
    }
    let mut composer = Composer { parser: Parser::new_from_str(text), anchors: BTreeMap::new(), values: 0 };
    loop {
        let (event, at) = composer.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(..) => {}
            Event::StreamEnd | Event::DocumentEnd => return Ok(Node { at, what: What::Map(vec![]) }),
            event => return composer.node(event, at, 0),
        }
    }
}

struct Composer<'a> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: BTreeMap<usize, Node>,
    values: usize,
}

fn place(span: Span) -> At {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    At { line: count(span.start.line()), column: count(span.start.col().saturating_add(1)) }
}

impl<'a> Composer<'a> {
    fn next(&mut self) -> Result<(Event<'a>, At), YamlError> {
        loop {
            match self.parser.next_event() {
                None => return Ok((Event::StreamEnd, At::default())),
                Some(Err(e)) => {
                    let at = place(Span::empty(*e.marker()));
                    return wrong(at, format!("it is not YAML: {}", e.info()));
                }
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok((event, span))) => return Ok((event, place(span))),
            }
        }
    }

    fn count(&mut self, at: At, more: usize) -> Result<(), YamlError> {
        self.values = self.values.saturating_add(more);
        if self.values > MAX_VALUES {
            wrong(at, format!("it has more than {MAX_VALUES} values"))
        } else {
            Ok(())
        }
    }

    fn node(&mut self, event: Event<'a>, at: At, depth: usize) -> Result<Node, YamlError> {
        if depth > MAX_DEPTH {
            return wrong(at, "it is nested too deep");
        }
        self.count(at, 1)?;
        let (anchor, what) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = matches!(style, ScalarStyle::Plain) && tag.is_none();
                (anchor, What::Scalar { text: text.into_owned(), plain })
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return wrong(at, "an alias has no anchor");
                };
                self.count(at, size(&node))?;
                return Ok(node);
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break (anchor, What::List(items)),
                        (event, at) => items.push(self.node(event, at, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(_, anchor, _) => (anchor, What::Map(self.mapping(depth)?)),
            _ => return wrong(at, "it is not well formed"),
        };
        let node = Node { at, what };
        if anchor > 0 {
            self.count(at, size(&node))?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn mapping(&mut self, depth: usize) -> Result<Vec<(At, String, Node)>, YamlError> {
        let mut members: Vec<(At, String, Node)> = Vec::new();
        let mut inherited = Vec::new();
        let mut seen = BTreeSet::new();
        loop {
            let (event, at) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let key = match self.node(event, at, depth + 1)?.what {
                What::Scalar { text, plain } => (text, plain),
                _ => return wrong(at, "a key is no single word"),
            };
            let (event, value_at) = self.next()?;
            let value = self.node(event, value_at, depth + 1)?;
            match key {
                (key, true) if key == "<<" => inherit(&mut inherited, value)?,
                (key, _) if !seen.insert(key.clone()) => {
                    return wrong(at, format!("the key {key} is there twice"));
                }
                (key, _) => members.push((at, key, value)),
            }
        }
        // what stands here counts more than what is merged in, and of that the first
        for (at, key, value) in inherited {
            if seen.insert(key.clone()) {
                members.push((at, key, value));
            }
        }
        Ok(members)
    }
}

fn inherit(into: &mut Vec<(At, String, Node)>, value: Node) -> Result<(), YamlError> {
    match value.what {
        What::Map(members) => {
            into.extend(members);
            Ok(())
        }
        What::List(maps) => maps.into_iter().try_for_each(|map| inherit(into, map)),
        What::Scalar { .. } => wrong(value.at, "a merge key needs a mapping"),
    }
}

fn size(node: &Node) -> usize {
    match &node.what {
        What::Scalar { .. } => 1,
        What::List(items) => items.iter().map(size).sum::<usize>() + 1,
        What::Map(members) => members.iter().map(|(_, _, node)| size(node)).sum::<usize>() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_where_they_stand() {
        let node = read("a: 1.0\nb:\n  - {c: 'on'}\n").unwrap();
        let list = node.member("b").unwrap();
        let What::List(items) = &list.what else { panic!("{list:?}") };
        let inner = items[0].member("c").unwrap();
        assert_eq!((inner.at.line, inner.at.column), (3, 9));
        assert!(matches!(&inner.what, What::Scalar { text, plain: false } if text == "on"));
        assert!(
            matches!(&node.member("a").unwrap().what, What::Scalar { text, plain: true } if text == "1.0")
        );
        assert!(read("").unwrap().member("a").is_none());
    }

    #[test]
    fn what_grows_without_end_is_refused() {
        let bomb: String = (0..40)
            .map(|n| match n {
                0 => "a0: &a0 [x, x]\n".to_owned(),
                n => format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1),
            })
            .collect();
        assert!(read(&bomb).unwrap_err().problem.contains("more than"));
        assert!(read(&"[".repeat(2000)).is_err());
        assert!(read(&"x".repeat(MAX_TEXT + 1)).is_err());
        let twice = read("a: 1\na: 2\n").unwrap_err();
        assert_eq!((twice.at.line, twice.problem.as_str()), (2, "the key a is there twice"));
    }

    #[test]
    fn no_text_ends_the_reader() {
        bolero::check!().with_iterations(3000).with_type::<String>().for_each(|text: &String| {
            let _ = read(text);
        });
    }
}
