//! Commands of type `playbook`: a plan, as `choria playbook run` has it.

use std::process::ExitCode;

use choria::core::builder::kinds::Playbook;

use super::app::{Running, is_dry, would};
use super::task::inputs;

pub fn run(playbook: &Playbook, running: &Running<'_>) -> anyhow::Result<ExitCode> {
    let mut named = vec![running.render(&playbook.playbook)?];
    named.extend(inputs(&playbook.inputs, running)?);
    if is_dry() {
        return would(format_args!("run the playbook {}", running.state.redacted(&named.join(" "))));
    }
    let mut words = vec![];
    for (flag, value) in
        [("--modulepath", running.render(&playbook.modulepath)?), ("--loglevel", playbook.loglevel.clone())]
    {
        if !value.is_empty() {
            words.extend([flag.to_owned(), value]);
        }
    }
    words.push("--".to_owned());
    words.extend(named);
    by_words(&words, running)
}

#[cfg(feature = "puppet")]
fn by_words(words: &[String], running: &Running<'_>) -> anyhow::Result<ExitCode> {
    crate::cmd::playbook::run_by_words(words, running.globals)
}

#[cfg(not(feature = "puppet"))]
fn by_words(_: &[String], _: &Running<'_>) -> anyhow::Result<ExitCode> {
    anyhow::bail!("playbooks were left out when this program was built")
}
