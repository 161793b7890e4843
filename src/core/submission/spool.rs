//! The files of messages: five directories, a file a message, taken in the order of
//! their names, which begin with the time.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::message::{MOST_PAYLOAD, Submission, SubmissionError};
use crate::core::files::{SECRET, read_plain, write_atomic, write_new_of};

/// How many priorities there are; 0 is first.
pub const PRIORITIES: usize = 5;
/// Largest file: a payload as base64 and what is said beside it.
const MOST_FILE: u64 = MOST_PAYLOAD as u64 * 4 / 3 + 256 * 1024;
/// Names of one directory that are read: whatever somebody put there.
const MOST_NAMES: usize = 10_000;

/// A spool.
#[derive(Debug, Clone)]
pub struct Spool {
    dir: PathBuf,
    /// Messages of each priority.
    most: usize,
}

/// A message that waits.
#[derive(Debug)]
pub struct Spooled {
    /// Its file.
    pub path: PathBuf,
    /// What it is, or why it is none.
    pub message: Result<Submission, SubmissionError>,
}

impl Spool {
    /// The spool in `dir`, for at most so many messages of each priority.
    pub fn new(dir: impl Into<PathBuf>, most: usize) -> Spool {
        Spool { dir: dir.into(), most }
    }

    /// Makes its directories.
    ///
    /// # Errors
    /// What the system says.
    pub fn prepare(&self) -> io::Result<()> {
        (0..PRIORITIES).try_for_each(|priority| {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(self.of(priority))
        })
    }

    fn of(&self, priority: usize) -> PathBuf {
        self.dir.join(format!("P{priority}"))
    }

    /// Keeps a message.
    ///
    /// # Errors
    /// In words: there is no room, or what the system says.
    pub fn put(&self, message: &Submission) -> Result<(), String> {
        let dir = self.of(message.priority);
        let wrong = |e: io::Error| format!("{}: {e}", dir.display());
        self.prepare().map_err(wrong)?;
        if self.names(message.priority).map_err(wrong)?.len() >= self.most {
            return Err(format!(
                "{} holds {} messages of priority {} already (plugin.choria.submission.max_spool_size): is the node \
                 connected, and does a stream take them?",
                self.dir.display(),
                self.most,
                message.priority
            ));
        }
        let name = format!("{:020}-{}.msg", message.created.as_nanosecond().max(0), message.id);
        // what root submits is for the node to read, whoever that is
        let owner = fs::metadata(&dir).map_err(wrong)?;
        let other = rustix::process::geteuid().is_root() && owner.uid() != 0;
        let owner = if other { (Some(owner.uid()), Some(owner.gid())) } else { (None, None) };
        write_new_of(&dir.join(name), message.encode().as_bytes(), SECRET, owner).map_err(|e| e.to_string())
    }

    /// Names of the messages of a priority, in order.
    fn names(&self, priority: usize) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.of(priority)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            entries => entries?,
        };
        let names = entries
            .take(MOST_NAMES.max(self.most.saturating_mul(2)))
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| is_message(name)).collect();
        // The original's times have no leading zeros, and one length for the next centuries.
        names.sort_by(|a, b| stamp(a).cmp(&stamp(b)).then_with(|| a.cmp(b)));
        Ok(names)
    }

    /// The first messages of a priority. Of those that this user may not read one is told of; they are in nobody's
    /// way.
    ///
    /// # Errors
    /// What the system says; nothing is behind a message that cannot be read just now.
    pub fn first(&self, priority: usize, most: usize) -> io::Result<Vec<Spooled>> {
        let dir = self.of(priority);
        let (mut found, mut kept_out) = (vec![], None);
        for name in self.names(priority)? {
            let path = dir.join(name);
            let message = match read_plain(&path, MOST_FILE) {
                Ok(text) => Submission::decode(&text),
                // a program has taken it back
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                    kept_out.get_or_insert(Spooled {
                        path,
                        message: Err(SubmissionError::Unread(e.to_string())),
                    });
                    continue;
                }
                Err(e) if is_none(&path, &e) => Err(SubmissionError::File(e.to_string())),
                Err(e) if found.is_empty() => return Err(e),
                Err(_) => break,
            };
            found.push(Spooled { path, message });
            if found.len() == most {
                break;
            }
        }
        found.extend(kept_out);
        Ok(found)
    }

    /// How many messages wait.
    pub fn waiting(&self) -> usize {
        (0..PRIORITIES).map(|priority| self.names(priority).map_or(0, |names| names.len())).sum()
    }

    /// Writes down what became of a message; one that is gone meanwhile stays gone.
    ///
    /// # Errors
    /// What the system says.
    pub fn renew(path: &Path, message: &Submission) -> io::Result<()> {
        match path.exists() {
            true => write_atomic(path, message.encode().as_bytes(), SECRET),
            false => Ok(()),
        }
    }
}

/// Whether what cannot be read is no message at any time.
fn is_none(path: &Path, error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::FileTooLarge || path.metadata().is_ok_and(|about| !about.is_file())
}

fn is_message(name: &str) -> bool {
    name.ends_with(".msg") && !name.starts_with('.')
}

/// The time in a name, without its zeros.
fn stamp(name: &str) -> (usize, &str) {
    let digits = name.split('-').next().unwrap_or_default().trim_start_matches('0');
    (digits.len(), digits)
}
