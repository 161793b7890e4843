//! A side file that shows whether an audit log is as the node wrote it (ours).
//!
//! The log stays what others read. Beside it, for every record, stands a digest of its line,
//! and every so often a checkpoint: where the chain of all digests is, signed by the key of
//! the node. Who edits, removes, adds or moves records later can mend neither the digests,
//! which the next checkpoint covers, nor the checkpoint. Whoever has the node's key can: a
//! copy of the last checkpoint kept elsewhere shows that, too.
//!
//! ```text
//! choria audit chain 1
//! r J5X…                                  a record: 24 bytes of SHA-256 of its line
//! s 1000 1767950400 0403 q83v… MEUC…      so many records, Unix time, scheme, chain, signature
//! o                                       the node started: what follows rests on the last checkpoint
//! o J5X…                                  the same, and the log ended with this line, which is not in the chain
//! ```
//!
//! A record is written to the log first and to the chain then, so a node that is killed in between
//! leaves one line, whole or torn, that the chain does not know. The node finds it when it starts,
//! and says so in the chain. Before a checkpoint is signed the log is on the disk.
//!
//! [`Chain`] is the arithmetic, [`ChainLog`] what a node writes, [`Examination`] what an
//! auditor finds.

mod ahead;
mod examination;
mod log;
#[cfg(test)]
mod tests;

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use examination::{Examination, Finding, examine};
pub(super) use log::regular;
pub use log::{ChainLog, Key};

/// First line of a file, and what is signed begins so.
pub const HEAD: &str = "choria audit chain 1";

/// Records that are written without a checkpoint, at most.
const RECORDS: u64 = 1000;

/// What is kept of the digest of a line.
pub type Digest = [u8; 24];

/// The digest of a record: its line without the end.
pub fn digest_of(line: &[u8]) -> Digest {
    let whole = digest(&SHA256, line.strip_suffix(b"\n").unwrap_or(line));
    let mut kept = Digest::default();
    kept.iter_mut().zip(whole.as_ref()).for_each(|(kept, byte)| *kept = *byte);
    kept
}

/// Where a chain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// Records in it.
    pub count: u64,
    state: [u8; 32],
}

impl Default for Chain {
    fn default() -> Chain {
        let mut state = [0; 32];
        state.copy_from_slice(digest(&SHA256, HEAD.as_bytes()).as_ref());
        Chain { count: 0, state }
    }
}

impl Chain {
    /// One more record.
    pub fn add(&mut self, record: &Digest) {
        self.next(record);
        self.count += 1;
    }

    /// A node goes on behind this checkpoint, the whole line of it, or behind none. What it
    /// signs from here on holds only where that line still stands.
    /// What the log ended with, and the chain does not know, is signed, too.
    fn open(&mut self, checkpoint: &str, left: Option<&Digest>) {
        self.next(&digest_of(checkpoint.as_bytes()));
        left.into_iter().for_each(|left| self.next(left));
    }

    fn next(&mut self, digest: &Digest) {
        let mut next = Context::new(&SHA256);
        next.update(&self.state);
        next.update(digest);
        self.state.copy_from_slice(next.finish().as_ref());
    }
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Record(Digest),
    Checkpoint(Checkpoint),
    /// With the line that the log ended with where the chain did not know it.
    Opening(Option<Digest>),
}

/// Where a chain was, signed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Checkpoint {
    chain: Chain,
    time: i64,
    scheme: u16,
    signature: Vec<u8>,
}

impl Checkpoint {
    /// What is signed.
    fn text(&self) -> String {
        signed_text(&self.chain, self.time)
    }
}

fn signed_text(chain: &Chain, time: i64) -> String {
    format!("{HEAD}\n{} {time} {}", chain.count, URL_SAFE_NO_PAD.encode(chain.state))
}

impl Line {
    fn parse(line: &[u8]) -> Option<Line> {
        let text = std::str::from_utf8(line).ok()?;
        let mut words = text.split(' ');
        let line = match words.next()? {
            "o" => match words.next() {
                Some(left) => Line::Opening(Some(digest_in(left)?)),
                None => Line::Opening(None),
            },
            "r" => Line::Record(digest_in(words.next()?)?),
            "s" => {
                let (count, time) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
                let scheme = u16::from_str_radix(words.next()?, 16).ok()?;
                let state = URL_SAFE_NO_PAD.decode(words.next()?).ok()?.try_into().ok()?;
                let signature = URL_SAFE_NO_PAD.decode(words.next()?).ok()?;
                Line::Checkpoint(Checkpoint { chain: Chain { count, state }, time, scheme, signature })
            }
            _ => return None,
        };
        words.next().is_none().then_some(line)
    }
}

fn digest_in(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    let read = URL_SAFE_NO_PAD.decode_slice(text, &mut digest).ok()?;
    (read == digest.len()).then_some(digest)
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Line::Opening(None) => f.write_str("o"),
            Line::Opening(Some(left)) => write!(f, "o {}", URL_SAFE_NO_PAD.encode(left)),
            Line::Record(record) => write!(f, "r {}", URL_SAFE_NO_PAD.encode(record)),
            Line::Checkpoint(Checkpoint { chain, time, scheme, signature }) => {
                let (state, signature) =
                    (URL_SAFE_NO_PAD.encode(chain.state), URL_SAFE_NO_PAD.encode(signature));
                write!(f, "s {} {time} {scheme:04x} {state} {signature}", chain.count)
            }
        }
    }
}
