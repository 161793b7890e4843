//! Broker addresses as people write them (spec 01 §17).

use std::fmt;

/// One broker: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerUrl {
    scheme: String,
    host: String,
    port: u16,
}

/// A host list that does not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("broker address '{text}' {problem}, write it as host:port or nats://host:port")]
pub struct HostError {
    text: String,
    problem: &'static str,
}

impl ServerUrl {
    /// A `nats` URL of host and port.
    pub fn nats(host: &str, port: u16) -> ServerUrl {
        ServerUrl { scheme: "nats".to_owned(), host: host.trim_end_matches('.').to_owned(), port }
    }

    /// Host name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Parses `host:port` or `scheme://[user@]host:port`; user information is
    /// dropped, as the original does. The port is mandatory.
    pub fn parse(text: &str) -> Result<ServerUrl, HostError> {
        let error = |problem| HostError { text: text.to_owned(), problem };
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("nats", text));
        if !["nats", "tls"].contains(&scheme) {
            return Err(error("has a scheme other than nats or tls"));
        }
        let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host).trim_end_matches('/');
        let (host, port) = rest.rsplit_once(':').ok_or_else(|| error("has no port"))?;
        let port: u16 = port.parse().ok().filter(|p| *p != 0).ok_or_else(|| error("has no valid port"))?;
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(error("has no host"));
        }
        if host.contains(':') && bracketed.is_none() {
            return Err(error("is an IPv6 address without brackets"));
        }
        Ok(ServerUrl { scheme: scheme.to_owned(), ..ServerUrl::nats(host, port) })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServerUrl { scheme, host, port } = self;
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

/// Parses a list of broker addresses; one bad entry is an error, so that a
/// typing mistake does not quietly leave a broker out.
pub fn parse_hosts(list: &[String]) -> Result<Vec<ServerUrl>, HostError> {
    list.iter().filter(|h| !h.trim().is_empty()).map(|h| ServerUrl::parse(h)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_all_their_forms() {
        for (text, url) in [
            ("broker1:4222", "nats://broker1:4222"),
            (" nats://broker1.example.net:4222 ", "nats://broker1.example.net:4222"),
            ("tls://user:secret@broker1:4443", "tls://broker1:4443"),
            ("[::1]:4222", "nats://[::1]:4222"),
            ("broker1.:4222", "nats://broker1:4222"),
        ] {
            assert_eq!(ServerUrl::parse(text).unwrap().to_string(), url);
        }
        for bad in
            ["broker1", "broker1:", "broker1:x", "broker1:0", ":4222", "http://a:1", "::1:4222", "a b:1"]
        {
            let error = ServerUrl::parse(bad).unwrap_err().to_string();
            assert!(error.contains(bad) && error.contains("host:port"), "{error}");
        }
    }
}
