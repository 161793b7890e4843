//! Built-in functions (spec 07 §C6): a file a family, a line in its list each.

mod addresses;
mod collections;
mod control;
mod convert;
mod data;
mod encoding;
mod files;
mod items;
mod iteration;
mod logging;
mod numbers;
mod playbook;
mod sorting;
mod sprintf;
mod strings;
mod time;
mod types;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::LazyLock;

pub(crate) use convert::{new, number_of_text, pairs_of};

use crate::evaluator::{Block, Evaluator, Outcome, Raise};
use crate::types::Count;
use crate::value::{Text, Value};

/// A call of a function.
pub(crate) struct Call<'c> {
    pub name: &'c str,
    pub arguments: Vec<Value>,
    pub block: Option<Block<'c>>,
}

/// Whether a function takes a block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    NoBlock,
    Block,
    MaybeBlock,
}

/// A function and what it takes.
pub(crate) struct Builtin {
    pub name: &'static str,
    pub takes: Count,
    pub block: Takes,
    pub run: fn(&mut Evaluator<'_>, Call<'_>) -> Outcome,
}

/// A function that takes no block: its name, the least and the most arguments, its code.
pub(crate) const fn plain(
    name: &'static str,
    least: u64,
    most: u64,
    run: fn(&mut Evaluator<'_>, Call<'_>) -> Outcome,
) -> Builtin {
    Builtin { name, takes: Count { least, most }, block: Takes::NoBlock, run }
}

/// One that has to be given a block.
pub(crate) const fn with_block(
    name: &'static str,
    least: u64,
    most: u64,
    run: fn(&mut Evaluator<'_>, Call<'_>) -> Outcome,
) -> Builtin {
    Builtin { name, takes: Count { least, most }, block: Takes::Block, run }
}

/// One that may be given a block.
pub(crate) const fn maybe_block(
    name: &'static str,
    least: u64,
    most: u64,
    run: fn(&mut Evaluator<'_>, Call<'_>) -> Outcome,
) -> Builtin {
    Builtin { name, takes: Count { least, most }, block: Takes::MaybeBlock, run }
}

/// Any number of arguments.
pub(crate) const MANY: u64 = u64::MAX;

/// The families.
const FAMILIES: [&[Builtin]; 15] = [
    addresses::FUNCTIONS,
    collections::FUNCTIONS,
    control::FUNCTIONS,
    convert::FUNCTIONS,
    data::FUNCTIONS,
    encoding::FUNCTIONS,
    files::FUNCTIONS,
    iteration::FUNCTIONS,
    logging::FUNCTIONS,
    numbers::FUNCTIONS,
    playbook::FUNCTIONS,
    sorting::FUNCTIONS,
    strings::FUNCTIONS,
    time::FUNCTIONS,
    types::FUNCTIONS,
];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Builtin>> =
    LazyLock::new(|| FAMILIES.into_iter().flatten().map(|function| (function.name, function)).collect());

/// The built-in function of that name. Those of stdlib have a long name too.
pub(crate) fn find(name: &str) -> Option<&'static Builtin> {
    let found = BY_NAME.get(name).or_else(|| BY_NAME.get(name.strip_prefix("stdlib::")?));
    found.copied()
}

/// A value by its type, with an article: `an Integer`.
pub(crate) fn kind_of(value: &Value) -> String {
    let name = match value {
        Value::Undef => return "an Undef Value".to_owned(),
        Value::TaskResult(_) | Value::TaskResults(_) | Value::Error(_) => "Object".to_owned(),
        value => type_name(value),
    };
    let article = if name.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" };
    format!("{article} {name}")
}

/// The name of a value's type.
pub(crate) fn type_name(value: &Value) -> String {
    let name = match value {
        Value::Undef => "Undef",
        Value::Default => "Default",
        Value::Boolean(_) => "Boolean",
        Value::Integer(_) => "Integer",
        Value::Float(_) => "Float",
        Value::String(_) => "String",
        Value::Regexp(_) => "Regexp",
        Value::Array(_) => "Array",
        Value::Hash(_) => "Hash",
        Value::Type(of) => return format!("Type[{of}]"),
        Value::Sensitive(_) => "Sensitive",
        Value::Timestamp(_) => "Timestamp",
        Value::Timespan(_) => "Timespan",
        Value::SemVer(_) => "SemVer",
        Value::SemVerRange(_) => "SemVerRange",
        Value::Binary(_) => "Binary",
        Value::Error(_) => "Error",
        Value::TaskResult(_) => "Choria::TaskResult",
        Value::TaskResults(_) => "Choria::TaskResults",
    };
    name.to_owned()
}

impl Call<'_> {
    /// An argument is of another type.
    pub(crate) fn mismatch(&self, at: usize, expected: &str) -> Raise {
        let got = self.arguments.get(at).map_or_else(|| "nothing".to_owned(), type_name);
        let article = if expected.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" };
        let what = if expected.contains(' ') {
            format!("a value of type {expected}")
        } else {
            format!("{article} {expected} value")
        };
        Raise::new(format!("'{}' parameter {} expects {what}, got {got}", self.name, at + 1))
    }

    pub(crate) fn get(&self, at: usize) -> &Value {
        self.arguments.get(at).unwrap_or(&Value::Undef)
    }

    pub(crate) fn has(&self, at: usize) -> bool {
        self.arguments.len() > at
    }

    pub(crate) fn text(&self, at: usize) -> Outcome<Text> {
        match self.get(at) {
            Value::String(text) => Ok(text.clone()),
            _ => Err(self.mismatch(at, "String")),
        }
    }

    pub(crate) fn integer(&self, at: usize) -> Outcome<i64> {
        match self.get(at) {
            Value::Integer(n) => Ok(*n),
            _ => Err(self.mismatch(at, "Integer")),
        }
    }

    pub(crate) fn array(&self, at: usize) -> Outcome<std::sync::Arc<crate::value::List>> {
        match self.get(at) {
            Value::Array(items) => Ok(items.clone()),
            _ => Err(self.mismatch(at, "Array")),
        }
    }

    pub(crate) fn hash(&self, at: usize) -> Outcome<std::sync::Arc<crate::value::Hash>> {
        match self.get(at) {
            Value::Hash(hash) => Ok(hash.clone()),
            _ => Err(self.mismatch(at, "Hash")),
        }
    }

    /// The block, where the list says there is one.
    pub(crate) fn block(&self) -> Outcome<Block<'_>> {
        self.block.ok_or_else(|| Raise::new(format!("'{}' expects a block", self.name)))
    }
}
