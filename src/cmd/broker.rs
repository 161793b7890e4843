//! `choria broker run`: the middleware of a network on one machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::admission::{
    Authenticator, ByName, CurrentCertificates, HostList, NameTest, PeerKind, SystemUser, WaitingNodes,
    X509Authenticator, X509Mode, X509Options,
};
use choria::core::broker::monitoring::{LocalNames, Monitoring, MonitoringOptions, TokenFile};
use choria::core::broker::{Broker as Middleware, BrokerError, Limits, Listener, Options, bytes};
use choria::core::build;
use choria::core::config::{Config, Key, Role, Roles};
use choria::core::security::tokens::VerifyKey;
use choria::core::security::{Following, NameList, Provider};
use choria::core::text::Secret;
use choria::core::web::listen_addresses;
use tokio::sync::watch;

use super::Globals;
use super::context;
use super::signals;

mod renewal;

use renewal::{Renewal, lock};

/// How often it is looked whether all of the broker's threads are there.
const ALIVE: Duration = Duration::from_millis(500);
/// Settings a broker does without and says so: no more than a part of what others are for.
const HARMLESS: [&str; 9] = [
    "plugin.choria.federation.cluster",
    "plugin.choria.network.soft_shutdown_timeout",
    "plugin.choria.network.websocket_advertise",
    "plugin.choria.network.gateway_remotes",
    "plugin.choria.network.peer_port",
    "plugin.choria.network.peer_user",
    "plugin.choria.network.peer_password",
    "plugin.choria.network.stream.manage_streams",
    "plugin.choria.network.client_tls_force_required",
];
/// How often CA file and revocation list are looked at: what they revoke is off within five seconds.
const WATCH: Duration = Duration::from_secs(2);

/// Exit status of a broker that cannot go on.
const EXIT_BROKEN: i32 = 70;

/// the middleware
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "broker")]
pub struct Broker {
    #[argh(subcommand)]
    command: BrokerCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum BrokerCommand {
    Run(Run),
}

/// serve nodes and clients until stopped
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "run")]
struct Run {
    /// write the process id to this file
    #[argh(option, arg_name = "file")]
    pid: Option<String>,
    /// also listen on this port of 127.0.0.1 in clear text, and let everybody in there without restriction: for tests
    #[argh(option, arg_name = "port")]
    plaintext_loopback: Option<u16>,
    /// check the configuration, keys, rules, limits and addresses, and end
    #[argh(switch)]
    check_config: bool,
}

impl Broker {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let BrokerCommand::Run(run) = self.command;
        let file = context::daemon_file(globals, Role::Broker)?;
        let config = match run.check_config {
            true => context::config_to_check(globals, Role::Broker, &file)?,
            false => context::loaded(globals, Role::Broker, &file)?,
        };
        check_features(&config)?;
        let provider = context::provider(&config, Role::Broker)?;
        if run.check_config {
            check(&config, &provider)?;
            return Ok(context::is_good(&file));
        }
        context::raise_open_files(Some(limits(&config)?.max_connections));
        // The broker has threads of its own; this one only waits for its end.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let plaintext = run.plaintext_loopback;
        let broker = Arc::new(start(&config, &provider, plaintext)?);
        let _monitoring = monitoring(&file, &config, &provider, &broker)?;
        let files = Arc::new(Renewal {
            broker: broker.clone(),
            provider: provider.clone(),
            plaintext: plaintext.is_some(),
            spread: Mutex::new(config.choria_network_lame_duck_duration),
            config: Mutex::new(config),
            following: Following::of(provider),
        });
        // From the moment anybody could know that there is a broker.
        let (stop, stopping) = watch::channel(false);
        signals::listen(stop, files.clone().reactions(file))?;
        for address in broker.local_addrs() {
            tracing::info!(%address, version = build::VERSION, "the broker is listening");
        }
        if let Some(address) = plaintext.and(broker.local_addrs().last()) {
            tracing::warn!(%address, "clear text listener: every process of this machine may say and hear everything");
        }
        context::write_pid(run.pid.as_deref())?;
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        runtime.block_on(until_stopped(stopping, &files));
        // Threads that hang somewhere are left behind.
        runtime.shutdown_background();
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    }
}

