//! Events as they come, those of one subject in their order.

use crate::core::client::{Client, ClientError};
use crate::core::lifecycle::Event;
use crate::core::machine::event::TRANSITIONS;

use super::seen::Seen;

/// Events that wait for whoever listens.
const WAITING: usize = 8192;
const CHECKS: &str = "choria.machine.watcher.nagios.state";
const COMMANDS: &str = "choria.machine.watcher.exec.state";

/// Something that was heard.
#[derive(Debug)]
pub enum Heard {
    /// Of a machine.
    Machine(Seen),
    /// Of a node's life.
    Life(Box<Event>),
    /// What is no event.
    Odd,
}

/// Hands over what is heard, until that says it is enough, or the connection has ended for good.
/// Lives are those of a component, and commands only where they are wanted.
///
/// # Errors
/// The broker does not let this caller listen.
pub async fn listen(
    client: &Client,
    component: &str,
    commands: bool,
    mut enough: impl FnMut(Heard) -> bool,
) -> Result<(), ClientError> {
    let life = format!("choria.lifecycle.event.*.{component}");
    let mut subjects = vec![TRANSITIONS, CHECKS, life.as_str()];
    if commands {
        subjects.push(COMMANDS);
    }
    let mut all = Vec::with_capacity(subjects.len());
    for subject in subjects {
        all.push(client.listen(subject, WAITING).await);
    }
    loop {
        let next = futures::future::select_all(all.iter_mut().map(|events| Box::pin(events.next())));
        let (message, ..) = next.await;
        let Some(message) = message? else { return Ok(()) };
        let heard = if message.subject.starts_with("choria.lifecycle.") {
            Event::decode(&message.payload).map_or(Heard::Odd, |event| Heard::Life(Box::new(event)))
        } else {
            Seen::read(&message.payload).map_or(Heard::Odd, Heard::Machine)
        };
        if !enough(heard) {
            return Ok(());
        }
    }
}
