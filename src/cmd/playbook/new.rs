//! `choria playbook new`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::files::write_new;

use crate::cmd::out::outln;

/// write a first plan to begin with
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "new")]
pub struct New {
    /// directory with modules in which it is written, default modules
    #[argh(option, arg_name = "path")]
    modulepath: Option<String>,
    /// the plan, such as module::name
    #[argh(positional, arg_name = "plan")]
    name: String,
}

/// A plan that does something with any network, and shows what plans are made of.
const PLAN: &str = "\
# Pings nodes and gives the time by their clocks, in seconds since 1970.
#
# @param fact only nodes with this fact, such as country=mt
# @param at_least fewer nodes than these are an error
plan NAME (
  Optional[String[1]] $fact = undef,
  Integer[1] $at_least = 1,
) {
  $wanted = $fact ? { undef => [], default => [$fact] }
  $nodes = choria::discover(facts => $wanted, at_least => $at_least)

  $results = choria::task(
    action => 'rpcutil.ping',
    nodes  => $nodes,
  )

  $results.reduce({}) |$memo, $result| {
    $memo + { $result.host => $result['data']['pong'] }
  }
}
";

impl New {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let segment = |s: &str| {
            s.starts_with(|c: char| c.is_ascii_lowercase())
                && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        let segments: Vec<&str> = self.name.split("::").collect();
        if !segments.iter().all(|s| segment(s)) {
            bail!(
                "'{}' is not the name of a plan, as module::name is: small letters, digits and _",
                self.name
            );
        }
        let root = PathBuf::from(self.modulepath.unwrap_or_else(|| "modules".to_owned()));
        let (module, rest) = segments.split_first().context("a plan has a name")?;
        let file = if rest.is_empty() { "init".to_owned() } else { rest.join("/") };
        let file = root.join(format!("{module}/plans/{file}.pp"));
        if let Some(directory) = file.parent() {
            std::fs::create_dir_all(directory)
                .with_context(|| format!("cannot make {}", directory.display()))?;
        }
        write_new(&file, PLAN.replace("NAME", &self.name).as_bytes(), 0o644)?;
        outln!("{}", file.display());
        outln!("run it: choria playbook run {} --modulepath {}", self.name, root.display());
        Ok(ExitCode::SUCCESS)
    }
}
