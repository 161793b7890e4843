//! `choria tool config`: what is configured, and where it came from.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::adapters;
use choria::core::agents::SETTINGS;
use choria::core::config::{Config, Explained, Origin, Role, System};

use super::super::out::{errln, outln};
use crate::cmd::Globals;
use crate::cmd::context::daemon_file;
use crate::cmd::render::text::{clean, escaped};

/// show effective settings and where each came from
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "config")]
pub struct ConfigTool {
    /// show every key, also those left at their default
    #[argh(switch, short = 'l')]
    list: bool,
    /// read the file as a server does
    #[argh(switch)]
    server: bool,
    /// read the file as a broker does
    #[argh(switch)]
    broker: bool,
    /// show JSON
    #[argh(switch, short = 'j')]
    json: bool,
    /// regular expression on keys: shows the documentation of each
    #[argh(positional)]
    key: Option<String>,
}

impl ConfigTool {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let role = match (self.server, self.broker) {
            (true, false) => Role::Server,
            (false, true) => Role::Broker,
            (false, false) => Role::Client,
            (true, true) => bail!("--server and --broker exclude each other"),
        };
        let file = match role {
            // A person's is looked for in several places.
            Role::Client => globals.config.clone(),
            Role::Server | Role::Broker => Some(daemon_file(globals, role)?),
        };
        let config = Config::load(role, file.as_deref(), &System)?;
        let pattern = self.key.as_deref().unwrap_or(".");
        let pattern =
            regex::Regex::new(pattern).with_context(|| format!("'{pattern}' is no regular expression"))?;
        let rows: Vec<Explained> = config
            .explain(&pattern)
            .into_iter()
            .filter(|row| self.key.is_some() || self.list || row.origin != Origin::Default)
            .collect();
        let others = match &self.key {
            Some(typed) => others(typed, &pattern, &config),
            None => vec![],
        };
        if rows.is_empty() && others.is_empty() && self.key.is_some() {
            bail!("no configuration key matches '{}'", self.key.unwrap_or_default());
        }
        if self.json {
            let object = |row: &Explained| {
                serde_json::json!({
                    "key": row.key, "value": row.value, "origin": row.origin.to_string(),
                    "default": row.row.map(|r| r.default), "doc": row.row.map(|r| r.doc),
                    "used": row.row.is_none_or(|r| r.is_used()),
                })
            };
            let document = serde_json::to_string_pretty(&rows.iter().map(object).collect::<Vec<_>>())?;
            outln!("{}", escaped(&document));
            return Ok(ExitCode::SUCCESS);
        }
        if self.key.is_none() {
            overview(&config);
        }
        for row in &rows {
            outln!("{} = {}    ({})", row.key, clean(&row.value, false), row.origin);
            if let (true, Some(key)) = (self.key.is_some(), row.row) {
                documentation(key);
            }
        }
        for (name, doc) in &others {
            outln!("{name} is not set\n    {doc}\n");
        }
        for warning in config.warnings() {
            errln!("choria: {warning}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Keys of agents that manage machines and of adapters, which stand in no table: those that match and
/// are not set.
fn others(typed: &str, pattern: &regex::Regex, config: &Config) -> Vec<(String, String)> {
    let of_agents = SETTINGS.iter().map(|(name, doc)| ((*name).to_owned(), (*doc).to_owned()));
    let of_adapters = adapters::KEYS
        .iter()
        .map(|(name, _, doc)| (format!("plugin.choria.adapter.NAME.{name}"), doc.replace('`', "")));
    let all = of_agents.chain(of_adapters);
    let named = all.map(|(name, doc)| (if is_one_of(typed, &name) { typed.to_owned() } else { name }, doc));
    named.filter(|(name, _)| (name == typed || pattern.is_match(name)) && !config.has(name)).collect()
}

/// Whether a key is one of those that are written with a word for any name.
fn is_one_of(typed: &str, name: &str) -> bool {
    let (typed, words): (Vec<&str>, Vec<&str>) = (typed.split('.').collect(), name.split('.').collect());
    let fits = |(typed, word): (&&str, &&str)| {
        typed == word || ["AGENT", "NAME"].contains(word) && !typed.is_empty()
    };
    typed.len() == words.len() && typed.iter().zip(&words).all(fits)
}

fn overview(config: &Config) {
    outln!("Read as {} configuration from:", config.role().as_str());
    for file in config.files() {
        outln!("  {}", file.display());
    }
    outln!();
}

fn documentation(key: &choria::core::config::Key) {
    outln!("    {}", key.doc);
    outln!(
        "    type: {:?}, default: {}",
        key.kind,
        if key.default.is_empty() { "unset" } else { key.default }
    );
    if !key.is_used() {
        outln!("    not acted on by this version");
    }
    if !key.one_of.is_empty() {
        outln!("    one of: {}", key.one_of.join(", "));
    }
    if let Some(env) = key.env {
        outln!("    environment: {env}");
    }
    outln!();
}
