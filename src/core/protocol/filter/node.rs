//! What a node knows about itself when it is asked whether it is meant.

use serde_json::{Map, Value};

use super::budget::Exhausted;
use super::{Budget, Facts, pattern};

/// The node a filter is evaluated against.
#[derive(Clone, Copy)]
pub struct NodeView<'a> {
    /// Its identity.
    pub identity: &'a str,
    /// Names of its running agents.
    pub agents: &'a [String],
    /// Its configuration management classes, as written in the classes file.
    pub classes: &'a [String],
    /// Its facts.
    pub facts: &'a Facts,
    /// Its data plugins, callable in compound filters.
    pub data: &'a dyn DataFunctions,
}

impl NodeView<'_> {
    /// Whether an agent runs here: exact, or `/regular expression/`.
    pub fn has_agent(&self, wanted: &str) -> bool {
        self.agents.iter().any(|agent| pattern::names(wanted, agent))
    }

    /// Whether a class is applied here: exact, or `/regular expression/`
    /// without regard to case. An exact name is lower-cased while the node's
    /// classes are not, so one with capitals is only found by expression, as
    /// in the original.
    pub fn has_class(&self, wanted: &str) -> bool {
        if let Some(expression) = pattern::expression(wanted) {
            let Some(regex) = pattern::case_insensitive(expression) else { return false };
            return self.classes.iter().any(|class| regex.is_match(class));
        }
        let wanted = wanted.to_lowercase();
        self.classes.contains(&wanted)
    }

    /// [`NodeView::has_agent`] for a word of a request.
    pub(super) fn has_agent_within(&self, wanted: &str, budget: &Budget) -> Result<bool, Exhausted> {
        for agent in self.agents {
            if pattern::names_within(wanted, agent, budget)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// [`NodeView::has_class`] for a word of a request.
    pub(super) fn has_class_within(&self, wanted: &str, budget: &Budget) -> Result<bool, Exhausted> {
        if let Some(expression) = pattern::expression(wanted) {
            let Some(regex) = pattern::folded(expression, budget)? else { return Ok(false) };
            for class in self.classes {
                if regex.is_match(class, budget)? {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        budget.make(wanted.len().saturating_mul(3))?;
        let wanted = wanted.to_lowercase();
        for class in self.classes {
            budget.read(class.len().min(wanted.len()))?;
            if *class == wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A data plugin as compound filters see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFunction {
    /// The name it is called by.
    pub name: String,
    /// Whether it takes its one argument, a string.
    pub takes_argument: bool,
}

/// The data plugins of a node (spec 02 §8.3).
pub trait DataFunctions {
    /// Every plugin. Names of built-in functions are never replaced.
    fn functions(&self) -> Vec<DataFunction>;
    /// Runs one; the error is text for the node's log.
    fn call(&self, name: &str, argument: Option<&str>) -> Result<Map<String, Value>, String>;
}

/// A node without data plugins.
pub struct NoData;

impl DataFunctions for NoData {
    fn functions(&self) -> Vec<DataFunction> {
        Vec::new()
    }

    fn call(&self, name: &str, _: Option<&str>) -> Result<Map<String, Value>, String> {
        Err(format!("there is no data plugin {name}"))
    }
}
