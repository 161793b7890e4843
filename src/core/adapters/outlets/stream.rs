//! A stream: each document is acknowledged when it is stored. All of a batch are on
//! their way at once; what is told twice is kept once, by its message id.

use std::time::Duration;

use bytes::Bytes;

use super::{Outlet, Sending, Sent, target};
use crate::core::adapters::document::Document;
use crate::core::connection::{Fate, Session, Storing, ToStore};

/// How long the next acknowledgement is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Stream {
    storing: Storing,
    target: String,
}

impl Stream {
    pub(super) fn new(session: Session, target: String, inboxes: &str) -> Stream {
        Stream { storing: Storing::new(session, inboxes), target }
    }

    async fn send_all(&mut self, documents: &[Document]) -> Sent {
        let message = |document: &Document| ToStore {
            subject: target(&self.target, document),
            headers: vec![("Nats-Msg-Id".to_owned(), document.id.clone())],
            payload: Bytes::copy_from_slice(document.text.as_bytes()),
        };
        let messages: Vec<ToStore> = documents.iter().map(message).collect();
        let fates = self.storing.store(&messages, PATIENCE).await;
        // From the first that is not stored on, all is told again: so the order of each
        // sender stays what it was.
        let taken = fates.iter().take_while(|fate| **fate == Fate::Stored).count();
        match fates.into_iter().nth(taken) {
            None | Some(Fate::Stored) => Sent::all(documents),
            Some(Fate::Later(reason)) if reason.starts_with("no stream") => {
                let subjects = self.target.replace("%s", ">");
                let how = format!(
                    "make one, as by choria broker streams NAME --add '{subjects}', or is the engine down?"
                );
                Sent::later(taken, format!("{reason}: {how}"))
            }
            Some(Fate::Later(reason)) => Sent::later(taken, reason),
            Some(Fate::Never(reason)) => Sent::never(taken, reason),
        }
    }
}

impl Outlet for Stream {
    fn send<'a>(&'a mut self, documents: &'a [Document]) -> Sending<'a> {
        Box::pin(self.send_all(documents))
    }
}
