//! Values and what hangs on them: literals, lists, hashes, calls, indexes, blocks, strings with code.

use std::sync::Arc;

use super::Parser;
use crate::error::Error;
use crate::lexer::{Keyword, Part, Sign, Tok};
use crate::source::Span;
use crate::syntax::{Id, Lambda, Node, Parameter};
use crate::value::{Regexp, Text};

impl Parser<'_> {
    /// A value and what hangs on it: calls, indexes.
    pub(super) fn postfix(&mut self) -> Result<Id, Error> {
        let mut value = self.primary()?;
        let mut chained = 0_u32;
        loop {
            let token = self.token();
            let begin = self.span_of(value);
            match &token.tok {
                Tok::Sign(Sign::OpenBracket) if !token.spaced => {
                    self.step();
                    let keys = self.arguments(Sign::CloseBracket, "to end this index")?;
                    if keys.is_empty() {
                        return Err(self.error("expected a key between '[' and ']'", self.last()));
                    }
                    let span = begin.to(self.last());
                    value = self.add(Node::Index(value, keys), span);
                }
                Tok::Sign(Sign::Open)
                    if !token.first
                        && matches!(self.node(value), Node::Type(_) | Node::Index(..))
                        && self.is_type_expression(value) =>
                {
                    self.step();
                    let arguments = self.arguments(Sign::Close, "to end these arguments")?;
                    let span = begin.to(self.last());
                    value = self.add(Node::New { of: value, arguments }, span);
                }
                Tok::Sign(Sign::Dot) => {
                    self.step();
                    let name = match self.peek() {
                        Tok::Name(name) => name.clone(),
                        Tok::Keyword(word) => Text::literal(word.text()),
                        _ => return Err(self.unexpected("the name of a function behind '.'")),
                    };
                    self.step();
                    let mut arguments = [].into();
                    if self.is(Sign::Open) && !self.token().first {
                        self.step();
                        arguments = self.arguments(Sign::Close, "to end these arguments")?;
                    }
                    let lambda = self.lambda()?;
                    let span = begin.to(self.last());
                    value = self.add(Node::Method { of: value, name, arguments, lambda }, span);
                }
                _ => return Ok(value),
            }
            chained += 1;
            if chained > u32::from(crate::budget::DEPTH) {
                return Err(self.error("more calls in one chain than can be followed", self.last()));
            }
        }
    }

    fn is_type_expression(&self, id: Id) -> bool {
        match self.node(id) {
            Node::Type(_) => true,
            Node::Index(of, _) => matches!(self.node(*of), Node::Type(_)),
            _ => false,
        }
    }

    /// What stands between commas up to a sign; pairs behind each other are one hash.
    pub(super) fn arguments(&mut self, end: Sign, purpose: &str) -> Result<Box<[Id]>, Error> {
        let (mut items, mut pairs, mut begin) = (vec![], vec![], self.span());
        while !self.is(end) {
            let item = self.pair_key()?;
            if self.take(Sign::Arrow) {
                if pairs.is_empty() {
                    begin = self.span_of(item);
                }
                let value = self.expression()?;
                pairs.push((item, value));
            } else {
                self.collect(&mut pairs, &mut items, begin);
                items.push(item);
            }
            if !self.take(Sign::Comma) {
                break;
            }
        }
        self.collect(&mut pairs, &mut items, begin);
        self.expect(end, purpose)?;
        Ok(items.into())
    }

    fn collect(&mut self, pairs: &mut Vec<(Id, Id)>, items: &mut Vec<Id>, begin: Span) {
        if !pairs.is_empty() {
            let span = begin.to(self.last());
            items.push(self.add(Node::Hash(std::mem::take(pairs).into()), span));
        }
    }

    /// An expression that may turn out to be a key: `function` and `type` are words then.
    fn pair_key(&mut self) -> Result<Id, Error> {
        let span = self.span();
        match self.peek() {
            Tok::Keyword(word @ (Keyword::Function | Keyword::Type))
                if *self.after() == Tok::Sign(Sign::Arrow) =>
            {
                let text = Text::literal(word.text());
                self.step();
                Ok(self.add(Node::String(text), span))
            }
            _ => self.expression(),
        }
    }

    /// `|…| { … }`, if it is there.
    pub(super) fn lambda(&mut self) -> Result<Option<Box<Lambda>>, Error> {
        if !self.take(Sign::Pipe) {
            return Ok(None);
        }
        let parameters = self.parameters(Sign::Pipe)?;
        let returns = self.returns()?;
        self.expect(Sign::OpenBrace, "to begin this block")?;
        let body = self.block("block")?;
        Ok(Some(Box::new(Lambda { parameters, returns, body })))
    }

    pub(super) fn returns(&mut self) -> Result<Option<Id>, Error> {
        match self.take(Sign::ShiftRight) {
            true => Ok(Some(self.postfix()?)),
            false => Ok(None),
        }
    }

    /// Up to a sign, which is read too.
    pub(super) fn parameters(&mut self, end: Sign) -> Result<Box<[Parameter]>, Error> {
        let mut parameters: Vec<Parameter> = vec![];
        while !self.is(end) {
            let of = match self.peek() {
                Tok::Type(_) => Some(self.postfix()?),
                _ => None,
            };
            let rest = self.take(Sign::Times);
            let span = self.span();
            let name = match self.peek() {
                Tok::Variable(name) => name.clone(),
                _ => return Err(self.unexpected("a parameter, as in 'String $name'")),
            };
            if name.contains("::") {
                return Err(self.error(format!("the parameter '${name}' has a name with '::'"), span));
            }
            self.well_named(&name, span)?;
            self.step();
            if parameters.iter().any(|parameter| parameter.name == name) {
                return Err(self.error(format!("the parameter '${name}' is there twice"), span));
            }
            if parameters.iter().any(|parameter| parameter.rest) {
                return Err(
                    self.error("a parameter with '*' takes all that are left, so it is the last", span)
                );
            }
            // what a default may hold ends before `|`, which no operator begins with
            let default = if self.take(Sign::Assign) { Some(self.expression()?) } else { None };
            parameters.push(Parameter { name, of, default, rest });
            if !self.take(Sign::Comma) {
                break;
            }
        }
        self.expect(end, "or ',' behind a parameter")?;
        Ok(parameters.into())
    }

    fn primary(&mut self) -> Result<Id, Error> {
        let span = self.span();
        let node = match self.peek().clone() {
            Tok::Integer(n) => Node::Integer(n),
            Tok::Float(n) => Node::Float(n),
            Tok::String(text) | Tok::Word(text) => Node::String(text),
            Tok::Variable(name) => Node::Variable(name),
            Tok::Type(name) => Node::Type(name),
            Tok::Regexp(text) => Node::Regexp(self.compiled(&text, span)?),
            Tok::Interpolated(parts) => return self.interpolated(parts, span),
            Tok::Keyword(word) => return self.keyword(word, span),
            Tok::Name(name) => return self.named(name, span),
            Tok::Sign(Sign::Open) => {
                self.step();
                let inner = self.expression()?;
                self.expect(Sign::Close, "to end what this '(' began")?;
                return Ok(inner);
            }
            Tok::Sign(Sign::OpenBracket) => {
                self.step();
                let items = self.arguments(Sign::CloseBracket, "or ',' in this array")?;
                let span = span.to(self.last());
                return Ok(self.add(Node::Array(items), span));
            }
            Tok::Sign(Sign::OpenBrace) => return self.hash(),
            Tok::Sign(Sign::At | Sign::Collect | Sign::CollectAll) => {
                let message = "resources are only available when compiling a catalog, not in a plan";
                return Err(self.error(message, span));
            }
            _ => return Err(self.unexpected("a value")),
        };
        self.step();
        Ok(self.add(node, span))
    }

    fn compiled(&self, text: &Text, span: Span) -> Result<Arc<Regexp>, Error> {
        let compiled = Regexp::new(text);
        compiled
            .map(Arc::new)
            .map_err(|e| self.error(format!("the regular expression /{text}/ is wrong: {e}"), span))
    }

    /// A bare word: a call when `(` follows on its line.
    fn named(&mut self, name: Text, span: Span) -> Result<Id, Error> {
        self.step();
        if self.is(Sign::Open) && !self.token().first {
            self.step();
            let arguments = self.arguments(Sign::Close, "or ',' in these arguments")?;
            let lambda = self.lambda()?;
            let span = span.to(self.last());
            return Ok(self.add(Node::Call { name, arguments, lambda }, span));
        }
        Ok(self.add(Node::Name(name), span))
    }

    fn keyword(&mut self, word: Keyword, span: Span) -> Result<Id, Error> {
        let node = match word {
            Keyword::True => Node::Boolean(true),
            Keyword::False => Node::Boolean(false),
            Keyword::Undef => Node::Undef,
            Keyword::Default => Node::Default,
            Keyword::If | Keyword::Unless => return self.condition(),
            Keyword::Case => return self.case(),
            // words only where nothing is defined: `type(5)`
            Keyword::Type if *self.after() == Tok::Sign(Sign::Open) => {
                return self.named(Text::literal("type"), span);
            }
            Keyword::Attr | Keyword::Private => {
                let word = word.text();
                let message =
                    format!("Use of reserved word: {word}, must be quoted if intended to be a String value");
                return Err(self.error(message, span));
            }
            Keyword::Apply if *self.after() == Tok::Sign(Sign::Open) => {
                let message = "An apply block is only available when compiling a catalog, not in a plan";
                return Err(self.error(message, span));
            }
            Keyword::Class | Keyword::Define | Keyword::Node => {
                let what = match word {
                    Keyword::Class => "A Host Class Definition",
                    Keyword::Define => "A Defined Type",
                    _ => "A Node Definition",
                };
                // a key without quotes is the likelier slip in a hash
                if *self.after() == Tok::Sign(Sign::Arrow) {
                    self.step();
                    return Err(
                        self.unexpected(&format!("a value; '{}' as a key stands in quotes", word.text()))
                    );
                }
                let message = format!("{what} is only available when compiling a catalog, not in a plan");
                return Err(self.error(message, span));
            }
            Keyword::Plan | Keyword::Apply if *self.after() == Tok::Sign(Sign::Arrow) => {
                self.step();
                return Err(self.unexpected(&format!("a value; '{}' as a key stands in quotes", word.text())));
            }
            _ => return Err(self.unexpected("a value")),
        };
        self.step();
        Ok(self.add(node, span))
    }

    fn hash(&mut self) -> Result<Id, Error> {
        let begin = self.span();
        self.step();
        let mut pairs = vec![];
        while !self.is(Sign::CloseBrace) {
            let key = self.pair_key()?;
            self.expect(Sign::Arrow, "and a value behind the key of this hash")?;
            let value = self.expression()?;
            pairs.push((key, value));
            if !self.take(Sign::Comma) {
                break;
            }
        }
        self.expect(Sign::CloseBrace, "or ',' in this hash")?;
        let span = begin.to(self.last());
        Ok(self.add(Node::Hash(pairs.into()), span))
    }

    fn interpolated(&mut self, parts: Vec<Part>, span: Span) -> Result<Id, Error> {
        self.step();
        let mut ids = vec![];
        for part in parts {
            ids.push(match part {
                Part::Text(text) => self.add(Node::String(text), span),
                Part::Variable(name, span) => self.add(Node::Variable(name), span),
                Part::Code(mut tokens) => {
                    first_name_is_a_variable(&mut tokens);
                    let outer =
                        (std::mem::replace(&mut self.tokens, tokens), std::mem::replace(&mut self.at, 0));
                    let code = self.statements(|parser| *parser.peek() == Tok::End);
                    (self.tokens, self.at) = outer;
                    code?
                }
            });
        }
        Ok(self.add(Node::Interpolated(ids.into()), span))
    }
}

/// In `${name}`, `${name[…]}` and `${name.call}` the name is a variable; in all others it
/// is text or a call, so that `${a + 1}` adds to the text `a` (spec 07 §C2).
fn first_name_is_a_variable(tokens: &mut [crate::lexer::Token]) {
    let Some(second) = tokens.get(1) else { return };
    let follows = match (&second.tok, second.spaced) {
        (Tok::End | Tok::Sign(Sign::Dot), _) => true,
        (Tok::Sign(Sign::OpenBracket), spaced) => !spaced,
        _ => false,
    };
    let alone = second.tok == Tok::End;
    let name = match &tokens[0].tok {
        Tok::Name(name) | Tok::Word(name) if follows => name.clone(),
        Tok::Integer(n) if alone && *n >= 0 => Text::literal(&n.to_string()),
        Tok::Keyword(word)
            if follows
                && !matches!(word, Keyword::True | Keyword::False | Keyword::Undef | Keyword::Default) =>
        {
            Text::literal(word.text())
        }
        _ => return,
    };
    tokens[0].tok = Tok::Variable(name);
}
