//! The election over Streams: who holds key `provisioner` of bucket `CHORIA_LEADER_ELECTION`
//! (spec 05 §6.3). Where machines wait, that key and how its bucket is kept is all that crosses
//! from the fleet, so nothing else is asked.

use std::time::Duration;

use super::{Campaign, Election, Poll};
use crate::core::streams::Streams;
use crate::core::streams::election::{self, BUCKET, Happened};

/// What provisioners run for.
const NAME: &str = "provisioner";
/// Until a bucket that is not there, or not as it has to be, is looked at again.
const AGAIN: Duration = Duration::from_secs(5);

/// Elects one of many by the bucket of a network.
pub struct ByBucket {
    streams: Streams,
    identity: String,
}

impl ByBucket {
    /// By streams as they are called in the account where machines wait.
    pub fn new(streams: Streams, identity: &str) -> ByBucket {
        ByBucket { streams, identity: identity.to_owned() }
    }
}

impl Election for ByBucket {
    fn name(&self) -> &str {
        NAME
    }

    fn campaign<'a>(&'a self, poll: &'a dyn Poll) -> Campaign<'a> {
        Box::pin(async move {
            let mut told = String::new();
            loop {
                let campaign = election::Campaign::new(&self.streams, BUCKET, NAME, &self.identity).await;
                match campaign {
                    Ok(campaign) => {
                        let tell = |happened| match happened {
                            Happened::Voted(vote) => poll.voted(vote.next),
                            Happened::Won => poll.won(),
                            Happened::Lost => poll.lost(),
                        };
                        campaign.run(tell).await;
                    }
                    Err(error) => {
                        let reason = error.to_string();
                        if reason != told {
                            tracing::warn!(
                                "leader_election: nobody can be elected yet, trying again: {reason}"
                            );
                            told = reason;
                        }
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            }
        })
    }
}
