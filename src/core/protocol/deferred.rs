//! What a request for an absent node is: the text that is signed, and where it is kept. Ours; pure.
//!
//! It is no `choria:request:1`, and has none of its fields: a node that does not know of it
//! cannot take it for a request, whenever and however it gets it.

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::filter::Filter;
use super::v1::{Envelope, REQUEST_ID_LENGTH, Request};
use crate::core::text::hex;

/// The stream that keeps them.
pub const STREAM: &str = "CHORIA_REQUESTS";
/// What its subjects begin with.
pub const SUBJECTS: &str = "choria.requests";
/// Stands in place of a node where the caller keeps what all of them were asked.
pub const HEAD: &str = "request";
/// Largest signed text, in bytes.
pub const LARGEST: usize = 128 * 1024;
/// Longest time it can be valid, in seconds.
pub const LONGEST: i64 = 30 * 86_400;
/// Seconds it may be dated ahead, as requests may.
const MOST_AHEAD: i64 = 60;
/// Longest name of a node, an agent, a collective, a sender or a caller.
const LONGEST_NAME: usize = 256;
const PROTOCOL: &str = "choria:deferred:1";

/// One action for one node, valid for a time of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deferred {
    protocol: String,
    /// Id of the request that the node did not answer.
    pub id: String,
    /// Who asks, `kind=name`.
    pub caller: String,
    /// Machine he asks from.
    pub sender: String,
    /// The collective that is asked.
    pub collective: String,
    /// The agent.
    pub agent: String,
    /// The one node that is meant.
    pub node: String,
    /// Unix seconds when it was made.
    pub made: i64,
    /// It runs before this, unix seconds.
    pub until: i64,
    /// Whether the node may have got the request as it was first asked; false where the broker knew that it was not
    /// connected.
    pub asked: bool,
    /// What the agent is asked, as in a request.
    pub body: String,
}

/// Why a text is none, or is not for now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeferredError {
    /// It cannot be read.
    #[error("it is no deferred request: {0}")]
    Unreadable(String),
    /// It is of a time to come.
    #[error("it is dated more than a minute ahead; check the clocks of both machines")]
    Ahead,
    /// A rule is broken.
    #[error("its {0}")]
    Rule(&'static str),
}

impl Deferred {
    /// One for this node, of what an envelope says.
    pub fn new(envelope: &Envelope, node: &str, until: i64, asked: bool, body: &str) -> Deferred {
        Deferred {
            protocol: PROTOCOL.to_owned(),
            id: envelope.requestid.clone(),
            caller: envelope.callerid.clone(),
            sender: envelope.senderid.clone(),
            collective: envelope.collective.clone(),
            agent: envelope.agent.clone(),
            node: node.to_owned(),
            made: envelope.time,
            until,
            asked,
            body: body.to_owned(),
        }
    }

    /// Reads what was signed.
    ///
    /// # Errors
    /// [`DeferredError`].
    pub fn decode(text: &str) -> Result<Deferred, DeferredError> {
        if text.len() > LARGEST {
            return Err(DeferredError::Rule("text is longer than 128 KiB"));
        }
        let read: Deferred =
            serde_json::from_str(text).map_err(|e| DeferredError::Unreadable(e.to_string()))?;
        let names = [&read.caller, &read.sender, &read.collective, &read.agent, &read.node];
        if read.protocol != PROTOCOL {
            return Err(DeferredError::Rule("protocol is another one"));
        }
        if !is_id(&read.id) {
            return Err(DeferredError::Rule("id is not 32 hex digits"));
        }
        if names.iter().any(|name| name.is_empty() || name.len() > LONGEST_NAME) {
            return Err(DeferredError::Rule("names are not all there, or too long"));
        }
        match read.until.checked_sub(read.made) {
            Some(1..=LONGEST) => Ok(read),
            _ => Err(DeferredError::Rule("validity is none, or longer than 30 days")),
        }
    }