/// What this version cannot do is refused: a broker that silently leaves out
/// half of what it is told is worse than none.
fn check_features(config: &Config) -> anyhow::Result<()> {
    if !config.choria_broker_network {
        bail!("all broker features are disabled, set plugin.choria.broker_network = true");
    }
    // What others read, too, may stand in a file that all share.
    let own = |key: &&Key| key.roles == Roles::Broker || key.name == "plugin.security.issuer.names";
    match config.unused().filter(own).find(|key| !HARMLESS.contains(&key.name)) {
        Some(Key { name, .. }) => {
            bail!("{name} is set, which this version of the broker does not support; remove it")
        }
        None => Ok(()),
    }
}

/// Everything that a start does but listening at the ports, which a running broker has.
fn check(config: &Config, provider: &Arc<Provider>) -> anyhow::Result<()> {
    listen_addresses(&config.choria_network_listen_address)
        .context("plugin.choria.network.listen_address")?;
    listen_addresses(&config.choria_stats_address).context("plugin.choria.stats_address")?;
    for (key, port) in [
        ("plugin.choria.network.client_port", config.choria_network_client_port),
        ("plugin.choria.stats_port", config.choria_stats_port),
    ] {
        u16::try_from(port).with_context(|| format!("{key} {port} is no port"))?;
    }
    provider.server_tls()?;
    authenticator(config, provider, false)?;
    limits(config)?;
    if !config.choria_stats_token_file.is_empty() {
        TokenFile::new(&config.choria_stats_token_file).context("plugin.choria.stats_token_file")?;
    }
    Ok(())
}

fn start(config: &Config, provider: &Arc<Provider>, plaintext: Option<u16>) -> anyhow::Result<Middleware> {
    let addresses = listen_addresses(&config.choria_network_listen_address)
        .context("plugin.choria.network.listen_address")?;
    let port = u16::try_from(config.choria_network_client_port).with_context(|| {
        format!("plugin.choria.network.client_port {} is no port", config.choria_network_client_port)
    })?;
    let options = |addresses: &[IpAddr]| -> anyhow::Result<Options> {
        let tls = |address: &IpAddr| Listener::tls(SocketAddr::new(*address, port));
        let mut listeners: Vec<Listener> = addresses.iter().map(tls).collect();
        listeners.extend(plaintext.map(|port| Listener::plaintext((Ipv4Addr::LOCALHOST, port).into())));
        Ok(Options {
            listeners,
            tls: Some(provider.server_tls()?),
            authenticator: authenticator(config, provider, plaintext.is_some())?,
            limits: limits(config)?,
            server_name: config.identity.clone(),
            cluster_name: config.choria_network_gateway_name.clone(),
            version: build::NATS_VERSION.to_owned(),
            advertise: Some(config.choria_network_public_url.clone()).filter(|url| !url.is_empty()),
            ..Options::default()
        })
    };
    let started = match Middleware::start(options(&addresses)?) {
        // Machines without IPv6 cannot listen on the default address, `::`.
        Err(BrokerError::Bind { source, .. })
            if addresses.iter().all(|address| address.is_ipv6() && address.is_unspecified())
                && source.kind() != std::io::ErrorKind::AddrInUse =>
        {
            Middleware::start(options(&[Ipv4Addr::UNSPECIFIED.into()])?)
        }
        started => started,
    };
    Ok(started?)
}

