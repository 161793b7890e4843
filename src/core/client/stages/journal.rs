//! The file a change is kept in: its plan, then a line for all that happens.
//!
//! A line that says who is asked is on disk before they are: whoever goes on with a change
//! whose client was killed knows at least everybody who may have acted. A line that was cut
//! in the middle of its writing is nothing.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Allowance, Rollout};
use crate::core::files::{SECRET, is_own, read_bounded, write_atomic};

/// Largest file that is read: fifty thousand long names and what became of each, several times.
const MAX_FILE: u64 = 64 * 1024 * 1024;
/// Changes that are kept, and for how long.
const MOST: usize = 50;
const AGE: Duration = Duration::from_secs(14 * 86_400);
/// The change that was begun last.
const LAST: &str = "last";

/// What a change is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// Its name: the id of its first request.
    pub id: String,
    /// Agent.
    pub agent: String,
    /// Action.
    pub action: String,
    /// Collective.
    pub collective: String,
    /// Inputs that are no secrets.
    pub inputs: Map<String, Value>,
    /// Inputs whose values were not kept, because they are.
    pub withheld: Vec<String>,
    /// Nodes, in the order they are asked.
    pub nodes: Vec<String>,
    /// How many of them have been asked after each stage.
    pub bounds: Vec<usize>,
    /// How many are asked at once within a stage.
    pub batch: Option<usize>,
    /// Seconds between groups.
    pub pause: f64,
    /// How many may do badly.
    pub abort: Option<Allowance>,
    /// What looks at nodes when a stage is over: `AGENT.ACTION` and inputs.
    pub check: Option<String>,
}

/// A line behind the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// So many have been asked.
    Asked(usize),
    /// The check has looked at so many.
    Checked(usize),
    /// This node did well.
    Good(String),
    /// This node did badly, or is not well.
    Bad(String),
    /// On this node the run of that id goes on.
    Running(String, String),
}

