//! A web service that is asked about each node (spec 05 §15.2).
//!
//! A POST of what a [`oneshot`](super::oneshot) helper reads, answered by 200
//! and what it writes. 429 and 503 mean later: after `Retry-After`, where it is
//! there, within bounds that the [`population`](crate::core::provisioner::population)
//! sets. `X-Choria-Request` is the same
//! when a request is repeated, which happens once, and only where a connection
//! that was kept turned out to be closed.

use std::path::PathBuf;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;

use super::{Asking, Helper, HelperError};
use crate::core::provisioner::answer::{Answer, MAX_ANSWER};
use crate::core::provisioner::question::Question;
use crate::core::provisioner::settings::Settings;
use crate::core::security::web_service::{WebError, WebService};
use crate::core::text::on_one_line;

/// Nodes it is asked about at once.
const AT_ONCE: usize = 64;
/// Idempotency key of a request.
const REQUEST_ID: &str = "x-choria-request";

/// A web service.
#[derive(Debug)]
pub struct Http {
    service: WebService,
    timeout: Duration,
}

/// The settings it is made of are named in what goes wrong with them.
fn named(url: &str, error: WebError) -> HelperError {
    match error {
        WebError::Address(text) => HelperError::Unreachable(format!("helper_url {url:?} {text}")),
        WebError::Ca(text) => HelperError::Unreachable(format!("helper_ca: {text}")),
        WebError::Token(text) => HelperError::Unreachable(format!("helper_token_file: {text}")),
        WebError::Unreachable(text) => HelperError::Unreachable(text),
        WebError::Unreadable(text) => HelperError::Unreadable(text),
    }
}

impl Http {
    /// The service of the settings. It is not spoken to before the first node.
    ///
    /// # Errors
    /// An address, CA or token file that cannot be used.
    pub fn new(settings: &Settings) -> Result<Http, HelperError> {
        let file = |path: &PathBuf| Some(path.clone()).filter(|path| !path.as_os_str().is_empty());
        let (ca, token) = (file(&settings.helper_ca), file(&settings.helper_token_file));
        let url = &settings.helper_url;
        let service = WebService::new(url, ca.as_deref(), token.as_deref()).map_err(|e| named(url, e))?;
        if service.shows_a_token() && service.is_exposed() {
            tracing::warn!(
                "helper_url is not https: whoever is on the way can read the token and the keys of nodes"
            );
        }
        Ok(Http { service, timeout: settings.helper_timeout })
    }

    async fn put(&self, question: &Question) -> Result<Answer, HelperError> {
        let id = uuid::Uuid::new_v4().to_string();
        let headers = [("content-type", "application/json"), (REQUEST_ID, id.as_str())];
        let posting = self.service.post(&headers, Bytes::from(question.encode()), MAX_ANSWER);
        let answered = match tokio::time::timeout(self.timeout, posting).await {
            Ok(answered) => answered.map_err(|e| named("", e))?,
            Err(_) => {
                return Err(HelperError::Failed(format!("it did not answer within {:?}", self.timeout)));
            }
        };
        let status = answered.status;
        match status {
            StatusCode::OK => Answer::decode(&answered.body).map_err(HelperError::Unreadable),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let pause = answered.later;
                let later = pause.map_or(String::new(), |pause| format!(", again in {} s", pause.as_secs()));
                Err(HelperError::Busy { reason: format!("status {status}{later}"), pause })
            }
            _ => {
                let text = words(&String::from_utf8_lossy(&answered.body), 200);
                Err(HelperError::Failed(format!("status {status}: {text}")))
            }
        }
    }
}

impl Helper for Http {
    fn ask<'a>(&'a self, question: &'a Question) -> Asking<'a> {
        Box::pin(self.put(question))
    }

    fn at_once(&self) -> usize {
        AT_ONCE
    }
}

fn words(text: &str, most: usize) -> String {
    on_one_line(text).take(most).collect()
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
