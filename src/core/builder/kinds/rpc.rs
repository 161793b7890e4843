//! `rpc`: an action on many nodes.

use super::{Filter, Kind, OwnFlag, filter};
use crate::core::builder::compile::Reading;

/// Calls an action.
#[derive(Debug)]
pub struct Rpc {
    /// The agent.
    pub agent: String,
    /// The action.
    pub action: String,
    /// Inputs, whose values are templates; one that is empty is not sent.
    pub inputs: Vec<(String, String)>,
    /// Which nodes are meant.
    pub filter: Filter,
    /// Whether the flags that choose nodes are taken.
    pub std_filters: bool,
    /// How results are shown.
    pub format: Option<Format>,
    /// Whether flags say how results are shown.
    pub format_flags: bool,
    /// Which replies are shown.
    pub display: String,
    /// Whether a flag says which replies are shown.
    pub display_flag: bool,
    /// Nodes at a time.
    pub batch: Option<u64>,
    /// Seconds between.
    pub batch_sleep: Option<u64>,
    /// Whether flags say how many nodes at a time.
    pub batch_flags: bool,
    /// Whether no bar is shown.
    pub no_progress: bool,
    /// A question that is asked before all nodes are.
    pub all_nodes_confirm: String,
}

/// How results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Names of nodes.
    Senders,
    /// One document.
    Json,
    /// A table.
    Table,
}

const MODES: [&str; 4] = ["ok", "failed", "all", "none"];

impl Rpc {
    /// Flags it has by itself.
    pub(super) fn flags(&self) -> Vec<OwnFlag> {
        let mut flags = vec![];
        if self.format_flags {
            flags.push(OwnFlag::switch("senders", "show the names of nodes that answered well"));
            flags.push(OwnFlag::switch("json", "show one JSON document"));
            flags.push(OwnFlag::switch("table", "show successful replies as a table"));
        }
        if self.batch_flags {
            flags.push(OwnFlag::option("batch", "SIZE", "ask so many nodes at a time"));
            flags.push(OwnFlag::option("batch-sleep", "SECONDS", "time between batches, default 1"));
        }
        if self.display_flag {
            flags.push(OwnFlag::option(
                "display",
                "MODE",
                "which replies are shown: ok, failed, all or none",
            ));
        }
        flags
    }
}

pub(super) fn read(of: &mut Reading<'_, '_>) -> Kind {
    let (mut agent, mut action, mut inputs, mut wanted) =
        (String::new(), String::new(), vec![], Filter::default());
    match of.inner("request") {
        Some(mut request) => {
            agent = request.required("agent");
            action = request.required("action");
            inputs = request.template_labels("inputs");
            wanted = filter::read(&mut request);
            request.finish(&[]);
        }
        None => of.error("request is required, with an agent and an action"),
    }
    let format = of.text("output_format");
    let rpc = Rpc {
        agent,
        action,
        inputs,
        filter: wanted,
        std_filters: of.flag("std_filters"),
        format: match format.as_str() {
            "senders" => Some(Format::Senders),
            "json" => Some(Format::Json),
            "table" => Some(Format::Table),
            _ => None,
        },
        format_flags: of.flag("output_format_flags"),
        display: of.text("display"),
        display_flag: of.flag("display_flag"),
        batch: of.number("batch", 1_000_000).filter(|size| *size > 0),
        batch_sleep: of.number("batch_sleep", 86_400).filter(|seconds| *seconds > 0),
        batch_flags: of.flag("batch_flags"),
        no_progress: of.flag("no_progress"),
        all_nodes_confirm: of.text("all_nodes_confirm_prompt"),
    };
    if !format.is_empty() && rpc.format.is_none() {
        of.error_at("output_format", format!("is {format}: senders, json and table are known"));
    }
    if !rpc.display.is_empty() && !MODES.contains(&rpc.display.as_str()) {
        of.error_at("display", format!("is {}: ok, failed, all and none are known", rpc.display));
    }
    for (one, other, both) in [
        ("output_format", "output_format_flags", rpc.format.is_some() && rpc.format_flags),
        ("display", "display_flag", !rpc.display.is_empty() && rpc.display_flag),
        ("batch", "batch_flags", rpc.batch.is_some() && rpc.batch_flags),
    ] {
        if both {
            of.error(format_args!("{one} and {other} exclude each other"));
        }
    }
    Kind::Rpc(Box::new(rpc))
}
