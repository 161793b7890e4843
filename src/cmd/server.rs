//! `choria server run`: the daemon on a node.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::agents::provision::keys::OwnKeys;
use choria::core::agents::{Ending, Node, Provision};
use choria::core::build;
use choria::core::config::{Config, Environment, Role, System};
use choria::core::discovery::is_name;
use choria::core::provisioning::{Decision, Found, JwtResolver, Setup, TargetResolver, decide};
use choria::core::security::{Provider, follow_trust};
use choria::core::server::{NodeState, Server as Daemon, ServerOptions};
use tokio::sync::watch;

use super::Globals;
use super::context;
use super::lacking;
use super::signals::{self, Reactions};

/// What ending may take beyond `soft_shutdown_timeout`, whatever hangs.
const ENDING: Duration = Duration::from_secs(5);

/// the daemon on a node
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "server")]
pub struct Server {
    #[argh(subcommand)]
    command: ServerCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum ServerCommand {
    Run(Run),
}

/// host agents and answer requests until stopped
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "run")]
struct Run {
    /// write the process id to this file
    #[argh(option, arg_name = "file")]
    pid: Option<String>,
    /// without configuration, wait to be provisioned with this token, and have the configuration in /etc/choria/server.conf, or ~/.choria/server.conf where not run by root; default is the one compiled in, see buildinfo
    #[argh(option, arg_name = "file")]
    provisioning_token: Option<PathBuf>,
    /// name of this node while it waits; default is the host name
    #[argh(option, arg_name = "name")]
    identity: Option<String>,
    /// check the configuration, keys, policies and facts, and end
    #[argh(switch)]
    check_config: bool,
}

impl Server {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let ServerCommand::Run(run) = self.command;
        if run.check_config {
            return check(globals);
        }
        // Before anything can replace the file this program is in.
        let image = std::env::current_exe().context("where this program is cannot be found out");
        let (setup, told) = setup(&run);
        let (options, provider) = match self::waiting(globals, &run, &setup, &told)? {
            Some(options) => (options, None),
            None => {
                let config = context::loaded(globals, Role::Server, &file_of(globals))?;
                let provider = context::provider(&config, Role::Server)?;
                (ServerOptions::new(config, provider.clone())?.managing(), Some(provider))
            }
        };
        let waits = provider.is_none();
        let options = match waits || !setup.access.is_empty() {
            true => options.provisioned_by(agent(setup, waits).with_image(image.as_ref().ok().cloned())),
            false => options,
        };
        let daemon = Daemon::new(options)?;
        choria::core::log::log_panics();
        context::raise_open_files(None);
        context::write_pid(run.pid.as_deref())?;
        // Two threads: one action that computes must not keep the connection
        // from being served.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (stop, stopping) = watch::channel(false);
        signals::listen(stop, reactions(daemon.node().clone(), provider.clone()))?;
        let ended = runtime.block_on(async {
            // What the CA has revoked counts without a signal.
            if let Some(provider) = provider {
                tokio::spawn(follow_trust(provider));
            }
            // The set-up is complete; brokers may take as long as they like.
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
            tracing::info!(
                identity = daemon.node().config().identity,
                version = choria::core::build::VERSION,
                "starting"
            );
            daemon.look_over_files().await;
            daemon.run(stopping).await
        });
        runtime.shutdown_background();
        match ended {
            Ok(Ending::Restart) => Err(start_again(&image?)),
            // Told to stop is what happened, connected or not.
            Ok(Ending::Stopped | Ending::Shutdown) | Err(choria::core::server::ServerError::Stopped) => {
                tracing::info!("stopped");
                Ok(ExitCode::SUCCESS)
            }
            Err(e) => Err(e.into()),
        }
    }
}

/// Tries everything a start does but the network.
fn check(globals: &Globals) -> anyhow::Result<ExitCode> {
    let file = file_of(globals);
    let config = context::config_to_check(globals, Role::Server, &file)?;
    let provider = context::provider(&config, Role::Server)?;
    let daemon = Daemon::new(ServerOptions::new(config, provider)?.managing())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(daemon.look_over_files());
    runtime.shutdown_background();
    Ok(context::is_good(&file))
}

/// Becomes the same program again, in the same process, with the same words and
/// environment: whoever supervises it notices nothing. Returns only what went wrong.
fn start_again(image: &Path) -> anyhow::Error {
    tracing::info!(image = %image.display(), "starting again");
    let mut words = std::env::args_os();
    let mut command = Command::new(image);
    if let Some(name) = words.next() {
        command.arg0(name);
    }
    let error = command.args(words).exec();
    anyhow::Error::new(error).context(format!("cannot start {} again", image.display()))
}

