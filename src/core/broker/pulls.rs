//! Requests for messages of a consumer (`CONSUMER.MSG.NEXT`): what one asks the engine for by a few bytes.
//!
//! It waits at the engine until it is answered, it keeps its consumer for as long, and the engine says meanwhile, as often
//! as it was asked to, that nothing has come.

use std::time::Duration;

use serde_json::{Map, Value};

use super::consumers::{ANSWER, folded};

/// Messages that may be asked for at a time, and what each of them counts, where no `max_bytes` says less.
const PULLED: u64 = 1024;
const PULLED_BYTES: u64 = 1024 * 1024;
/// How long one may wait, and how often be told that nothing came, nanoseconds: libraries ask for seconds.
const LONGEST: u64 = 300_000_000_000;
const OFTEN: u64 = 500_000_000;

/// What one asks for, by whatever reading of it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Pull {
    batch: u64,
    /// The bytes it is content with, where it says so.
    bytes: Option<u64>,
    /// Nanoseconds until it ends; none where it waits for ever.
    expires: Option<u64>,
    /// Nanoseconds after which it is to be said that nothing came; none where that is never said.
    heartbeat: Option<u64>,
}

/// Whether a message is one.
pub fn is_one(subject: &[u8]) -> bool {
    subject.windows(19).any(|window| window == b".CONSUMER.MSG.NEXT.")
}

/// Reads the body of one; nothing where it cannot be read.
pub fn read(body: &[u8]) -> Option<Pull> {
    let body = body.trim_ascii();
    if body.is_empty() {
        return Some(Pull { batch: 1, ..Pull::default() });
    }
    let asked: Map<String, Value> = match serde_json::from_slice(body).ok()? {
        Value::Number(number) => return Some(Pull { batch: number.as_u64()?, ..Pull::default() }),
        Value::Object(asked) => asked,
        _ => return None,
    };
    // of several names that the engine takes for one, all that it may read
    let numbers = |name: &str| -> Option<Vec<u64>> {
        asked.iter().filter(|(key, _)| folded(key) == name).map(|(_, value)| value.as_u64()).collect()
    };
    let at_once = asked.iter().filter(|(key, _)| folded(key) == "no_wait").map(|(_, value)| value.as_bool());
    let at_once = at_once.collect::<Option<Vec<bool>>>()?;
    let bytes = numbers("max_bytes")?;
    let expires = numbers("expires")?;
    Some(Pull {
        batch: numbers("batch")?.into_iter().max().unwrap_or_default().max(1),
        // zero is no bound
        bytes: (!bytes.contains(&0)).then(|| bytes.into_iter().max()).flatten(),
        expires: match expires.contains(&0) || expires.is_empty() {
            true => (!at_once.is_empty() && !at_once.contains(&false)).then_some(0),
            false => expires.into_iter().max(),
        },
        heartbeat: numbers("idle_heartbeat")?.into_iter().filter(|nanoseconds| *nanoseconds > 0).min(),
    })
}

impl Pull {
    /// Why it may not be asked by somebody who may keep no lasting consumers.
    pub fn excess(&self) -> Option<&'static str> {
        match () {
            () if self.batch > PULLED => Some("it asks for more than 1024 messages at a time"),
            () if self.expires.is_none() => Some("it waits for messages with neither expires nor no_wait"),
            () if self.expires > Some(LONGEST) => Some("it waits for messages for more than five minutes"),
            () if self.heartbeat.is_some_and(|each| each < OFTEN) => {
                Some("it asks for an idle_heartbeat more often than twice a second")
            }
            () => None,
        }
    }

    /// How long the engine keeps it, and its consumer for it.
    pub fn lasts(&self) -> Duration {
        Duration::from_nanos(self.expires.unwrap_or(LONGEST).min(LONGEST))
    }

    /// Bytes it counts for: what may come, and each time that nothing came.
    pub fn price(&self) -> usize {
        // one more than fits ends it
        let within = self.bytes.map_or(u64::MAX, |bytes| bytes.saturating_add(PULLED_BYTES));
        let messages = self.batch.saturating_mul(PULLED_BYTES).min(within);
        let idle = self.heartbeat.map_or(0, |each| self.expires.unwrap_or(u64::MAX) / each.max(1));
        let idle = idle.saturating_mul(ANSWER as u64);
        usize::try_from(messages.saturating_add(idle)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_may_be_asked_for() {
        for (body, why) in [
            (r#"{"batch":500,"expires":1}"#, ""),
            (r#"{"batch":1024,"no_wait":true}"#, ""),
            (r#"{"batch":100,"expires":30000000000,"idle_heartbeat":15000000000,"max_bytes":1000}"#, ""),
            (r#"{"expires":300000000000,"idle_heartbeat":500000000}"#, ""),
            ("", "neither expires nor no_wait"),
            ("1024", "neither expires"),
            (r#"{"batch":1}"#, "neither expires"),
            (r#"{"batch":1,"no_wait":false}"#, "neither expires"),
            (r#"{"no_wait":true,"No_Wait":false}"#, "neither expires"),
            (r#"{"expires":5,"Expires":0}"#, "neither expires"),
            ("1025", "more than 1024"),
            (r#"{"batch":1,"Batch":1000000,"expires":1}"#, "more than 1024"),
            (r#"{"expires":300000000001}"#, "five minutes"),
            (r#"{"expires":1,"expire\u017f":300000000001}"#, "five minutes"),
            (r#"{"expires":30000000000,"idle_heartbeat":1}"#, "idle_heartbeat"),
            (r#"{"expires":30000000000,"idle_heartbeat":5000000000,"Idle_Heartbeat":1}"#, "idle_heartbeat"),
        ] {
            let found = read(body.as_bytes()).unwrap().excess();
            assert_eq!(found.is_some(), !why.is_empty(), "{body} {found:?}");
            assert!(found.is_none_or(|found| found.contains(why)), "{body} {found:?}");
        }
        for body in [r#"{"batch":-1}"#, "many", "[1]", r#"{"expires":"1s"}"#, r#"{"idle_heartbeat":1.5}"#] {
            assert_eq!(read(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn it_costs_what_may_come() {
        let mib = PULLED_BYTES as usize;
        for (body, bytes) in [
            ("", mib),
            ("100", 100 * mib),
            (r#"{"batch":1000,"max_bytes":1048576}"#, 2 * mib),
            (r#"{"batch":2,"max_bytes":0}"#, 2 * mib),
            (r#"{"batch":9,"max_bytes":1,"Max_Bytes":0}"#, 9 * mib),
            ("{\"batch\":9,\"max_bytes\":1,\"max_byte\u{17f}\":8388608}", 9 * mib),
            (r#"{"expires":60000000000,"idle_heartbeat":1000000000}"#, mib + 60 * ANSWER),
        ] {
            assert_eq!(read(body.as_bytes()).unwrap().price(), bytes, "{body}");
        }
    }

    #[test]
    fn fuzz_pulls_of_anybody() {
        bolero::check!().with_iterations(5_000).for_each(|bytes: &[u8]| {
            let _ = read(bytes).map(|pull| (pull.excess(), pull.price(), pull.lasts()));
        });
    }
}
