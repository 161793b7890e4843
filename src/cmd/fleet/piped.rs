//! Nodes on standard input: results of a command in front, or a list of names.

use std::io::{BufRead, IsTerminal, Read};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use anyhow::{Context as _, bail};
use choria::core::discovery::{listed_names, saved_results};

use crate::cmd::out::errln;

/// Longest list of nodes read from standard input.
const MAX_STDIN: u64 = 256 * 1024 * 1024;

/// Nodes of the results of an earlier request that are piped in, by somebody
/// who did not say so.
///
/// Nothing at all is no source: cron and many a service give their commands an
/// empty pipe. Anything else that is no result would silently mean the whole
/// fleet, as after a command in front that failed halfway or in a shell loop
/// that reads names from the same input.
pub(super) fn results_on_stdin() -> anyhow::Result<Option<Vec<String>>> {
    use std::os::unix::fs::FileTypeExt;
    // A terminal is a person, /dev/null and other devices hold no results.
    let kind = std::fs::metadata("/dev/stdin").map(|m| m.file_type());
    if std::io::stdin().is_terminal() || !kind.is_ok_and(|k| k.is_fifo() || k.is_file()) {
        return Ok(None);
    }
    let text = stdin_text()?;
    match saved_results(&text) {
        Some(names) => Ok(Some(names?)),
        None if text.trim().is_empty() => Ok(None),
        None => bail!(
            "standard input holds something else than results of an earlier command, which would mean the whole \
             fleet: give --nodes - if it is a list of names, --dm mc or </dev/null if it is not meant"
        ),
    }
}

/// Nodes on standard input where somebody has said that they are there.
pub(super) fn names_on_stdin() -> anyhow::Result<Vec<String>> {
    if std::io::stdin().is_terminal() {
        bail!("--nodes - reads names from standard input, which is a terminal: pipe them in");
    }
    let text = stdin_text()?;
    if text.trim().is_empty() {
        bail!("--nodes - found no names on standard input: did the command in front of it fail?");
    }
    Ok(listed_names(&text)?)
}

/// How long standard input may say nothing at all before that is an error.
const SILENT: Duration = Duration::from_secs(60);
/// When whoever waits is told what for.
const HINT: Duration = Duration::from_secs(5);

/// All of standard input. One that stays open and says nothing, as of a service
/// or a remote shell, would be waited for without end.
fn stdin_text() -> anyhow::Result<String> {
    let (first, something) = std::sync::mpsc::channel::<()>();
    let (done, text) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let read = stdin.fill_buf().map(|_| ()).and_then(|()| {
            let _ = first.send(());
            let mut text = String::new();
            stdin.take(MAX_STDIN).read_to_string(&mut text).map(|_| text)
        });
        let _ = done.send(read);
    });
    if something.recv_timeout(HINT) == Err(RecvTimeoutError::Timeout) {
        errln!("choria: waiting for results on standard input; --dm mc does not read it");
        if something.recv_timeout(SILENT.saturating_sub(HINT)) == Err(RecvTimeoutError::Timeout) {
            bail!(
                "standard input is open and has said nothing for {} s: give --dm mc or </dev/null if no results of an \
                 earlier command are meant",
                SILENT.as_secs()
            );
        }
    }
    text.recv().context("cannot read standard input")?.context("cannot read standard input")
}
