//! Words of actions become a tree.

use std::collections::BTreeMap;

use serde_json::{Number, Value};

use super::lexer::{Piece, Token, pieces};

/// Deepest nesting of blocks and parentheses.
const MAX_DEPTH: usize = 50;
/// Words that begin, part or end blocks, or stand for themselves.
const KEYWORDS: [&str; 10] =
    ["if", "range", "with", "else", "end", "define", "template", "block", "break", "continue"];

/// A template, and those that it defines.
#[derive(Debug)]
pub(super) struct Tree {
    pub nodes: Vec<Node>,
    pub named: BTreeMap<String, Vec<Node>>,
}

#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Print(Pipeline),
    If(Pipeline, Vec<Node>, Vec<Node>),
    With(Pipeline, Vec<Node>, Vec<Node>),
    Range(Pipeline, Vec<Node>, Vec<Node>),
    /// One that is defined somewhere, and what `.` is there.
    Template(String, Option<Pipeline>),
    Break,
    Continue,
}

#[derive(Debug, Default)]
pub(super) struct Pipeline {
    /// Variables it sets.
    pub variables: Vec<String>,
    /// Whether they are new ones.
    pub declares: bool,
    pub commands: Vec<Vec<Operand>>,
}

#[derive(Debug)]
pub(super) enum Operand {
    Value(Value),
    Dot,
    Variable(String),
    Function(String),
    Group(Pipeline),
    Field(Box<Operand>, String),
}

/// Reads a template.
pub(super) fn parse(text: &str, known: &dyn Fn(&str) -> bool) -> Result<Tree, String> {
    let pieces = pieces(text)?;
    let mut parser = Parser { pieces: pieces.into_iter(), known, named: BTreeMap::new(), ranges: 0 };
    let (nodes, end) = parser.block(0, true)?;
    match end {
        Close::Template => Ok(Tree { nodes, named: parser.named }),
        Close::End => Err("an end without its begin".to_owned()),
        Close::Else(_) => Err("an else without its if".to_owned()),
    }
}

struct Parser<'a, 'k> {
    pieces: std::vec::IntoIter<Piece<'a>>,
    known: &'k dyn Fn(&str) -> bool,
    named: BTreeMap<String, Vec<Node>>,
    /// Ranges that are open here.
    ranges: usize,
}

enum Close {
    Template,
    End,
    /// With what follows the word.
    Else(Vec<Token>),
}

impl Parser<'_, '_> {
    /// Nodes up to what ends the block; only outside of all others something is defined.
    fn block(&mut self, depth: usize, outside: bool) -> Result<(Vec<Node>, Close), String> {
        if depth > MAX_DEPTH {
            return Err("it is nested too deep".to_owned());
        }
        let mut nodes = Vec::new();
        loop {
            let tokens = match self.pieces.next() {
                None => return Ok((nodes, Close::Template)),
                Some(Piece::Text(text)) => {
                    nodes.push(Node::Text(text.to_owned()));
                    continue;
                }
                Some(Piece::Action(tokens)) => tokens,
            };
            let keyword = match tokens.first() {
                Some(Token::Word(word)) if KEYWORDS.contains(&word.as_str()) => word.clone(),
                Some(_) => {
                    nodes.push(Node::Print(self.pipeline(&mut Words::new(&tokens), false)?));
                    continue;
                }
                None => return Err("an action is empty".to_owned()),
            };
            let rest = tokens.get(1..).unwrap_or_default().to_vec();
            match keyword.as_str() {
                "end" if rest.is_empty() => return Ok((nodes, Close::End)),
                "else" => return Ok((nodes, Close::Else(rest))),
                "if" | "with" | "range" => nodes.push(self.branch(&keyword, &rest, depth)?),
                "define" if outside => match rest.as_slice() {
                    [Token::Text(name)] => self.define("define", name, depth)?,
                    _ => return Err("define takes a name in quotes, and nothing else".to_owned()),
                },
                "define" => return Err("a define stands inside of something else".to_owned()),
                "template" => {
                    let (name, rest) = named("template", &rest)?;
                    let dot = match rest.is_empty() {
                        true => None,
                        false => Some(self.pipeline(&mut Words::new(rest), false)?),
                    };
                    nodes.push(Node::Template(name, dot));
                }
                "block" => {
                    let (name, rest) = named("block", &rest)?;
                    let dot = self.pipeline(&mut Words::new(rest), false)?;
                    self.define("block", &name, depth)?;
                    nodes.push(Node::Template(name, Some(dot)));
                }
                word @ ("break" | "continue") => match self.ranges {
                    _ if !rest.is_empty() => {
                        return Err(format!("{word} is followed by what does not belong there"));
                    }
                    0 => return Err(format!("{word} stands outside of a range")),
                    _ => nodes.push(if word == "break" { Node::Break } else { Node::Continue }),
                },
                word => return Err(format!("{word} is followed by what does not belong there")),
            }
        }
    }

