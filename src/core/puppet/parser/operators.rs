//! Operators and how strongly they bind: the Pratt part of the parser.

use super::Parser;
use crate::error::Error;
use crate::lexer::{Keyword, Sign, Tok};
use crate::source::Span;
use crate::syntax::{Id, Node, Operator};

/// How strongly operators bind, from the loosest.
mod power {
    pub(super) const ASSIGN: u8 = 1;
    pub(super) const OR: u8 = 2;
    pub(super) const AND: u8 = 3;
    pub(super) const SELECT: u8 = 4;
    pub(super) const ORDER: u8 = 5;
    pub(super) const EQUAL: u8 = 6;
    pub(super) const SHIFT: u8 = 7;
    pub(super) const ADD: u8 = 8;
    pub(super) const MULTIPLY: u8 = 9;
    pub(super) const MATCH: u8 = 10;
    pub(super) const IN: u8 = 11;
    pub(super) const MINUS: u8 = 12;
    pub(super) const SPLAT: u8 = 13;
    pub(super) const NOT: u8 = 14;
}

fn binary(tok: &Tok) -> Option<(Operator, u8)> {
    Some(match tok {
        Tok::Keyword(Keyword::In) => (Operator::In, power::IN),
        Tok::Sign(sign) => match sign {
            Sign::Match => (Operator::Match, power::MATCH),
            Sign::NoMatch => (Operator::NoMatch, power::MATCH),
            Sign::Times => (Operator::Multiply, power::MULTIPLY),
            Sign::Divide => (Operator::Divide, power::MULTIPLY),
            Sign::Modulo => (Operator::Modulo, power::MULTIPLY),
            Sign::Plus => (Operator::Add, power::ADD),
            Sign::Minus => (Operator::Subtract, power::ADD),
            Sign::ShiftLeft => (Operator::ShiftLeft, power::SHIFT),
            Sign::ShiftRight => (Operator::ShiftRight, power::SHIFT),
            Sign::Equal => (Operator::Equal, power::EQUAL),
            Sign::NotEqual => (Operator::NotEqual, power::EQUAL),
            Sign::Less => (Operator::Less, power::ORDER),
            Sign::AtMost => (Operator::AtMost, power::ORDER),
            Sign::Greater => (Operator::Greater, power::ORDER),
            Sign::AtLeast => (Operator::AtLeast, power::ORDER),
            _ => return None,
        },
        _ => return None,
    })
}

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Result<Id, Error> {
        self.binding(power::ASSIGN)
    }

    /// An expression whose operators bind at least as strongly.
    fn binding(&mut self, least: u8) -> Result<Id, Error> {
        self.deeper(|parser| {
            let mut left = parser.prefix()?;
            while let Some(next) = parser.infix(left, least)? {
                left = next;
            }
            Ok(left)
        })
    }

    /// One operator and its right side, if there is one that binds strongly enough.
    fn infix(&mut self, left: Id, least: u8) -> Result<Option<Id>, Error> {
        let begin = self.span_of(left);
        if let Some((operator, power)) = binary(self.peek()) {
            if power < least {
                return Ok(None);
            }
            self.step();
            let right = self.binding(power + 1)?;
            return Ok(Some(self.binary_node(Node::Binary(operator, left, right), begin)));
        }
        let (word, power) = match self.peek() {
            Tok::Keyword(Keyword::And) => (Keyword::And, power::AND),
            Tok::Keyword(Keyword::Or) => (Keyword::Or, power::OR),
            Tok::Sign(Sign::Question) if power::SELECT >= least => return self.selector(left).map(Some),
            Tok::Sign(Sign::Assign) if power::ASSIGN >= least => {
                self.step();
                self.assignable(left)?;
                let right = self.binding(power::ASSIGN)?;
                return Ok(Some(self.binary_node(Node::Assign(left, right), begin)));
            }
            Tok::Sign(sign @ (Sign::AppendTo | Sign::RemoveFrom)) => {
                let message = format!(
                    "The operator '{0}' is no longer supported: variables are assigned once, write $b = $a {1} …",
                    sign.text(),
                    &sign.text()[..1]
                );
                return Err(self.error(message, self.span()));
            }
            Tok::Sign(Sign::Before | Sign::After | Sign::Notify | Sign::NotifiedBy) => {
                let message = "A Relationship is only available when compiling a catalog, not in a plan";
                return Err(self.error(message, self.span()));
            }
            _ => return Ok(None),
        };
        if power < least {
            return Ok(None);
        }
        self.step();
        let right = self.binding(power + 1)?;
        let node = if word == Keyword::And { Node::And(left, right) } else { Node::Or(left, right) };
        Ok(Some(self.binary_node(node, begin)))
    }

    fn binary_node(&mut self, node: Node, begin: Span) -> Id {
        let span = begin.to(self.last());
        self.add(node, span)
    }

    /// Whether something may stand left of `=`.
    fn assignable(&self, id: Id) -> Result<(), Error> {
        let span = self.span_of(id);
        match self.node(id) {
            Node::Variable(name) if name.bytes().all(|b| b.is_ascii_digit()) => {
                Err(self.error(format!("'${name}' is what a match found, and cannot be assigned"), span))
            }
            Node::Variable(name) if name.contains("::") => {
                let message = format!(
                    "Illegal attempt to assign to '{name}'. Cannot assign to variables in other namespaces"
                );
                Err(self.error(message, span))
            }
            Node::Variable(name) => self.well_named(name, span),
            Node::Array(items) => items.iter().try_for_each(|item| self.assignable(*item)),
            Node::Index(..) => {
                let message = "Illegal attempt to assign via [index/key]. Not an assignable reference: \
                               values do not change, make a new one with +";
                Err(self.error(message, span))
            }
            _ => Err(self.error("Illegal attempt to assign: a variable stands left of '='", span)),
        }
    }

    pub(super) fn well_named(&self, name: &str, span: Span) -> Result<(), Error> {
        match name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') {
            true => Ok(()),
            false => {
                let message = format!(
                    "Illegal variable name, The given name '{name}' begins neither with a small letter nor with '_'"
                );
                Err(self.error(message, span))
            }
        }
    }

    fn selector(&mut self, of: Id) -> Result<Id, Error> {
        self.step();
        let begin = self.span_of(of);
        let mut options = vec![];
        if self.is(Sign::OpenBrace) {
            self.step();
            while !self.is(Sign::CloseBrace) {
                options.push(self.selector_option()?);
                if !self.take(Sign::Comma) {
                    break;
                }
            }
            self.expect(Sign::CloseBrace, "to end this selector")?;
        } else {
            options.push(self.selector_option()?);
        }
        let span = begin.to(self.last());
        Ok(self.add(Node::Selector { of, options: options.into() }, span))
    }

    fn selector_option(&mut self) -> Result<(Id, Id), Error> {
        let key = self.binding(power::AND)?;
        self.expect(Sign::Arrow, "and a value in this selector")?;
        Ok((key, self.binding(power::AND)?))
    }

    fn prefix(&mut self) -> Result<Id, Error> {
        let begin = self.span();
        let (make, power): (fn(Id) -> Node, u8) = match self.peek() {
            Tok::Sign(Sign::Not) => (Node::Not, power::NOT),
            Tok::Sign(Sign::Minus) => (Node::Negate, power::MINUS),
            Tok::Sign(Sign::Times) => (Node::Splat, power::SPLAT),
            _ => return self.postfix(),
        };
        self.step();
        let inner = self.binding(power)?;
        let span = begin.to(self.last());
        Ok(self.add(make(inner), span))
    }
}
