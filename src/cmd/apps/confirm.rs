//! Whether a whole fleet is meant.

use std::io::{BufRead, IsTerminal};

use anyhow::bail;

use crate::cmd::fleet::Selection;
use crate::cmd::out::complain;

/// Asks a person who filters nothing whether everybody is meant, and refuses where
/// there is nobody to ask. The deed and the command are for people.
pub fn everybody(selection: &mut Selection, yes: bool, deed: &str, command: &str) -> anyhow::Result<()> {
    // What is wrong with a filter is said before anything is asked.
    selection.filter()?;
    if yes || !is_everybody(selection) {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        bail!(
            "{command} without a filter acts on every node: give a filter such as -I or -F, or -y if every node is meant"
        );
    }
    complain(format_args!("Do you really want to {deed} unfiltered? (y/n): "));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        true => Ok(()),
        false => bail!("nothing was asked of any node"),
    }
}

/// Results of an earlier command that are piped in are a filter, too.
fn is_everybody(selection: &mut Selection) -> bool {
    // Something else on standard input, such as the output of `yes`, is none.
    selection.is_unfiltered() && !selection.takes_piped().unwrap_or(false)
}
