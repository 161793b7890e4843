//! The file nats-server is given. Pure.
//!
//! Nothing in it is secret: users are public keys or the hash of a password that nobody can guess, and
//! certificates are named by their files.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde_json::{Map, Value, json};

use super::word::USER;
use crate::core::nats::nkey::UserKey;

/// The account of the server itself, as brokers of the original call it. What streams of several machines agree on is kept
/// below this name: with another one they would be found to be nobody's, and removed.
pub(super) const SYSTEM: &str = "system";
/// Port of engines that name none, as the original has it.
const PORT: u16 = 5222;

/// What an engine is to be.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name, another one on each machine.
    pub server_name: String,
    /// Accounts, and the key the broker joins each by.
    pub accounts: Vec<(&'static str, UserKey)>,
    /// Largest payload.
    pub max_payload: usize,
    /// The other machines, if any.
    pub cluster: Option<Cluster>,
    /// Where streams are kept, if any are.
    pub store: Option<PathBuf>,
    /// Most consumers of a stream.
    pub max_consumers: i64,
    /// Hash of the password whoever looks after the streams logs in by.
    pub keeper: Option<String>,
}

/// Machines that are one broker.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Its name, the same on each.
    pub name: String,
    /// Where the others connect.
    pub listen: SocketAddr,
    /// All machines; this one may be among them.
    pub peers: Vec<Peer>,
    /// Which of them this one is, where that is known.
    pub own: Option<Peer>,
    /// How they know each other. Nothing: brokers of the original are among them, who speak clear text and
    /// ask nobody who he is (spec 04 §1.5).
    pub tls: Option<PeerTls>,
}

/// Files that machines of a cluster know each other by.
#[derive(Debug, Clone)]
pub struct PeerTls {
    /// The broker's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Whoever signed those of the others.
    pub ca: PathBuf,
}

/// A machine of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name, which its certificate has.
    pub host: String,
    /// Port its engine listens on.
    pub port: u16,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Why a text names no machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Not a host, or not a port.
    #[error("'{0}' is no machine of a cluster; it is written host:port, as in broker2.example.net:5222")]
    Form(String),
    /// An address, which no certificate of a broker names.
    #[error(
        "'{0}' is an address: brokers of a cluster know each other by the names in their certificates, write the name"
    )]
    Address(String),
}

impl Peer {
    /// Reads `[nats://]host[:port]`; without a port it is `port`.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn parse(text: &str, port: u16) -> Result<Self, PeerError> {
        let form = || PeerError::Form(text.to_owned());
        let rest = text.trim().strip_prefix("nats://").unwrap_or(text.trim()).trim_end_matches('/');
        if rest.matches(':').count() > 1 {
            return Err(PeerError::Address(rest.to_owned()));
        }
        let (host, port) = match rest.split_once(':') {
            None => (rest, port),
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0).ok_or_else(form)?),
        };
        if host.parse::<std::net::Ipv4Addr>().is_ok() {
            return Err(PeerError::Address(host.to_owned()));
        }
        // what a certificate can name, and an address cannot hide anything in
        let of_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        match !host.is_empty() && host.chars().all(of_name) {
            true => Ok(Self { host: host.to_owned(), port }),
            false => Err(form()),
        }
    }
}

impl FromStr for Peer {
    type Err = PeerError;

    fn from_str(text: &str) -> Result<Self, PeerError> {
        Self::parse(text, PORT)
    }
}

impl Settings {
    /// The text of the file: JSON, which nats-server's own language takes in.
    pub fn text(&self) -> String {
        let mut file = json!({
            "server_name": self.server_name,
            // for nobody, but it cannot be switched off
            "listen": "127.0.0.1:-1",
            "logtime": false,
            "max_payload": self.max_payload,
            "leafnodes": {"listen": "127.0.0.1:-1", "no_advertise": true},
            "system_account": SYSTEM,
            "accounts": self.accounts(),
        });
        if let Some(cluster) = &self.cluster {
            file["cluster"] = cluster.value();
        }
        if let Some(store) = &self.store {
            file["jetstream"] = json!({"store_dir": store.display().to_string()});
        }
        file.to_string()
    }

