//! Messages, sent.

use std::path::Path;
use std::time::{Duration, Instant};

use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::Value;

use super::message::Message;
use super::settings::{Target, Web};
use crate::core::files::{read_bounded, unless_ours_hangs};
use crate::core::machine::observe::web::{self, Asking};
use crate::core::programs::{Program, ProgramError};

/// What a receiver may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Who is told.
pub type Receiver = super::settings::Named;

/// Why nobody said that a message has arrived.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Unsent {
    /// In words.
    pub why: String,
    /// Whether it may have arrived all the same: whoever had it took longer than is waited for.
    pub perhaps: bool,
}

impl From<String> for Unsent {
    fn from(why: String) -> Unsent {
        Unsent { why, perhaps: false }
    }
}

impl From<&str> for Unsent {
    fn from(why: &str) -> Unsent {
        why.to_owned().into()
    }
}

/// Sends a message.
///
/// # Errors
/// It did not arrive, as far as is known.
pub async fn send(receiver: &Receiver, message: &Message) -> Result<(), Unsent> {
    match &receiver.target {
        Target::Alertmanager(web) => post(web, &message.for_alertmanager()).await,
        Target::Webhook(web) => post(web, &message.document()).await,
        Target::Program(words) => {
            let Some((program, arguments)) = words.split_first() else {
                return Err("it has no name".into());
            };
            let mut input = message.document().to_string().into_bytes();
            input.push(b'\n');
            let run = Program::new(program).args(arguments).input(input).talks().limit(LIMIT).run().await;
            let ended = run.map_err(|e| {
                let perhaps = matches!(e, ProgramError::TooLong { .. });
                Unsent { why: e.to_string(), perhaps }
            })?;
            match ended.status.success() {
                true => Ok(()),
                false => {
                    let said = ended.errors.lines().last().unwrap_or_default().to_owned();
                    let why = if said.is_empty() { String::new() } else { format!(": {said}") };
                    Err(format!("it ended with {}{why}", crate::core::programs::how(ended.status)).into())
                }
            }
        }
    }
}

async fn post(to: &Web, body: &Value) -> Result<(), Unsent> {
    let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    if let Some(file) = to.token_file.clone() {
        let read =
            unless_ours_hangs(Path::new(&file.clone()), move || read_bounded(Path::new(&file), 16 * 1024))
                .await;
        let text = read.ok_or("its token does not answer")?.map_err(|e| e.to_string())?;
        let text = zeroize::Zeroizing::new(text);
        let token = std::str::from_utf8(text.trim_ascii()).map_err(|_| "its token is no text")?;
        let mut value =
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| "its token cannot be sent")?;
        value.set_sensitive(true);
        headers.push((AUTHORIZATION, value));
    }
    let asking = Asking {
        url: to.url.clone(),
        method: Method::POST,
        headers,
        body: body.to_string().into_bytes(),
        ca: to.ca.as_deref().map(Into::into),
        follows: false,
    };
    let began = Instant::now();
    let page = web::page(asking, LIMIT).await;
    let page = page.map_err(|why| Unsent { why, perhaps: began.elapsed() >= LIMIT })?;
    match page.status.is_success() {
        true => Ok(()),
        false => Err(format!("it answered {}", page.status).into()),
    }
}
