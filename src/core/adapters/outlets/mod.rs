//! Where documents go, a file each. A new place is a file here, a line in [`of`] or [`service`], and
//! a [`Kind`].

mod http;
#[cfg(feature = "kafka")]
mod kafka;
mod kinesis;
mod stream;
mod subject;
mod window;

use std::pin::Pin;
use std::time::Duration;

use super::document::Document;
use super::settings::{AdapterError, Kind, Settings};
use crate::core::connection::Session;

/// What became of some documents.
#[derive(Debug)]
pub(super) struct Sent {
    /// How many, from the first on, are somebody else's now.
    pub(super) taken: usize,
    /// What happened to the next.
    pub(super) trouble: Option<Trouble>,
}

/// Why a document was not taken.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It may be another time; in so long, where that is known.
    Later(String, Option<Duration>),
    /// It never will be: it would hold up all others.
    Never(String),
}

impl Sent {
    fn all(documents: &[Document]) -> Sent {
        Sent { taken: documents.len(), trouble: None }
    }

    fn later(taken: usize, reason: impl Into<String>) -> Sent {
        Sent { taken, trouble: Some(Trouble::Later(reason.into(), None)) }
    }

    fn never(taken: usize, reason: impl Into<String>) -> Sent {
        Sent { taken, trouble: Some(Trouble::Never(reason.into())) }
    }
}

/// What sending is.
pub(super) type Sending<'a> = Pin<Box<dyn Future<Output = Sent> + Send + 'a>>;

/// A place that documents go to.
pub(super) trait Outlet: Send {
    /// Hands documents on, in order, and says how many are in good hands. May be told the same
    /// again when it was not sure.
    fn send<'a>(&'a mut self, documents: &'a [Document]) -> Sending<'a>;
}

/// The place an adapter is set to; `session` is where its streams are.
pub(super) fn of(
    settings: &Settings,
    session: Session,
    inboxes: &str,
) -> Result<Box<dyn Outlet>, AdapterError> {
    let target = settings.target.clone();
    Ok(match service(settings)? {
        Some(service) => service,
        None if matches!(settings.kind, Kind::Subject) => Box::new(subject::Subject::new(session, target)),
        None => Box::new(stream::Stream::new(session, target, inboxes)),
    })
}

/// The same where it is a service beside the network.
///
/// # Errors
/// A file it needs, or an address, is none.
pub(super) fn service(settings: &Settings) -> Result<Option<Box<dyn Outlet>>, AdapterError> {
    Ok(match &settings.kind {
        Kind::Stream | Kind::Subject => None,
        Kind::Http(web) => Some(Box::new(http::Http::new(&settings.name, web)?)),
        #[cfg(feature = "kafka")]
        Kind::Kafka(kafka) => Some(Box::new(kafka::Kafka::new(&settings.name, kafka)?)),
        #[cfg(not(feature = "kafka"))]
        Kind::Kafka(_) => return Err(AdapterError::NotBuilt(settings.name.clone())),
        Kind::Kinesis(kinesis) => Some(Box::new(kinesis::Kinesis::new(&settings.name, kinesis)?)),
    })
}

/// Where a document goes: `%s` is its sender.
fn target(pattern: &str, document: &Document) -> String {
    pattern.replace("%s", &document.sender)
}