    /// Takes what is up to the end for a template of that name. A range around it is none of it.
    fn define(&mut self, keyword: &str, name: &str, depth: usize) -> Result<(), String> {
        let ranges = std::mem::take(&mut self.ranges);
        let (nodes, end) = self.block(depth + 1, false)?;
        self.ranges = ranges;
        match end {
            Close::End => {}
            Close::Template => return Err(format!("the end of {keyword} is missing")),
            Close::Else(_) => return Err(format!("an else stands in {keyword} {name:?}")),
        }
        // blanks alone replace nothing, and are replaced by anything
        match self.named.get(name) {
            Some(known) if !blank(known) && !blank(&nodes) => {
                return Err(format!("{name:?} is defined more than once"));
            }
            Some(known) if !blank(known) => {}
            _ => drop(self.named.insert(name.to_owned(), nodes)),
        }
        Ok(())
    }

    fn branch(&mut self, keyword: &str, head: &[Token], depth: usize) -> Result<Node, String> {
        if depth > MAX_DEPTH {
            return Err("it is nested too deep".to_owned());
        }
        let pipeline = self.pipeline(&mut Words::new(head), keyword == "range")?;
        let ranges = self.ranges;
        self.ranges += usize::from(keyword == "range");
        let (body, end) = self.block(depth + 1, false)?;
        self.ranges = ranges;
        let otherwise = match end {
            Close::Template => return Err(format!("the end of {keyword} is missing")),
            Close::End => vec![],
            Close::Else(rest) if rest.is_empty() => match self.block(depth + 1, false)? {
                (nodes, Close::End) => nodes,
                _ => return Err(format!("the end of {keyword} is missing")),
            },
            Close::Else(rest) => match rest.split_first() {
                Some((Token::Word(word), rest)) if word == keyword && keyword != "range" => {
                    vec![self.branch(keyword, rest, depth + 1)?]
                }
                _ => return Err(format!("an else of {keyword} is followed by what does not belong there")),
            },
        };
        Ok(match keyword {
            "if" => Node::If(pipeline, body, otherwise),
            "with" => Node::With(pipeline, body, otherwise),
            _ => Node::Range(pipeline, body, otherwise),
        })
    }

    /// All that is left of the words.
    fn pipeline(&self, words: &mut Words<'_>, range: bool) -> Result<Pipeline, String> {
        let pipeline = self.part(words, range, 0)?;
        if words.next().is_some() { Err("a ) without its (".to_owned()) } else { Ok(pipeline) }
    }

