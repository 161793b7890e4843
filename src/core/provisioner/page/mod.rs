//! The provisioner over HTTP: metrics, health, and a page for people (spec 05 §10, 15.5).
//!
//! Names of nodes and brokers are shown on this machine alone; whoever asks
//! from elsewhere sees numbers. Settings and secrets are shown to nobody. What
//! nodes say of themselves reaches the page as JSON and its text as text,
//! never as HTML, and a content security policy holds even where that failed.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router, middleware};

use super::daemon::Daemon;
use super::status::Status;
use crate::core::build;
use crate::core::metrics::{Kind, Registry, process};
use crate::core::web::access::{LocalNames, is_local};
use crate::core::web::{PROMETHEUS, Pages, PagesError, Peer, protect};

const HTML: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = include_str!("page.css");

/// Answers with unix seconds.
pub type Expiry = Arc<dyn Fn() -> Option<i64> + Send + Sync>;

/// What pages ask.
struct PageState {
    daemon: Arc<Daemon>,
    registry: Registry,
    local: LocalNames,
}

/// Serves pages at this address until what is returned is dropped. `expiry`
/// says when our own certificate expires.
///
/// # Errors
/// It cannot be listened on.
pub fn start(address: SocketAddr, daemon: Arc<Daemon>, expiry: Option<Expiry>) -> Result<Pages, PagesError> {
    let registry = registry(&daemon, expiry);
    let settings = &daemon.plan().settings;
    let local = LocalNames { hosts: settings.monitor_hosts.clone(), only_tokens: !settings.monitor_names };
    let pages = Pages::start(address, |_| router(Arc::new(PageState { daemon, registry, local })))?;
    let address = pages.local_addr();
    if !address.ip().to_canonical().is_loopback() {
        tracing::warn!(%address, "everybody who reaches this address can read metrics and status, without names");
    }
    Ok(pages)
}

fn registry(daemon: &Arc<Daemon>, expiry: Option<Expiry>) -> Registry {
    let registry = Registry::default();
    let settings = &daemon.plan().settings;
    let site = ("site", settings.site.as_str());
    daemon.counters().register(&registry, daemon.calls(), &settings.site);
    daemon.register_election(&registry);
    let labels = [("version", build::VERSION), ("sha", build::SHA), site];
    registry.add(
        Kind::Gauge,
        "choria_provisioner_build_info",
        "Build of the running program",
        &labels,
        || 1.0,
    );
    let connected = daemon.clone();
    registry.add(
        Kind::Gauge,
        "choria_provisioner_ready",
        "1 while connected to a broker and not paused",
        &[site],
        move || f64::from(u8::from(connected.ready().is_ok())),
    );
    let left = |until: Option<i64>| {
        until.map_or(f64::NAN, |until| (until - jiff::Timestamp::now().as_second()) as f64)
    };
    if let Some(expiry) = expiry {
        let help = "Seconds until our own certificate expires, negative afterwards";
        registry.add(
            Kind::Gauge,
            "choria_provisioner_certificate_expires_seconds",
            help,
            &[site],
            move || left(expiry()),
        );
    }
    if daemon.plan().helper.ca_expiry().is_some() {
        let daemon = daemon.clone();
        let help = "Seconds until the CA of the built-in helper expires, negative afterwards";
        registry.add(Kind::Gauge, "choria_provisioner_ca_expires_seconds", help, &[site], move || {
            left(daemon.plan().helper.ca_expiry())
        });
    }
    if let Some(signer) = daemon.plan().tokens.as_ref().and_then(|tokens| tokens.signer_expires()) {
        let help = "Seconds until jwt_signing_token expires, negative afterwards";
        registry.add(Kind::Gauge, "choria_provisioner_token_expires_seconds", help, &[site], move || {
            left(Some(signer))
        });
    }
    process::register(&registry, jiff::Timestamp::now());
    registry
}

fn router(subject: Arc<PageState>) -> Router {
    let fixed = |content: &'static str, text: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, content)], text) })
    };
    Router::new()
        .route("/", fixed("text/html; charset=utf-8", HTML))
        .route("/page.js", fixed("text/javascript; charset=utf-8", SCRIPT))
        .route("/page.css", fixed("text/css; charset=utf-8", STYLE))
        .route("/status.json", get(status))
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .layer(middleware::map_response(protect))
        .with_state(subject)
}

async fn status(
    State(subject): State<Arc<PageState>>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
) -> Json<Status> {
    let (asked, _) = request.into_parts();
    let status = subject.daemon.status();
    Json(match is_local(peer, &asked, &subject.local) {
        true => status,
        false => status.without_names(),
    })
}

async fn metrics(State(subject): State<Arc<PageState>>) -> Response {
    ([(header::CONTENT_TYPE, PROMETHEUS)], subject.registry.render()).into_response()
}

/// That the program lives; what keeps it from its work is told, and is no failure.
async fn health(State(subject): State<Arc<PageState>>) -> String {
    subject.daemon.ready().map_or_else(|reason| format!("{reason}\n"), |()| "ok\n".to_owned())
}

async fn ready(State(subject): State<Arc<PageState>>) -> Response {
    match subject.daemon.ready() {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}
