//! Files of any size, plain or compressed, a line at a time.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::Entry;
use super::line::{self, Line};
use crate::core::config::Config;

/// Longest line that is looked at; requests are smaller than what a broker
/// takes.
const MAX_LINE: usize = 4 * 1024 * 1024;

/// What was in a file beside entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Lines read.
    pub lines: u64,
    /// Lines that are neither audit records nor of a log, or too long.
    pub broken: u64,
    /// Number of the first of them, from 1.
    pub first_broken: Option<u64>,
    /// Why the file could not be read to its end; what was read before counts.
    pub ended_early: Option<String>,
}

/// Hands every entry of `input` to `take`, which returns false to stop.
/// Compressed input is known by its first bytes, whatever its name.
pub fn scan(input: impl Read, mut take: impl FnMut(Entry) -> bool) -> Outcome {
    let mut outcome = Outcome::default();
    let mut input = BufReader::with_capacity(64 * 1024, input);
    let compressed = match input.fill_buf() {
        Ok(bytes) => bytes.starts_with(&[0x1f, 0x8b]),
        Err(e) => {
            outcome.ended_early = Some(e.to_string());
            return outcome;
        }
    };
    let read = match compressed {
        true => {
            lines(BufReader::with_capacity(64 * 1024, MultiGzDecoder::new(input)), &mut outcome, &mut take)
        }
        false => lines(input, &mut outcome, &mut take),
    };
    outcome.ended_early = read.err().map(|e| e.to_string());
    outcome
}

fn lines(
    mut input: impl BufRead,
    outcome: &mut Outcome,
    take: &mut impl FnMut(Entry) -> bool,
) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        let read = input.by_ref().take(limit).read_until(b'\n', &mut line);
        if line.is_empty() {
            return read.map(|_| ());
        }
        outcome.lines += 1;
        let whole = line.ends_with(b"\n") || line.len() < MAX_LINE;
        let found = if whole { line::read(&line) } else { Line::Broken };
        match found {
            Line::Entry(entry) => {
                if !take(*entry) {
                    return Ok(());
                }
            }
            Line::Other => {}
            Line::Broken => {
                outcome.broken += 1;
                outcome.first_broken.get_or_insert(outcome.lines);
            }
        }
        if !whole {
            input.skip_until(b'\n')?;
        }
        read?;
    }
}

/// The files a node with this configuration writes, and what rotation made of
/// them (`audit.log.1`, `audit.log-20260107.gz`), oldest first.
pub fn configured(config: &Config) -> Vec<PathBuf> {
    let logs = [config.rpcaudit_logfile.as_str(), config.logfile.as_str()];
    let named = logs.into_iter().filter(|log| Path::new(log).is_absolute());
    named.flat_map(|log| with_rotated(Path::new(log))).collect()
}

/// A log and what rotation made of it, oldest first.
pub fn with_rotated(log: &Path) -> Vec<PathBuf> {
    let Some((directory, name)) = log.parent().zip(log.file_name().and_then(|n| n.to_str())) else {
        return vec![];
    };
    let rotated = |other: &str| {
        other.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
    };
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(rotated))
        .map(|entry| entry.path())
        .collect();
    files.sort_by_key(|file| (File::open(file).and_then(|f| f.metadata()?.modified()).ok(), file.clone()));
    files
}
