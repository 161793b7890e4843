//! Functions of addresses of the web, taken apart and put together; nothing is looked up.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::{Arguments, Given};

pub(super) const NAMES: [&str; 2] = ["urlJoin", "urlParse"];

/// What a path does not have as it is.
const PATH: AsciiSet = CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

pub(super) fn call(of: &Arguments<'_>) -> Given {
    match of.name {
        "urlParse" => Some(of.text(0).and_then(|text| parsed(&text))),
        "urlJoin" => Some(of.map(0).and_then(joined).map(Value::from)),
        _ => None,
    }
}

fn parsed(text: &str) -> Result<Value, String> {
    let wrong = |why: &str| format!("urlParse {text}: {why}");
    if text.contains(|c: char| c.is_ascii_control()) {
        return Err(wrong("it has control characters"));
    }
    let decoded = |part: &str| decoded(part).ok_or_else(|| wrong("a % stands there without two digits"));
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let is_scheme = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    let (scheme, rest) = match rest.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (scheme, rest),
        Some(("", _)) => return Err(wrong("a scheme is missing")),
        _ => ("", rest),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let opaque = !scheme.is_empty() && !rest.is_empty() && !rest.starts_with('/');
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None if opaque => ("", ""),
        None => ("", rest),
    };
    let (userinfo, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let name = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((name, _)) => name,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    Ok(json!({
        "scheme": scheme.to_ascii_lowercase(), "host": host, "hostname": name, "path": decoded(path)?,
        "query": query, "opaque": if opaque { rest } else { "" }, "fragment": decoded(fragment)?, "userinfo": userinfo,
    }))
}

fn decoded(text: &str) -> Option<String> {
    let digits = |part: &str| part.get(..2).is_some_and(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));
    if !text.split('%').skip(1).all(digits) {
        return None;
    }
    Some(percent_decode_str(text).decode_utf8_lossy().into_owned())
}

fn joined(parts: &Map<String, Value>) -> Result<String, String> {
    let part = |name: &str| match parts.get(name) {
        None => Ok(""),
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(_) => Err(format!("urlJoin takes a text as {name}")),
    };
    let (scheme, host, user) = (part("scheme")?, part("host")?, part("userinfo")?);
    let (path, query, opaque) = (part("path")?, part("query")?, part("opaque")?);
    let mut out = String::new();
    if !scheme.is_empty() {
        out.push_str(&format!("{scheme}:"));
    }
    if opaque.is_empty() {
        let is_there = |part: &str| !part.is_empty();
        if [scheme, host, user].into_iter().any(is_there) {
            if [host, user, path].into_iter().any(is_there) {
                out.push_str("//");
            }
            if !user.is_empty() {
                out.push_str(&format!("{user}@"));
            }
            out.push_str(host);
            if !host.is_empty() && !path.is_empty() && !path.starts_with('/') {
                out.push('/');
            }
        } else if path.split('/').next().is_some_and(|first| first.contains(':')) {
            // or its beginning would be a scheme
            out.push_str("./");
        }
        out.push_str(&utf8_percent_encode(path, &PATH).to_string());
    } else {
        out.push_str(opaque);
    }
    if !query.is_empty() {
        out.push_str(&format!("?{query}"));
    }
    let fragment = part("fragment")?;
    if !fragment.is_empty() {
        out.push_str(&format!("#{}", utf8_percent_encode(fragment, &PATH)));
    }
    Ok(out)
}
