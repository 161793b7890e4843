//! The log of certificates made for nodes: one line each, many lines a sync.
//!
//! [`Ca::issue`] keeps a file for every certificate, which costs two syncs
//! each: nothing for a person, too much for thousands of nodes a minute. What
//! has to be known of a node's certificate, to list and to revoke it, fits in
//! a line of `issued.jsonl`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::ca::at;
use super::{Ca, PkiError};
use crate::core::files::SECRET;

/// Longest line that is read, in bytes.
const MAX_LINE: u64 = 4096;
/// Lines that share one sync.
const GROUP: usize = 512;

/// A certificate that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its common name.
    pub name: String,
    /// Its serial number, hex.
    pub serial: String,
    /// SHA-256 of its public key (SPKI), hex.
    #[serde(default)]
    pub key: String,
    /// Unix seconds it is valid from,
    pub from: i64,
    /// and until.
    pub until: i64,
}

type Line = (String, oneshot::Sender<io::Result<()>>);

/// Writes lines; ends with its last clone.
#[derive(Debug, Clone)]
pub(super) struct Ledger(mpsc::Sender<Line>);

impl Ledger {
    pub(super) fn open(ca: &Ca) -> Result<Ledger, PkiError> {
        let path = path(ca.dir());
        let failed = at(&path);
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .mode(SECRET)
            .open(&path)
            .map_err(&failed)?;
        end_line(&mut file).map_err(&failed)?;
        let (sender, lines) = mpsc::channel(4 * GROUP);
        let thread = std::thread::Builder::new().name("issued".into());
        thread.spawn(|| write_lines(file, lines)).map_err(&failed)?;
        Ok(Ledger(sender))
    }

    /// Returns once the entry is on disk.
    pub(super) async fn write(&self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_string(entry)?;
        line.push('\n');
        let (done, wait) = oneshot::channel();
        let gone = || io::Error::other("the log of certificates has ended");
        self.0.send((line, done)).await.map_err(|_| gone())?;
        wait.await.map_err(|_| gone())?
    }
}

/// A crash may have cut the last line off: the next one must not continue it.
fn end_line(file: &mut File) -> io::Result<()> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last != *b"\n" { file.write_all(b"\n") } else { Ok(()) }
}

fn write_lines(mut file: File, mut lines: mpsc::Receiver<Line>) {
    let mut group = Vec::with_capacity(GROUP);
    while lines.blocking_recv_many(&mut group, GROUP) > 0 {
        let text: String = group.iter().map(|(line, _)| line.as_str()).collect();
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        for (_, done) in group.drain(..) {
            let answer = written.as_ref().map_err(|e| io::Error::new(e.kind(), e.to_string()));
            let _ = done.send(answer.copied());
        }
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("issued.jsonl")
}

/// Calls `each` with every entry; lines that cannot be read are passed over with a warning.
pub(super) fn read(dir: &Path, mut each: impl FnMut(Entry)) -> Result<(), PkiError> {
    let path = path(dir);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(at(&path)(e)),
    };
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = Read::take(&mut reader, MAX_LINE).read_until(b'\n', &mut line).map_err(at(&path))?;
        if read == 0 {
            return Ok(());
        }
        match serde_json::from_slice(line.trim_ascii()) {
            Ok(entry) => each(entry),
            Err(_) if line.trim_ascii().is_empty() => {}
            Err(_) => tracing::warn!("{}: a line that cannot be read is passed over", path.display()),
        }
    }
}
