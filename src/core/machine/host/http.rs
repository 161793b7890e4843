//! Switches and metrics over HTTP (spec 06 §7.3). The answers are those of the original, but
//! for what it gets wrong: a switch that was turned off says so.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::Host;
use crate::core::machine::engine::Press;
use crate::core::web::access::is_here;

/// A press is a few bytes.
const MAX_BODY: usize = 4096;

type Reply = (StatusCode, String);

/// The pages of a host.
pub fn pages(host: Host) -> Router {
    Router::new()
        .route("/choria/machine/switch/v1/{machine}/{watcher}", get(switch).post(press))
        .route("/choria/homeassistant/switch/v1/{machine}/{watcher}", get(assistant).post(assistant_press))
        .route("/choria/machine/metric/v1/{machine}/{watcher}", get(metric))
        .fallback(|| async { (StatusCode::NOT_FOUND, "404 page not found\n".to_owned()) })
        .method_not_allowed_fallback(|| async { StatusCode::NOT_FOUND })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(host.clone(), ours_alone))
        .with_state(host)
}

/// Nothing for pages of other sites that a browser shows here.
async fn ours_alone(State(host): State<Host>, request: Request, next: Next) -> Response {
    if is_of_another_site(&host.inner.settings.identity, request.headers()) {
        return (StatusCode::FORBIDDEN, "403 this is not for pages of other sites\n").into_response();
    }
    next.run(request).await
}

/// Whether a browser says that a page of another site asks, or it asks by a name that such a site may have given to
/// this machine: any but `localhost`, an address, and the node's own name, whole or its first part.
fn is_of_another_site(identity: &str, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(HOST.as_str()).unwrap_or_default();
    let of_host =
        |origin: &str| origin.split_once("://").is_some_and(|(_, of)| of.eq_ignore_ascii_case(host));
    let elsewhere = |site: &str| !matches!(site, "same-origin" | "none");
    let first = identity.split('.').next().unwrap_or_default();
    let names = [identity.to_owned(), first.to_owned()];
    text(ORIGIN.as_str()).is_some_and(|origin| !of_host(origin))
        || text("sec-fetch-site").is_some_and(elsewhere)
        || !host.is_empty() && !is_here(host, &names)
}

type Names = Path<(String, String)>;

fn missing(what: &str) -> Reply {
    (StatusCode::BAD_REQUEST, format!("{what} not found"))
}

async fn switch(State(host): State<Host>, Path((machine, watcher)): Names) -> Reply {
    match host.engine().switch(&machine, &watcher) {
        None => missing("switch"),
        Some((on, detail)) => {
            let status = match on {
                None => "unknown",
                Some(true) => "on",
                Some(false) => "off",
            };
            let is = |what| on == Some(what);
            let body = json!({"is_on": is(true), "is_off": is(false), "status": status, "detail": detail});
            (StatusCode::OK, body.to_string())
        }
    }
}

fn pressed(host: &Host, machine: &str, watcher: &str, on: bool) -> Result<Press, Reply> {
    let done = host.engine().press(machine, watcher, on, host.now());
    host.inner.wake.notify_one();
    done.ok_or_else(|| (StatusCode::INTERNAL_SERVER_ERROR, "switch not found".to_owned()))
}

