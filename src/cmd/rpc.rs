//! `choria rpc` (`req`): one action of one agent on many nodes.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use choria::core::config::Config;
use choria::core::ddl::Resolver;

use super::Globals;
use super::exit::Exit;
use super::interfaces;
use super::request::{Elsewhere, Request, request_command};

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
        /// agent
        #[argh(positional)]
        agent: String,
        /// action
        #[argh(positional)]
        action: String,
        /// inputs, key=value
        #[argh(positional)]
        inputs: Vec<String>,
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
        let request = Request {
            agent: &self.agent,
            action: &self.action,
            inputs: pairs(&self.inputs)?,
            undeclared: false,
            selection: self.selection(),
            flags: self.flags(),
            layout: None,
            elsewhere,
            exit: Exit::new(globals, self.compat_exit),
        };
        request.run(globals)
    }
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
