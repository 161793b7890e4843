//! What a job said: parts of each output, named by where they begin.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::core::files::{SECRET, write_atomic};

/// Bytes that are told of an output at once, as JSON, and that are kept of it in the end.
pub(super) const MOST_SAID: usize = 256 * 1024;
/// The outputs of a job.
pub(super) const OUTPUTS: [&str; 2] = ["stdout", "stderr"];

/// A piece of an output. Text and what was written have the same length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Piece {
    /// What was written. A byte that is of no character is `?`.
    pub text: String,
    /// Where the next piece begins.
    pub next: u64,
    /// Whether there is more already.
    pub more: bool,
}

/// A part of an output.
struct Part {
    begins: u64,
    size: u64,
    file: PathBuf,
}

/// Bytes of an output, and where they were.
struct Bytes {
    begins: u64,
    bytes: Vec<u8>,
    /// Where the output ended when we began to read.
    end: u64,
}

/// What was written from a place on, or from the first that is kept; at most a piece. Of
/// what is `over` nothing more comes.
pub(super) fn from(dir: &Path, output: &str, asked: u64, over: bool) -> Piece {
    let mut read = read(dir, output, |first, end| asked.max(first).min(end));
    if read.begins > asked {
        read.skip_half_a_character();
    }
    let ends = read.begins + read.bytes.len() as u64;
    if !over || ends < read.end {
        let whole = read.bytes.len() - half_a_character(&read.bytes);
        read.bytes.truncate(whole);
    }
    let mut text = text_of(&read.bytes);
    let mut told = 0;
    let cut = text.char_indices().find(|(_, c)| {
        told += as_json(*c);
        told > MOST_SAID
    });
    let cut = cut.map(|(at, _)| at);
    text.truncate(cut.unwrap_or(text.len()));
    let next = read.begins + text.len() as u64;
    // half a character is no reason to come again at once
    let more = cut.is_some() || ends < read.end;
    Piece { text, next, more }
}

/// The end of an output.
pub(super) fn last(dir: &Path, output: &str) -> String {
    let mut read = read(dir, output, |first, end| end.saturating_sub(MOST_SAID as u64).max(first));
    if read.begins > 0 {
        read.skip_half_a_character();
    }
    let text = text_of(&read.bytes);
    let mut told = 0;
    let cut = text.char_indices().rev().find(|(_, c)| {
        told += as_json(*c);
        told > MOST_SAID
    });
    let begin = cut.map_or(0, |(at, c)| at + c.len_utf8());
    text.get(begin..).unwrap_or_default().to_owned()
}

/// Throws away all but the end of outputs that nobody writes to any more.
pub(super) fn shorten(dir: &Path) -> io::Result<()> {
    for output in OUTPUTS {
        let parts = parts(dir, output);
        let all: u64 = parts.iter().map(|part| part.size).sum();
        if all <= MOST_SAID as u64 || is_written(dir, output) {
            continue;
        }
        let end = read(dir, output, |first, end| end.saturating_sub(MOST_SAID as u64).max(first));
        write_atomic(&dir.join(format!("{output}.{}", end.begins)), &end.bytes, SECRET)?;
        for part in parts.iter().filter(|part| part.begins != end.begins) {
            fs::remove_file(&part.file)?;
        }
    }
    Ok(())
}

/// Where the program of a job writes to.
pub(super) fn pipe(dir: &Path, output: &str) -> PathBuf {
    dir.join(format!("{output}.pipe"))
}

/// Whether somebody takes down what is written there.
pub(super) fn is_written(dir: &Path, output: &str) -> bool {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    openat(CWD, pipe(dir, output), flags, Mode::empty()).is_ok()
}

fn parts(dir: &Path, output: &str) -> Vec<Part> {
    let part = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let begins = name.strip_prefix(output)?.strip_prefix('.')?.parse().ok()?;
        Some(Part { begins, size: entry.metadata().ok()?.len(), file: entry.path() })
    };
    let mut parts: Vec<Part> = fs::read_dir(dir).into_iter().flatten().flatten().filter_map(part).collect();
    parts.sort_by_key(|part| part.begins);
    parts
}

