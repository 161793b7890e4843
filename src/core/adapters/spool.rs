//! Documents on disk: lines of JSON in numbered files, and how far they have been
//! handed on.
//!
//! A document is kept when its line is in the file: it is there after `kill -9`. How far
//! it went is written down twice a second at most, so after such an end the last few are
//! handed on again. A line that was torn by the end of the process is cut off at the next
//! start, one that is none is passed over.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::document::{Document, of_line};
use crate::core::files::{SECRET, write_atomic};

/// Bytes of one file, about.
const SEGMENT: u64 = 8 * 1024 * 1024;
/// Bytes that are looked at in one go; a document is smaller.
pub(super) const LOOK: usize = 4 * 1024 * 1024;
/// How often it is written down how far documents have been handed on.
const SETTLED: Duration = Duration::from_millis(500);

/// What is wrong with a spool.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The directory or a file in it.
    #[error("its spool {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody else's.
    #[error("its spool {} is in use by another process", .0.display())]
    Taken(PathBuf),
}

/// A spool. One process has it at a time.
#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    most: u64,
    /// Numbers and lengths of the files, oldest first; the last is written to.
    segments: VecDeque<(u64, u64)>,
    writing: File,
    reading: Option<(u64, File)>,
    /// Where in the first file the next document begins.
    at: u64,
    /// Lengths of the documents that were looked at last.
    looked: VecDeque<u64>,
    /// Documents that were not handed on.
    waiting: usize,
    settled: Instant,
    _lock: File,
}

