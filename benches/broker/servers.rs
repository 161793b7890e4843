//! The servers that are measured, each a process of its own.

use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use choria::core::admission::{CurrentCertificates, PeerKind, X509Authenticator, X509Options};
use choria::core::broker::{Broker, Limits, Listener, Options};
use choria::core::config::{Config, Fixed, Role};
use choria::core::security::Provider;

use super::{Failure, floor};

/// A server in a process of its own.
pub struct Server {
    process: Child,
    pub address: SocketAddr,
}

impl Server {
    pub fn ours(dir: &Path, kind: &str) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").arg(dir).arg(kind).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self::start(command, |process| Box::new(process.stdout.take().expect("a pipe")))
    }

    /// One with the same certificates, rules and time-outs.
    pub fn nats_server(dir: &Path, program: &Path) -> Result<Self, Failure> {
        let path = |name: &str| dir.join(name).display().to_string();
        let configuration = serde_json::json!({
            "listen": "127.0.0.1:-1", "authorization": {"timeout": 30},
            "tls": {
                "cert_file": path("server.pem"), "key_file": path("server-key.pem"),
                "ca_file": path("ca.pem"), "verify": true, "timeout": 30,
            },
        });
        std::fs::write(dir.join("nats-server.conf"), configuration.to_string())?;
        let mut command = Command::new(program);
        command.arg("-c").arg(dir.join("nats-server.conf")).stdout(Stdio::null()).stderr(Stdio::piped());
        Self::start(command, |process| Box::new(process.stderr.take().expect("a pipe")))
    }

    fn start(
        mut command: Command,
        says: impl FnOnce(&mut Child) -> Box<dyn Read + Send>,
    ) -> Result<Self, Failure> {
        let mut process = command.spawn()?;
        let mut lines = BufReader::new(says(&mut process)).lines();
        let address = loop {
            let line = lines.next().ok_or("the server ended before it listened")??;
            if line.to_lowercase().contains("listening for client connections on") {
                break line.rsplit(' ').find_map(|word| word.parse().ok()).ok_or("no address")?;
            }
        };
        // a server whose log nobody reads would wait for that in the end
        std::thread::spawn(move || lines.count());
        Ok(Self { process, address })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Is the server, until standard input ends.
pub fn serve_until_told(dir: &Path, kind: &str) -> Result<(), Failure> {
    if kind == "floor" {
        return floor::serve(provider(dir)?.server_tls()?);
    }
    let broker = start(dir, kind == "buffered")?;
    println!("listening for client connections on {}", broker.local_addr());
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// The security of `choria broker run`.
pub fn provider(dir: &Path) -> Result<Provider, Failure> {
    let file = |name: &str| dir.join(name).display().to_string();
    let config = Config::from_text(
        Role::Broker,
        &format!(
            "identity = server.example.net\nplugin.security.provider = file\n\
             plugin.security.file.certificate = {}\nplugin.security.file.key = {}\n\
             plugin.security.file.ca = {}\n",
            file("server.pem"),
            file("server-key.pem"),
            file("ca.pem")
        ),
    )?;
    Ok(Provider::new(&config, Role::Broker, &Fixed::default())?)
}

pub fn rules(provider: &Provider) -> CurrentCertificates<X509Authenticator> {
    CurrentCertificates::of_trust(X509Authenticator::new(X509Options::default()), provider.trust())
}

pub fn limits() -> Limits {
    let long = Duration::from_secs(30);
    let mut limits = Limits { tls_timeout: long, auth_timeout: long, ..Limits::default() };
    // those who hear are one identity here, which is bounded in how often it hears one message
    limits.of_mut(PeerKind::Client).connections = 10_000_000;
    limits
}

fn start(dir: &Path, buffered_tls: bool) -> Result<Broker, Failure> {
    let provider = provider(dir)?;
    Ok(Broker::start(Options {
        listeners: vec![Listener::tls(SocketAddr::from(([127, 0, 0, 1], 0)))],
        tls: Some(provider.server_tls()?),
        authenticator: Arc::new(rules(&provider)),
        limits: limits(),
        buffered_tls,
        ..Options::default()
    })?)
}
