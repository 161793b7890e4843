//! expr.
use super::{DataFunction, NodeView};
/// Error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExprError {
    /// Compile.
    #[error("{0}")]
    Compile(String),
    /// Run.
    #[error("{0}")]
    Run(String),
}
/// A value.
pub enum Value {}
/// Compiled.
pub struct Expression;
impl Expression {
    /// Compile.
    pub fn compile(_text: &str, _functions: &[DataFunction]) -> Result<Expression, ExprError> {
        Ok(Expression)
    }
    /// Run.
    pub fn evaluate(&self, _node: &NodeView<'_>) -> Result<bool, ExprError> {
        Ok(false)
    }
}
/// Semver.
pub fn semver_matches(_version: &str, _constraint: &str) -> Result<bool, String> {
    Ok(false)
}
