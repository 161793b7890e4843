//! Tokens to a tree: a Pratt parser (spec 07 §C3). Each error is one sentence that says
//! what was expected.

mod effects;
mod expressions;
mod operators;
mod statements;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::budget::{DEPTH, Stack};
use crate::error::Error;
use crate::lexer::{Keyword, Sign, Tok, Token, lex};
use crate::source::{Source, Span};
use crate::syntax::{AliasDefinition, Definition, Id, Node, Unit};
use crate::value::Text;

/// Stack that parsing may use. A plan that another calls is parsed below what runs already:
/// both together stay within the two megabytes of a thread.
const STACK: usize = 640 << 10;

/// A whole file: definitions and statements.
pub(crate) fn parse(source: Arc<Source>) -> Result<Unit, Error> {
    let tokens = lex(&source)?;
    let mut parser = Parser::new(&source, tokens);
    let body = parser.file()?;
    let Parser { nodes, spans, definitions, aliases, .. } = parser;
    Ok(Unit { source, nodes, spans, definitions, aliases, body })
}

/// One expression and nothing else, as the type of a task's parameter is.
pub(crate) fn parse_expression(source: Arc<Source>) -> Result<Unit, Error> {
    let tokens = lex(&source)?;
    let mut parser = Parser::new(&source, tokens);
    let body = parser.expression()?;
    if *parser.peek() != Tok::End {
        return Err(parser.unexpected("the end of the text"));
    }
    let Parser { nodes, spans, definitions, aliases, .. } = parser;
    Ok(Unit { source, nodes, spans, definitions, aliases, body })
}

struct Parser<'s> {
    source: &'s Source,
    tokens: Vec<Token>,
    at: usize,
    nodes: Vec<Node>,
    spans: Vec<Span>,
    definitions: Vec<Definition>,
    aliases: Vec<AliasDefinition>,
    depth: u16,
    stack: Stack,
}

impl<'s> Parser<'s> {
    fn new(source: &'s Source, tokens: Vec<Token>) -> Parser<'s> {
        Parser {
            source,
            tokens,
            at: 0,
            nodes: vec![],
            spans: vec![],
            definitions: vec![],
            aliases: vec![],
            depth: 0,
            stack: Stack::here(STACK),
        }
    }

    fn peek(&self) -> &Tok {
        // the last token is an end, and nothing steps over it
        &self.tokens[self.at].tok
    }

    fn token(&self) -> &Token {
        &self.tokens[self.at]
    }

    fn after(&self) -> &Tok {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].tok
    }

    fn span(&self) -> Span {
        self.tokens[self.at].span
    }

    /// The span of the token before.
    fn last(&self) -> Span {
        self.tokens[self.at.saturating_sub(1)].span
    }

    fn step(&mut self) {
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
    }

    fn is(&self, sign: Sign) -> bool {
        *self.peek() == Tok::Sign(sign)
    }

    fn is_word(&self, word: Keyword) -> bool {
        *self.peek() == Tok::Keyword(word)
    }

    /// Steps over a sign if it is there.
    fn take(&mut self, sign: Sign) -> bool {
        let found = self.is(sign);
        if found {
            self.step();
        }
        found
    }

    fn expect(&mut self, sign: Sign, purpose: &str) -> Result<(), Error> {
        match self.take(sign) {
            true => Ok(()),
            false => Err(self.unexpected(&format!("'{}' {purpose}", sign.text()))),
        }
    }

    fn error(&self, message: impl Into<String>, span: Span) -> Error {
        Error::syntax(message, self.source, span)
    }

    /// Something else stands where this was expected.
    fn unexpected(&self, expected: &str) -> Error {
        let found = self.peek().shown();
        let message = format!("Syntax error at {found}: expected {expected}");
        self.error(message, self.span())
    }

    fn add(&mut self, node: Node, span: Span) -> Id {
        let id = Id(self.nodes.len() as u32);
        self.nodes.push(node);
        self.spans.push(span);
        id
    }

    fn span_of(&self, id: Id) -> Span {
        self.spans[id.0 as usize]
    }

    fn node(&self, id: Id) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// One level deeper, for what calls itself.
    fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth >= DEPTH || self.stack.is_used_up() {
            let message = format!("code is nested deeper than {DEPTH} levels; move some of it to a function");
            return Err(self.error(message, self.span()));
        }
        self.depth += 1;
        let result = work(self);
        self.depth -= 1;
        result
    }

    fn name(&mut self, what: &str) -> Result<Text, Error> {
        match self.peek() {
            Tok::Name(name) => {
                let name = name.clone();
                self.step();
                Ok(name)
            }
            _ => Err(self.unexpected(what)),
        }
    }
}
