//! `choria machine plugins`: manifests of machines that nodes fetch.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::files::{self, read_bounded};
use choria::core::machine::host::facts_of;
use choria::core::machine::plugins::managed::{Here, is_for};
use choria::core::machine::plugins::manifest::check_matcher;
use choria::core::machine::plugins::{Manifest, Plugin};
use choria::core::protocol::filter::{Facts, PluginView};
use choria::core::security::tokens::{SigningKey, VerifyKey};
use serde_json::Value;

use crate::cmd::context::block_on;
use crate::cmd::jwt;
use crate::cmd::out::{errln, out, outln};
use crate::cmd::render::table;
use crate::cmd::render::text::clean;

/// Bytes of a manifest.
const MOST: u64 = 1 << 20;
/// Where a manifest is.
const MANIFEST: &str = "plugins.json";

/// machines that nodes fetch: a manifest of them, signed, for a bucket
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "plugins")]
pub struct Plugins {
    #[argh(subcommand)]
    command: PluginsCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum PluginsCommand {
    Add(Add),
    List(List),
    Matcher(Matcher),
    Pack(Pack),
    Remove(Remove),
    Verify(Verify),
}

impl Plugins {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            PluginsCommand::Add(c) => c.run(),
            PluginsCommand::List(c) => c.run(),
            PluginsCommand::Matcher(c) => c.run(),
            PluginsCommand::Pack(c) => c.run(),
            PluginsCommand::Remove(c) => c.run(),
            PluginsCommand::Verify(c) => c.run(),
        }
    }
}

/// add a plugin to a manifest, or change it there
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "add")]
struct Add {
    /// manifest, default plugins.json; made where it is missing
    #[argh(option, arg_name = "file", default = "MANIFEST.into()")]
    manifest: PathBuf,
    /// expression that says which nodes, default all
    #[argh(option, arg_name = "expression", default = "String::new()")]
    matcher: String,
    /// governor whose slot it takes to fetch it, default none
    #[argh(option, arg_name = "name", default = "String::new()")]
    governor: String,
    /// its name, which the directory in the archive has too
    #[argh(positional)]
    name: String,
    /// http or https URL of the archive, a gzipped tar; USER:PASSWORD@ before the host are taken out of it
    #[argh(positional)]
    source: String,
    /// SHA-256 of the archive
    #[argh(positional)]
    checksum: String,
    /// SHA-256 of the file SHA256SUMS in it
    #[argh(positional)]
    verify_checksum: String,
}

/// list the plugins of a manifest
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "list")]
struct List {
    /// manifest, default plugins.json
    #[argh(option, arg_name = "file", default = "MANIFEST.into()")]
    manifest: PathBuf,
}

/// take a plugin out of a manifest
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "remove")]
struct Remove {
    /// manifest, default plugins.json
    #[argh(option, arg_name = "file", default = "MANIFEST.into()")]
    manifest: PathBuf,
    /// its name
    #[argh(positional)]
    name: String,
}

/// make of a manifest what is put into a bucket, signed by a key
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "pack")]
struct Pack {
    /// write it to this file, default standard output
    #[argh(option, arg_name = "file")]
    output: Option<PathBuf>,
    /// also of an empty list, by which nodes remove what they have
    #[argh(switch)]
    force: bool,
    /// manifest
    #[argh(positional)]
    manifest: PathBuf,
    /// file with the 64 hex digits of an ed25519 seed; without it nothing is signed
    #[argh(positional)]
    seed: Option<PathBuf>,
}

/// say whether a packed manifest is signed by a key
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "verify")]
struct Verify {
    /// packed manifest
    #[argh(positional)]
    packed: PathBuf,
    /// 64 hex digits of an ed25519 public key
    #[argh(positional)]
    key: String,
}

/// say whether an expression matches this machine
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "matcher")]
struct Matcher {
    /// name of the node, default localhost
    #[argh(option, arg_name = "name", default = "String::from(\"localhost\")")]
    identity: String,
    /// file with facts, default none
    #[argh(option, arg_name = "file")]
    facts: Option<PathBuf>,
    /// expression
    #[argh(positional)]
    expression: String,
}

fn load(file: &Path) -> anyhow::Result<Manifest> {
    Manifest::written(&read_bounded(file, MOST)?).with_context(|| file.display().to_string())
}

fn save(file: &Path, manifest: &Manifest) -> anyhow::Result<()> {
    // there may be passwords in it
    files::write_atomic(file, manifest.text().as_bytes(), files::SECRET)?;
    outln!("Use the pack command to sign the {} manifest", file.display());
    Ok(())
}

/// Who asks, and an address without that.
fn login(source: &str) -> (String, String, String) {
    let none = || (source.to_owned(), String::new(), String::new());
    let Some((scheme, rest)) = source.split_once("://") else { return none() };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let Some((login, host)) = authority.rsplit_once('@') else { return none() };
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    (format!("{scheme}://{host}{path}"), plain(user), plain(password))
}

