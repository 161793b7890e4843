//! A NATS broker in one's own program: listeners, TLS, users, limits and
//! monitoring from one JSON file.
//!
//! ```text
//! cargo run --example plain_broker broker.json
//! ```
//!
//! The smallest file is `{"listen": "127.0.0.1:4222"}`: everybody on this
//! machine may connect and do everything. A longer one:
//!
//! ```json
//! {
//!   "listen": "127.0.0.1:4222",
//!   "tls": {"cert": "broker.pem", "key": "broker-key.pem", "ca": "ca.pem", "crl": "crl.pem", "verify": true},
//!   "monitor": 8222,
//!   "users": [
//!     {"user": "alice", "password": "s3cret"},
//!     {"user": "bob", "password": "$2y$10$…"},
//!     {"token": "t0ken", "account": "tools"},
//!     {"nkey": "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"},
//!     {
//!       "user": "service", "password": "s3cret",
//!       "permissions": {
//!         "publish": {"allow": ["events.>"], "deny": ["events.secret"]},
//!         "subscribe": ["ask.> workers"],
//!         "allow_responses": {"max": 1, "expires": 5}
//!       }
//!     }
//!   ],
//!   "limits": {"max_connections": 100, "max_payload": 1048576},
//!   "ping": {"interval": 120, "max": 2}
//! }
//! ```
//!
//! Times are in seconds, sizes in bytes; what is left out has the default of
//! [`Limits`]. Clear text is served on loopback only. A user without
//! credentials (`{"permissions": …}`) is whoever shows none. A password may be
//! a bcrypt hash.
//!
//! SIGHUP reads the file again, and the certificates and revocation lists it
//! names: they change for connections to come, and who would not be let in any
//! more, by user or by certificate, is cut. A file with a mistake changes
//! nothing. SIGTERM, SIGINT and SIGUSR2 close gently.
//!
//! What an embedder needs is in [`start`] and [`serve`]: [`Options`] with an
//! [`Authenticator`] of one's own, [`Broker::start`], and that is all; the
//! broker has its own threads. The rest is reading a file.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use choria::core::admission::{
    Account, Authenticator, Credential, CurrentCertificates, GrantLimits, Permission, Responses, StaticUser,
    StaticUsers, SubjectList,
};
use choria::core::broker::monitoring::{Monitoring, MonitoringOptions};
use choria::core::broker::{Broker, Limits, Listener, Options};
use choria::core::log::{self, Destination};
use choria::core::nats::nkey::UserKey;
use choria::core::security::{SharedTrust, Trust, pem};
use choria::core::text::Secret;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: SocketAddr,
    tls: Option<Tls>,
    /// Port of the monitoring pages, on loopback; 0 is any.
    monitor: Option<u16>,
    #[serde(default)]
    users: Vec<User>,
    #[serde(default)]
    limits: FileLimits,
    #[serde(default)]
    ping: Ping,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    cert: PathBuf,
    key: PathBuf,
    ca: Option<PathBuf>,
    /// Revocation lists of `ca`.
    crl: Option<PathBuf>,
    /// Clients must show a certificate of `ca`.
    #[serde(default)]
    verify: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    user: Option<String>,
    password: Option<String>,
    token: Option<String>,
    nkey: Option<String>,
    account: Option<String>,
    #[serde(default)]
    permissions: Permissions,
    max_subscriptions: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Permissions {
    publish: Option<Subjects>,
    subscribe: Option<Subjects>,
    allow_responses: Option<Answers>,
}

/// One pattern, patterns, or patterns and exceptions; those of subscriptions
/// may be followed by a queue: `jobs.> workers`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Subjects {
    One(String),
    Some(Vec<String>),
    Lists {
        allow: Option<Vec<String>>,
        #[serde(default)]
        deny: Vec<String>,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answers {
    Default(bool),
    /// `max` below 0 is any number; `expires` in seconds.
    Limited {
        max: Option<i64>,
        expires: Option<f64>,
    },
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileLimits {
    max_connections: Option<usize>,
    max_payload: Option<usize>,
    max_pending: Option<usize>,
    max_pending_total: Option<usize>,
    max_control_line: Option<usize>,
    max_subscriptions: Option<usize>,
    auth_timeout: Option<f64>,
    tls_timeout: Option<f64>,
    write_deadline: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Ping {
    interval: Option<f64>,
    max: Option<u32>,
}

fn main() -> anyhow::Result<()> {
    let path = std::env::args_os().nth(1).context("which file? run: plain_broker FILE.json")?;
    log::init(Destination::Stderr, "info")?;
    let path = PathBuf::from(path);
    let broker = start(&path)?;
    // no other thread of this program does anything: the broker's are its own
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(broker, &path))
}

fn read(path: &Path) -> anyhow::Result<File> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {} failed", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no configuration", path.display()))
}

