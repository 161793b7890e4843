//! From tokens to a tree, by precedence climbing.

use super::ast::{Node, Operator};
use super::lexer::{Token, tokens};

/// Deepest tree; checking and running descend as deep.
const MAX_DEPTH: u32 = 100;
/// Most nodes, as in the original.
const MAX_NODES: u32 = 10_000;

/// A node and how deep the tree below it is.
pub(super) type Tree = (Node, u32);
pub(super) type Parsed = Result<Tree, String>;
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

pub(super) struct Parser<'a> {
    tokens: std::vec::IntoIter<Token>,
    pub(super) current: Token,
    stashed: Option<Token>,
    /// How deep this parser itself has descended.
    depth: u32,
    nodes: u32,
    /// How many predicates we are within.
    pub(super) predicates: u32,
    pub(super) environment: &'a dyn Fn(&str) -> bool,
}

impl Parser<'_> {
    pub(super) fn next(&mut self) -> Token {
        let next = self.stashed.take().or_else(|| self.tokens.next()).unwrap_or(Token::End);
        std::mem::replace(&mut self.current, next)
    }

    pub(super) fn unexpected(&self) -> String {
        match &self.current {
            Token::End => "unexpected end of the expression".into(),
            Token::Operator(word) if word == "=" => "unexpected =, what is equal is compared by ==".into(),
            Token::Name(word) | Token::Number(word) | Token::Operator(word) => format!("unexpected {word}"),
            Token::Text(text) => format!("unexpected {text:?}"),
            Token::Bracket(bracket) => format!("unexpected {bracket}"),
        }
    }

    pub(super) fn is_operator(&self, word: &str) -> bool {
        matches!(&self.current, Token::Operator(w) if w == word)
    }

    pub(super) fn is_bracket(&self, bracket: char) -> bool {
        self.current == Token::Bracket(bracket)
    }

    pub(super) fn eat_operator(&mut self, word: &str) -> bool {
        let there = self.is_operator(word);
        if there {
            self.next();
        }
        there
    }

    pub(super) fn expect_operator(&mut self, word: &str) -> Result<(), String> {
        if self.eat_operator(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub(super) fn expect_bracket(&mut self, bracket: char) -> Result<(), String> {
        if !self.is_bracket(bracket) {
            return Err(self.unexpected());
        }
        self.next();
        Ok(())
    }

    pub(super) fn expect_name(&mut self) -> Result<String, String> {
        match self.next() {
            Token::Name(name) => Ok(name),
            other => {
                self.current = other;
                Err(self.unexpected())
            }
        }
    }

    /// Makes a node over others.
    pub(super) fn node(&mut self, node: Node, below: u32) -> Parsed {
        self.nodes += 1;
        if below >= MAX_DEPTH {
            return Err(format!("it is nested deeper than {MAX_DEPTH} levels"));
        }
        if self.nodes > MAX_NODES {
            return Err(format!("it has more than {MAX_NODES} parts"));
        }
        Ok((node, below + 1))
    }

    /// The same tree once more, which counts as one that was written: what
    /// stands twice at every level would grow beyond all bounds.
    fn again(&mut self, tree: &Tree) -> Parsed {
        self.nodes = self.nodes.saturating_add(tree.0.count());
        if self.nodes > MAX_NODES {
            return Err(format!("it has more than {MAX_NODES} parts"));
        }
        Ok(tree.clone())
    }

    pub(super) fn leaf(&mut self, node: Node) -> Parsed {
        self.node(node, 0)
    }

    pub(super) fn sequence(&mut self) -> Parsed {
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

    pub(super) fn expression(&mut self, precedence: u32) -> Parsed {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("it is nested deeper than {MAX_DEPTH} levels"));
        }
        let parsed = self.expression_here(precedence);
        self.depth -= 1;
        parsed
    }

    pub(super) fn expression_here(&mut self, precedence: u32) -> Parsed {
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

    pub(super) fn binary(&mut self, operator: Operator, left: Tree, right: Tree) -> Parsed {
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
    pub(super) fn comparison(&mut self, left: Tree, operator: Operator, binds: u32) -> Parsed {
        let (mut left, mut operator) = (left, operator);
        let mut whole: Option<Tree> = None;
        loop {
            let right = self.expression(binds + 1)?;
            let again = self.again(&right)?;
            let compared = self.binary(operator, left, again)?;
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

    pub(super) fn declaration(&mut self) -> Parsed {
        let name = self.expect_name()?;
        self.expect_operator("=")?;
        let value = self.expression(0)?;
        self.expect_operator(";")?;
        let body = self.sequence()?;
        self.node(Node::Let(name, Box::new(value.0), Box::new(body.0)), value.1.max(body.1))
    }

    pub(super) fn block(&mut self) -> Parsed {
        self.expect_bracket('{')?;
        let body = self.sequence()?;
        self.expect_bracket('}')?;
        Ok(body)
    }

    pub(super) fn condition(&mut self) -> Parsed {
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

    pub(super) fn choice(&mut self, condition: Tree, yes: Tree, no: Tree) -> Parsed {
        let depth = condition.1.max(yes.1).max(no.1);
        self.node(Node::If(Box::new(condition.0), Box::new(yes.0), Box::new(no.0)), depth)
    }

    pub(super) fn ternary(&mut self, left: Tree) -> Parsed {
        let mut left = left;
        while self.eat_operator("?") {
            let yes = if self.is_operator(":") { self.again(&left)? } else { self.expression(0)? };
            self.expect_operator(":")?;
            let no = self.expression(0)?;
            left = self.choice(left, yes, no)?;
        }
        Ok(left)
    }

    pub(super) fn primary(&mut self) -> Parsed {
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
}
