//! What the broker does not let a caller publish: an answer to it would be waited for in vain.

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::core::connection::ComplaintListener;

/// Complaints that whoever waits may be behind.
const WAITING: usize = 16;

/// Subjects that were refused, as they are.
pub(super) struct Denials(broadcast::Sender<Arc<str>>);

impl Denials {
    pub fn new() -> Arc<Denials> {
        Arc::new(Denials(broadcast::channel(WAITING).0))
    }

    /// From now on.
    pub fn listen(&self) -> Listening {
        Listening(self.0.subscribe())
    }
}

impl ComplaintListener for Denials {
    fn complained(&self, text: &str) {
        if let Some(subject) = subject_of(text) {
            // nobody waits, mostly
            let _ = self.0.send(subject.into());
        }
    }
}

/// What was to be published.
fn subject_of(text: &str) -> Option<&str> {
    text.split_once("Permissions Violation for Publish to ")?.1.split('"').nth(1)
}

/// Hears of them.
pub(super) struct Listening(broadcast::Receiver<Arc<str>>);

impl Listening {
    /// Waits until this one is refused, for ever where it is not.
    pub async fn of(&mut self, subject: &str) {
        loop {
            match self.0.recv().await {
                Ok(refused) if &*refused == subject => return,
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_waits_for_his_own() {
        let denials = Denials::new();
        let mut listening = denials.listen();
        for text in [
            "Slow",
            "Permissions Violation for Subscription to \"a\"",
            "Permissions Violation for Publish to \"b\"",
            "Permissions Violation for Publish to \"a\"",
        ] {
            denials.complained(text);
        }
        listening.of("a").await;
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(1), listening.of("b")).await;
        assert!(waiting.is_err(), "each is heard once");
    }
}
