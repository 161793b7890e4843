//! Which hubs a broker is a leaf of.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::core::admission::{Account, ChainCheck};
use crate::core::nats::nkey::UserSeed;

/// Port of hubs that name none, as nats-server has it.
const PORT: u16 = 7422;

/// A hub this broker keeps connected to.
#[derive(Clone)]
pub struct Leaf {
    /// Its name here, for logs and reports.
    pub name: String,
    /// Where it is; the first that answers is taken.
    pub addresses: Vec<HubAddress>,
    /// The account here whose messages and interest it shares.
    pub account: Account,
    /// TLS; without it all is said in clear text.
    pub tls: Option<LeafTls>,
    /// What it shows beside its certificate.
    pub proof: Option<LeafProof>,
    /// Where the hub is as well, asked before each round: it may move.
    pub whereabouts: Option<Whereabouts>,
    /// Name of our cluster for this hub, where it is to be another than clients are told.
    pub cluster: Option<String>,
}

impl Leaf {
    /// Whether it is the engine behind this broker, which it has started itself.
    pub fn is_engine(&self) -> bool {
        self.whereabouts.is_some()
    }
}

/// Addresses of a hub that moves.
pub type Whereabouts = Arc<dyn Fn() -> Vec<HubAddress> + Send + Sync>;

/// How a leaf proves who it is, by a signature over what the hub says.
#[derive(Clone)]
pub enum LeafProof {
    /// A file with a user's token and seed, as nats-server's tools write it.
    Credentials(PathBuf),
    /// A key the hub knows.
    Key(Arc<UserSeed>),
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf")
            .field("name", &self.name)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// How a leaf shows itself, and judges its hub.
#[derive(Clone)]
pub struct LeafTls {
    /// Certificate and trust, asked for at each connection: files change.
    pub config: Arc<dyn Fn() -> Result<Arc<ClientConfig>, String> + Send + Sync>,
    /// Whether the hub's chain is still good, asked after each reload.
    pub check: ChainCheck,
}

/// Host and port of a hub.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HubAddress {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for HubAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Why a text is no address of a hub.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HubAddressError {
    /// A protocol we do not speak.
    #[error("'{0}' is a protocol leafs are not connected by here; use leafnode://host:port or host:port")]
    Scheme(String),
    /// No host, or no port.
    #[error("'{0}' is no address of a hub; it is written host:port, as in hub.example.net:7422")]
    Form(String),
}

impl FromStr for HubAddress {
    type Err = HubAddressError;

    /// Reads `[leafnode://]host[:port]`. Users and passwords are taken off: they are never sent.
    fn from_str(text: &str) -> Result<Self, HubAddressError> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("leafnode", text));
        if !["leafnode", "nats-leaf", "nats", "tls"].contains(&scheme) {
            return Err(HubAddressError::Scheme(scheme.to_owned()));
        }
        let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest).trim_end_matches('/');
        let form = || HubAddressError::Form(rest.to_owned());
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, behind) = rest.split_once(']').ok_or_else(form)?;
                (host, behind.strip_prefix(':').or(behind.is_empty().then_some("")).ok_or_else(form)?)
            }
            // an IPv6 address without brackets has no port
            None if rest.matches(':').count() > 1 => (rest, ""),
            None => rest.split_once(':').unwrap_or((rest, "")),
        };
        let port = match port {
            "" => PORT,
            port => port.parse().ok().filter(|port| *port != 0).ok_or_else(form)?,
        };
        let unusable = |c: char| c.is_whitespace() || c.is_control() || c == '/';
        match host.is_empty() || host.contains(unusable) {
            true => Err(form()),
            false => Ok(Self { host: host.to_owned(), port }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_mistakes_told() {
        for (text, host, port) in [
            ("hub.example.net", "hub.example.net", PORT),
            ("hub.example.net:7000", "hub.example.net", 7000),
            ("leafnode://hub:7000/", "hub", 7000),
            ("nats-leaf://alice:pw@hub:7000", "hub", 7000),
            ("[::1]:7000", "::1", 7000),
            ("tls://[::1]", "::1", PORT),
            ("::1", "::1", PORT),
        ] {
            assert_eq!(text.parse(), Ok(HubAddress { host: host.to_owned(), port }), "{text}");
        }
        for text in
            ["", "hub:", "hub:0", "hub:x", "hub:99999", ":7000", "[::1", "[::1]x", "a b:1", "leafnode://"]
        {
            let read = text.parse::<HubAddress>();
            if text == "hub:" {
                // no port is the usual one
                assert!(read.is_ok());
            } else {
                assert!(matches!(read, Err(HubAddressError::Form(_))), "{text}: {read:?}");
            }
        }
        assert_eq!("wss://hub".parse::<HubAddress>(), Err(HubAddressError::Scheme("wss".to_owned())));
        assert_eq!(HubAddress { host: "::1".to_owned(), port: 1 }.to_string(), "[::1]:1");
    }
}
