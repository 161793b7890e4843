//! A command of this machine.

use std::time::Duration;

use super::TaskType;
use crate::core::playbook::options::Options;
use crate::core::playbook::world::{World, result};
use crate::core::programs::{Program, ProgramError, how};
use crate::core::puppet::host::{Level, Outcome, Trouble};

pub(super) const TYPE: TaskType =
    TaskType { name: "shell", options: &["command", "cwd", "timeout", "nodes", "environment"], run };

/// How long a command may take that was given no time.
const PATIENCE: u64 = 86_400;
/// Bytes of output that a result keeps.
const MOST: usize = 4 << 20;

/// The variable that the shell has the line from.
const LINE: &str = "CHORIA_COMMAND_LINE";

/// The command line, with the names of nodes behind it.
fn command_line(options: &Options<'_>) -> Result<String, Trouble> {
    let command = options.required("command")?;
    let Some(nodes) = options.texts("nodes")?.filter(|nodes| !nodes.is_empty()) else {
        return Ok(command.to_owned());
    };
    // names of nodes have no place in which a shell would read something else
    let plain = |name: &String| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    match nodes.iter().find(|name| !plain(name)) {
        Some(name) => Err(options.wrong(format!("'{name}' is not the name of a node"))),
        None => Ok(format!("{command} --nodes {}", nodes.join(","))),
    }
}

fn run(world: &mut World, options: &Options<'_>) -> Result<Outcome, Trouble> {
    let line = command_line(options)?;
    let fail_ok = options.flag("fail_ok", false)?;
    let limit = options.seconds("timeout", PATIENCE)?;
    let limit = if limit.is_zero() { Duration::from_secs(PATIENCE) } else { limit };
    // both streams in the order they were written; a shell begins its complaints with its name, which is not the line
    // arguments are everybody's to see on this machine, variables are not: it comes as one, which what it runs has not
    let script = format!("exec 2>&1\neval \"unset {LINE}\n${LINE}\"");
    let mut program = Program::new("/bin/sh").args(["-c", script.as_str(), "sh"]);
    program = program.env("LC_ALL", "C").limit(limit).most(MOST).cut().overheard();
    for (name, value) in options.words("environment")? {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(options.wrong(format!("'{name}' is not the name of a variable")));
        }
        program = program.env(name, value);
    }
    program = program.env(LINE, line);
    if let Some(directory) = options.text("cwd")? {
        if !std::path::Path::new(directory).is_dir() {
            return Err(options.wrong(format!(
                "the directory '{}' in the option 'cwd' is not there",
                options.shown("cwd", directory)
            )));
        }
        program = program.directory(directory);
    }
    let (handle, cancel) = (world.handle(), world.cancel());
    let ended = handle.block_on(async {
        tokio::select! {
            biased;
            () = cancel.cancelled() => None,
            // people see what it does while it does it
            ended = program.run_heard(|_, line| world.say(Level::Info, line)) => Some(ended),
        }
    });
    let Some(ended) = ended else { return Err(Trouble("interrupted".to_owned())) };
    let text = |output: Vec<u8>| String::from_utf8_lossy(&output).into_owned();
    let (output, cut, failure) = match ended {
        Ok(ended) => (text(ended.output), ended.cut, (!ended.status.success()).then(|| how(ended.status))),
        Err(mut e) => match &mut e {
            ProgramError::TooLong { output, .. } | ProgramError::TooMuch { output, .. } => {
                let output = std::mem::take(output);
                (text(output), false, Some(e.to_string()))
            }
            _ => return Err(options.wrong(e)),
        },
    };
    let message = match &failure {
        None => "Successfully ran the command".to_owned(),
        Some(why) => format!("Failed to run the command: {why}"),
    };
    if cut {
        world.say(
            Level::Warning,
            &format!("the command wrote more than {} MiB: the rest is not in its value", MOST >> 20),
        );
    }
    // the command may hold what nobody is to see
    let error = failure.map(|why| (format!("the command failed: {why}"), serde_json::json!({})));
    let success = error.is_none();
    let value = output.trim_end_matches(['\n', '\r']).to_owned();
    let results = vec![("localhost".to_owned(), result("shell", value.into(), fail_ok, error))];
    Ok(Outcome { message, success, fail_ok, results })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::playbook::testing::{hash, in_a_world, with_secret};
    use crate::core::puppet::host::Host;

    #[test]
    fn what_writes_much_comes_to_its_end() {
        let command = format!("head -c {} /dev/zero | tr '\\0' y; exit 3", MOST + 100_000);
        in_a_world(move |world| {
            let options = hash(json!({"command": command, "fail_ok": true}));
            let outcome = world.task("shell", &options).expect("an outcome");
            assert_eq!(outcome.message, "Failed to run the command: exit status 3");
            assert_eq!(outcome.results[0].1["value"].as_str().map(str::len), Some(MOST));
            let said = world.report.logs.iter().any(|log| log.message.contains("more than 4 MiB"));
            assert!(said, "{:?}", world.report.logs.last());
        });
    }

    /// Who lists processes sees no command, and what it runs has no variable of it.
    #[test]
    fn a_command_is_no_argument() {
        let command = "T=hunter2secret; tr '\\0' ' ' </proc/$$/cmdline; env; echo \"$# args\"";
        in_a_world(move |world| {
            let options = hash(json!({"command": command, "environment": {"SEEN": "yes"}}));
            let outcome = world.task("shell", &options).expect("an outcome");
            let value = outcome.results[0].1["value"].as_str().unwrap_or_default().to_owned();
            assert!(value.contains("SEEN=yes") && value.ends_with("0 args"), "{value}");
            assert!(!value.contains("hunter2secret") && !value.contains(&format!("{LINE}=")), "{value}");
        });
    }

    /// A shell says what is wrong with a word of a line, and not the line.
    #[test]
    fn a_secret_command_is_not_shown() {
        let secret = "hunter2secret";
        for (options, name, value) in [
            (json!({}), "command", json!(format!("TOKEN={secret} no-such-program"))),
            (json!({}), "command", json!(format!("T={secret}\ncd /nonexistent\nfi"))),
            (json!({"command": "true"}), "cwd", json!(format!("/nonexistent/{secret}"))),
            (json!({"command": "echo $T; exit 1"}), "environment", json!({"T": secret})),
        ] {
            let options = with_secret(options, name, value);
            in_a_world(move |world| {
                let outcome = world.task("shell", &options);
                let told = outcome.as_ref().map_or_else(|e| e.0.clone(), |outcome| outcome.message.clone());
                assert!(!told.contains(secret), "{name}: {told}");
                let mut report = world.report.to_json("x", Default::default(), Default::default(), None);
                // what a command writes is for the plan as it is
                let value = report.pointer_mut("/journal/0/result/results").map(serde_json::Value::take);
                assert!(!report.to_string().contains(secret), "{name}: {report}");
                let written = value.map(|value| value.to_string()).unwrap_or_default();
                assert!(name == "environment" || !written.contains(secret), "{name}: {written}");
            });
        }
    }
}
