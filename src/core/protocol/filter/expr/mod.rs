//! The language of compound filters (spec 01 §8): expr-lang 1.17 as far as
//! fleets use it.
//!
//! Text becomes tokens (`lexer`) and a tree (`parser`, `operand`, `ast`), is
//! checked with the types that are known beforehand (`check`, `types`), and run
//! against a node or a reply (`words`) by `eval`, `operators`, `predicate` on values (`value`). The
//! functions everybody has are listed in `builtin` and done in `text` and
//! `math`; `semver` is the version constraint function.
//!
//! Our own engine and not the `expr-lang` crate: that one has no types before
//! run time, so `1`, `with(1)` or `include(classes, "x")` would be errors on
//! other nodes at another moment than here, and one integer type for floats.
//! Expressions come from requests: depth is bounded, and every part of the work,
//! compiling included, is paid from the request's [`Budget`].

mod ast;
mod builtin;
mod check;
mod eval;
mod lexer;
mod math;
mod operand;
mod operators;
mod order;
mod parser;
mod predicate;
mod semver;
mod text;
mod types;
mod unknown;
mod value;
mod words;

use super::{Budget, DataFunction, InputView, MachineView, NodeView, PluginView, ReplyView};
use ast::Node;
use words::{Words, World};

pub use semver::{semver_matches, semver_parts};
pub use unknown::UnknownName;
pub use value::Value;

/// Longest expression, in bytes.
pub const MAX_LENGTH: usize = 16 * 1024;

/// Why an expression gives no answer. Either way the node does not match.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExprError {
    /// It is not an expression, or one that can never be true or false.
    #[error("it does not compile: {0}")]
    Compile(String),
    /// It failed on this node.
    #[error("it fails when run: {0}")]
    Run(String),
}

/// An expression that compiles and whose result can be a boolean.
#[derive(Debug, Clone)]
pub struct Expression {
    root: Node,
}

impl Expression {
    /// Compiles `text` for a node with these data plugins. Names that are not
    /// known are allowed; they are nil when run.
    pub fn compile(text: &str, functions: &[DataFunction]) -> Result<Expression, ExprError> {
        Expression::compile_within(text, functions, &Budget::default())
    }

    /// The same for an expression of a request, which pays for it.
    pub fn compile_within(
        text: &str,
        functions: &[DataFunction],
        budget: &Budget,
    ) -> Result<Expression, ExprError> {
        Expression::compile_with(text, Words::Node(functions), budget)
    }

    /// Compiles `text` for replies.
    pub(super) fn compile_for_replies(text: &str) -> Result<Expression, ExprError> {
        Expression::compile_with(text, Words::Reply, &Budget::default())
    }

    /// Compiles `text` for autonomous agents.
    pub(super) fn compile_for_machines(text: &str) -> Result<Expression, ExprError> {
        Expression::compile_with(text, Words::Machine, &Budget::default())
    }

    /// Compiles `text` for matchers of plugins.
    pub(super) fn compile_for_plugins(text: &str) -> Result<Expression, ExprError> {
        Expression::compile_with(text, Words::Plugin, &Budget::default())
    }

    /// Compiles `text` for what people type: about one value, or about what was given before.
    pub(super) fn compile_for_input(text: &str, value: bool) -> Result<Expression, ExprError> {
        Expression::compile_with(text, Words::Input { value }, &Budget::default())
    }

    /// The texts that a function is called with where they stand in the expression itself.
    pub(super) fn texts_given_to(&self, function: &str) -> Vec<&str> {
        let mut texts = vec![];
        self.root.each(&mut |node| match node {
            Node::Call(name, arguments) if name == function => {
                texts.extend(arguments.iter().filter_map(|argument| match argument {
                    Node::Text(text) => Some(&**text),
                    _ => None,
                }));
            }
            _ => {}
        });
        texts
    }

    fn compile_with(text: &str, words: Words<'_>, budget: &Budget) -> Result<Expression, ExprError> {
        if text.len() > MAX_LENGTH {
            return Err(ExprError::Compile(format!("it is longer than {MAX_LENGTH} bytes")));
        }
        // Tokens, tree and types: some hundred bytes and as many nanoseconds for
        // every letter at the worst.
        let paid = budget.make(text.len() * 100).and_then(|()| budget.pay(text.len() as u64 * 20));
        paid.map_err(|e| ExprError::Compile(e.to_string()))?;
        let known = |name: &str| words.has(name);
        let root = parser::parse(text, &known).map_err(ExprError::Compile)?;
        check::check_boolean(&root, words, budget).map_err(ExprError::Compile)?;
        Ok(Expression { root })
    }

    /// The answer on a node. Nil counts as false; any other value that is no
    /// boolean is an error.
    pub fn evaluate(&self, node: &NodeView<'_>) -> Result<bool, ExprError> {
        self.evaluate_within(node, &Budget::default())
    }

    /// The same on behalf of a request, which pays for it.
    pub fn evaluate_within(&self, node: &NodeView<'_>, budget: &Budget) -> Result<bool, ExprError> {
        self.run(node, budget)
    }

    /// The answer about a reply, which pays for it.
    pub(super) fn evaluate_reply(&self, reply: &ReplyView<'_>, budget: &Budget) -> Result<bool, ExprError> {
        self.run(reply, budget)
    }

    /// The answer of an autonomous agent.
    pub(super) fn evaluate_machine(
        &self,
        machine: &MachineView<'_>,
        budget: &Budget,
    ) -> Result<bool, ExprError> {
        self.run(machine, budget)
    }

    /// The answer about a plugin.
    pub(super) fn evaluate_plugin(
        &self,
        plugin: &PluginView<'_>,
        budget: &Budget,
    ) -> Result<bool, ExprError> {
        self.run(plugin, budget)
    }

    /// The answer about what people type.
    pub(super) fn evaluate_input(&self, input: &InputView<'_>, budget: &Budget) -> Result<bool, ExprError> {
        self.run(input, budget)
    }

    fn run(&self, world: &dyn World, budget: &Budget) -> Result<bool, ExprError> {
        match eval::run(&self.root, world, budget).map_err(ExprError::Run)? {
            Value::Nil => Ok(false),
            Value::Bool(truth) => Ok(truth),
            other => Err(ExprError::Run(format!("the result is {} and not a boolean", other.type_name()))),
        }
    }
}
