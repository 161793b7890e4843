//! Files, blocks, statements without parentheses, conditions.

use super::Parser;
use crate::error::Error;
use crate::lexer::{Keyword, Sign, Tok};
use crate::source::Span;
use crate::syntax::{AliasDefinition, Definition, Id, Node};

/// Functions that are called without parentheses too.
const CALLED: [&str; 15] = [
    "require", "realize", "include", "contain", "tag", "debug", "info", "notice", "warning", "err", "fail",
    "import", "break", "next", "return",
];

impl Parser<'_> {
    /// Everything up to the end of the text.
    pub(super) fn file(&mut self) -> Result<Id, Error> {
        let mut statements = vec![];
        while *self.peek() != Tok::End {
            if self.definition()? {
                continue;
            }
            let before = self.at;
            statements.push(self.statement()?);
            self.semicolons(before)?;
        }
        self.check_effects(&statements)?;
        let end = self.span();
        let begin = statements.first().map_or(end, |first| self.span_of(*first));
        Ok(self.add(Node::Block(statements.into()), begin.to(end)))
    }

    /// A plan, a function or a type, if one begins here.
    fn definition(&mut self) -> Result<bool, Error> {
        let (begin, next) = (self.span(), self.after().clone());
        match (self.peek(), next) {
            (Tok::Keyword(word @ (Keyword::Plan | Keyword::Function)), Tok::Name(_)) => {
                let plan = *word == Keyword::Plan;
                self.step();
                let name = self.name("a name")?;
                let mut parameters = [].into();
                if self.take(Sign::Open) {
                    parameters = self.parameters(Sign::Close)?;
                } else if !plan || !self.is(Sign::OpenBrace) {
                    return Err(self.unexpected("'(' behind the name"));
                }
                let returns = self.returns()?;
                if plan && returns.is_some() {
                    return Err(self.error("a plan has no type behind '>>'; only functions have", begin));
                }
                self.expect(Sign::OpenBrace, "to begin the body")?;
                let body = self.block(if plan { "plan" } else { "function" })?;
                if self.definitions.iter().any(|known| known.plan == plan && known.name == name) {
                    return Err(self.error(format!("'{name}' is defined twice"), begin));
                }
                self.definitions.push(Definition { plan, name, parameters, returns, body, span: begin });
                Ok(true)
            }
            (Tok::Keyword(Keyword::Plan | Keyword::Function), _) => {
                self.step();
                Err(self.unexpected("the name of what is defined"))
            }
            (Tok::Keyword(Keyword::Type), Tok::Type(name)) => {
                self.step();
                self.step();
                self.expect(Sign::Assign, "and a type behind the name of this one")?;
                let of = self.expression()?;
                self.aliases.push(AliasDefinition { name, of, span: begin });
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Statements up to the brace that ends them, which is read too.
    pub(super) fn block(&mut self, what: &str) -> Result<Id, Error> {
        let begin = self.last();
        let id = self.deeper(|parser| parser.statements(|parser| parser.is(Sign::CloseBrace)))?;
        self.expect(Sign::CloseBrace, &format!("to end this {what}"))?;
        self.spans[id.0 as usize] = begin.to(self.last());
        Ok(id)
    }

    pub(super) fn statements(&mut self, ends: impl Fn(&Self) -> bool) -> Result<Id, Error> {
        let begin = self.span();
        let mut statements = vec![];
        while !ends(self) {
            if *self.peek() == Tok::End {
                break;
            }
            if let (Tok::Keyword(Keyword::Plan | Keyword::Function), Tok::Name(_)) =
                (self.peek(), self.after())
            {
                let message =
                    "plans and functions are defined outside of everything else, each in its own file";
                return Err(self.error(message, self.span()));
            }
            let before = self.at;
            statements.push(self.statement()?);
            self.semicolons(before)?;
        }
        self.check_effects(&statements)?;
        let span = begin.to(self.last());
        Ok(self.add(Node::Block(statements.into()), span))
    }

    /// Between statements there may be one; nothing else that begins no statement.
    fn semicolons(&mut self, before: usize) -> Result<(), Error> {
        self.take(Sign::Semicolon);
        if self.is(Sign::Comma) {
            let message = "Syntax error at ',': illegal comma separated argument list; \
                           a call in an expression needs parentheses";
            return Err(self.error(message, self.span()));
        }
        // a statement that took no token would be read for ever
        if self.at == before { Err(self.unexpected("a statement")) } else { Ok(()) }
    }

    fn statement(&mut self) -> Result<Id, Error> {
        let (begin, first) = (self.span(), self.peek().clone());
        if let Tok::Name(name) = &first {
            let called = CALLED.contains(&name.as_str());
            let adjacent = self.tokens.get(self.at + 1).is_some_and(|next| {
                next.tok == Tok::Sign(Sign::Open) && !next.first
                    || matches!(next.tok, Tok::Sign(Sign::Arrow | Sign::Assign | Sign::Dot))
            });
            if called && !adjacent {
                self.step();
                let mut arguments = vec![];
                if self.begins_value() {
                    loop {
                        arguments.push(self.statement_argument()?);
                        if !self.take(Sign::Comma) {
                            break;
                        }
                    }
                }
                let lambda = self.lambda()?;
                let span = begin.to(self.last());
                return Ok(
                    self.add(Node::Call { name: name.clone(), arguments: arguments.into(), lambda }, span)
                );
            }
        }
        let expression = self.expression()?;
        if self.is(Sign::OpenBrace) && matches!(self.node(expression), Node::Name(_) | Node::Type(_)) {
            let message = "A Resource Statement is only available when compiling a catalog, not in a plan";
            return Err(self.error(message, begin));
        }
        Ok(expression)
    }

    /// An argument without parentheses around the list: pairs are one hash.
    fn statement_argument(&mut self) -> Result<Id, Error> {
        let first = self.expression()?;
        if !self.take(Sign::Arrow) {
            return Ok(first);
        }
        let begin = self.span_of(first);
        let mut pairs = vec![(first, self.expression()?)];
        while self.is(Sign::Comma) {
            self.step();
            let key = self.expression()?;
            self.expect(Sign::Arrow, "and a value behind this key")?;
            pairs.push((key, self.expression()?));
        }
        let span = begin.to(self.last());
        Ok(self.add(Node::Hash(pairs.into()), span))
    }

    /// Whether the argument of a call without parentheses may begin here.
    fn begins_value(&self) -> bool {
        match self.peek() {
            Tok::End => false,
            Tok::Sign(sign) => {
                matches!(
                    sign,
                    Sign::Open | Sign::OpenBracket | Sign::OpenBrace | Sign::Not | Sign::Minus | Sign::Times
                )
            }
            Tok::Keyword(word) => matches!(
                word,
                Keyword::True
                    | Keyword::False
                    | Keyword::Undef
                    | Keyword::Default
                    | Keyword::If
                    | Keyword::Unless
                    | Keyword::Case
                    | Keyword::Type
            ),
            _ => true,
        }
    }

    /// `if` and `unless`, which are values too.
    pub(super) fn condition(&mut self) -> Result<Id, Error> {
        let (begin, unless) = (self.span(), self.is_word(Keyword::Unless));
        let what = if unless { "unless" } else { "if" };
        self.step();
        self.deeper(|parser| {
            let test = parser.expression()?;
            parser.expect(Sign::OpenBrace, &format!("behind the condition of this '{what}'"))?;
            let then = parser.block(what)?;
            let otherwise = parser.otherwise(unless)?;
            let span = begin.to(parser.last());
            Ok(parser.add(Node::If { test, then, otherwise, unless }, span))
        })
    }

    fn otherwise(&mut self, unless: bool) -> Result<Option<Id>, Error> {
        if self.is_word(Keyword::Elsif) {
            if unless {
                return Err(self.unexpected("'else': an 'unless' has no 'elsif'"));
            }
            return self.condition().map(Some);
        }
        if !self.is_word(Keyword::Else) {
            return Ok(None);
        }
        self.step();
        self.expect(Sign::OpenBrace, "behind 'else'")?;
        self.block("else").map(Some)
    }

    pub(super) fn case(&mut self) -> Result<Id, Error> {
        let begin = self.span();
        self.step();
        let of = self.expression()?;
        self.expect(Sign::OpenBrace, "behind the value of this 'case'")?;
        let mut options = vec![];
        while !self.take(Sign::CloseBrace) {
            let mut values = vec![];
            loop {
                values.push(self.expression()?);
                if !self.take(Sign::Comma) || self.is(Sign::Colon) {
                    break;
                }
            }
            self.expect(Sign::Colon, "behind the values of this option")?;
            self.expect(Sign::OpenBrace, "to begin what this option does")?;
            options.push((values.into(), self.block("option")?));
        }
        let span: Span = begin.to(self.last());
        Ok(self.add(Node::Case { of, options: options.into() }, span))
    }
}
