//! What was asked and answered, kept for the person who asked.
//!
//! A [`Record`] is what one request came to. A [`History`] is a directory of them,
//! a file each: readable by their owner only, replaced whole, and bounded in number,
//! age and size. The first line of a file is its [`Heading`], so that a list of all
//! reads little of each.

mod record;
mod secrets;
#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

pub use record::{Answer, HIDDEN, Heading, Record, Recorder, Which, secrets_of_task, veil};
pub use secrets::is_secret;

use crate::core::files::{SECRET, is_own, write_atomic};

/// Largest file that is read, and longest heading.
const MAX_FILE: u64 = 256 * 1024 * 1024;
const MAX_HEADING: u64 = 64 * 1024;
/// What is left of a file whose writer was killed goes after this.
const ABANDONED: Duration = Duration::from_secs(3600);
/// The request that was made last.
const LAST: &str = "last";

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Requests.
    pub count: usize,
    /// How old they get.
    pub age: Duration,
    /// Bytes of all.
    pub bytes: u64,
}

/// Why there is no such record.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Nothing begins so.
    #[error("no request that is kept has the id '{0}': choria history has them all")]
    Unknown(String),
    /// More than one does.
    #[error("{1} requests that are kept have an id that begins with '{0}': give more of it")]
    Ambiguous(String, usize),
    /// There is none at all.
    #[error("no request is kept in {}", .0.display())]
    Empty(PathBuf),
    /// A file that is there and cannot be used.
    #[error("the request cannot be read: {}: {problem}", file.display())]
    Broken {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// A directory of records.
#[derive(Debug, Clone)]
pub struct History {
    dir: PathBuf,
    bounds: Bounds,
}

/// A file of it.
#[derive(Debug)]
struct Kept {
    id: String,
    path: PathBuf,
    /// Milliseconds of Unix time, of its name.
    made: u64,
    bytes: u64,
}

impl History {
    /// Records in a directory, which is made with the first.
    pub fn new(dir: PathBuf, bounds: Bounds) -> History {
        History { dir, bounds }
    }

    /// Where a user's records are: below the state directory, or below the home.
    /// Neither counts unless it is absolute.
    pub fn place(state: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
        let absolute = |dir: Option<PathBuf>| dir.filter(|dir| dir.is_absolute());
        let dir = absolute(state).or_else(|| absolute(home).map(|home| home.join(".local/state")))?;
        Some(dir.join("choria/history"))
    }

    /// Keeps a record, and removes what is too many, too old or too large.
    ///
    /// # Errors
    /// It was not kept.
    pub fn keep(&self, record: &Record) -> io::Result<()> {
        self.prepare()?;
        let made = record.stats.start_time_utc.as_millisecond().max(0);
        let content = record.to_text().map_err(io::Error::other)?;
        let path = self.dir.join(format!("{made:014}-{}.json", record.id()));
        write_atomic(&path, content.as_bytes(), SECRET)?;
        self.prune();
        Ok(())
    }

    /// The directory, made where it is missing; never in a place of somebody else's.
    fn prepare(&self) -> io::Result<()> {
        if !is_own(&self.dir) {
            let text = format!("{} is another user's, or everybody's to write", self.dir.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)
    }

    /// Headings of all that is kept, newest first; what cannot be read is left out.
    pub fn headings(&self) -> Vec<Heading> {
        self.files().iter().filter_map(|kept| heading(&kept.path).ok()).collect()
    }

    /// The record of a request: its id, the beginning of it, or `last`.
    ///
    /// # Errors
    /// [`HistoryError`]
    pub fn find(&self, id: &str) -> Result<Record, HistoryError> {
        let files = self.files();
        let newest = files.first().ok_or_else(|| HistoryError::Empty(self.dir.clone()))?;
        let fitting: Vec<&Kept> = match id {
            LAST => vec![newest],
            id => files.iter().filter(|kept| !id.is_empty() && kept.id.starts_with(id)).collect(),
        };
        let kept = match fitting.as_slice() {
            [] => return Err(HistoryError::Unknown(id.to_owned())),
            [kept] => kept,
            more => return Err(HistoryError::Ambiguous(id.to_owned(), more.len())),
        };
        let broken = |problem: String| HistoryError::Broken { file: kept.path.clone(), problem };
        let content =
            crate::core::files::read_bounded(&kept.path, MAX_FILE).map_err(|e| broken(e.to_string()))?;
        Record::parse(&content).map_err(|e| broken(e.to_string()))
    }

    /// Newest first.
    fn files(&self) -> Vec<Kept> {
        if !is_own(&self.dir) {
            return vec![];
        }
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let kept = |entry: fs::DirEntry| {
            let name = entry.file_name();
            let (made, id) = name.to_str()?.strip_suffix(".json")?.split_once('-')?;
            let about = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            let made = made.parse().ok()?;
            Some(Kept { id: id.to_owned(), path: entry.path(), made, bytes: about.len() })
        };
        let mut files: Vec<Kept> = entries.filter_map(kept).collect();
        files.sort_by(|a, b| b.made.cmp(&a.made).then_with(|| b.id.cmp(&a.id)));
        files
    }

    /// What cannot be removed stays: the next request tries again.
    fn prune(&self) {
        let now = jiff::Timestamp::now().as_millisecond().max(0);
        let now = Duration::from_millis(u64::try_from(now).unwrap_or(0));
        let mut bytes = 0_u64;
        for (place, kept) in self.files().into_iter().enumerate() {
            bytes = bytes.saturating_add(kept.bytes);
            let age = now.saturating_sub(Duration::from_millis(kept.made));
            if place >= self.bounds.count || age > self.bounds.age || bytes > self.bounds.bytes {
                let _ = fs::remove_file(&kept.path);
            }
        }
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".choria-")) {
            let modified = entry.metadata().and_then(|about| about.modified());
            let age = modified.ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
            if age.is_some_and(|age| age > ABANDONED) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn heading(path: &Path) -> io::Result<Heading> {
    let mut line = vec![];
    BufReader::new(File::open(path)?.take(MAX_HEADING)).read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line)?)
}
