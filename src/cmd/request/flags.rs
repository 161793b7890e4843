//! Flags of every command that calls an action on many nodes.

use std::time::Duration;

use anyhow::{Context as _, bail};
use choria::core::client::Limit;
use choria::core::ddl::{Action, Display};
use choria::core::protocol::filter::ReplyFilter;

use crate::cmd::render::forms::{Flags, Form, form};
use crate::cmd::render::keep::Keep;

/// Adds the flags of the fleet, and those of requests, to a command.
macro_rules! request_command {
    ($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* }) => {
        $crate::cmd::fleet::fleet_command! {
            $(#[$meta])*
            pub struct $name {
                /// show one JSON document
                #[argh(switch, short = 'j')]
                json: bool,
                /// show JSON lines as things happen
                #[argh(switch)]
                jsonl: bool,
                /// show successful replies as a table
                #[argh(switch)]
                table: bool,
                /// show the names of nodes that answered well
                #[argh(switch)]
                senders: bool,
                /// federations to address, comma separated
                #[argh(option, arg_name = "list")]
                federations: Option<String>,
                /// ask a part of the nodes: a number, or a share such as 10%, default all
                #[argh(option, arg_name = "n")]
                limit: Option<String>,
                /// makes a random limit repeatable
                #[argh(option, arg_name = "seed")]
                limit_seed: Option<i64>,
                /// ask so many nodes at a time, or a share of them such as 10%, default all at once
                #[argh(option, arg_name = "size")]
                batch: Option<String>,
                /// seconds between batches, or stages, default 1
                #[argh(option, arg_name = "seconds")]
                batch_sleep: Option<f64>,
                /// ask in stages, each when the one before did well, such as 1,1%,10%,100%; default all at once
                #[argh(option, arg_name = "sizes")]
                stages: Option<String>,
                /// nodes of a request in stages that may do badly: a number, or a share such as 2%, default 0
                #[argh(option, arg_name = "n")]
                abort: Option<String>,
                /// what looks at nodes after each stage: AGENT.ACTION and its inputs in one word, default nothing
                #[argh(option, arg_name = "action")]
                check: Option<String>,
                /// connections that take replies, default 1
                #[argh(option, arg_name = "n")]
                workers: Option<usize>,
                /// seconds to wait for replies once all are asked, default what the agent says and discovery_timeout
                #[argh(option, arg_name = "seconds")]
                timeout: Option<f64>,
                /// no progress bar
                #[argh(switch, long = "np")]
                no_progress: bool,
                /// show all data and statistics
                #[argh(switch, short = 'v')]
                verbose: bool,
                /// which replies are shown: ok, failed, all or none, default what the action says
                #[argh(option, arg_name = "mode")]
                display: Option<String>,
                /// keep only replies an expression is true of, such as "ok() && data('value') == 'uk'"
                #[argh(option, arg_name = "expression")]
                filter_replies: Option<String>,
                /// ask nodes of an earlier request: ok, failed, missed or denied, and its id or last
                #[argh(option, arg_name = "which id")]
                only: Option<String>,
                /// write results to this file
                #[argh(option, short = 'o', arg_name = "file")]
                output_file: Option<String>,
                /// show results sorted by node, once all have answered
                #[argh(switch)]
                sort: bool,
                /// exit codes of the original
                #[argh(switch)]
                compat_exit: bool,
                $($body)*
            }
        }

        impl $name {
            /// The flags of requests.
            fn flags(&self) -> $crate::cmd::request::RequestFlags {
                $crate::cmd::request::RequestFlags {
                    form: $crate::cmd::render::forms::Flags {
                        json: self.json,
                        jsonl: self.jsonl,
                        table: self.table,
                        senders: self.senders,
                    },
                    federations: self.federations.clone(),
                    limit: self.limit.clone(),
                    limit_seed: self.limit_seed,
                    batch: self.batch.clone(),
                    batch_sleep: self.batch_sleep,
                    stages: self.stages.clone(),
                    abort: self.abort.clone(),
                    check: self.check.clone(),
                    workers: self.workers,
                    timeout: self.timeout,
                    no_progress: self.no_progress,
                    verbose: self.verbose,
                    display: self.display.clone(),
                    filter_replies: self.filter_replies.clone(),
                    only: self.only.clone(),
                    output_file: self.output_file.clone(),
                    sort: self.sort,
                }
            }
        }
    };
}
pub(crate) use request_command;

