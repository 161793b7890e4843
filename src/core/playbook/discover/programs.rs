//! By programs of this machine: one of a person's, and Terraform.

use std::time::Duration;

use serde_json::Value as Json;

use super::NodeSet;
use crate::core::playbook::options::Options;
use crate::core::playbook::world::World;
use crate::core::programs::{CommandLine, ProgramError, find as find_program, how};
use crate::core::puppet::host::Trouble;
use crate::core::text::shortened;

pub(super) const SHELL: NodeSet = NodeSet { name: "shell", options: &["script"], find: shell };
pub(super) const TERRAFORM: NodeSet =
    NodeSet { name: "terraform", options: &["statefile", "output", "terraform"], find: terraform };

/// How long they may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of names, as of a file of them.
const MOST: usize = 16 << 20;

/// What a program writes that an option names.
fn output(world: &World, options: &Options<'_>, by: &str, line: &CommandLine) -> Result<String, Trouble> {
    let program = line.program.display().to_string();
    let failed = |what: String| options.wrong(format!("{}: {what}", options.shown(by, &program)));
    let ended = world.wait(line.to_program().limit(PATIENCE).most(MOST).run())?;
    let ended = ended.map_err(|e| match e {
        ProgramError::Start { problem, .. } => failed(format!("it cannot be started: {problem}")),
        other => failed(other.to_string()),
    })?;
    match ended.status.success() {
        true => String::from_utf8(ended.output).map_err(|_| failed("it does not write UTF-8".to_owned())),
        false => Err(failed(format!("{}: {}", how(ended.status), shortened(&ended.errors, 300)))),
    }
}

fn shell(world: &mut World, options: &Options<'_>) -> Result<Vec<String>, Trouble> {
    let script = options.required("script")?;
    let path = std::env::var_os("PATH");
    let line = CommandLine::parse(script, path.as_deref())
        .map_err(|e| options.wrong(format!("'{}' {e}", options.shown("script", script))))?;
    let text = output(world, options, "script", &line)?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

fn terraform(world: &mut World, options: &Options<'_>) -> Result<Vec<String>, Trouble> {
    let name = options.text("terraform")?.unwrap_or("terraform");
    let path = std::env::var_os("PATH");
    let program = find_program(name, path.as_deref());
    let program = program.ok_or_else(|| {
        let name = options.shown("terraform", name);
        options.wrong(format!("there is no program '{name}'; name it with 'terraform'"))
    })?;
    let (state, wanted) = (options.required("statefile")?, options.required("output")?);
    if !std::path::Path::new(state).is_file() {
        return Err(
            options.wrong(format!("the state file {} is not there", options.shown("statefile", state)))
        );
    }
    let shown = options.shown("output", wanted);
    if wanted.starts_with('-') {
        return Err(options.wrong(format!("'{shown}' is not the name of an output")));
    }
    let arguments = ["output", "-state", state, "-json", wanted].map(str::to_owned).to_vec();
    let text = output(world, options, "terraform", &CommandLine { program, arguments })?;
    let json: Json = serde_json::from_str(&text)
        .map_err(|e| options.wrong(format!("terraform does not write JSON: {e}")))?;
    // older ones wrote the type beside the value
    let value = match json.get("value") {
        Some(value) => value.clone(),
        None => json,
    };
    let names = value.as_array().map(|names| names.iter().map(|n| n.as_str().map(str::to_owned)).collect());
    names.flatten().ok_or_else(|| options.wrong(format!("the output '{shown}' is not a list of names")))
}
