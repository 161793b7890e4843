//! What must survive the death of this program: answers that nodes were or may
//! have been given.
//!
//! A record is on disk before the node is touched by it, so that after
//! `kill -9` a node gets the same answer again or none: never two different
//! ones. Records of nodes that are done cancel out; the file is rewritten
//! without them at the start and when it has grown. Many records share one
//! sync. What a full disk or a file limit has left of a record is cut off
//! before the next one is written, or that one would be lost with it. How many
//! `records` may be left of nodes that do not come back is bounded.

mod records;
mod tail;

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use crate::core::files;
pub use records::Open;
use records::Records;
use tail::Tail;

/// Name of the file in the state directory.
const FILE: &str = "journal.jsonl";
/// Longest record, in bytes: an answer and its surroundings.
const MAX_RECORD: usize = 4 * 1024 * 1024;
/// The file is rewritten when it is this much larger than what is open.
const SLACK: u64 = 16 * 1024 * 1024;
/// Records that share one sync.
const GROUP: usize = 512;

/// How far a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// It is about to be given these inputs of `configure`, a JSON object.
    Answered(Arc<str>),
    /// It took them and waits for its restart.
    Configured,
    /// It is done, or given up: nothing is open.
    Closed,
}

#[derive(Serialize, Deserialize)]
struct Record<'a> {
    /// Node.
    n: Cow<'a, str>,
    /// Step.
    #[serde(borrow)]
    s: Written<'a>,
}

/// A [`Step`] as it is in the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Written<'a> {
    #[serde(borrow)]
    Answered(&'a RawValue),
    Configured,
    Closed,
}

/// The journal could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file or directory.
    #[error("the journal in {}: {source}", .dir.display())]
    Io {
        /// Where it is.
        dir: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// Another provisioner has it.
    #[error("{} is in use by another provisioner; give each its own state_dir", .0.display())]
    InUse(PathBuf),
}

/// Writes records; clones share it.
#[derive(Clone)]
pub struct Journal {
    lines: mpsc::Sender<(String, oneshot::Sender<io::Result<()>>)>,
    records: Arc<Mutex<Records>>,
}

impl Journal {
    /// Opens the journal of a state directory (created 0700 if need be), with
    /// what was open when it was last used.
    ///
    /// # Errors
    /// [`JournalError`]. A last record that was cut off is dropped: nothing was done by it.
    pub fn open(dir: &Path) -> Result<Journal, JournalError> {
        let failed = |source| JournalError::Io { dir: dir.to_owned(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let path = dir.join(FILE);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(files::SECRET)
            .open(dir.join("lock"))
            .map_err(failed)?;
        if lock.try_lock().is_err() {
            return Err(JournalError::InUse(dir.to_owned()));
        }
        let records = read(&path).map_err(failed)?;
        let file = rewrite(&path, records.all()).map_err(failed)?;
        let (lines, requests) = mpsc::channel(4 * GROUP);
        let records = Arc::new(Mutex::new(records));
        let writer = Writer { path, file, records: records.clone(), lock, written: 0 };
        std::thread::Builder::new().name("journal".into()).spawn(|| writer.run(requests)).map_err(failed)?;
        Ok(Journal { lines, records })
    }

    /// What is open about a node.
    pub fn of(&self, node: &str) -> Option<Open> {
        locked(&self.records).get(node).cloned()
    }

    /// Nodes that something is open about, those it is longest first.
    pub fn nodes(&self) -> Vec<Arc<str>> {
        locked(&self.records).nodes().cloned().collect()
    }

    /// Nodes whose records are more than are kept of those that are not in work.
    pub fn surplus(&self, is_in_work: impl Fn(&str) -> bool) -> Vec<Arc<str>> {
        locked(&self.records).surplus(is_in_work)
    }

    /// Returns once the step is on disk.
    ///
    /// # Errors
    /// What the disk says: the node must not be touched then.
    pub async fn write(&self, node: &str, step: Step) -> io::Result<()> {
        let s = match &step {
            Step::Answered(inputs) => Written::Answered(serde_json::from_str(inputs)?),
            Step::Configured => Written::Configured,
            Step::Closed => Written::Closed,
        };
        let line = line(&Record { n: node.into(), s })?;
        let (done, wait) = oneshot::channel();
        let gone = || io::Error::other("the journal has ended");
        self.lines.send((line, done)).await.map_err(|_| gone())?;
        wait.await.map_err(|_| gone())?
    }
}

struct Writer {
    path: PathBuf,
    file: Tail<File>,
    records: Arc<Mutex<Records>>,
    #[allow(dead_code, reason = "held for as long as the journal is written")]
    lock: File,
    written: u64,
}

impl Writer {
    fn run(mut self, mut requests: mpsc::Receiver<(String, oneshot::Sender<io::Result<()>>)>) {
        let mut group = Vec::with_capacity(GROUP);
        while requests.blocking_recv_many(&mut group, GROUP) > 0 {
            let lines: String = group.iter().map(|(line, _)| line.as_str()).collect();
            let written = self.file.append(lines.as_bytes());
            for (line, done) in group.drain(..) {
                if written.is_ok() {
                    apply(&mut locked(&self.records), line.trim_end());
                }
                let answer = written.as_ref().map_err(|e| io::Error::new(e.kind(), e.to_string()));
                let _ = done.send(answer.copied());
            }
            self.written += lines.len() as u64;
            if self.written > SLACK {
                // the lock is for moments: whoever asks for a record cannot wait for a disk
                let open = locked(&self.records).all();
                match rewrite(&self.path, open) {
                    Ok(file) => (self.file, self.written) = (file, 0),
                    Err(e) => tracing::warn!("the journal was not shortened: {e}"),
                }
            }
        }
    }
}

fn locked(records: &Mutex<Records>) -> MutexGuard<'_, Records> {
    records.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(path: &Path) -> io::Result<Records> {
    let mut records = Records::default();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(records),
        Err(e) => return Err(e),
    };
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = io::Read::take(&mut reader, MAX_RECORD as u64).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(records);
        }
        match std::str::from_utf8(&line) {
            Ok(text) if text.ends_with('\n') && apply(&mut records, text.trim_end()) => {}
            _ => tracing::warn!("{}: a record that cannot be read is passed over", path.display()),
        }
    }
}

/// Applies one record; false if it is none.
fn apply(records: &mut Records, line: &str) -> bool {
    let Ok(Record { n, s }) = serde_json::from_str(line) else { return false };
    match s {
        Written::Answered(inputs) => records.answered(&n, inputs.get()),
        Written::Configured => records.configured(&n),
        Written::Closed => records.close(&n),
    }
    true
}

fn line(record: &Record<'_>) -> io::Result<String> {
    let mut line = serde_json::to_string(record)?;
    line.push('\n');
    Ok(line)
}

/// Replaces the file by one with only what is open, and opens it for more.
fn rewrite(path: &Path, open: Vec<(Arc<str>, Open)>) -> io::Result<Tail<File>> {
    let mut text = String::new();
    for (node, Open { inputs, configured }) in &open {
        let answered = Written::Answered(serde_json::from_str(inputs)?);
        text += &line(&Record { n: (&**node).into(), s: answered })?;
        if *configured {
            text += &line(&Record { n: (&**node).into(), s: Written::Configured })?;
        }
    }
    files::write_atomic(path, text.as_bytes(), files::SECRET)?;
    let log = OpenOptions::new().append(true).open(path)?;
    let end = log.metadata()?.len();
    Ok(Tail::new(log, end))
}

#[cfg(test)]
mod tests;
