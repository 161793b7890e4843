//! Reading what a program says without waiting for whoever else holds its pipes.

use std::io;
use std::os::fd::OwnedFd;

use tokio::net::unix::pipe::Receiver;

/// Most characters of a line of standard error that are logged.
const LINE: usize = 1000;
/// Most bytes of standard error that are logged for one node.
const MAX_SAID: usize = 64 * 1024;

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
        while let Some(length) = self.waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.waiting.drain(..=length).collect();
            self.line(node, &line);
        }
        if end || self.waiting.len() > 4 * LINE {
            let line = std::mem::take(&mut self.waiting);
            self.line(node, &line);
        }
    }

    fn line(&mut self, node: &str, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text: String =
            text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(LINE).collect();
        if text.is_empty() {
            return;
        }
        if self.logged < MAX_SAID {
            tracing::warn!(node, "helper: {text}");
        } else if self.logged < usize::MAX / 2 {
            tracing::warn!(node, "helper: (says more than is logged)");
            self.logged = usize::MAX / 2;
        }
        self.logged += text.len();
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
