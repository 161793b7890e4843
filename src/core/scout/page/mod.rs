//! The fleet over HTTP: how all checks are, live.
//!
//! Whoever shows a token sees it, and may keep checks quiet; without one there are only the
//! page's own files. The token travels in a header that pages of other sites cannot set, so none
//! of them can act for whoever has it open. What nodes say reaches the page as JSON and its text
//! as text, never as HTML, and a content security policy holds even where that failed.
//!
//! Changes come as server-sent events, in connections of some seconds, as all of
//! [`web`](crate::core::web) are bounded; each says where the next begins.

mod store;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};

use crate::core::text::Secret;
use crate::core::web::access::{TokenFile, bearer};
use crate::core::web::{Pages, PagesError, protect};
use store::Since;
pub use store::Store;

const HTML: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = include_str!("page.css");
/// How long a connection of events lasts; below what all connections may take.
const LASTS: Duration = Duration::from_secs(8);
/// What happens meanwhile comes together.
const GATHERED: Duration = Duration::from_millis(300);
/// How long an action may take.
const ACTION: Duration = Duration::from_secs(9);
/// Bytes of what is posted.
const MOST: usize = 4096;

/// Who may see and do.
pub enum Access {
    /// Whoever shows this one.
    Token(Secret),
    /// Whoever shows one of a file.
    File(TokenFile),
}

/// Something that is to be done to a check.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// Where.
    pub node: String,
    /// Its name.
    pub check: String,
    /// `trigger`, `maintenance` or `resume`.
    pub action: String,
}

/// An action and where its answer goes.
pub type Wanted = (Action, oneshot::Sender<Result<(), String>>);

/// What pages ask.
struct PageState {
    store: Arc<Mutex<Store>>,
    access: Access,
    /// Who does what is asked for; none where nothing is to be done.
    actions: Option<mpsc::Sender<Wanted>>,
}

/// Serves the page at this address until what is returned is dropped.
///
/// # Errors
/// It cannot be listened on.
pub fn start(
    address: SocketAddr,
    store: Arc<Mutex<Store>>,
    access: Access,
    actions: Option<mpsc::Sender<Wanted>>,
) -> Result<Pages, PagesError> {
    Pages::start(address, |_| router(Arc::new(PageState { store, access, actions })))
}

fn router(state: Arc<PageState>) -> Router {
    let fixed = |content: &'static str, text: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, content)], text) })
    };
    let guarded = Router::new()
        .route("/fleet.json", get(whole))
        .route("/check.json", get(check))
        .route("/events", get(events))
        .route("/act", post(act))
        .layer(middleware::from_fn_with_state(state.clone(), judged));
    Router::new()
        .route("/", fixed("text/html; charset=utf-8", HTML))
        .route("/page.js", fixed("text/javascript; charset=utf-8", SCRIPT))
        .route("/page.css", fixed("text/css; charset=utf-8", STYLE))
        .merge(guarded)
        .layer(middleware::map_response(protect))
        .with_state(state)
}

/// Whether a request shows a token that is known.
async fn judged(State(state): State<Arc<PageState>>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).map(|value| bearer(value.as_bytes()));
    let known = match (shown, &state.access) {
        (None, _) => false,
        (Some(shown), Access::Token(token)) => same(shown, token.expose()),
        (Some(shown), Access::File(file)) => file.knows(shown).unwrap_or_else(|e| {
            tracing::error!("nobody sees the page: {e}");
            false
        }),
    };
    match known {
        true => next.run(request).await,
        false => (StatusCode::UNAUTHORIZED, "a token is required\n").into_response(),
    }
}

fn same(shown: &str, token: &str) -> bool {
    use aws_lc_rs::digest::{SHA256, digest};
    use subtle::ConstantTimeEq;
    let hash = |text: &str| digest(&SHA256, text.as_bytes());
    hash(shown).as_ref().ct_eq(hash(token).as_ref()).into()
}

fn locked(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn whole(State(state): State<Arc<PageState>>) -> Response {
    let text = locked(&state.store).whole(jiff::Timestamp::now().as_second());
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

#[derive(Deserialize)]
struct Which {
    node: String,
    check: String,
}

async fn check(State(state): State<Arc<PageState>>, Query(which): Query<Which>) -> Response {
    match locked(&state.store).check(&which.node, &which.check) {
        Some(mut found) => {
            found["acts"] = state.actions.is_some().into();
            Json(found).into_response()
        }
        None => (StatusCode::NOT_FOUND, "there is no such check\n").into_response(),
    }
}

#[derive(Deserialize)]
struct Begin {
    after: u64,
}

/// Changes after a number, for some seconds.
async fn events(State(state): State<Arc<PageState>>, Query(begin): Query<Begin>) -> Response {
    let news = locked(&state.store).news();
    let end = tokio::time::Instant::now() + LASTS;
    let pieces = futures::stream::unfold(Some((begin.after, news)), move |at| {
        let state = state.clone();
        async move {
            let (number, mut news) = at?;
            let waiting = async {
                // what is there already is not waited for
                let _ = news.wait_for(|last| *last != number).await;
                tokio::time::sleep(GATHERED).await;
            };
            tokio::time::timeout_at(end, waiting).await.ok()?;
            let piece = match locked(&state.store).since(number) {
                Since::TooMany => return Some((piece("event: anew\ndata: {}\n\n".to_owned()), None)),
                Since::Changes(news, last) => (news, last),
            };
            let (changes, last) = piece;
            let text = format!("id: {last}\ndata: [{}]\n\n", changes.join(","));
            Some((self::piece(text), Some((last, news))))
        }
    });
    let body = axum::body::Body::from_stream(pieces);
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn piece(text: String) -> Result<Bytes, Infallible> {
    Ok(Bytes::from(text))
}

async fn act(State(state): State<Arc<PageState>>, body: Bytes) -> Response {
    let Some(actions) = &state.actions else {
        return (StatusCode::FORBIDDEN, "this page only shows\n").into_response();
    };
    let wanted: Option<Action> = (body.len() <= MOST).then(|| serde_json::from_slice(&body).ok()).flatten();
    let wanted =
        wanted.filter(|wanted| matches!(wanted.action.as_str(), "trigger" | "maintenance" | "resume"));
    let Some(wanted) = wanted else {
        return (StatusCode::BAD_REQUEST, "it is no action\n").into_response();
    };
    // of what nobody has heard of, nobody is asked
    if locked(&state.store).check(&wanted.node, &wanted.check).is_none() {
        return (StatusCode::NOT_FOUND, "there is no such check\n").into_response();
    }
    let (give, take) = oneshot::channel();
    if actions.try_send((wanted, give)).is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "too much is under way\n").into_response();
    }
    match tokio::time::timeout(ACTION, take).await {
        Ok(Ok(Ok(()))) => "done\n".into_response(),
        Ok(Ok(Err(why))) => (StatusCode::BAD_GATEWAY, format!("{why}\n")).into_response(),
        _ => (StatusCode::GATEWAY_TIMEOUT, "the node did not answer\n").into_response(),
    }
}