    /// The text that is signed.
    pub fn encode(&self) -> String {
        // texts and numbers: it cannot fail
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether it may run at `now`, where nothing may that has waited for more than `most` seconds.
    ///
    /// # Errors
    /// What is wrong with its time.
    pub fn check_time(&self, now: i64, most: i64) -> Result<(), DeferredError> {
        if now >= self.until {
            return Err(DeferredError::Rule("time is over"));
        }
        if self.made > now.saturating_add(MOST_AHEAD) {
            return Err(DeferredError::Ahead);
        }
        match now.saturating_sub(self.made) > most {
            true => Err(DeferredError::Rule("age is above plugin.choria.requests.max_age of this node")),
            false => Ok(()),
        }
    }

    /// The same as a request, for those who judge and run it.
    pub fn request(&self) -> Request {
        Request {
            message: self.body.clone(),
            envelope: Envelope {
                requestid: self.id.clone(),
                senderid: self.sender.clone(),
                callerid: self.caller.clone(),
                collective: self.collective.clone(),
                agent: self.agent.clone(),
                ttl: self.until.saturating_sub(self.made),
                time: self.made,
                filter: Filter { identity: vec![self.node.clone()], ..Filter::default() },
            },
        }
    }
}

/// Whether a text is the id of a request as ours are, which can be a token of a subject.
pub fn is_id(text: &str) -> bool {
    text.len() == REQUEST_ID_LENGTH && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// What stands for a caller or a node in a subject: 32 hex digits of its SHA-256. Names have dots, and permissions go
/// by tokens.
pub fn place(name: &str) -> String {
    hex(digest(&SHA256, name.as_bytes()).as_ref().get(..16).unwrap_or_default())
}

/// Where what `caller` asks `node` is kept, and what became of it.
pub fn subject(caller: &str, id: &str, node: &str) -> String {
    format!("{SUBJECTS}.{}.{}.{id}", place(node), place(caller))
}

/// Where he keeps what he asked all of them.
pub fn head(caller: &str, id: &str) -> String {
    format!("{SUBJECTS}.{HEAD}.{}.{id}", place(caller))
}

/// All that is kept for `node`.
pub fn of_node(node: &str) -> String {
    format!("{SUBJECTS}.{}.*.*", place(node))
}

/// The one consumer of the stream by which `node` reads what is kept for it.
pub fn consumer_of(node: &str) -> String {
    place(node)
}

/// All that `caller` keeps, of one request or of all.
pub fn of_caller(caller: &str, id: Option<&str>) -> String {
    format!("{SUBJECTS}.*.{}.{}", place(caller), id.unwrap_or("*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deferred() -> Deferred {
        let envelope = Envelope {
            requestid: "0123456789abcdef0123456789abcdef".to_owned(),
            callerid: "choria=alice.mcollective".to_owned(),
            senderid: "console".to_owned(),
            collective: "mcollective".to_owned(),
            agent: "rpcutil".to_owned(),
            time: 1_000_000,
            ..Envelope::default()
        };
        Deferred::new(&envelope, "n1.example.net", 1_086_400, false, "{\"agent\":\"rpcutil\"}")
    }

    #[test]
    fn what_is_signed_is_no_request_and_no_request_is_this() {
        let deferred = deferred();
        let text = deferred.encode();
        assert_eq!(Deferred::decode(&text).as_ref(), Ok(&deferred));
        assert!(Request::decode(text.as_bytes()).is_err());
        assert!(Deferred::decode(&deferred.request().encode()).is_err());
        let request = deferred.request();
        assert_eq!(request.payload(), deferred.body.as_bytes());
        assert_eq!((request.envelope.ttl, request.envelope.time), (86_400, 1_000_000));
    }

    #[test]
    fn rules_are_kept() {
        let broken = |change: &dyn Fn(&mut Deferred)| {
            let mut deferred = deferred();
            change(&mut deferred);
            Deferred::decode(&deferred.encode()).unwrap_err().to_string()
        };
        for (change, says) in [
            (&(|d: &mut Deferred| d.id = "x".into()) as &dyn Fn(&mut Deferred), "hex digits"),
            (&|d| d.id = "0123456789ABCDEF0123456789ABCDEF".into(), "hex digits"),
            (&|d| d.protocol = "choria:deferred:2".into(), "protocol"),
            (&|d| d.node = String::new(), "names"),
            (&|d| d.caller = "x".repeat(257), "names"),
            (&|d| d.until = d.made, "validity"),
            (&|d| d.until = d.made + LONGEST + 1, "validity"),
            (&|d| (d.made, d.until) = (i64::MIN, i64::MAX), "validity"),
            (&|d| d.body = "x".repeat(LARGEST), "128 KiB"),
        ] {
            let said = broken(change);
            assert!(said.contains(says), "{said}");
        }
        let more = deferred().encode().replacen('{', "{\"envelope\":{},", 1);
        assert!(Deferred::decode(&more).is_err());
    }

    #[test]
    fn it_runs_in_its_time() {
        let deferred = deferred();
        for (now, most, runs) in [
            (999_940, 100_000, true),
            (999_939, 100_000, false),
            (1_000_000, 0, true),
            (1_000_011, 10, false),
            (1_086_399, 100_000, true),
            (1_086_400, 100_000, false),
            (i64::MAX, i64::MAX, false),
        ] {
            assert_eq!(deferred.check_time(now, most).is_ok(), runs, "{now} {most}");
        }
    }

    #[test]
    fn subjects_have_four_tokens_whatever_the_names() {
        let id = "0123456789abcdef0123456789abcdef";
        let subject = subject("choria=a.b.mcollective", id, "n1.example.net");
        assert_eq!(subject.split('.').count(), 5);
        assert_ne!(place("a.b"), place("a.b.c"));
        assert!(subject.starts_with(&format!("choria.requests.{}.", place("n1.example.net"))));
        assert_eq!(place("x").len(), 32);
    }

    #[test]
    fn fuzz_texts() {
        bolero::check!().with_type::<String>().for_each(|text| {
            let _ = Deferred::decode(text);
        });
    }
}