/// Monitoring pages where a port for them is configured; 0 is off.
fn monitoring(
    file: &Path,
    config: &Config,
    provider: &Arc<Provider>,
    broker: &Middleware,
) -> anyhow::Result<Vec<Monitoring>> {
    if config.choria_stats_port == 0 {
        return Ok(vec![]);
    }
    let port = u16::try_from(config.choria_stats_port)
        .with_context(|| format!("plugin.choria.stats_port {} is no port", config.choria_stats_port))?;
    let addresses = listen_addresses(&config.choria_stats_address).context("plugin.choria.stats_address")?;
    let provider = provider.clone();
    let about = || -> anyhow::Result<MonitoringOptions> {
        Ok(MonitoringOptions {
            identity: config.identity.clone(),
            config_file: file.display().to_string(),
            certificate_expiry: Some({
                let provider = provider.clone();
                Arc::new(move || provider.certificate_expiry())
            }),
            tokens: Some(&config.choria_stats_token_file)
                .filter(|path| !path.is_empty())
                .map(TokenFile::new)
                .transpose()
                .context("plugin.choria.stats_token_file")?,
            local: LocalNames {
                hosts: config.choria_stats_hosts.clone(),
                only_tokens: config.choria_stats_names == "token",
            },
        })
    };
    let start = |address: IpAddr| -> anyhow::Result<Monitoring> {
        Ok(Monitoring::start(SocketAddr::new(address, port), broker.view(), about()?)?)
    };
    addresses.into_iter().map(start).collect()
}

fn limits(config: &Config) -> anyhow::Result<Limits> {
    let mut limits = Limits {
        max_connections: match config.choria_network_connections {
            0 => build::MAX_BROKER_CLIENTS,
            connections => usize::try_from(connections)
                .context("plugin.choria.network.connections is below 0; it is a number of connections")?,
        },
        tls_timeout: config.choria_network_tls_timeout,
        auth_timeout: config.choria_network_auth_timeout,
        write_deadline: config.choria_network_write_deadline,
        // nobody at all could log in with none
        max_handshakes_per_address: usize::try_from(config.choria_network_handshakes_per_address)
            .unwrap_or(0)
            .max(1),
        max_pending_total: bytes(&config.choria_network_memory).context("plugin.choria.network.memory")?,
        ..Limits::default()
    };
    for (kind, text) in [
        (PeerKind::Node, &config.choria_network_limits_node),
        (PeerKind::WaitingNode, &config.choria_network_limits_waiting),
        (PeerKind::Client, &config.choria_network_limits_client),
        (PeerKind::Service, &config.choria_network_limits_service),
    ] {
        let read = limits.of(kind).read(text);
        *limits.of_mut(kind) =
            read.with_context(|| format!("plugin.choria.network.limits.{}", kind.name()))?;
    }
    Ok(limits)
}

/// Who may connect and what it may say, as configured (design decision 14).
fn authenticator(
    config: &Config,
    provider: &Arc<Provider>,
    allow_plaintext: bool,
) -> anyhow::Result<Arc<dyn Authenticator>> {
    let names = |entries: &[String]| {
        // The configuration has none that cannot be used.
        let list = NameList::new(entries);
        NameTest::new(move |name| list.matches(name))
    };
    let mode = if config.choria_network_x509_permissions == "by-name" {
        let clients = match config.choria_network_client_certnames.as_slice() {
            [] => &config.choria_security_certname_whitelist,
            named => named,
        };
        let targets = [
            &config.choria_registration_file_content_target,
            &config.choria_registration_inventory_content_target,
        ];
        X509Mode::ByName(ByName {
            clients: names(clients),
            privileged: names(&config.choria_security_privileged_users),
            service_hosts: names(&config.choria_network_service_certnames),
            collectives: config.collectives.clone(),
            registration_targets: targets.into_iter().filter(|t| !t.is_empty()).cloned().collect(),
        })
    } else {
        tracing::warn!(
            "plugin.choria.network.x509_permissions is open: every certificate of the CA may read every reply and \
             publish requests; set it to by-name to bind nodes to their own name"
        );
        X509Mode::Open { client_hosts: HostList::new(&config.choria_network_client_hosts) }
    };
    let secret = |text: &str| Some(Secret::new(text)).filter(|s| !s.is_empty());
    let (user, password) = (&config.choria_network_system_user, &config.choria_network_system_password);
    let system = secret(password).filter(|_| !user.is_empty());
    let rules = X509Authenticator::new(X509Options {
        mode,
        deny_servers: config.choria_network_deny_server_connections,
        provisioning_password: secret(&config.choria_network_provisioning_client_password),
        waiting: waiting_nodes(config)?,
        system: system.map(|password| SystemUser { user: user.clone(), password }),
        allow_plaintext,
    });
    Ok(Arc::new(CurrentCertificates::of_trust(rules, provider.trust())))
}

