//! Until when the requests of each caller ran, over a restart.
//!
//! Records of 24 bytes, a caller's key and unix seconds, are added before a
//! request runs that is newer than any of its caller so far: at most one a
//! second for a caller. They outlive the process, not a crash of the machine:
//! that takes longer than what could be copied is in time. The last record of a
//! caller counts, one that is not whole does not.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{BEFORE_START, Key};
use crate::core::files::{self, read_bounded};

const RECORD: usize = 24;
/// Records after which the file is written anew, with those that still matter.
const MOST: usize = 16_384;
/// Largest file that is read; ours stay far below.
const LARGEST: u64 = 4 * 1024 * 1024;

/// The file, and what it said at the start.
pub struct Journal {
    path: PathBuf,
    file: File,
    before: HashMap<Key, i64>,
    since: HashMap<Key, i64>,
    records: usize,
    /// Whether the last record was written.
    works: bool,
}

impl Journal {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn open(path: &Path, started: i64) -> io::Result<Journal> {
        let content = match read_bounded(path, LARGEST) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            content => content?,
        };
        let mut before = HashMap::new();
        for record in content.chunks_exact(RECORD) {
            let (caller, time) = record.split_at(16);
            if let (Ok(caller), Ok(time)) = (Key::try_from(caller), <[u8; 8]>::try_from(time)) {
                let (time, last) = (i64::from_le_bytes(time), before.entry(caller).or_insert(i64::MIN));
                *last = time.max(*last);
            }
        }
        // What is older is refused of everybody.
        before.retain(|_, time| *time > started - BEFORE_START - 1);
        let (file, records) = match write(path, before.iter()) {
            Ok(written) => written,
            // A full disk: what is there counts, and goes on where it has room.
            Err(e) => go_on(path, content.len()).map_err(|_| e)?,
        };
        let path = path.to_owned();
        Ok(Journal { path, file, before, since: HashMap::new(), records, works: true })
    }

    /// When the last request of each caller was made that ran before the start.
    pub fn before(&self) -> &HashMap<Key, i64> {
        &self.before
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nothing is to be written of a request of this time.
    pub fn knows(&self, caller: &Key, time: i64) -> bool {
        self.since.get(caller).is_some_and(|last| *last >= time)
    }

    /// Notes that a request made at `time` is going to run; false when that
    /// could not be written.
    pub fn note(&mut self, caller: &Key, time: i64, now: i64) -> bool {
        if self.knows(caller, time) {
            return true;
        }
        let written = self.write(caller, time, now);
        if let Err(e) = &written
            && self.works
        {
            tracing::error!("{}: until when requests ran is not written: {e}", self.path.display());
        }
        self.works = written.is_ok();
        if self.works {
            self.since.insert(*caller, time);
        }
        self.works
    }

    fn write(&mut self, caller: &Key, time: i64, now: i64) -> io::Result<()> {
        if self.records >= MOST {
            self.since.retain(|_, last| *last > now - BEFORE_START - 1);
            let alive = self.before.iter().filter(|(_, last)| **last > now - BEFORE_START - 1);
            (self.file, self.records) = write(&self.path, alive.chain(&self.since))?;
        }
        let record = record(caller, time);
        // All of it or an error: after part of one the file is written anew.
        if self.file.write(&record)? != RECORD {
            self.records = MOST;
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.records += 1;
        Ok(())
    }
}

fn record(caller: &Key, time: i64) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    let (key, seconds) = record.split_at_mut(16);
    key.copy_from_slice(caller);
    seconds.copy_from_slice(&time.to_le_bytes());
    record
}

/// Replaces the file by these records and opens it to add more.
fn write<'a>(path: &Path, records: impl Iterator<Item = (&'a Key, &'a i64)>) -> io::Result<(File, usize)> {
    let records: Vec<u8> = records.flat_map(|(caller, time)| record(caller, *time)).collect();
    files::write_atomic(path, &records, files::SECRET)?;
    let file = OpenOptions::new().append(true).mode(files::SECRET).open(path)?;
    Ok((file, records.len() / RECORD))
}

/// Opens the file to add to what it holds, without a record that is not whole.
fn go_on(path: &Path, length: usize) -> io::Result<(File, usize)> {
    let records = length / RECORD;
    let file = OpenOptions::new().append(true).open(path)?;
    file.set_len((records * RECORD) as u64)?;
    Ok((file, records))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_known_after_a_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("replay");
        let mut journal = Journal::open(&path, 1000).unwrap();
        for time in [1000, 1030, 1020] {
            assert!(journal.note(&[1; 16], time, 1000));
        }
        assert!(journal.note(&[2; 16], 980, 1000));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 3 * 24, "nothing is written that is known");
        // The end of a process in the middle of a record.
        let mut torn = std::fs::read(&path).unwrap();
        torn.extend([7; 11]);
        std::fs::write(&path, torn).unwrap();
        let again = Journal::open(&path, 1001).unwrap();
        assert_eq!(again.before().get(&[1; 16]), Some(&1030));
        assert_eq!(again.before().get(&[2; 16]), None, "older than what is refused of everybody");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 24);
    }

    #[test]
    fn the_file_stays_small() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("replay");
        let mut journal = Journal::open(&path, 0).unwrap();
        for time in 0..2 * MOST as i64 {
            assert!(journal.note(&[time as u8 % 4; 16], time, time));
        }
        assert!(std::fs::metadata(&path).unwrap().len() <= (MOST * RECORD) as u64);
        let again = Journal::open(&path, 2 * MOST as i64).unwrap();
        assert_eq!(again.before().get(&[3; 16]), Some(&(2 * MOST as i64 - 1)));
    }

    #[test]
    fn a_place_that_cannot_be_written_is_told() {
        assert!(Journal::open(Path::new("/nonexistent/replay"), 0).is_err());
    }
}
