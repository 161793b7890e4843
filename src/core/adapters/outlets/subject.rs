//! A plain subject: whoever listens at that moment hears it. Nobody acknowledges; what
//! was written out is taken to be there.

use bytes::Bytes;

use super::{Outlet, Sending, Sent, target};
use crate::core::adapters::document::Document;
use crate::core::connection::{PublishError, Session};

pub(super) struct Subject {
    session: Session,
    target: String,
}

impl Subject {
    pub(super) fn new(session: Session, target: String) -> Subject {
        Subject { session, target }
    }

    async fn send_all(&self, documents: &[Document]) -> Sent {
        let line = match self.session.line().await {
            Ok(line) => line,
            Err(error) => return Sent::later(0, error.to_string()),
        };
        for (at, document) in documents.iter().enumerate() {
            let text = Bytes::copy_from_slice(document.text.as_bytes());
            match line.publish(target(&self.target, document), None, text).await {
                Ok(()) => {}
                Err(error @ PublishError::TooLarge { .. }) => return Sent::never(at, error.to_string()),
                Err(error) => return Sent::later(at, error.to_string()),
            }
        }
        self.session.flush().await;
        Sent::all(documents)
    }
}

impl Outlet for Subject {
    fn send<'a>(&'a mut self, documents: &'a [Document]) -> Sending<'a> {
        Box::pin(self.send_all(documents))
    }
}
