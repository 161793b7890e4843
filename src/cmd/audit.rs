//! `choria audit`: whether audit logs are as nodes wrote them. Who called what is `choria
//! tool audit`, of which `choria audit who` is another name.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::audit::chain::{Examination, Finding, examine};
use choria::core::audit::trail::with_rotated;
use choria::core::config::{Config, Role, System};
use flate2::bufread::MultiGzDecoder;
use serde_json::json;

use super::Globals;
use super::context::daemon_file;
use super::out::outln;
use super::render::text::counted;

/// Findings that are shown to people.
const SHOWN: usize = 20;

/// show whether audit logs are as they were written; audit who is tool audit
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "audit")]
pub struct AuditCommand {
    #[argh(subcommand)]
    command: Sub,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Sub {
    Verify(Verify),
}

/// hold audit logs against the chain that was signed beside them
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "verify")]
struct Verify {
    /// chain of the logs, default plugin.rpcaudit.chain of the server configuration
    #[argh(option, arg_name = "file")]
    chain: Option<String>,
    /// certificate of the node, also those it had before; default that of the server configuration
    #[argh(option, arg_name = "file")]
    certificate: Vec<String>,
    /// show one JSON document
    #[argh(switch, short = 'j')]
    json: bool,
    /// audit logs, the oldest first, compressed ones too; those of the server configuration when absent
    #[argh(positional, arg_name = "files")]
    files: Vec<String>,
}

impl AuditCommand {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        match self.command {
            Sub::Verify(verify) => verify.run(globals),
        }
    }
}

impl Verify {
    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let needs_config = self.chain.is_none() || self.certificate.is_empty() || self.files.is_empty();
        let config = needs_config.then(|| configuration(globals)).transpose()?;
        let configured = || config.as_ref().context("there is no configuration");
        let chain = match &self.chain {
            Some(file) => PathBuf::from(file),
            None => match configured()?.rpcaudit_chain.as_str() {
                "" => bail!("name the chain, --chain FILE: plugin.rpcaudit.chain is not set here"),
                file => PathBuf::from(file),
            },
        };
        let logs: Vec<PathBuf> = match self.files.as_slice() {
            [] => {
                let mut logs = with_rotated(Path::new(&configured()?.rpcaudit_logfile));
                // which may be called as if rotation had made it
                logs.retain(|log| *log != chain);
                logs
            }
            files => files.iter().map(PathBuf::from).collect(),
        };
        let mut certificates = vec![];
        for file in self.certificates(config.as_ref())? {
            let mut text = BufReader::new(open(&file)?);
            let found = rustls_pemfile::certs(&mut text).next();
            let found = found.with_context(|| format!("{} holds no certificate", file.display()))?;
            certificates.push(found.with_context(|| format!("{}", file.display()))?);
        }
        let mut inputs: Vec<Box<dyn Read>> = vec![];
        for log in &logs {
            inputs.push(plain(log)?);
        }
        if inputs.is_empty() {
            bail!(
                "there is no audit log{}: name the files",
                config.as_ref().map_or_else(String::new, |config| format!(" at {}", config.rpcaudit_logfile))
            );
        }
        let all = inputs.into_iter().reduce(|before, next| Box::new(before.chain(next)));
        let all = BufReader::with_capacity(256 * 1024, all.unwrap_or_else(|| Box::new(io::empty())));
        let written = BufReader::with_capacity(256 * 1024, open(&chain)?);
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let found = examine(written, all, &certificates, &provider)
            .with_context(|| format!("{} cannot be verified", chain.display()))?;
        match self.json {
            true => outln!("{}", serde_json::to_string_pretty(&document(&found))?),
            false => told(&found),
        }
        Ok(if found.is_good() { ExitCode::SUCCESS } else { ExitCode::from(2) })
    }

    fn certificates(&self, config: Option<&Config>) -> anyhow::Result<Vec<PathBuf>> {
        if !self.certificate.is_empty() {
            return Ok(self.certificate.iter().map(PathBuf::from).collect());
        }
        let provider =
            config.map(|config| choria::core::security::Provider::new(config, Role::Server, &System));
        let needed = "name the certificate of the node, --certificate FILE";
        Ok(vec![provider.context(needed)?.context(needed)?.files().certificate.clone()])
    }
}

