//! Compound filters: expressions, and how several of them vote.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::expr::{ExprError, Expression};
use super::{Budget, DataFunctions, MatchError, NodeView};

/// One entry of a compound filter: `{"expr": text}`. Further keys are carried
/// along and mean nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CompoundEntry(pub BTreeMap<String, String>);

impl CompoundEntry {
    /// An entry for one expression.
    pub fn new(expression: &str) -> CompoundEntry {
        CompoundEntry(BTreeMap::from([("expr".into(), expression.into())]))
    }

    /// The expression, if there is one.
    pub fn expression(&self) -> Option<&str> {
        self.0.get("expr").map(String::as_str)
    }
}

/// Compiles one expression as a node with these data plugins would.
pub(super) fn compile(text: &str, data: &dyn DataFunctions) -> Result<Expression, ExprError> {
    Expression::compile(text, &data.functions())
}

/// Whether the entries, taken together, match: every true one is a vote for,
/// every false one a vote against, and any error decides against. Two for and
/// one against match; the original votes, and a fleet must agree.
pub(super) fn matches(
    entries: &[Vec<CompoundEntry>],
    node: &NodeView<'_>,
    budget: &Budget,
) -> Result<bool, MatchError> {
    if entries.is_empty() {
        return Ok(true);
    }
    let functions = node.data.functions();
    let mut votes = 0;
    for entry in entries {
        // An entry of another shape can be none of ours: no match, no error.
        let [entry] = entry.as_slice() else { return Ok(false) };
        let Some(text) = entry.expression() else { return Ok(false) };
        let result = Expression::compile_within(text, &functions, budget)
            .and_then(|expression| expression.evaluate_within(node, budget));
        budget.check()?;
        match result {
            Ok(true) => votes += 1,
            Ok(false) => votes -= 1,
            Err(e) => {
                let (expression, reason) = (text.into(), e.to_string());
                return Err(MatchError::Compound { expression, reason });
            }
        }
    }
    Ok(votes > 0)
}