async fn press(State(host): State<Host>, Path((machine, watcher)): Names, body: String) -> Reply {
    let wanted: Value = match serde_json::from_str(&body) {
        Ok(wanted) => wanted,
        Err(e) => return (StatusCode::INTERNAL_SERVER_ERROR, format!("the body is no JSON: {e}")),
    };
    // nothing said is off, as with the original
    let nothing = wanted.as_object().is_some_and(serde_json::Map::is_empty);
    let Some(on) = wanted.get("on").and_then(Value::as_bool).or(nothing.then_some(false)) else {
        return (StatusCode::BAD_REQUEST, r#"say {"on": true} or {"on": false}"#.to_owned());
    };
    match pressed(&host, &machine, &watcher, on) {
        Ok(Press::Gave(is_on) | Press::Refused(is_on)) => {
            (StatusCode::OK, json!({"is_on": is_on}).to_string())
        }
        Err(reply) => reply,
    }
}

async fn assistant(State(host): State<Host>, Path((machine, watcher)): Names) -> Reply {
    match host.engine().switch(&machine, &watcher) {
        None => missing("switch"),
        Some((on, _)) => (StatusCode::OK, word(on == Some(true))),
    }
}

async fn assistant_press(State(host): State<Host>, Path((machine, watcher)): Names, body: String) -> Reply {
    match pressed(&host, &machine, &watcher, body.starts_with("ON")) {
        Ok(Press::Gave(is_on) | Press::Refused(is_on)) => (StatusCode::OK, word(is_on)),
        Err(reply) => reply,
    }
}

fn word(on: bool) -> String {
    if on { "ON" } else { "OFF" }.to_owned()
}

async fn metric(State(host): State<Host>, Path((machine, watcher)): Names) -> Reply {
    match host.engine().metric(&machine, &watcher) {
        None => missing("metric"),
        Some(metric) => (StatusCode::OK, metric.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use serde_json::Value;

    use super::*;
    use crate::core::machine::definition::compile;
    use crate::core::machine::host::Settings;
    use crate::core::machine::tests::vectors;

    const LAMP: &str = "{name: switch_demo, version: 1.0.0, initial_state: dark, transitions: [{name: \"on\", from: \
                        [dark], destination: light}, {name: \"off\", from: [light], destination: dark}], watchers: \
                        [{name: lamp, type: httpswitch, success_transition: \"on\", fail_transition: \"off\", \
                        properties: {on_when: [light], off_when: [dark], annotations: {room: hall}}}]}";
    const GAUGE: &str = "{name: metric_demo, version: 1.0.0, initial_state: a, transitions: [{name: go, from: [a], \
                         destination: b}], watchers: [{name: Json Metric, type: metric, properties: {command: x, \
                         interval: 1h}}]}";

    /// Asks as the original was asked; whatever it told of a metric that was never gathered
    /// here is left out.
    #[tokio::test]
    async fn captured_requests_are_answered_as_the_original_should_have() {
        let host = Host::new(Settings { identity: "cli".to_owned(), ..Settings::default() });
        for text in [LAMP, GAUGE] {
            host.add(compile(text).ok().unwrap(), "/".into(), "{}".into());
        }
        host.engine().step(host.now());
        let pages = pages(host);
        let mut seen = 0;
        for case in vectors("machine-http.json")["machine_run"].as_array().unwrap() {
            let (request, theirs) = (case["request"].as_str().unwrap(), case["response"].as_str().unwrap());
            if request.ends_with("metric_demo/nag") {
                continue;
            }
            let (method, path) = request.split_once(' ').unwrap();
            let body = case["body"].as_str().unwrap_or_default().to_owned();
            let asked = Request::builder().method(method).uri(path).body(Body::from(body.clone())).unwrap();
            let answer = tower_of(&pages, asked).await;
            assert_eq!(u64::from(answer.0), case["status"].as_u64().unwrap(), "{request}");
            // turned off is off, whatever the original says
            let off =
                method == "POST" && !body.starts_with("ON") && !body.contains("true") && answer.0 == 200;
            let expected = match (off, theirs) {
                (true, theirs) if theirs.starts_with('{') => "{\"is_on\":false}",
                (true, _) => "OFF",
                (_, "switch not foundnull") => "switch not found",
                (_, theirs) => theirs,
            };
            seen += 1;
            if expected.starts_with("invalid character") {
                assert!(answer.1.contains("no JSON"), "{}", answer.1);
                continue;
            }
            match (serde_json::from_str::<Value>(&answer.1), serde_json::from_str::<Value>(expected)) {
                (Ok(mut ours), Ok(mut theirs)) => {
                    for value in [&mut ours, &mut theirs] {
                        if let Some(detail) = value.get_mut("detail").and_then(Value::as_object_mut) {
                            detail.remove("id");
                            detail.remove("timestamp");
                        }
                    }
                    assert_eq!(ours, theirs, "{request} {body}");
                }
                _ => assert_eq!(answer.1, expected, "{request} {body}"),
            }
        }
        assert_eq!(seen, 23);
    }

    #[test]
    fn pages_of_other_sites_press_nothing() {
        for (headers, other) in [
            (vec![("host", "127.0.0.1:8080")], false),
            (vec![("host", "localhost:8080"), ("origin", "http://localhost:8080")], false),
            (vec![], false),
            (vec![("host", "n1.example.net:8080")], false),
            (vec![("host", "evil.example.com")], true),
            (vec![("host", "127.0.0.1:8080"), ("origin", "http://evil.example.com")], true),
            (vec![("host", "n1.example.net"), ("origin", "http://n1.example.net")], false),
            (vec![("host", "N1:8080")], false),
            (vec![("host", "192.0.2.1:8080"), ("origin", "http://192.0.2.1:8080")], false),
            // a name of another site that leads here
            (vec![("host", "evil.example.com:8080"), ("origin", "http://evil.example.com:8080")], true),
            (vec![("host", "n1.example.net"), ("origin", "null")], true),
            (vec![("host", "127.0.0.1:8080"), ("sec-fetch-site", "cross-site")], true),
            (vec![("host", "127.0.0.1:8080"), ("sec-fetch-site", "none")], false),
        ] {
            let mut all = HeaderMap::new();
            headers.iter().for_each(|(name, value)| drop(all.insert(*name, value.parse().unwrap())));
            assert_eq!(is_of_another_site("n1.example.net", &all), other, "{headers:?}");
        }
    }

    async fn tower_of(pages: &Router, request: Request<Body>) -> (u16, String) {
        use hyper::service::Service;
        let service = hyper_util::service::TowerToHyperService::new(pages.clone());
        let response = service.call(request).await.unwrap();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}
