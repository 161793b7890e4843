//! From tokens to a tree, by precedence climbing.

use super::ast::{Node, Operator};
use super::builtin;
use super::lexer::{Token, tokens};

/// Deepest tree; checking and running descend as deep.
const MAX_DEPTH: u32 = 100;
/// Most nodes, as in the original.
const MAX_NODES: u32 = 10_000;

/// A node and how deep the tree below it is.
type Tree = (Node, u32);
type Parsed = Result<Tree, String>;
type Unary = fn(Box<Node>) -> Node;

/// Parses an expression. `environment` tells the names that hide builtins.
pub(super) fn parse(text: &str, environment: &dyn Fn(&str) -> bool) -> Result<Node, String> {
    let mut tokens = tokens(text)?.into_iter();
    let current = tokens.next().unwrap_or(Token::End);
    let mut parser =
        Parser { tokens, current, stashed: None, depth: 0, nodes: 0, predicates: 0, environment };
    let (root, _) = parser.sequence()?;
    match parser.current {
        Token::End => Ok(root),
        _ => Err(parser.unexpected()),
    }
}

struct Parser<'a> {
    tokens: std::vec::IntoIter<Token>,
    current: Token,
    stashed: Option<Token>,
    /// How deep this parser itself has descended.
    depth: u32,
    nodes: u32,
    /// How many predicates we are within.
    predicates: u32,
    environment: &'a dyn Fn(&str) -> bool,
}

fn is_identifier(word: &str) -> bool {
    word.starts_with(|c: char| c == '_' || c == '$' || c.is_alphabetic())
}

