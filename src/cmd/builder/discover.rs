//! Commands of type `discover`: names of nodes, as `choria find` shows them.

use std::process::ExitCode;

use choria::core::builder::kinds::Discover;

use super::app::{Running, is_dry, would};
use super::filters;
use crate::cmd::find;

pub fn run(discover: &Discover, running: &Running<'_>) -> anyhow::Result<ExitCode> {
    let filter = discover.filter.rendered(&running.scope()).map_err(anyhow::Error::msg)?;
    let mut words = filters::words(&filter, running.run);
    if is_dry() {
        return would(format_args!("find nodes by {}", words.join(" ")));
    }
    if running.run.is_set("json") {
        words.push("--json".to_owned());
    }
    find::by_words(&words, running.globals)
}
