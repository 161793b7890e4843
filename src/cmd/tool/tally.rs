//! `choria tool tally`: counts what a fleet tells, for Prometheus.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use axum::Router;
use axum::http::header;
use axum::routing::get;
use choria::core::scout::{self, Tally};
use choria::core::web::{PROMETHEUS, Pages, listen_addresses};

use crate::cmd::Globals;
use crate::cmd::context::{self, block_on};
use crate::cmd::out::errln;
use crate::cmd::signals::told_to_end;

/// count events of nodes and their machines for Prometheus, until interrupted
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "tally")]
pub struct TallyTool {
    /// component whose lives are counted, default server
    #[argh(option, arg_name = "name", default = "\"server\".to_owned()")]
    component: String,
    /// port of /metrics, default 8080
    #[argh(option, arg_name = "port", default = "8080")]
    port: u16,
    /// address of /metrics, default 127.0.0.1; [::] for all
    #[argh(option, arg_name = "address", default = "\"127.0.0.1\".to_owned()")]
    listen: String,
    /// what names of metrics begin with, default choria_tally
    #[argh(option, arg_name = "prefix", default = "\"choria_tally\".to_owned()")]
    prefix: String,
}

/// Between two looks at who has fallen silent.
const EXPIRE: Duration = Duration::from_secs(60);

impl TallyTool {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let word = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        if !word(&self.prefix) {
            bail!(
                "--prefix {} is no begin of a metric's name: letters, digits and _ are allowed",
                self.prefix
            );
        }
        if !word(&self.component.replace('-', "_")) {
            bail!("--component {} is none such as server or provision_mode_server", self.component);
        }
        let config = context::client_config(globals)?;
        let addresses =
            listen_addresses(&self.listen).with_context(|| format!("--listen {}", self.listen))?;
        let tally = Arc::new(Mutex::new(Tally::new(&self.prefix, &self.component)));
        let mut pages = Vec::new();
        for address in addresses {
            let address = SocketAddr::new(address, self.port);
            pages.push(Pages::start(address, |_| router(tally.clone()))?);
        }
        block_on(async {
            let client = context::connect(config).await?;
            let ended = told_to_end()?;
            for page in &pages {
                errln!("Counting events of {}, at http://{}/metrics", self.component, page.local_addr());
            }
            let counted = tally.clone();
            let listening = scout::listen(&client, &self.component, true, |heard| {
                let began = Instant::now();
                let mut tally = locked(&counted);
                tally.take(&heard, jiff::Timestamp::now().as_second());
                tally.took(began.elapsed().as_secs_f64());
                true
            });
            let expiring = async {
                loop {
                    tokio::time::sleep(EXPIRE).await;
                    locked(&tally).expire(jiff::Timestamp::now().as_second());
                }
            };
            tokio::select! {
                heard = listening => heard?,
                () = expiring => {}
                () = ended => {}
            }
            client.session().close().await;
            Ok(ExitCode::SUCCESS)
        })?
    }
}

fn locked(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

fn router(tally: Arc<Mutex<Tally>>) -> Router {
    let page = move || {
        let text = locked(&tally).render();
        async move { ([(header::CONTENT_TYPE, PROMETHEUS)], text) }
    };
    Router::new().route("/metrics", get(page))
}
