//! Which pages there are.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::query::QueryError;
use super::{Monitored, MonitoringOptions, Process, choria, connz, metrics, pages, subsz, time};
use crate::core::broker::View;
use crate::core::log::RefusalLog;
use crate::core::web::access::{self, Wrong, bearer};
use crate::core::web::{PROMETHEUS, Pages, Peer};

/// Lists that are made or sent at once: each may be as large as what it lists.
const PLACES: usize = 4;
/// Bytes of one that are handed on at a time.
const PIECE: usize = 32 * 1024;

/// Requests by page.
#[derive(Default)]
pub(super) struct Requests(Mutex<BTreeMap<&'static str, u64>>);

impl Requests {
    fn count(&self, page: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(page).or_default() += 1;
    }

    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Requests with wrong credentials.
#[derive(Default)]
pub(super) struct Denied {
    count: AtomicU64,
    log: RefusalLog,
}

impl Denied {
    fn note(&self, peer: IpAddr) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.log.note("monitoring token", || tracing::warn!(%peer, "monitoring refused: wrong credentials"));
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// Why there is no monitoring.
pub use crate::core::web::PagesError as MonitoringError;

/// Running pages. Dropping it ends them.
pub struct Monitoring(Pages);

impl Monitoring {
    /// Binds the address and serves pages about a broker from a thread of its own.
    ///
    /// # Errors
    /// [`MonitoringError`] when the address cannot be bound or the thread not made.
    pub fn start(address: SocketAddr, view: View, about: MonitoringOptions) -> Result<Self, MonitoringError> {
        let with_tokens = about.tokens.is_some();
        // the broker's clock on the wall, fixed: the times of a connection must not move
        let started = time::before(jiff::Timestamp::now(), view.uptime());
        let process = Arc::new(Process { about, started, denied: Denied::default() });
        let pages = Pages::start(address, |address| {
            let (requests, places) = (Requests::default(), Arc::new(Semaphore::new(PLACES)));
            router(Arc::new(Monitored { view, process, address, requests, places }))
        })?;
        Ok(Self::on(pages, with_tokens))
    }

    /// The same of a process without network broker: the pages about the process alone.
    ///
    /// # Errors
    /// As [`Monitoring::start`].
    pub fn of_process(address: SocketAddr, about: MonitoringOptions) -> Result<Self, MonitoringError> {
        let with_tokens = about.tokens.is_some();
        let process = Process { about, started: jiff::Timestamp::now(), denied: Denied::default() };
        let pages = Pages::start(address, |_| about_process(&Arc::new(process)))?;
        Ok(Self::on(pages, with_tokens))
    }

    fn on(pages: Pages, with_tokens: bool) -> Self {
        let address = pages.local_addr();
        if !address.ip().to_canonical().is_loopback() {
            tracing::warn!(
                %address, tokens = with_tokens,
                "everybody who reaches this address can read monitoring, without names; names need a token"
            );
        }
        Self(pages)
    }

    /// The address listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }
}

/// Whether a request may see names.
#[derive(Clone, Copy)]
struct Trusted(bool);

/// Finds out whether a request may see names, and refuses wrong credentials.
async fn admit(
    State(process): State<Arc<Process>>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let local = access::is_local(peer, &parts, &process.about.local);
    let mut request = Request::from_parts(parts, body);
    let known = match request.headers().get(header::AUTHORIZATION) {
        None => None,
        Some(shown) => {
            let (process, token) = (process.clone(), bearer(shown.as_bytes()).to_owned());
            let known = tokio::task::spawn_blocking(move || match &process.about.tokens {
                None => false,
                Some(tokens) => tokens.knows(&token).unwrap_or_else(|error| {
                    tracing::error!("{error}");
                    false
                }),
            });
            Some(known.await.unwrap_or(false))
        }
    };
    match access::sees_names(local, known) {
        Ok(trusted) => {
            request.extensions_mut().insert(Trusted(trusted));
            next.run(request).await
        }
        Err(Wrong) => {
            process.denied.note(peer);
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"choria\"")];
            (StatusCode::UNAUTHORIZED, challenge, "the token is not one of plugin.choria.stats_token_file\n")
                .into_response()
        }
    }
}

pub(super) fn router(subject: Arc<Monitored>) -> Router {
    let mut router = Router::new()
        .route(
            "/",
            get(|State(s): State<Arc<Monitored>>| async move {
                s.requests.count("/");
                Html(pages::index())
            }),
        )
        .route("/connz", get(|s, t, q| asked(s, t, "/connz", q, connz::page)))
        .route("/subsz", get(|s, t, q| asked(s, t, "/subsz", q, subsz::page)))
        .route("/subscriptionsz", get(|s, t, q| asked(s, t, "/subscriptionsz", q, subsz::page)))
        .route("/healthz", get(healthz))
        .route("/choria", get(to_choria))
        .route(
            "/choria/",
            get(|state: State<Arc<Monitored>>, Extension(Trusted(trusted))| {
                made(state, "/choria/", PLAIN, move |s| choria::page(&s.process, trusted).to_string())
            }),
        );
    type Page = fn(&Monitored) -> Value;
    let documents: [(&'static str, Page); 4] = [
        ("/varz", pages::varz),
        ("/routez", pages::routez),
        ("/leafz", pages::leafz),
        ("/gatewayz", pages::gatewayz),
    ];
    for (path, page) in documents {
        let make = move |state| made(state, path, "application/json", move |s| page(s).to_string());
        router = router.route(path, get(make));
    }
    for path in ["/metrics", "/choria/metrics", "/choria/prometheus"] {
        router = router.route(path, get(move |state| made(state, path, PROMETHEUS, metrics::page)));
    }
    router.layer(middleware::from_fn_with_state(subject.process.clone(), admit)).with_state(subject)
}

/// The original sends its own page as plain text.
const PLAIN: &str = "text/plain; charset=utf-8";

async fn to_choria() -> Redirect {
    Redirect::temporary("/choria/")
}

/// Pages of a process without network broker (spec 04 §1.11).
fn about_process(process: &Arc<Process>) -> Router {
    let metrics = || {
        get(|State(process): State<Arc<Process>>| async move {
            ([(header::CONTENT_TYPE, PROMETHEUS)], metrics::of_process(&process))
        })
    };
    Router::new()
        .route("/choria", get(to_choria))
        .route(
            "/choria/",
            get(|State(process): State<Arc<Process>>, Extension(Trusted(trusted))| async move {
                ([(header::CONTENT_TYPE, PLAIN)], choria::page(&process, trusted).to_string())
            }),
        )
        .route("/metrics", metrics())
        .route("/choria/metrics", metrics())
        .route("/choria/prometheus", metrics())
        .layer(middleware::from_fn_with_state(process.clone(), admit))
        .with_state(process.clone())
}

/// A page made away from the thread that serves: some ask the shards and wait.
async fn made(
    State(subject): State<Arc<Monitored>>,
    path: &'static str,
    content: &'static str,
    make: impl FnOnce(&Monitored) -> String + Send + 'static,
) -> Response {
    subject.requests.count(path);
    match tokio::task::spawn_blocking(move || make(&subject)).await {
        Ok(text) => ([(header::CONTENT_TYPE, content)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A page that depends on what is asked, and by whom.
async fn asked<Q: Send + 'static>(
    State(subject): State<Arc<Monitored>>,
    Extension(Trusted(trusted)): Extension<Trusted>,
    path: &'static str,
    query: Result<Query<Q>, QueryRejection>,
    make: fn(&Monitored, &Q, bool) -> Result<Value, QueryError>,
) -> Response {
    subject.requests.count(path);
    let query = match query {
        Ok(Query(query)) => query,
        Err(error) => return (StatusCode::BAD_REQUEST, error.body_text()).into_response(),
    };
    // a place until all of it is sent
    let Ok(place) = subject.places.clone().acquire_owned().await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let made =
        tokio::task::spawn_blocking(move || make(&subject, &query, trusted).map(|page| page.to_string()));
    match made.await {
        Ok(Ok(text)) => piecemeal(text, place),
        Ok(Err(error @ QueryError::Names(_))) => (StatusCode::FORBIDDEN, error.to_string()).into_response(),
        Ok(Err(error)) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A JSON document that keeps its place among those that are held until its last piece is taken.
fn piecemeal(text: String, place: OwnedSemaphorePermit) -> Response {
    let text = Bytes::from(text);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CONTENT_LENGTH, HeaderValue::from(text.len())),
    ];
    let pieces = (0..text.len()).step_by(PIECE).map(move |at| {
        let _held = &place;
        Ok::<_, Infallible>(text.slice(at..(at + PIECE).min(text.len())))
    });
    (headers, Body::from_stream(futures::stream::iter(pieces))).into_response()
}

async fn healthz(State(subject): State<Arc<Monitored>>) -> Response {
    subject.requests.count("/healthz");
    match pages::healthz(&subject) {
        Ok(page) => Json(page).into_response(),
        Err(page) => (StatusCode::SERVICE_UNAVAILABLE, Json(page)).into_response(),
    }
}
