//! Who of many is at work (spec 06 §15.4): who holds a key of bucket `CHORIA_LEADER_ELECTION`.
//!
//! The bucket forgets a value after its time to live. A leader renews its own well before that,
//! and leads no longer with the first renewal that fails, so that there are never two; a
//! candidate tries to make the key. [`Standing`] is the part of this without a clock.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use super::asking::Streams;
use super::bucket::{Bucket, BucketConfig, KeyError, check_key};
use super::error::StreamError;

/// The bucket of elections.
pub const BUCKET: &str = "CHORIA_LEADER_ELECTION";
/// How often a candidate tries, at most: the next one leads this long after the last one is forgotten.
const CANDIDACY: Duration = Duration::from_secs(2);
/// From making the key to the renewal that makes a leader: whoever is late by then was no leader.
const CONFIRMATION: Duration = Duration::from_millis(200);
/// Times to live an election can be held by.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(3600);

/// Why an election cannot be held.
#[derive(Debug, thiserror::Error)]
pub enum ElectionError {
    /// It cannot have that name.
    #[error(transparent)]
    Name(#[from] KeyError),
    /// Nobody has made the bucket.
    #[error("there is no bucket {0} to hold elections in")]
    NoBucket(String),
    /// Its values live too long, or not long enough.
    #[error(
        "elections need a bucket whose values live between one second and an hour, those of {0} live {1:?}"
    )]
    Ttl(String, Duration),
    /// Asking did not work.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

/// What has happened in an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// A vote was cast, as leader or not.
    Voted(Vote),
    /// This one leads from now on.
    Won,
    /// It does not any more.
    Lost,
}

/// What a vote came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// The next comes after this long.
    pub next: Duration,
    /// Whoever leads by it does so until then, whatever becomes of him: nobody else can before.
    pub leads_until: Option<Instant>,
}

/// Where somebody stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Candidate,
    /// The key is made, and not renewed yet.
    Elected(u64),
    Leader(u64),
}

/// One who takes part, by what his votes came to. Pure.
#[derive(Debug)]
pub struct Standing {
    state: State,
    renewal: Duration,
    candidacy: Duration,
}

impl Standing {
    /// In a bucket whose values live for `ttl`.
    pub fn new(ttl: Duration) -> Standing {
        // an hour at most, so a second is always left; below four seconds half of it has to do
        let renewal = ttl.mul_f64(0.75).min(ttl.saturating_sub(SHORTEST)).max(ttl / 2);
        Standing { state: State::Candidate, renewal, candidacy: CANDIDACY.min(ttl.mul_f64(0.75)) }
    }

    /// What the next vote expects to be there: nothing, or what it stored itself.
    pub fn expects(&self) -> u64 {
        match self.state {
            State::Candidate => 0,
            State::Elected(revision) | State::Leader(revision) => revision,
        }
    }

    /// Whether it leads.
    pub fn leads(&self) -> bool {
        matches!(self.state, State::Leader(_))
    }

    /// How long an answer is waited for: a leader that does not hear one stops before its key is forgotten.
    fn patience(&self, ttl: Duration) -> Duration {
        ttl.saturating_sub(self.renewal)
            .mul_f64(0.5)
            .clamp(Duration::from_millis(200), Duration::from_secs(5))
    }

    /// A vote was stored as that revision, or was not. What that means, and when the next one is due.
    pub fn voted(&mut self, stored: Option<u64>) -> (Option<Happened>, Duration) {
        let (state, happened, next) = match (self.state, stored) {
            (State::Candidate, Some(revision)) => (State::Elected(revision), None, CONFIRMATION),
            (State::Elected(_), Some(revision)) => {
                (State::Leader(revision), Some(Happened::Won), self.renewal)
            }
            (State::Leader(_), Some(revision)) => (State::Leader(revision), None, self.renewal),
            (State::Leader(_), None) => (State::Candidate, Some(Happened::Lost), self.candidacy),
            (State::Candidate | State::Elected(_), None) => (State::Candidate, None, self.candidacy),
        };
        self.state = state;
        (happened, next)
    }
}

/// Somebody who takes part in an election.
pub struct Campaign {
    streams: Streams,
    subject: String,
    candidate: Bytes,
    ttl: Duration,
}

