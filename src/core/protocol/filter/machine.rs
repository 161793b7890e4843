//! What an autonomous agent decides by (spec 06 §6.10): the language of compound filters,
//! about its data, the facts of its node and the name of that.

use serde_json::Value;

use super::expr::{ExprError, Expression, UnknownName};
use super::{Budget, Facts};

/// What an expression is evaluated against.
#[derive(Clone, Copy)]
pub struct MachineView<'a> {
    /// The node.
    pub identity: &'a str,
    /// Its facts.
    pub facts: &'a Facts,
    /// What the machine keeps: an object.
    pub data: &'a Value,
}

/// An expression that says yes or no.
#[derive(Debug, Clone)]
pub struct MachineExpression(Expression);

impl MachineExpression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// What is wrong with it, names that nobody knows among it; a sentence.
    pub fn compile(text: &str) -> Result<MachineExpression, String> {
        if text.trim().is_empty() {
            return Err("the expression is empty".to_owned());
        }
        let expression = Expression::compile_for_machines(text).map_err(|e| e.to_string())?;
        match expression.unknown_name_for_machines() {
            Some(unknown) => Err(told(&unknown)),
            None => Ok(MachineExpression(expression)),
        }
    }

    /// The answer.
    ///
    /// # Errors
    /// Why there is none.
    pub fn evaluate(&self, machine: &MachineView<'_>) -> Result<bool, ExprError> {
        self.0.evaluate_machine(machine, &Budget::default())
    }
}

fn told(unknown: &UnknownName) -> String {
    match unknown {
        UnknownName::Argument { .. } => unknown.to_string(),
        UnknownName::Variable(name) => format!(
            "{name} is no name of the language: known are data.NAME, get_fact(\"NAME\") and identity, a text has quotes"
        ),
        UnknownName::Function(name) => {
            format!("{name} is no function here: known are get_fact, include and semver")
        }
    }
}
