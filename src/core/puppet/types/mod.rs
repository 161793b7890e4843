//! Types (spec 07 §C5): what parameters, `=~` and `case` ask of a value, in tasks and in
//! plans. Like values they are bounded in depth and size as they are made.

mod alias;
mod assignable;
mod build;
mod infer;
mod instance;
mod mismatch;
mod parse;
mod print;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use alias::{Alias, Aliases};
pub use mismatch::{Declared, mismatches};
pub use parse::{TypeError, parse};

pub(crate) use alias::built_in;
pub(crate) use assignable::assignable;
pub(crate) use build::{BuildError, built, plain};
pub(crate) use infer::infer;
pub(crate) use instance::{Matching, instance};
pub(crate) use mismatch::{argument_count, describe};

use crate::budget::Exhausted;
use crate::value::{Float, Regexp, Size, Text};

/// A type, shared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Type(Arc<Node>);

#[derive(Debug)]
struct Node {
    kind: Kind,
    size: Size,
}

impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.kind == other.kind
    }
}

impl Eq for Node {}

impl std::hash::Hash for Node {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
    }
}

/// Least and most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span<N> {
    /// At least.
    pub least: N,
    /// At most.
    pub most: N,
}

/// How many characters, items or entries.
pub type Count = Span<u64>;

impl Span<i64> {
    /// Any integer.
    pub const ALL: Span<i64> = Span { least: i64::MIN, most: i64::MAX };
}

impl Count {
    /// Any number of them.
    pub const ANY: Count = Span { least: 0, most: u64::MAX };

    /// So many.
    pub fn exactly(n: usize) -> Count {
        Span { least: n as u64, most: n as u64 }
    }
}

impl<N: PartialOrd + Copy> Span<N> {
    /// Whether it lies between.
    pub fn holds(&self, n: N) -> bool {
        self.least <= n && n <= self.most
    }

    /// Whether all of another lie between.
    pub fn covers(&self, other: &Span<N>) -> bool {
        self.least <= other.least && other.most <= self.most
    }
}

/// An entry of a `Struct`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    /// Its key.
    pub name: Text,
    /// How the key was written.
    pub presence: Presence,
    /// Of what type its value is.
    pub of: Type,
}

/// Whether an entry has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Presence {
    /// A plain key: absent only where the value may be undef.
    Plain,
    /// `Optional[key]`
    Optional,
    /// `NotUndef[key]`
    Required,
}

impl Member {
    /// Whether the entry may be missing.
    pub fn may_be_absent(&self) -> bool {
        match self.presence {
            Presence::Optional => true,
            Presence::Required => false,
            Presence::Plain => {
                let mut matching = Matching::new();
                instance(&self.of, &crate::value::Value::Undef, &mut matching)
            }
        }
    }
}

/// Kinds of types. `None` inside of one is anything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Everything.
    Any,
    /// Nothing, `undef`.
    Undef,
    /// Everything but `undef`.
    NotUndef(Option<Type>),
    /// The word `default`.
    Default,
    /// Numbers, text, booleans, regular expressions, times, versions.
    Scalar,
    /// Those of JSON.
    ScalarData,
    /// What JSON can say.
    Data,
    /// What more can be written down.
    RichData,
    /// Integers and floats.
    Numeric,
    /// `Integer[least, most]`
    Integer(Span<i64>),
    /// `Float[least, most]`
    Float(Option<Float>, Option<Float>),
    /// `String[least, most]`
    String(Count),
    /// The type of one text; only inferred, and shown as `String`.
    Text(Text),
    /// `Boolean`, or one of both.
    Boolean(Option<bool>),
    /// Words; with `true` at the end in any case.
    Enum(Vec<Text>, bool),
    /// Text that matches one of these.
    Pattern(Vec<Arc<Regexp>>),
    /// Regular expressions, or one.
    Regexp(Option<Text>),
    /// `Array[Type, least, most]`
    Array(Type, Count),
    /// `Hash[Key, Value, least, most]`
    Hash(Type, Type, Count),
    /// One type an item.
    Tuple(Vec<Type>, Option<Count>),
    /// One type an entry.
    Struct(Vec<Member>),
    /// One of these.
    Variant(Vec<Type>),
    /// That or `undef`.
    Optional(Type),
    /// Types themselves.
    Type(Option<Type>),
    /// What can be called, with what it takes.
    Callable(Vec<Type>, Option<Count>),
    /// What can be gone through.
    Iterable(Option<Type>),
    /// Arrays and hashes.
    Collection(Count),
    /// What is never shown.
    Sensitive(Option<Type>),
    /// A point in time.
    Timestamp,
    /// A length of time.
    Timespan,
    /// Versions, in a set.
    SemVer(Vec<Arc<crate::versions::Range>>),
    /// Sets of versions.
    SemVerRange,
    /// Bytes.
    Binary,
    /// What went wrong.
    Error,
    /// `Choria::TaskResult`
    TaskResult,
    /// `Choria::TaskResults`
    TaskResults,
    /// Resources and the like, of which a plan has none.
    Catalog(&'static str),
    /// A name for a type.
    Alias(Alias),
}

impl Type {
    /// A type of that kind.
    pub fn new(kind: Kind) -> Result<Type, Exhausted> {
        let mut sizes: Vec<Size> = vec![];
        match &kind {
            Kind::NotUndef(Some(of))
            | Kind::Optional(of)
            | Kind::Type(Some(of))
            | Kind::Iterable(Some(of))
            | Kind::Sensitive(Some(of))
            | Kind::Array(of, _) => sizes.push(of.size()),
            Kind::Hash(key, value, _) => sizes.extend([key.size(), value.size()]),
            Kind::Tuple(types, _) | Kind::Variant(types) | Kind::Callable(types, _) => {
                sizes.extend(types.iter().map(Type::size));
            }
            Kind::Struct(members) => sizes.extend(members.iter().map(|member| member.of.size())),
            Kind::Enum(words, _) => sizes.resize(words.len(), Size { depth: 0, parts: 1 }),
            _ => {}
        }
        let size = Size::around(sizes.into_iter())?;
        Ok(Type(Arc::new(Node { kind, size })))
    }

    /// A type that holds no other.
    pub(crate) fn leaf(kind: Kind) -> Type {
        Type(Arc::new(Node { kind, size: Size { depth: 1, parts: 1 } }))
    }

    /// What it is.
    pub fn kind(&self) -> &Kind {
        &self.0.kind
    }

    pub(crate) fn size(&self) -> Size {
        self.0.size
    }

    /// Everything.
    pub fn any() -> Type {
        Type::leaf(Kind::Any)
    }

    /// Whether a value is of this type; no for what cannot be told in reasonable time.
    pub fn takes(&self, value: &crate::value::Value) -> bool {
        let mut matching = Matching::new();
        instance(self, value, &mut matching) && !matching.exhausted
    }

    /// The type behind its aliases; none when they lead nowhere.
    pub fn resolved(&self) -> Option<Type> {
        let mut of = self.clone();
        for _ in 0..20 {
            let Kind::Alias(alias) = of.kind() else { return Some(of) };
            of = alias.target()?;
        }
        None
    }
}
