//! `choria scout status`: the checks of one node.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use argh::{ArgsInfo, FromArgs};
use choria::core::discovery::Discovered;
use choria::core::rpc::StatusCode;
use serde_json::{Map, Value};

use super::document;
use crate::cmd::Globals;
use crate::cmd::ask::ask;
use crate::cmd::context::{self, block_on};
use crate::cmd::exit::{Exit, INTERRUPTED};
use crate::cmd::out::{errln, out, outln};
use crate::cmd::render::table;
use crate::cmd::render::text::{clean, counted, duration, escaped};

/// show the checks of a node, and what they found
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "status")]
pub struct Status {
    /// show JSON
    #[argh(switch, short = 'j')]
    json: bool,
    /// show what each check said last, too
    #[argh(switch, short = 'v')]
    verbose: bool,
    /// address this sub collective, default main_collective of the configuration
    #[argh(option, short = 'T', long = "target", arg_name = "collective")]
    target: Option<String>,
    /// node
    #[argh(positional, arg_name = "identity")]
    identity: String,
}

/// Results of each check that are shown.
const HISTORY: usize = 10;

impl Status {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let config = context::client_config(globals)?;
        let shown = clean(&self.identity, false).into_owned();
        block_on(async {
            let client = context::connect(config).await?;
            let collective = client.collective(self.target.as_deref())?;
            let one = Discovered::known(vec![self.identity.clone()], Duration::ZERO);
            let asked = ask(&client, "scout", "checks", Map::new(), collective.clone(), one).await?;
            asked.report(&client, &collective);
            client.session().close().await;
            if asked.interrupted && asked.replies.is_empty() {
                errln!("interrupted before {shown} answered");
                return Ok(ExitCode::from(INTERRUPTED));
            }
            let code = asked.code(Exit::new(globals, false), true);
            let Some(answer) = asked.replies.into_iter().next() else {
                errln!(
                    "choria: {shown} did not answer scout#checks: it may be down or unknown, have no \
                     plugin.choria.machine.store, or refuse this caller"
                );
                return Ok(code);
            };
            if answer.body.statuscode != StatusCode::Ok {
                bail!("{shown} did not tell its checks: {}", clean(&answer.body.statusmsg, false));
            }
            if self.json {
                let document = document("checks", std::slice::from_ref(&answer));
                outln!("{}", escaped(&serde_json::to_string_pretty(&document)?));
                return Ok(ExitCode::SUCCESS);
            }
            let checks =
                answer.body.data.get("checks").and_then(Value::as_array).cloned().unwrap_or_default();
            if checks.is_empty() {
                outln!("{shown} has no checks");
            } else {
                out!("{}", page(&checks, self.verbose, jiff::Timestamp::now().as_second()));
                outln!("\n{} on {shown}", counted(checks.len() as u64, "check"));
            }
            Ok(ExitCode::SUCCESS)
        })?
    }
}

fn page(checks: &[Value], verbose: bool, now: i64) -> String {
    let text =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut head = vec!["Name".to_owned(), "State".to_owned(), "Last Check".to_owned(), "History".to_owned()];
    if verbose {
        head.push("Output".to_owned());
    }
    let row = |check: &Value| {
        let status = check.get("status").cloned().unwrap_or_default();
        let checked = status.get("check_time").and_then(Value::as_i64).filter(|at| *at > 0);
        let age = checked.map_or("Never".to_owned(), |at| match u64::try_from(now.saturating_sub(at)) {
            // this second, or one to come by this clock
            Ok(0) | Err(_) => "0s".to_owned(),
            Ok(seconds) => duration(Duration::from_secs(seconds)),
        });
        let mut row = vec![text(check, "name"), text(check, "state"), age, history(&status)];
        if verbose {
            row.push(text(&status, "output").lines().next().unwrap_or_default().to_owned());
        }
        row
    };
    let rows: Vec<Vec<String>> = checks.iter().map(row).collect();
    format!("Scout status history\n{}", table::render(&head, &rows))
}

/// The last results, oldest first.
fn history(status: &Value) -> String {
    let all = status.get("history").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let last = all.get(all.len().saturating_sub(HISTORY)..).unwrap_or_default();
    let word = |past: &Value| match past.get("status").and_then(Value::as_i64) {
        Some(0) => "OK",
        Some(1) => "WA",
        Some(2) => "CR",
        _ => "UN",
    };
    last.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_check_that_never_was_says_so() {
        let past: Vec<Value> = (0..12).map(|n| json!({"status": n % 4})).collect();
        let checks = [
            json!({"name": "new", "state": "UNKNOWN", "status": {"check_time": -62_135_596_800_i64, "history": []}}),
            json!({"name": "now", "state": "OK", "status": {"check_time": 175, "history": []}}),
            json!({"name": "old", "state": "OK", "status": {"check_time": 100, "output": "fine\nmore", "history": past}}),
        ];
        let page = page(&checks, true, 175);
        assert!(page.contains("Never") && page.contains("CR UN OK WA CR UN OK WA CR UN"), "{page}");
        assert!(page.contains(" 0s ") && page.contains("1m15s") && !page.contains("µ"), "{page}");
        assert!(page.contains("fine") && !page.contains("more"), "{page}");
    }
}
