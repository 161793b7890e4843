//! A statement that only makes a value, which nobody reads, is a slip: a bracket behind a
//! blank, a forgotten operator. It is an error before anything runs (spec 07 §C3).

use super::Parser;
use crate::error::Error;
use crate::syntax::{Id, Node};

impl Parser<'_> {
    pub(super) fn check_effects(&self, statements: &[Id]) -> Result<(), Error> {
        let Some((_, before)) = statements.split_last() else { return Ok(()) };
        match before.iter().find(|id| self.has_no_effect(**id)) {
            None => Ok(()),
            Some(id) => {
                let what = self.called(*id);
                let message = format!(
                    "This {what} has no effect. A value was produced and then forgotten (one or more preceding \
                     expressions may have the wrong form)"
                );
                Err(self.error(message, self.span_of(*id)))
            }
        }
    }

    /// Recurses as deep as the tree is, which is bounded by how it was parsed: operators
    /// of two sides end it, whatever stands left of them.
    fn has_no_effect(&self, id: Id) -> bool {
        match self.node(id) {
            Node::Call { .. } | Node::New { .. } | Node::Method { .. } | Node::Assign(..) => false,
            Node::Binary(operator, ..) => {
                !matches!(operator, crate::syntax::Operator::Match | crate::syntax::Operator::NoMatch)
            }
            Node::If { test, then, otherwise, .. } => {
                [Some(*test), Some(*then), *otherwise].into_iter().flatten().all(|id| self.has_no_effect(id))
            }
            Node::Case { of, options } => {
                self.has_no_effect(*of) && options.iter().all(|(_, body)| self.has_no_effect(*body))
            }
            Node::Block(statements) => statements.iter().all(|id| self.has_no_effect(*id)),
            Node::And(..) | Node::Or(..) => false,
            Node::Selector { of, options } => {
                self.has_no_effect(*of) && options.iter().all(|(_, value)| self.has_no_effect(*value))
            }
            _ => true,
        }
    }

    fn called(&self, id: Id) -> String {
        let name = match self.node(id) {
            Node::Undef => "'undef' expression",
            Node::Default => "'default' expression",
            Node::Boolean(_) => "Boolean",
            Node::Integer(_) | Node::Float(_) => "Number",
            Node::String(_) | Node::Interpolated(_) => "String",
            Node::Name(_) => "Name",
            Node::Type(_) => "Type",
            Node::Regexp(_) => "Regular Expression",
            Node::Variable(_) => "Variable",
            Node::Array(_) => "Array Expression",
            Node::Hash(_) => "Hash Expression",
            Node::Index(..) => "'[]' expression",
            Node::Splat(_) => "'*' expression",
            Node::Not(_) => "'!' expression",
            Node::Negate(_) => "'-' expression",
            Node::Binary(operator, ..) => return format!("'{}' expression", operator.text()),
            Node::If { unless: false, .. } => "'if' statement",
            Node::If { .. } => "'unless' statement",
            Node::Case { .. } => "'case' statement",
            Node::Selector { .. } => "selector",
            _ => "expression",
        };
        name.to_owned()
    }
}
