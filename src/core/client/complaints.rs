//! What the broker complains about, as far as one request is concerned: whom
//! its caller may not ask, and what it may not hear.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::replies::Heard;
use crate::core::connection::ComplaintListener;

/// Complaints that are about no node and wait to be looked at; the first says
/// what is wrong.
const MOST_OTHERS: usize = 8;

/// What one request is known by in complaints.
pub(super) struct About {
    /// What the subjects of nodes begin with.
    pub(super) nodes: String,
    /// The subject of a node that cannot be.
    pub(super) nowhere: String,
    /// Where all nodes, or one of a service, are asked, or those of a federation.
    pub(super) everybody: Vec<String>,
    /// What is listened to.
    pub(super) replies: Vec<String>,
}

/// The complaints about one request.
///
/// Each node is counted once and no more nodes than were asked, so that a
/// broker cannot fill a memory with names, and a caller who may ask none of
/// fifty thousand nodes is told of each of them and waits for none.
pub(super) struct Complaints {
    about: About,
    kept: Mutex<Kept>,
    came: Notify,
}

#[derive(Default)]
struct Kept {
    waiting: VecDeque<Heard>,
    others: usize,
    denied: HashSet<Box<str>>,
    asked: usize,
    /// Not even a node that cannot be may be asked.
    nowhere: bool,
}

impl Complaints {
    pub(super) fn about(about: About) -> Arc<Complaints> {
        Arc::new(Complaints { about, kept: Mutex::default(), came: Notify::new() })
    }

    /// Complaints about listening to one subject.
    pub(super) fn about_hearing(subject: &str) -> Arc<Complaints> {
        // No subject has a line end: nothing is asked.
        let nothing = || "\n".to_owned();
        Complaints::about(About {
            nodes: nothing(),
            nowhere: nothing(),
            everybody: vec![],
            replies: vec![subject.to_owned()],
        })
    }

    /// What a session tells of its complaints.
    pub(super) fn listener(self: &Arc<Self>) -> Weak<dyn ComplaintListener> {
        let listener: Arc<dyn ComplaintListener> = self.clone();
        Arc::downgrade(&listener)
    }

    /// So many more nodes will be asked.
    pub(super) fn expect(&self, nodes: usize) {
        self.kept().asked += nodes;
    }

    /// The subject of a node that cannot be.
    pub(super) fn nowhere(&self) -> &str {
        &self.about.nowhere
    }

    /// Whether there are nodes that may not be asked.
    pub(super) fn any(&self) -> bool {
        let kept = self.kept();
        kept.nowhere || !kept.denied.is_empty()
    }

    /// The next one, if there is one.
    pub(super) fn next(&self) -> Option<Heard> {
        let mut kept = self.kept();
        let next = kept.waiting.pop_front()?;
        if !matches!(next, Heard::DeniedAt(_)) {
            kept.others -= 1;
        }
        Some(next)
    }

    /// Waits until there may be one.
    pub(super) async fn came(&self) {
        self.came.notified().await;
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing that can panic happens while it is held.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a complaint means here; `None` for what is about another request.
    fn read(&self, text: &str) -> Option<Heard> {
        const PUBLISH: &str = "Permissions Violation for Publish to ";
        const SUBSCRIBE: &str = "Permissions Violation for Subscription to ";
        let subject = |after: &str| text.split_once(after)?.1.split('"').nth(1);
        let About { nodes, nowhere, everybody, replies } = &self.about;
        match (subject(PUBLISH), subject(SUBSCRIBE)) {
            (Some(subject), _) if subject == nowhere => Some(Heard::ProbeDenied),
            (Some(subject), _) => match subject.strip_prefix(nodes.as_str()) {
                Some(node) => Some(Heard::DeniedAt(node.to_owned())),
                None => everybody
                    .iter()
                    .any(|all| all == subject)
                    .then(|| Heard::Denied(format!("publish to {subject}"))),
            },
            (None, Some(subject)) => replies
                .iter()
                .any(|reply| reply == subject)
                .then(|| Heard::Denied(format!("listen to {subject}"))),
            // What else keeps a subscription from being made; the rest is shown
            // by whoever explains what became of the request.
            (None, None) if text.to_ascii_lowercase().contains("subscription") => {
                Some(Heard::Complaint(text.to_owned()))
            }
            (None, None) => None,
        }
    }
}

impl ComplaintListener for Complaints {
    fn complained(&self, text: &str) {
        let Some(heard) = self.read(text) else { return };
        {
            let mut kept = self.kept();
            kept.nowhere |= matches!(heard, Heard::ProbeDenied);
            if let Heard::DeniedAt(node) = &heard {
                if kept.denied.len() >= kept.asked || !kept.denied.insert(node.as_str().into()) {
                    return;
                }
            } else if kept.others >= MOST_OTHERS {
                return;
            } else {
                kept.others += 1;
            }
            kept.waiting.push_back(heard);
        }
        self.came.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints() -> Arc<Complaints> {
        Complaints::about(About {
            nodes: "c.node.".into(),
            nowhere: "c.node.0123".into(),
            everybody: vec!["c.broadcast.agent.rpcutil".into(), "c.broadcast.service.rpcutil".into()],
            replies: vec!["c.reply.x.0123".into(), "c.reply.x.0123.*".into()],
        })
    }

    #[test]
    fn each_asked_node_is_counted_once_however_many_there_are() {
        let complaints = complaints();
        let denied = |node: &str| format!("nats: Permissions Violation for Publish to \"c.node.{node}\"");
        complaints.complained(&denied("n1"));
        assert!(complaints.next().is_none(), "nobody was asked");
        complaints.expect(10_000);
        for number in 0..20_000 {
            complaints.complained(&denied(&format!("n{number}")));
            complaints.complained(&denied(&format!("n{number}")));
        }
        let heard = std::iter::from_fn(|| complaints.next());
        assert_eq!(heard.filter(|heard| matches!(heard, Heard::DeniedAt(_))).count(), 10_000);
        assert!(complaints.any());
    }

    #[test]
    fn a_complaint_is_of_this_request_or_of_nobody() {
        let complaints = complaints();
        let told = |text: &str| {
            complaints.complained(text);
            complaints.next().map(|heard| format!("{heard:?}"))
        };
        let cases = [
            ("Permissions Violation for Publish to \"c.node.0123\"", Some("ProbeDenied")),
            (
                "Permissions Violation for Publish to \"c.broadcast.agent.rpcutil\"",
                Some("Denied(\"publish to "),
            ),
            ("Permissions Violation for Subscription to \"c.reply.x.0123\"", Some("Denied(\"listen to")),
            (
                "Permissions Violation for Subscription to \"c.reply.x.0123.*\" using queue \"q\"",
                Some("Denied(\"listen to"),
            ),
            ("Permissions Violation for Subscription to \"c.reply.x.0124\"", None),
            ("Permissions Violation for Publish to \"d.node.n1\"", None),
            ("nats: Stale Connection", None),
            ("nats: maximum subscriptions exceeded", Some("Complaint(\"nats: maximum")),
        ];
        for (text, expected) in cases {
            let heard = told(text);
            match expected {
                None => assert_eq!(heard, None, "{text}"),
                Some(start) => assert!(heard.as_deref().is_some_and(|h| h.starts_with(start)), "{text}"),
            }
        }
        for _ in 0..1000 {
            complaints.complained("maximum subscriptions exceeded");
        }
        assert_eq!(std::iter::from_fn(|| complaints.next()).count(), MOST_OTHERS);
    }
}
