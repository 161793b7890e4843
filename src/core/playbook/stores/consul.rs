//! Consul's key-value store, by its HTTP interface; it has locks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value as Json, json};

use super::lease::{Lease, lost_before, now};
use super::{Lock, Options, Store, Trouble, World};
use crate::core::playbook::http::{Address, Question, ask};
use crate::core::text::shortened;

/// How long one request may take, and how often a lock is tried.
const PATIENCE: Duration = Duration::from_secs(15);
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// Shortest life of a session, by Consul's rules.
const SHORTEST: u64 = 10;

#[derive(Debug, Clone)]
struct Consul {
    address: String,
    /// It as messages show it.
    shown: String,
    token: Option<String>,
    ttl: u64,
    patience: Duration,
}

pub(super) fn open(options: &Options<'_>) -> Result<Box<dyn Store>, Trouble> {
    let configured = std::env::var("CONSUL_HTTP_ADDR").ok().filter(|address| !address.is_empty());
    let address = options.text("url")?.map(str::to_owned).or(configured);
    let address = address.unwrap_or_else(|| "http://localhost:8500".to_owned());
    let address = if address.contains("://") { address } else { format!("http://{address}") };
    Address::parse(&address).map_err(|e| options.wrong(e))?;
    let ttl = options.count("ttl", SHORTEST)?;
    if ttl < SHORTEST {
        return Err(options.wrong(format!("the option 'ttl' is {SHORTEST} seconds or more")));
    }
    let address = address.trim_end_matches('/');
    Ok(Box::new(Consul {
        address: address.to_owned(),
        shown: options.shown("url", address).to_owned(),
        token: std::env::var("CONSUL_HTTP_TOKEN").ok().filter(|token| !token.is_empty()),
        ttl,
        patience: options.seconds("timeout", 120)?,
    }))
}

/// A key in a path: each part of it escaped.
fn escaped(key: &str) -> String {
    let part = |part: &str| utf8_percent_encode(part, NON_ALPHANUMERIC).to_string();
    key.split('/').map(part).collect::<Vec<_>>().join("/")
}

impl Consul {
    async fn ask(&self, method: &str, path: &str, body: Vec<u8>) -> Result<(u16, String), String> {
        let mut headers = vec![("User-Agent".to_owned(), "Choria Playbooks http://choria.io".to_owned())];
        headers.extend(self.token.iter().map(|token| ("X-Consul-Token".to_owned(), token.clone())));
        let address = Address::parse(&format!("{}{path}", self.address))?;
        let question = Question {
            method: method.to_owned(),
            address,
            headers,
            body,
            ca: String::new(),
            limit: PATIENCE,
        };
        let (status, text) = ask(question).await.map_err(|e| format!("consul at {}: {e}", self.shown))?;
        Ok((status.as_u16(), text))
    }

    async fn good(&self, method: &str, path: &str, body: Vec<u8>) -> Result<String, String> {
        match self.ask(method, path, body).await? {
            (200, text) => Ok(text),
            (status, text) => Err(self.refused(status, &text)),
        }
    }

    /// What it says instead of what it was asked for.
    fn refused(&self, status: u16, text: &str) -> String {
        format!("consul at {} answers {status}: {}", self.shown, shortened(text, 200))
    }

