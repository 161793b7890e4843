//! Whole records only: what a full disk or a file limit has left of one is cut
//! off before the next is written.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

/// Somewhere that whole records are appended to.
pub(super) trait Log: Write {
    /// Everything written is on disk.
    fn sync(&mut self) -> io::Result<()>;
    /// Only the first so many bytes stay, and what is written next follows them.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Log for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        self.seek(SeekFrom::Start(length))?;
        self.sync_data()
    }
}

/// The end of a journal: nothing but whole records that somebody was told of
/// stands before it.
pub(super) struct Tail<L> {
    log: L,
    /// Bytes of whole records.
    end: u64,
    /// Whether there may be something behind them.
    torn: bool,
}

impl<L: Log> Tail<L> {
    /// The end of `log`, which has so many bytes, all of whole records.
    pub(super) fn new(log: L, end: u64) -> Tail<L> {
        Tail { log, end, torn: false }
    }

    /// Returns once the lines are on disk; else none of them is there, or will
    /// be before anything else is.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.torn {
            self.log.cut(self.end)?;
            self.torn = false;
        }
        let written = self.log.write_all(lines).and_then(|()| self.log.sync());
        match written {
            Ok(()) => self.end += lines.len() as u64,
            // A cut that fails too is made before the next record.
            Err(_) => self.torn = self.log.cut(self.end).is_err(),
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that takes so many more bytes, and may not even let go of them.
    struct Disk {
        bytes: Vec<u8>,
        room: usize,
        stuck: bool,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.room.saturating_sub(self.bytes.len()));
            self.bytes.extend_from_slice(&bytes[..taken]);
            if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Log for Disk {
        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn cut(&mut self, length: u64) -> io::Result<()> {
            if self.stuck {
                return Err(io::ErrorKind::ReadOnlyFilesystem.into());
            }
            self.bytes.truncate(usize::try_from(length).unwrap());
            Ok(())
        }
    }

    #[test]
    fn what_was_acknowledged_is_whole_whatever_the_disk_does() {
        bolero::check!().with_iterations(2000).with_type::<Vec<(u8, u8, bool)>>().for_each(|steps| {
            let mut tail = Tail::new(Disk { bytes: vec![], room: 0, stuck: false }, 0);
            let mut acknowledged = String::new();
            for (number, (length, room, stuck)) in steps.iter().enumerate() {
                (tail.log.room, tail.log.stuck) = (usize::from(*room) * 8, *stuck);
                let line = format!("{number}:{}\n", "x".repeat(usize::from(*length)));
                if tail.append(line.as_bytes()).is_ok() {
                    acknowledged += &line;
                }
                let held = String::from_utf8(tail.log.bytes.clone()).unwrap();
                // Behind them there is at most what could not be cut off yet.
                assert!(held.starts_with(&acknowledged) && (tail.torn || held == acknowledged));
            }
        });
    }
}