impl Parser<'_> {
    fn next(&mut self) -> Token {
        let next = self.stashed.take().or_else(|| self.tokens.next()).unwrap_or(Token::End);
        std::mem::replace(&mut self.current, next)
    }

    fn unexpected(&self) -> String {
        match &self.current {
            Token::End => "unexpected end of the expression".into(),
            Token::Name(word) | Token::Number(word) | Token::Operator(word) => format!("unexpected {word}"),
            Token::Text(text) => format!("unexpected {text:?}"),
            Token::Bracket(bracket) => format!("unexpected {bracket}"),
        }
    }

    fn is_operator(&self, word: &str) -> bool {
        matches!(&self.current, Token::Operator(w) if w == word)
    }

    fn is_bracket(&self, bracket: char) -> bool {
        self.current == Token::Bracket(bracket)
    }

    fn eat_operator(&mut self, word: &str) -> bool {
        let there = self.is_operator(word);
        if there {
            self.next();
        }
        there
    }

    fn expect_operator(&mut self, word: &str) -> Result<(), String> {
        if self.eat_operator(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn expect_bracket(&mut self, bracket: char) -> Result<(), String> {
        if !self.is_bracket(bracket) {
            return Err(self.unexpected());
        }
        self.next();
        Ok(())
    }

    fn expect_name(&mut self) -> Result<String, String> {
        match self.next() {
            Token::Name(name) => Ok(name),
            other => {
                self.current = other;
                Err(self.unexpected())
            }
        }
    }

    /// Makes a node over others.
    fn node(&mut self, node: Node, below: u32) -> Parsed {
        self.nodes += 1;
        if below >= MAX_DEPTH {
            return Err(format!("it is nested deeper than {MAX_DEPTH} levels"));
        }
        if self.nodes > MAX_NODES {
            return Err(format!("it has more than {MAX_NODES} parts"));
        }
        Ok((node, below + 1))
    }

    fn leaf(&mut self, node: Node) -> Parsed {
        self.node(node, 0)
    }

    fn sequence(&mut self) -> Parsed {
        let (first, mut depth) = self.expression(0)?;
        let mut nodes = vec![first];
        while self.eat_operator(";") {
            if self.current == Token::End {
                break;
            }
            let (node, below) = self.expression(0)?;
            nodes.push(node);
            depth = depth.max(below);
        }
        match nodes.pop() {
            Some(only) if nodes.is_empty() => Ok((only, depth)),
            last => {
                nodes.extend(last);
                self.node(Node::Sequence(nodes), depth)
            }
        }
    }

    fn expression(&mut self, precedence: u32) -> Parsed {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("it is nested deeper than {MAX_DEPTH} levels"));
        }
        let parsed = self.expression_here(precedence);
        self.depth -= 1;
        parsed
    }

    fn expression_here(&mut self, precedence: u32) -> Parsed {
        if precedence == 0 && self.eat_operator("let") {
            return self.declaration();
        }
        if precedence == 0 && self.eat_operator("if") {
            return self.condition();
        }
        let mut left = self.primary()?;
        let mut coalesced = false;
        while let Token::Operator(word) = &self.current {
            let negated = word == "not";
            let mut word = word.clone();
            if negated {
                let not = self.next();
                match &self.current {
                    Token::Operator(w) if Operator::of(w).is_some_and(|(o, _)| o.negates()) => {
                        word = w.clone()
                    }
                    _ => return Err(self.unexpected()),
                }
                if Operator::of(&word).is_none_or(|(_, p)| p < precedence) {
                    self.stashed = Some(std::mem::replace(&mut self.current, not));
                    break;
                }
            }
            let Some((operator, binds)) = Operator::of(&word).filter(|(_, p)| *p >= precedence) else {
                break;
            };
            self.next();
            if coalesced && operator != Operator::Coalesce && operator != Operator::Pipe {
                return Err(format!("{word} and ?? cannot be mixed, put one of them in parentheses"));
            }
            coalesced = operator == Operator::Coalesce;
            left = if operator == Operator::Pipe {
                let name = self.expect_name()?;
                self.call(name, Some(left))?
            } else if operator.compares() {
                self.comparison(left, operator, binds)?
            } else {
                let right = self.expression(if operator == Operator::Power { binds } else { binds + 1 })?;
                self.binary(operator, left, right)?
            };
            if negated {
                left = self.node(Node::Not(Box::new(left.0)), left.1)?;
            }
        }
        if precedence == 0 { self.ternary(left) } else { Ok(left) }
    }

    fn binary(&mut self, operator: Operator, left: Tree, right: Tree) -> Parsed {
        let depth = left.1.max(right.1);
        match (operator, left.0) {
            (Operator::And, Node::And(mut all)) => {
                all.push(right.0);
                self.node(Node::And(all), depth.saturating_sub(1).max(right.1))
            }
            (Operator::Or, Node::Or(mut all)) => {
                all.push(right.0);
                self.node(Node::Or(all), depth.saturating_sub(1).max(right.1))
            }
            (Operator::And, left) => self.node(Node::And(vec![left, right.0]), depth),
            (Operator::Or, left) => self.node(Node::Or(vec![left, right.0]), depth),
            (operator, left) => self.node(Node::Binary(operator, Box::new(left), Box::new(right.0)), depth),
        }
    }

    /// `a < b < c` means `a < b and b < c`.
    fn comparison(&mut self, left: Tree, operator: Operator, binds: u32) -> Parsed {
        let (mut left, mut operator) = (left, operator);
        let mut whole: Option<Tree> = None;
        loop {
            let right = self.expression(binds + 1)?;
            let compared = self.binary(operator, left, right.clone())?;
            whole = Some(match whole {
                Some(before) => self.binary(Operator::And, before, compared)?,
                None => compared,
            });
            let Token::Operator(word) = &self.current else { break };
            let Some((next, _)) = Operator::of(word).filter(|(o, _)| o.compares()) else { break };
            self.next();
            (left, operator) = (right, next);
        }
        whole.ok_or_else(|| self.unexpected())
    }

    fn declaration(&mut self) -> Parsed {
        let name = self.expect_name()?;
        self.expect_operator("=")?;
        let value = self.expression(0)?;
        self.expect_operator(";")?;
        let body = self.sequence()?;
        self.node(Node::Let(name, Box::new(value.0), Box::new(body.0)), value.1.max(body.1))
    }

    fn block(&mut self) -> Parsed {
        self.expect_bracket('{')?;
        let body = self.sequence()?;
        self.expect_bracket('}')?;
        Ok(body)
    }

    fn condition(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("it is nested deeper than {MAX_DEPTH} levels"));
        }
        let condition = self.expression(0)?;
        let yes = self.block()?;
        self.expect_operator("else")?;
        let no = if self.eat_operator("if") { self.condition()? } else { self.block()? };
        self.depth -= 1;
        self.choice(condition, yes, no)
    }

    fn choice(&mut self, condition: Tree, yes: Tree, no: Tree) -> Parsed {
        let depth = condition.1.max(yes.1).max(no.1);
        self.node(Node::If(Box::new(condition.0), Box::new(yes.0), Box::new(no.0)), depth)
    }

    fn ternary(&mut self, left: Tree) -> Parsed {
        let mut left = left;
        while self.eat_operator("?") {
            let yes = if self.is_operator(":") { left.clone() } else { self.expression(0)? };
            self.expect_operator(":")?;
            let no = self.expression(0)?;
            left = self.choice(left, yes, no)?;
        }
        Ok(left)
    }

    fn primary(&mut self) -> Parsed {
        if let Token::Operator(word) = &self.current {
            let unary: Option<(Unary, u32)> = match word.as_str() {
                "not" | "!" => Some((Node::Not, 50)),
                "-" => Some((Node::Negate, 90)),
                "+" => Some((Node::Plus, 90)),
                _ => None,
            };
            if let Some((make, binds)) = unary {
                self.next();
                let (operand, depth) = self.expression(binds)?;
                let tree = self.node(make(Box::new(operand)), depth)?;
                return self.postfix(tree);
            }
            if self.predicates > 0 && (word == "#" || word == ".") {
                let mut name = String::new();
                if self.eat_operator("#")
                    && let Token::Name(_) = self.current
                {
                    name = self.expect_name()?;
                }
                let pointer = self.leaf(Node::Pointer(name))?;
                return self.postfix(pointer);
            }
            if self.eat_operator("::") {
                let name = self.expect_name()?;
                let call = self.call_builtin(name, None)?;
                return self.postfix(call);
            }
        }
        if self.is_bracket('(') {
            self.next();
            let inner = self.sequence()?;
            self.expect_bracket(')')?;
            return self.postfix(inner);
        }
        self.secondary()
    }

    fn secondary(&mut self) -> Parsed {
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

    fn call(&mut self, name: String, first: Option<Tree>) -> Parsed {
        if (self.environment)(&name) {
            let (arguments, depth) = self.arguments(first)?;
            return self.node(Node::Call(name, arguments), depth);
        }
        self.call_builtin(name, first)
    }

    fn call_builtin(&mut self, name: String, first: Option<Tree>) -> Parsed {
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

    fn postfix(&mut self, tree: Tree) -> Parsed {
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