impl Spool {
    /// The spool in `dir`, which is made, with what was left in it.
    pub(super) fn open(dir: &Path, most: u64) -> Result<Spool, SpoolError> {
        let wrong = |path: &Path| {
            let path = path.to_owned();
            move |source| SpoolError::Io { path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(wrong(dir))?;
        let lock = dir.join("lock");
        let held =
            OpenOptions::new().create(true).append(true).mode(SECRET).open(&lock).map_err(wrong(&lock))?;
        flock(&held, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| SpoolError::Taken(dir.to_owned()))?;
        let mut numbers: Vec<u64> = vec![];
        for entry in fs::read_dir(dir).map_err(wrong(dir))? {
            let name = entry.map_err(wrong(dir))?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".ndjson")?.parse::<u64>().ok());
            numbers.extend(number);
        }
        numbers.sort_unstable();
        let (first, mut at) = position(dir);
        let mut segments = VecDeque::new();
        let mut waiting = 0;
        for number in numbers {
            let path = segment(dir, number);
            if number < first {
                fs::remove_file(&path).map_err(wrong(&path))?;
                continue;
            }
            let begin = if number == first { at } else { 0 };
            // what was written down may have outlived the end of a file: the rest of it is told again
            let (length, lines) = match whole(&path, begin).map_err(wrong(&path))? {
                Some(found) => found,
                None => {
                    at = 0;
                    whole(&path, 0).map_err(wrong(&path))?.unwrap_or_default()
                }
            };
            waiting += lines;
            segments.push_back((number, length));
        }
        let at = match segments.front() {
            Some((number, length)) if *number == first => at.min(*length),
            _ => 0,
        };
        let last = match segments.back() {
            Some((number, _)) => *number,
            None => {
                segments.push_back((first.max(1), 0));
                first.max(1)
            }
        };
        let path = segment(dir, last);
        let writing = writer(&path).map_err(wrong(&path))?;
        let mut spool = Spool {
            dir: dir.to_owned(),
            most,
            segments,
            writing,
            reading: None,
            at,
            looked: VecDeque::new(),
            waiting,
            settled: Instant::now(),
            _lock: held,
        };
        spool.settle();
        Ok(spool)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Documents that wait, and their bytes.
    pub(super) fn left(&self) -> (usize, u64) {
        (self.waiting, self.bytes())
    }

    /// Bytes that wait.
    fn bytes(&self) -> u64 {
        self.segments.iter().map(|(_, length)| length).sum::<u64>().saturating_sub(self.at)
    }

    /// Keeps documents; says how many found no room, and what is wrong if that is not it.
    pub(super) fn put(&mut self, documents: &[Document]) -> (usize, Option<SpoolError>) {
        let (mut text, mut kept) = (Vec::new(), 0);
        let mut room = self.most.saturating_sub(self.bytes());
        for document in documents {
            let length = document.text.len() as u64 + 1;
            if length > room || length > LOOK as u64 {
                break;
            }
            room -= length;
            text.extend_from_slice(document.text.as_bytes());
            text.push(b'\n');
            kept += 1;
        }
        let written = self.append(&text);
        match written {
            Ok(()) => {
                self.waiting += kept;
                (documents.len() - kept, None)
            }
            Err(source) => {
                let path = segment(&self.dir, self.segments.back().map_or(1, |(number, _)| *number));
                (documents.len(), Some(SpoolError::Io { path, source }))
            }
        }
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        if self.segments.back().is_some_and(|(_, length)| *length >= SEGMENT) {
            let next = self.segments.back().map_or(1, |(number, _)| number + 1);
            self.writing.sync_data()?;
            self.writing = writer(&segment(&self.dir, next))?;
            self.segments.push_back((next, 0));
        }
        let Some((_, length)) = self.segments.back_mut() else { return Ok(()) };
        if let Err(error) = self.writing.write_all(text) {
            // What a full disk took of it is no document.
            self.writing.set_len(*length)?;
            return Err(error);
        }
        *length += text.len() as u64;
        Ok(())
    }

    /// The first documents, `most` at most. What is no document is passed over.
    pub(super) fn look(&mut self, most: usize) -> Result<Vec<Document>, SpoolError> {
        self.looked.clear();
        loop {
            let Some((number, length)) = self.segments.front().copied() else { return Ok(vec![]) };
            if self.at >= length {
                if self.segments.len() == 1 {
                    return Ok(vec![]);
                }
                let path = segment(&self.dir, number);
                self.segments.pop_front();
                self.reading = None;
                self.at = 0;
                self.settle();
                fs::remove_file(&path).map_err(|source| SpoolError::Io { path, source })?;
                continue;
            }
            let found = self.read(number, length, most)?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }

    fn read(&mut self, number: u64, length: u64, most: usize) -> Result<Vec<Document>, SpoolError> {
        let path = segment(&self.dir, number);
        let wrong = |source| SpoolError::Io { path: path.clone(), source };
        let file = match &mut self.reading {
            Some((open, file)) if *open == number => file,
            reading => &mut reading.insert((number, File::open(&path).map_err(wrong)?)).1,
        };
        let bytes = usize::try_from(length - self.at).unwrap_or(LOOK).min(LOOK);
        let mut text = vec![0; bytes];
        file.read_exact_at(&mut text, self.at).map_err(wrong)?;
        let mut documents = vec![];
        let mut passed = 0;
        for line in text.split_inclusive(|byte| *byte == b'\n').take(most) {
            let Some(body) = line.strip_suffix(b"\n") else {
                // It goes on behind what was looked at; a line as long as all of it is none.
                if documents.is_empty() && passed == 0 && bytes == LOOK {
                    self.at = length;
                    tracing::error!(
                        "{} has a line that is no document, the rest of the file is passed over",
                        path.display()
                    );
                }
                break;
            };
            match std::str::from_utf8(body).ok().and_then(of_line) {
                Some(document) => {
                    documents.push(document);
                    self.looked.push_back(line.len() as u64 + std::mem::take(&mut passed));
                }
                None => {
                    tracing::error!("{} has a line that is no document, it is passed over", path.display());
                    self.waiting = self.waiting.saturating_sub(1);
                    passed += line.len() as u64;
                }
            }
        }
        if documents.is_empty() {
            self.at += passed;
        }
        Ok(documents)
    }

    /// The first `count` of those that were looked at are somebody else's.
    pub(super) fn advance(&mut self, count: usize) {
        for length in self.looked.drain(..count.min(self.looked.len())) {
            self.at += length;
            self.waiting = self.waiting.saturating_sub(1);
        }
        if self.settled.elapsed() >= SETTLED {
            self.settle();
        }
    }

    /// Writes down how far it is.
    pub(super) fn settle(&mut self) {
        self.settled = Instant::now();
        let Some((number, _)) = self.segments.front() else { return };
        let text = format!("{number} {}\n", self.at);
        // first what it is about: a machine that loses its power must not keep this alone
        let written = self.writing.sync_data();
        let written =
            written.and_then(|()| write_atomic(&self.dir.join("position"), text.as_bytes(), SECRET));
        if let Err(error) = written {
            tracing::error!("how far spool {} is cannot be written down: {error}", self.dir.display());
        }
    }
}

/// The file and place of the next document; the beginning where nothing says so.
fn position(dir: &Path) -> (u64, u64) {
    let text = fs::read_to_string(dir.join("position")).unwrap_or_default();
    let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn segment(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:012}.ndjson"))
}

fn writer(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(SECRET).open(path)
}

/// The length of a file without a torn line at its end, which is cut off, and its lines from `begin` on; nothing where
/// no line begins there.
fn whole(path: &Path, begin: u64) -> io::Result<Option<(u64, usize)>> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    if begin > 0 {
        let mut before = [0];
        let read = file.read_at(&mut before, begin - 1)?;
        if read == 0 || before != *b"\n" {
            return Ok(None);
        }
    }
    file.seek(SeekFrom::Start(begin))?;
    let (mut buffer, mut at, mut end, mut lines) = (vec![0; 64 * 1024], begin, begin, 0);
    loop {
        let read = file.read(&mut buffer)?;
        let Some(text) = buffer.get(..read).filter(|text| !text.is_empty()) else { break };
        for place in memchr::memchr_iter(b'\n', text) {
            lines += 1;
            end = at + place as u64 + 1;
        }
        at += read as u64;
    }
    if end < at {
        file.set_len(end)?;
    }
    Ok(Some((end, lines)))
}