    fn part(&self, words: &mut Words<'_>, range: bool, depth: usize) -> Result<Pipeline, String> {
        if depth > MAX_DEPTH {
            return Err("it is nested too deep".to_owned());
        }
        let mut pipeline = Pipeline::default();
        match words.rest() {
            [Token::Variable(name), Token::Declare | Token::Assign, ..] => {
                pipeline.declares = matches!(words.rest().get(1), Some(Token::Declare));
                pipeline.variables = vec![name.clone()];
                words.skip(2);
            }
            [Token::Variable(a), Token::Comma, Token::Variable(b), Token::Declare | Token::Assign, ..]
                if range =>
            {
                pipeline.declares = matches!(words.rest().get(3), Some(Token::Declare));
                pipeline.variables = vec![a.clone(), b.clone()];
                words.skip(4);
            }
            _ => {}
        }
        loop {
            let mut command = Vec::new();
            let more = loop {
                match words.peek() {
                    None => break false,
                    Some(Token::Close) if depth > 0 => break false,
                    Some(Token::Pipe) => {
                        words.skip(1);
                        break true;
                    }
                    Some(_) => command.push(self.operand(words, depth)?),
                }
            };
            if command.is_empty() {
                return Err("a value is missing".to_owned());
            }
            pipeline.commands.push(command);
            if !more {
                return Ok(pipeline);
            }
        }
    }

    fn operand(&self, words: &mut Words<'_>, depth: usize) -> Result<Operand, String> {
        let mut operand = match words.next() {
            Some(Token::Text(text)) => Operand::Value(Value::String(text.clone())),
            Some(Token::Number(text)) => {
                Operand::Value(number(text).ok_or_else(|| format!("{text} is no number"))?)
            }
            Some(Token::Dot) => Operand::Dot,
            Some(Token::Field(name, false)) => Operand::Field(Box::new(Operand::Dot), name.clone()),
            Some(Token::Variable(name)) => Operand::Variable(name.clone()),
            Some(Token::Word(word)) => match word.as_str() {
                "true" => Operand::Value(Value::Bool(true)),
                "false" => Operand::Value(Value::Bool(false)),
                "nil" => Operand::Value(Value::Null),
                word if (self.known)(word) => Operand::Function(word.to_owned()),
                word => return Err(format!("there is no function {word}")),
            },
            Some(Token::Open) => {
                let inner = self.part(words, false, depth + 1)?;
                match words.next() {
                    Some(Token::Close) => Operand::Group(inner),
                    _ => return Err("a ( is not closed".to_owned()),
                }
            }
            _ => return Err("a word stands where a value is expected".to_owned()),
        };
        let mut fields = 0;
        while let Some(Token::Field(name, true)) = words.peek() {
            fields += 1;
            if fields > MAX_DEPTH {
                return Err("it is nested too deep".to_owned());
            }
            operand = Operand::Field(Box::new(operand), name.clone());
            words.skip(1);
        }
        Ok(operand)
    }
}

/// The name that follows a keyword, and what follows it.
fn named<'t>(keyword: &str, tokens: &'t [Token]) -> Result<(String, &'t [Token]), String> {
    match tokens {
        [Token::Text(name), rest @ ..] => Ok((name.clone(), rest)),
        _ => Err(format!("{keyword} takes a name in quotes first")),
    }
}

/// Whether there is nothing but blanks.
fn blank(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}

struct Words<'a> {
    all: &'a [Token],
    at: usize,
}

impl<'a> Words<'a> {
    fn new(all: &'a [Token]) -> Words<'a> {
        Words { all, at: 0 }
    }

    fn rest(&self) -> &'a [Token] {
        self.all.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<&'a Token> {
        self.all.get(self.at)
    }

    fn next(&mut self) -> Option<&'a Token> {
        self.at += 1;
        self.all.get(self.at - 1)
    }

    fn skip(&mut self, count: usize) {
        self.at += count;
    }
}

/// A number as it is written: whole, hexadecimal or with a fraction.
fn number(text: &str) -> Option<Value> {
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    if let Some(hex) = digits.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).ok().and_then(|n| n.checked_mul(sign)).map(Value::from);
    }
    match plain.parse::<i64>() {
        Ok(whole) => Some(Value::from(whole)),
        Err(_) => Number::from_f64(plain.parse().ok()?).map(Value::Number),
    }
}
