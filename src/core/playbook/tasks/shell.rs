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
    // both streams in the order they were written
    let mut program = Program::new("/bin/sh").args(["-c", "exec 2>&1\neval \"$0\""]).args([line.as_str()]);
    program = program.env("LC_ALL", "C").limit(limit).most(MOST).overheard();
    for (name, value) in options.words("environment")? {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(options.wrong(format!("'{name}' is not the name of a variable")));
        }
        program = program.env(name, value);
    }
    if let Some(directory) = options.text("cwd")? {
        if !std::path::Path::new(directory).is_dir() {
            return Err(
                options.wrong(format!("the directory '{directory}' in the option 'cwd' is not there"))
            );
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
    let (output, failure) = match ended {
        Ok(ended) => (text(ended.output), (!ended.status.success()).then(|| how(ended.status))),
        Err(mut e) => match &mut e {
            ProgramError::TooLong { output, .. } | ProgramError::TooMuch { output, .. } => {
                let output = std::mem::take(output);
                (text(output), Some(e.to_string()))
            }
            _ => return Err(options.wrong(e)),
        },
    };
    let message = match &failure {
        None => "Successfully ran the command".to_owned(),
        Some(why) => format!("Failed to run the command: {why}"),
    };
    // the command may hold what nobody is to see
    let error = failure.map(|why| (format!("the command failed: {why}"), serde_json::json!({})));
    let success = error.is_none();
    let value = output.trim_end_matches(['\n', '\r']).to_owned();
    let results = vec![("localhost".to_owned(), result("shell", value.into(), fail_ok, error))];
    Ok(Outcome { message, success, fail_ok, results })
}
