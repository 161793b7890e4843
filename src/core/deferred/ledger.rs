//! Which requests that may wait for this node have begun here, on its disk.
//!
//! A line of JSON each, added and synced before anything runs; the last of an id counts. What is over is
//! forgotten, and nothing that is valid no longer than what was forgotten is ever begun: so a clock that is set back brings
//! none of it to life.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::place::Answer;
use crate::core::files::{self, read_bounded};

/// Ids remembered at most, and of one caller.
const MOST: usize = 4_096;
const OF_ONE: usize = 1_024;
/// Lines beyond those that count after which the file is written anew.
const OLD: usize = 1_024;
/// Bytes that are added before the file is written anew.
const GROWN: usize = 16 * 1024 * 1024;
/// Largest file that is read.
const LARGEST: u64 = 256 * 1024 * 1024;
/// Seconds that what is over is remembered yet: as long as a request may be dated ahead.
const AFTER: i64 = 60;

/// How far one has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Known {
    /// The stream is told that it begins; it has not.
    Claiming {
        /// Names the beginning.
        nonce: String,
    },
    /// It runs, or its end was lost.
    Running {
        /// Names the beginning.
        nonce: String,
    },
    /// It ran as it was asked in the ordinary way.
    Ran,
    /// It is over; the stream is to be told.
    Over {
        /// Names the beginning.
        nonce: String,
        /// What is told.
        answer: Answer,
    },
    /// The stream was told.
    Told,
}

/// One of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// Who asked.
    pub caller: String,
    /// Id of the request.
    pub id: String,
    /// When it is over, unix seconds.
    pub until: i64,
    /// How far it has come.
    pub known: Known,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    /// Since when all are in here, and until when what was forgotten was valid.
    Since {
        since: i64,
        floor: i64,
    },
    Entry(Entry),
    Forgotten {
        caller: String,
        id: String,
    },
}

/// Why one is not remembered, and so does not run.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file.
    #[error("{0}: {1}")]
    File(PathBuf, #[source] io::Error),
    /// Too many.
    #[error("this node remembers as many requests that may wait as it can")]
    Full,
    /// Too many of this caller.
    #[error("this node remembers as many requests of its caller as it can")]
    FullOf,
}

/// The file and what it says.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: File,
    entries: BTreeMap<(String, String), Entry>,
    since: i64,
    floor: i64,
    lines: usize,
    /// Bytes added since it was written anew.
    grown: usize,
}