    async fn session(&self) -> Result<String, String> {
        // keys of a session go with it, as the original asks for
        let body = json!({"Name": "choria playbook", "TTL": format!("{}s", self.ttl), "Behavior": "delete"});
        let text = self.good("PUT", "/v1/session/create", body.to_string().into_bytes()).await?;
        let json: Json = serde_json::from_str(&text).map_err(|e| format!("consul at {}: {e}", self.shown))?;
        let id = json["ID"].as_str().filter(|id| id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        id.map(str::to_owned).ok_or_else(|| format!("consul at {} gives a session no name", self.shown))
    }

    async fn acquire(&self, key: &str) -> Result<Session, String> {
        let asked = now();
        let session = self.session().await?;
        let lease = Arc::new(Lease::new(Duration::from_secs(self.ttl), asked));
        let renewing = tokio::spawn(self.clone().renew(session.clone(), lease.clone()));
        // dropped, it ends the session: whoever is interrupted holds nothing
        let (consul, key) = (self.clone(), key.to_owned());
        let lock = Session { consul, key, session: session.clone(), lease, renewing };
        let path = format!("/v1/kv/{}?acquire={session}", escaped(&lock.key));
        let begun = Instant::now();
        loop {
            match self.good("PUT", &path, b"locked by a playbook".to_vec()).await {
                Ok(answer) if answer.trim() == "true" => return Ok(lock),
                Ok(_) => {}
                Err(e) => {
                    let _ = lock.release().await;
                    return Err(e);
                }
            }
            if begun.elapsed() + TRY_AGAIN > self.patience {
                let _ = lock.release().await;
                return Err(format!("somebody else held it for {} s", self.patience.as_secs()));
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    async fn renew(self, session: String, lease: Arc<Lease>) {
        let usual = Duration::from_secs(self.ttl.saturating_sub(5).max(1));
        let path = format!("/v1/session/renew/{session}");
        let mut pause = usual;
        loop {
            tokio::time::sleep(pause).await;
            let asked = now();
            // an answer that comes when it is over is of no use
            let patience = lease.left().max(Duration::from_secs(1));
            let answer = tokio::time::timeout(patience, self.ask("PUT", &path, vec![])).await;
            pause = match answer {
                Ok(Ok((200, _))) => {
                    lease.renewed(asked);
                    usual
                }
                Ok(Ok((404, _))) => {
                    tracing::warn!("a lock is lost, consul has ended its session");
                    return lease.lose("consul has ended its session");
                }
                Ok(Ok((status, _))) => self.not_renewed(&format!("it answers {status}")),
                Ok(Err(e)) => self.not_renewed(&e),
                Err(_) => self.not_renewed("it does not answer"),
            };
        }
    }

    /// Says so, and when to try again.
    fn not_renewed(&self, why: &str) -> Duration {
        tracing::warn!("the session of a lock was not renewed by consul at {}: {why}", self.shown);
        Duration::from_secs(1)
    }
}

/// A lock that is held, and kept alive meanwhile.
#[derive(Debug)]
pub(in crate::core::playbook) struct Session {
    consul: Consul,
    key: String,
    session: String,
    lease: Arc<Lease>,
    renewing: tokio::task::JoinHandle<()>,
}

impl Session {
    /// Why it may be somebody else's by now.
    pub(super) fn lost(&self) -> Option<String> {
        self.lease.lost()
    }

    /// Gives it back.
    pub(super) async fn release(self) -> Result<(), String> {
        self.renewing.abort();
        let Session { consul, key, session, .. } = &self;
        let released =
            consul.good("PUT", &format!("/v1/kv/{}?release={session}", escaped(key)), vec![]).await;
        // its end takes the key with it
        consul.good("PUT", &format!("/v1/session/destroy/{session}"), vec![]).await?;
        match released?.trim() {
            "false" => Err(lost_before(self.lost())),
            _ => Ok(()),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // without being renewed the session ends by itself
        self.renewing.abort();
    }
}

impl Store for Consul {
    fn read(&self, world: &mut World, key: &str) -> Result<Json, Trouble> {
        let (status, text) =
            world.wait(self.ask("GET", &format!("/v1/kv/{}", escaped(key)), vec![]))?.map_err(Trouble)?;
        if status == 404 {
            return Err(Trouble(format!("No such key {key}")));
        }
        // whoever stands before it may refuse in JSON, too
        let json: Option<Json> = serde_json::from_str(&text).ok().filter(|_| status == 200);
        let entry = json.as_ref().and_then(|json| json.get(0)?.as_object());
        let value = entry.and_then(|entry| entry.get("Value"));
        let value = value.ok_or_else(|| Trouble(self.refused(status, &text)))?;
        // nothing is a value that is empty
        let value = value.as_str().unwrap_or_default();
        let bytes = STANDARD.decode(value).map_err(|e| Trouble(format!("consul's value of {key}: {e}")))?;
        Ok(Json::String(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn write(&self, world: &mut World, key: &str, value: &str) -> Result<(), Trouble> {
        let path = format!("/v1/kv/{}", escaped(key));
        let answer = world.wait(self.good("PUT", &path, value.as_bytes().to_vec()))?.map_err(Trouble)?;
        match answer.trim() {
            "true" => Ok(()),
            _ => Err(Trouble(format!("consul did not take the value of {key}"))),
        }
    }

    fn lock(&self, world: &mut World, key: &str) -> Result<Lock, Trouble> {
        world.wait(self.acquire(key))?.map(Lock::Consul).map_err(Trouble)
    }
}