/// Reads from a place that is chosen by the first byte that is kept and the end. A part may
/// be thrown away meanwhile: then it begins later.
fn read(dir: &Path, output: &str, begin: impl Fn(u64, u64) -> u64) -> Bytes {
    let parts = parts(dir, output);
    let first = parts.first().map_or(0, |part| part.begins);
    let end = parts.last().map_or(0, |part| part.begins + part.size);
    let begins = begin(first, end);
    let mut read = Bytes { begins, bytes: Vec::new(), end };
    for part in parts {
        let at = read.begins + read.bytes.len() as u64;
        if part.begins + part.size <= at {
            continue;
        }
        if part.begins > at {
            if !read.bytes.is_empty() {
                break;
            }
            read.begins = part.begins;
        }
        let room = (MOST_SAID - read.bytes.len()) as u64;
        let at = read.begins + read.bytes.len() as u64 - part.begins;
        let content = fs::File::open(&part.file).and_then(|mut file| {
            file.seek(SeekFrom::Start(at))?;
            let mut content = Vec::new();
            file.take(room).read_to_end(&mut content)?;
            Ok(content)
        });
        match content {
            Ok(content) => read.bytes.extend(content),
            Err(_) if read.bytes.is_empty() => {}
            Err(_) => break,
        }
        if read.bytes.len() >= MOST_SAID {
            break;
        }
    }
    read
}

impl Bytes {
    /// What came before is not kept: neither is a character that began there.
    fn skip_half_a_character(&mut self) {
        let rest = self.bytes.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count();
        self.bytes.drain(..rest);
        self.begins += rest as u64;
    }
}

/// Bytes at the end that are the beginning of a character.
fn half_a_character(bytes: &[u8]) -> usize {
    let last = bytes.utf8_chunks().last().map(|chunk| chunk.invalid()).unwrap_or_default();
    let half = std::str::from_utf8(last).is_err_and(|e| e.error_len().is_none());
    if half { last.len() } else { 0 }
}

/// As text that is as long: who knows no better counts what they were told.
fn text_of(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    text
}

/// Bytes of a character in a reply.
fn as_json(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if c < ' ' => 6,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All pieces of an output until there is no more.
    fn pieces(dir: &Path, mut at: u64, over: bool) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        while pieces.last().is_none_or(|piece| piece.more) {
            let piece = from(dir, "stdout", at, over);
            assert!(piece.next > at || !piece.more, "it comes to an end");
            at = piece.next;
            pieces.push(piece);
        }
        pieces
    }

    #[test]
    fn pieces_are_all_there_is() {
        let dir = tempfile::tempdir().unwrap();
        let text = "äö\u{20ac}x".repeat(100_000);
        for (begins, end) in [(0, 300_001), (300_001, 700_000), (700_000, text.len())] {
            fs::write(dir.path().join(format!("stdout.{begins}")), &text.as_bytes()[begins..end]).unwrap();
        }
        fs::write(dir.path().join("stderr.0"), "other").unwrap();
        let all = pieces(dir.path(), 0, false);
        assert!(all.len() > 2 && all.iter().all(|piece| piece.text.len() <= MOST_SAID));
        assert_eq!(all.iter().map(|piece| piece.text.as_str()).collect::<String>(), text);
        assert_eq!(all.last().map(|piece| piece.next), Some(text.len() as u64));
        assert!(text.ends_with(&last(dir.path(), "stdout")));
        assert_eq!(
            (last(dir.path(), "stderr").as_str(), last(dir.path(), "nothing").as_str()),
            ("other", "")
        );
        // the beginning is thrown away, in the middle of a character
        fs::remove_file(dir.path().join("stdout.0")).unwrap();
        let kept = text.get(300_001..).is_none();
        assert!(kept, "this test is about half a character");
        let piece = from(dir.path(), "stdout", 5, false);
        let begins = piece.next - piece.text.len() as u64;
        assert!((300_002..300_004).contains(&begins) && !piece.text.contains('?'), "{begins}");
        // nothing there, and nothing yet
        assert_eq!(from(dir.path(), "stdout", u64::MAX, true).next, text.len() as u64);
        assert_eq!(from(dir.path(), "nothing", 7, true), Piece::default());
    }

    /// Text is as long as what was written: who counts what they were told comes out right.
    #[test]
    fn what_is_no_text_is_as_long() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("stdout.0");
        fs::write(&file, b"a\xff\xfeb\xe2\x82").unwrap();
        let piece = from(dir.path(), "stdout", 0, false);
        assert_eq!(piece, Piece { text: "a??b".into(), next: 4, more: false }, "the rest may come");
        assert_eq!(from(dir.path(), "stdout", 4, true), Piece { text: "??".into(), next: 6, more: false });
        fs::write(&file, b"a\xff\xfeb\xe2\x82\xac").unwrap();
        assert_eq!(from(dir.path(), "stdout", 4, false).text, "\u{20ac}");
        // what is long in a reply is cut by that length
        fs::write(&file, [0; 200_000]).unwrap();
        let all = pieces(dir.path(), 0, true);
        assert!(all.iter().all(|piece| serde_json::to_string(&piece.text).unwrap().len() <= MOST_SAID + 2));
        assert_eq!(all.iter().map(|piece| piece.text.len()).sum::<usize>(), 200_000);
        assert!(serde_json::to_string(&last(dir.path(), "stdout")).unwrap().len() <= MOST_SAID + 2);
    }
}
