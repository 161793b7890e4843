//! Who waits for which answer, and which names answer twice.
//!
//! Each request to a node is answered under a subject of its own, made of random
//! bits and known to the machine that is asked only: no other waiting machine can
//! answer in its name, whichever subjects it may publish to. A second answer there
//! means that two machines claim the name; it is remembered as doubled for a while.
//! Requests with a filter are for one of them, so they are remembered apart.
//!
//! Nothing is parsed here: that is done by whoever waits, for what it waits for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::intakes::{Intakes, MAX_PONG};
use crate::core::connection::{HeldMessage, Message, NOBODY_LISTENS};

/// How long a name stays doubled.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How long an answered request is remembered to notice a second answer.
const ECHO: Duration = Duration::from_secs(10);
/// Most names remembered as doubled.
const MAX_DOUBLED: usize = 10_000;
/// Answers to one request that are looked at: what comes first may be none.
pub(super) const LOOKED_AT: usize = 2;

/// Answers that are awaited.
#[derive(Default)]
pub(super) struct Awaited(Mutex<State>);

#[derive(Default)]
struct State {
    /// By the last part of the subject that is answered to.
    open: HashMap<Arc<str>, Place>,
    /// Where answers of everybody go, likewise.
    discoveries: HashMap<String, mpsc::Sender<HeldMessage>>,
    /// To requests without a filter, and to those with one.
    doubled: [HashMap<Arc<str>, Instant>; 2],
    swept: Option<Instant>,
}

struct Place {
    node: Arc<str>,
    filtered: bool,
    /// Gone when enough has arrived or nobody waits.
    sender: Option<mpsc::Sender<HeldMessage>>,
    answers: usize,
    answered: Option<Instant>,
}

impl Awaited {
    /// What is answered under `token` is an answer of `node`.
    pub(super) fn expect(
        &self,
        token: &Arc<str>,
        node: &Arc<str>,
        filtered: bool,
    ) -> mpsc::Receiver<HeldMessage> {
        let (sender, answers) = mpsc::channel(LOOKED_AT);
        let node = node.clone();
        let place = Place { node, filtered, sender: Some(sender), answers: 0, answered: None };
        self.lock().open.insert(token.clone(), place);
        answers
    }

    /// Nobody waits for it any more.
    pub(super) fn forget(&self, token: &str) {
        self.lock().open.remove(token);
    }

    /// Whether an answer is still awaited there.
    pub(super) fn expects(&self, token: &str) -> bool {
        self.lock().open.contains_key(token)
    }

    /// `sink` gets what is answered under `token`, until its other end is dropped.
    pub(super) fn expect_all(&self, token: &str, sink: mpsc::Sender<HeldMessage>) {
        self.lock().discoveries.insert(token.to_owned(), sink);
    }

    /// Nobody waits for them any more.
    pub(super) fn forget_all(&self, token: &str) {
        self.lock().discoveries.remove(token);
    }

    /// Whether two machines answered by this name lately.
    pub(super) fn doubled(&self, node: &str, filtered: bool, now: Instant) -> bool {
        let since = self.lock().doubled[usize::from(filtered)].get(node).copied();
        since.is_some_and(|since| now.duration_since(since) < REMEMBERED)
    }

    /// A name answered the same discovery twice.
    pub(super) fn answered_twice(&self, node: &str, now: Instant) {
        self.lock().mark_doubled(node.into(), false, now);
    }

    /// What was said of requests with a filter holds no more.
    pub(super) fn forget_doubled_within(&self, node: &str) {
        self.lock().doubled[1].remove(node);
    }

