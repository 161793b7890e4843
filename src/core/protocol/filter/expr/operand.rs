//! Parsing what operators stand between: literals, calls, lists, maps, and
//! what follows them.

use super::ast::Node;
use super::builtin;
use super::lexer::Token;
use super::parser::{Parsed, Parser, Tree};

fn is_identifier(word: &str) -> bool {
    word.starts_with(|c: char| c == '_' || c == '$' || c.is_alphabetic())
}

impl Parser<'_> {
    pub(super) fn secondary(&mut self) -> Parsed {
        let tree = match self.next() {
            Token::Name(name) => match name.as_str() {
                // Literals take no postfix; `true.x` is an error.
                "true" => return self.leaf(Node::Bool(true)),
                "false" => return self.leaf(Node::Bool(false)),
                "nil" => return self.leaf(Node::Nil),
                _ if self.is_bracket('(') => self.call(name, None)?,
                _ => self.leaf(Node::Name(name))?,
            },
            Token::Number(text) => return self.number(&text),
            Token::Text(text) => self.leaf(Node::Text(text.into()))?,
            Token::Bracket('[') => self.list()?,
            Token::Bracket('{') => self.map()?,
            other => {
                self.current = other;
                return Err(self.unexpected());
            }
        };
        self.postfix(tree)
    }

    fn number(&mut self, text: &str) -> Parsed {
        let plain = text.replace('_', "").to_ascii_lowercase();
        let radix = |digits: &str, radix| i64::from_str_radix(digits, radix).ok();
        let bad = || format!("invalid number {text}");
        let node = if let Some(digits) = plain.strip_prefix("0x") {
            Node::Int(radix(digits, 16).ok_or_else(bad)?)
        } else if plain.contains(['.', 'e']) {
            let float: f64 = plain.parse().map_err(|_| bad())?;
            if !float.is_finite() {
                return Err(bad());
            }
            Node::Float(float)
        } else if let Some(digits) = plain.strip_prefix("0b") {
            Node::Int(radix(digits, 2).ok_or_else(bad)?)
        } else if let Some(digits) = plain.strip_prefix("0o") {
            Node::Int(radix(digits, 8).ok_or_else(bad)?)
        } else {
            Node::Int(plain.parse().map_err(|_| bad())?)
        };
        self.leaf(node)
    }

    pub(super) fn call(&mut self, name: String, first: Option<Tree>) -> Parsed {
        if (self.environment)(&name) {
            let (arguments, depth) = self.arguments(first)?;
            return self.node(Node::Call(name, arguments), depth);
        }
        self.call_builtin(name, first)
    }

    pub(super) fn call_builtin(&mut self, name: String, first: Option<Tree>) -> Parsed {
        let Some(builtin) = builtin::find(&name) else {
            let (arguments, depth) = self.arguments(first)?;
            return self.node(Node::Call(name, arguments), depth);
        };
        let (arguments, depth) = match builtin.predicate {
            Some(shape) => self.predicate_arguments(shape, first)?,
            None => self.arguments(first)?,
        };
        self.node(Node::Builtin(builtin.name, arguments), depth)
    }

    fn arguments(&mut self, first: Option<Tree>) -> Result<(Vec<Node>, u32), String> {
        let mut depth = first.as_ref().map_or(0, |f| f.1);
        let mut arguments: Vec<Node> = first.into_iter().map(|f| f.0).collect();
        let given = arguments.len();
        self.expect_bracket('(')?;
        while !self.is_bracket(')') {
            if arguments.len() > given {
                self.expect_operator(",")?;
                if self.is_bracket(')') {
                    break;
                }
            }
            let (node, below) = self.expression(0)?;
            arguments.push(node);
            depth = depth.max(below);
        }
        self.expect_bracket(')')?;
        Ok((arguments, depth))
    }

    fn predicate_arguments(
        &mut self,
        shape: &[builtin::Parameter],
        first: Option<Tree>,
    ) -> Result<(Vec<Node>, u32), String> {
        let mut depth = first.as_ref().map_or(0, |f| f.1);
        let mut arguments: Vec<Node> = first.into_iter().map(|f| f.0).collect();
        let given = arguments.len();
        self.expect_bracket('(')?;
        for parameter in shape.iter().skip(given) {
            if self.is_bracket(')') && parameter.optional {
                break;
            }
            if arguments.len() > given {
                self.expect_operator(",")?;
            }
            let (node, below) = if parameter.predicate { self.predicate()? } else { self.expression(0)? };
            arguments.push(node);
            depth = depth.max(below);
        }
        self.eat_operator(",");
        self.expect_bracket(')')?;
        Ok((arguments, depth))
    }

    fn predicate(&mut self) -> Parsed {
        self.predicates += 1;
        let body = if self.is_bracket('{') { self.block()? } else { self.expression(0)? };
        self.predicates -= 1;
        Ok(body)
    }

    fn list(&mut self) -> Parsed {
        let (mut items, mut depth) = (Vec::new(), 0);
        while !self.is_bracket(']') {
            if !items.is_empty() {
                self.expect_operator(",")?;
                if self.is_bracket(']') {
                    break;
                }
            }
            let (node, below) = self.expression(0)?;
            items.push(node);
            depth = depth.max(below);
        }
        self.expect_bracket(']')?;
        self.node(Node::List(items), depth)
    }

    fn map(&mut self) -> Parsed {
        let (mut pairs, mut depth) = (Vec::new(), 0);
        while !self.is_bracket('}') {
            if !pairs.is_empty() {
                self.expect_operator(",")?;
                if self.is_bracket('}') {
                    break;
                }
            }
            let key = match &self.current {
                Token::Number(word) | Token::Text(word) | Token::Name(word) => {
                    let key = self.leaf(Node::Text(word.as_str().into()))?;
                    self.next();
                    key
                }
                Token::Bracket('(') => self.expression(0)?,
                _ => return Err(self.unexpected()),
            };
            self.expect_operator(":")?;
            let value = self.expression(0)?;
            depth = depth.max(key.1).max(value.1);
            pairs.push((key.0, value.0));
        }
        self.expect_bracket('}')?;
        self.node(Node::Map(pairs), depth)
    }

    pub(super) fn postfix(&mut self, tree: Tree) -> Parsed {
        let mut tree = tree;
        loop {
            let mut optional = false;
            if self.is_operator(".") || self.is_operator("?.") {
                optional = self.is_operator("?.");
                self.next();
                if !(optional && self.is_bracket('[')) {
                    tree = self.member(tree, optional)?;
                    continue;
                }
            }
            if !self.is_bracket('[') {
                return Ok(tree);
            }
            self.next();
            tree = self.index(tree, optional)?;
        }
    }

    fn member(&mut self, tree: Tree, optional: bool) -> Parsed {
        let name = match self.next() {
            Token::Name(name) => name,
            Token::Operator(word) if is_identifier(&word) => word,
            _ => return Err("expected a name after the dot".into()),
        };
        let (base, depth, chained) = match tree.0 {
            Node::Chain(inner) => (inner, tree.1, true),
            other => (Box::new(other), tree.1, false),
        };
        let (node, depth) = if self.is_bracket('(') {
            let (arguments, below) = self.arguments(None)?;
            (Node::Method { base, name, optional, arguments }, depth.max(below))
        } else {
            let property = Box::new(Node::Text(name.into()));
            (Node::Member { base, property, optional }, depth)
        };
        let made = self.node(node, depth)?;
        if chained || optional { self.node(Node::Chain(Box::new(made.0)), made.1) } else { Ok(made) }
    }

    /// What follows an opened `[`.
    fn index(&mut self, tree: Tree, optional: bool) -> Parsed {
        let (base, mut depth) = (Box::new(tree.0), tree.1);
        let from = if self.is_operator(":") { None } else { Some(self.expression(0)?) };
        depth = depth.max(from.as_ref().map_or(0, |f| f.1));
        if !self.eat_operator(":") {
            self.expect_bracket(']')?;
            let Some((property, _)) = from else { return Err(self.unexpected()) };
            let made = self.node(Node::Member { base, property: Box::new(property), optional }, depth)?;
            return if optional { self.node(Node::Chain(Box::new(made.0)), made.1) } else { Ok(made) };
        }
        let to = if self.is_bracket(']') { None } else { Some(self.expression(0)?) };
        depth = depth.max(to.as_ref().map_or(0, |t| t.1));
        self.expect_bracket(']')?;
        let boxed = |tree: Option<Tree>| tree.map(|t| Box::new(t.0));
        self.node(Node::Slice { base, from: boxed(from), to: boxed(to) }, depth)
    }
}
