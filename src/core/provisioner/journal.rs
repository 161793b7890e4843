//! What must survive the death of this program: answers that nodes were or may
//! have been given.
//!
//! A record is on disk before the node is touched by it, so that after
//! `kill -9` a node gets the same answer again or none: never two different
//! ones. Records of nodes that are done cancel out; the file is rewritten
//! without them at the start and when it has grown. Many records share one
//! sync. What a full disk or a file limit has left of a record is cut off
//! before the next one is written, or that one would be lost with it.

mod tail;

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use crate::core::files;
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It is about to be given these inputs of `configure`.
    Answered(Map<String, Value>),
    /// It took them and waits for its restart.
    Configured,
    /// It is done, or given up: nothing is open.
    Closed,
}

#[derive(Serialize, Deserialize)]
struct Record<'a> {
    /// Node.
    n: std::borrow::Cow<'a, str>,
    /// Step.
    s: Step,
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

/// Where a node is as far as this program knows: the last open record.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    /// Inputs of `configure`.
    pub inputs: Map<String, Value>,
    /// Whether it took them.
    pub configured: bool,
}

/// Writes records; clones share it.
#[derive(Clone)]
pub struct Journal(mpsc::Sender<(String, oneshot::Sender<io::Result<()>>)>);

impl Journal {
    /// Opens the journal of a state directory (created 0700 if need be) and
    /// returns what was open when it was last used.
    ///
    /// # Errors
    /// [`JournalError`]. A last record that was cut off is dropped: nothing was done by it.
    pub fn open(dir: &Path) -> Result<(Journal, HashMap<String, Open>), JournalError> {
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
        let open = read(&path).map_err(failed)?;
        let file = rewrite(&path, &open).map_err(failed)?;
        let (sender, requests) = mpsc::channel(4 * GROUP);
        let writer = Writer { path, file, open: open.clone(), lock, written: 0 };
        std::thread::Builder::new().name("journal".into()).spawn(|| writer.run(requests)).map_err(failed)?;
        Ok((Journal(sender), open))
    }

    /// Returns once the step is on disk.
    ///
    /// # Errors
    /// What the disk says: the node must not be touched then.
    pub async fn write(&self, node: &str, step: Step) -> io::Result<()> {
        let mut line = serde_json::to_string(&Record { n: node.into(), s: step })?;
        line.push('\n');
        let (done, wait) = oneshot::channel();
        let gone = || io::Error::other("the journal has ended");
        self.0.send((line, done)).await.map_err(|_| gone())?;
        wait.await.map_err(|_| gone())?
    }
}

struct Writer {
    path: PathBuf,
    file: Tail<File>,
    open: HashMap<String, Open>,
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
                    apply(&mut self.open, line.trim_end());
                }
                let answer = written.as_ref().map_err(|e| io::Error::new(e.kind(), e.to_string()));
                let _ = done.send(answer.copied());
            }
            self.written += lines.len() as u64;
            if self.written > SLACK {
                match rewrite(&self.path, &self.open) {
                    Ok(file) => (self.file, self.written) = (file, 0),
                    Err(e) => tracing::warn!("the journal was not shortened: {e}"),
                }
            }
        }
    }
}

fn read(path: &Path) -> io::Result<HashMap<String, Open>> {
    let mut open = HashMap::new();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(open),
        Err(e) => return Err(e),
    };
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = io::Read::take(&mut reader, MAX_RECORD as u64).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(open);
        }
        match std::str::from_utf8(&line) {
            Ok(text) if text.ends_with('\n') && apply(&mut open, text.trim_end()) => {}
            _ => tracing::warn!("{}: a record that cannot be read is passed over", path.display()),
        }
    }
}

/// Applies one record; false if it is none.
fn apply(open: &mut HashMap<String, Open>, line: &str) -> bool {
    let Ok(Record { n, s }) = serde_json::from_str(line) else { return false };
    match s {
        Step::Answered(inputs) => {
            open.insert(n.into_owned(), Open { inputs, configured: false });
        }
        Step::Configured => {
            if let Some(open) = open.get_mut(&*n) {
                open.configured = true;
            }
        }
        Step::Closed => {
            open.remove(&*n);
        }
    }
    true
}