/// The flags of requests, as given.
#[derive(Debug, Clone, Default)]
pub struct RequestFlags {
    pub form: Flags,
    pub federations: Option<String>,
    pub limit: Option<String>,
    pub limit_seed: Option<i64>,
    pub batch: Option<String>,
    pub batch_sleep: Option<f64>,
    pub stages: Option<String>,
    pub abort: Option<String>,
    pub check: Option<String>,
    pub workers: Option<usize>,
    pub timeout: Option<f64>,
    pub no_progress: bool,
    pub verbose: bool,
    pub display: Option<String>,
    pub filter_replies: Option<String>,
    pub only: Option<String>,
    pub output_file: Option<String>,
    pub sort: bool,
}

/// How many nodes are asked at a time, and how long to wait in between.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Batch {
    size: Size,
    sleep: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Size {
    Nodes(usize),
    Percent(usize),
}

impl Batch {
    /// Of so many nodes; a share is rounded up.
    pub fn of(self, nodes: usize) -> (usize, Duration) {
        match self.size {
            Size::Nodes(size) => (size, self.sleep),
            Size::Percent(percent) => (nodes.saturating_mul(percent).div_ceil(100).max(1), self.sleep),
        }
    }
}

impl RequestFlags {
    pub fn limit(&self) -> anyhow::Result<Option<Limit>> {
        Ok(self.limit.as_deref().map(str::parse).transpose()?)
    }

    /// How long nobody is asked between batches, and between stages.
    pub fn pause(&self) -> anyhow::Result<Duration> {
        match self.batch_sleep {
            None => Ok(Duration::from_secs(1)),
            Some(seconds) if (0.0..86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
            Some(seconds) => bail!("--batch-sleep {seconds} is no time to wait, give seconds"),
        }
    }

    pub fn batch(&self) -> anyhow::Result<Option<Batch>> {
        let sleep = self.pause()?;
        let size = match self.batch.as_deref() {
            None if self.batch_sleep.is_some() && self.stages.is_none() => {
                bail!("--batch-sleep needs --batch or --stages")
            }
            None => return Ok(None),
            Some(text) => match text.strip_suffix('%') {
                Some(percent) => percent.parse().ok().filter(|p| (1..=100).contains(p)).map(Size::Percent),
                None => text.parse().ok().map(Size::Nodes),
            },
        };
        match size {
            None => {
                let text = self.batch.as_deref().unwrap_or_default();
                bail!("--batch {text} is neither a number of nodes nor a share of them: write 10 or 10%")
            }
            Some(Size::Nodes(0)) => bail!("--batch 0 asks nobody, give the number of nodes to ask at a time"),
            Some(size) => Ok(Some(Batch { size, sleep })),
        }
    }

    /// How long replies are waited for; `usual` without the flag.
    pub fn timeout(&self, usual: u64) -> anyhow::Result<Duration> {
        match self.timeout {
            None => Ok(Duration::from_secs(usual)),
            Some(seconds) if seconds > 0.0 && seconds < 86_400.0 => Ok(Duration::from_secs_f64(seconds)),
            Some(seconds) => bail!("--timeout {seconds} is no time to wait, give seconds above 0"),
        }
    }

    pub fn keep(&self) -> anyhow::Result<Keep> {
        let filter = self.filter_replies.as_deref().map(ReplyFilter::compile).transpose();
        Ok(Keep::new(filter.context("--filter-replies")?))
    }

    pub fn display(&self, action: &Action) -> anyhow::Result<Display> {
        match self.display.as_deref() {
            None => Ok(action.display),
            Some("all") => Ok(Display::Always),
            Some(word @ ("ok" | "failed" | "none")) => Ok(Display::from_word(word)),
            Some(word) => bail!("--display must be one of ok, failed, all, none, got '{word}'"),
        }
    }

    /// The form that is asked for.
    pub fn form(&self) -> &'static dyn Form {
        form(self.form)
    }

    /// Whether no form is asked for but that for people.
    pub fn is_text(&self) -> bool {
        self.form == Flags::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_a_number_or_a_share() {
        let batch = |text: &str| {
            let flags = RequestFlags { batch: Some(text.to_owned()), ..RequestFlags::default() };
            flags.batch().map(|batch| batch.map(|batch| batch.of(25).0)).map_err(|e| e.to_string())
        };
        for (text, size) in [("2", 2), ("100", 100), ("10%", 3), ("100%", 25), ("1%", 1)] {
            assert_eq!(batch(text), Ok(Some(size)), "{text}");
        }
        for text in ["0", "", "x", "0%", "101%", "-1", "%"] {
            assert!(batch(text).is_err(), "{text}");
        }
    }
}
