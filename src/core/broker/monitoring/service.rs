//! Which pages there are.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde_json::Value;

use super::{About, Subject, choria, connz, metrics, pages};
use crate::core::broker::View;
use crate::core::pages::{PROMETHEUS, Pages, Trusted};

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

/// Why there is no monitoring.
pub use crate::core::pages::PagesError as MonitoringError;

/// Running pages. Dropping it ends them.
pub struct Monitoring(Pages);

impl Monitoring {
    /// Binds the address and serves pages about a broker from a thread of its own.
    ///
    /// # Errors
    /// [`MonitoringError`] when the address cannot be bound or the thread not made.
    pub fn start(address: SocketAddr, view: View, about: About) -> Result<Self, MonitoringError> {
        let started = jiff::Timestamp::now();
        let requests = Requests::default();
        let pages = Pages::start(address, |address| {
            router(Arc::new(Subject { view, about, address, started, requests }))
        })?;
        Ok(Self(pages))
    }

    /// The address listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }
}

fn router(subject: Arc<Subject>) -> Router {
    let mut router = Router::new()
        .route(
            "/",
            get(|State(s): State<Arc<Subject>>| async move {
                s.requests.count("/");
                Html(pages::index())
            }),
        )
        .route("/connz", get(connz))
        .route("/healthz", get(healthz))
        .route("/choria", get(|| async { Redirect::temporary("/choria/") }))
        .route(
            "/choria/",
            get(|state: State<Arc<Subject>>, Extension(Trusted(trusted))| {
                // the original sends this one as plain text
                made(state, "/choria/", "text/plain; charset=utf-8", move |s| {
                    choria::page(s, trusted).to_string()
                })
            }),
        );
    type Page = fn(&Subject) -> Value;
    let documents: [(&'static str, Page); 6] = [
        ("/varz", pages::varz),
        ("/subsz", pages::subsz),
        ("/subscriptionsz", pages::subsz),
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
    router.with_state(subject)
}

/// A page made away from the thread that serves: some ask the shards and wait.
async fn made(
    State(subject): State<Arc<Subject>>,
    path: &'static str,
    content: &'static str,
    make: impl FnOnce(&Subject) -> String + Send + 'static,
) -> Response {
    subject.requests.count(path);
    match tokio::task::spawn_blocking(move || make(&subject)).await {
        Ok(text) => ([(header::CONTENT_TYPE, content)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn connz(
    State(subject): State<Arc<Subject>>,
    Extension(Trusted(trusted)): Extension<Trusted>,
    query: Result<Query<connz::Query>, QueryRejection>,
) -> Response {
    subject.requests.count("/connz");
    let query = match query {
        Ok(Query(query)) => query,
        Err(error) => return (StatusCode::BAD_REQUEST, error.body_text()).into_response(),
    };
    match tokio::task::spawn_blocking(move || connz::page(&subject, &query, trusted)).await {
        Ok(Ok(page)) => Json(page).into_response(),
        Ok(Err(error)) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn healthz(State(subject): State<Arc<Subject>>) -> Response {
    subject.requests.count("/healthz");
    match pages::healthz(&subject) {
        Ok(page) => Json(page).into_response(),
        Err(page) => (StatusCode::SERVICE_UNAVAILABLE, Json(page)).into_response(),
    }
}
