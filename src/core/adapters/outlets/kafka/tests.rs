//! Brokers that are not what they should be, and those whose answers do not come every day.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::core::adapters::outlets::Trouble;
use crate::core::adapters::settings::{Login, Mechanism, Tls};

/// What a broker is asked.
struct Asked {
    key: i16,
    /// Producer, first number and count of a batch that it is told.
    batch: Option<(i64, i32, i32)>,
}

enum Reply {
    Body(Vec<u8>),
    /// All bytes, without an honest length.
    Raw(Vec<u8>),
    Close,
}

const PRODUCE: i16 = 0;
const METADATA: i16 = 3;
const HANDSHAKE: i16 = 17;
const VERSIONS: i16 = 18;
const INIT: i16 = 22;
const AUTHENTICATE: i16 = 36;

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as i16).to_be_bytes()[..], text.as_bytes()].concat()
}

fn number(number: i32) -> [u8; 4] {
    number.to_be_bytes()
}

/// Versions of which shapes are written here.
fn versions() -> Vec<u8> {
    let keys: [[i16; 3]; 6] = [
        [PRODUCE, 3, 7],
        [METADATA, 0, 5],
        [HANDSHAKE, 0, 1],
        [VERSIONS, 0, 3],
        [INIT, 0, 4],
        [AUTHENTICATE, 0, 2],
    ];
    let keys = keys.iter().flatten().flat_map(|number| number.to_be_bytes());
    [0, 0, 0, 0, 0, 6].into_iter().chain(keys).collect()
}

/// A topic `t` of one partition, led by the broker at this place.
fn metadata(host: &str, port: u16) -> Vec<u8> {
    let none = (-1_i16).to_be_bytes();
    let mut body =
        [&number(0)[..], &number(1), &number(7), &text(host), &number(port.into()), &none].concat();
    body.extend([&none[..], &number(7), &number(1), &[0, 0], &text("t"), &[0], &number(1)].concat());
    body.extend([&[0, 0][..], &number(0), &number(7), &number(0), &number(0), &number(0)].concat());
    body
}

fn producer(id: i64) -> Vec<u8> {
    [&number(0)[..], &[0, 0], &id.to_be_bytes(), &[0, 0]].concat()
}

fn produced(code: i16) -> Vec<u8> {
    [&number(1)[..], &text("t"), &number(1), &number(0), &code.to_be_bytes(), &[0; 24], &number(0)].concat()
}

/// A batch of a request of version 7.
fn batch(rest: &[u8]) -> (i64, i32, i32) {
    let after = |rest: &[u8], bytes: usize| rest[bytes..].to_vec();
    let client = 2 + usize::from(u16::from_be_bytes([rest[0], rest[1]]));
    // no transaction, acks, time, one topic called t, one partition, its number, length
    let batch = after(rest, client + 2 + 2 + 4 + 4 + 3 + 4 + 4 + 4);
    let id = i64::from_be_bytes(batch[43..51].try_into().unwrap());
    let four = |at: usize| i32::from_be_bytes(batch[at..at + 4].try_into().unwrap());
    (id, four(53), four(57))
}

/// A broker that answers so; ends with the test's runtime.
async fn broker(answer: impl Fn(&Asked, u16) -> Reply + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                while let Ok(length) = stream.read_u32().await {
                    let mut frame = vec![0; length as usize];
                    stream.read_exact(&mut frame).await.unwrap();
                    let key = i16::from_be_bytes([frame[0], frame[1]]);
                    let asked = Asked { key, batch: (key == PRODUCE).then(|| batch(&frame[8..])) };
                    let bytes = match answer(&asked, port) {
                        Reply::Body(body) => {
                            let length = number(body.len() as i32 + 4);
                            [&length[..], &frame[4..8], &body].concat()
                        }
                        Reply::Raw(bytes) => bytes,
                        Reply::Close => return,
                    };
                    stream.write_all(&bytes).await.unwrap();
                }
            });
        }
    });
    port
}

/// What is answered where nothing is special.
fn usual(asked: &Asked, port: u16) -> Reply {
    Reply::Body(match asked.key {
        VERSIONS => versions(),
        METADATA => metadata("127.0.0.1", port),
        INIT => producer(1),
        _ => produced(0),
    })
}

