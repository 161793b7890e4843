//! Messages between clients over clear text, by raw bytes and by a real client library.

use futures::StreamExt;

use super::kit::{PATIENCE, Raw, plain_broker, plain_options, until};
use crate::core::broker::Broker;

/// Clients enough to sit on every shard.
fn clients(broker: &Broker, count: usize) -> Vec<Raw> {
    (0..count)
        .map(|_| {
            let mut client = Raw::plain(broker.local_addr());
            client.login(",\"headers\":true,\"no_responders\":true");
            client
        })
        .collect()
}

#[test]
fn a_pong_means_all_shards_know_the_subscription() {
    let broker = plain_broker();
    let mut all = clients(&broker, 4);
    for round in 0..200 {
        let (reader, writer) = (round % 4, (round + 1 + round / 4) % 4);
        if reader == writer {
            continue;
        }
        all[reader].send(format!("SUB barrier.{round} {round}\r\n"));
        assert_eq!(all[reader].sync(), "");
        all[writer].send(format!("PUB barrier.{round} 1\r\nx\r\n"));
        assert_eq!(all[reader].until("x\r\n"), format!("MSG barrier.{round} {round} 1\r\nx\r\n"));
        all[reader].send(format!("UNSUB {round}\r\n"));
        all[reader].sync();
        all[writer].send(format!("PUB barrier.{round} 1\r\nx\r\n"));
        all[writer].sync();
        assert_eq!(all[reader].sync(), "");
    }
}

#[test]
fn order_is_kept_from_each_publisher() {
    let broker = plain_broker();
    let mut all = clients(&broker, 5);
    let mut reader = all.pop().unwrap();
    reader.send("SUB o.> 1\r\n");
    reader.sync();
    for (number, writer) in all.iter_mut().enumerate() {
        let burst: String = (0..2000).map(|count| format!("PUB o.{number} 4\r\n{count:04}\r\n")).collect();
        writer.send(burst);
    }
    let mut next = [0; 4];
    for _ in 0..4 * 2000 {
        let head = reader.line();
        let number: usize = head["MSG o.".len()..][..1].parse().unwrap();
        assert_eq!(reader.line().trim_end(), format!("{:04}", next[number]));
        next[number] += 1;
    }
}

#[test]
fn one_member_of_a_group_gets_each_message_wherever_it_sits() {
    let broker = plain_broker();
    let mut all = clients(&broker, 7);
    let mut writer = all.pop().unwrap();
    for (number, member) in all.iter_mut().enumerate() {
        let pattern = ["q.a", "q.*", "q.>"][number % 3];
        member.send(format!("SUB {pattern} g 1\r\n"));
        member.sync();
    }
    for _ in 0..600 {
        writer.send("PUB q.a 1\r\nx\r\n");
    }
    writer.sync();
    let mut counts = vec![0; all.len()];
    until("600 deliveries", || {
        for (count, member) in counts.iter_mut().zip(&mut all) {
            *count += member.sync().matches("MSG ").count();
        }
        counts.iter().sum::<usize>() >= 600
    });
    assert_eq!(counts.iter().sum::<usize>(), 600);
    assert!(counts.iter().all(|count| *count > 30), "spread: {counts:?}");
}

#[test]
fn a_group_loses_nothing_while_members_come_and_go() {
    let broker = plain_broker();
    let mut all = clients(&broker, 4);
    let mut writer = all.pop().unwrap();
    let mut total = 0;
    let mut steady = all.pop().unwrap();
    steady.send("SUB w g s\r\n");
    steady.sync();
    for round in 0..50 {
        for member in &mut all {
            member.send("SUB w g m\r\n");
            member.sync();
        }
        writer.send("PUB w 1\r\nx\r\n".repeat(20));
        for member in &mut all {
            member.send("UNSUB m\r\n");
            total += member.sync().matches("MSG ").count();
        }
        writer.sync();
        for member in all.iter_mut().chain([&mut steady]) {
            total += member.sync().matches("MSG ").count();
        }
        until("all of a round", || {
            total += steady.sync().matches("MSG ").count();
            total >= (round + 1) * 20
        });
    }
    assert_eq!(total, 50 * 20);
}

