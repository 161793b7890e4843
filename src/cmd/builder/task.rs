//! Commands of type `task`: a Puppet task on nodes, as `choria tasks run` has it.

use std::process::ExitCode;

use choria::core::builder::kinds::Task;

use super::app::{Running, confirmed, is_dry, would};
use super::filters;

pub fn run(task: &Task, running: &Running<'_>) -> anyhow::Result<ExitCode> {
    let filter = task.filter.rendered(&running.scope()).map_err(anyhow::Error::msg)?;
    let mut words = filters::words(&filter, running.run);
    let unfiltered = filters::selection(&words)?.is_unfiltered();
    let mut named = vec![running.render(&task.task)?];
    named.extend(inputs(&task.inputs, running)?);
    if is_dry() {
        let named = running.state.redacted(&named.join(" "));
        return would(format_args!("run the task {named} {}", words.join(" ")));
    }
    if !task.all_nodes_confirm.is_empty() && unfiltered {
        confirmed(&task.all_nodes_confirm, "choose nodes, with -I for one")?;
        words.push("--yes".to_owned());
    }
    let mut push = |flag: &str, value: String| {
        if !value.is_empty() {
            words.extend([flag.to_owned(), value]);
        }
    };
    push("--environment", task.environment.clone());
    push("--run-as", running.render(&task.run_as)?);
    push("--batch", task.batch.map(|size| size.to_string()).unwrap_or_default());
    let sleep = task.batch_sleep.filter(|_| task.batch.is_some());
    push("--batch-sleep", sleep.map(|seconds| seconds.to_string()).unwrap_or_default());
    if task.background {
        words.push("--background".to_owned());
    }
    words.push(if task.summary { "--summary" } else { "--verbose" }.to_owned());
    words.push("--".to_owned());
    words.extend(named);
    // no task says which of its parameters an application fills with secrets
    let secret = |(name, value): &(String, String)| value.contains(".Secrets").then(|| name.clone());
    by_words(&words, running, &task.inputs.iter().filter_map(secret).collect::<Vec<_>>())
}

/// Parameters as words; one that is empty is not given.
pub fn inputs(inputs: &[(String, String)], running: &Running<'_>) -> anyhow::Result<Vec<String>> {
    let mut words = vec![];
    for (name, value) in inputs {
        let value = running.render(value)?;
        if !value.is_empty() {
            words.push(format!("{name}={value}"));
        }
    }
    Ok(words)
}

#[cfg(feature = "puppet")]
fn by_words(words: &[String], running: &Running<'_>, secrets: &[String]) -> anyhow::Result<ExitCode> {
    use crate::cmd::tasks::{Kept, run_by_words};

    let kept = if running.state.secrets.is_empty() { Kept::Known } else { Kept::Nothing };
    run_by_words(words, running.globals, kept, secrets)
}

#[cfg(not(feature = "puppet"))]
fn by_words(_: &[String], _: &Running<'_>, _: &[String]) -> anyhow::Result<ExitCode> {
    anyhow::bail!("tasks were left out when this program was built")
}