fn configuration(globals: &Globals) -> anyhow::Result<Config> {
    let file = daemon_file(globals, Role::Server)?;
    let named = "name --chain, --certificate and the logs, or the configuration of the node that has them";
    Config::load(Role::Server, Some(&file), &System).context(named)
}

fn open(file: &Path) -> anyhow::Result<File> {
    File::open(file).with_context(|| format!("{} cannot be read", file.display()))
}

/// A log, of which a compressed one is known by its first bytes.
fn plain(file: &Path) -> anyhow::Result<Box<dyn Read>> {
    let mut input = BufReader::with_capacity(64 * 1024, open(file)?);
    let first = input.fill_buf().with_context(|| format!("{} cannot be read", file.display()))?;
    match first.starts_with(&[0x1f, 0x8b]) {
        true => Ok(Box::new(MultiGzDecoder::new(input))),
        false => Ok(Box::new(input)),
    }
}

fn told(found: &Examination) {
    for finding in found.findings.iter().take(SHOWN) {
        match finding {
            Finding::Edited { line, record } => outln!("line {line} was edited: it is not record {record}"),
            Finding::Missing { record } => outln!("record {record} is missing"),
            Finding::Added { line } => outln!(
                "line {line} is not in the chain: it was added, or the chain could not be written then, or it is \
                 the last of a node that was killed and has not started since"
            ),
            Finding::Moved { line, record } => outln!("line {line} was moved: it is record {record}"),
            Finding::Chain { line, problem } => outln!("the chain was changed: its line {line} {problem}"),
        }
    }
    let shown = found.findings.len().min(SHOWN) as u64;
    if found.wrong > shown {
        outln!("and {} more", found.wrong - shown);
    }
    let until = found.signed_until.and_then(|time| jiff::Timestamp::from_second(time).ok());
    let until =
        until.map_or_else(|| "nothing is signed yet".to_owned(), |time| format!("signed until {time}"));
    let mut rest = String::new();
    if found.before > 0 {
        rest.push_str(&format!(", {} before them rotated away", counted(found.before, "record")));
    }
    if found.older > 0 {
        rest.push_str(&format!(", {} older than it, of which it says nothing", counted(found.older, "line")));
    }
    if found.unsigned > 0 {
        rest.push_str(&format!(", {} since then not signed yet", counted(found.unsigned, "record")));
    }
    if found.taken_over > 0 {
        let words = counted(found.taken_over, "record");
        rest.push_str(&format!(", {words} signed only when the node started after it was killed"));
    }
    let (lines, records) = (counted(found.lines, "line"), counted(found.records, "record"));
    if found.left > 0 {
        let words = counted(found.left, "line");
        rest.push_str(&format!(
            ", {words} not in the chain that the node found at the end of the log when it started, after it was \
             killed: who was called then cannot be shown"
        ));
    }
    match (found.wrong, found.is_good()) {
        (0, true) => {
            let are = if found.lines == 1 { "is as it was" } else { "are as they were" };
            outln!("{lines} of logs {are} written, by a chain of {records}: {until}{rest}")
        }
        (0, false) => {
            outln!("{lines} of logs held against a chain of {records}, which shows nothing: {until}")
        }
        (wrong, _) => {
            outln!("{lines} of logs and a chain of {records}: {wrong} NOT as written; {until}{rest}")
        }
    }
}

fn document(found: &Examination) -> serde_json::Value {
    let findings: Vec<_> = found
        .findings
        .iter()
        .map(|finding| match finding {
            Finding::Edited { line, record } => json!({"kind": "edited", "line": line, "record": record}),
            Finding::Missing { record } => json!({"kind": "missing", "record": record}),
            Finding::Added { line } => json!({"kind": "added", "line": line}),
            Finding::Moved { line, record } => json!({"kind": "moved", "line": line, "record": record}),
            Finding::Chain { line, problem } => json!({"kind": "chain", "line": line, "problem": problem}),
        })
        .collect();
    json!({
        "good": found.is_good(), "taken_over": found.taken_over, "left": found.left, "lines": found.lines, "records": found.records, "before": found.before, "older": found.older,
        "unsigned": found.unsigned, "signed_until": found.signed_until, "wrong": found.wrong,
        "findings": findings,
    })
}
