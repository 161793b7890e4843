//! A server in the place of PuppetDB that answers all but a list of nodes.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use choria::core::config::{Config, Fixed, Role};
use choria::core::security::Provider;

use crate::network::Network;

/// Words in the query, and what is said of the answer to it.
pub const ANSWERS: [(&str, &str); 6] = [
    ("html", "something else than a list of nodes"),
    ("object", "something else than a list of nodes"),
    ("names", "something else than a list of nodes"),
    ("endless", "PuppetDB at 127.0.0.1"),
    ("error", "PuppetDB"),
    ("junk", "PuppetDB at 127.0.0.1"),
];

/// Starts it with the certificate of this network's broker; it ends with the process.
pub fn start(network: &Network) -> u16 {
    let config = Config::load(Role::Broker, Some(&network.path("broker.conf")), &Fixed::default());
    let config = config.expect("a configuration");
    let keys = Provider::new(&config, Role::Broker, &Fixed::default()).expect("keys");
    let tls = keys.server_tls().expect("TLS");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = rustls::ServerConnection::new(tls.clone()).expect("a connection");
            let mut stream = BufReader::new(rustls::StreamOwned::new(connection, stream));
            let (mut line, mut query) = (String::new(), String::new());
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                query.push_str(&line);
                line.clear();
            }
            if query.contains("Content-Length") || query.contains("content-length") {
                // what is asked may be in the body, which is one line of JSON
                let mut body = vec![];
                let _ = stream.read_until(b'}', &mut body);
                query.push_str(&String::from_utf8_lossy(&body));
            }
            let _ = answer(stream.get_mut(), &query);
        }
    });
    port
}

fn answer(stream: &mut impl Write, query: &str) -> std::io::Result<()> {
    let whole = |status: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    let (name, _) = ANSWERS.iter().find(|(name, _)| query.contains(name)).copied().unwrap_or(("html", ""));
    let text = match name {
        "object" => whole("200 OK", r#"{"error":"x"}"#),
        "names" => whole("200 OK", "[{\"certname\":\"a b\\u0007\"}]"),
        "error" => whole("500 Oops", "<html>\u{1b}[2J</html>"),
        "junk" => "SSH-2.0-x\r\n".to_owned(),
        "endless" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            let chunk = format!("10000\r\n{}\r\n", " ".repeat(65536));
            // until nobody takes it any more
            loop {
                stream.write_all(chunk.as_bytes())?;
            }
        }
        _ => whole("200 OK", "<html><body>Welcome</body></html>"),
    };
    stream.write_all(text.as_bytes())?;
    stream.flush()
}
