//! What a shard does to its links by the clock: pings, write deadlines, farewells.

use std::time::{Duration, SystemTime};

use super::close::Close;
use super::shard::Shard;
use crate::core::nats::frame;

/// Time to the first ping, which measures the round trip (spec 04 §6.13).
const FIRST_PING: Duration = Duration::from_secs(2);

/// What a timer of a link is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Time to ping.
    Ping,
    /// The socket may be blocked for too long.
    Write,
    /// Lame duck: time to go.
    Leave,
    /// It has been throttled for long enough.
    Release,
    /// What it has begun to say must be whole by now.
    Whole,
}

fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.ok().and_then(|now| i64::try_from(now.as_secs()).ok()).unwrap_or_default()
}

/// A timer of a link. The connection number guards against a reused place.
#[derive(Debug, Clone, Copy)]
pub struct LinkTimer {
    pub link: u32,
    pub cid: u64,
    pub due: Due,
}

impl Shard {
    /// Sets the only timer an idle link has.
    pub(super) fn set_first_ping(&mut self, key: u32, cid: u64) {
        // spread over a fifth, so that a storm of logins is no storm of pings
        let spread = FIRST_PING.mul_f64(0.2 * (self.next_random() % 1000) as f64 / 1000.0);
        let first = FIRST_PING.min(self.settings.limits.ping_interval) + spread;
        self.wheel.insert(self.now + first, LinkTimer { link: key, cid, due: Due::Ping });
    }

    /// Acts on a timer, if its link is still there.
    pub(super) fn fire(&mut self, timer: LinkTimer) {
        let LinkTimer { link: key, cid, due } = timer;
        let limits = &self.settings.limits;
        let Some(link) = self.links.get_mut(key as usize).filter(|link| link.cid == cid && !link.closing)
        else {
            return;
        };
        match due {
            Due::Leave => self.close_later(key, Close::Shutdown),
            Due::Release => {
                link.throttled = false;
                self.queue_read(key);
            }
            Due::Whole => match link.begun.map(|begun| begun + limits.message_deadline) {
                // while it is throttled, or what it said is not acted on yet, it could not
                Some(deadline) if self.now < deadline || link.throttled || link.has_more_to_say() => {
                    let again = deadline.max(self.now + limits.message_deadline / 4);
                    self.wheel.insert(again, timer);
                }
                Some(_) => {
                    let reason = "a message was begun and not finished in time".into();
                    self.close_later(key, Close::Protocol { reason, told: None });
                }
                None => link.whole_timer = false,
            },
            Due::Write => {
                let Some(since) = link.outbound.as_ref().and_then(|outbound| outbound.blocked_since) else {
                    link.write_timer = false;
                    return;
                };
                let deadline = since + limits.write_deadline;
                if self.now >= deadline {
                    self.close_later(key, Close::SlowWrite);
                } else {
                    self.wheel.insert(deadline, timer);
                }
            }
            // hubs show theirs to who connects to them
            Due::Ping if link.leaf.is_none() && link.valid_until.is_some_and(|until| until < unix_now()) => {
                self.shared.refused("no longer allowed");
                self.close_later(key, Close::Revoked("its certificate has expired".into()));
            }
            Due::Ping => {
                let first = link.since + FIRST_PING * 2 > self.now && link.pings == 0;
                // what is not read yet may be the answer
                let unread = link.throttled || link.has_more_to_say();
                let heard_lately = unread || link.heard + limits.ping_interval > self.now;
                let interval = limits.ping_interval;
                if heard_lately && !first {
                    link.pings = 0;
                    let next = (link.heard + interval).max(self.now + interval / 4);
                    self.wheel.insert(next, timer);
                } else if link.pings >= limits.ping_max {
                    self.close_later(key, Close::Stale);
                } else {
                    link.pings += 1;
                    link.pinged = self.now;
                    self.queue_line(key, frame::PING);
                    self.wheel.insert(self.now + interval, timer);
                }
            }
        }
    }

    /// Tells clients to go, and closes them at random times within the duration.
    pub(super) fn lame_duck(&mut self, duration: Duration) {
        // hubs stay to the end, for those who stay
        let clients = self.links.iter().filter(|(_, link)| link.leaf.is_none());
        let keys: Vec<u32> = clients.map(|(key, _)| key as u32).collect();
        // a tenth of the time for clients to go by themselves
        let grace = duration / 10;
        for key in keys {
            let share = (self.next_random() % 1000) as f64 / 1000.0;
            let at = self.now + grace + (duration - grace).mul_f64(share);
            let Some(link) = self.links.get(key as usize) else { continue };
            let cid = link.cid;
            if link.flags.infos {
                let line = self.info_line(link, |info| info.ldm = true);
                self.queue_line(key, &line);
            }
            self.wheel.insert(at, LinkTimer { link: key, cid, due: Due::Leave });
        }
    }
}
