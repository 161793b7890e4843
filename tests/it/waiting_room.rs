//! A network with a waiting room: tokens, nodes that wait, and a provisioner by hand.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use choria::core::config::{Config, Fixed, Role, System};
use choria::core::connection::{Purpose, ServerList, Session, SessionOptions};
use choria::core::protocol::filter::Filter;
use choria::core::protocol::subjects;
use choria::core::provisioner::calls::{Ask, CallError, Calls};
use choria::core::provisioning::COLLECTIVE;
use choria::core::security::Signer;
use choria::core::security::tokens::provisioning::PURPOSE;
use choria::core::security::tokens::{BrokerTrust, ProvisioningClaims, SigningKey, StandardClaims};
use rcgen::{CertificateSigningRequestParams, Issuer, KeyPair};
use serde_json::{Map, Value, json};

use crate::network::{Network, now};
use crate::process::{Daemon, PATIENCE, named_program};
use crate::wire;

/// What nodes want to be told.
pub const ACCESS: &str = "toomanysecrets";
pub const PASSWORD: &str = "pr0visioner";

pub struct WaitingRoom {
    pub network: Network,
    pub key: SigningKey,
}

impl WaitingRoom {
    pub fn open() -> WaitingRoom {
        WaitingRoom::open_with("")
    }

    /// With `lines` in the broker's configuration.
    pub fn open_with(lines: &str) -> WaitingRoom {
        let key = SigningKey::from_seed(&[7; 32]).expect("a key");
        let network = Network::start_with(&format!(
            "plugin.choria.network.x509_permissions = by-name\n\
             collectives = mcollective,prov_backplane\n\
             plugin.choria.network.provisioning.signer_cert = {}\n\
             plugin.choria.network.provisioning.client_password = {PASSWORD}\n{lines}",
            key.public_hex().expect("ed25519"),
        ));
        WaitingRoom { network, key }
    }

    /// A token that names the broker and carries the CA.
    pub fn claims(&self) -> ProvisioningClaims {
        let mut claims = ProvisioningClaims {
            token: ACCESS.into(),
            urls: self.network.address().to_string(),
            by_default: true,
            standard: StandardClaims {
                purpose: PURPOSE.into(),
                expires: Some(now() + 3600),
                ..StandardClaims::default()
            },
            ..ProvisioningClaims::default()
        };
        claims
            .set_trust(&BrokerTrust { ca: self.network.ca.certificate_pem().to_owned(), pin: String::new() });
        claims
    }

    pub fn token(&self, file: &str, claims: &ProvisioningClaims) -> PathBuf {
        self.network.file(file, &self.key.sign(claims).expect("a token"))
    }

    /// A node with a directory of its own, and what it is started by.
    pub fn node(&self, name: &str) -> Waiting {
        let token = self.token(&format!("{name}/provisioning.jwt"), &self.claims());
        Waiting {
            name: name.to_owned(),
            dir: self.network.path(name),
            home: self.network.path(""),
            token,
            daemon: None,
        }
    }

    pub async fn provisioner(&self) -> Provisioner {
        self.provisioner_called("provisioner.example.net").await
    }

    pub async fn provisioner_called(&self, identity: &str) -> Provisioner {
        let (session, signer, id) = self.session().await;
        let calls = Calls::new(session.clone(), Some(signer), identity, &id).await;
        Provisioner { calls, session }
    }

    /// The connection of a provisioner, what it signs by, and its caller id.
    pub async fn session(&self) -> (Session, Signer, String) {
        let caller = self.network.caller("provisioner.mcollective");
        let provider = wire::provider(&caller.config, &caller.name);
        let env = Fixed::default().with_var("MCOLLECTIVE_CERTNAME", &caller.name);
        let config = Config::load(Role::Client, Some(&caller.config), &env).expect("a configuration");
        let servers = ServerList::from_config(&config, Purpose::Fleet, &System).expect("brokers");
        let id = provider.caller_id().as_str().to_owned();
        let mut options = SessionOptions::new(&id, servers, subjects::caller_inbox_prefix(COLLECTIVE, &id));
        options.tls = Some(provider.client_tls().expect("TLS"));
        options.user = Some(("provisioner".to_owned(), PASSWORD.to_owned().into()));
        options.give_up_after = Some(PATIENCE);
        let session = Session::connect(options).await.expect("a connection");
        let signer = provider.signer().expect("an RSA key");
        (session, signer, id)
    }

    /// A certificate of the network's CA for a request.
    pub fn sign(&self, csr: &str) -> String {
        let dir = self.network.path("ca");
        let text = |name: &str| fs::read_to_string(dir.join(name)).expect("a file of the CA");
        let key = KeyPair::from_pem(&text("ca-key.pem")).expect("a key");
        let issuer = Issuer::from_ca_cert_pem(&text("ca.pem"), key).expect("a CA");
        let request = CertificateSigningRequestParams::from_pem(csr).expect("a request");
        request.signed_by(&issuer).expect("a certificate").pem()
    }
}

