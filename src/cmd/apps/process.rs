//! `choria process list`: processes of many nodes.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::bail;
use choria::core::client::RpcReply;
use choria::core::config::{Config, Role, System};
use choria::core::text::{byte_size, column, meant};
use serde_json::Value;

use super::{Application, Inputs, Kind, Verb, grammar};
use crate::cmd::render::forms::{Asked, Flags, Form, Outcome, Timing};
use crate::cmd::render::text::clean;
use crate::cmd::request::request_command;
use crate::cmd::{Globals, Personality};

request_command! {
    /// list processes
    #[argh(subcommand, name = "process")]
    pub struct Process {
        /// only processes that are over and were not waited for
        #[argh(switch, short = 'z')]
        zombies: bool,
        /// only processes of this user, default all
        #[argh(option, short = 'u', arg_name = "user")]
        user: Option<String>,
        /// what is shown of each: pid, user, vsz, command, tty, rss, state; default pid,user,vsz,command, or
        /// plugin.process.fields of the configuration
        #[argh(option, arg_name = "list")]
        fields: Option<String>,
        /// only the summary
        #[argh(switch)]
        silent: bool,
        /// list, and an expression that command lines match
        #[argh(positional, arg_name = "words")]
        words: Vec<String>,
    }
}

pub const VERBS: [Verb; 1] = [Verb::alone("list").looking()];

pub const KIND: Kind = Kind { command: "process", deed: "list processes", verbs: &VERBS };

/// What can be shown, in the order it is documented.
const FIELDS: [&str; 7] = ["pid", "user", "vsz", "command", "tty", "rss", "state"];
/// Longest user and command line that are shown.
const USER: usize = 10;
const COMMAND: usize = 60;
/// Processes of one node that are shown; a node does not decide how long a list gets.
const MOST: usize = 10_000;

impl Process {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let (list, pattern) = match self.words.split_last() {
            Some((pattern, rest @ [_])) => (rest, pattern.as_str()),
            _ => (self.words.as_slice(), "."),
        };
        let (verb, _) = grammar::split("choria process", "", &VERBS, list)?;
        let config = Config::load(Role::Client, globals.config.as_deref(), &System);
        let configured =
            config.ok().and_then(|config| config.option("plugin.process.fields").map(str::to_owned));
        let fields = fields(self.fields.as_deref().or(configured.as_deref()))?;
        let inputs = Inputs::default()
            .with("pattern", pattern)
            .with("just_zombies", self.zombies.to_string())
            .maybe("user", self.user.clone());
        let (call, selection) = ((&KIND, verb, false), self.selection());
        let application = Application::new(globals, call, selection, self.flags(), self.compat_exit);
        let table = Processes { fields, silent: self.silent, mco: globals.personality == Personality::Mco };
        application.call("process", "list", inputs, Some(&table))
    }
}

/// The fields of a list.
fn fields(list: Option<&str>) -> anyhow::Result<Vec<&'static str>> {
    let list = list.unwrap_or("pid,user,vsz,command");
    let names = list.split(',').map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty());
    let fields = names.map(|name| match FIELDS.into_iter().find(|field| *field == name) {
        Some(field) => Ok(field),
        None => {
            let (shown, known) = (clean(&name, false), FIELDS.join(", "));
            let meant = meant(&name, FIELDS);
            bail!("'{shown}' is nothing a list shows of a process; known are {known}{meant}")
        }
    });
    let fields: Vec<&str> = fields.collect::<anyhow::Result<_>>()?;
    if fields.is_empty() {
        bail!("--fields names nothing to show, give some of {}", FIELDS.join(", "));
    }
    Ok(fields)
}

/// A table a node.
struct Processes {
    fields: Vec<&'static str>,
    silent: bool,
    mco: bool,
}

impl Form for Processes {
    fn wanted(&self, _: Flags) -> bool {
        true
    }

    fn timing(&self) -> Timing {
        Timing::Together
    }

    fn has_bar(&self) -> bool {
        true
    }

    fn shows_failures(&self, _: &Asked<'_>) -> bool {
        true
    }

    fn sums_up(&self) -> bool {
        true
    }

