//! `http`: whether a page is there, says what it is to say, and comes in time.

use std::path::Path;

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Uri};
use regex::Regex;

use super::limits::{Limits, Measure};
use super::{Around, Builtin, Finding, Looking, Probe};
use crate::core::machine::observe::web::{self, Asking, Page};
use crate::core::machine::properties::Properties;
use crate::core::machine::watchers::Status;

pub(super) const BUILTIN: Builtin = Builtin { name: "http", compile };

struct Http {
    asking: Option<Asking>,
    /// Statuses that are well; none are those from 200 to 399.
    statuses: Vec<u16>,
    contains: Box<str>,
    matches: Option<Regex>,
    limits: Limits,
}

fn compile(of: &mut Properties<'_, '_>) -> Box<dyn Probe> {
    let url = of.required("url");
    let url: Option<Uri> = match web::address(&url) {
        Ok(url) => {
            if web::names_user(&url) {
                of.warn_at("url", "has a user, who is not told to the server: headers has room for one");
            }
            Some(url)
        }
        Err(e) => {
            if !url.is_empty() {
                of.error_at("url", format_args!("{e}"));
            }
            None
        }
    };
    let mut statuses = Vec::new();
    for text in &of.list("status") {
        match text.parse() {
            Ok(status @ 100..=599) => statuses.push(status),
            _ => of.error_at("status", format_args!("has {text}, which is no status such as 200")),
        }
    }
    let mut headers = Vec::new();
    for (name, value) in &of.labels("headers") {
        match (HeaderName::try_from(&**name), HeaderValue::try_from(&**value)) {
            (Ok(name), Ok(value)) => headers.push((name, value)),
            _ => of.error_at("headers", format_args!("has {name}, which is no header")),
        }
    }
    let method = of.text("method");
    let method = if method.is_empty() { "GET" } else { &method };
    let method = Method::try_from(method).unwrap_or_else(|_| {
        of.error_at("method", format_args!("is {method}, which is none such as GET or HEAD"));
        Method::GET
    });
    let matches = of.text("matches");
    let matches = match Regex::new(&matches) {
        Ok(matches_re) => (!matches.is_empty()).then_some(matches_re),
        Err(e) => {
            // the lines before draw where it is wrong
            let e = e.to_string();
            let e = e.lines().last().unwrap_or_default().trim_start_matches("error: ");
            of.error_at("matches", format_args!("is no regular expression: {e}"));
            None
        }
    };
    let ca = of.text("ca");
    let follows = of.flag("follow");
    Box::new(Http {
        asking: url.map(|url| Asking {
            url,
            method,
            headers,
            body: Vec::new(),
            ca: (!ca.is_empty()).then(|| Path::new(&*ca).into()),
            follows,
        }),
        statuses,
        contains: of.text("contains"),
        matches,
        limits: Limits::new(of, Measure::Seconds, ["", ""]),
    })
}

impl Probe for Http {
    fn look<'a>(&'a self, around: &'a Around) -> Looking<'a> {
        Box::pin(async move {
            let bounds = match self.limits.here(around) {
                Ok(bounds) => bounds,
                Err(finding) => return finding,
            };
            let Some(asking) = self.asking.clone() else { return Finding::unknown("no page is named") };
            let shown = format!(
                "{}://{}{}",
                asking.url.scheme_str().unwrap_or_default(),
                asking.url.authority().map_or("", |a| a.as_str().rsplit('@').next().unwrap_or_default()),
                asking.url.path()
            );
            match web::page(asking, around.limit).await {
                Err(e) => Finding::critical(format!("{shown}: {e}")),
                Ok(page) => {
                    let took = page.took.as_secs_f64();
                    let said = format!("{shown} answered {} in {took:.3} s", page.status);
                    let finding = Finding::ok().judged("time", took, "s", bounds, said);
                    let finding = finding.number("size", page.body.len() as f64, "B");
                    match self.wrong(&page) {
                        Some(wrong) => finding.with(Status::Critical, wrong),
                        None => finding,
                    }
                }
            }
        })
    }
}

impl Http {
    fn wrong(&self, page: &Page) -> Option<String> {
        let status = page.status.as_u16();
        let well = match self.statuses.as_slice() {
            [] => (200..400).contains(&status),
            wanted => wanted.contains(&status),
        };
        if !well {
            return Some(format!("status is {}", page.status));
        }
        let body = String::from_utf8_lossy(&page.body);
        if !self.contains.is_empty() && !body.contains(&*self.contains) {
            return Some(format!("the page does not contain {}", self.contains));
        }
        let other = self.matches.as_ref().filter(|matches| !matches.is_match(&body));
        other.map(|matches| format!("the page does not match {matches}"))
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use axum::response::Redirect;
    use axum::routing::get;

    use super::super::tests::look;

    async fn server() -> u16 {
        let pages = Router::new()
            .route("/fine", get(|| async { "all is well" }))
            .route("/broken", get(|| async { (StatusCode::SERVICE_UNAVAILABLE, "no") }))
            .route("/moved", get(|| async { Redirect::to("/fine") }))
            .route("/round", get(|| async { Redirect::to("/round") }))
            .route("/large", get(|| async { "x".repeat(2 << 20) }))
            .route("/header", get(|headers: HeaderMap| async move { format!("{:?}", headers.get("x-ask")) }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, pages).await });
        port
    }

    #[tokio::test]
    async fn pages_are_judged() {
        let port = server().await;
        for (path, more, expected) in [
            ("fine", "", "OK: http://127.0.0.1:PORT/fine answered 200 OK in 0."),
            ("fine", ", contains: well", "OK: "),
            ("fine", ", contains: ill", "CRITICAL: the page does not contain ill, http"),
            ("fine", ", matches: '^all .* well$'", "OK: "),
            ("fine", ", matches: '^well'", "CRITICAL: the page does not match ^well"),
            ("fine", ", status: [204, 201]", "CRITICAL: status is 200 OK"),
            ("fine", ", warning: '0:0'", "WARNING: "),
            ("broken", "", "CRITICAL: status is 503"),
            ("broken", ", status: 503", "OK: "),
            ("moved", "", "OK: http://127.0.0.1:PORT/moved answered 303"),
            ("moved", ", follow: true, contains: well", "OK: "),
            ("round", ", follow: true", "CRITICAL: http://127.0.0.1:PORT/round: it is sent on more than"),
            ("large", "", "CRITICAL: "),
            ("header", ", headers: {X-Ask: me}, contains: me", "OK: "),
        ] {
            let found =
                look("http", &format!("{{url: 'http://127.0.0.1:{port}/{path}'{more}}}"), "null").await;
            let expected = expected.replace("PORT", &port.to_string());
            assert!(found.starts_with(&expected), "{path}{more}: {found}");
        }
        let closed = look("http", "{url: 'http://u:secret@127.0.0.1:1/'}", "null").await;
        assert!(
            closed.starts_with("CRITICAL: http://127.0.0.1:1/: ") && !closed.contains("secret"),
            "{closed}"
        );
    }
}