    fn accounts(&self) -> Value {
        let mut accounts = Map::new();
        // the server's own, which nobody joins unless whoever runs the network has a password for it
        accounts.insert(SYSTEM.to_owned(), json!({}));
        for (name, key) in &self.accounts {
            accounts.insert((*name).to_owned(), json!({"users": [{"nkey": key.to_string()}]}));
        }
        if let Some(choria) = accounts.get_mut("choria")
            && self.store.is_some()
        {
            // it counts them for each stream of the account
            choria["jetstream"] = json!({"max_consumers": self.max_consumers});
            if let (Some(hash), Some(users)) = (&self.keeper, choria["users"].as_array_mut()) {
                users.push(json!({"user": USER, "password": hash}));
            }
        }
        if accounts.contains_key("choria") && accounts.contains_key("provisioning") {
            self.link(&mut accounts);
        }
        accounts.into()
    }

    /// What crosses between the fleet and those who wait (spec 04 §2).
    fn link(&self, accounts: &mut Map<String, Value>) {
        const INFO: &str = "$JS.API.STREAM.INFO.KV_CHORIA_LEADER_ELECTION";
        const KEY: &str = "$KV.CHORIA_LEADER_ELECTION.provisioner";
        let events = "choria.lifecycle.>";
        let (mut exports, mut imports) = (vec![], vec![]);
        if self.store.is_some() {
            for subject in [INFO, KEY] {
                exports.push(
                    json!({"service": subject, "response_type": "singleton", "accounts": ["provisioning"]}),
                );
            }
            for (subject, to) in [
                (INFO, Some("choria.streams.STREAM.INFO.KV_CHORIA_LEADER_ELECTION".to_owned())),
                (KEY, None),
                (KEY, Some(format!("choria.streams.{KEY}"))),
            ] {
                let mut import = json!({"service": {"account": "choria", "subject": subject}});
                if let Some(to) = to {
                    import["to"] = to.into();
                }
                imports.push(import);
            }
        }
        if let Some(choria) = accounts.get_mut("choria") {
            choria["imports"] = json!([{"stream": {"account": "provisioning", "subject": events}}]);
            choria["exports"] = exports.into();
        }
        if let Some(provisioning) = accounts.get_mut("provisioning") {
            provisioning["exports"] = json!([{"stream": events, "accounts": ["choria"]}]);
            provisioning["imports"] = imports.into();
        }
    }
}

impl Cluster {
    fn value(&self) -> Value {
        let routes: Vec<String> = self.peers.iter().map(|peer| format!("nats://{peer}")).collect();
        let mut value = json!({
            "name": self.name,
            "listen": self.listen.to_string(),
            "routes": routes,
        });
        match &self.tls {
            Some(files) => {
                value["tls"] = json!({
                    "cert_file": files.certificate.display().to_string(),
                    "key_file": files.key.display().to_string(),
                    "ca_file": files.ca.display().to_string(),
                    "verify_cert_and_check_known_urls": true,
                    "timeout": 5,
                });
            }
            // the original's take one connection for all accounts
            None => value["pool_size"] = (-1).into(),
        }
        // without a name nats-servers tell each other addresses, which no certificate has, and try them for ever
        match &self.own {
            Some(own) => value["cluster_advertise"] = own.to_string().into(),
            None => value["no_advertise"] = true.into(),
        }
        value
    }

    /// Which of these machines is that of a broker, by the names it has and the port it listens on.
    pub fn find_own(peers: &[Peer], names: &[String], port: u16) -> Option<Peer> {
        let is_own = |peer: &&Peer| {
            peer.port == port && names.iter().any(|name| name.eq_ignore_ascii_case(&peer.host))
        };
        let mut own = peers.iter().filter(is_own);
        own.next().filter(|_| own.next().is_none()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            server_name: "b1.example.net".to_owned(),
            accounts: vec![("choria", UserKey::new([1; 32])), ("provisioning", UserKey::new([2; 32]))],
            max_payload: 1_048_576,
            cluster: Some(Cluster {
                name: "CHORIA".to_owned(),
                listen: "[::]:5222".parse().unwrap(),
                peers: vec!["b1.example.net".parse().unwrap(), "nats://b2.example.net:6000".parse().unwrap()],
                own: None,
                tls: Some(PeerTls { certificate: "/c".into(), key: "/k".into(), ca: "/a".into() }),
            }),
            store: None,
            max_consumers: 4096,
            keeper: None,
        }
    }

