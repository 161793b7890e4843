//! The same four brokers, of ours and of nats-server.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use choria::core::nats::nkey::UserKey;
use choria::core::pki::{Ca, Kind as CertificateKind, Options};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::tools;
use crate::network::now;
use crate::process::Daemon;

pub const TOKEN: &str = "a-token";
const MAX_PAYLOAD: usize = 8192;
const MAX_SUBSCRIPTIONS: usize = 50;

/// Whose brokers.
#[derive(Clone, Copy)]
pub enum Kind {
    Ours,
    NatsServer,
}

/// Certificates and keys that both kinds share.
pub struct Setting {
    dir: TempDir,
    pub nkey: [u8; 32],
    pub foreign_nkey: [u8; 32],
}

impl Setting {
    pub fn new() -> Setting {
        let dir = TempDir::new().expect("a temporary directory");
        let path = |name: &str| dir.path().join(name);
        let ca = Ca::create(&path("ca"), "Test CA", now()).expect("a CA");
        let foreign = Ca::create(&path("foreign-ca"), "Foreign CA", now()).expect("a CA");
        let options = Options { loopback: true, ..Options::default() };
        for (ca, kind, name) in [
            (&ca, CertificateKind::Broker, "broker"),
            (&ca, CertificateKind::Client, "client"),
            (&foreign, CertificateKind::Client, "foreign"),
        ] {
            let issued = ca.issue(kind, name, &options, now());
            let (certificate, key) = (path(&format!("{name}.pem")), path(&format!("{name}-key.pem")));
            issued.and_then(|issued| issued.write_to(&certificate, &key)).expect("a certificate");
        }
        fs::copy(ca.certificate_file(), path("ca.pem")).expect("a copy");
        Setting { dir, nkey: [1; 32], foreign_nkey: [2; 32] }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

/// The key pair of a seed.
pub fn pair(seed: &[u8; 32]) -> (Ed25519KeyPair, UserKey) {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("a key");
    let key = UserKey::new(pair.public_key().as_ref().try_into().expect("32 bytes"));
    (pair, key)
}

/// A seed as nkeys are written: `SU`, base32, checksum.
fn seed_text(seed: &[u8; 32]) -> String {
    let mut bytes = vec![(18 << 3) | (20 << 3 >> 5), (20 << 3 & 31) << 3];
    bytes.extend_from_slice(seed);
    let crc = bytes.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| (crc << 1) ^ ((crc >> 15) * 0x1021))
    });
    bytes.extend_from_slice(&crc.to_le_bytes());
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let value = |chunk: &[u8]| {
        let text = format!("{:0<5}", String::from_utf8_lossy(chunk));
        usize::from_str_radix(&text, 2).expect("binary")
    };
    bits.as_bytes().chunks(5).map(|chunk| char::from(letters[value(chunk)])).collect()
}