impl Ledger {
    /// Opens the file, or makes it at `now`.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn open(path: &Path, now: i64) -> Result<Ledger, LedgerError> {
        let failed = |e| LedgerError::File(path.to_owned(), e);
        let content = match read_bounded(path, LARGEST) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            // it remembers nothing from before then, which it says
            Err(e) if e.kind() == io::ErrorKind::FileTooLarge => Vec::new(),
            content => content.map_err(failed)?,
        };
        let (mut since, mut floor, mut entries) = (now, i64::MIN, BTreeMap::new());
        let mut lines = content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).peekable();
        let mut first = true;
        while let Some(line) = lines.next() {
            match serde_json::from_slice(line) {
                Ok(Line::Since { since: said, floor: below }) if first => (since, floor) = (said, below),
                Ok(Line::Entry(entry)) => {
                    entries.insert((entry.caller.clone(), entry.id.clone()), entry);
                }
                Ok(Line::Forgotten { caller, id }) => {
                    entries.remove(&(caller, id));
                }
                // the end of a process in the middle of a line: what it was about has not begun
                Err(_) if lines.peek().is_none() && !first => {}
                // who knows what it said
                Ok(Line::Since { .. }) | Err(_) => since = now,
            }
            first = false;
        }
        let file = OpenOptions::new().append(true).open(path);
        let file = match (file, content.is_empty()) {
            (Ok(file), false) => file,
            _ => {
                files::write_atomic(path, b"", files::SECRET).map_err(failed)?;
                OpenOptions::new().append(true).open(path).map_err(failed)?
            }
        };
        let mut ledger = Ledger { path: path.to_owned(), file, entries, since, floor, lines: 0, grown: 0 };
        ledger.forget(now);
        ledger.rewrite().map_err(failed)?;
        Ok(ledger)
    }

    /// Since when everything that ran here is known.
    pub fn since(&self) -> i64 {
        self.since
    }

    /// Whether what is valid until then may have been forgotten.
    pub fn may_be_forgotten(&self, until: i64) -> bool {
        until <= self.floor
    }

    /// How far one has come here.
    pub fn known(&self, caller: &str, id: &str) -> Option<&Known> {
        self.entries.get(&(caller.to_owned(), id.to_owned())).map(|entry| &entry.known)
    }

    /// Those the stream is to be told of.
    pub fn unfinished(&self) -> Vec<Entry> {
        let open = |entry: &&Entry| {
            matches!(entry.known, Known::Claiming { .. } | Known::Running { .. } | Known::Over { .. })
        };
        self.entries.values().filter(open).cloned().collect()
    }

    /// Remembers how far one has come; only what is remembered goes on.
    ///
    /// # Errors
    /// [`LedgerError`]: then it is as before.
    pub fn note(&mut self, entry: Entry, now: i64) -> Result<(), LedgerError> {
        self.forget(now);
        let key = (entry.caller.clone(), entry.id.clone());
        if !self.entries.contains_key(&key) {
            let of_caller = self.entries.keys().filter(|(caller, _)| *caller == entry.caller).count();
            if of_caller >= OF_ONE {
                return Err(LedgerError::FullOf);
            }
            if self.entries.len() >= MOST {
                return Err(LedgerError::Full);
            }
        }
        self.add(&Line::Entry(entry.clone())).map_err(|e| LedgerError::File(self.path.clone(), e))?;
        self.entries.insert(key, entry);
        Ok(())
    }

    /// What has not begun is as if it had never been here.
    ///
    /// # Errors
    /// [`LedgerError`]: it is remembered yet.
    pub fn unclaim(&mut self, caller: &str, id: &str) -> Result<(), LedgerError> {
        let key = (caller.to_owned(), id.to_owned());
        if !matches!(self.entries.get(&key), Some(Entry { known: Known::Claiming { .. }, .. })) {
            return Ok(());
        }
        self.add(&Line::Forgotten { caller: key.0.clone(), id: key.1.clone() })
            .map_err(|e| LedgerError::File(self.path.clone(), e))?;
        self.entries.remove(&key);
        Ok(())
    }

    fn add(&mut self, line: &Line) -> io::Result<()> {
        if self.lines > self.entries.len() + OLD || self.grown > GROWN {
            self.rewrite()?;
        }
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // after part of a line the file is written anew
            self.lines = usize::MAX - 1;
        }
        self.lines = self.lines.saturating_add(1);
        self.grown += text.len();
        written
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let mut text = serde_json::to_vec(&Line::Since { since: self.since, floor: self.floor })?;
        text.push(b'\n');
        for entry in self.entries.values() {
            serde_json::to_writer(&mut text, &Line::Entry(entry.clone()))?;
            text.push(b'\n');
        }
        files::write_atomic(&self.path, &text, files::SECRET)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        (self.lines, self.grown) = (self.entries.len() + 1, 0);
        Ok(())
    }

    /// Forgets what is over, in memory; the file follows when it is written anew.
    fn forget(&mut self, now: i64) {
        let mut floor = self.floor;
        self.entries.retain(|_, entry| {
            let over = entry.until.saturating_add(AFTER) <= now;
            if over {
                floor = floor.max(entry.until);
            }
            !over
        });
        self.floor = floor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(caller: &str, id: &str, until: i64, known: Known) -> Entry {
        Entry { caller: caller.to_owned(), id: id.to_owned(), until, known }
    }

    #[test]
    fn what_began_is_known_after_a_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("requests");
        let mut ledger = Ledger::open(&path, 100).unwrap();
        let nonce = || "n".to_owned();
        ledger.note(entry("a", "1", 900, Known::Claiming { nonce: nonce() }), 100).unwrap();
        ledger.note(entry("a", "1", 900, Known::Running { nonce: nonce() }), 100).unwrap();
        ledger.note(entry("a", "2", 900, Known::Ran), 100).unwrap();
        ledger.note(entry("a", "3", 900, Known::Claiming { nonce: nonce() }), 100).unwrap();
        ledger.unclaim("a", "3").unwrap();
        ledger.unclaim("a", "1").unwrap();
        drop(ledger);
        let mut torn = std::fs::read(&path).unwrap();
        torn.extend(b"{\"entry\":{\"caller\":");
        std::fs::write(&path, torn).unwrap();
        let ledger = Ledger::open(&path, 200).unwrap();
        assert_eq!(ledger.since(), 100);
        assert!(matches!(ledger.known("a", "1"), Some(Known::Running { .. })));
        assert!(matches!(ledger.known("a", "2"), Some(Known::Ran)));
        assert!(ledger.known("a", "3").is_none() && ledger.known("b", "1").is_none());
        assert_eq!(ledger.unfinished().len(), 1);
    }

    #[test]
    fn what_is_over_is_forgotten_and_does_not_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("requests");
        let mut ledger = Ledger::open(&path, 100).unwrap();
        ledger.note(entry("a", "1", 200, Known::Told), 100).unwrap();
        assert!(!ledger.may_be_forgotten(200));
        ledger.note(entry("a", "2", 900, Known::Told), 300).unwrap();
        assert!(ledger.known("a", "1").is_none());
        assert!(ledger.may_be_forgotten(200) && !ledger.may_be_forgotten(201));
        drop(ledger);
        let ledger = Ledger::open(&path, 5_000).unwrap();
        assert!(ledger.known("a", "2").is_none() && ledger.may_be_forgotten(900));
        let ledger = Ledger::open(&path, 150).unwrap();
        assert!(ledger.may_be_forgotten(900), "and after a start with a clock that was set back");
    }

    #[test]
    fn it_is_bounded_and_a_broken_line_makes_it_young() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("requests");
        let mut ledger = Ledger::open(&path, 100).unwrap();
        ledger.entries = (0..OF_ONE)
            .map(|n| (("a".to_owned(), n.to_string()), entry("a", &n.to_string(), 900, Known::Told)))
            .collect();
        assert!(matches!(ledger.note(entry("a", "x", 900, Known::Ran), 100), Err(LedgerError::FullOf)));
        assert!(ledger.note(entry("a", "1", 900, Known::Ran), 100).is_ok(), "one that is known");
        assert!(ledger.note(entry("b", "x", 900, Known::Ran), 100).is_ok());
        drop(ledger);
        let text = std::fs::read_to_string(&path).unwrap();
        let (head, rest) = text.split_once('\n').unwrap();
        std::fs::write(&path, format!("{head}\nbroken\n{rest}")).unwrap();
        let ledger = Ledger::open(&path, 500).unwrap();
        assert_eq!(ledger.since(), 500);
        assert!(ledger.known("b", "x").is_some());
        assert!(Ledger::open(Path::new("/nonexistent/requests"), 1).is_err());
    }

    #[test]
    fn many_lines_are_few_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("requests");
        let mut ledger = Ledger::open(&path, 100).unwrap();
        ledger.lines = OLD + 100;
        ledger.note(entry("a", "1", 900, Known::Ran), 100).unwrap();
        assert!(ledger.lines < 5);
        assert!(matches!(Ledger::open(&path, 100).unwrap().known("a", "1"), Some(Known::Ran)));
    }
}