#[test]
fn headers_are_stripped_for_clients_without() {
    let broker = plain_broker();
    let mut with = clients(&broker, 2);
    let mut without = Raw::plain(broker.local_addr());
    without.login("");
    without.send("SUB h 1\r\n");
    without.sync();
    with[1].send("SUB h 9\r\n");
    with[1].sync();
    with[0].send("HPUB h r 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n");
    assert_eq!(without.until("hi\r\n"), "MSG h 1 r 2\r\nhi\r\n");
    assert_eq!(with[1].until("hi\r\n"), "HMSG h 9 r 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n");
}

#[test]
fn an_unsubscribe_limit_counts_across_shards() {
    let broker = plain_broker();
    let mut all = clients(&broker, 4);
    let mut reader = all.pop().unwrap();
    reader.send("SUB a 1\r\nUNSUB 1 3\r\n");
    reader.sync();
    for writer in &mut all {
        writer.send("PUB a 1\r\nx\r\nPUB a 1\r\nx\r\n");
        writer.sync();
    }
    let mut seen = 0;
    until("three deliveries", || {
        seen += reader.sync().matches("MSG ").count();
        seen >= 3
    });
    assert_eq!(reader.sync(), "");
    assert_eq!(seen, 3);
    assert_eq!(broker.stats().subscriptions, 0);
}

#[test]
fn a_large_message_arrives_whole() {
    let broker = plain_broker();
    let mut all = clients(&broker, 3);
    let payload: String = (0..1024 * 1024).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
    for client in &mut all {
        client.send("SUB big 1\r\n");
        client.sync();
    }
    all[0].send(format!("PUB big {}\r\n{payload}\r\n", payload.len()));
    for client in &mut all {
        assert_eq!(client.line(), format!("MSG big 1 {}\r\n", payload.len()));
        assert_eq!(client.line().trim_end(), payload);
    }
}

#[test]
fn user_info_is_answered() {
    let broker = plain_broker();
    let mut client = Raw::plain(broker.local_addr());
    client.login(",\"user\":\"bob\"");
    client.send("SUB _INBOX.x 1\r\nPUB $SYS.REQ.USER.INFO _INBOX.x 0\r\n\r\n");
    assert!(client.line().starts_with("MSG _INBOX.x 1 "));
    let answer: serde_json::Value = serde_json::from_str(client.line().trim_end()).unwrap();
    assert_eq!(answer["data"]["user"], "bob");
    assert_eq!(answer["data"]["account"], "choria");
}

#[test]
fn everything_ends_with_shutdown_and_subscriptions_end_with_clients() {
    let broker = plain_broker();
    let mut all = clients(&broker, 6);
    for client in &mut all {
        client.send("SUB a 1\r\nSUB b.* q 2\r\n");
        client.sync();
    }
    let stats = broker.stats();
    assert_eq!((stats.connections, stats.subscriptions, stats.total_connections), (6, 12, 6));
    let connections = broker.connections(4);
    assert_eq!(connections.len(), 4);
    assert!(connections.windows(2).all(|pair| pair[0].cid < pair[1].cid));
    assert_eq!(connections[0].subscriptions, 2);
    drop(all.drain(..3));
    until("three to be gone", || broker.stats().connections == 3 && broker.stats().subscriptions == 6);
    broker.shutdown();
    broker.shutdown();
    for client in &mut all {
        assert_eq!(client.rest(), "");
    }
}