/// Four running brokers.
pub struct Servers {
    pub addresses: [(&'static str, SocketAddr); 4],
    settings: PathBuf,
    pub certificates: PathBuf,
    pub nkeys: [[u8; 32]; 2],
    _running: Vec<Daemon>,
}

impl Servers {
    pub fn start(setting: &Setting, kind: Kind) -> Servers {
        let mut running = vec![];
        let addresses = ["open", "users", "token", "tls"].map(|name| {
            let (daemon, address) = start(setting, kind, name);
            running.push(daemon);
            (name, address)
        });
        let mut settings = json!({
            "token_text": TOKEN, "ca": setting.text("ca.pem"),
            "client_cert": setting.text("client.pem"), "client_key": setting.text("client-key.pem"),
            "foreign_cert": setting.text("foreign.pem"), "foreign_key": setting.text("foreign-key.pem"),
            "nkey_seed": seed_text(&setting.nkey), "foreign_seed": seed_text(&setting.foreign_nkey),
        });
        for (name, address) in addresses {
            settings[name] = format!("nats://{address}").into();
        }
        let name = match kind {
            Kind::Ours => "ours.json",
            Kind::NatsServer => "nats-server.json",
        };
        fs::write(setting.path(name), settings.to_string()).expect("a file");
        Servers {
            addresses,
            settings: setting.path(name),
            certificates: setting.path(""),
            nkeys: [setting.nkey, setting.foreign_nkey],
            _running: running,
        }
    }

    /// Where scripts read all this.
    pub fn settings_file(&self) -> &PathBuf {
        &self.settings
    }

    pub fn address(&self, name: &str) -> SocketAddr {
        self.addresses.iter().find(|(known, _)| *known == name).expect("a broker of that name").1
    }
}

/// One that is open to all, with its monitoring pages: where clients connect, and the pages.
pub fn monitored(setting: &Setting, kind: Kind) -> (Daemon, SocketAddr, SocketAddr) {
    let (daemon, clients) = start(setting, kind, "monitored");
    let line = match kind {
        Kind::Ours => daemon.says(&["monitoring is listening on 127"]),
        Kind::NatsServer => daemon.says(&["Starting http monitor on"]),
    };
    let pages = line.rsplit(' ').find_map(|word| word.parse().ok());
    (daemon, clients, pages.expect("an address in the log line"))
}

fn start(setting: &Setting, kind: Kind, name: &str) -> (Daemon, SocketAddr) {
    let mut command = match kind {
        Kind::Ours => {
            let file = setting.path(&format!("{name}.ours.json"));
            fs::write(&file, ours(setting, name).to_string()).expect("a file");
            let mut command = Command::new(tools::plain_broker());
            command.arg(file);
            command
        }
        Kind::NatsServer => {
            let file = setting.path(&format!("{name}.conf"));
            fs::write(&file, theirs(setting, name)).expect("a file");
            let mut command = Command::new(tools::nats_server());
            command.arg("-c").arg(file);
            command
        }
    };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let daemon = Daemon::start(name, command);
    let line = match kind {
        Kind::Ours => daemon.says(&["the broker is listening on"]),
        Kind::NatsServer => daemon.says(&["Listening for client connections on"]),
    };
    let address = line.rsplit(' ').find_map(|word| word.parse().ok());
    (daemon, address.expect("an address in the log line"))
}

/// Permissions, in the form both understand.
fn users(setting: &Setting) -> [(&'static str, Vec<Value>); 2] {
    let (_, key) = pair(&setting.nkey);
    let red = vec![
        json!({"user": "alice", "password": "pw-alice"}),
        json!({"nkey": key.to_string()}),
        json!({"user": "limited", "password": "pw-limited", "permissions": {
            "publish": {"allow": ["out.>"], "deny": ["out.secret"]},
            "subscribe": {"allow": ["in.*", "jobs.> workers"], "deny": ["in.secret"]},
        }}),
        json!({"user": "service", "password": "pw-service", "permissions": {
            "subscribe": ["serve.>"], "allow_responses": true,
        }}),
    ];
    [("RED", red), ("BLUE", vec![json!({"user": "bob", "password": "pw-bob"})])]
}

fn ours(setting: &Setting, name: &str) -> Value {
    let mut file = json!({
        "listen": "127.0.0.1:0",
        "limits": {"max_payload": MAX_PAYLOAD, "max_subscriptions": MAX_SUBSCRIPTIONS},
    });
    match name {
        "users" => {
            let all = users(setting).into_iter().flat_map(|(account, users)| {
                users.into_iter().map(move |mut user| {
                    user["account"] = account.into();
                    user
                })
            });
            file["users"] = all.collect();
        }
        "token" => file["users"] = json!([{"token": TOKEN}]),
        "monitored" => file["monitor"] = 0.into(),
        "tls" => {
            file["tls"] = json!({
                "cert": setting.text("broker.pem"), "key": setting.text("broker-key.pem"),
                "ca": setting.text("ca.pem"), "verify": true,
            });
        }
        _ => {}
    }
    file
}

fn theirs(setting: &Setting, name: &str) -> String {
    // JSON is a subset of its configuration language
    let mut file = json!({
        "listen": "127.0.0.1:-1", "max_payload": MAX_PAYLOAD, "max_subscriptions": MAX_SUBSCRIPTIONS,
    });
    match name {
        "users" => {
            for (account, users) in users(setting) {
                file["accounts"][account]["users"] = users.into();
            }
        }
        "token" => file["authorization"] = json!({"token": TOKEN}),
        "monitored" => file["http"] = "127.0.0.1:-1".into(),
        "tls" => {
            file["tls"] = json!({
                "cert_file": setting.text("broker.pem"), "key_file": setting.text("broker-key.pem"),
                "ca_file": setting.text("ca.pem"), "verify": true, "timeout": 5,
            });
        }
        _ => {}
    }
    file.to_string()
}