impl Campaign {
    /// For `election`, in `bucket`, as `candidate`. Nothing of the bucket is read but how it is kept: machines that
    /// provision others may do no more.
    ///
    /// # Errors
    /// [`ElectionError`].
    pub async fn new(
        streams: &Streams,
        bucket: &str,
        election: &str,
        candidate: &str,
    ) -> Result<Campaign, ElectionError> {
        check_key(election)?;
        let info: Option<Value> = streams.info(&format!("KV_{bucket}")).await?;
        let info = info.ok_or_else(|| ElectionError::NoBucket(bucket.to_owned()))?;
        let ttl = BucketConfig::of(&info["config"]).ttl;
        if !(SHORTEST..=LONGEST).contains(&ttl) {
            return Err(ElectionError::Ttl(bucket.to_owned(), ttl));
        }
        let subject = streams.published_as(&format!("$KV.{bucket}.{election}"));
        let candidate = Bytes::copy_from_slice(candidate.as_bytes());
        Ok(Campaign { streams: streams.clone(), subject, candidate, ttl })
    }

    /// How long a leader that says nothing any more is believed to lead.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Takes part until dropped; `tell` hears what happens. Whoever leads and ends is leader to all others until its
    /// time is over.
    pub async fn run(&self, mut tell: impl FnMut(Happened)) {
        let mut standing = Standing::new(self.ttl);
        // many begin at once
        tokio::time::sleep(standing.candidacy.mul_f64(fastrand::f64())).await;
        loop {
            let headers = [("Nats-Expected-Last-Subject-Sequence", standing.expects().to_string())];
            let streams = self.streams.within(standing.patience(self.ttl));
            // the key lives from when it is stored, which is not before this
            let begun = Instant::now();
            let stored = streams.store(&self.subject, &headers, self.candidate.clone()).await;
            if let Err(error) = &stored
                && !error.is_conflict()
            {
                tracing::debug!(election = self.subject, "a vote was not cast: {error}");
            }
            let (happened, next) = standing.voted(stored.ok());
            if let Some(happened) = happened {
                tell(happened);
            }
            // not all at the same moment, for ever; and never later
            let next = match standing.leads() {
                true => next,
                false => next.mul_f64(0.75 + 0.25 * fastrand::f64()),
            };
            let leads_until = standing.leads().then(|| begun + self.ttl);
            tell(Happened::Voted(Vote { next, leads_until }));
            tokio::time::sleep(next).await;
        }
    }
}

/// Takes the lead from whoever has it; whether anybody had. An operator may only mark the key, and whoever reads no
/// keys takes over when the mark is forgotten.
///
/// # Errors
/// [`StreamError`].
pub async fn evict(streams: &Streams, bucket: &Bucket, election: &str) -> Result<Evicted, StreamError> {
    if bucket.get(election).await?.is_none() {
        return Ok(Evicted::Nobody);
    }
    let subject = format!("$KV.{}.{election}", bucket.name());
    match streams.purge(&bucket.stream(), Some(&subject)).await {
        Ok(_) => Ok(Evicted::AtOnce),
        Err(StreamError::Denied { .. }) => {
            bucket.delete(election).await?;
            Ok(Evicted::Marked)
        }
        Err(error) => Err(error),
    }
}

/// What became of a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evicted {
    /// There was none.
    Nobody,
    /// Anybody can lead from now on.
    AtOnce,
    /// It leads no more, and the next one leads when the bucket has forgotten it.
    Marked,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    #[test]
    fn one_leads_with_the_second_vote_and_until_the_first_that_fails() {
        let mut standing = Standing::new(TTL);
        assert_eq!((standing.expects(), standing.leads()), (0, false));
        assert_eq!(standing.voted(None), (None, CANDIDACY));
        assert_eq!(standing.voted(Some(7)), (None, CONFIRMATION));
        assert_eq!((standing.expects(), standing.leads()), (7, false));
        assert_eq!(standing.voted(Some(8)), (Some(Happened::Won), Duration::from_secs(45)));
        assert_eq!(standing.voted(Some(9)), (None, Duration::from_secs(45)));
        assert_eq!((standing.expects(), standing.leads()), (9, true));
        assert_eq!(standing.voted(None), (Some(Happened::Lost), CANDIDACY));
        assert_eq!((standing.expects(), standing.leads()), (0, false));
    }

    #[test]
    fn whoever_is_not_confirmed_never_led() {
        let mut standing = Standing::new(TTL);
        standing.voted(Some(7));
        assert_eq!(standing.voted(None), (None, CANDIDACY));
    }

    #[test]
    fn a_leader_stops_before_its_key_is_forgotten() {
        for millis in (1_000..=3_600_000).step_by(977) {
            let ttl = Duration::from_millis(millis);
            let standing = Standing::new(ttl);
            assert!(standing.renewal + standing.patience(ttl) < ttl, "{ttl:?} {standing:?}");
            assert!(standing.candidacy <= CANDIDACY);
        }
    }
}
