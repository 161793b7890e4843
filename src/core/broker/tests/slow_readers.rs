//! Who does not read what it is sent holds up nobody, and holds no more than it may.

use std::time::{Duration, Instant};

use super::kit::{Raw, patient_limits, plain_options, until};
use crate::core::broker::{Broker, Limits, Options};

#[test]
fn a_reader_that_does_not_read_loses_messages_and_nobody_waits() {
    let write_deadline = Duration::from_secs(4);
    let limits = Limits { max_pending: 4 * 1024 * 1024, write_deadline, ..patient_limits() };
    let broker = Broker::start(Options { limits, ..plain_options() }).unwrap();
    let login = || {
        let mut client = Raw::plain(broker.local_addr());
        client.login("");
        client
    };
    let (mut slow, mut fast, mut writer) = (login(), login(), login());
    for client in [&mut slow, &mut fast] {
        client.send("SUB flood 1\r\n");
        client.sync();
    }
    let payload = "x".repeat(100_000);
    let message = format!("PUB flood {}\r\n{payload}\r\n", payload.len());
    let mut sent = 0;
    while broker.stats().slow_consumers == 0 {
        writer.send(&message);
        sent += 1;
        fast.until(&payload);
        assert!(sent < 2000, "the slow reader was never behind");
    }
    assert_eq!(broker.stats().connections, 3, "it is not cut for what others send");
    assert!(broker.stats().messages_lost > 0);
    for _ in 0..100 {
        writer.send(&message);
        fast.until(&payload);
    }
    assert!(broker.stats().pending_bytes < 4 * 1024 * 1024);
    // but for reading nothing at all
    until("the slow one to be gone", || broker.stats().connections == 2);
    let left = slow.rest();
    assert!(!left.contains("-ERR"), "a slow reader is told nothing");
    // what its two subscriptions take stays
    until("its messages to be freed", || broker.stats().pending_bytes < 1024);
    assert_eq!(broker.stats().slow_consumers, 1);
}

#[test]
fn nobody_waits_for_a_reader_that_takes_nothing() {
    let limits = Limits { max_pending: 4 * 1024 * 1024, ..patient_limits() };
    let broker = Broker::start(Options { limits, ..plain_options() }).unwrap();
    let [mut dead, mut writer] = [0; 2].map(|_| {
        let mut client = Raw::plain(broker.local_addr());
        client.login("");
        client
    });
    dead.send("SUB flood 1\r\n");
    dead.sync();
    let message = format!("PUB flood 100000\r\n{}\r\n", "x".repeat(100_000));
    while broker.stats().messages_lost == 0 {
        writer.send(&message);
        writer.sync();
    }
    // it has taken nothing for a second
    std::thread::sleep(Duration::from_millis(1500));
    let begin = Instant::now();
    for _ in 0..100 {
        writer.send(&message);
        writer.sync();
    }
    // by a tenth of a second each it would be ten seconds and more
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(broker.stats().connections, 2, "and it is still there");
}

#[test]
fn a_reader_that_was_behind_goes_on_where_it_can() {
    let limits = Limits { max_pending: 4 * 1024 * 1024, ..patient_limits() };
    let broker = Broker::start(Options { limits, ..plain_options() }).unwrap();
    let [mut slow, mut writer] = [0; 2].map(|_| {
        let mut client = Raw::plain(broker.local_addr());
        client.login("");
        client
    });
    slow.send("SUB flood 1\r\n");
    slow.sync();
    let message = format!("PUB flood 100000\r\n{}\r\n", "x".repeat(100_000));
    while broker.stats().messages_lost == 0 {
        writer.send(&message);
        writer.sync();
    }
    // all it did not lose, and what comes after it
    slow.send("PING\r\n");
    slow.until("PONG\r\n");
    writer.send("PUB flood 4\r\nlast\r\n");
    slow.until("last");
    assert_eq!((broker.stats().connections, broker.stats().slow_consumers), (2, 1));
}

#[test]
fn a_blocked_write_ends_at_its_deadline() {
    let limits = Limits { write_deadline: Duration::from_millis(400), ..patient_limits() };
    let broker = Broker::start(Options { limits, ..plain_options() }).unwrap();
    let mut slow = Raw::plain(broker.local_addr());
    slow.login("");
    slow.send("SUB flood 1\r\n");
    slow.sync();
    let mut writer = Raw::plain(broker.local_addr());
    writer.login("");
    let payload = "x".repeat(1_000_000);
    let begin = Instant::now();
    for _ in 0..20 {
        writer.send(format!("PUB flood {}\r\n{payload}\r\n", payload.len()));
    }
    until("the deadline", || broker.stats().slow_consumers == 1);
    assert!(begin.elapsed() >= Duration::from_millis(400));
    assert_eq!(writer.sync(), "");
}

#[test]
fn all_messages_together_have_a_budget() {
    let limits = Limits { max_pending_total: 8 * 1024 * 1024, ..patient_limits() };
    let broker = Broker::start(Options { limits, ..plain_options() }).unwrap();
    let mut readers: Vec<Raw> = (0..6)
        .map(|number| {
            let mut reader = Raw::plain(broker.local_addr());
            reader.login("");
            reader.send(format!("SUB flood.{number} 1\r\n"));
            reader.sync();
            reader
        })
        .collect();
    let mut writer = Raw::plain(broker.local_addr());
    writer.login("");
    let payload = "x".repeat(1_000_000);
    for round in 0..120 {
        writer.send(format!("PUB flood.{} {}\r\n{payload}\r\n", round % 6, payload.len()));
        writer.sync();
    }
    until("somebody to be cut", || broker.stats().slow_consumers > 0);
    until("memory within the budget", || broker.stats().pending_bytes <= 8 * 1024 * 1024);
    readers.clear();
    until("memory to be freed", || broker.stats().pending_bytes == 0);
}