/// A broker, and its monitoring pages.
struct Running {
    broker: Broker,
    /// Dropped with it.
    _monitoring: Option<Monitoring>,
}

fn start(path: &Path) -> anyhow::Result<Running> {
    let file = read(path)?;
    let (tls, authenticator) = rules(&file)?;
    let listener = if tls.is_some() { Listener::tls(file.listen) } else { Listener::plaintext(file.listen) };
    let broker = Broker::start(Options {
        listeners: vec![listener],
        tls,
        authenticator,
        limits: limits(&file)?,
        server_name: "plain-broker".to_owned(),
        ..Options::default()
    })?;
    let monitor = file.monitor.map(|port| {
        let about =
            MonitoringOptions { config_file: path.display().to_string(), ..MonitoringOptions::default() };
        Monitoring::start(SocketAddr::from(([127, 0, 0, 1], port)), broker.view(), about)
    });
    let _monitoring = monitor.transpose()?;
    if let Some(monitoring) = &_monitoring {
        println!("monitoring is listening on {}", monitoring.local_addr());
    }
    println!("the broker is listening on {}", broker.local_addr());
    Ok(Running { broker, _monitoring })
}

/// Serves until told to stop.
async fn serve(running: Running, path: &Path) -> anyhow::Result<()> {
    let broker = running.broker;
    let mut hup = signal(SignalKind::hangup())?;
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    // the one by which nats-server is asked for this
    let mut usr2 = signal(SignalKind::user_defined2())?;
    loop {
        tokio::select! {
            _ = hup.recv() => match reload(&broker, path) {
                Ok(()) => println!("read the configuration again"),
                Err(error) => eprintln!("keeping the previous configuration: {error:#}"),
            },
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = usr2.recv() => break,
        }
    }
    broker.lame_duck(Duration::from_secs(2));
    broker.shutdown();
    Ok(())
}

/// Everything but the listener and the monitoring port, which stay.
fn reload(broker: &Broker, path: &Path) -> anyhow::Result<()> {
    let file = read(path)?;
    let (tls, authenticator) = rules(&file)?;
    broker.reload(tls, authenticator, limits(&file)?);
    Ok(())
}

type Rules = (Option<Arc<ServerConfig>>, Arc<dyn Authenticator>);

/// TLS, and who may connect. With a CA the chain of everybody is judged again
/// whenever the broker decides: at login, after a reload.
fn rules(file: &File) -> anyhow::Result<Rules> {
    let config = file.tls.as_ref().map(tls).transpose()?;
    let users = users(file)?;
    Ok(match file.tls.as_ref().and_then(|tls| Some((tls.ca.as_ref()?, tls.crl.as_deref()))) {
        None => (config, Arc::new(users)),
        Some((ca, crl)) => {
            let trust = Arc::new(SharedTrust::new(Trust::read(ca, crl)?));
            (config, Arc::new(CurrentCertificates::of_trust(users, trust)))
        }
    })
}