/// Why a change cannot be kept or gone on with.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The directory or file cannot be used.
    #[error("a change in stages is kept in {}: {source}", .place.display())]
    File {
        /// Which.
        place: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is none of that name.
    #[error("no change is kept whose id is '{0}' or begins so: choria rpc --stages … names it when it stops")]
    Unknown(String),
    /// More than one begins so.
    #[error("{1} changes that are kept have an id that begins with '{0}': give more of it")]
    Ambiguous(String, usize),
    /// Somebody is at it.
    #[error("the change {0} is being made by another command")]
    Busy(String),
    /// The file is not one of ours.
    #[error("{}: this is no change that can be gone on with: {problem}", .file.display())]
    Broken {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// A change that is being written down.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// A new one in a directory, which is made with the first; what is too old goes.
    ///
    /// # Errors
    /// [`JournalError::File`]
    pub fn begin(dir: &Path, plan: &Plan) -> Result<Journal, JournalError> {
        let path = dir.join(format!("{}.jsonl", plan.id));
        let wrong = |source| JournalError::File { place: path.clone(), source };
        if !is_own(dir) {
            return Err(wrong(io::Error::other("its directory is another user's, or everybody's to write")));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(wrong)?;
        prune(dir);
        let mut text = serde_json::to_string(plan).map_err(|e| wrong(e.into()))?;
        text.push('\n');
        write_atomic(&path, text.as_bytes(), SECRET).map_err(wrong)?;
        Journal::open(path, &plan.id)
    }

    /// Opens one that is there: an id, the beginning of one, or `last`.
    ///
    /// # Errors
    /// [`JournalError`]
    pub fn resume(dir: &Path, id: &str) -> Result<(Journal, Plan, Rollout), JournalError> {
        let path = find(dir, id)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let journal = Journal::open(path, &stem)?;
        let content = read_bounded(&journal.path, MAX_FILE)
            .map_err(|source| JournalError::File { place: journal.path.clone(), source })?;
        let (plan, rollout) = replay(&content)
            .map_err(|problem| JournalError::Broken { file: journal.path.clone(), problem })?;
        // A line that was cut is not to be the beginning of the next.
        let whole = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        journal.wrong(journal.file.set_len(whole as u64))?;
        Ok((journal, plan, rollout))
    }

    fn open(path: PathBuf, id: &str) -> Result<Journal, JournalError> {
        let file = OpenOptions::new().append(true).open(&path);
        let file = file.map_err(|source| JournalError::File { place: path.clone(), source })?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(JournalError::Busy(id.to_owned()));
        }
        Ok(Journal { path, file })
    }

    /// These are asked next; on disk when it returns.
    ///
    /// # Errors
    /// It could not be written: nobody is to be asked.
    pub fn asked(&mut self, so_many: usize) -> Result<(), JournalError> {
        self.line(&Line::Asked(so_many))?;
        self.wrong(self.file.sync_data())
    }

    /// What became of a node.
    ///
    /// # Errors
    /// It could not be written.
    pub fn heard(&mut self, node: &str, good: bool) -> Result<(), JournalError> {
        let node = node.to_owned();
        self.line(&if good { Line::Good(node) } else { Line::Bad(node) })
    }

    /// On a node the run of that id goes on.
    ///
    /// # Errors
    /// It could not be written.
    pub fn runs(&mut self, node: &str, id: &str) -> Result<(), JournalError> {
        self.line(&Line::Running(node.to_owned(), id.to_owned()))
    }

    /// The check has looked at so many of them.
    ///
    /// # Errors
    /// It could not be written.
    pub fn checked(&mut self, so_many: usize) -> Result<(), JournalError> {
        self.line(&Line::Checked(so_many))
    }

    /// The change is whole: nothing is left to go on with.
    pub fn end(self) {
        let _ = fs::remove_file(&self.path);
    }

    fn line(&mut self, line: &Line) -> Result<(), JournalError> {
        let text = serde_json::to_string(line).map(|text| text + "\n").map_err(io::Error::other);
        let written = text.and_then(|text| self.file.write_all(text.as_bytes()));
        self.wrong(written)
    }

    fn wrong<T>(&self, done: io::Result<T>) -> Result<T, JournalError> {
        done.map_err(|source| JournalError::File { place: self.path.clone(), source })
    }
}

/// What the lines of a file come to.
pub(super) fn replay(content: &[u8]) -> Result<(Plan, Rollout), String> {
    let whole = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut lines = content[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let plan: Plan = serde_json::from_slice(lines.next().ok_or("it is empty")?).map_err(|e| e.to_string())?;
    let grows = plan.bounds.windows(2).all(|pair| pair[0] < pair[1]);
    if plan.nodes.is_empty() || !grows || plan.bounds.last() != Some(&plan.nodes.len()) {
        return Err("its stages do not fit its nodes".to_owned());
    }
    let mut rollout = Rollout::new(plan.bounds.clone(), plan.batch, plan.abort.unwrap_or(Allowance::NONE));
    for line in lines {
        match serde_json::from_slice(line).map_err(|e| e.to_string())? {
            Line::Asked(so_many) => {
                // Who had not answered when the next were asked was counted.
                rollout.waited();
                let names = plan.nodes.get(rollout.asked()..so_many).ok_or("it counts wrong")?;
                rollout.asking(names);
            }
            Line::Checked(so_many) => rollout.looked_at(so_many),
            Line::Good(node) => rollout.heard(&node, true),
            Line::Bad(node) => rollout.heard(&node, false),
            Line::Running(node, id) => rollout.runs(&node, &id),
        }
    }
    rollout.waited();
    Ok((plan, rollout))
}

/// The file of a change.
fn find(dir: &Path, id: &str) -> Result<PathBuf, JournalError> {
    let mut files = files(dir);
    files.sort_by_key(|(made, _)| *made);
    if id == LAST {
        return files.pop().map(|(_, path)| path).ok_or_else(|| JournalError::Unknown(id.to_owned()));
    }
    let fits = |path: &Path| {
        path.file_stem()
            .and_then(|stem| stem.to_str())
            .is_some_and(|stem| !id.is_empty() && stem.starts_with(id))
    };
    let mut fitting: Vec<PathBuf> =
        files.into_iter().map(|(_, path)| path).filter(|path| fits(path)).collect();
    match fitting.len() {
        0 => Err(JournalError::Unknown(id.to_owned())),
        1 => Ok(fitting.swap_remove(0)),
        many => Err(JournalError::Ambiguous(id.to_owned(), many)),
    }
}

/// Files of changes, and when something last happened there.
fn files(dir: &Path) -> Vec<(SystemTime, PathBuf)> {
    let (true, Ok(entries)) = (is_own(dir), fs::read_dir(dir)) else { return vec![] };
    let file = |entry: io::Result<fs::DirEntry>| {
        let path = entry.ok()?.path();
        let made = path.metadata().and_then(|about| about.modified()).ok()?;
        path.extension().is_some_and(|ending| ending == "jsonl").then_some((made, path))
    };
    entries.filter_map(file).collect()
}

/// Removes what nobody will go on with.
fn prune(dir: &Path) {
    let mut files = files(dir);
    files.sort_by_key(|(made, _)| std::cmp::Reverse(*made));
    let now = SystemTime::now();
    let old = |made: &SystemTime| now.duration_since(*made).is_ok_and(|age| age > AGE);
    for (number, (made, path)) in files.iter().enumerate() {
        if number >= MOST || old(made) {
            let _ = fs::remove_file(path);
        }
    }
}
