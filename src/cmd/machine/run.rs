//! `choria machine run`: machines on this machine, without a server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::client::Client;
use choria::core::config::{Config, Role, System};
use choria::core::log::{self, Destination};
use choria::core::machine::host::{Host, Settings, Surroundings, facts_of, pages, read_data};
use choria::core::protocol::filter::Facts;
use choria::core::web;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::local::definition;
use crate::cmd::Globals;
use crate::cmd::context::{self, block_on};

/// run machines here, in the foreground, until interrupted
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "run")]
pub struct Run {
    /// facts, a JSON or YAML file
    #[argh(option, arg_name = "file")]
    facts: Option<PathBuf>,
    /// data the machines start with, a JSON file, in place of what they kept
    #[argh(option, arg_name = "file")]
    data: Option<PathBuf>,
    /// publish events, with the identity and the connection of a client
    #[argh(switch)]
    connect: bool,
    /// serve switches and metrics over HTTP on that port of 127.0.0.1
    #[argh(option, arg_name = "port")]
    http: Option<u16>,
    /// directories, each with a machine.yaml
    #[argh(positional, arg_name = "dir")]
    paths: Vec<PathBuf>,
}

/// Bytes of data that are read.
const MAX_DATA: u64 = 256 * 1024;
const IDENTITY: &str = "cli";
/// Events on their way out.
const MOST_WAITING: usize = 1024;

/// Subject, payload, headers.
type Waiting = (String, String, Vec<(&'static str, String)>);

struct Here {
    facts: Option<PathBuf>,
    sink: Option<mpsc::Sender<Waiting>>,
}

impl Surroundings for Here {
    fn facts(&self) -> Pin<Box<dyn Future<Output = Arc<Facts>> + Send + '_>> {
        Box::pin(async {
            let Some(file) = &self.facts else { return Arc::new(Facts::from_json("{}".to_owned())) };
            facts_of(file.clone()).await.unwrap_or_else(|e| {
                tracing::warn!("--facts: {e}");
                Arc::new(Facts::from_json("{}".to_owned()))
            })
        })
    }

    fn publish(&self, subject: String, payload: String, headers: Vec<(&'static str, String)>) {
        if let Some(sink) = &self.sink {
            let _ = sink.try_send((subject, payload, headers));
        }
    }
}

impl Run {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        if self.paths.is_empty() {
            bail!("name a directory with a machine.yaml: choria machine run DIR");
        }
        // What machines do is what people want to see here.
        log::init(Destination::Stderr, if globals.debug { "debug" } else { "info" })?;
        let mut machines = Vec::new();
        for path in &self.paths {
            let checked = definition(path)?;
            let beside = || path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let directory = if path.is_dir() { path.as_path() } else { beside().unwrap_or(Path::new(".")) };
            let directory =
                directory.canonicalize().with_context(|| format!("{} cannot be found", path.display()))?;
            let data = match &self.data {
                Some(file) => data(file)?,
                // whatever the file of the definition is called: this is where its data is written to
                None => read_data(&directory)?,
            };
            machines.push((checked, directory, data));
        }
        let config = match self.connect {
            true => Some(Config::load(Role::Client, globals.config.as_deref(), &System)?),
            false => None,
        };
        block_on(async {
            let client = match config {
                Some(config) => Some(context::connect(config).await?),
                None => None,
            };
            self.live(machines, client).await
        })?
    }

    async fn live(
        self,
        machines: Vec<(choria::core::machine::definition::Definition, PathBuf, Arc<str>)>,
        client: Option<Client>,
    ) -> anyhow::Result<ExitCode> {
        let host = Host::new(Settings { identity: IDENTITY.to_owned(), ..Settings::default() });
        if let Some(port) = self.http {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let listener = tokio::net::TcpListener::bind(address).await;
            let listener = listener.with_context(|| format!("--http: {address} cannot be listened on"))?;
            tracing::info!("switches and metrics are served on http://{}", listener.local_addr()?);
            tokio::spawn(web::serve(listener, pages(host.clone())));
        }
        for (machine, directory, data) in machines {
            tracing::info!(
                "starting machine {} version {} from {} in state {}",
                machine.name,
                machine.version,
                directory.display(),
                machine.state(machine.initial)
            );
            host.add(machine, directory, data);
        }
        let (sink, mut waiting) = mpsc::channel::<Waiting>(MOST_WAITING);
        let around = Here { facts: self.facts, sink: client.as_ref().map(|_| sink) };
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(host.run(Arc::new(around), stopped));
        let (mut interrupt, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        loop {
            tokio::select! {
                _ = interrupt.recv() => break,
                _ = term.recv() => break,
                Some((subject, payload, headers)) = waiting.recv() => {
                    let Some(client) = &client else { continue };
                    let sent = async {
                        let line = client.session().line().await?;
                        let headers: Vec<(String, String)> =
                            headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                        line.publish_with(subject, None, &headers, payload.into()).await
                    };
                    if let Err(e) = sent.await {
                        tracing::warn!("an event was not published: {e}");
                    }
                }
            }
        }
        stop.send_replace(true);
        running.await.context("the machines did not end as they should")?;
        if let Some(client) = client {
            client.session().close().await;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn data(file: &Path) -> anyhow::Result<Arc<str>> {
    let text = choria::core::files::read_bounded(file, MAX_DATA)?;
    let value: serde_json::Value =
        serde_json::from_slice(&text).with_context(|| format!("--data {} is no JSON", file.display()))?;
    if !value.is_object() {
        bail!("--data {} holds no object", file.display());
    }
    Ok(value.to_string().into())
}
