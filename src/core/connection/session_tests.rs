//! Brokers that misbehave.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::core::connection::ServerList;

const PATIENCE: Duration = Duration::from_secs(30);

/// Lets the next connection in as a broker does.
async fn accept(listener: &TcpListener) -> TcpStream {
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

fn options(listener: &TcpListener) -> SessionOptions {
    let url = ServerUrl::nats("127.0.0.1", listener.local_addr().unwrap().port());
    SessionOptions::new("test", ServerList::fixed(vec![url]), "mcollective.reply")
}

/// On one thread nothing takes the events out while they come in.
#[tokio::test]
async fn an_end_that_is_lost_among_errors_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (session, mut broker) = tokio::join!(Session::connect(options(&listener)), accept(&listener));
    let session = session.unwrap();
    broker.write_all("-ERR 'no'\r\n".repeat(1000).as_bytes()).await.unwrap();
    drop(broker);
    let again = tokio::time::timeout(PATIENCE, accept(&listener)).await;
    assert!(again.is_ok(), "the session never came back");
    session.close().await;
}

#[tokio::test]
async fn a_broker_that_reads_nothing_holds_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (session, _broker) = tokio::join!(Session::connect(options(&listener)), accept(&listener));
    let session = session.unwrap();
    let payload = Bytes::from(vec![0; 1024 * 1024]);
    let publish_until_stuck = async {
        while session.publish("a".to_owned(), payload.clone()).await.is_ok() {}
        session.close().await;
    };
    assert!(tokio::time::timeout(PATIENCE, publish_until_stuck).await.is_ok());
}
