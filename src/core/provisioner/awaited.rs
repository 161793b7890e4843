//! Who waits for which answer, and which names answer twice.
//!
//! A second answer of one name to one request means that two machines claim it;
//! the name is remembered as doubled for a while. Requests with a filter are for
//! one of them, so they are remembered apart.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::core::protocol::v1::Reply;

/// How long a name stays doubled.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How long an answered request is remembered to notice a second answer.
const ECHO: Duration = Duration::from_secs(10);
/// Most names remembered as doubled.
const MAX_DOUBLED: usize = 10_000;

/// What a node answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The agent that says so.
    pub(super) agent: String,
    /// Text of the body.
    pub(super) message: String,
}

/// Answers that are awaited.
#[derive(Default)]
pub(super) struct Awaited(Mutex<State>);

#[derive(Default)]
struct State {
    /// By request id and node.
    open: HashMap<(Arc<str>, Arc<str>), Place>,
    /// Where names go, and which went there, by request id.
    discoveries: HashMap<String, (mpsc::Sender<String>, HashSet<String>)>,
    /// To requests without a filter, and to those with one.
    doubled: [HashMap<String, Instant>; 2],
    swept: Option<Instant>,
}

enum Place {
    Asked { sender: oneshot::Sender<Answer>, filtered: bool },
    Answered { at: Instant, filtered: bool },
}

impl Awaited {
    /// `sender` gets the answer of `node` to a request.
    pub(super) fn expect(
        &self,
        request_id: &Arc<str>,
        node: &Arc<str>,
        sender: oneshot::Sender<Answer>,
        filtered: bool,
    ) {
        self.lock().open.insert((request_id.clone(), node.clone()), Place::Asked { sender, filtered });
    }

    /// Nobody waits for it any more.
    pub(super) fn forget(&self, request_id: &Arc<str>, node: &Arc<str>) {
        self.lock().open.remove(&(request_id.clone(), node.clone()));
    }

    /// `names` gets the name of everybody who answers a request, until its other
    /// end is dropped.
    pub(super) fn expect_all(&self, request_id: &str, names: mpsc::Sender<String>) {
        self.lock().discoveries.insert(request_id.to_owned(), (names, HashSet::new()));
    }

    /// Nobody waits for them any more.
    pub(super) fn forget_all(&self, request_id: &str) {
        self.lock().discoveries.remove(request_id);
    }

    /// Whether two machines answered by this name lately.
    pub(super) fn doubled(&self, node: &str, filtered: bool, now: Instant) -> bool {
        let since = self.lock().doubled[usize::from(filtered)].get(node).copied();
        since.is_some_and(|since| now.duration_since(since) < REMEMBERED)
    }

    /// What was said of requests with a filter holds no more.
    pub(super) fn forget_doubled_within(&self, node: &str) {
        self.lock().doubled[1].remove(node);
    }

