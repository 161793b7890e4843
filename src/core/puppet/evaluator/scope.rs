//! Variables: assigned once in a scope, read from those around a block.

use super::{Evaluator, Outcome, Raise};
use crate::value::{Text, Value};

/// Names that are there before a plan begins.
const RESERVED: [&str; 3] = ["facts", "trusted", "server_facts"];

/// Variables of a plan, a function or a block.
#[derive(Debug, Default)]
pub(super) struct Scope {
    variables: Vec<(Text, Value)>,
    /// The one that a block stands in.
    pub(super) parent: Option<usize>,
    /// What the last match found: `$0`, `$1`…
    pub(super) groups: Option<Vec<Value>>,
}

impl Evaluator<'_> {
    /// The value of a variable that there is.
    pub(crate) fn variable(&self, name: &str) -> Option<Value> {
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            return Some(self.group(name));
        }
        let mut at = Some(self.scope);
        while let Some(scope) = at.and_then(|at| self.scopes.get(at)) {
            if let Some((_, value)) = scope.variables.iter().find(|(known, _)| known.as_str() == name) {
                return Some(value.clone());
            }
            at = scope.parent;
        }
        self.globals.iter().find(|(known, _)| known.as_str() == name).map(|(_, value)| value.clone())
    }

    /// What a group of the last match was, undef where there is none.
    fn group(&self, digits: &str) -> Value {
        let mut at = Some(self.scope);
        while let Some(scope) = at.and_then(|at| self.scopes.get(at)) {
            if let Some(groups) = &scope.groups {
                let group = digits.parse::<usize>().ok().and_then(|n| groups.get(n));
                return group.cloned().unwrap_or(Value::Undef);
            }
            at = scope.parent;
        }
        Value::Undef
    }

    pub(super) fn assign(&mut self, name: &Text, value: Value) -> Outcome<()> {
        if RESERVED.contains(&name.as_str()) {
            return Err(Raise::new(format!("Attempt to assign to a reserved variable name: '${name}'")));
        }
        let Some(scope) = self.scopes.get_mut(self.scope) else {
            return Err(Raise::new(format!("'${name}' cannot be assigned here")));
        };
        if scope.variables.iter().any(|(known, _)| known == name) {
            return Err(Raise::new(format!("Cannot reassign variable '${name}'")));
        }
        scope.variables.push((name.clone(), value));
        Ok(())
    }

    pub(super) fn set_groups(&mut self, groups: Vec<Value>) {
        if let Some(scope) = self.scopes.get_mut(self.scope) {
            scope.groups = Some(groups);
        }
    }

    /// Work in a scope of its own, inside of another or of none.
    pub(super) fn scoped<T>(
        &mut self,
        parent: Option<usize>,
        work: impl FnOnce(&mut Self) -> Outcome<T>,
    ) -> Outcome<T> {
        let outer = self.scope;
        let inner = self.scopes.len();
        self.scopes.push(Scope { parent, ..Scope::default() });
        self.scope = inner;
        let result = work(self);
        self.scopes.truncate(inner);
        self.scope = outer;
        result
    }
}