/// Certificates of whoever `ca` has issued one to are verified; with `verify`,
/// everybody needs one.
fn tls(tls: &Tls) -> anyhow::Result<Arc<ServerConfig>> {
    let load =
        |path: &Path| std::fs::read(path).with_context(|| format!("reading {} failed", path.display()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = pem::certificates(&load(&tls.cert)?).map_err(anyhow::Error::msg)?;
    let key = pem::private_key(&load(&tls.key)?).map_err(anyhow::Error::msg)?;
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match &tls.ca {
        None if tls.verify || tls.crl.is_some() => {
            bail!("tls.verify and tls.crl need tls.ca, or nobody could be verified")
        }
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            for certificate in pem::certificates(&load(ca)?).map_err(anyhow::Error::msg)? {
                roots.add(certificate)?;
            }
            let lists = match &tls.crl {
                Some(crl) => pem::revocation_lists(&load(crl)?).map_err(anyhow::Error::msg)?,
                None => Vec::new(),
            };
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .with_crls(lists)
                .allow_unknown_revocation_status();
            let verifier = if tls.verify { verifier } else { verifier.allow_unauthenticated() };
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    Ok(Arc::new(builder.with_single_cert(chain, key)?))
}

/// Who may connect. Without users everybody may, into one account.
fn users(file: &File) -> anyhow::Result<StaticUsers> {
    // the name nats-server gives to the account of those who have none
    let default = Account::named("$G")?;
    if file.users.is_empty() {
        return Ok(StaticUsers::open(default));
    }
    let mut accounts: HashMap<&str, Account> = HashMap::new();
    let mut users = Vec::new();
    for (number, user) in file.users.iter().enumerate() {
        let account = match user.account.as_deref() {
            None => default,
            Some(name) => *accounts.entry(name).or_insert(Account::named(name)?),
        };
        let credential = credential(user).with_context(|| format!("user number {}", number + 1))?;
        users.push(StaticUser {
            credential,
            account,
            publish: permission(user.permissions.publish.as_ref()),
            subscribe: permission(user.permissions.subscribe.as_ref()),
            responses: responses(user.permissions.allow_responses.as_ref())?,
            limits: GrantLimits { max_subscriptions: user.max_subscriptions },
        });
    }
    Ok(StaticUsers::new(users)?)
}

fn credential(user: &User) -> anyhow::Result<Credential> {
    Ok(match (&user.user, &user.password, &user.token, &user.nkey) {
        (Some(name), Some(password), None, None) => {
            Credential::Password { user: name.clone(), password: Secret::new(password) }
        }
        (None, None, Some(token), None) => Credential::Token(Secret::new(token)),
        (None, None, None, Some(nkey)) => Credential::Nkey(UserKey::parse(nkey)?),
        (None, None, None, None) => Credential::Anybody,
        _ => bail!("give user and password, or token, or nkey, or none of them"),
    })
}

fn permission(subjects: Option<&Subjects>) -> Permission {
    match subjects {
        None => Permission::unrestricted(),
        Some(Subjects::One(subject)) => Permission::only([subject]),
        Some(Subjects::Some(subjects)) => Permission::only(subjects),
        Some(Subjects::Lists { allow, deny }) => {
            let allowed = allow.as_ref().map_or_else(Permission::unrestricted, Permission::only);
            let deny = allowed.deny.iter().map(str::to_owned).chain(deny.iter().cloned());
            Permission { deny: SubjectList::new(deny.collect::<Vec<_>>()), ..allowed }
        }
    }
}

fn responses(answers: Option<&Answers>) -> anyhow::Result<Option<Responses>> {
    Ok(match answers {
        None | Some(Answers::Default(false)) => None,
        Some(Answers::Default(true)) => Some(Responses::default()),
        Some(Answers::Limited { max, expires }) => {
            let default = Responses::default();
            Some(Responses {
                max: max.map_or(default.max, |max| u32::try_from(max).ok()),
                expires: seconds(*expires, default.expires)?,
            })
        }
    })
}

fn limits(file: &File) -> anyhow::Result<Limits> {
    let (given, default) = (&file.limits, Limits::default());
    Ok(Limits {
        max_connections: given.max_connections.unwrap_or(default.max_connections),
        max_payload: given.max_payload.unwrap_or(default.max_payload),
        max_pending: given.max_pending.unwrap_or(default.max_pending),
        max_pending_total: given.max_pending_total.unwrap_or(default.max_pending_total),
        max_control_line: given.max_control_line.unwrap_or(default.max_control_line),
        max_subscriptions: given.max_subscriptions,
        auth_timeout: seconds(given.auth_timeout, default.auth_timeout)?,
        tls_timeout: seconds(given.tls_timeout, default.tls_timeout)?,
        write_deadline: seconds(given.write_deadline, default.write_deadline)?,
        ping_interval: seconds(file.ping.interval, default.ping_interval)?,
        ping_max: file.ping.max.unwrap_or(default.ping_max),
        ..default
    })
}

fn seconds(given: Option<f64>, default: Duration) -> anyhow::Result<Duration> {
    given.map_or(Ok(default), |given| Duration::try_from_secs_f64(given).map_err(Into::into))
}
