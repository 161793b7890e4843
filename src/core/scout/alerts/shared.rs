//! What was told, shared by several of which one tells: whoever leads next goes on where the last one was.
//!
//! In a bucket of the network's streams, as parts that each fit into a message, and a head that says which
//! parts are valid. Two sets of parts take turns, so that whoever reads while another writes finds a whole one.

use std::io::{Read, Write};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};

use crate::core::streams::{Bucket, KeyError, StreamError, Streams, bucket};
use crate::core::text::hex;

/// Bytes of a part where the bucket takes as much; a broker takes messages of a mebibyte.
const PART: usize = 512 * 1024;
/// Bytes that a value has beside its part.
const BESIDE: usize = 512;
/// Parts there may be, and bytes in all of them.
const MOST_PARTS: usize = 2048;
const MOST_PACKED: usize = 16 << 20;
/// Bytes of what is in them, unpacked.
const MOST: u64 = 64 << 20;
/// How often is read again what was written meanwhile.
const TRIES: usize = 3;

/// Why what was told is not shared.
#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    /// A name that cannot be.
    #[error(transparent)]
    Name(#[from] KeyError),
    /// Nobody has made the bucket.
    #[error("there is no bucket {0} to keep in what was told; choria kv add {0} makes it")]
    NoBucket(String),
    /// Its values are forgotten.
    #[error("values of bucket {0} expire, and what was told may not: make one without --expire")]
    Expires(String),
    /// Asking did not work.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// Too much was told.
    #[error(
        "what was told is too long to be shared, {length} bytes in {parts} parts: a bucket of larger values takes more, \
         choria kv add --max-value-size 512K"
    )]
    TooLong {
        /// Bytes, packed.
        length: usize,
        /// Values.
        parts: usize,
    },
    /// It is nothing that was shared.
    #[error("what is in bucket {bucket} as {key} was not told by alertd: {why}")]
    Odd {
        /// Which.
        bucket: String,
        /// Under which name.
        key: String,
        /// What is wrong.
        why: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Head {
    set: u8,
    parts: usize,
    sha256: String,
}

/// Where it is shared.
pub struct Shared {
    bucket: Bucket,
    key: String,
    set: u8,
}

impl Shared {
    /// In a bucket, under the name of an election.
    ///
    /// # Errors
    /// [`SharedError`].
    pub async fn find(streams: &Streams, name: &str, election: &str) -> Result<Shared, SharedError> {
        bucket::check_bucket(name)?;
        bucket::check_key(election)?;
        let found =
            Bucket::find(streams, name).await?.ok_or_else(|| SharedError::NoBucket(name.to_owned()))?;
        if !found.config().ttl.is_zero() {
            return Err(SharedError::Expires(name.to_owned()));
        }
        Ok(Shared { bucket: found, key: election.to_owned(), set: 0 })
    }

    fn part(&self, set: u8, number: usize) -> String {
        format!("{}.{set}.{number}", self.key)
    }

    /// Has a text shared.
    ///
    /// # Errors
    /// [`SharedError`]; what was shared before is still.
    pub async fn write(&mut self, text: String) -> Result<(), SharedError> {
        let fits = text.len() as u64 <= MOST;
        let packed = tokio::task::spawn_blocking(move || packed(text.as_bytes())).await.unwrap_or_default();
        let size = part_size(self.bucket.config().max_value_size);
        let parts = packed.len().div_ceil(size);
        if parts > MOST_PARTS || packed.len() > MOST_PACKED || !fits {
            return Err(SharedError::TooLong { length: packed.len(), parts });
        }
        let set = 1 - self.set;
        for (number, start) in (0..packed.len()).step_by(size).enumerate() {
            let part = packed.slice(start..packed.len().min(start + size));
            self.bucket.put(&self.part(set, number), part).await?;
        }
        let head = Head { set, parts, sha256: hex(digest(&SHA256, &packed).as_ref()) };
        let head = serde_json::to_vec(&head).unwrap_or_default();
        self.bucket.put(&self.key, head.into()).await?;
        self.set = set;
        Ok(())
    }

    /// What is shared; nothing where nothing is.
    ///
    /// # Errors
    /// [`SharedError`].
    pub async fn read(&mut self) -> Result<Option<Vec<u8>>, SharedError> {
        let mut why = String::new();
        for _ in 0..TRIES {
            let Some(head) = self.bucket.get(&self.key).await? else { return Ok(None) };
            match self.of(&head.value).await? {
                Ok(text) => return Ok(Some(text)),
                // perhaps it was written while it was read
                Err(problem) => why = problem,
            }
        }
        Err(SharedError::Odd { bucket: self.bucket.name().to_owned(), key: self.key.clone(), why })
    }

    async fn of(&mut self, head: &[u8]) -> Result<Result<Vec<u8>, String>, StreamError> {
        let head: Head = match serde_json::from_slice(head) {
            Ok(Head { set, parts, .. }) if set > 1 || parts > MOST_PARTS => {
                return Ok(Err("its head is none".to_owned()));
            }
            Ok(head) => head,
            Err(e) => return Ok(Err(e.to_string())),
        };
        let mut packed = Vec::new();
        for number in 0..head.parts {
            let part = self.bucket.get(&self.part(head.set, number)).await?;
            packed.extend_from_slice(&part.map(|part| part.value).unwrap_or_default());
            if packed.len() > MOST_PACKED {
                return Ok(Err("there is too much of it".to_owned()));
            }
        }
        if hex(digest(&SHA256, &packed).as_ref()) != head.sha256 {
            return Ok(Err("parts of it are missing".to_owned()));
        }
        self.set = head.set;
        let text = tokio::task::spawn_blocking(move || unpacked(&packed)).await;
        Ok(text.unwrap_or_else(|e| Err(e.to_string())))
    }
}

/// Bytes of a part in a bucket that takes values of so many.
fn part_size(largest: i64) -> usize {
    let largest = usize::try_from(largest).ok().filter(|largest| *largest > 0);
    largest.map_or(PART, |largest| largest.saturating_sub(BESIDE).clamp(BESIDE, PART))
}

fn packed(text: &[u8]) -> Bytes {
    let mut packing = ZlibEncoder::new(Vec::new(), Compression::fast());
    // into memory: there is nothing to fail on
    let _ = packing.write_all(text);
    packing.finish().unwrap_or_default().into()
}

fn unpacked(packed: &[u8]) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let read = ZlibDecoder::new(packed).take(MOST + 1).read_to_end(&mut text).map_err(|e| e.to_string())?;
    match read as u64 > MOST {
        true => Err(format!("it is longer than {MOST} bytes")),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_large_as_a_bucket_takes_them() {
        for (largest, part) in [(-1, PART), (0, PART), (10_240, 9_728), (1, BESIDE), (i64::MAX, PART)] {
            assert_eq!(part_size(largest), part, "{largest}");
        }
    }

    #[test]
    fn what_is_packed_comes_out_and_no_more_than_there_may_be() {
        let text = "{\"cases\":[]}".repeat(1000);
        let small = packed(text.as_bytes());
        assert!(small.len() < text.len() / 10);
        assert_eq!(unpacked(&small).unwrap(), text.as_bytes());
        let bomb = packed(&vec![b' '; usize::try_from(MOST + 2).unwrap()]);
        assert!(bomb.len() < MOST_PACKED, "{}", bomb.len());
        assert!(unpacked(&bomb).unwrap_err().contains("longer"));
        assert!(unpacked(b"junk").is_err());
    }
}
