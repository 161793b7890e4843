//! Words of actions become a tree.

use serde_json::{Number, Value};

use super::lexer::{Piece, Token, pieces};

/// Deepest nesting of blocks and parentheses.
const MAX_DEPTH: usize = 50;
/// Words that begin, part or end blocks, or mean something we do not have.
const KEYWORDS: [&str; 10] =
    ["if", "range", "with", "else", "end", "define", "template", "block", "break", "continue"];

#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Print(Pipeline),
    If(Pipeline, Vec<Node>, Vec<Node>),
    With(Pipeline, Vec<Node>, Vec<Node>),
    Range(Pipeline, Vec<Node>, Vec<Node>),
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
pub(super) fn parse(text: &str, known: &dyn Fn(&str) -> bool) -> Result<Vec<Node>, String> {
    let pieces = pieces(text)?;
    let mut parser = Parser { pieces: pieces.into_iter(), known };
    let (nodes, end) = parser.block(0)?;
    match end {
        Close::Template => Ok(nodes),
        Close::End => Err("an end without its begin".to_owned()),
        Close::Else(_) => Err("an else without its if".to_owned()),
    }
}

struct Parser<'a, 'k> {
    pieces: std::vec::IntoIter<Piece<'a>>,
    known: &'k dyn Fn(&str) -> bool,
}

enum Close {
    Template,
    End,
    /// With what follows the word.
    Else(Vec<Token>),
}

impl Parser<'_, '_> {
    /// Nodes up to what ends the block.
    fn block(&mut self, depth: usize) -> Result<(Vec<Node>, Close), String> {
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
                word => return Err(format!("{word} is a part of the language that is not supported here")),
            }
        }
    }

    fn branch(&mut self, keyword: &str, head: &[Token], depth: usize) -> Result<Node, String> {
        if depth > MAX_DEPTH {
            return Err("it is nested too deep".to_owned());
        }
        let pipeline = self.pipeline(&mut Words::new(head), keyword == "range")?;
        let (body, end) = self.block(depth + 1)?;
        let otherwise = match end {
            Close::Template => return Err(format!("the end of {keyword} is missing")),
            Close::End => vec![],
            Close::Else(rest) if rest.is_empty() => match self.block(depth + 1)? {
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
