//! Where a link may answer: reply subjects of requests it was given, for a
//! while and a number of times (`allow_responses`). Pure.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;

use crate::core::admission::Responses;

/// Most requests a link may have unanswered and still answer.
const MOST: usize = 4096;
/// Most memory of their reply subjects.
const MOST_BYTES: usize = 256 * 1024;

/// Requests a link has not answered yet.
#[derive(Debug)]
pub struct AllowedReplies {
    rule: Responses,
    open: HashMap<Box<[u8]>, Open>,
    /// Oldest first: all live equally long.
    order: VecDeque<(Duration, u64, Box<[u8]>)>,
    bytes: usize,
    serial: u64,
}

#[derive(Debug)]
struct Open {
    serial: u64,
    until: Duration,
    left: Option<u32>,
}

impl AllowedReplies {
    /// Nothing may be answered yet.
    pub fn new(rule: Responses) -> Self {
        Self { rule, open: HashMap::new(), order: VecDeque::new(), bytes: 0, serial: 0 }
    }

    /// What was granted.
    pub fn rule(&self) -> Responses {
        self.rule
    }

    /// Memory of what is open, about.
    pub fn bytes(&self) -> usize {
        2 * self.bytes + self.order.len() * 2 * (size_of::<(Duration, u64, Box<[u8]>)>() + size_of::<Open>())
    }

    /// A request was delivered: its reply subject may be published to. When
    /// there are too many, the oldest is forgotten.
    pub fn expect(&mut self, reply: &[u8], now: Duration) {
        let until = now.saturating_add(self.rule.expires);
        self.serial += 1;
        let open = Open { serial: self.serial, until, left: self.rule.max };
        self.open.insert(reply.into(), open);
        self.order.push_back((until, self.serial, reply.into()));
        self.bytes += reply.len();
        while self
            .order
            .front()
            .is_some_and(|(until, ..)| *until <= now || self.order.len() > MOST || self.bytes > MOST_BYTES)
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, serial, reply)) = self.order.pop_front() {
            self.bytes = self.bytes.saturating_sub(reply.len());
            if self.open.get(&reply).is_some_and(|open| open.serial == serial) {
                self.open.remove(&reply);
            }
        }
    }

    /// Whether an answer may go to this subject now; counts it.
    pub fn take(&mut self, subject: &[u8], now: Duration) -> bool {
        let Some(open) = self.open.get_mut(subject) else { return false };
        if open.until <= now {
            self.open.remove(subject);
            return false;
        }
        if let Some(left) = open.left.as_mut() {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.open.remove(subject);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn as_often_and_as_long_as_allowed() {
        let mut replies = AllowedReplies::new(Responses { max: Some(2), expires: at(10) });
        assert!(!replies.take(b"r", at(0)));
        replies.expect(b"r", at(0));
        assert!(replies.take(b"r", at(1)) && replies.take(b"r", at(9)));
        assert!(!replies.take(b"r", at(9)));
        replies.expect(b"r", at(9));
        assert!(!replies.take(b"r", at(19)));
        // asked again meanwhile: the old one's end must not end the new one
        replies.expect(b"s", at(20));
        replies.expect(b"s", at(25));
        replies.expect(b"t", at(31));
        assert!(replies.take(b"s", at(31)));
        let mut ever = AllowedReplies::new(Responses { max: None, expires: at(10) });
        ever.expect(b"r", at(0));
        assert!((0..1000).all(|_| ever.take(b"r", at(5))));
    }

    #[test]
    fn memory_is_bounded() {
        let mut replies = AllowedReplies::new(Responses::default());
        for number in 0..3 * MOST {
            replies.expect(format!("reply.{number}").as_bytes(), at(0));
        }
        assert_eq!((replies.open.len(), replies.order.len()), (MOST, MOST));
        assert!(!replies.take(b"reply.0", at(1)) && replies.take(b"reply.9000", at(1)));
        for number in 0..200 {
            replies.expect(format!("{number}{}", "x".repeat(4000)).as_bytes(), at(1));
        }
        assert!(replies.bytes <= MOST_BYTES && replies.open.len() <= 66, "{}", replies.open.len());
    }
}
