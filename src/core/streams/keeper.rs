//! Makes the system streams what they are to be, again and again until they are.
//!
//! A cluster has no streams before most of its machines are there, and its leader takes
//! seconds to be chosen: what fails is tried again, for ever, and told when the reason changes.
//! Nothing is ever removed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::system::{SystemStreams, change};
use crate::core::text::Secret;

/// Time for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// From one try to the next, at first and at most.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// Unknown stream.
const NO_STREAM: i64 = 10059;

/// How to reach the engine in the account of the streams.
#[derive(Clone)]
pub struct Login {
    /// Where it takes clients; nothing while it does not run.
    pub address: Arc<dyn Fn() -> Option<SocketAddr> + Send + Sync>,
    /// User it knows.
    pub user: &'static str,
    /// That one's password.
    pub password: Secret,
}

/// Why streams are not as they are to be yet.
#[derive(Debug, thiserror::Error)]
enum KeeperError {
    #[error("nats-server does not run")]
    Down,
    #[error("connecting to nats-server: {0}")]
    Connect(String),
    #[error("asking about stream {0}: {1}")]
    Ask(&'static str, String),
    #[error("nats-server refuses stream {0}: {1}")]
    Refused(&'static str, String),
}

/// The task that keeps them. It ends when this is dropped.
pub struct Keeper(JoinHandle<()>);

impl Keeper {
    /// Begins, within a runtime.
    pub fn start(login: Login, streams: SystemStreams) -> Self {
        Self(tokio::spawn(keep(login, streams)))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn keep(login: Login, streams: SystemStreams) {
    let (mut delay, mut told) = (FIRST, String::new());
    loop {
        match make_all(&login, &streams).await {
            Ok(made) => {
                tracing::info!(
                    created = made.created,
                    changed = made.changed,
                    "system streams are as configured"
                );
                return;
            }
            Err(error) => {
                let reason = error.to_string();
                if reason == told {
                    tracing::debug!(%reason, "system streams are not as configured yet");
                } else {
                    tracing::warn!(%reason, "system streams are not as configured yet, trying again");
                    told = reason;
                }
            }
        }
        // machines of a cluster do this all at once
        tokio::time::sleep(delay.mul_f64(0.75 + 0.5 * fastrand::f64())).await;
        delay = (delay * 2).min(LONGEST);
    }
}

/// What was done.
#[derive(Debug, Default)]
struct Made {
    created: usize,
    changed: usize,
}

async fn make_all(login: &Login, streams: &SystemStreams) -> Result<Made, KeeperError> {
    let client = connect(login).await?;
    let mut made = Made::default();
    for (name, wanted) in streams.wanted() {
        let info = ask(&client, name, "INFO", &Value::Null).await?;
        let (verb, body) = match info["error"]["err_code"].as_i64() {
            Some(NO_STREAM) => ("CREATE", wanted),
            Some(_) => return Err(refused(name, &info)),
            None => match change(&info["config"], &wanted) {
                Some(changed) => ("UPDATE", changed),
                None => continue,
            },
        };
        let answer = ask(&client, name, verb, &body).await?;
        if answer.get("error").is_some() {
            return Err(refused(name, &answer));
        }
        match verb {
            "CREATE" => made.created += 1,
            _ => made.changed += 1,
        }
    }
    Ok(made)
}

async fn connect(login: &Login) -> Result<Client, KeeperError> {
    let address = (login.address)().ok_or(KeeperError::Down)?;
    let options =
        ConnectOptions::with_user_and_password(login.user.to_owned(), login.password.expose().to_owned());
    let options = options.connection_timeout(PATIENCE).request_timeout(Some(PATIENCE)).max_reconnects(1);
    options.connect(address.to_string()).await.map_err(|error| KeeperError::Connect(error.to_string()))
}

async fn ask(client: &Client, name: &'static str, verb: &str, body: &Value) -> Result<Value, KeeperError> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let asked = client.request(format!("$JS.API.STREAM.{verb}.{name}"), body.into()).await;
    let answer = asked.map_err(|error| KeeperError::Ask(name, error.to_string()))?;
    serde_json::from_slice(&answer.payload).map_err(|error| KeeperError::Ask(name, error.to_string()))
}

fn refused(name: &'static str, answer: &Value) -> KeeperError {
    let error = answer.get("error").cloned().unwrap_or(json!({}));
    let text = error["description"].as_str().unwrap_or("without a reason").to_owned();
    KeeperError::Refused(name, format!("{text} ({})", error["err_code"]))
}
