//! How an agent ends the node it runs on.

use std::sync::Arc;

use tokio::sync::watch;

/// Why a node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Whoever runs it told it to stop.
    Stopped,
    /// A caller did, for good.
    Shutdown,
    /// It is to start again, by the configuration that is there now.
    Restart,
}

/// Asks the node to end; it answers what is running first. What then becomes
/// of the process is up to whoever runs the node: see
/// [`Server::run`](crate::core::server::Server::run).
#[derive(Debug, Clone)]
pub struct Control(Arc<watch::Sender<Option<Ending>>>);

impl Default for Control {
    fn default() -> Self {
        Control(Arc::new(watch::Sender::new(None)))
    }
}

impl Control {
    /// Ends the node; the first call counts.
    pub fn end(&self, ending: Ending) {
        self.0.send_if_modified(|current| {
            let first = current.is_none();
            current.get_or_insert(ending);
            first
        });
    }

    /// Waits until somebody ends the node.
    pub async fn ended(&self) -> Ending {
        let mut watching = self.0.subscribe();
        let ending = watching.wait_for(Option::is_some).await;
        // the sender is ours, it does not go away
        ending.ok().and_then(|ending| *ending).unwrap_or(Ending::Stopped)
    }
}
