//! Why a request could not be made.

use crate::core::connection::{ConnectError, HostError, PublishError};
use crate::core::security::SecurityError;

/// A request could not be made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the texts say it
pub enum ClientError {
    #[error(transparent)]
    Hosts(#[from] HostError),
    #[error(transparent)]
    Security(#[from] SecurityError),
    #[error("{error}{}", listed(.doubts))]
    Connect { error: ConnectError, doubts: Vec<String> },
    #[error("the request was not sent, or not to everybody: {0}")]
    Publish(#[from] PublishError),
    #[error("cannot set collective to '{0}', it is not on the list of known collectives: {1}")]
    Collective(String, String),
    #[error(
        "requests without filters have been disabled by plugin.choria.require_client_filter, add a filter such as -F, -C or -I"
    )]
    FilterRequired,
    #[error("{0}")]
    Unfit(String),
    #[error(
        "the broker does not let {caller} {what}: there, its certificate is not one of a client \
         (plugin.choria.network.client_certnames of the broker), or its permissions leave this out; the name of \
         this caller is from {origin}"
    )]
    Denied { caller: String, what: String, origin: String },
    #[error("the broker does not let this client listen, so nothing was sent: {0}")]
    Complained(String),
    #[error(
        "'{0}' is no federation: its name is one part of a subject, without dots, spaces and wildcards (--federations, \
         CHORIA_FED_COLLECTIVE, plugin.choria.federation.collectives)"
    )]
    Federation(String),
    #[error("no random numbers are to be had")]
    NoRandom,
    #[error("ttl is {0} seconds, a request needs at least 30; set ttl in the client configuration")]
    Ttl(i64),
}

fn listed(doubts: &[String]) -> String {
    doubts.iter().map(|doubt| format!("; {doubt}")).collect()
}
