//! A web service that takes batches: a POST of lines of JSON, a document each. Any 2xx
//! takes all of them; 429, 503 and other failures mean later, after `Retry-After` where
//! it is said. What refuses a batch as wrong is told one by one, so that one document
//! nobody wants holds up no others.

use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;

use super::{Outlet, Sending, Sent, Trouble};
use crate::core::adapters::document::Document;
use crate::core::adapters::settings::{AdapterError, Web};
use crate::core::security::web_service::WebService;
use crate::core::text::shortened;

/// Time of one batch.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most of an answer that is read, in bytes.
const ANSWER: usize = 64 * 1024;

pub(super) struct Http {
    service: WebService,
}

impl Http {
    pub(super) fn new(name: &str, web: &Web) -> Result<Http, AdapterError> {
        let service = WebService::new(&web.url, web.ca.as_deref(), web.token.as_deref());
        let service =
            service.map_err(|source| AdapterError::Web { name: name.to_owned(), key: "http", source })?;
        match service.is_exposed() {
            true => Err(AdapterError::Exposed { name: name.to_owned(), key: "http.url" }),
            false => Ok(Http { service }),
        }
    }

    async fn send_all(&self, documents: &[Document]) -> Sent {
        match self.post(documents).await {
            Ok(()) => Sent::all(documents),
            Err(Trouble::Never(_)) if documents.len() > 1 => {
                for (at, document) in documents.iter().enumerate() {
                    if let Err(trouble) = self.post(std::slice::from_ref(document)).await {
                        return Sent { taken: at, trouble: Some(trouble) };
                    }
                }
                Sent::all(documents)
            }
            Err(trouble) => Sent { taken: 0, trouble: Some(trouble) },
        }
    }

    async fn post(&self, documents: &[Document]) -> Result<(), Trouble> {
        let mut body = String::with_capacity(documents.iter().map(|document| document.text.len() + 1).sum());
        for document in documents {
            body.push_str(&document.text);
            body.push('\n');
        }
        let headers = [("content-type", "application/x-ndjson")];
        let posting = self.service.post(&headers, Bytes::from(body), ANSWER);
        let answered = match tokio::time::timeout(PATIENCE, posting).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) => return Err(Trouble::Later(error.to_string(), None)),
            Err(_) => return Err(Trouble::Later(format!("no answer within {PATIENCE:?}"), None)),
        };
        let status = answered.status;
        let words =
            || format!("status {status}: {}", shortened(&String::from_utf8_lossy(&answered.body), 200));
        match status {
            _ if status.is_success() => Ok(()),
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                Err(Trouble::Never(words()))
            }
            _ => Err(Trouble::Later(words(), answered.later)),
        }
    }
}

impl Outlet for Http {
    fn send<'a>(&'a mut self, documents: &'a [Document]) -> Sending<'a> {
        Box::pin(self.send_all(documents))
    }
}