/// Nodes with provisioning tokens wait in an account of their own, where a
/// signer of such tokens is configured.
fn waiting_nodes(config: &Config) -> anyhow::Result<Option<WaitingNodes>> {
    const KEY: &str = "plugin.choria.network.provisioning.signer_cert";
    let signer = &config.choria_network_provisioning_signer_cert;
    if signer.is_empty() {
        return Ok(None);
    }
    if config.choria_network_provisioning_client_password.is_empty() {
        bail!(
            "{KEY} is set and plugin.choria.network.provisioning.client_password is not, without which no provisioner could connect"
        );
    }
    let signer = VerifyKey::from_setting(signer).with_context(|| format!("{KEY} cannot be used"))?;
    Ok(Some(WaitingNodes::new(signer, || jiff::Timestamp::now().as_second())))
}

/// A changed CA file or revocation list is read by itself; told to end, connections are
/// closed gently.
async fn until_stopped(mut stop: watch::Receiver<bool>, files: &Arc<Renewal>) {
    let Renewal { broker, provider, spread, .. } = &**files;
    // The start has told what was wrong then.
    let day = Duration::from_secs(24 * 3600);
    let mut daily = tokio::time::interval_at(tokio::time::Instant::now() + day, day);
    // Certificates expire without anybody telling; the handshake finds those of new connections.
    let mut hourly = tokio::time::interval(Duration::from_secs(3600));
    let renewing = files.clone();
    let following = files.following.clone().follow(WATCH, move || renewing.renew());
    tokio::pin!(following);
    let mut alive = tokio::time::interval(ALIVE);
    loop {
        tokio::select! {
            _ = alive.tick() => {
                if !broker.is_healthy() {
                    // gently is not possible any more, and whoever supervises this starts it anew
                    tracing::error!("a thread of the broker has failed, ending at once");
                    std::process::exit(EXIT_BROKEN);
                }
            }
            _ = stop.wait_for(|stop| *stop) => break,
            _ = daily.tick() => {
                provider.trouble(jiff::Timestamp::now().as_second()).iter().for_each(|text| tracing::warn!("{text}"));
            }
            _ = hourly.tick() => broker.judge_again(),
            () = &mut following => {}
        }
    }
    let (spread, broker) = (*lock(spread), broker.clone());
    tracing::info!("stopping, connections are closed over {spread:?}; a second signal ends at once");
    let closing = tokio::task::spawn_blocking(move || {
        broker.lame_duck(spread);
        broker.shutdown();
    });
    let _ = closing.await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_the_settings_are_those_of_the_broker() {
        let config = Config::from_text(Role::Broker, "identity = b.example.net\n").unwrap();
        let (configured, defaults) = (limits(&config).unwrap(), Limits::default());
        assert_eq!(configured.kinds, defaults.kinds);
        assert_eq!(configured.max_pending_total, defaults.max_pending_total);
        let wrong = "identity = b.example.net\nplugin.choria.network.limits.node = connections=none\n";
        let error = limits(&Config::from_text(Role::Broker, wrong).unwrap()).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "plugin.choria.network.limits.node: 'none' is no number above 0; memory takes K, M and G behind it"
        );
    }
}
