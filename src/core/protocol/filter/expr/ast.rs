//! The tree of an expression.

use std::sync::Arc;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    Name(String),
    List(Vec<Node>),
    /// Keys are nodes: an expression in parentheses can be one.
    Map(Vec<(Node, Node)>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Plus(Box<Node>),
    /// Chains of one operator are one node, so that length is not depth.
    And(Vec<Node>),
    Or(Vec<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    If(Box<Node>, Box<Node>, Box<Node>),
    Member {
        base: Box<Node>,
        property: Box<Node>,
        optional: bool,
    },
    Slice {
        base: Box<Node>,
        from: Option<Box<Node>>,
        to: Option<Box<Node>>,
    },
    /// A call of a name: of the environment, or of nothing.
    Call(String, Vec<Node>),
    /// A call of a member: `date("…").Year()`.
    Method {
        base: Box<Node>,
        name: String,
        optional: bool,
        arguments: Vec<Node>,
    },
    Builtin(&'static str, Vec<Node>),
    /// `#`, `#index`, `#acc` and the `.` of `.name` within a predicate.
    Pointer(String),
    /// Where `?.` ends when it meets nil.
    Chain(Box<Node>),
    Let(String, Box<Node>, Box<Node>),
    Sequence(Vec<Node>),
}

impl Node {
    /// How many nodes it and what is below it are.
    pub(super) fn count(&self) -> u32 {
        let mut count = 0_u32;
        self.each(&mut |_| count = count.saturating_add(1));
        count
    }

    /// Shows it and all that is below it, from left to right.
    pub(super) fn each<'a>(&'a self, see: &mut dyn FnMut(&'a Node)) {
        see(self);
        match self {
            Node::Nil
            | Node::Bool(_)
            | Node::Int(_)
            | Node::Float(_)
            | Node::Text(_)
            | Node::Name(_)
            | Node::Pointer(_) => {}
            Node::List(nodes)
            | Node::And(nodes)
            | Node::Or(nodes)
            | Node::Call(_, nodes)
            | Node::Builtin(_, nodes)
            | Node::Sequence(nodes) => nodes.iter().for_each(|node| node.each(see)),
            Node::Map(pairs) => {
                pairs.iter().flat_map(|(key, value)| [key, value]).for_each(|node| node.each(see))
            }
            Node::Not(node) | Node::Negate(node) | Node::Plus(node) | Node::Chain(node) => node.each(see),
            Node::Binary(_, a, b) | Node::Member { base: a, property: b, .. } | Node::Let(_, a, b) => {
                [a, b].into_iter().for_each(|node| node.each(see));
            }
            Node::If(condition, yes, no) => [condition, yes, no].into_iter().for_each(|node| node.each(see)),
            Node::Slice { base, from, to } => {
                std::iter::once(base).chain(from).chain(to).for_each(|node| node.each(see));
            }
            Node::Method { base, arguments, .. } => {
                std::iter::once(&**base).chain(arguments).for_each(|node| node.each(see));
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Matches,
    Contains,
    StartsWith,
    EndsWith,
    Range,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Coalesce,
    And,
    Or,
    Pipe,
}

impl Operator {
    /// The operator and how tight it binds.
    pub(super) fn of(word: &str) -> Option<(Operator, u32)> {
        use Operator::*;
        Some(match word {
            "|" => (Pipe, 0),
            "or" | "||" => (Or, 10),
            "and" | "&&" => (And, 15),
            "==" => (Equal, 20),
            "!=" => (NotEqual, 20),
            "<" => (Less, 20),
            "<=" => (LessOrEqual, 20),
            ">" => (Greater, 20),
            ">=" => (GreaterOrEqual, 20),
            "in" => (In, 20),
            "matches" => (Matches, 20),
            "contains" => (Contains, 20),
            "startsWith" => (StartsWith, 20),
            "endsWith" => (EndsWith, 20),
            ".." => (Range, 25),
            "+" => (Add, 30),
            "-" => (Subtract, 30),
            "*" => (Multiply, 60),
            "/" => (Divide, 60),
            "%" => (Modulo, 60),
            "**" | "^" => (Power, 100),
            "??" => (Coalesce, 500),
            _ => return None,
        })
    }

    pub(super) fn compares(self) -> bool {
        matches!(self, Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual)
    }

    /// Whether `not` may stand before it.
    pub(super) fn negates(self) -> bool {
        matches!(
            self,
            Operator::In | Operator::Matches | Operator::Contains | Operator::StartsWith | Operator::EndsWith
        )
    }
}
