//! Brokers that misbehave.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::*;
use crate::core::connection::misbehaving::{accept, options};

const PATIENCE: Duration = Duration::from_secs(30);

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