    fn finish(&self, out: &mut dyn Write, asked: &Asked<'_>, outcome: &Outcome<'_>) -> io::Result<()> {
        let mut widths: Vec<usize> = self.fields.iter().map(|field| field.len()).collect();
        let mut tables = vec![];
        for reply in outcome.replies {
            let sender = clean(&reply.sender, false);
            if !reply.body.statuscode.is_ok() {
                writeln!(out, "   {sender:<10} {}", clean(&reply.body.statusmsg, false))?;
                continue;
            }
            let rows = if self.silent { vec![] } else { self.rows(reply) };
            for row in &rows {
                for (width, cell) in widths.iter_mut().zip(row) {
                    *width = column([*width, cell.chars().count()]);
                }
            }
            if !rows.is_empty() {
                tables.push((sender, rows));
            }
        }
        let header: Vec<String> = self.fields.iter().map(|field| field.to_ascii_uppercase()).collect();
        for (sender, rows) in tables {
            writeln!(out, "   {sender}\n")?;
            for row in [&header].into_iter().chain(&rows) {
                let cells = row.iter().zip(&widths).map(|(cell, width)| format!("     {cell:<width$}"));
                writeln!(out, "{}", cells.collect::<String>().trim_end())?;
            }
            writeln!(out)?;
        }
        super::layout::finish(out, asked, outcome, self.mco, "list Process results")
    }
}

impl Processes {
    fn rows(&self, reply: &RpcReply) -> Vec<Vec<String>> {
        let list = reply.body.data.get("pslist").and_then(Value::as_array);
        let row = |process: &Value| self.fields.iter().map(|field| cell(process, field)).collect();
        list.into_iter().flatten().take(MOST).map(row).collect()
    }
}

fn cell(process: &Value, field: &str) -> String {
    let text = |key: &str, most: usize| {
        let text = match process.get(key) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => clean(text, false).into_owned(),
            Some(other) => clean(&other.to_string(), false).into_owned(),
        };
        text.chars().take(most).collect::<String>()
    };
    let size =
        |key: &str, unit: f64| byte_size(process.get(key).and_then(Value::as_f64).unwrap_or(0.0) * unit);
    match field {
        "user" => text("username", USER),
        "vsz" => size("vsize", 1.0),
        "rss" => size("rss", 1024.0),
        "tty" => text("tty_nr", USER),
        "command" => match text("cmdline", COMMAND - 2) {
            gone if text("state", 2) == "Z" && !gone.starts_with('[') => format!("[{gone}]"),
            _ => text("cmdline", COMMAND),
        },
        other => text(other, USER),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cmd::apps::layout::tests::{reply, shown};

    #[test]
    fn a_table_a_node() {
        let processes = json!({"pslist": [
            {"pid": 1, "username": "root", "vsize": 1536, "cmdline": "/sbin/init", "state": "S"},
            {"pid": 4711, "username": "a-long-user-name", "vsize": 0, "cmdline": "sh\u{1b}[2J", "state": "Z"},
            {"pid": 5, "username": "a", "vsize": 0, "cmdline": "[sleep]", "state": "Z"},
        ]});
        let replies = [
            reply("n1", 0, "OK", processes),
            reply("n2", 1, "it broke", json!({})),
            reply("n3", 0, "OK", json!({"pslist": []})),
            reply("n4", 0, "OK", json!({"pslist": "none"})),
        ];
        let table = |silent| Processes { fields: fields(None).unwrap(), silent, mco: true };
        let text = shown(&table(false), &replies, &[("process_summary", "pslist")]);
        assert!(
            text.starts_with(
                "   n2         it broke\n   n1\n\n     PID      USER           VSZ          COMMAND\n     \
                 1        root           1.500 KB     /sbin/init\n     4711     a-long-use     0 B          [sh\u{fffd}[2J]\n     \
                 5        a              0 B          [sleep]\n\n"
            ),
            "{text}"
        );
        assert!(text.contains("       Matched hosts: 1\n   Matched Processes: 3\n"), "{text}");
        assert!(!shown(&table(true), &replies, &[]).contains("COMMAND"));
    }

    #[test]
    fn fields_are_what_there_is() {
        assert_eq!(fields(Some("PID, rss,state")).unwrap(), ["pid", "rss", "state"]);
        for (list, told) in [("pdi", "did you mean pid?"), (",", "names nothing")] {
            let problem = fields(Some(list)).unwrap_err().to_string();
            assert!(problem.contains(told), "{problem}");
        }
    }
}
