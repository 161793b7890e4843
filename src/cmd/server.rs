//! `choria server run`: the daemon on a node.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use argh::{ArgsInfo, FromArgs};
use choria::core::build;
use choria::core::config::{Config, Role, System};
use choria::core::log;
use choria::core::provisioning::{Decision, Found, JwtResolver, Setup, TargetResolver, decide};
use choria::core::security::Provider;
use choria::core::server::{Server as Daemon, ServerOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::Globals;
use super::context;

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
    /// without configuration, wait to be provisioned with this token; default is the one compiled in, see buildinfo
    #[argh(option, arg_name = "file")]
    provisioning_token: Option<PathBuf>,
    /// name of this node while it waits; default is the host name
    #[argh(option, arg_name = "name")]
    identity: Option<String>,
}

impl Server {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let ServerCommand::Run(run) = self.command;
        let (options, provider) = match self::waiting(globals, &run)? {
            Some(options) => (options, None),
            None => {
                let config = context::daemon_config(globals, Role::Server, "server run")?;
                let provider = context::provider(&config, Role::Server)?;
                (ServerOptions::new(config, provider.clone())?, Some(provider))
            }
        };
        let daemon = Daemon::new(options)?;
        context::write_pid(run.pid.as_deref())?;
        // Two threads: one action that computes must not keep the connection
        // from being served.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let stopped = runtime.block_on(async {
            let (stop, stopping) = watch::channel(false);
            let signals = tokio::spawn(signals(stop, provider));
            // The set-up is complete; brokers may take as long as they like.
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
            tracing::info!(
                identity = daemon.node().config().identity,
                version = choria::core::build::VERSION,
                "starting"
            );
            let outcome = daemon.run(stopping).await;
            signals.abort();
            outcome
        });
        runtime.shutdown_background();
        tracing::info!("stopped");
        match stopped {
            // Told to stop is what happened, connected or not.
            Ok(()) | Err(choria::core::server::ServerError::Stopped) => Ok(ExitCode::SUCCESS),
            Err(e) => Err(e.into()),
        }
    }
}

/// What a node that waits to be provisioned starts from; `None` for one that has a configuration to serve by.
fn waiting(globals: &Globals, run: &Run) -> anyhow::Result<Option<ServerOptions>> {
    let mut setup = Setup::of_build(&build::profile().provisioning);
    if let Some(file) = &run.provisioning_token {
        setup.token_file.clone_from(file);
    }
    let told = JwtResolver.configure(&mut setup);
    let file = context::daemon_file(globals, "server run")?;
    let found = match file.exists() {
        false => Found::Nothing,
        true => {
            let config = Config::load(Role::Server, Some(file), &System)?;
            Found::Configuration(
                config.has("plugin.choria.server.provision").then_some(config.choria_server_provision),
            )
        }
    };
    match decide(found, &setup) {
        Decision::Serve => return Ok(None),
        Decision::Neither(why) if found == Found::Nothing => {
            bail!(
                "configuration file {} was not found and this node cannot be provisioned: {why}",
                file.display()
            )
        }
        Decision::Neither(why) => {
            bail!("{} asks for provisioning, which is not possible: {why}", file.display())
        }
        Decision::Wait => {}
    }
    let config = setup.config(file, run.identity.as_deref(), &System)?;
    context::init_log(globals, &config)?;
    told.iter().for_each(|text| tracing::warn!("{text}"));
    tracing::info!(identity = config.identity, "no configuration, waiting to be provisioned");
    Ok(Some(ServerOptions::waiting(config, &Arc::new(setup), &JwtResolver)?))
}

/// SIGTERM and SIGINT stop, SIGHUP reopens the log and reads keys, CA and CRL
/// again.
async fn signals(stop: watch::Sender<bool>, provider: Option<Arc<Provider>>) {
    let streams =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut term), Ok(mut int), Ok(mut hup)) = streams else {
        tracing::error!("signals cannot be handled in this process");
        return;
    };
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = hup.recv() => {
                log::reopen();
                match provider.as_ref().map(|provider| provider.reload()) {
                    Some(Ok(())) => tracing::info!("read keys, CA and revocation lists again"),
                    Some(Err(e)) => tracing::error!("keeping the previous keys and trust: {e}"),
                    None => {}
                }
            }
        }
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    let _ = stop.send(true);
}