#[test]
fn a_lame_duck_tells_clients_and_lets_go() {
    let broker = plain_broker();
    let mut modern = Raw::plain(broker.local_addr());
    modern.login(",\"protocol\":1");
    modern.line();
    let mut old = Raw::plain(broker.local_addr());
    old.login("");
    broker.lame_duck(std::time::Duration::from_millis(300));
    let told = modern.rest();
    assert!(told.starts_with("INFO {") && told.contains("\"ldm\":true"), "{told}");
    assert_eq!(old.rest(), "");
    assert!(std::net::TcpStream::connect(broker.local_addr()).is_err());
}

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.expect("in time") })
}

#[test]
fn a_client_library_publishes_subscribes_and_asks() {
    let broker = Broker::start(plain_options()).unwrap();
    let url = format!("nats://{}", broker.local_addr());
    run(async move {
        let server = async_nats::connect(&url).await.unwrap();
        let client = async_nats::connect(&url).await.unwrap();
        let mut plain = server.subscribe("a.*").await.unwrap();
        let mut questions = server.queue_subscribe("ask.>", "g".into()).await.unwrap();
        // this library's flush does not wait for the broker
        server.flush().await.unwrap();
        until("both subscriptions", || broker.stats().subscriptions == 2);
        client.publish("a.b", "hello".into()).await.unwrap();
        assert_eq!(&plain.next().await.unwrap().payload[..], b"hello");

        let answering = tokio::spawn(async move {
            let question = questions.next().await.unwrap();
            assert_eq!(question.headers.as_ref().unwrap().get("Key").unwrap().as_str(), "value");
            server.publish(question.reply.unwrap(), question.payload).await.unwrap();
            server.flush().await.unwrap();
            server
        });
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Key", "value");
        let answer = client.request_with_headers("ask.me", headers, "why".into()).await.unwrap();
        assert_eq!(&answer.payload[..], b"why");
        let _server = answering.await.unwrap();

        let nobody = client.request("nobody.home", "x".into()).await.unwrap_err();
        assert_eq!(nobody.kind(), async_nats::RequestErrorKind::NoResponders);
    });
}

#[test]
fn pieces_of_any_size_make_the_same_messages() {
    let broker = plain_broker();
    let mut all = clients(&broker, 2);
    all[0].send("SUB pieces 1\r\n");
    all[0].sync();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |most: u64| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        ((state >> 33) % most) as usize
    };
    let (mut said, mut heard) = (Vec::new(), String::new());
    for number in 0..300 {
        let most = [3, 300, 9_000, 70_000][next(4)];
        let body = format!("{number:06}{}", "x".repeat(next(most)));
        said.extend(format!("PUB pieces {}\r\n{body}\r\n", body.len()).bytes());
        heard.push_str(&format!("MSG pieces 1 {}\r\n{body}\r\n", body.len()));
        if number % 7 == 0 {
            said.extend(b"PING\r\n");
        }
    }
    std::thread::scope(|scope| {
        let (readers, writers) = all.split_at_mut(1);
        scope.spawn(move || {
            let mut rest = &said[..];
            while !rest.is_empty() {
                let most = [2, 40, 2_000, 100_000][next(4)];
                let (piece, behind) = rest.split_at((1 + next(most)).min(rest.len()));
                writers[0].send(piece);
                // each is read by itself, most of the time
                std::thread::yield_now();
                rest = behind;
            }
            writers[0].send("PUB pieces 3\r\nend\r\n");
        });
        let all = readers[0].until("end\r\n");
        // a reader that is behind is asked whether it is there
        let all = all.replace("PING\r\n", "");
        let all = all.strip_suffix("MSG pieces 1 3\r\nend\r\n").unwrap_or(&all);
        let same = all.bytes().zip(heard.bytes()).take_while(|(one, other)| one == other).count();
        let from = |text: &str| text.chars().skip(same.saturating_sub(40)).take(120).collect::<String>();
        assert!(all == heard, "after {same} bytes of {}: {} for {}", heard.len(), from(all), from(&heard));
    });
}
