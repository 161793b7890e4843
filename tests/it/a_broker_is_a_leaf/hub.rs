//! Stock nats-server as a hub, of the newest release and of the oldest we work with.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use choria::core::pki::{Kind, Options};
use serde_json::{Value, json};

use crate::nats_clients_see_no_difference::tools;
use crate::network::{Network, now};
use crate::process::Daemon;

/// Which release.
#[derive(Debug, Clone, Copy)]
pub enum Release {
    Oldest,
    Newest,
}

pub const RELEASES: [Release; 2] = [Release::Oldest, Release::Newest];

impl Release {
    pub fn program(self) -> PathBuf {
        match self {
            Release::Oldest => tools::older_nats_server(),
            Release::Newest => tools::nats_server(),
        }
    }
}

/// A hub that lets in whoever has a certificate of the network's CA, into account `choria`.
pub struct Hub {
    name: String,
    release: Release,
    settings: Value,
    dir: PathBuf,
    daemon: Option<Daemon>,
    pub clients: SocketAddr,
    pub leaves: SocketAddr,
}

impl Hub {
    pub fn start(network: &Network, release: Release) -> Hub {
        Hub::start_with(network, release, "hub", |_| {})
    }

    /// The same with other settings.
    pub fn start_with(
        network: &Network,
        release: Release,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> Hub {
        let dir = network.path(&format!("{name}-{release:?}"));
        fs::create_dir_all(&dir).expect("a directory");
        let certname = "hub.example.net";
        let issued = network.ca.issue(
            Kind::Broker,
            certname,
            &Options { loopback: true, ..Options::default() },
            now(),
        );
        let (certificate, key) = (dir.join("hub.pem"), dir.join("hub-key.pem"));
        issued.and_then(|issued| issued.write_to(&certificate, &key)).expect("a certificate");
        let tls = json!({
            "cert_file": certificate.display().to_string(), "key_file": key.display().to_string(),
            "ca_file": network.ca_file().display().to_string(), "verify": true, "timeout": 5,
        });
        let mut settings = json!({
            "server_name": name,
            "listen": "127.0.0.1:-1",
            "tls": tls,
            "leafnodes": {"listen": "127.0.0.1:-1", "tls": tls},
            "jetstream": {"store_dir": dir.join("streams").display().to_string()},
            "no_auth_user": "choria",
            "system_account": "system",
            "accounts": {
                "choria": {"jetstream": "enabled", "users": [{"user": "choria", "password": "nobody-knows"}]},
                "system": {"users": [{"user": "system", "password": "nobody-knows"}]},
            },
        });
        change(&mut settings);
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut hub = Hub {
            name: name.to_owned(),
            release,
            settings,
            dir,
            daemon: None,
            clients: nowhere,
            leaves: nowhere,
        };
        hub.come_back();
        hub
    }

    /// Starts it at the ports it had.
    pub fn come_back(&mut self) {
        let file = self.dir.join("hub.conf");
        fs::write(&file, self.settings.to_string()).expect("a file");
        let mut command = Command::new(self.release.program());
        command.arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let daemon = Daemon::start(&self.name, command);
        let address = |texts: &[&str]| -> SocketAddr {
            daemon.says(texts).rsplit(' ').find_map(|word| word.parse().ok()).expect("an address")
        };
        self.clients = address(&["Listening for client connections on"]);
        self.leaves = address(&["Listening for leafnode connections on"]);
        daemon.says(&["Server is ready"]);
        self.settings["listen"] = self.clients.to_string().into();
        self.settings["leafnodes"]["listen"] = self.leaves.to_string().into();
        self.daemon = Some(daemon);
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.daemon = None;
    }

    pub fn log(&self) -> &Daemon {
        self.daemon.as_ref().expect("it runs")
    }

    /// Lines that make a broker a leaf of it.
    pub fn remote(&self) -> String {
        remote("hub", &self.leaves.to_string())
    }
}

/// Lines that make a broker a leaf of one hub.
pub fn remote(name: &str, urls: &str) -> String {
    format!(
        "plugin.choria.network.x509_permissions = by-name\n\
         plugin.choria.network.leafnode_remotes = {name}\n\
         plugin.choria.network.leafnode_remote.{name}.url = {urls}\n\
         plugin.choria.network.gateway_name = SITE\n"
    )
}