/// A node that waits, or did.
pub struct Waiting {
    pub name: String,
    pub dir: PathBuf,
    home: PathBuf,
    pub token: PathBuf,
    daemon: Option<Daemon>,
}

impl Waiting {
    pub fn config(&self) -> PathBuf {
        self.dir.join("server.conf")
    }

    pub fn command(&self) -> Command {
        self.command_by(std::path::Path::new(env!("CARGO_BIN_EXE_choria")))
    }

    /// The same by another path.
    pub fn command_by(&self, program: &std::path::Path) -> Command {
        let mut command = named_program(program, &self.home);
        self.words(&mut command);
        command
    }

    pub fn words(&self, command: &mut Command) {
        command.args(["server", "run", "--identity", &self.name, "--config"]).arg(self.config());
        command.arg("--provisioning-token").arg(&self.token);
    }

    pub fn start(&mut self) {
        self.start_by(self.command());
    }

    pub fn start_by(&mut self, command: Command) {
        self.daemon = None;
        self.daemon = Some(Daemon::start(&self.name, command));
    }

    pub fn log(&self) -> &Daemon {
        self.daemon.as_ref().expect("it was started")
    }

    pub fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("it was started")
    }

    #[track_caller]
    pub fn waits(&self, mark: usize) {
        self.log().says_after(mark, &["answering requests", "choria_provision"]);
    }

    /// Settings that make it a member of `room`.
    pub fn settings(&self, room: &WaitingRoom) -> Map<String, Value> {
        let ssl = |file: &str| self.dir.join("ssl").join(file).display().to_string();
        let settings = json!({
            "identity": self.name,
            "plugin.choria.server.provision": "false",
            "plugin.choria.middleware_hosts": room.network.address().to_string(),
            "plugin.security.provider": "file",
            "plugin.security.file.certificate": ssl("certificate.pem"),
            "plugin.security.file.key": ssl("private.pem"),
            "plugin.security.file.ca": ssl("ca.pem"),
            "plugin.choria.status_file_path": self.dir.join("status.json").display().to_string(),
            "plugin.choria.status_update_interval": "1",
        });
        settings.as_object().expect("an object").clone()
    }

    /// Its files, by path, with their texts.
    pub fn files(&self) -> Vec<(String, String)> {
        let mut found = vec![];
        let mut dirs = vec![self.dir.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir).expect("a directory").flatten() {
                let path = entry.path();
                let name = path.strip_prefix(&self.dir).expect("below").display().to_string();
                if path.is_dir() {
                    found.push((name + "/", String::new()));
                    dirs.push(path);
                } else {
                    found.push((name, fs::read_to_string(&path).unwrap_or_default()));
                }
            }
        }
        found.sort();
        found
    }
}

/// Asks waiting nodes.
pub struct Provisioner {
    calls: Calls,
    pub session: Session,
}

impl Provisioner {
    pub async fn ask(
        &self,
        node: &str,
        action: &'static str,
        data: Value,
    ) -> Result<Map<String, Value>, CallError> {
        self.ask_agent(node, "choria_provision", action, data).await
    }

    pub async fn ask_agent(
        &self,
        node: &str,
        agent: &'static str,
        action: &'static str,
        data: Value,
    ) -> Result<Map<String, Value>, CallError> {
        let mut data = data.as_object().cloned().unwrap_or_default();
        if agent == "choria_provision" {
            data.entry("token").or_insert(json!(ACCESS));
        }
        let first = Arc::default();
        let ask = Ask { agent, action, data, shared: false, filter: Filter::default(), first };
        let node: Arc<str> = node.into();
        self.calls.ask(&node, &ask, PATIENCE).await.map(|body| body.data)
    }

    /// Why it is refused.
    #[track_caller]
    pub fn refused(outcome: Result<Map<String, Value>, CallError>) -> String {
        match outcome {
            Err(error @ CallError::Refused { .. }) => error.to_string(),
            other => panic!("not refused: {other:?}"),
        }
    }

    /// The names that answer a discovery within a moment, once there are `least`.
    pub async fn discover(&self, least: usize) -> Vec<String> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let mut answers = self.calls.discover().await.expect("a connection");
            let mut names = vec![];
            while let Ok(Some(name)) = tokio::time::timeout(Duration::from_millis(500), answers.recv()).await
            {
                names.push(name);
            }
            names.sort();
            names.dedup();
            if names.len() >= least {
                return names;
            }
            assert!(tokio::time::Instant::now() < deadline, "only {names:?} answer");
        }
    }
}

/// A text of a reply.
#[track_caller]
pub fn text<'a>(reply: &'a Map<String, Value>, name: &str) -> &'a str {
    reply.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("no {name} in {reply:?}"))
}
