//! A stream of AWS Kinesis. Records have their sender as partition key, so all of one
//! node are in one shard; of what is told in one go the service may take some and refuse
//! others, so in one go a node has one record: the next is told when that is there.

mod keys;
mod signature;

use std::collections::HashSet;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::window::Window;
use super::{Outlet, Sending, Sent};
use crate::core::adapters::document::Document;
use crate::core::adapters::settings::{AdapterError, Kinesis as Settings};
use crate::core::security::web_service::WebService;
use crate::core::text::{hex, shortened};
use keys::Place;
use signature::Asked;

/// Time of one request.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most of an answer that is read, in bytes.
const ANSWER: usize = 1024 * 1024;
/// Records in one go.
const RECORDS: usize = 500;
/// Bytes of one record, its key with it.
const RECORD: usize = 1024 * 1024;
/// Bytes of all records in one go: as base64 less than the 5 MiB that a request may have.
const BYTES: usize = 7 * 512 * 1024;
/// Longest partition key, in characters.
const KEY: usize = 256;
const TYPE: &str = "application/x-amz-json-1.1";
const TARGET: &str = "Kinesis_20131202.PutRecords";

pub(super) struct Kinesis {
    service: WebService,
    settings: Settings,
    keys: Place,
    window: Window,
}

/// Why something is not there, and when it may be, where that is said.
type Wait = (String, Option<Duration>);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    records: Vec<Fate>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Fate {
    error_code: Option<String>,
    error_message: Option<String>,
}

#[derive(Deserialize, Default)]
struct Complaint {
    #[serde(rename = "__type", default)]
    kind: String,
    #[serde(alias = "Message", default)]
    message: String,
}

impl Kinesis {
    pub(super) fn new(name: &str, settings: &Settings) -> Result<Kinesis, AdapterError> {
        let url = settings.endpoint.clone().unwrap_or_else(|| {
            let suffix = if settings.region.starts_with("cn-") { ".cn" } else { "" };
            format!("https://kinesis.{}.amazonaws.com{suffix}", settings.region)
        });
        let (name, key) = (name.to_owned(), "kinesis.endpoint");
        let service = match WebService::new(&url, None, None) {
            Ok(service) => service,
            Err(source) => return Err(AdapterError::Web { name, key, source }),
        };
        if service.is_exposed() {
            return Err(AdapterError::Exposed { name, key });
        }
        if service.path() != "/" {
            return Err(AdapterError::Setting { name, key, problem: "has a path".to_owned() });
        }
        let keys = Place::of(settings.credentials.as_ref());
        if let Err(problem) = keys.look_now() {
            return Err(AdapterError::Setting { name, key: "kinesis.credentials_file", problem });
        }
        Ok(Kinesis { service, settings: settings.clone(), keys, window: Window::default() })
    }

    async fn send_all(&mut self, documents: &[Document]) -> Sent {
        self.window.tell(documents);
        let mut wait = None;
        while wait.is_none() {
            let wave = self.wave();
            if wave.is_empty() {
                break;
            }
            wait = self.tell(&wave).await.err();
        }
        self.window.sent(wait)
    }

    /// What is told in one go: the next of each node. What is too large for any is refused here.
    fn wave(&mut self) -> Vec<u64> {
        let (mut wave, mut bytes, mut large) = (vec![], 0, vec![]);
        let mut senders = HashSet::new();
        for (number, document) in self.window.open() {
            let size = document.text.len() + key(&document.sender).len();
            if size > RECORD {
                large.push(number);
                continue;
            }
            // No other of this node either: it would be the second.
            if !senders.insert(document.sender.as_str()) {
                continue;
            }
            if wave.len() == RECORDS || bytes + size > BYTES {
                break;
            }
            bytes += size;
            wave.push(number);
        }
        for number in large {
            self.window.refuse(number, format!("it has more than the {RECORD} bytes that Kinesis takes"));
        }
        wave
    }

    async fn tell(&mut self, wave: &[u64]) -> Result<(), Wait> {
        let records = wave.iter().filter_map(|number| self.window.get(*number)).map(|document| {
            json!({"Data": STANDARD.encode(document.text.as_bytes()), "PartitionKey": key(&document.sender)})
        });
        let records: Vec<_> = records.collect();
        let body = json!({"StreamName": self.settings.stream, "Records": records}).to_string();
        let answer = self.ask(Bytes::from(body)).await?;
        if answer.records.len() != wave.len() {
            let said = answer.records.len();
            return Err((format!("Kinesis answers for {said} records of {}", wave.len()), None));
        }
        let mut refused = vec![];
        for (number, fate) in wave.iter().zip(answer.records) {
            match fate.error_code {
                None => self.window.take(*number),
                Some(code) => refused.push((code, fate.error_message.unwrap_or_default())),
            }
        }
        match refused.first() {
            None => Ok(()),
            Some((code, message)) => {
                let words = shortened(&format!("{code}: {message}"), 200);
                Err((format!("Kinesis refuses {} records of {}: {words}", refused.len(), wave.len()), None))
            }
        }
    }