    /// Hands a message to whoever waits for it; what nobody waits for is counted and dropped.
    pub(super) fn take(&self, message: Message, intakes: &Intakes, now: Instant) {
        let unasked = || intakes.unasked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut state = self.lock();
        state.sweep(now);
        let token = message.subject.rsplit('.').next().unwrap_or_default();
        if let Some(sink) = state.discoveries.get(token) {
            if message.payload.len() > MAX_PONG {
                intakes.discovery.drop_one();
            } else if let Some(held) = intakes.discovery.hold(message)
                && sink.try_send(held).is_err()
            {
                intakes.discovery.drop_one();
            }
            return;
        }
        let Some(place) = state.open.get_mut(token) else {
            unasked();
            return;
        };
        if message.status != Some(NOBODY_LISTENS) {
            place.answers = place.answers.saturating_add(1);
            place.answered.get_or_insert(now);
        }
        let again = (place.answers > 1).then(|| (place.node.clone(), place.filtered));
        match &place.sender {
            Some(sender) if place.answers <= LOOKED_AT => {
                // whoever asked may have given up
                if let Some(held) = intakes.answers.hold(message) {
                    let _ = sender.try_send(held);
                }
            }
            _ => {
                place.sender = None;
                unasked();
            }
        }
        if let Some((node, filtered)) = again {
            state.mark_doubled(node, filtered, now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn mark_doubled(&mut self, node: Arc<str>, filtered: bool, now: Instant) {
        let doubled = &mut self.doubled[usize::from(filtered)];
        if doubled.len() < MAX_DOUBLED || doubled.contains_key(&node) {
            doubled.insert(node, now);
        }
    }

    /// Forgets, about once a second, what is only kept to notice second answers.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|at| now.duration_since(at) < Duration::from_secs(1)) {
            return;
        }
        self.swept = Some(now);
        self.open.retain(|_, place| match place.answered {
            None => place.sender.as_ref().is_some_and(|sender| !sender.is_closed()),
            Some(at) => now.duration_since(at) < ECHO,
        });
        for doubled in &mut self.doubled {
            doubled.retain(|_, at| now.duration_since(*at) < REMEMBERED);
        }
        self.discoveries.retain(|_, sink| !sink.is_closed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(token: &str, bytes: usize) -> Message {
        Message {
            subject: format!("provisioning.reply.hash.{token}").into(),
            reply: None,
            payload: vec![b'x'; bytes].into(),
            headers: None,
            status: None,
            description: None,
            length: bytes,
        }
    }

    #[test]
    fn an_answer_goes_to_who_asked_and_a_second_one_doubles_the_name() {
        let (awaited, intakes, now) = (
            Awaited::default(),
            Intakes::new(Arc::new(crate::core::connection::ByteBudget::new(0))),
            Instant::now(),
        );
        let (token, node): (Arc<str>, Arc<str>) = ("id".into(), "n1".into());
        for filtered in [false, true] {
            let mut answers = awaited.expect(&token, &node, filtered);
            awaited.take(message("other", 1), &intakes, now);
            assert!(answers.try_recv().is_err(), "nothing was for us");
            let nobody = Message { status: Some(NOBODY_LISTENS), ..message("id", 0) };
            awaited.take(nobody, &intakes, now);
            assert!(answers.try_recv().is_ok());
            awaited.take(message("id", 1), &intakes, now);
            assert_eq!(answers.try_recv().unwrap().payload.len(), 1);
            assert!(!awaited.doubled("n1", filtered, now));
            awaited.take(message("id", 1), &intakes, now);
            assert!(awaited.doubled("n1", filtered, now));
            assert_eq!(awaited.doubled("n1", true, now), filtered, "each kind by itself");
        }
        awaited.forget_doubled_within("n1");
        assert!(!awaited.doubled("n1", true, now) && awaited.doubled("n1", false, now));
        assert!(!awaited.doubled("n1", false, now + REMEMBERED), "for a while");
        assert!(!awaited.doubled("n2", false, now), "it was never asked");
    }

    #[test]
    fn a_flood_under_one_request_is_looked_at_twice_and_held_no_longer() {
        let (awaited, intakes, now) = (
            Awaited::default(),
            Intakes::new(Arc::new(crate::core::connection::ByteBudget::new(0))),
            Instant::now(),
        );
        let (token, node): (Arc<str>, Arc<str>) = ("id".into(), "n1".into());
        let mut answers = awaited.expect(&token, &node, false);
        (0..100).for_each(|_| awaited.take(message("id", 1_000_000), &intakes, now));
        assert!(answers.try_recv().is_ok() && answers.try_recv().is_ok());
        assert!(answers.try_recv().is_err());
        assert_eq!(intakes.dropped(), [0, 0, 0, 0, 0, 98]);
        let (sink, mut pongs) = mpsc::channel(10);
        awaited.expect_all("all", sink);
        (0..100).for_each(|_| awaited.take(message("all", 100), &intakes, now));
        awaited.take(message("all", MAX_PONG + 1), &intakes, now);
        assert_eq!(intakes.dropped(), [0, 0, 91, 0, 0, 98]);
        assert_eq!(std::iter::from_fn(|| pongs.try_recv().ok()).count(), 10);
    }

    #[test]
    fn what_nobody_waits_for_is_swept() {
        let (awaited, intakes, now) = (
            Awaited::default(),
            Intakes::new(Arc::new(crate::core::connection::ByteBudget::new(0))),
            Instant::now(),
        );
        let node: Arc<str> = "n1".into();
        let kept = awaited.expect(&"id".into(), &node, false);
        let given_up = awaited.expect(&"id2".into(), &node, false);
        let (sink, gone) = mpsc::channel(10);
        awaited.expect_all("all", sink);
        drop((given_up, gone));
        awaited.take(message("none", 1), &intakes, now);
        assert_eq!(awaited.lock().open.len(), 1);
        assert!(awaited.lock().discoveries.is_empty());
        awaited.take(message("id", 1), &intakes, now);
        drop(kept);
        awaited.take(message("none", 1), &intakes, now + ECHO);
        assert!(awaited.lock().open.is_empty());
    }
}
