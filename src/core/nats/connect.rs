//! The body of CONNECT: what a client says about itself (spec 04 §6.4).

use serde::Deserialize;

use crate::core::text::Secret;

/// Decoded CONNECT options; absent and `null` mean the default.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Answer `+OK` to each line; default true.
    pub verbose: bool,
    /// Complain about subjects that cannot be published; default true.
    pub pedantic: bool,
    /// Deliver own publishes to own subscriptions; default true.
    pub echo: bool,
    /// The client understands HMSG.
    pub headers: bool,
    /// The client wants status 503 when nobody receives its request.
    pub no_responders: bool,
    /// Client protocol, 0 or 1.
    pub protocol: i64,
    /// User name.
    pub user: String,
    /// Password.
    pub pass: Secret,
    /// Bearer token; Choria's JWT.
    pub auth_token: Secret,
    /// NATS JWT; Choria clients repeat their token here.
    pub jwt: Secret,
    /// Signature over the nonce of INFO.
    pub sig: Secret,
    /// NATS public nkey.
    pub nkey: String,
    /// Connection name, for reports.
    pub name: String,
    /// Client library language, for reports.
    pub lang: String,
    /// Client library version, for reports.
    pub version: String,
    /// `account` or `new_account` was given: never granted here.
    pub wants_account: bool,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            protocol: 0,
            user: String::new(),
            pass: Secret::default(),
            auth_token: Secret::default(),
            jwt: Secret::default(),
            sig: Secret::default(),
            nkey: String::new(),
            name: String::new(),
            lang: String::new(),
            version: String::new(),
            wants_account: false,
        }
    }
}

/// Why a CONNECT body cannot be taken; the wire says nothing, the log says this.
#[derive(Debug, thiserror::Error)]
#[error("reading the CONNECT options failed: {0}")]
pub struct ConnectError(#[from] serde_json::Error);

#[derive(Deserialize)]
struct Wire {
    verbose: Option<bool>,
    pedantic: Option<bool>,
    echo: Option<bool>,
    headers: Option<bool>,
    no_responders: Option<bool>,
    protocol: Option<i64>,
    user: Option<String>,
    pass: Option<String>,
    auth_token: Option<String>,
    jwt: Option<String>,
    sig: Option<String>,
    nkey: Option<String>,
    name: Option<String>,
    lang: Option<String>,
    version: Option<String>,
    account: Option<String>,
    new_account: Option<bool>,
}

/// Bytes that are kept of a text for reports: a little more than the longest name in DNS.
const MOST_TEXT: usize = 256;
/// Bytes of a user name; a longer one is nobody's.
const MOST_USER: usize = 1024;

fn cut(text: Option<String>, most: usize) -> String {
    let mut text = text.unwrap_or_default();
    let end = (0..=most.min(text.len())).rev().find(|place| text.is_char_boundary(*place));
    text.truncate(end.unwrap_or(0));
    text
}

impl ConnectOptions {
    /// Whether anything was shown that proves or claims who the client is.
    pub fn shows_credentials(&self) -> bool {
        let secrets = [&self.pass, &self.auth_token, &self.jwt, &self.sig];
        !self.user.is_empty() || !self.nkey.is_empty() || secrets.iter().any(|secret| !secret.is_empty())
    }

    /// Bytes of its texts.
    pub fn size(&self) -> usize {
        let secrets = [&self.pass, &self.auth_token, &self.jwt, &self.sig];
        let texts = [&self.user, &self.nkey, &self.name, &self.lang, &self.version];
        secrets.iter().map(|secret| secret.expose().len()).sum::<usize>()
            + texts.iter().map(|text| text.len()).sum::<usize>()
    }

    /// Reads the JSON body; unknown fields are ignored, a wrong type is an error. Texts for reports
    /// are cut short: they are kept as long as the connection is.
    pub fn decode(json: &[u8]) -> Result<Self, ConnectError> {
        let wire: Wire = serde_json::from_slice(json)?;
        let secret = |text: Option<String>| Secret::new(text.unwrap_or_default());
        Ok(Self {
            verbose: wire.verbose.unwrap_or(true),
            pedantic: wire.pedantic.unwrap_or(true),
            echo: wire.echo.unwrap_or(true),
            headers: wire.headers.unwrap_or(false),
            no_responders: wire.no_responders.unwrap_or(false),
            protocol: wire.protocol.unwrap_or(0),
            user: cut(wire.user, MOST_USER),
            pass: secret(wire.pass),
            auth_token: secret(wire.auth_token),
            jwt: secret(wire.jwt),
            sig: secret(wire.sig),
            nkey: wire.nkey.unwrap_or_default(),
            name: cut(wire.name, MOST_TEXT),
            lang: cut(wire.lang, MOST_TEXT),
            version: cut(wire.version, MOST_TEXT),
            wants_account: wire.account.is_some_and(|account| !account.is_empty())
                || wire.new_account.unwrap_or(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_nulls() {
        let options = ConnectOptions::decode(br#"{"user":null,"verbose":null,"zzz":{"a":[1]}}"#).unwrap();
        assert!(options.verbose && options.pedantic && options.echo);
        assert!(!options.headers && options.user.is_empty());
    }

    #[test]
    fn wrong_types_and_no_json_are_errors() {
        for body in ["", "{x", r#"{"verbose":"yes"}"#, "[]x", r#"{"user":1}"#] {
            assert!(ConnectOptions::decode(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let options =
            ConnectOptions::decode(br#"{"pass":"hunter2","auth_token":"tok.en","sig":"zzzz"}"#).unwrap();
        let text = format!("{options:?}");
        assert!(!text.contains("hunter2") && !text.contains("tok.en") && !text.contains("zzzz"), "{text}");
        assert_eq!(options.pass.expose(), "hunter2");
    }
}