    #[test]
    fn nobody_joins_but_peers_by_name_and_this_broker_by_key() {
        let file: Value = serde_json::from_str(&settings().text()).unwrap();
        assert_eq!(
            file["cluster"]["routes"],
            json!(["nats://b1.example.net:5222", "nats://b2.example.net:6000"])
        );
        assert_eq!(file["cluster"]["tls"]["verify_cert_and_check_known_urls"], true);
        for listener in ["listen", "leafnodes"] {
            let address = file[listener].as_str().or(file[listener]["listen"].as_str()).unwrap();
            assert!(address.starts_with("127.0.0.1:"), "{listener}");
        }
        for (_, account) in file["accounts"].as_object().unwrap() {
            for user in account["users"].as_array().into_iter().flatten() {
                assert_eq!(user.as_object().unwrap().keys().collect::<Vec<_>>(), ["nkey"]);
            }
        }
        assert!(file.get("no_auth_user").is_none() && file.get("jetstream").is_none());
    }

    #[test]
    fn others_are_told_a_name_and_no_address() {
        let mut settings = settings();
        let cluster = settings.cluster.as_mut().unwrap();
        let names = ["B1.example.net".to_owned(), "localhost".to_owned()];
        assert_eq!(Cluster::find_own(&cluster.peers, &names, 5000), None);
        assert_eq!(Cluster::find_own(&cluster.peers, &names[1..], 5222), None);
        cluster.own = Cluster::find_own(&cluster.peers, &names, 5222);
        let file: Value = serde_json::from_str(&settings.text()).unwrap();
        assert_eq!(file["cluster"]["cluster_advertise"], "b1.example.net:5222");
        assert!(file["cluster"].get("no_advertise").is_none());
        // which of two it is nobody knows
        let two: Vec<Peer> = ["localhost:1", "localhost:1"].map(|text| text.parse().unwrap()).into();
        assert_eq!(Cluster::find_own(&two, &names, 1), None);
    }

    #[test]
    fn where_the_originals_are_members_it_is_like_them() {
        let mut settings = settings();
        settings.cluster.as_mut().unwrap().tls = None;
        let file: Value = serde_json::from_str(&settings.text()).unwrap();
        assert_eq!((&file["cluster"]["pool_size"], file["cluster"].get("tls")), (&json!(-1), None));
        assert_eq!((&file["system_account"], &file["accounts"]["system"]), (&json!("system"), &json!({})));
        // with and without them, with and without a password for it
        settings.accounts.push(("system", UserKey::new([3; 32])));
        assert!(settings.text().contains("\"system_account\":\"system\""));
    }

    #[test]
    fn accounts_are_linked_as_far_as_there_is_something_to_link() {
        let file: Value = serde_json::from_str(&settings().text()).unwrap();
        assert_eq!(file["accounts"]["choria"]["exports"], json!([]));
        assert_eq!(file["accounts"]["choria"]["imports"][0]["stream"]["subject"], "choria.lifecycle.>");
        let with_streams =
            Settings { store: Some("/s".into()), keeper: Some("$2b$04$x".to_owned()), ..settings() };
        let file: Value = serde_json::from_str(&with_streams.text()).unwrap();
        assert_eq!(file["accounts"]["choria"]["jetstream"], json!({"max_consumers": 4096}));
        let keeper = json!({"user": "streams", "password": "$2b$04$x"});
        assert_eq!(file["accounts"]["choria"]["users"][1], keeper);
        assert_eq!(file["accounts"]["provisioning"]["imports"].as_array().map(Vec::len), Some(3));
        let alone = Settings { accounts: settings().accounts[..1].to_vec(), cluster: None, ..settings() };
        let file: Value = serde_json::from_str(&alone.text()).unwrap();
        assert!(file.get("cluster").is_none() && file["accounts"]["choria"].get("imports").is_none());
    }

    #[test]
    fn peers_are_read_and_mistakes_told() {
        assert_eq!("b1:7".parse(), Ok(Peer { host: "b1".to_owned(), port: 7 }));
        for text in ["", "b1:", "b1:0", "b1:x", "a b:1", "user:pw@b1:1", "b1/x", "b1\"x"] {
            assert!(text.parse::<Peer>().is_err(), "{text}");
        }
        for text in ["10.0.0.1:5222", "[::1]:5222", "::1"] {
            assert!(matches!(text.parse::<Peer>(), Err(PeerError::Address(_))), "{text}");
        }
    }
}
