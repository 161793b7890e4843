//! Several logs as one, by time. Each is read by a thread that is a few entries ahead.

use std::fs::File;
use std::io::stdin;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, ScopedJoinHandle, scope};

use choria::core::audit::trail::{Entry, FileOutcome, scan};

use super::Stop;

/// Entries of a file that wait for those of others.
const AHEAD: usize = 64;

/// A file that is being read.
struct Source<'scope> {
    entries: Receiver<Entry>,
    next: Option<Entry>,
    /// Of the entry before, for one that has no time of its own.
    time: Option<jiff::Timestamp>,
    reading: std::io::Result<ScopedJoinHandle<'scope, FileOutcome>>,
}

impl Source<'_> {
    fn advance(&mut self) -> Option<Entry> {
        let entry = std::mem::replace(&mut self.next, self.entries.recv().ok());
        self.time = self.next.as_ref().and_then(|next| next.time).or(self.time);
        entry
    }
}

/// Calls `each` with all entries, the oldest first; returns what became of each file.
pub fn read(files: &[PathBuf], stop: &Stop, mut each: impl FnMut(&Entry)) -> Vec<FileOutcome> {
    scope(|scope| {
        let mut sources: Vec<Source<'_>> = Vec::with_capacity(files.len());
        for file in files {
            let (sender, entries) = sync_channel(AHEAD);
            let take = move |entry| sender.send(entry).is_ok() && !*stop.borrow();
            let reading =
                Builder::new().name("audit".into()).spawn_scoped(scope, move || of_file(file, take));
            sources.push(Source { entries, next: None, time: None, reading });
        }
        sources.iter_mut().for_each(|source| drop(source.advance()));
        while !*stop.borrow() {
            let waiting = sources.iter_mut().filter(|source| source.next.is_some());
            let Some(entry) = waiting.min_by_key(|source| source.time).and_then(Source::advance) else {
                break;
            };
            each(&entry);
        }
        let ended = |source: Source<'_>| {
            // Who still reads learns that nobody listens.
            drop(source.entries);
            let outcome = match source.reading {
                Ok(reading) => reading.join().map_err(|_| "it could not be read".to_owned()),
                Err(e) => Err(e.to_string()),
            };
            outcome.unwrap_or_else(|e| FileOutcome { ended_early: Some(e), ..FileOutcome::default() })
        };
        sources.into_iter().map(ended).collect()
    })
}

fn of_file(path: &Path, take: impl FnMut(Entry) -> bool) -> FileOutcome {
    if path == Path::new("-") {
        return scan(stdin().lock(), take);
    }
    match File::open(path) {
        Ok(file) => scan(file, take),
        Err(e) => FileOutcome { ended_early: Some(e.to_string()), ..FileOutcome::default() },
    }
}
