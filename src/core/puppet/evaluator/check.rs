//! What is wrong with a file before it runs: names that nobody defines.

use std::sync::Arc;

use super::loading::more;
use super::{Evaluator, Raise, calls};
use crate::error::{Error, Fault};
use crate::source::Source;
use crate::syntax::Node;

impl Evaluator<'_> {
    /// Everything that is wrong with a text, without running it: it does not parse, it calls
    /// functions or names types that nobody defines. A plan that is there under another
    /// name than its place is wrong too, where a name is given.
    pub fn problems(&mut self, source: Source, defines: Option<&str>) -> Vec<Error> {
        self.begin();
        let unit = match crate::parser::parse(Arc::new(source)) {
            Ok(unit) => Arc::new(unit),
            Err(e) => return vec![e],
        };
        let mut problems = vec![];
        if let Some(name) = defines {
            let known = unit.definitions.iter().any(|d| d.plan && d.name.as_str() == name);
            if !known {
                let first = unit.definitions.first().map_or(0, |d| d.span.start);
                let message = format!("Unacceptable location. The file has to define the plan '{name}'");
                let place = Some(unit.source.place(first));
                problems.push(Error { place, ..Error::new(Fault::Evaluation(message)) });
            } else {
                problems.extend(more(&unit, "plan", name));
            }
        }
        if let Err(e) = self.define_all(&unit) {
            problems.push(e.illegal());
        }
        for (at, node) in unit.nodes.iter().enumerate() {
            if let Err(e) = self.known(node) {
                problems.push(e.at(&unit, unit.spans[at]).illegal());
            }
        }
        problems.sort_by_key(|e| e.place.as_ref().map(|place| (place.line, place.column)));
        problems.dedup();
        problems
    }

    fn known(&mut self, node: &Node) -> Result<(), Raise> {
        match node {
            Node::Call { name, .. } if !self.has_function(name)? => Err(self.unknown_function(name)),
            Node::Method { name, .. }
                if !calls::ATTRIBUTES.contains(&name.as_str()) && !self.has_function(name)? =>
            {
                Err(self.unknown_function(name))
            }
            Node::Type(name) => self.named_type(name).map(drop),
            _ => Ok(()),
        }
    }
}