    /// Hands an answer to whoever waits for it.
    pub(super) fn take(&self, reply: &Reply<'_>, now: Instant) {
        let mut state = self.lock();
        state.sweep(now);
        let (request_id, name) = (&*reply.envelope.requestid, &*reply.envelope.senderid);
        if let Some((names, answered)) = state.discoveries.get_mut(request_id) {
            if !answered.insert(name.to_owned()) {
                state.mark_doubled(name, false, now);
            } else if matches!(names.try_send(name.to_owned()), Err(mpsc::error::TrySendError::Closed(_))) {
                state.discoveries.remove(request_id);
            }
            return;
        }
        match state.open.get_mut(&(request_id.into(), name.into())) {
            Some(place @ Place::Asked { .. }) => {
                let filtered = matches!(place, Place::Asked { filtered: true, .. });
                let answered = Place::Answered { at: now, filtered };
                if let Place::Asked { sender, .. } = std::mem::replace(place, answered) {
                    let agent = reply.envelope.agent.clone().into_owned();
                    // whoever asked may have given up
                    let _ = sender.send(Answer { agent, message: reply.message.clone().into_owned() });
                }
            }
            Some(Place::Answered { filtered, .. }) => {
                let filtered = *filtered;
                state.mark_doubled(name, filtered, now);
            }
            None => tracing::debug!(node = name, "an answer nobody waits for"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn mark_doubled(&mut self, node: &str, filtered: bool, now: Instant) {
        let doubled = &mut self.doubled[usize::from(filtered)];
        if doubled.len() < MAX_DOUBLED || doubled.contains_key(node) {
            doubled.insert(node.to_owned(), now);
        }
    }

    /// Forgets, about once a second, what is only kept to notice second answers.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|at| now.duration_since(at) < Duration::from_secs(1)) {
            return;
        }
        self.swept = Some(now);
        self.open.retain(|_, place| match place {
            Place::Asked { sender, .. } => !sender.is_closed(),
            Place::Answered { at, .. } => now.duration_since(*at) < ECHO,
        });
        for doubled in &mut self.doubled {
            doubled.retain(|_, at| now.duration_since(*at) < REMEMBERED);
        }
        self.discoveries.retain(|_, (names, _)| !names.is_closed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::protocol::v1::ReplyEnvelope;

    fn reply<'a>(requestid: &'a str, senderid: &'a str) -> Reply<'a> {
        let envelope = ReplyEnvelope {
            requestid: requestid.into(),
            senderid: senderid.into(),
            agent: "rpcutil".into(),
            time: 1,
        };
        Reply { message: "{}".into(), envelope }
    }

    #[test]
    fn an_answer_goes_to_who_asked_and_a_second_one_doubles_the_name() {
        let (awaited, now) = (Awaited::default(), Instant::now());
        let (id, node): (Arc<str>, Arc<str>) = ("id".into(), "n1".into());
        for filtered in [false, true] {
            let (sender, mut answer) = oneshot::channel();
            awaited.expect(&id, &node, sender, filtered);
            awaited.take(&reply("other", "n1"), now);
            awaited.take(&reply("id", "n2"), now);
            assert!(answer.try_recv().is_err(), "nothing was for us");
            awaited.take(&reply("id", "n1"), now);
            assert_eq!(answer.try_recv(), Ok(Answer { agent: "rpcutil".into(), message: "{}".into() }));
            assert!(!awaited.doubled("n1", filtered, now));
            awaited.take(&reply("id", "n1"), now);
            assert!(awaited.doubled("n1", filtered, now));
            assert_eq!(awaited.doubled("n1", true, now), filtered, "each kind by itself");
        }
        awaited.forget_doubled_within("n1");
        assert!(!awaited.doubled("n1", true, now) && awaited.doubled("n1", false, now));
        assert!(!awaited.doubled("n1", false, now + REMEMBERED), "for a while");
        assert!(!awaited.doubled("n2", false, now), "it was never asked");
    }

    #[test]
    fn a_name_that_answers_a_discovery_twice_is_found_once_and_doubled() {
        let (awaited, now) = (Awaited::default(), Instant::now());
        let (names, mut found) = mpsc::channel(10);
        awaited.expect_all("id", names);
        ["n1", "n2", "n1"].iter().for_each(|name| awaited.take(&reply("id", name), now));
        assert_eq!((found.try_recv(), found.try_recv()), (Ok("n1".into()), Ok("n2".into())));
        assert!(found.try_recv().is_err());
        assert!(awaited.doubled("n1", false, now) && !awaited.doubled("n2", false, now));
    }

    #[test]
    fn what_nobody_waits_for_is_swept() {
        let (awaited, now) = (Awaited::default(), Instant::now());
        let (id, node): (Arc<str>, Arc<str>) = ("id".into(), "n1".into());
        let (sender, kept) = oneshot::channel();
        awaited.expect(&id, &node, sender, false);
        let (sender, given_up) = oneshot::channel();
        awaited.expect(&id, &"n2".into(), sender, false);
        let (names, gone) = mpsc::channel(10);
        awaited.expect_all("all", names);
        drop((given_up, gone));
        awaited.take(&reply("none", "n3"), now);
        assert_eq!(awaited.lock().open.len(), 1);
        assert!(awaited.lock().discoveries.is_empty());
        awaited.take(&reply("id", "n1"), now);
        drop(kept);
        awaited.take(&reply("none", "n3"), now + ECHO);
        assert!(awaited.lock().open.is_empty());
    }
}
