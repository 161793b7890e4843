//! Whether nodes are connected, told to clients that may ask.
//!
//! The question is a request to the service [`protocol::presence`](crate::core::protocol::presence)
//! of a collective: whoever may ask services of the collective may ask the broker this. A broker of
//! another make hears of no such service, and says so at once.

use std::time::Duration;

use super::delivery::Delivery;
use super::departures::Whereabouts;
use super::index::Moment;
use super::ledger::Message;
use super::publish::ITSELF;
use super::shard::Shard;
use crate::core::nats::frame::Frame;
use crate::core::protocol::presence::{Answer, Presence, Question, SERVICE};

/// The collective in whose name the broker is asked.
pub fn asks(subject: &[u8]) -> Option<&[u8]> {
    let collective = subject.strip_suffix(SERVICE.as_bytes())?.strip_suffix(b".broadcast.service.")?;
    (!collective.is_empty() && !collective.contains(&b'.')).then_some(collective)
}

impl Shard {
    /// Answers nobody but who asks: where else it may publish is not looked at here.
    pub(super) fn answer_presence(&mut self, key: u32, collective: &[u8], reply: &[u8], question: &[u8]) {
        let Some(account) = self.links.get(key as usize).map(|link| link.account) else { return };
        let Some(target) = self.own_subscription(key, account, reply) else { return };
        let answer = match Question::parse(question) {
            Err(problem) => Answer { error: Some(problem), ..Answer::default() },
            Ok(Question { nodes }) => {
                let subject = |node: &String| [collective, b".node.", node.as_bytes()].concat();
                let subjects: Vec<Vec<u8>> = nodes.iter().map(subject).collect();
                let known = self.shared.router.whereabouts(account, &subjects);
                self.told(nodes, &known)
            }
        };
        let message = Message::new(Frame::message(reply, None, answer.encode().as_bytes()), &self.held);
        self.deliver(ITSELF, target, &mut Delivery::made(message));
    }

    fn told(&self, nodes: Vec<String>, known: &[Whereabouts]) -> Answer {
        let now = jiff::Timestamp::now();
        let on_the_wall = |moment: Moment| {
            let ago = self.now.saturating_sub(Duration::from_millis(u64::from(moment) * 100));
            now.checked_sub(ago).ok().and_then(|time| jiff::Timestamp::from_second(time.as_second()).ok())
        };
        let of = |(node, known): (String, &Whereabouts)| {
            let presence = match known {
                Whereabouts::Here { since } => Presence { connected: true, since: on_the_wall(*since) },
                Whereabouts::Gone { since } => {
                    Presence { connected: false, since: since.and_then(on_the_wall) }
                }
                Whereabouts::Unknown => return None,
            };
            Some((node, presence))
        };
        Answer { nodes: nodes.into_iter().zip(known).filter_map(of).collect(), error: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_told_from_requests_to_services() {
        for (subject, expected) in [
            ("c.broadcast.service.choria_presence", Some("c")),
            ("c.d.broadcast.service.choria_presence", None),
            (".broadcast.service.choria_presence", None),
            ("c.broadcast.service.choria_presence.x", None),
            ("c.broadcast.agent.choria_presence", None),
            ("c.broadcast.service.xchoria_presence", None),
        ] {
            assert_eq!(asks(subject.as_bytes()), expected.map(str::as_bytes), "{subject}");
        }
    }
}
