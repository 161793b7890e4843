//! A subject that is listened to for as long as somebody wants.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::caller::Client;
use super::complaints::Complaints;
use super::error::ClientError;
use super::replies::Heard;
use crate::core::connection::Message;

/// Messages of one subject; ends when the broker does not let the caller hear
/// them, at once or after a reconnection, instead of waiting for ever.
pub struct Listening<'a> {
    client: &'a Client,
    messages: mpsc::Receiver<Message>,
    complaints: Arc<Complaints>,
}

impl Client {
    /// Listens to `subject`; at most `capacity` messages wait.
    pub async fn listen(&self, subject: &str, capacity: usize) -> Listening<'_> {
        let complaints = Complaints::about_hearing(subject);
        self.session.hear_complaints(complaints.listener());
        let messages = self.session.subscribe(subject, capacity).await;
        // Nobody should have to wonder whether a message came a moment too soon.
        self.session.flush().await;
        Listening { client: self, messages, complaints }
    }
}

impl Listening<'_> {
    /// The next message; `None` when the session has ended.
    ///
    /// # Errors
    /// The broker does not let this caller listen.
    pub async fn next(&mut self) -> Result<Option<Message>, ClientError> {
        loop {
            match self.complaints.next() {
                Some(Heard::Denied(what)) => return Err(self.client.denied(what)),
                Some(Heard::Complaint(text)) => return Err(ClientError::Complained(text)),
                _ => {}
            }
            tokio::select! {
                biased;
                () = self.complaints.came() => {}
                message = self.messages.recv() => return Ok(message),
            }
        }
    }
}
