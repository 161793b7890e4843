//! Files of tasks on a node, each once, by its hash (spec 07 §A4.1).

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{Context, SHA256};

use super::FileRecord;
use super::source::{Connection, Source, SourceError};
use super::spool::own_directory;
use crate::core::files::plain;
use crate::core::programs;
use crate::core::text::hex;

/// Tries for a file, and the time between them.
const TRIES: usize = 2;
const PAUSE: Duration = Duration::from_millis(100);
/// And between tries where the server is busy: at first, and at most.
const BUSY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// A file is of use as long as it was used this lately; how exactly that is known.
const TOUCHED: Duration = Duration::from_secs(24 * 3600);
/// What is being fetched is called so.
const NEW: &str = ".choria-";
/// Mode of a file: whoever runs a task copies it from here.
const MODE: u32 = 0o750;

/// The files of a node.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    /// Files that are being fetched: whoever wants the same waits.
    fetching: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

/// Why a file cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It is not there, or is another.
    #[error("the file {0} is not in the cache as it should be")]
    Absent(String),
    /// The server.
    #[error("Could not download task file {name}: {problem}")]
    Download {
        /// Which.
        name: String,
        /// What is wrong.
        problem: SourceError,
    },
    /// What came is not what should.
    #[error("Could not download task file {name}: {problem}")]
    Other {
        /// Which.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// They come, and take longer than whoever asks can wait.
    #[error("its files are still coming, {came} of {of} bytes are here: ask again")]
    Coming {
        /// Bytes that are here,
        came: u64,
        /// of so many.
        of: u64,
    },
    /// As many as may are on their way.
    #[error("the files of {0} are on their way to this node, ask again when some have come")]
    Busy(String),
    /// The disk.
    #[error("Could not keep task file {name}: {problem}")]
    Disk {
        /// Which.
        name: String,
        /// What the system says.
        problem: io::Error,
    },
}

impl Cache {
    /// In this directory; it is made when the first file comes.
    pub fn new(dir: impl Into<PathBuf>) -> Cache {
        Cache { dir: dir.into(), fetching: Mutex::default() }
    }

    /// Where a file is; its hash is 64 hex digits, as the record was checked for.
    fn place(&self, record: &FileRecord) -> PathBuf {
        self.dir.join(&record.sha256)
    }

    /// Whether a file is there as it should be. Reads all of it.
    pub fn has(&self, record: &FileRecord) -> bool {
        let file = self.place(record);
        let there = read_through(&file, record, |_| Ok(())).is_ok();
        if there {
            touch(&file);
        }
        there
    }

    /// Whether the system can run a file that is there: a program of it, or a script whose
    /// interpreter is on this node; what `env` would run is looked for in `path`.
    pub fn runs(&self, record: &FileRecord, path: &OsStr) -> bool {
        let mut first = [0; 256];
        let read = File::open(self.place(record)).and_then(|mut file| file.read(&mut first));
        let head = first.get(..read.unwrap_or_default()).unwrap_or_default();
        let Some(line) = head.strip_prefix(b"#!") else { return head.starts_with(b"\x7fELF") };
        let line = String::from_utf8_lossy(line.split(|byte| *byte == b'\n').next().unwrap_or_default());
        let mut words = line.split_whitespace();
        let Some(interpreter) = words.next().filter(|program| programs::executable(Path::new(program)))
        else {
            return false;
        };
        let by_env = interpreter.ends_with("/env");
        let wanted = words.find(|word| by_env && !word.starts_with('-') && !word.contains('='));
        wanted.is_none_or(|program| programs::find(program, Some(path)).is_some())
    }

    /// Copies a file that is as it should be.
    ///
    /// # Errors
    /// [`CacheError::Absent`], [`CacheError::Disk`].
    pub fn copy(&self, record: &FileRecord, to: &Path, mode: u32) -> Result<(), CacheError> {
        let disk = |problem| CacheError::Disk { name: record.filename.clone(), problem };
        let mut copy = File::options().write(true).create_new(true).mode(mode).open(to).map_err(disk)?;
        let mut written = Ok(());
        let read = read_through(&self.place(record), record, |piece| {
            written = copy.write_all(piece);
            Ok(())
        });
        read.map_err(|_| CacheError::Absent(record.filename.clone()))?;
        written.map_err(disk)?;
        copy.set_permissions(fs::Permissions::from_mode(mode)).map_err(disk)
    }

