//! The file as a node writes it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::SignatureScheme;
use rustls::sign::SigningKey;

use super::{Chain, Checkpoint, Digest, HEAD, Line, RECORDS, digest_of, signed_text};
use crate::core::files::SECRET;

/// Time between two checkpoints, where there are records.
const EVERY: Duration = Duration::from_secs(600);
/// Bytes at the end of a file that hold a checkpoint: those of all records after it and of the longest signature.
const TAIL: u64 = 128 * 1024;
/// Bytes at the end of a log that hold its last two records.
const LAST_LINES: u64 = 1024 * 1024;
/// In the order they are taken; a key has one or two of them.
const SCHEMES: [SignatureScheme; 5] = [
    SignatureScheme::ED25519,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
];

/// The key as it is now: a node takes a new one without a restart.
pub type Key = Box<dyn Fn() -> Arc<dyn SigningKey> + Send + Sync>;

/// A chain that is being written.
pub struct ChainLog {
    path: PathBuf,
    /// The log it is the chain of.
    log: PathBuf,
    key: Key,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    chain: Chain,
    /// Records since the last checkpoint, one that is taken over included, and when that was.
    since: u64,
    signed: Instant,
}

impl ChainLog {
    /// A chain in this file of that log, signed by this key; it goes on where it was.
    pub fn new(path: impl Into<PathBuf>, log: impl Into<PathBuf>, key: Key) -> ChainLog {
        ChainLog { path: path.into(), log: log.into(), key, open: None }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file, so that what is wrong with it is known before there is a record, and what
    /// the log ended with before there is more of it; what an earlier life left unsigned is signed.
    ///
    /// # Errors
    /// It cannot be written, is no chain, or the key cannot sign.
    pub fn prepare(&mut self, now: i64) -> io::Result<()> {
        match self.open {
            Some(_) => Ok(()),
            None => self.opened().map(drop).and_then(|()| self.sign(now)),
        }
    }

    /// Signs what was written, where that has waited its time: nobody may come to write more.
    ///
    /// # Errors
    /// As [`ChainLog::sign`].
    pub fn rest(&mut self, now: i64) -> io::Result<()> {
        match &self.open {
            Some(open) if open.signed.elapsed() >= EVERY => self.sign(now),
            _ => Ok(()),
        }
    }

    /// The time of the next checkpoint has come.
    #[cfg(test)]
    pub fn wait_no_longer(&mut self) {
        let long_ago = Instant::now().checked_sub(EVERY + Duration::from_secs(1));
        self.open.iter_mut().zip(long_ago).for_each(|(open, long_ago)| open.signed = long_ago);
    }

    /// A record may not have come to stand in the log: what it ended with is looked at again
    /// before there is more.
    pub fn doubt(&mut self) {
        self.open = None;
    }

    /// A record was written.
    ///
    /// # Errors
    /// The chain could not be.
    pub fn add(&mut self, line: &[u8], now: i64) -> io::Result<()> {
        let added = self.try_add(line, now);
        if added.is_err() {
            // what stands there is read again before more is written
            self.open = None;
        }
        added
    }

    fn try_add(&mut self, line: &[u8], now: i64) -> io::Result<()> {
        let open = self.opened()?;
        let record = digest_of(line);
        open.file.write_all(format!("{}\n", Line::Record(record)).as_bytes())?;
        open.chain.add(&record);
        open.since += 1;
        if open.since >= RECORDS || open.signed.elapsed() >= EVERY { self.sign(now) } else { Ok(()) }
    }

    /// Signs what has been written since the last checkpoint.
    ///
    /// # Errors
    /// It cannot be written, or the key does not sign.
    pub fn sign(&mut self, now: i64) -> io::Result<()> {
        let key = (self.key)();
        let Some(open) = self.open.as_mut().filter(|open| open.since > 0) else { return Ok(()) };
        // Whoever loses power after this has the records that it speaks of.
        if let Some(log) = regular(&self.log)? {
            log.sync_data()?;
        }
        let signer = key.choose_scheme(&SCHEMES).ok_or_else(|| io::Error::other("the key cannot sign it"))?;
        let signature = signer.sign(signed_text(&open.chain, now).as_bytes()).map_err(io::Error::other)?;
        let scheme = u16::from(signer.scheme());
        let checkpoint = Checkpoint { chain: open.chain, time: now, scheme, signature };
        open.file.write_all(format!("{}\n", Line::Checkpoint(checkpoint)).as_bytes())?;
        open.file.sync_data()?;
        (open.since, open.signed) = (0, Instant::now());
        Ok(())
    }

    fn opened(&mut self) -> io::Result<&mut Open> {
        let open = match self.open.take() {
            Some(open) => open,
            None => Open::of(&self.path, &self.log)?,
        };
        Ok(self.open.insert(open))
    }
}

impl std::fmt::Debug for ChainLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChainLog").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Drop for ChainLog {
    /// The last records of a life are signed, too.
    fn drop(&mut self) {
        let _ = self.sign(jiff::Timestamp::now().as_second());
    }
}