impl Add {
    fn run(self) -> anyhow::Result<ExitCode> {
        check_matcher(&self.matcher).map_err(|e| anyhow!("--matcher: {e}"))?;
        let (source, username, password) = login(&self.source);
        let plugin = Plugin {
            name: self.name,
            source,
            username,
            password,
            verify_checksum: self.verify_checksum,
            checksum: self.checksum,
            matcher: self.matcher,
            governor: self.governor,
            ..Plugin::default()
        };
        plugin.check_written()?;
        let mut manifest = if self.manifest.exists() { load(&self.manifest)? } else { Manifest::default() };
        match manifest.plugins.iter_mut().find(|other| other.name == plugin.name) {
            Some(other) => {
                outln!("Updating plugin {}", plugin.name);
                *other = plugin;
            }
            None => {
                outln!("Adding plugin {}", plugin.name);
                manifest.plugins.push(plugin);
            }
        }
        save(&self.manifest, &manifest)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    fn run(self) -> anyhow::Result<ExitCode> {
        let manifest = load(&self.manifest)?;
        if manifest.plugins.is_empty() {
            outln!("There are no plugins in {}", self.manifest.display());
            return Ok(ExitCode::SUCCESS);
        }
        let rows: Vec<Vec<String>> = manifest
            .plugins
            .iter()
            .map(|plugin| {
                let matcher = if plugin.matcher.is_empty() { "all nodes" } else { &plugin.matcher };
                vec![plugin.name.clone(), plugin.source.clone(), matcher.to_owned(), plugin.governor.clone()]
            })
            .collect();
        out!("{}", table::render(&["Plugin", "Source", "Matches", "Governor"].map(str::to_owned), &rows));
        Ok(ExitCode::SUCCESS)
    }
}

impl Remove {
    fn run(self) -> anyhow::Result<ExitCode> {
        let mut manifest = load(&self.manifest)?;
        let before = manifest.plugins.len();
        manifest.plugins.retain(|plugin| plugin.name != self.name);
        if manifest.plugins.len() == before {
            bail!("no plugin named {} in {}", self.name, self.manifest.display());
        }
        outln!("Removing plugin {}", self.name);
        save(&self.manifest, &manifest)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Pack {
    fn run(self) -> anyhow::Result<ExitCode> {
        let text = read_bounded(&self.manifest, MOST)?;
        let shown = self.manifest.display().to_string();
        let manifest = Manifest::written(&text).with_context(|| shown.clone())?;
        if manifest.plugins.is_empty() && !self.force {
            bail!(
                "{shown} has no plugins, by which nodes would remove what they have; --force if that is meant"
            );
        }
        for plugin in &manifest.plugins {
            check_matcher(&plugin.matcher)
                .map_err(|e| anyhow!("{shown}: the matcher of plugin {}: {e}", plugin.name))?;
        }
        let key = self.seed.as_deref().map(SigningKey::from_file).transpose()?;
        if key.is_none() {
            errln!(
                "choria: no seed is given, so nothing is signed, and nodes with a signing key leave it aside"
            );
        }
        if let Some(public) = key.as_ref().and_then(jwt::public) {
            errln!("choria: nodes believe it by plugin.machines.signing_key = {public}");
        }
        let packed = Manifest::pack(&text, key.as_ref(), Some(jiff::Timestamp::now().as_millisecond()))
            .with_context(|| shown)?;
        match &self.output {
            None => outln!("{packed}"),
            Some(file) => files::write_atomic(file, packed.as_bytes(), files::SECRET)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Verify {
    fn run(self) -> anyhow::Result<ExitCode> {
        let key = VerifyKey::from_hex(&self.key)
            .with_context(|| format!("'{}' is no key, 64 hex digits are one", clean(&self.key, false)))?;
        let shown = self.packed.display().to_string();
        let document: Value = serde_json::from_slice(&read_bounded(&self.packed, MOST)?)
            .with_context(|| format!("{shown} is no packed manifest"))?;
        let manifest = Manifest::unpack(&document, Some(&key)).with_context(|| shown.clone())?;
        outln!("Data file {shown} is signed using {}, it has {} plugins", self.key, manifest.plugins.len());
        Ok(ExitCode::SUCCESS)
    }
}

impl Matcher {
    fn run(self) -> anyhow::Result<ExitCode> {
        let facts = match self.facts {
            None => Arc::new(Facts::from_json("{}".to_owned())),
            Some(file) => block_on(facts_of(file))?.map_err(|e| anyhow!(e))?,
        };
        let plugin = Plugin { matcher: self.expression, ..Plugin::default() };
        let view = PluginView { identity: &self.identity, facts: &facts, sight: &Here };
        match is_for(&plugin, &view).map_err(|e| anyhow!(e))? {
            true => outln!("Matched plugin matcher: {}", clean(&plugin.matcher, false)),
            false => outln!("Failed to match plugin matcher: {}", clean(&plugin.matcher, false)),
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_taken_out_of_an_address() {
        for (typed, source, user, password) in [
            ("http://u:p@h:1/a.tgz", "http://h:1/a.tgz", "u", "p"),
            ("https://u:p%40@h/a@b.tgz", "https://h/a@b.tgz", "u", "p@"),
            ("http://h/a@b.tgz", "http://h/a@b.tgz", "", ""),
            ("notaurl", "notaurl", "", ""),
        ] {
            let expected = (source.to_owned(), user.to_owned(), password.to_owned());
            assert_eq!(login(typed), expected, "{typed}");
        }
    }
}
