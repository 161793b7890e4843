//! `http`: what a web server answers.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::super::matcher::text_of;
use super::{Kind, Look, Looking, Property};
use crate::core::files::read_plain;
use crate::core::machine::observe::web::{self, Asking};

/// Bytes of a file of CAs.
const MOST_CA: u64 = 4 << 20;

pub(in super::super) const KIND: Kind = Kind {
    key: "http",
    name: "HTTP",
    subject: "url",
    properties: &[
        Property { number: true, ..Property::required("status") },
        Property::text("headers").shown("Headers"),
        Property::text("body").shown("Body"),
    ],
    gated: true,
    options: &[
        "method",
        "allow-insecure",
        "no-follow-redirects",
        "timeout",
        "request-headers",
        "request-body",
        "username",
        "password",
        "ca-file",
    ],
    look,
};

fn look<'a>(look: &'a mut Look<'_>, attribute: &'static str) -> Looking<'a> {
    Box::pin(async move {
        if look.kept.is_none() {
            look.kept = Some(asked(look).await);
        }
        let page = look.kept.clone().unwrap_or(Ok(Value::Null))?;
        Ok(page.get(attribute).cloned().unwrap_or_default())
    })
}

async fn asked(look: &Look<'_>) -> Result<Value, String> {
    if look.flag("allow-insecure") {
        return Err("allow-insecure is not part of this version: name the CA by ca-file".to_owned());
    }
    let subject = &look.resource.subject;
    let url = web::address(subject).map_err(|e| format!("{subject} {e}"))?;
    let method = look.option("method").unwrap_or_else(|| "GET".to_owned());
    let mut headers = Vec::new();
    let given = look.resource.attributes.get("request-headers").and_then(Value::as_array);
    for header in given.into_iter().flatten() {
        let text = text_of(header);
        let wrong = || "request-headers holds what is not of the form NAME: VALUE".to_owned();
        let (name, value) = text.split_once(':').ok_or_else(wrong)?;
        let name = HeaderName::try_from(name.trim()).map_err(|_| wrong())?;
        headers.push((name, HeaderValue::try_from(value.trim()).map_err(|_| wrong())?));
    }
    if let (user @ Some(_), password) | (user, password @ Some(_)) =
        (look.option("username"), look.option("password"))
    {
        let login = format!("{}:{}", user.unwrap_or_default(), password.unwrap_or_default());
        let value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(login)));
        let mut value = value.map_err(|_| "the password cannot be sent".to_owned())?;
        value.set_sensitive(true);
        headers.push((AUTHORIZATION, value));
    }
    if let Some(file) = look.option("ca-file") {
        // what never ends would be read for ever
        let place = PathBuf::from(&file);
        let read = super::blocking(&place, move || read_plain(Path::new(&file), MOST_CA)).await?;
        read.map_err(|e| format!("ca-file: {e}"))?;
    }
    let asking = Asking {
        url,
        method: Method::try_from(method.as_str()).map_err(|_| format!("{method} is no method"))?,
        headers,
        body: look.option("request-body").unwrap_or_default().into_bytes(),
        ca: look.option("ca-file").map(|file| Path::new(&file).into()),
        follows: !look.flag("no-follow-redirects"),
    };
    let page = web::page(asking, look.timeout(5000)).await?;
    let mut lines: Vec<String> = page
        .headers
        .iter()
        .map(|(name, value)| {
            format!("{}: {}", canonical(name.as_str()), String::from_utf8_lossy(value.as_bytes()))
        })
        .collect();
    lines.sort();
    Ok(json!({
        "status": page.status.as_u16(),
        "headers": lines.join("\n"),
        "body": String::from_utf8_lossy(&page.body),
    }))
}

/// `content-type` as `Content-Type`, which rules expect.
fn canonical(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}
