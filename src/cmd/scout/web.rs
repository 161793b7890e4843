//! `choria scout web`: how all checks are, in a browser.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use argh::{ArgsInfo, FromArgs};
use choria::core::client::Client;
use choria::core::discovery::Discovered;
use choria::core::rpc::StatusCode;
use choria::core::scout::page::{self, Access, Action, Store, Wanted};
use choria::core::scout::{self, Heard};
use choria::core::text::Secret;
use choria::core::web::access::TokenFile;
use futures::StreamExt as _;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use crate::cmd::Globals;
use crate::cmd::ask::ask;
use crate::cmd::context::{self, block_on};
use crate::cmd::out::errln;
use crate::cmd::render::text::clean;
use crate::cmd::signals::told_to_end;

/// show how all checks are, live, to a browser of this machine
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "web")]
pub struct Web {
    /// port of the page, default 8222; 0 for any
    #[argh(option, arg_name = "port", default = "8222")]
    port: u16,
    /// file of tokens that open the page, one a line; default one that is drawn and printed
    #[argh(option, arg_name = "file")]
    token_file: Option<PathBuf>,
    /// only show: no check is run, kept quiet or resumed from the page
    #[argh(switch)]
    read_only: bool,
}

/// Actions that wait.
const WAITING: usize = 16;
/// Between two looks at what is to be forgotten.
const TIDY: Duration = Duration::from_secs(600);
/// Between two looks at whether the broker is heard.
const LOOK: Duration = Duration::from_secs(1);

impl Web {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let config = context::client_config(globals)?;
        let (access, shown) = match &self.token_file {
            Some(file) => (Access::File(TokenFile::new(file).context("--token-file")?), String::new()),
            None => {
                let token = uuid::Uuid::new_v4().simple().to_string();
                (Access::Token(Secret::new(token.as_str())), format!("#token={token}"))
            }
        };
        let store = Arc::new(Mutex::new(Store::default()));
        let (give, mut actions) = mpsc::channel::<Wanted>(WAITING);
        let give = (!self.read_only).then_some(give);
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let pages = page::start(address, store.clone(), access, give)?;
        block_on(async {
            let client = context::connect(config).await?;
            let ended = told_to_end()?;
            errln!("The page of checks is at http://{}/{shown}", pages.local_addr());
            let now = || jiff::Timestamp::now().as_second();
            let listening = scout::listen(&client, "server", false, |heard| {
                let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
                match heard {
                    Heard::Machine(seen) => store.machine(&seen, now()),
                    Heard::Life(event) => store.life(&event, now()),
                    Heard::Odd => {}
                }
                true
            });
            let acting = async {
                let waiting = futures::stream::poll_fn(|context| actions.poll_recv(context));
                // side by side: a node that does not answer keeps none of the others from being asked
                let each = waiting.for_each_concurrent(WAITING, |(action, answer)| async {
                    // nobody expects any more what nobody waits for
                    if answer.is_closed() {
                        return;
                    }
                    let (action, answer) = (action, answer);
                    let done = act(&client, &action, &store).await;
                    match &done {
                        Ok(()) => tracing::info!("{} of {} on {}", action.action, action.check, action.node),
                        Err(e) => {
                            tracing::warn!("{} of {} on {}: {e}", action.action, action.check, action.node)
                        }
                    }
                    let _ = answer.send(done);
                });
                each.await;
                std::future::pending::<()>().await
            };
            let tidying = async {
                loop {
                    tokio::time::sleep(TIDY).await;
                    store.lock().unwrap_or_else(PoisonError::into_inner).tidy(now());
                }
            };
            let looking = async {
                loop {
                    let connected = client.session().connected_server().is_some();
                    store.lock().unwrap_or_else(PoisonError::into_inner).connected(connected, now());
                    tokio::time::sleep(LOOK).await;
                }
            };
            tokio::select! {
                heard = listening => heard?,
                () = looking => {}
                () = acting => {}
                () = tidying => {}
                () = ended => {}
            }
            client.session().close().await;
            Ok(ExitCode::SUCCESS)
        })?
    }
}

/// Has a node do it, as the caller of this command.
async fn act(client: &Client, action: &Action, store: &Mutex<Store>) -> Result<(), String> {
    let told = |e: anyhow::Error| e.to_string();
    let mut data = Map::new();
    data.insert("checks".to_owned(), json!([action.check]));
    let collective = client.collective(None).map_err(|e| e.to_string())?;
    let one = Discovered::known(vec![action.node.clone()], Duration::ZERO);
    let asked = ask(client, "scout", &action.action, data, collective, one).await.map_err(told)?;
    let reply =
        asked.replies.first().ok_or_else(|| format!("{} did not answer", clean(&action.node, false)))?;
    let done = reply.body.data.get("transitioned").and_then(Value::as_array);
    let done = done.is_some_and(|done| done.iter().any(|name| *name == action.check));
    match reply.body.statuscode {
        StatusCode::Ok if done => Ok(()),
        StatusCode::Ok => {
            let state = store.lock().unwrap_or_else(PoisonError::into_inner);
            let state = state.state_of(&action.node, &action.check);
            let is =
                if state.is_empty() { "another state".to_owned() } else { clean(&state, false).into_owned() };
            Err(format!("nothing is done: the check is in {is}, where there is no {}", action.action))
        }
        _ => Err(clean(&reply.body.statusmsg, false).into_owned()),
    }
}
