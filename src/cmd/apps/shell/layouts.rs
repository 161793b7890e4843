//! What ran, and what runs.

use std::io::{self, Write};

use choria::core::client::RpcReply;
use serde_json::Value;

use crate::cmd::apps::layout::finish;
use crate::cmd::render::forms::{Asked, Flags, Form, Outcome};
use crate::cmd::render::text::clean;

/// Output and exit code of a command that has ended.
pub struct Runs {
    pub mco: bool,
}

impl Form for Runs {
    fn wanted(&self, _: Flags) -> bool {
        true
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

    fn reply(&self, out: &mut dyn Write, _: &Asked<'_>, reply: &RpcReply) -> io::Result<()> {
        writeln!(out, "{}:", clean(&reply.sender, false))?;
        if !reply.body.statuscode.is_ok() {
            return writeln!(out, "{}\n", clean(&reply.body.statusmsg, true));
        }
        let text = |name: &str| {
            let text = reply.body.data.get(name).and_then(Value::as_str).unwrap_or_default();
            clean(text.trim_end_matches('\n'), true).into_owned()
        };
        let (output, errors) = (text("stdout"), text("stderr"));
        if !output.is_empty() {
            writeln!(out, "{output}")?;
        }
        if !errors.is_empty() {
            writeln!(out, "    STDERR:\n{errors}")?;
        }
        match reply.body.data.get("exitcode") {
            Some(code) if code.as_i64() == Some(0) => {}
            None | Some(Value::Null) => {}
            Some(code) => writeln!(out, "exitcode: {}", clean(&code.to_string(), false))?,
        }
        if reply.body.data.get("success").and_then(Value::as_bool) == Some(false)
            && reply.body.data.get("exitcode").is_none_or(Value::is_null)
        {
            writeln!(out, "it did not end in time")?;
        }
        writeln!(out)
    }

    fn finish(&self, out: &mut dyn Write, asked: &Asked<'_>, outcome: &Outcome<'_>) -> io::Result<()> {
        finish(out, asked, outcome, self.mco, "run Shell results")
    }
}

/// Commands that were started; nodes without any are left out.
pub struct Jobs {
    pub mco: bool,
    /// What each is, too.
    pub all: bool,
}

impl Form for Jobs {
    fn wanted(&self, _: Flags) -> bool {
        true
    }

    fn has_bar(&self) -> bool {
        true
    }

    fn sums_up(&self) -> bool {
        true
    }

    fn reply(&self, out: &mut dyn Write, _: &Asked<'_>, reply: &RpcReply) -> io::Result<()> {
        let jobs = reply.body.data.get("jobs").and_then(Value::as_object);
        let Some(jobs) = jobs.filter(|jobs| !jobs.is_empty() && reply.body.statuscode.is_ok()) else {
            return Ok(());
        };
        writeln!(out, "{}:", clean(&reply.sender, false))?;
        let mut handles: Vec<(&String, &Value)> = jobs.iter().collect();
        handles.sort_by_key(|(handle, _)| handle.as_str());
        for (handle, job) in handles {
            let of = |name: &str| job.get(name).and_then(Value::as_str).unwrap_or_default();
            match self.all {
                true => {
                    let (status, command) = (clean(of("status"), false), clean(of("command"), false));
                    writeln!(out, "    {} {status:<8} {command}", clean(handle, false))?;
                }
                false => writeln!(out, "    {}", clean(handle, false))?,
            }
        }
        writeln!(out)
    }

    fn finish(&self, out: &mut dyn Write, asked: &Asked<'_>, outcome: &Outcome<'_>) -> io::Result<()> {
        finish(out, asked, outcome, self.mco, "list Shell results")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cmd::apps::layout::tests::{reply, shown};

    #[test]
    fn output_errors_and_exit_code_of_each_node() {
        let replies = [
            reply("n1", 0, "OK", json!({"stdout": "a\nb\n", "stderr": "", "exitcode": 0, "success": true})),
            reply("n2", 0, "OK", json!({"stdout": "", "stderr": "no\u{1b}[2J\n", "exitcode": 2})),
            reply("n3", 0, "OK", json!({"stdout": "x", "stderr": null, "exitcode": null, "success": false})),
            reply("n4", 5, "broken", json!({})),
        ];
        let text = shown(&Runs { mco: true }, &replies, &[]);
        assert_eq!(
            text,
            "n1:\na\nb\n\nn2:\n    STDERR:\nno\u{fffd}[2J\nexitcode: 2\n\nn3:\nx\nit did not end in time\n\nn4:\nbroken\n\n\
             Finished processing 4 / 4 hosts in 542.48 ms\n"
        );
    }

    #[test]
    fn jobs_by_node() {
        let jobs = json!({"jobs": {"b-2": {"command": "sleep 9", "status": "running"}, "a-1": {}}});
        let replies = [reply("n1", 0, "OK", jobs), reply("n2", 0, "OK", json!({"jobs": {}}))];
        let text = shown(&Jobs { mco: true, all: false }, &replies, &[]);
        assert!(text.starts_with("n1:\n    a-1\n    b-2\n\nFinished"), "{text}");
        let text = shown(&Jobs { mco: true, all: true }, &replies, &[]);
        assert!(text.contains("    b-2 running  sleep 9\n"), "{text}");
    }
}
