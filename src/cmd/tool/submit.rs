//! `choria tool submit`: hands a message to the node of this machine to be published.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::config::{Config, Role, System, parse_duration};
use choria::core::submission::{MOST_PAYLOAD, Spool, Submission};

use crate::cmd::Globals;
use crate::cmd::context::daemon_file;
use crate::cmd::out::outln;

/// hand a message to the node of this machine, which publishes it below COLLECTIVE.submission.in.; prints its id
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "submit")]
pub struct Submit {
    /// a stream has to store it: it is tried until one does
    #[argh(switch)]
    reliable: bool,
    /// priority, 0 is first and 4 last, default 4
    #[argh(option, arg_name = "n", default = "4")]
    priority: usize,
    /// how long it is worth telling, default 24h
    #[argh(option, arg_name = "duration", default = "String::from(\"24h\")")]
    ttl: String,
    /// how often it is tried at most, default 1000
    #[argh(option, arg_name = "n", default = "1000")]
    tries: u64,
    /// who says it, default the user
    #[argh(option, arg_name = "name")]
    sender: Option<String>,
    /// further headers, NAME=VALUE
    #[argh(option, short = 'H', arg_name = "header")]
    header: Vec<String>,
    /// subject
    #[argh(positional)]
    subject: String,
    /// file with what it says, - for standard input
    #[argh(positional)]
    file: String,
}

impl Submit {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let file = daemon_file(globals, Role::Server)?;
        let config = Config::load(Role::Server, Some(&file), &System)?;
        if config.choria_submission_spool.is_empty() {
            bail!(
                "nothing can be submitted here: plugin.choria.submission.spool is not set in {}",
                file.display()
            );
        }
        let headers = self.header.iter().map(|header| {
            let (name, value) =
                header.split_once('=').with_context(|| format!("--header {header} is no NAME=VALUE"))?;
            Ok((name.to_owned(), value.to_owned()))
        });
        let message = Submission {
            id: uuid::Uuid::new_v4().to_string(),
            headers: headers.collect::<anyhow::Result<BTreeMap<_, _>>>()?,
            payload: payload(&self.file)?,
            subject: self.subject,
            reliable: self.reliable,
            priority: self.priority,
            created: jiff::Timestamp::now(),
            ttl: parse_duration(&self.ttl).with_context(|| format!("--ttl {}", self.ttl))?,
            max_tries: self.tries,
            tries: 0,
            next_try: None,
            sender: self.sender.unwrap_or_else(|| format!("user {}", rustix::process::geteuid().as_raw())),
            identity: config.identity.clone(),
        };
        message.check()?;
        let most = usize::try_from(config.choria_submission_max_spool_size).unwrap_or(0).max(1);
        let spool = Spool::new(PathBuf::from(&config.choria_submission_spool), most);
        spool.put(&message).map_err(|reason| anyhow::anyhow!("the message is not submitted: {reason}"))?;
        outln!("{}", message.id);
        Ok(ExitCode::SUCCESS)
    }
}

/// What a file says, or standard input.
fn payload(file: &str) -> anyhow::Result<Vec<u8>> {
    let most = MOST_PAYLOAD as u64 + 1;
    let mut text = vec![];
    match file {
        "-" => std::io::stdin().take(most).read_to_end(&mut text).context("standard input")?,
        file => std::fs::File::open(Path::new(file))
            .and_then(|open| open.take(most).read_to_end(&mut text))
            .with_context(|| file.to_owned())?,
    };
    Ok(text)
}
