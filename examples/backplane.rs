//! A web service that people on the network can look at, pause and end.
//!
//! ```text
//! cargo run --example backplane service.yaml
//! ```
//!
//! ```yaml
//! listen: 127.0.0.1:8080
//! management:
//!   name: greeter
//!   brokers: ["broker.example.net:4222"]
//!   auth:
//!     full: ["^choria=ops\\.mcollective$"]
//!     read_only: ["\\.mcollective$"]
//!   tls: {identity: web1.example.net, ca: ca.pem, cert: cert.pem, key: key.pem}
//! ```
//!
//! It greets whoever asks; while it is paused it answers 503. With a client
//! configuration whose `collectives` include `greeter_backplane`:
//!
//! ```text
//! choria rpc backplane info -T greeter_backplane
//! choria rpc backplane pause -T greeter_backplane -F backplane_pausable=true
//! ```
//!
//! What an embedder needs is [`Greeter`]'s few traits and [`backplane::start`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use choria::core::backplane::{self, HealthCheckable, InfoSource, Pausable, Service, Stopable};
use choria::core::config::System;
use choria::core::log::{self, Destination};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

#[derive(serde::Deserialize)]
struct File {
    listen: SocketAddr,
    management: backplane::Settings,
}

/// The service.
#[derive(Default)]
struct Greeter {
    paused: AtomicBool,
    greeted: AtomicU64,
    stop: Notify,
}

impl InfoSource for Greeter {
    fn facts(&self) -> Map<String, Value> {
        Map::from_iter([("purpose".to_owned(), json!("greeting"))])
    }

    fn version(&self) -> String {
        "1.0.0".to_owned()
    }
}

impl Pausable for Greeter {
    fn pause(&self) {
        self.paused.store(true, Ordering::SeqCst);
    }

    fn resume(&self) {
        self.paused.store(false, Ordering::SeqCst);
    }

    fn paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }
}

impl HealthCheckable for Greeter {
    fn health(&self) -> (Value, bool) {
        (json!({ "greeted": self.greeted.load(Ordering::SeqCst) }), true)
    }
}

impl Stopable for Greeter {
    fn shutdown(&self) {
        self.stop.notify_one();
    }
}

async fn greet(State(greeter): State<Arc<Greeter>>) -> Result<&'static str, (StatusCode, &'static str)> {
    if greeter.paused() {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "paused, come back later\n"));
    }
    greeter.greeted.fetch_add(1, Ordering::SeqCst);
    Ok("hello\n")
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    log::init(Destination::Stderr, "info")?;
    let file = std::env::args().nth(1).context("say where the settings are: backplane FILE")?;
    let text = std::fs::read_to_string(&file).with_context(|| file.clone())?;
    let File { listen, management } = serde_saphyr::from_str(&text).with_context(|| file.clone())?;

    let greeter = Arc::new(Greeter::default());
    let service = Service {
        pausable: Some(greeter.clone()),
        health: Some(greeter.clone()),
        stopable: Some(greeter.clone()),
        ..Service::new(greeter.clone())
    };
    let backplane = backplane::start(&management, service, None, &System)?;

    let listener = tokio::net::TcpListener::bind(listen).await?;
    eprintln!("greeting address={}", listener.local_addr()?);
    let pages = Router::new().route("/", get(greet)).with_state(greeter.clone());
    let asked_to_end = async move { greeter.stop.notified().await };
    axum::serve(listener, pages).with_graceful_shutdown(asked_to_end).await?;
    backplane.stop().await;
    Ok(())
}
