//! `task`: a Puppet task on many nodes; ours, the original has none.

use super::{Filter, Kind, filter};
use crate::core::builder::compile::Reading;

/// Runs a task.
#[derive(Debug)]
pub struct Task {
    /// Its name; a template.
    pub task: String,
    /// Its parameters, whose values are templates; one that is empty is not given.
    pub inputs: Vec<(String, String)>,
    /// Which nodes are meant.
    pub filter: Filter,
    /// Whether the flags that choose nodes are taken.
    pub std_filters: bool,
    /// The environment of the task.
    pub environment: String,
    /// The user of the nodes it runs as; a template.
    pub run_as: String,
    /// Whether nobody waits for its end.
    pub background: bool,
    /// Whether what nodes say is left out, and how they ended is told.
    pub summary: bool,
    /// Nodes at a time.
    pub batch: Option<u64>,
    /// Seconds between.
    pub batch_sleep: Option<u64>,
    /// A question that is asked before all nodes are.
    pub all_nodes_confirm: String,
}

pub(super) fn read(of: &mut Reading<'_, '_>) -> Kind {
    Kind::Task(Box::new(Task {
        task: of.required_template("task"),
        inputs: of.template_labels("inputs"),
        filter: filter::read(of),
        std_filters: of.flag("std_filters"),
        environment: of.text("environment"),
        run_as: of.template("run_as"),
        background: of.flag("background"),
        summary: of.flag("summary"),
        batch: of.number("batch", 1_000_000).filter(|size| *size > 0),
        batch_sleep: of.number("batch_sleep", 86_400).filter(|seconds| *seconds > 0),
        all_nodes_confirm: of.text("all_nodes_confirm_prompt"),
    }))
}
