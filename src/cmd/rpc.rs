//! `choria rpc` (`req`): one action of one agent on many nodes.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use choria::core::client::history::Record;
use choria::core::client::stages::Plan;
use choria::core::config::{Config, Role, System};
use choria::core::ddl::Resolver;
use serde_json::Value;

use super::Globals;
use super::exit::Exit;
use super::history;
use super::interfaces;
use super::render::text::clean;
use super::request::{Elsewhere, Request, Resumed, Until, request_command};
use super::tasks::again;

request_command! {
    /// invoke an action of an agent on the nodes that match filters
    #[argh(subcommand, name = "rpc")]
    pub struct Rpc {
        /// have replies sent to this subject, below COLLECTIVE.reply., and do not wait
        #[argh(option, short = 'r', arg_name = "subject")]
        reply_to: Option<String>,
        /// do not wait for replies
        #[argh(switch, long = "nr")]
        no_results: bool,
        /// make an earlier request again on nodes of it: failed, missed, denied or ok, and its id or last
        #[argh(option, arg_name = "which id")]
        retry: Option<String>,
        /// keep it so long, such as 7d, for nodes that did not answer: they run it once when they come; default not at all
        #[argh(option, arg_name = "time")]
        until: Option<String>,
        /// go on with a request in stages that stopped: its id or last
        #[argh(option, arg_name = "id")]
        resume: Option<String>,
        /// agent, action and inputs, key=value; with --retry only inputs that are to be others
        #[argh(positional, arg_name = "agent action inputs")]
        words: Vec<String>,
    }
}

impl Rpc {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let elsewhere = match (&self.reply_to, self.no_results) {
            (Some(_), true) => bail!("--reply-to and --nr exclude each other"),
            (Some(subject), false) => Some(Elsewhere::Subject(subject.clone())),
            (None, true) => Some(Elsewhere::Nowhere),
            (None, false) => None,
        };
        let until = self.until.as_deref().map(|text| Until::read(text, elsewhere.is_some())).transpose()?;
        if until.is_some() && (self.resume.is_some() || self.stages.is_some()) {
            bail!("--until goes with neither --stages nor --resume: whoever comes later is in no stage");
        }
        let exit = Exit::new(globals, self.compat_exit);
        let mut selection = self.selection();
        let mut resumed = None;
        let asked = match (&self.retry, &self.resume) {
            (None, None) => self.asked()?,
            (Some(_), Some(_)) => bail!("--retry and --resume exclude each other"),
            (None, Some(_)) if elsewhere.is_some() => {
                bail!("--resume judges by replies: it goes with neither --reply-to nor --nr")
            }
            (None, Some(id)) => {
                if !selection.is_unfiltered() {
                    bail!(
                        "--resume asks those that were not asked yet: filters and lists of nodes make no sense"
                    );
                }
                let change = Resumed::open(id, &self.flags())?;
                let withheld = &change.plan().withheld;
                if let Some((name, _)) = pairs(&self.words)?.iter().find(|(name, _)| !withheld.contains(name))
                {
                    bail!(
                        "--resume goes on with what was asked: cannot use '{}' there, only secrets that were not kept",
                        clean(name, false)
                    );
                }
                selection.listed = Some(change.rest()?);
                selection.target = Some(change.plan().collective.clone());
                let plan = resumed.insert(change).plan().clone();
                let Plan { agent, action, inputs, withheld, .. } = plan;
                self.again(Record { agent, action, inputs, withheld, ..Record::default() })?
            }
            (Some(words), None) => {
                if self.only.is_some() {
                    bail!("--retry and --only exclude each other: each says which nodes are meant");
                }
                let (which, id) = history::chosen("--retry", words)?;
                let config = Config::load(Role::Client, globals.config.as_deref(), &System)?;
                let record = history::find(&config, &id)?;
                selection.listed = Some(history::nodes(&record, which)?);
                selection.target = selection.target.or_else(|| Some(record.collective.clone()));
                self.again(record)?
            }
        };
        let request = Request {
            agent: &asked.agent,
            action: &asked.action,
            inputs: asked.inputs,
            undeclared: false,
            selection,
            flags: self.flags(),
            layout: None,
            elsewhere,
            resumed,
            unkept: false,
            until,
            exit,
        };
        request.run(globals)
    }

    /// What the words ask for.
    fn asked(&self) -> anyhow::Result<Question> {
        match self.words.as_slice() {
            [agent, action, inputs @ ..] => {
                Ok(Question { agent: agent.clone(), action: action.clone(), inputs: pairs(inputs)? })
            }
            [agent] => bail!(
                "name an agent and an action of it: choria rpc {0} ACTION, choria doc {0} lists them",
                clean(agent, false)
            ),
            _ => bail!("name an agent and an action of it: choria rpc AGENT ACTION, choria doc lists them"),
        }
    }

    /// What an earlier request asked for; words are inputs that replace its own.
    fn again(&self, record: Record) -> anyhow::Result<Question> {
        let given = pairs(&self.words).context("--retry asks what was asked: only inputs can be given")?;
        let has = |name: &String| given.iter().any(|(given, _)| given == name);
        let of_task = record.agent == "bolt_tasks" && record.withheld.iter().any(|name| name == "input");
        if of_task && !has(&"input".to_owned()) {
            bail!("{}", again::wanted(&record));
        }
        if let Some(missing) = record.withheld.iter().find(|name| !has(name)) {
            bail!(
                "the input {missing} of that request was not kept, it is a secret: give it again, {missing}=VALUE"
            );
        }
        let mut given = given;
        if of_task && let Some((_, value)) = given.iter_mut().find(|(name, _)| name == "input") {
            *value = again::inputs(&record, value, self.resume.is_none())?;
        }
        let has = |name: &String| given.iter().any(|(given, _)| given == name);
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let kept = record.inputs.into_iter().filter(|(name, _)| !has(name));
        let kept: Vec<(String, String)> = kept.map(|(name, value)| (name, text(value))).collect();
        Ok(Question { agent: record.agent, action: record.action, inputs: [kept, given].concat() })
    }
}

/// An action and its inputs, as words.
struct Question {
    agent: String,
    action: String,
    inputs: Vec<(String, String)>,
}

/// Where DDLs are looked for.
pub fn resolver(config: &Config) -> Resolver {
    Resolver::new(config.libdir.iter().chain(&config.choria_agent_provider_mcorpc_libdir))
        .cached_in(interfaces::cache(config))
}

/// `key=value` words; the key is what the DDL declares.
pub fn pairs(inputs: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    inputs
        .iter()
        .map(|input| {
            let (key, value) = input
                .split_once('=')
                .with_context(|| format!("cannot use '{input}' as an input, write key=value"))?;
            Ok((key.to_owned(), value.to_owned()))
        })
        .collect()
}