fn outlet(port: u16, login: Option<Login>) -> Kafka {
    let servers = vec![("127.0.0.1".to_owned(), port)];
    Kafka::new("a", &Settings { servers, topic: "t".into(), tls: Tls::Here, login }).unwrap()
}

fn documents(count: usize) -> Vec<Document> {
    let of = |n| Document { text: format!("{n}").into(), sender: "n1".into(), id: format!("{n}.n1") };
    (0..count).map(of).collect()
}

async fn reason(outlet: &mut Kafka) -> String {
    match outlet.send_all(&documents(2)).await {
        Sent { taken: 0, trouble: Some(Trouble::Later(reason, _)) } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_broker_that_is_none_is_left() {
    type Answer = fn(&Asked, u16) -> Reply;
    let cases: [(&str, Answer); 12] = [
        ("has closed the connection: it may speak TLS", |_, _| Reply::Close),
        ("are read: it speaks TLS", |_, _| Reply::Raw(b"\x15\x03\x03\0\x02\x02\x46".to_vec())),
        ("2147483647 bytes", |_, _| Reply::Raw([&[0x7f, 0xff, 0xff, 0xff][..], &[0; 64]].concat())),
        ("answers another question", |_, _| Reply::Raw([&number(8)[..], &[9; 8]].concat())),
        ("answers another question", |_, _| Reply::Raw([&number(3)[..], &[0; 3]].concat())),
        ("it ends too early", |_, _| Reply::Body(vec![])),
        ("it announces more than it holds", |_, _| Reply::Body(vec![0, 0, 0x7f, 0xff, 0xff, 0xff])),
        ("speaks versions none of Metadata", |_, _| Reply::Body(vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 3, 0, 7])),
        ("it may want a login", |asked, port| match asked.key {
            VERSIONS => usual(asked, port),
            _ => Reply::Close,
        }),
        ("sends us to kafka.example.net:9092, which is not on this machine", |asked, port| match asked.key {
            METADATA => Reply::Body(metadata("kafka.example.net", 9092)),
            _ => usual(asked, port),
        }),
        ("does not say what became of partition 0", |asked, port| match asked.key {
            PRODUCE => Reply::Body([&number(0)[..], &number(0)].concat()),
            _ => usual(asked, port),
        }),
        ("says of the cluster what cannot be", |asked, port| match asked.key {
            // a topic of partition 9 alone
            METADATA => {
                let mut body = metadata("127.0.0.1", port);
                let at = body.len() - 20;
                body[at..at + 4].copy_from_slice(&number(9));
                Reply::Body(body)
            }
            _ => usual(asked, port),
        }),
    ];
    for (says, answer) in cases {
        let mut outlet = outlet(broker(answer).await, None);
        let reason = reason(&mut outlet).await;
        assert!(reason.contains(says), "{says}: {reason}");
    }
}

#[tokio::test]
async fn a_broker_that_does_not_know_the_password_is_not_told_more() {
    let dir = tempfile::tempdir().unwrap();
    let password: PathBuf = dir.path().join("password");
    std::fs::write(&password, "secret\n").unwrap();
    let login = |mechanism| Some(Login { mechanism, username: "u".into(), password: password.clone() });
    let said = |code: i16, bytes: &[u8]| {
        let none = (-1_i16).to_be_bytes();
        Reply::Body([&code.to_be_bytes()[..], &none, &number(bytes.len() as i32), bytes, &[0; 8]].concat())
    };
    let port = broker(move |asked, port| match asked.key {
        HANDSHAKE => Reply::Body([&[0, 0][..], &number(0)].concat()),
        AUTHENTICATE => said(0, b"r=somebody else,s=AAAA,i=4096"),
        _ => usual(asked, port),
    });
    let port = port.await;
    assert!(reason(&mut outlet(port, login(Mechanism::Scram256))).await.contains("it answers somebody else"));
    let port = broker(move |asked, port| match asked.key {
        HANDSHAKE => Reply::Body([&[0, 33][..], &number(1), &text("GSSAPI")].concat()),
        _ => usual(asked, port),
    });
    let port = port.await;
    let said = reason(&mut outlet(port, login(Mechanism::Plain))).await;
    assert!(said.ends_with("lets nobody in by PLAIN: it knows GSSAPI"), "{said}");
    std::fs::write(&password, "two\nlines\n").unwrap();
    let settings = Settings {
        servers: vec![("127.0.0.1".to_owned(), port)],
        topic: "t".into(),
        tls: Tls::Here,
        login: login(Mechanism::Plain),
    };
    let Err(error) = Kafka::new("a", &settings) else { panic!("two lines are no password") };
    assert!(error.to_string().contains("no password in one line"), "{error}");
}

#[tokio::test]
async fn numbers_go_on_through_what_happens_to_clusters() {
    // Of each batch the code that is answered, none for an answer that is lost.
    let codes: [Option<i16>; 10] =
        [Some(0), None, Some(46), Some(6), Some(0), Some(45), Some(0), Some(10), Some(0), Some(10)];
    let codes = Arc::new(Mutex::new(VecDeque::from(codes)));
    let told = Arc::new(Mutex::new(vec![]));
    let (left, log) = (codes.clone(), told.clone());
    let names = std::sync::atomic::AtomicI64::new(0);
    let port = broker(move |asked, port| match (asked.key, asked.batch) {
        (INIT, _) => Reply::Body(producer(names.fetch_add(1, std::sync::atomic::Ordering::Relaxed))),
        (PRODUCE, Some(batch)) => {
            log.lock().unwrap().push(batch);
            match left.lock().unwrap().pop_front() {
                Some(Some(code)) => Reply::Body(produced(code)),
                Some(None) => Reply::Close,
                None => Reply::Body(produced(0)),
            }
        }
        _ => usual(asked, port),
    });
    let mut outlet = outlet(port.await, None);
    let all = documents(20);
    let mut at = 0;
    // The answer to the second is lost, and it was there; the third finds another leader; of
    // the fourth the broker knows no more; the fifth is too large, and so is one of its two.
    for (count, taken) in [(2, 2), (3, 3), (1, 1), (2, 2)] {
        let sent = outlet.send_all(&all[at..at + count]).await;
        assert!(sent.taken == taken && sent.trouble.is_none(), "{sent:?}");
        at += taken;
    }
    let sent = outlet.send_all(&all[at..at + 2]).await;
    assert!(matches!(sent, Sent { taken: 1, trouble: Some(Trouble::Never(_)) }), "{sent:?}");
    let sent = outlet.send_all(&all[at + 2..at + 4]).await;
    assert!(matches!(sent, Sent { taken: 2, trouble: None }), "{sent:?}");
    assert_eq!(
        *told.lock().unwrap(),
        [
            (0, 0, 2),
            (0, 2, 3),
            (0, 2, 3),
            (0, 5, 1),
            (0, 5, 1),
            (0, 6, 2),
            (1, 0, 2),
            (1, 2, 2),
            (1, 2, 1),
            (1, 3, 1),
            (1, 3, 2)
        ]
    );
}

#[tokio::test]
async fn a_topic_that_is_made_anew_is_written_to() {
    // At first three partitions, and nothing is taken; then one.
    let three = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let many = three.clone();
    let port = broker(move |asked, port| {
        let many = many.load(std::sync::atomic::Ordering::Relaxed);
        match asked.key {
            METADATA if many => {
                let mut body = metadata("127.0.0.1", port);
                let partition = body.split_off(body.len() - 22);
                let count = body.len() - 4;
                body[count..].copy_from_slice(&number(3));
                for index in 0..3 {
                    body.extend_from_slice(&[&partition[..2], &number(index), &partition[6..]].concat());
                }
                Reply::Body(body)
            }
            PRODUCE if many => Reply::Body(produced(3)),
            _ => usual(asked, port),
        }
    });
    let mut outlet = outlet(port.await, None);
    let mut all = documents(3);
    for (document, sender) in all.iter_mut().zip(["n1", "n2", "n4"]) {
        document.sender = sender.to_owned();
    }
    let sent = outlet.send_all(&all).await;
    assert!(matches!(sent, Sent { taken: 0, trouble: Some(Trouble::Later(..)) }), "{sent:?}");
    assert!(outlet.lanes.waiting().any(|partition| partition > 0));
    three.store(false, std::sync::atomic::Ordering::Relaxed);
    let sent = outlet.send_all(&all).await;
    assert!(sent.taken == 3 && sent.trouble.is_none(), "{sent:?}");
}
