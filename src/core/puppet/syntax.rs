//! What a text says, as a tree: nodes in one list, by number, so that a tree is small and
//! nothing recurses when it goes.

use std::sync::Arc;

use crate::source::{Source, Span};
use crate::value::{Regexp, Text};

/// The number of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(pub(crate) u32);

/// A parsed file.
#[derive(Debug)]
pub(crate) struct Unit {
    pub source: Arc<Source>,
    pub nodes: Vec<Node>,
    pub spans: Vec<Span>,
    pub definitions: Vec<Definition>,
    pub aliases: Vec<AliasDefinition>,
    /// Statements outside of definitions.
    pub body: Id,
}

impl Unit {
    pub(crate) fn node(&self, id: Id) -> &Node {
        &self.nodes[id.0 as usize]
    }

    pub(crate) fn span(&self, id: Id) -> Span {
        self.spans[id.0 as usize]
    }
}

/// A plan or a function.
#[derive(Debug)]
pub(crate) struct Definition {
    pub plan: bool,
    pub name: Text,
    pub parameters: Box<[Parameter]>,
    pub returns: Option<Id>,
    pub body: Id,
    pub span: Span,
}

/// `type Name = Type`
#[derive(Debug)]
pub(crate) struct AliasDefinition {
    pub name: Text,
    pub of: Id,
    pub span: Span,
}

/// A parameter of a plan, a function or a block.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub name: Text,
    pub of: Option<Id>,
    pub default: Option<Id>,
    /// Takes all that are left.
    pub rest: bool,
}

/// `|$x| { … }`
#[derive(Debug)]
pub(crate) struct Lambda {
    pub parameters: Box<[Parameter]>,
    pub returns: Option<Id>,
    pub body: Id,
}

/// An expression.
#[derive(Debug)]
pub(crate) enum Node {
    Undef,
    Default,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    String(Text),
    /// A bare word that may be the name of a function.
    Name(Text),
    Type(Text),
    Regexp(Arc<Regexp>),
    Interpolated(Box<[Id]>),
    Variable(Text),
    Array(Box<[Id]>),
    Hash(Box<[(Id, Id)]>),
    Splat(Id),
    Not(Id),
    Negate(Id),
    And(Id, Id),
    Or(Id, Id),
    Binary(Operator, Id, Id),
    Assign(Id, Id),
    Index(Id, Box<[Id]>),
    Call {
        name: Text,
        arguments: Box<[Id]>,
        lambda: Option<Box<Lambda>>,
    },
    /// A type called as a function: `Integer('3')`.
    New {
        of: Id,
        arguments: Box<[Id]>,
    },
    Method {
        of: Id,
        name: Text,
        arguments: Box<[Id]>,
        lambda: Option<Box<Lambda>>,
    },
    If {
        test: Id,
        then: Id,
        otherwise: Option<Id>,
        unless: bool,
    },
    Case {
        of: Id,
        options: Box<[(Box<[Id]>, Id)]>,
    },
    Selector {
        of: Id,
        options: Box<[(Id, Id)]>,
    },
    Block(Box<[Id]>),
}

/// Operators of two sides that have both of them evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    ShiftLeft,
    ShiftRight,
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Match,
    NoMatch,
    In,
}

impl Operator {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::Modulo => "%",
            Operator::ShiftLeft => "<<",
            Operator::ShiftRight => ">>",
            Operator::Equal => "==",
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::AtMost => "<=",
            Operator::Greater => ">",
            Operator::AtLeast => ">=",
            Operator::Match => "=~",
            Operator::NoMatch => "!~",
            Operator::In => "in",
        }
    }
}
