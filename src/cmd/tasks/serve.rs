//! `choria tasks serve`

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::config::Role;
use choria::core::security::follow_trust;
use choria::core::security::tokens::SigningKey;
use choria::core::tasks::library::Library;
use choria::core::tasks::serve::serve;
use tokio::net::TcpListener;

use crate::cmd::signals::told_to_end;
use crate::cmd::{Globals, context};

/// serve tasks below directories of modules to nodes and callers, by the addresses of a Puppet Server; configuration and
/// certificate are those of the broker
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "serve")]
pub struct Serve {
    /// listen at this address, default all
    #[argh(option, arg_name = "address")]
    listen: Option<String>,
    /// listen at this port, default 8140
    #[argh(option, arg_name = "port")]
    port: Option<u16>,
    /// sign the files of every task with this ed25519 seed, 64 hex digits, default unsigned
    #[argh(option, arg_name = "file")]
    signing_key: Option<PathBuf>,
    /// write the process id to this file
    #[argh(option, arg_name = "file")]
    pid: Option<String>,
    /// directories with modules, or with environments that have modules
    #[argh(positional, arg_name = "directory")]
    directories: Vec<PathBuf>,
}

impl Serve {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        if self.directories.is_empty() {
            bail!("name a directory with modules: choria tasks serve /etc/choria/modules");
        }
        for directory in &self.directories {
            let shown = directory.display();
            let found = std::fs::metadata(directory).map_err(|e| match e.kind() {
                ErrorKind::NotFound => {
                    anyhow!("there is no {shown}: sudo mkdir -p {shown}, and put modules into it")
                }
                _ => anyhow!("{shown}: {e}"),
            })?;
            if !found.is_dir() {
                bail!("{} is no directory", directory.display());
            }
        }
        let signer = self.signing_key.as_deref().map(SigningKey::from_file).transpose()?;
        let public = match signer.as_ref().map(SigningKey::public_hex) {
            Some(None) => bail!("--signing-key takes an ed25519 seed, which is 64 hex digits"),
            public => public.flatten(),
        };
        let file = globals.config.clone().unwrap_or_else(|| context::usual_file(Role::Broker));
        let config = context::loaded(globals, Role::Broker, &file)?;
        let provider = context::provider(&config, Role::Broker)?;
        let library = Arc::new(Library::new(self.directories, signer));
        context::write_pid(self.pid.as_deref())?;
        context::raise_open_files(None);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let done = runtime.block_on(async {
            let ended = told_to_end()?;
            let at = (self.listen.as_deref().unwrap_or("::"), self.port.unwrap_or(8140));
            let listener = TcpListener::bind(at).await;
            let listener = listener.with_context(|| format!("cannot listen at {} port {}", at.0, at.1))?;
            tracing::info!(address = %listener.local_addr()?, "the server of tasks is listening");
            if let Some(public) = public {
                tracing::info!(
                    "files of tasks are signed, for nodes: plugin.choria.tasks.signing_key = {public}"
                );
            }
            tokio::spawn(follow_trust(provider.clone()));
            tokio::select! {
                () = serve(listener, provider.server_tls()?, library) => {}
                () = ended => {}
            }
            anyhow::Ok(())
        });
        runtime.shutdown_background();
        done.map(|()| ExitCode::SUCCESS)
    }
}
