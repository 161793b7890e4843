//! What an examination has read and not yet told apart: lines of logs, and records ahead.

use std::collections::{HashMap, VecDeque};
use std::io::{self, BufRead, Read};

use super::{Digest, digest_of};

/// Longest line of a log.
const LONGEST: u64 = 4 * 1024 * 1024;

/// Digests that were read and not yet passed, with their numbers.
#[derive(Default)]
pub struct Ahead {
    queue: VecDeque<(u64, Digest)>,
    /// The same by digest: numbers have no gaps.
    index: HashMap<Digest, u64>,
}

impl Ahead {
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn all(&self) -> &VecDeque<(u64, Digest)> {
        &self.queue
    }

    /// False at the end.
    pub fn take_in(&mut self, next: Option<(u64, Digest)>) -> bool {
        if let Some((number, digest)) = next {
            self.queue.push_back((number, digest));
            self.index.entry(digest).or_insert(number);
        }
        next.is_some()
    }

    pub fn push_back_in_front(&mut self, (number, digest): (u64, Digest)) {
        self.queue.push_front((number, digest));
        self.index.insert(digest, number);
    }

    pub fn first(&self) -> Option<(u64, Digest)> {
        self.queue.front().copied()
    }

    pub fn pop(&mut self) {
        let Some((number, digest)) = self.queue.pop_front() else { return };
        if self.index.get(&digest) == Some(&number) {
            self.index.remove(&digest);
        }
    }

    /// How far ahead it is.
    pub fn find(&self, digest: &Digest) -> Option<usize> {
        let (first, _) = self.queue.front()?;
        usize::try_from(self.index.get(digest)?.checked_sub(*first)?).ok()
    }
}

/// Lines of logs.
pub struct Lines<R> {
    input: R,
    /// How many have been read.
    pub number: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Of logs, one after the other.
    pub fn of(input: R) -> Lines<R> {
        Lines { input, number: 0, buffer: vec![] }
    }

    pub fn next(&mut self) -> io::Result<Option<(u64, Digest)>> {
        loop {
            self.buffer.clear();
            if self.input.by_ref().take(LONGEST).read_until(b'\n', &mut self.buffer)? == 0 {
                return Ok(None);
            }
            // a torn record is ended by an empty line
            if self.buffer != b"\n" {
                self.number += 1;
                return Ok(Some((self.number, digest_of(&self.buffer))));
            }
        }
    }
}
