//! `choria tool status`: is the node on this machine well, for monitoring.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use super::super::out::outln;
use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::config::{Config, Role, System, parse_duration};
use choria::core::server::status::{Checks, check};

use crate::cmd::Globals;
use crate::cmd::context::daemon_file;

/// check the status file of a server; exit 1 names the first problem
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "status")]
pub struct Status {
    /// the status file, default the one in the server's configuration
    #[argh(option, arg_name = "file")]
    status_file: Option<String>,
    /// do not complain when disconnected
    #[argh(switch)]
    no_disconnected: bool,
    /// longest time without a message, 0 disables, default 1h
    #[argh(option, arg_name = "duration", default = "String::from(\"1h\")")]
    message_since: String,
    /// oldest status file, 0 disables, default 30m
    #[argh(option, arg_name = "duration", default = "String::from(\"30m\")")]
    max_age: String,
    /// least validity left of the certificate, 0 disables, default 24h
    #[argh(option, arg_name = "duration", default = "String::from(\"24h\")")]
    certificate_age: String,
    /// least validity left of the token, 0 disables, default 24h
    #[argh(option, arg_name = "duration", default = "String::from(\"24h\")")]
    token_age: String,
    /// the server has to be in provisioning mode
    #[argh(switch)]
    unprovisioned: bool,
    /// the server must not be in provisioning mode
    #[argh(switch)]
    provisioned: bool,
}

impl Status {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let time = |flag: &str, text: &str| -> anyhow::Result<Duration> {
            match text {
                "0" => Ok(Duration::ZERO),
                text => parse_duration(text).with_context(|| format!("{flag} {text}")),
            }
        };
        let checks = Checks {
            disconnected: !self.no_disconnected,
            message_since: time("--message-since", &self.message_since)?,
            max_age: time("--max-age", &self.max_age)?,
            certificate_age: time("--certificate-age", &self.certificate_age)?,
            token_age: time("--token-age", &self.token_age)?,
            unprovisioned: self.unprovisioned,
            provisioned: self.provisioned,
        };
        let file = self.file(globals)?;
        let problem = match check(Path::new(&file), &checks, SystemTime::now()) {
            Ok(None) => {
                outln!("{file} OK");
                return Ok(ExitCode::SUCCESS);
            }
            Ok(Some(problem)) | Err(problem) => problem,
        };
        outln!("{file} {problem}");
        Ok(ExitCode::FAILURE)
    }

    fn file(&self, globals: &Globals) -> anyhow::Result<String> {
        if let Some(file) = &self.status_file {
            return Ok(file.clone());
        }
        let configuration =
            daemon_file(globals, Role::Server).context("which status file? See --status-file")?;
        let config = Config::load(Role::Server, Some(&configuration), &System)?;
        if config.choria_status_file_path.is_empty() {
            bail!("{} has no plugin.choria.status_file_path", configuration.display());
        }
        Ok(config.choria_status_file_path.clone())
    }
}
