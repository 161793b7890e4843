//! Reading what a program says without waiting for whoever else holds its pipes.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use tokio::net::unix::pipe::Receiver;

use crate::core::text::{drives_a_terminal, on_one_line};

/// Most characters of a line of standard error that are shown.
const LINE: usize = 1000;
/// Most bytes of standard error that are shown of one program.
const MAX_SAID: usize = 64 * 1024;
/// Marks that no more of it is shown.
const SILENT: usize = usize::MAX;

/// The reading end of a pipe.
#[derive(Debug)]
pub struct Pipe {
    end: Receiver,
    buffer: Box<[u8]>,
}

/// What a look at a pipe came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// So many bytes were added.
    Read(usize),
    /// Nothing there for now.
    Empty,
    /// Everybody has closed it.
    Closed,
}

impl Pipe {
    /// From what a child left of it.
    ///
    /// # Errors
    /// It is no pipe.
    pub fn new(end: io::Result<OwnedFd>) -> io::Result<Pipe> {
        Ok(Pipe { end: Receiver::from_owned_fd(end?)?, buffer: vec![0; 8192].into() })
    }

    /// Waits until there is something to look at.
    pub async fn readable(&self) {
        // what is wrong with it shows when it is read
        let _ = self.end.readable().await;
    }

    /// Takes what is there.
    pub fn look(&mut self, into: &mut Vec<u8>) -> Look {
        let read = match self.end.try_read(&mut self.buffer) {
            // what came with the end of a program may not be known to the runtime yet
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                rustix::io::read(&self.end, &mut *self.buffer).map_err(io::Error::from)
            }
            read => read,
        };
        match read {
            Ok(0) => Look::Closed,
            Ok(read) => {
                into.extend_from_slice(self.buffer.get(..read).unwrap_or_default());
                Look::Read(read)
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Look::Empty
            }
            Err(_) => Look::Closed,
        }
    }
}

/// What a program writes to its standard error.
#[derive(Debug, Default)]
pub struct Said {
    waiting: Vec<u8>,
    shown: usize,
    last: VecDeque<String>,
    kept: usize,
    as_written: bool,
}

impl Said {
    /// Bytes of the last lines that are kept.
    pub const KEPT: usize = 4096;

    /// For people who read it as it is: with its indentation, blank lines and lines of any length.
    pub fn as_written() -> Said {
        Said { as_written: true, ..Said::default() }
    }

    /// Where to put what was read.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.waiting
    }

    /// Hands whole lines to `hear`, and at the end what is left.
    pub fn heard(&mut self, end: bool, hear: &mut impl FnMut(&str)) {
        let waiting = std::mem::take(&mut self.waiting);
        let whole = waiting.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
        let longest = if self.as_written { MAX_SAID } else { 4 * LINE };
        let whole = if end || waiting.len() - whole > longest { waiting.len() } else { whole };
        let (lines, rest) = waiting.split_at(whole);
        self.waiting = rest.to_vec();
        if lines.is_empty() {
            return;
        }
        let as_written = self.as_written;
        let shown = |line: &[u8]| shown(line, as_written);
        // behind the last end of a line is none
        let mut lines = lines.strip_suffix(b"\n").unwrap_or(lines).split(|byte| *byte == b'\n');
        if self.shown == SILENT {
            // whoever floods us must not keep us busy: only the last words count
            if let Some(last) = lines.rev().map(shown).find(|text| !text.is_empty()) {
                self.keep(last);
            }
            return;
        }
        lines.by_ref().for_each(|line| self.line(line, hear));
    }

    fn line(&mut self, line: &[u8], hear: &mut impl FnMut(&str)) {
        let text = shown(line, self.as_written);
        if text.is_empty() && !self.as_written {
            return;
        }
        if self.shown < MAX_SAID {
            hear(&text);
            // however short, a line is a line in a log
            let least = if self.as_written { 8 } else { 64 };
            self.shown += (text.len() + 1).max(least);
        } else if self.shown != SILENT {
            hear("(says more than is shown)");
            self.shown = SILENT;
        }
        self.keep(text);
    }

    fn keep(&mut self, text: String) {
        self.kept += text.len() + 1;
        self.last.push_back(text);
        while self.kept > Self::KEPT && self.last.len() > 1 {
            let gone = self.last.pop_front().map_or(0, |text| text.len() + 1);
            self.kept -= gone;
        }
    }

    /// The last lines.
    pub fn kept(&self) -> String {
        self.last.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// The last line, as the end of a sentence; empty when nothing was said.
    pub fn last_words(&self) -> String {
        match self.last.back() {
            None => String::new(),
            Some(last) => format!("; it said: {last}"),
        }
    }
}

/// A line as it is shown.
fn shown(line: &[u8], as_written: bool) -> String {
    let text = String::from_utf8_lossy(line);
    if as_written {
        let printable = |c| if drives_a_terminal(c) && c != '\t' { ' ' } else { c };
        return text.trim_end().chars().map(printable).take(MAX_SAID).collect();
    }
    on_one_line(text.trim()).take(LINE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_read_has_its_shape() {
        let (mut said, mut heard) = (Said::as_written(), vec![]);
        let long = "x".repeat(5 * LINE);
        for part in ["a:\n  b: 1\n\n", "\tc: \u{1b}2  \r\n", &long, "\n\n", "end"] {
            said.buffer().extend_from_slice(part.as_bytes());
            said.heard(false, &mut |line| heard.push(line.to_owned()));
        }
        for _ in 0..2 {
            said.heard(true, &mut |line| heard.push(line.to_owned()));
        }
        assert_eq!(heard, ["a:", "  b: 1", "", "\tc:  2", &long, "", "end"]);
        let mut lines = 0;
        said.buffer().extend_from_slice(&b"ten bytes\n".repeat(30_000));
        said.heard(false, &mut |_| lines += 1);
        assert!((5000..7000).contains(&lines), "{lines}");
    }

    #[test]
    fn the_last_words_are_known_however_much_was_said() {
        let mut said = Said::default();
        let mut heard = 0;
        let mut hear = |_: &str| heard += 1;
        for part in ["one\n", "two", " halves\nthree\n\n", "four"] {
            said.buffer().extend_from_slice(part.as_bytes());
            said.heard(false, &mut hear);
        }
        assert_eq!(said.last_words(), "; it said: three");
        said.heard(true, &mut hear);
        assert_eq!(said.last_words(), "; it said: four");
        assert_eq!(said.kept(), "one\ntwo halves\nthree\nfour");
        for _ in 0..100 {
            said.buffer().extend_from_slice(&b"y\n".repeat(4096));
            said.heard(false, &mut hear);
        }
        assert!(said.shown == SILENT && said.waiting.is_empty() && said.kept().len() <= Said::KEPT);
        said.buffer().extend_from_slice(b"and\tout\n \n");
        said.heard(false, &mut hear);
        assert_eq!(said.last_words(), "; it said: and out");
        // a line without an end is not kept for ever
        said.buffer().extend_from_slice(&[b'x'; 5 * LINE]);
        said.heard(false, &mut hear);
        assert!(said.waiting.is_empty() && said.kept().ends_with(&"x".repeat(LINE)));
    }
}