    async fn ask(&self, body: Bytes) -> Result<Answer, Wait> {
        let keys = self.keys.look().await.map_err(|reason| (reason, None))?;
        let date = signature::date(jiff::Timestamp::now());
        let mut headers = vec![("content-type", TYPE), ("x-amz-date", &*date), ("x-amz-target", TARGET)];
        headers.extend(keys.token.as_ref().map(|token| ("x-amz-security-token", token.expose())));
        let signed = [&headers[..], &[("host", self.service.authority())]].concat();
        let asked = Asked { method: "POST", path: "/", headers: signed, body: &body };
        let signature = signature::authorization(asked, &keys, &date, &self.settings.region, "kinesis");
        headers.push(("authorization", &signature));
        let posting = self.service.post(&headers, body, ANSWER);
        let answered = match tokio::time::timeout(PATIENCE, posting).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) => return Err((error.to_string(), None)),
            Err(_) => return Err((format!("no answer within {PATIENCE:?}"), None)),
        };
        if answered.status == StatusCode::OK {
            let none = |e: serde_json::Error| (format!("the answer of Kinesis cannot be read: {e}"), None);
            return serde_json::from_slice(&answered.body).map_err(none);
        }
        let complaint: Complaint = serde_json::from_slice(&answered.body).unwrap_or_default();
        Err((self.told(answered.status, &complaint), answered.later))
    }

    /// A complaint in words, and what to do about it where that is known.
    fn told(&self, status: StatusCode, complaint: &Complaint) -> String {
        let Settings { stream, region, .. } = &self.settings;
        let kind = complaint.kind.rsplit('#').next().unwrap_or_default();
        if kind == "ResourceNotFoundException" {
            return format!(
                "Kinesis has no stream {stream} in {region}: make it, as by aws kinesis create-stream \
                 --stream-name {stream} --shard-count 1 --region {region}"
            );
        }
        let words = shortened(&format!("{kind}: {}", complaint.message), 300);
        format!("Kinesis answers with status {status}, {words}")
    }
}

/// The partition key of a sender: its name, or a hash of one that is too long.
fn key(sender: &str) -> String {
    match sender.chars().count() <= KEY {
        true => sender.to_owned(),
        false => hex(digest(&SHA256, sender.as_bytes()).as_ref()),
    }
}

impl Outlet for Kinesis {
    fn send<'a>(&'a mut self, documents: &'a [Document]) -> Sending<'a> {
        Box::pin(self.send_all(documents))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinesis(documents: &[Document]) -> Kinesis {
        let settings =
            Settings { stream: "s".into(), region: "eu-west-1".into(), endpoint: None, credentials: None };
        let service = WebService::new("http://127.0.0.1:1/", None, None).unwrap();
        let mut window = Window::default();
        window.tell(documents);
        Kinesis { service, settings, keys: Place::Environment, window }
    }

    fn document(sender: &str, bytes: usize) -> Document {
        Document { text: "x".repeat(bytes).into(), sender: sender.into(), id: "1".into() }
    }

    #[test]
    fn one_record_of_each_node_goes_at_once() {
        let senders = ["a", "b", "a", "c", "b"];
        let mut kinesis = kinesis(&senders.map(|sender| document(sender, 10)));
        assert_eq!(kinesis.wave(), [0, 1, 3]);
        // The one of b is refused: what is behind it waits.
        kinesis.window.take(0);
        kinesis.window.take(3);
        assert_eq!(kinesis.wave(), [1, 2]);
    }

    #[test]
    fn no_more_goes_at_once_than_is_taken() {
        let names: Vec<String> = (0..600).map(|number| format!("n{number}")).collect();
        let many: Vec<Document> = names.iter().map(|name| document(name, 10)).collect();
        assert_eq!(kinesis(&many).wave().len(), RECORDS);
        let large: Vec<Document> = names.iter().take(9).map(|name| document(name, RECORD - 2)).collect();
        assert_eq!(kinesis(&large).wave().len(), 3);
        let mut odd = kinesis(&[document("a", RECORD), document("a", 10), document("b", 10)]);
        assert_eq!(odd.wave(), [1, 2]);
        odd.window.take(1);
        let Sent { taken: 0, trouble: Some(super::super::Trouble::Never(reason)) } = odd.window.sent(None)
        else {
            panic!("it is not given up");
        };
        assert!(reason.contains("1048576 bytes"), "{reason}");
        assert_eq!((key("n1.example.net").as_str(), key(&"é".repeat(300)).len()), ("n1.example.net", 64));
    }

    #[test]
    fn complaints_say_what_to_do() {
        let told = |kind: &str| {
            let complaint = Complaint { kind: kind.into(), message: "m".into() };
            kinesis(&[]).told(StatusCode::BAD_REQUEST, &complaint)
        };
        assert!(
            told("com.amazonaws#ResourceNotFoundException")
                .contains("aws kinesis create-stream --stream-name s")
        );
        let other = "Kinesis answers with status 400 Bad Request, AccessDeniedException: m";
        assert_eq!(told("AccessDeniedException"), other);
    }
}
