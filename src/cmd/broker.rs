//! `choria broker run`: the middleware of a network on one machine, and what carries
//! requests between networks.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::broker::monitoring::TokenFile;
use choria::core::build;
use choria::core::config::{Config, Key, Role, Roles};
use choria::core::federation::FederationBroker;
use choria::core::metrics::Registry;
use choria::core::security::{Following, Provider};
use choria::core::streams::Keeper;
use choria::core::web::listen_addresses;
use tokio::sync::watch;

use super::Globals;
use super::context;
use super::out::errln;
use super::setup::steps::broker_may_read_all;
use super::signals;

mod account;
mod adapters;
mod engine;
mod federation;
mod leaves;
mod network;
mod renewal;
mod servers;
mod statistics;
mod streams;

pub use engine::guard;
use renewal::{Renewal, lock};

/// How often it is looked whether all of the broker's threads are there.
const ALIVE: Duration = Duration::from_millis(500);
/// Settings a broker does without and says so: no more than a part of what others are for.
const HARMLESS: [&str; 6] = [
    "plugin.choria.network.soft_shutdown_timeout",
    "plugin.choria.network.websocket_advertise",
    "plugin.choria.network.gateway_remotes",
    "plugin.choria.network.peer_user",
    "plugin.choria.network.peer_password",
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
    Account(account::Account),
    Doctor(streams::Doctor),
    Run(Run),
    Server(servers::Servers),
    Streams(streams::ListStreams),
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
        let run = match self.command {
            BrokerCommand::Account(c) => return c.run(globals),
            BrokerCommand::Doctor(c) => return c.run(globals),
            BrokerCommand::Server(c) => return c.run(globals),
            BrokerCommand::Streams(c) => return c.run(globals),
            BrokerCommand::Run(run) => run,
        };
        let file = context::daemon_file(globals, Role::Broker)?;
        let config = match run.check_config {
            true => context::config_to_check(globals, Role::Broker, &file)?,
            false => context::loaded(globals, Role::Broker, &file)?,
        };
        check_features(&config)?;
        let provider = context::provider(&config, Role::Broker)?;
        if run.check_config {
            check(&config, &provider)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let planned = runtime.block_on(engine::plan(&config, &provider));
            // a program that hangs is not waited for
            runtime.shutdown_background();
            planned?;
            // root gets everywhere, and its word would count for who runs the broker by its unit
            let warned = match rustix::process::geteuid().is_root() {
                true => broker_may_read_all(&file, &provider).err(),
                false => None,
            };
            if let Some(warning) = warned {
                errln!("choria: {warning}, or run it as root");
            }
            return Ok(context::is_good(&file));
        }
        let plaintext = run.plaintext_loopback;
        if plaintext.is_some() && !config.choria_broker_network {
            bail!(
                "--plaintext-loopback is a listener of the network broker, and plugin.choria.broker_network is not true"
            );
        }
        // The network broker has threads of its own; these wait for its end and carry messages.
        let carries = config.choria_broker_federation || !config.choria_adapters.is_empty();
        let workers = 1 + usize::from(carries);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
        let _inside = runtime.enter();
        let plan = runtime.block_on(engine::plan(&config, &provider))?;
        let peers = plan.as_ref().map(engine::Plan::peers).unwrap_or_default();
        let joined = plan.map(engine::Plan::start).transpose()?;
        let streams = joined.as_ref().map(|joined| engine::system_streams(&config, joined.machines));
        let login = joined.as_ref().and_then(|joined| joined.login.clone());
        let streams = login.zip(streams.transpose()?.flatten());
        let _streams = streams.map(|(login, streams)| Keeper::start(login, streams));
        let (engine, leaves) = joined.map(|joined| (joined.engine, joined.leaves)).unzip();
        let broker = match config.choria_broker_network {
            false => None,
            true => {
                context::raise_open_files(Some(network::connections(&config)?));
                Some(Arc::new(network::start(
                    &config,
                    &provider,
                    plaintext,
                    leaves.unwrap_or_default(),
                    &peers,
                )?))
            }
        };
        let more = Arc::new(Registry::default());
        if let Some(engine) = &engine {
            engine.register(&more);
        }
        let federation = match config.choria_broker_federation {
            false => None,
            true => {
                let federation = FederationBroker::start(federation::options(&config, &provider)?);
                federation.register(&more);
                Some(Arc::new(federation))
            }
        };
        let adapters = adapters::start(&config, &provider)?.map(Arc::new);
        if let Some(adapters) = &adapters {
            adapters.register(&more);
        }
        let _monitoring = statistics::start(&file, &config, &provider, broker.as_deref(), &more)?;
        if federation.is_some() || adapters.is_some() {
            let (network, federation) = (broker.is_some(), federation.is_some());
            let adapters = config.choria_adapters.join(",");
            tracing::info!(version = build::VERSION, network, federation, adapters, "carrying messages");
        }
        let files = Arc::new(Renewal {
            broker,
            engine: engine.map(Arc::new),
            federation,
            adapters,
            provider: provider.clone(),
            plaintext: plaintext.is_some(),
            peers,
            spread: Mutex::new(config.choria_network_lame_duck_duration),
            config: Mutex::new(config),
            following: Following::of(provider),
        });
        // From the moment anybody could know that there is a broker.
        let (stop, stopping) = watch::channel(false);
        signals::listen(stop, files.clone().reactions(file))?;
        if let Some(broker) = &files.broker {
            for address in broker.local_addrs() {
                tracing::info!(%address, version = build::VERSION, "the broker is listening");
            }
            if let Some(address) = plaintext.and(broker.local_addrs().last()) {
                tracing::warn!(%address, "clear text listener: every process of this machine may say and hear everything");
            }
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
pub fn check_features(config: &Config) -> anyhow::Result<()> {
    let carries = config.choria_broker_federation || !config.choria_adapters.is_empty();
    if !config.choria_broker_network && !carries {
        bail!(
            "all broker features are disabled, set plugin.choria.broker_network = true, \
             plugin.choria.broker_federation = true or plugin.choria.adapters"
        );
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
    if config.choria_broker_network {
        network::authenticator(config, provider, false, &[])?;
        network::limits(config)?;
        leaves::leaves(config, provider)?;
    }
    if config.choria_broker_federation {
        federation::options(config, provider)?;
    }
    choria::core::adapters::check(&choria::core::adapters::Settings::all(config)?)?;
    if !config.choria_stats_token_file.is_empty() {
        TokenFile::new(&config.choria_stats_token_file).context("plugin.choria.stats_token_file")?;
    }
    Ok(())
}

/// A changed CA file or revocation list is read by itself; told to end, connections are
/// closed gently.
async fn until_stopped(mut stop: watch::Receiver<bool>, files: &Arc<Renewal>) {
    let Renewal { broker, engine, federation, adapters, provider, spread, .. } = &**files;
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
                if broker.as_ref().is_some_and(|broker| !broker.is_healthy()) {
                    // gently is not possible any more, and whoever supervises this starts it anew
                    tracing::error!("a thread of the broker has failed, ending at once");
                    std::process::exit(EXIT_BROKEN);
                }
            }
            _ = stop.wait_for(|stop| *stop) => break,
            _ = daily.tick() => {
                provider.trouble(jiff::Timestamp::now().as_second()).iter().for_each(|text| tracing::warn!("{text}"));
            }
            _ = hourly.tick() => broker.iter().for_each(|broker| broker.judge_again()),
            () = &mut following => {}
        }
    }
    if let Some(federation) = federation {
        federation.stop().await;
    }
    if let Some(adapters) = adapters {
        adapters.stop().await;
    }
    let spread = *lock(spread);
    let Some(broker) = broker.clone() else { return };
    tracing::info!("stopping, connections are closed over {spread:?}; a second signal ends at once");
    let engine = engine.clone();
    let closing = tokio::task::spawn_blocking(move || {
        broker.lame_duck(spread);
        broker.shutdown();
        if let Some(engine) = engine {
            engine.stop();
        }
    });
    let _ = closing.await;
}
