//! Brokers of tests, which do what they like.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{ServerList, ServerUrl, SessionOptions};

/// Lets the next connection in as a broker does.
pub async fn accept(listener: &TcpListener) -> TcpStream {
    let (mut socket, _) = listener.accept().await.unwrap();
    let info = br#"INFO {"server_id":"x","version":"2.10.0","max_payload":1048576,"proto":1}"#;
    socket.write_all(info).await.unwrap();
    socket.write_all(b"\r\n").await.unwrap();
    let mut heard = Vec::new();
    while !heard.windows(6).any(|w| w == b"PING\r\n") {
        assert_ne!(socket.read_buf(&mut heard).await.unwrap(), 0, "the client went");
    }
    socket.write_all(b"PONG\r\n").await.unwrap();
    socket
}

/// Of a client that connects to it.
pub fn options(listener: &TcpListener) -> SessionOptions {
    let url = ServerUrl::nats("127.0.0.1", listener.local_addr().unwrap().port());
    SessionOptions::new("test", ServerList::fixed(vec![url]), "mcollective.reply")
}
