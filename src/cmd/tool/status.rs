//! `choria tool status`: is the node on this machine well, for monitoring.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use super::super::out::outln;
use anyhow::Context as _;
use argh::{ArgsInfo, FromArgs};
use choria::core::config::parse_duration;
use choria::core::server::status::{Checks, check};

/// check the status file of a server; exit 1 names the first problem
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "status")]
pub struct Status {
    /// the status file
    #[argh(option, arg_name = "file")]
    status_file: String,
    /// do not complain when disconnected
    #[argh(switch)]
    no_disconnected: bool,
    /// longest time without a message, 0 disables
    #[argh(option, arg_name = "duration", default = "String::from(\"1h\")")]
    message_since: String,
    /// oldest status file, 0 disables
    #[argh(option, arg_name = "duration", default = "String::from(\"30m\")")]
    max_age: String,
    /// least validity left of the certificate, 0 disables
    #[argh(option, arg_name = "duration", default = "String::from(\"24h\")")]
    certificate_age: String,
    /// least validity left of the token, 0 disables
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
    pub fn run(self) -> anyhow::Result<ExitCode> {
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
        let problem = match check(Path::new(&self.status_file), &checks, SystemTime::now()) {
            Ok(None) => {
                outln!("{} OK", self.status_file);
                return Ok(ExitCode::SUCCESS);
            }
            Ok(Some(problem)) | Err(problem) => problem,
        };
        outln!("{} {problem}", self.status_file);
        Ok(ExitCode::FAILURE)
    }
}