/// What a node knows without configuration, and what an administrator should know of it.
fn setup(run: &Run) -> (Arc<Setup>, Vec<String>) {
    let mut setup = Setup::of_build(&build::profile().provisioning);
    if let Some(file) = &run.provisioning_token {
        setup.token_file.clone_from(file);
    }
    let told = JwtResolver.configure(&mut setup);
    (Arc::new(setup), told)
}

/// The agent that configures a node that waits, and has a configured one wait again.
fn agent(setup: Arc<Setup>, waits: bool) -> Provision {
    // only nodes that wait are asked for a key
    let keys = if waits { OwnKeys::begin() } else { OwnKeys::default() };
    let rehearse = Arc::new(|config| Daemon::rehearse(config).map_err(|e| e.to_string()));
    Provision::new(setup, Arc::new(keys), rehearse)
}

/// What a node that waits to be provisioned starts from; `None` for one that has a configuration to serve by.
fn waiting(
    globals: &Globals,
    run: &Run,
    setup: &Arc<Setup>,
    told: &[String],
) -> anyhow::Result<Option<ServerOptions>> {
    // A token is all that a node needs to wait: then its configuration comes to the usual place.
    let file = &file_of(globals);
    let found = match file.exists() {
        false => Found::Nothing,
        true => {
            let config = Config::load(Role::Server, Some(file), &System)?;
            Found::Configuration(
                config.has("plugin.choria.server.provision").then_some(config.choria_server_provision),
            )
        }
    };
    match decide(found, setup) {
        Decision::Serve => return Ok(None),
        Decision::Neither(why) if found == Found::Nothing => {
            bail!(
                "configuration file {} was not found and this node cannot be provisioned: {why}; \
                 {} makes it, --config FILE names another",
                file.display(),
                lacking::maker(Role::Server)
            )
        }
        Decision::Neither(why) => {
            bail!("{} asks for provisioning, which is not possible: {why}", file.display())
        }
        Decision::Wait => {}
    }
    if let Some(name) = run.identity.as_deref().filter(|name| !is_name(name)) {
        bail!("--identity {name:?} cannot be the name of a node: it has letters, digits, '.', '_' and '-'");
    }
    let config = setup.config(file, run.identity.as_deref(), &System)?;
    context::init_log(globals, &config)?;
    told.iter().for_each(|text| tracing::warn!("{text}"));
    let why = match found {
        Found::Nothing => "there is no configuration",
        Found::Configuration(Some(_)) => "the configuration asks for it",
        Found::Configuration(None) => {
            "there is a token, and no plugin.choria.server.provision = false in the configuration, which is replaced"
        }
    };
    tracing::info!(identity = config.identity, why, "waiting to be provisioned");
    Ok(Some(ServerOptions::waiting(config, setup, &JwtResolver)?))
}

/// Where the configuration is, or is to be: without --config where packages have it, and
/// below the home directory of whoever may not write there.
fn file_of(globals: &Globals) -> PathBuf {
    let usual = context::usual_file(Role::Server);
    match (&globals.config, System.home()) {
        (Some(file), _) => file.clone(),
        (None, Some(home)) if System.euid() != 0 && !usual.exists() => home.join(".choria/server.conf"),
        (None, _) => usual,
    }
}

/// What signals do to it.
fn reactions(node: Arc<NodeState>, provider: Option<Arc<Provider>>) -> Reactions {
    let grace = u64::try_from(node.config().soft_shutdown_timeout).unwrap_or(2).max(1);
    Reactions {
        reread: Box::new(move || {
            if let Some(provider) = &provider {
                provider.reload_and_tell();
            }
        }),
        state: Box::new(move || state(&node)),
        usr2_ends: false,
        ends_within: Box::new(move || Duration::from_secs(grace) + ENDING),
    }
}

/// How a node is, in a line.
fn state(node: &NodeState) -> String {
    let (counts, broker) = (node.counts(), node.connected_server());
    format!(
        "{} is {}, up {} s, {} requests, {} replies, {} denied, {} of too much cost, {} dropped",
        node.identity(),
        broker.map_or_else(|| "not connected".to_owned(), |broker| format!("connected to {broker}")),
        node.now() - node.started(),
        counts.total,
        counts.replies,
        counts.denied,
        counts.overbudget,
        counts.dropped
    )
}
