//! etcd's key-value store, by the JSON gateway of its version 3.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::{Options, Store, Trouble, World};
use crate::core::playbook::http::{Address, Question, ask};
use crate::core::text::{Secret, shortened};

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(15);

struct Etcd {
    url: String,
    /// It as messages show it.
    shown: String,
    user: Option<(String, Secret)>,
}

pub(super) fn open(options: &Options<'_>) -> Result<Box<dyn Store>, Trouble> {
    let url = options.text("url")?.unwrap_or("http://127.0.0.1:2379").trim_end_matches('/').to_owned();
    Address::parse(&url).map_err(|e| options.wrong(e))?;
    let user = match (options.text("user")?, options.text("password")?) {
        (Some(user), Some(password)) => Some((user.to_owned(), Secret::new(password))),
        (None, None) => None,
        _ => return Err(options.wrong("the options 'user' and 'password' are given together")),
    };
    let shown = options.shown("url", &url).to_owned();
    Ok(Box::new(Etcd { url, shown, user }))
}

impl Etcd {
    async fn ask(&self, path: &str, body: &Json, token: Option<&str>) -> Result<Json, String> {
        let mut headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        headers.extend(token.map(|token| ("Authorization".to_owned(), token.to_owned())));
        let address = Address::parse(&format!("{}{path}", self.url))?;
        let body = body.to_string().into_bytes();
        let question = Question {
            method: "POST".to_owned(),
            address,
            headers,
            body,
            ca: String::new(),
            limit: PATIENCE,
        };
        let (status, text) = ask(question).await.map_err(|e| format!("etcd at {}: {e}", self.shown))?;
        let json: Json = serde_json::from_str(&text).unwrap_or(Json::Null);
        match status.as_u16() {
            // a page of whoever stands before it is no answer of it: those have a header
            200 if json["header"].is_object() && json.get("error").is_none() => Ok(json),
            status => {
                let why = json["message"].as_str().unwrap_or(&text);
                Err(format!("etcd at {} answers {status}: {}", self.shown, shortened(why, 200)))
            }
        }
    }

    async fn call(&self, path: &str, body: Json) -> Result<Json, String> {
        let token = match &self.user {
            None => None,
            Some((user, password)) => {
                let body = json!({"name": user, "password": password.expose()});
                let answer = self.ask("/v3/auth/authenticate", &body, None).await?;
                let token = answer["token"].as_str().map(str::to_owned);
                Some(token.ok_or_else(|| format!("etcd at {} gives no token", self.shown))?)
            }
        };
        self.ask(path, &body, token.as_deref()).await
    }
}

impl Store for Etcd {
    fn read(&self, world: &mut World, key: &str) -> Result<Json, Trouble> {
        let body = json!({"key": STANDARD.encode(key)});
        let answer = world.wait(self.call("/v3/kv/range", body))?.map_err(Trouble)?;
        let Some(value) = answer["kvs"][0].as_object() else {
            return Err(Trouble(format!("No such key {key}")));
        };
        let value = value.get("value").and_then(Json::as_str).unwrap_or_default();
        let bytes = STANDARD.decode(value).map_err(|e| Trouble(format!("etcd's value of {key}: {e}")))?;
        Ok(Json::String(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn write(&self, world: &mut World, key: &str, value: &str) -> Result<(), Trouble> {
        let body = json!({"key": STANDARD.encode(key), "value": STANDARD.encode(value)});
        world.wait(self.call("/v3/kv/put", body))?.map(drop).map_err(Trouble)
    }
}
