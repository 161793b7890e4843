//! `choria server run`: the daemon on a node.

use std::process::ExitCode;
use std::sync::Arc;

use argh::{ArgsInfo, FromArgs};
use choria::core::config::Role;
use choria::core::log;
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
}

impl Server {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let ServerCommand::Run(run) = self.command;
        let config = context::daemon_config(globals, Role::Server, "server run")?;
        let provider = context::provider(&config, Role::Server)?;
        let daemon = Daemon::new(ServerOptions::new(config, provider.clone()))?;
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

/// SIGTERM and SIGINT stop, SIGHUP reopens the log and reads keys, CA and CRL
/// again.
async fn signals(stop: watch::Sender<bool>, provider: Arc<Provider>) {
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
                match provider.reload() {
                    Ok(()) => tracing::info!("read keys, CA and revocation lists again"),
                    Err(e) => tracing::error!("keeping the previous keys and trust: {e}"),
                }
            }
        }
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    let _ = stop.send(true);
}