    /// Sees to it that all files are there; how many had to be fetched. How many bytes are there
    /// is told meanwhile. A server that is busy is asked again and again: who waits says how long that is.
    ///
    /// # Errors
    /// [`CacheError`] of the first that cannot be had.
    pub async fn fetch(
        self: &Arc<Self>,
        records: &[FileRecord],
        source: &Source,
        came: &AtomicU64,
    ) -> Result<usize, CacheError> {
        let (mut connection, mut told) = (None, false);
        let mut fetched = 0;
        for record in records {
            let turn = self.turn(&record.sha256);
            let _turn = turn.lock().await;
            let (cache, wanted) = (self.clone(), record.clone());
            let before = came.load(Ordering::Relaxed);
            if blocking(move || cache.has(&wanted)).await.unwrap_or(false) {
                came.store(before + record.size_bytes, Ordering::Relaxed);
                continue;
            }
            let mut tries = 1..=TRIES;
            let mut pause = BUSY.0;
            tries.next();
            loop {
                came.store(before, Ordering::Relaxed);
                match self.download(record, source, &mut connection, came).await {
                    Ok(()) => break,
                    // as long as whoever waits for all of them does
                    Err(CacheError::Download { problem, .. }) if problem.is_busy() => {
                        match std::mem::replace(&mut told, true) {
                            false => {
                                tracing::warn!("a file of a task is asked for until it comes: {problem}")
                            }
                            true => tracing::debug!("a file of a task is asked for again: {problem}"),
                        }
                        connection = None;
                        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
                        pause = (pause * 2).min(BUSY.1);
                    }
                    Err(e) if tries.next().is_none() => return Err(e),
                    Err(_) => {
                        connection = None;
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
            fetched += 1;
        }
        Ok(fetched)
    }

    /// Whose turn it is to fetch a file.
    fn turn(&self, hash: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        fetching.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = fetching.get(hash).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        fetching.insert(hash.to_owned(), Arc::downgrade(&turn));
        turn
    }

    /// Fetches a file, looking at it as it comes: one byte more than it should have ends it.
    async fn download(
        &self,
        record: &FileRecord,
        source: &Source,
        connection: &mut Option<Connection>,
        came: &AtomicU64,
    ) -> Result<(), CacheError> {
        let name = || record.filename.clone();
        let disk = |problem| CacheError::Disk { name: name(), problem };
        let download = |problem| CacheError::Download { name: name(), problem };
        let dir = self.dir.clone();
        let temporary = blocking(move || {
            own_directory(&dir, MODE)?;
            tempfile::Builder::new().prefix(NEW).tempfile_in(&dir).map_err(plain)
        });
        let temporary = temporary.await.and_then(|made| made).map_err(disk)?;
        if connection.is_none() {
            *connection = Some(source.connect().await.map_err(download)?);
        }
        // just made, where there was none
        let Some(connection) = connection.as_mut() else { return Ok(()) };
        let (mut hash, mut size, mut written) = (Context::new(&SHA256), 0u64, Ok(()));
        let mut file = tokio::fs::File::from_std(temporary.as_file().try_clone().map_err(disk)?);
        let mut body = connection.file(&record.target()).await.map_err(download)?;
        while let Some(piece) = body.next().await.map_err(download)? {
            size += piece.len() as u64;
            if size > record.size_bytes {
                let problem = format!("it has more than the {} bytes it should have", record.size_bytes);
                return Err(CacheError::Other { name: name(), problem });
            }
            came.fetch_add(piece.len() as u64, Ordering::Relaxed);
            hash.update(&piece);
            written = tokio::io::AsyncWriteExt::write_all(&mut file, &piece).await;
            if written.is_err() {
                break;
            }
        }
        written.map_err(disk)?;
        if size != record.size_bytes {
            let problem = format!("it has {size} bytes and should have {}", record.size_bytes);
            return Err(CacheError::Other { name: name(), problem });
        }
        if hex(hash.finish().as_ref()) != record.sha256 {
            let problem = "its content is not what the task asks for, by its hash".to_owned();
            return Err(CacheError::Other { name: name(), problem });
        }
        tokio::io::AsyncWriteExt::flush(&mut file).await.map_err(disk)?;
        file.sync_all().await.map_err(disk)?;
        let place = self.place(record);
        let kept = blocking(move || {
            temporary.as_file().set_permissions(fs::Permissions::from_mode(MODE))?;
            temporary.persist(place).map(drop).map_err(|e| e.error)
        });
        kept.await.and_then(|kept| kept).map_err(disk)
    }

    /// Removes files that nobody used for so long, and what was not fetched to its end.
    pub fn tidy(&self, unused_for: Duration) {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            let is_file = name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
            let old = |than: Duration| {
                let used = entry.metadata().and_then(|about| about.modified());
                used.is_ok_and(|used| used.elapsed().is_ok_and(|age| age > than))
            };
            if is_file && old(unused_for + TOUCHED) || name.starts_with(NEW) && old(TOUCHED) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Reads a file in pieces; an error when it is not what its record says.
fn read_through(
    file: &Path,
    record: &FileRecord,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = File::open(file)?;
    let about = file.metadata()?;
    let other = || io::Error::other("it is another file");
    if !about.is_file() || about.len() != record.size_bytes {
        return Err(other());
    }
    let mut hash = Context::new(&SHA256);
    let mut piece = vec![0; 64 * 1024];
    let mut left = record.size_bytes;
    loop {
        let read = file.read(&mut piece)?;
        let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else { break };
        left = left.checked_sub(piece.len() as u64).ok_or_else(other)?;
        hash.update(piece);
        each(piece)?;
    }
    if left == 0 && hex(hash.finish().as_ref()) == record.sha256 { Ok(()) } else { Err(other()) }
}

/// Says that a file is in use.
fn touch(file: &Path) {
    let used = fs::metadata(file).and_then(|about| about.modified());
    if used.is_ok_and(|used| used.elapsed().is_ok_and(|age| age > TOUCHED))
        && let Ok(file) = File::open(file)
    {
        let _ = file.set_modified(SystemTime::now());
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::tasks::records::parse;

    fn record(content: &[u8]) -> FileRecord {
        let hash = hex(aws_lc_rs::digest::digest(&SHA256, content).as_ref());
        let record = json!([{"filename": "x", "sha256": hash, "size_bytes": content.len(),
                             "uri": {"path": "/puppet/v3/x", "params": {}}}]);
        parse(&record.to_string()).unwrap().remove(0)
    }

    #[test]
    fn only_what_has_its_hash_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path());
        let (good, to) = (record(b"echo hello\n"), dir.path().join("copy"));
        assert!(!cache.has(&good));
        assert!(matches!(cache.copy(&good, &to, 0o750), Err(CacheError::Absent(_))));
        fs::remove_file(&to).unwrap();
        fs::write(dir.path().join(&good.sha256), "echo hello\n").unwrap();
        assert!(cache.has(&good));
        cache.copy(&good, &to, 0o750).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"echo hello\n");
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o750);
        for other in ["echo hellO\n", "echo hello\n\n", ""] {
            fs::write(dir.path().join(&good.sha256), other).unwrap();
            assert!(!cache.has(&good), "{other:?}");
        }
    }

    #[test]
    fn programs_run_where_their_interpreter_is() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path());
        for (text, runs) in [
            ("#!/bin/sh\n", true),
            ("#! /bin/sh -e\n", true),
            ("#!/opt/none/ruby\n", false),
            ("#!/usr/bin/env sh\n", true),
            ("#!/usr/bin/env -S A=1 sh -x\n", true),
            ("#!/usr/bin/env none-such\n", false),
            ("\x7fELF", true),
            ("echo 1\n", false),
            ("#!", false),
            ("", false),
        ] {
            let file = record(text.as_bytes());
            fs::write(dir.path().join(&file.sha256), text).unwrap();
            assert_eq!(cache.runs(&file, OsStr::new("/usr/bin:/bin")), runs, "{text:?}");
        }
    }

    #[test]
    fn what_nobody_uses_goes() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path());
        let (old, new) = (dir.path().join("a".repeat(64)), dir.path().join("b".repeat(64)));
        let (half, theirs) = (dir.path().join(".choria-x"), dir.path().join("README"));
        for file in [&old, &new, &half, &theirs] {
            fs::write(file, "x").unwrap();
        }
        let ages_ago = SystemTime::now() - Duration::from_secs(90 * 24 * 3600);
        for file in [&old, &half, &theirs] {
            File::open(file).unwrap().set_modified(ages_ago).unwrap();
        }
        cache.tidy(Duration::from_secs(30 * 24 * 3600));
        assert!(!old.exists() && !half.exists() && new.exists() && theirs.exists());
    }
}
