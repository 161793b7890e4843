//! Reading what a program says without waiting for whoever else holds its pipes.

use std::io;
use std::os::fd::OwnedFd;

use tokio::net::unix::pipe::Receiver;

/// Most characters of a line of standard error that are logged.
const LINE: usize = 1000;
/// Most bytes of standard error that are logged for one node.
const MAX_SAID: usize = 64 * 1024;
/// Marks that no more of it is logged.
const SILENT: usize = usize::MAX;

/// The reading end of a pipe.
pub(super) struct Pipe {
    end: Receiver,
    buffer: Box<[u8]>,
}

/// What a look at a pipe came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// So many bytes were added.
    Read(usize),
    /// Nothing there for now.
    Empty,
    /// Everybody has closed it.
    Closed,
}

impl Pipe {
    pub(super) fn new(end: io::Result<OwnedFd>) -> io::Result<Pipe> {
        Ok(Pipe { end: Receiver::from_owned_fd(end?)?, buffer: vec![0; 8192].into() })
    }

    /// Waits until there is something to look at.
    pub(super) async fn readable(&self) {
        // what is wrong with it shows when it is read
        let _ = self.end.readable().await;
    }

    /// Takes what is there.
    pub(super) fn look(&mut self, into: &mut Vec<u8>) -> Look {
        match self.end.try_read(&mut self.buffer) {
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

/// What a helper writes to its standard error, for the log.
#[derive(Default)]
pub(super) struct Said {
    waiting: Vec<u8>,
    logged: usize,
    last: String,
}

impl Said {
    /// Where to put what was read.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.waiting
    }

    /// Logs whole lines, and at the end what is left.
    pub(super) fn log(&mut self, node: &str, end: bool) {
        let waiting = std::mem::take(&mut self.waiting);
        let whole = waiting.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
        let whole = if end || waiting.len() - whole > 4 * LINE { waiting.len() } else { whole };
        let (lines, rest) = waiting.split_at(whole);
        self.waiting = rest.to_vec();
        let mut lines = lines.split(|byte| *byte == b'\n');
        if self.logged == SILENT {
            // whoever floods us must not keep us busy: only the last words count
            let last = lines.rev().map(shown).find(|text| !text.is_empty());
            self.last = last.unwrap_or_else(|| std::mem::take(&mut self.last));
            return;
        }
        lines.by_ref().for_each(|line| self.line(node, line));
    }

    fn line(&mut self, node: &str, line: &[u8]) {
        let text = shown(line);
        if text.is_empty() {
            return;
        }
        if self.logged < MAX_SAID {
            tracing::warn!(node, "helper: {text}");
            self.logged += text.len();
        } else if self.logged != SILENT {
            tracing::warn!(node, "helper: (says more than is logged)");
            self.logged = SILENT;
        }
        self.last = text;
    }

    /// The last line, as the end of a sentence; empty when nothing was said.
    pub(super) fn last_words(&self) -> String {
        match self.last.is_empty() {
            true => String::new(),
            false => format!("; it said: {}", self.last),
        }
    }
}

/// A line as it is logged.
fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(LINE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_known_however_much_was_said() {
        let mut said = Said::default();
        for part in ["one\n", "two", " halves\nthree\n\n", "four"] {
            said.buffer().extend_from_slice(part.as_bytes());
            said.log("n1", false);
        }
        assert_eq!(said.last_words(), "; it said: three");
        said.log("n1", true);
        assert_eq!(said.last_words(), "; it said: four");
        for _ in 0..100 {
            said.buffer().extend_from_slice(&b"y\n".repeat(4096));
            said.log("n1", false);
        }
        assert!(said.logged == SILENT && said.waiting.is_empty());
        said.buffer().extend_from_slice(b"and\tout\n \n");
        said.log("n1", false);
        assert_eq!(said.last_words(), "; it said: and out");
        // a line without an end is not kept for ever
        said.buffer().extend_from_slice(&[b'x'; 5 * LINE]);
        said.log("n1", false);
        assert!(said.waiting.is_empty() && said.last.len() == LINE);
    }
}