/// Replaces the file by one with only what is open, and opens it for more.
fn rewrite(path: &Path, open: &HashMap<String, Open>) -> io::Result<Tail<File>> {
    let mut text = String::new();
    for (node, Open { inputs, configured }) in open {
        let answered = Record { n: node.into(), s: Step::Answered(inputs.clone()) };
        text.push_str(&serde_json::to_string(&answered)?);
        text.push('\n');
        if *configured {
            text.push_str(&serde_json::to_string(&Record { n: node.into(), s: Step::Configured })?);
            text.push('\n');
        }
    }
    files::write_atomic(path, text.as_bytes(), files::SECRET)?;
    let log = OpenOptions::new().append(true).open(path)?;
    let end = log.metadata()?.len();
    Ok(Tail::new(log, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(text: &str) -> Map<String, Value> {
        Map::from_iter([("config".to_owned(), text.into())])
    }

    #[tokio::test]
    async fn what_is_open_survives_and_what_is_done_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let (journal, open) = Journal::open(&state).unwrap();
        assert!(open.is_empty());
        assert!(matches!(Journal::open(&state), Err(JournalError::InUse(_))));
        journal.write("a", Step::Answered(inputs("1"))).await.unwrap();
        journal.write("b", Step::Answered(inputs("2"))).await.unwrap();
        journal.write("b", Step::Configured).await.unwrap();
        journal.write("c", Step::Answered(inputs("3"))).await.unwrap();
        journal.write("c", Step::Closed).await.unwrap();
        let copy = dir.path().join("copy");
        std::fs::create_dir(&copy).unwrap();
        let expected = HashMap::from([
            ("a".to_owned(), Open { inputs: inputs("1"), configured: false }),
            ("b".to_owned(), Open { inputs: inputs("2"), configured: true }),
        ]);
        // as after kill -9, the last record half written
        let mut text = std::fs::read(state.join(FILE)).unwrap();
        text.extend_from_slice(b"{\"n\":\"d\",\"s\":{\"answered\":{\"conf");
        std::fs::write(copy.join(FILE), &text).unwrap();
        for _ in 0..2 {
            let (_, open) = loop {
                // the thread of the one before lets go of its lock when it has noticed
                match Journal::open(&copy) {
                    Err(JournalError::InUse(_)) => tokio::task::yield_now().await,
                    opened => break opened.unwrap(),
                }
            };
            assert_eq!(open, expected);
        }
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(state.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    /// The whole of it in a process of its own, whose files may not grow.
    #[tokio::test]
    async fn a_file_limit_loses_no_acknowledged_record() {
        const CHILD: &str = "CHORIA_TEST_JOURNAL";
        if let Some(state) = std::env::var_os(CHILD) {
            let (journal, _) = Journal::open(Path::new(&state)).unwrap();
            let long = inputs(&"x".repeat(3000));
            journal.write("first", Step::Answered(inputs("1"))).await.unwrap();
            journal.write("long", Step::Answered(long.clone())).await.unwrap_err();
            journal.write("short", Step::Answered(inputs("2"))).await.unwrap();
            journal.write("longer", Step::Answered(long)).await.unwrap_err();
            // Whoever looks after the machine makes room.
            let own = std::process::id().to_string();
            let prlimit =
                std::process::Command::new("prlimit").args(["--pid", &own, "--fsize=1000000"]).status();
            assert!(prlimit.unwrap().success());
            journal.write("short", Step::Configured).await.unwrap();
            journal.write("last", Step::Answered(inputs("3"))).await.unwrap();
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let name = concat!(module_path!(), "::a_file_limit_loses_no_acknowledged_record");
        let name = name.split_once("::").unwrap().1;
        let ran = std::process::Command::new("sh")
            // Without the trap the signal ends the process instead; 1,024 bytes of each file.
            .args(["-c", "trap '' XFSZ; ulimit -S -f 2; exec \"$0\" --exact \"$1\" --nocapture"])
            .arg(std::env::current_exe().unwrap())
            .arg(name)
            .env(CHILD, dir.path())
            .output()
            .unwrap();
        assert!(ran.status.success(), "{ran:?}");
        assert!(String::from_utf8_lossy(&ran.stdout).contains("1 passed"), "{ran:?}");
        let open = read(&dir.path().join(FILE)).unwrap();
        let expected = [("first", "1", false), ("short", "2", true), ("last", "3", false)];
        let expected = expected
            .map(|(name, text, configured)| (name.to_owned(), Open { inputs: inputs(text), configured }));
        assert_eq!(open, HashMap::from(expected));
    }

    #[test]
    fn junk_in_the_journal_is_passed_over() {
        bolero::check!().with_iterations(500).for_each(|input: &[u8]| {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(FILE), input).unwrap();
            read(&dir.path().join(FILE)).unwrap();
        });
    }
}
