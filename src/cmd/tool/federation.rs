//! `choria tool federation trace`: the way of a message to a node and back.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use argh::{ArgsInfo, FromArgs};
use choria::core::discovery::{Trace as Traced, is_name, trace};
use serde_json::json;

use crate::cmd::Globals;
use crate::cmd::context::{self, block_on};
use crate::cmd::exit::Exit;
use crate::cmd::out::{errln, outln};
use crate::cmd::render::text::clean;
use crate::cmd::{set_federations, trouble};

/// how messages cross federation brokers
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "federation")]
pub struct Federation {
    #[argh(subcommand)]
    command: FederationCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum FederationCommand {
    Trace(Trace),
}

/// ask a node for a sign of life and draw the way it took
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "trace")]
struct Trace {
    /// collective of the node, default the main one
    #[argh(option, short = 'T', arg_name = "collective")]
    target: Option<String>,
    /// federations to address, comma separated
    #[argh(option, arg_name = "list")]
    federations: Option<String>,
    /// seconds to wait, default discovery_timeout
    #[argh(option, arg_name = "seconds")]
    timeout: Option<f64>,
    /// the hops as JSON
    #[argh(switch, short = 'j')]
    json: bool,
    /// node
    #[argh(positional)]
    node: String,
}

impl Federation {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let FederationCommand::Trace(trace) = self.command;
        trace.run(globals)
    }
}

impl Trace {
    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        if !is_name(&self.node) {
            bail!(
                "'{}' is no node, give the name of one as 'choria find' shows it",
                clean(&self.node, false)
            );
        }
        let mut config = context::client_config(globals)?;
        set_federations(&mut config, self.federations.as_deref())?;
        let timeout = match self.timeout {
            Some(seconds) if seconds > 0.0 && seconds < 86_400.0 => Duration::from_secs_f64(seconds),
            Some(seconds) => bail!("--timeout {seconds} is no time to wait, give seconds above 0"),
            None => Duration::from_secs(u64::try_from(config.discovery_timeout).unwrap_or(2).max(1)),
        };
        let node = self.node.as_str();
        let (traced, caller, broker) = block_on(async {
            let client = context::connect(config).await?;
            let collective = client.collective(self.target.as_deref())?;
            let traced = trace(&client, collective, node, timeout).await?;
            let broker = client.session().connected_server().unwrap_or_default();
            client.session().close().await;
            anyhow::Ok((traced, client.config().identity.clone(), broker))
        })??;
        let (hops, took) = match traced {
            Traced::Way(hops, took) => (hops, took),
            Traced::Down(federations) => {
                trouble::down(&federations);
                errln!("choria: no answer of {node}");
                return Ok(Exit::new(globals, false).nobody_answered());
            }
            Traced::Nobody => {
                errln!("choria: nobody listens as node {node} at {broker}: is its daemon running?");
                return Ok(Exit::new(globals, false).nobody_answered());
            }
            Traced::Silence => {
                errln!("choria: no answer of {node} within {} s", timeout.as_secs_f64());
                return Ok(Exit::new(globals, false).nobody_answered());
            }
        };
        if self.json {
            let text = json!({"node": node, "milliseconds": took.as_millis() as u64, "hops": hops});
            outln!("{}", serde_json::to_string_pretty(&text)?);
            return Ok(ExitCode::SUCCESS);
        }
        outln!("Way to {node} and back, {} ms:\n", took.as_millis());
        for line in drawn(&caller, node, &broker, &hops) {
            outln!("{}", clean(&line, false));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The way: processes, and the brokers between them. An answer that no federation
/// broker carried tells of its own hop alone; the way to the node is the same then.
fn drawn(caller: &str, node: &str, broker: &str, hops: &[[String; 3]]) -> Vec<String> {
    let mut lines = vec![format!("  {caller}")];
    let mut last = broker.to_owned();
    let own = hops.first().is_some_and(|[_, process, _]| process == caller);
    let mut turned = false;
    for [from, process, to] in hops.iter().skip(usize::from(own)) {
        lines.push(format!("    | by {from}"));
        let here = process == node;
        lines.push(format!("  {}{process}", if here && !turned { "=> " } else { "" }));
        turned |= here;
        last.clone_from(to);
    }
    lines.push(format!("    | by {last}"));
    lines.push(format!("  {caller}"));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(from: &str, process: &str, to: &str) -> [String; 3] {
        [from, process, to].map(str::to_owned)
    }

    #[test]
    fn a_way_there_and_back() {
        let hops = [
            hop("a", "console", "a"),
            hop("a", "fed (…)", "b"),
            hop("b", "n1", "b"),
            hop("b", "fed (…)", "a"),
        ];
        assert_eq!(
            drawn("console", "n1", "a", &hops),
            [
                "  console",
                "    | by a",
                "  fed (…)",
                "    | by b",
                "  => n1",
                "    | by b",
                "  fed (…)",
                "    | by a",
                "  console"
            ]
        );
        let short = ["  console", "    | by b", "  => n1", "    | by b", "  console"];
        assert_eq!(drawn("console", "n1", "b", &[hop("b", "n1", "b")]), short);
        assert_eq!(drawn("console", "n1", "b", &[]), ["  console", "    | by b", "  console"]);
    }
}
