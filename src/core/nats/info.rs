//! The INFO line: what a broker says about itself (spec 04 §6.2).

use serde::Serialize;

/// Fields of INFO in the order nats-server writes them; empty ones are left out.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ServerInfo<'a> {
    /// Unique id of this process.
    pub server_id: &'a str,
    /// Name of this broker.
    pub server_name: &'a str,
    /// `N.N.N`: clients gate features by it.
    pub version: &'a str,
    /// Protocol level, 1.
    pub proto: u8,
    /// Runtime tag; strict parsers need the field.
    pub go: &'a str,
    /// Advertised host.
    pub host: &'a str,
    /// Advertised port.
    pub port: u16,
    /// Headers are supported.
    pub headers: bool,
    /// CONNECT is demanded before anything else.
    #[serde(skip_serializing_if = "is_false")]
    pub auth_required: bool,
    /// The TLS handshake follows this line.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_required: bool,
    /// Largest payload in bytes, headers included.
    pub max_payload: usize,
    /// Number of this connection.
    pub client_id: u64,
    /// Address the client connects from.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub client_ip: &'a str,
    /// Text to be signed by token clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<&'a str>,
    /// Cluster name.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub cluster: &'a str,
    /// Lame duck: this broker is about to close.
    #[serde(skip_serializing_if = "is_false")]
    pub ldm: bool,
    /// This is the second INFO, sent after the first PONG.
    #[serde(skip_serializing_if = "is_false")]
    pub connect_info: bool,
    /// Account the connection is in, in the second INFO.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub remote_account: &'a str,
    /// The account is the system account, in the second INFO.
    #[serde(skip_serializing_if = "is_false")]
    pub acc_is_sys: bool,
}

fn is_false(value: &bool) -> bool {
    !*value
}

impl ServerInfo<'_> {
    /// `INFO {json} ␍␊`, with the space nats-server puts before the line end.
    pub fn line(&self) -> Vec<u8> {
        let mut line = b"INFO ".to_vec();
        // plain strings and numbers: serialising them into memory cannot fail
        let _ = serde_json::to_writer(&mut line, self);
        line.extend_from_slice(b" \r\n");
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_fields_are_left_out() {
        let info =
            ServerInfo { server_id: "N1", version: "2.10.0", proto: 1, headers: true, ..Default::default() };
        let line = String::from_utf8(info.line()).unwrap();
        assert!(line.starts_with("INFO {\"server_id\":\"N1\"") && line.ends_with("} \r\n"), "{line}");
        assert!(!line.contains("nonce") && !line.contains("ldm") && !line.contains("connect_info"));
    }
}