impl Open {
    fn of(path: &Path, log: &Path) -> io::Result<Open> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(SECRET).open(path)?;
        let length = file.metadata()?.len();
        let from = length.saturating_sub(TAIL);
        file.seek(SeekFrom::Start(from))?;
        let mut tail = vec![];
        Read::by_ref(&mut file).take(TAIL).read_to_end(&mut tail)?;
        // A line that was cut in the middle is nothing.
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        tail.truncate(whole);
        file.set_len(from + whole as u64)?;
        let mut open = Open { file, chain: Chain::default(), since: 0, signed: Instant::now() };
        if from == 0 && whole == 0 {
            open.file.write_all(format!("{HEAD}\n").as_bytes())?;
            return Ok(open);
        }
        let left = open.go_on(&tail, from == 0, &last_lines(log)?)?;
        open.since += u64::from(left.is_some());
        open.file.write_all(format!("{}\n", Line::Opening(left)).as_bytes())?;
        Ok(open)
    }

    /// Finds where the chain was, and whether the log has one line more.
    fn go_on(&mut self, tail: &[u8], is_all: bool, last: &[Digest]) -> io::Result<Option<Digest>> {
        let broken =
            || io::Error::new(io::ErrorKind::InvalidData, "this is no audit chain that can be gone on with");
        let lines: Vec<&[u8]> = tail.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        let lines = match (is_all, lines.split_first()) {
            (true, Some((head, lines))) if *head == HEAD.as_bytes() => lines,
            (true, _) => return Err(broken()),
            // the first may be the end of one
            (false, lines) => lines.map_or(&[][..], |(_, lines)| lines),
        };
        let parsed: Vec<Line> =
            lines.iter().map(|line| Line::parse(line)).collect::<Option<_>>().ok_or_else(broken)?;
        let signed = parsed.iter().rposition(|line| matches!(line, Line::Checkpoint(_)));
        let after = match signed.and_then(|at| parsed.get(at)) {
            Some(Line::Checkpoint(checkpoint)) => {
                self.chain = checkpoint.chain;
                signed.map_or(0, |at| at + 1)
            }
            _ if is_all => 0,
            _ => return Err(broken()),
        };
        let checkpoint = signed.and_then(|at| parsed.get(at)).map(Line::to_string).unwrap_or_default();
        for line in parsed.get(after..).unwrap_or_default() {
            match line {
                Line::Record(record) => {
                    self.chain.add(record);
                    self.since += 1;
                }
                Line::Opening(left) => self.chain.open(&checkpoint, left.as_ref()),
                Line::Checkpoint(_) => {}
            }
        }
        if self.since > RECORDS {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} records of it are not signed, more than a node ever leaves so", self.since),
            ));
        }
        let left = left_behind(&parsed, last);
        self.chain.open(&checkpoint, left.as_ref());
        Ok(left)
    }
}

/// The last line of a log where the chain does not know it, and knows the one before it, or that
/// it has none.
fn left_behind(chain: &[Line], last: &[Digest]) -> Option<Digest> {
    let known = chain.iter().rev().find_map(|line| match line {
        Line::Record(record) | Line::Opening(Some(record)) => Some(record),
        _ => None,
    });
    match (last, known) {
        ([.., before, last], Some(known)) if before == known && last != known => Some(*last),
        ([last], None) => Some(*last),
        _ => None,
    }
}

/// A log that is there, and is a file: a pipe would have us wait for who writes it.
pub fn regular(log: &Path) -> io::Result<Option<File>> {
    match std::fs::metadata(log) {
        Ok(about) if about.is_file() => File::open(log).map(Some),
        Ok(_) => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Digests of the last two lines of a log, whole or torn; fewer where there are no more.
fn last_lines(log: &Path) -> io::Result<Vec<Digest>> {
    let Some(mut file) = regular(log)? else { return Ok(vec![]) };
    let length = file.metadata()?.len();
    let from = length.saturating_sub(LAST_LINES);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = vec![];
    file.take(LAST_LINES).read_to_end(&mut tail)?;
    let mut lines: Vec<&[u8]> = tail.split(|byte| *byte == b'\n').collect();
    if from > 0 && !lines.is_empty() {
        // the end of one
        lines.remove(0);
    }
    let lines: Vec<Digest> = lines.into_iter().filter(|line| !line.is_empty()).map(digest_of).collect();
    Ok(lines.get(lines.len().saturating_sub(2)..).unwrap_or_default().to_vec())
}
