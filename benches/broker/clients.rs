//! What clients do to a server: scenarios over mutual TLS, driven by one thread.
//!
//! A scenario is a word and, where it matters, the size of a payload:
//! `stream:128`. A further `:floor` publishes what subscribers expect to see,
//! for a relay that does not make MSG of PUB.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use rustls::{ClientConfig, ClientConnection};
use rustls_pki_types::ServerName;

use super::Failure;
use super::certificates::Person;

/// Bytes of one write of a publisher that streams.
const WRITE: usize = 64 * 1024;
/// Bytes a publisher may be ahead of its slowest subscriber, so that no server cuts that one.
const AHEAD: usize = 1024 * 1024;

/// A scenario with its numbers.
struct Scenario {
    word: String,
    /// Bytes of a payload.
    size: usize,
    floor: bool,
    links: u32,
    messages: u64,
}

impl Scenario {
    fn of(text: &str, links: u32, messages: u32) -> Result<Self, Failure> {
        let mut words = text.split(':');
        let word = words.next().unwrap_or_default().to_owned();
        let size = words.next().map_or(Ok(512), str::parse)?;
        let floor = words.next() == Some("floor");
        Ok(Self { word, size, floor, links, messages: messages.into() })
    }

    /// Clients that have a certificate of their own.
    fn has_identities(&self) -> bool {
        matches!(self.word.as_str(), "idle" | "again" | "resume" | "first")
    }

    /// What a client subscribes.
    fn subscriptions(&self, number: u32) -> String {
        match (self.word.as_str(), number) {
            ("first", 0) => "SUB bench.replies 1\r\n".to_owned(),
            ("idle" | "again" | "resume" | "first", _) => (0..10)
                .map(|agent| format!("SUB mcollective.broadcast.agent.agent{agent} {agent}\r\n"))
                .chain([format!("SUB mcollective.node.node{number}.example.net n\r\n")])
                .collect(),
            ("pingpong" | "stream", 0) => "SUB bench.a 1\r\n".to_owned(),
            ("pingpong", _) => "SUB bench.b 1\r\n".to_owned(),
            ("queue", 1..) => "SUB bench.a workers 1\r\n".to_owned(),
            ("fanout" | "fanstream", 1..) => "SUB bench.all 1\r\n".to_owned(),
            // four that publish, four that hear all of them
            ("four", 4..) => "SUB bench.all 1\r\n".to_owned(),
            ("fanin", 0) => "SUB bench.inbox 1\r\n".to_owned(),
            _ => String::new(),
        }
    }

    /// One message.
    fn message(&self, subject: &str) -> Vec<u8> {
        let verb = if self.floor { format!("MSG {subject} 1") } else { format!("PUB {subject}") };
        format!("{verb} {}\r\n{}\r\n", self.size, "x".repeat(self.size)).into_bytes()
    }

    /// As many of them as one write takes, and how many that are.
    fn batch(&self, subject: &str) -> (Vec<u8>, u64) {
        let one = self.message(subject);
        let count = (WRITE / one.len()).max(1);
        (one.repeat(count), count as u64)
    }

    /// Messages a publisher may be ahead.
    fn ahead(&self, batch: u64) -> u64 {
        ((AHEAD / (self.size + 32)) as u64).max(batch)
    }
}

/// The part of the process that drives clients: logs them in, waits for `go`, reports.
pub fn run(
    dir: &Path,
    address: SocketAddr,
    scenario: &str,
    links: u32,
    messages: u32,
) -> Result<(), Failure> {
    let scenario = Scenario::of(scenario, links, messages)?;
    let person = Person::read(dir)?;
    let shared = person.config(1_000_000, false)?;
    let mut crowd = Crowd { poll: Poll::new()?, all: Vec::new() };
    let mut configs = Vec::new();
    for number in 0..links {
        let config = match scenario.has_identities() {
            true => person.config(u64::from(number), scenario.word == "resume")?,
            false => shared.clone(),
        };
        crowd.add(Client::login(address, &config, &scenario.subscriptions(number))?)?;
        configs.push(config);
    }
    println!("ready");
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    if line.trim() != "go" {
        return Ok(());
    }
    let begin = Instant::now();
    let mut trips = Vec::new();
    let total = match scenario.word.as_str() {
        "again" | "resume" => {
            // all go, and come back
            crowd.all.clear();
            std::thread::sleep(Duration::from_millis(500));
            for (number, config) in (0_u32..).zip(&configs) {
                crowd.all.push(Client::login(address, config, &scenario.subscriptions(number))?);
            }
            u64::from(links)
        }
        "pingpong" => crowd.one_at_a_time(&scenario, &mut trips)?,
        "stream" => crowd.stream(&scenario, "bench.a", 1, |all| all[0].seen)?,
        "queue" => crowd.stream(&scenario, "bench.a", 0, |all| all[1..].iter().map(|one| one.seen).sum())?,
        "fanstream" => {
            let seen = |all: &[Client]| all[1..].iter().map(|one| one.seen).min().unwrap_or(0);
            crowd.stream(&scenario, "bench.all", 0, seen)? * u64::from(links - 1)
        }
        "fanout" => {
            let one = scenario.message("bench.all");
            for round in 1..=scenario.messages {
                crowd.all[0].send(&one)?;
                crowd.serve(|all| all[1..].iter().all(|client| client.seen >= round))?;
            }
            scenario.messages * u64::from(links - 1)
        }
        "four" => {
            let (batch, count) = scenario.batch("bench.all");
            let mut sent = 0;
            while sent < scenario.messages {
                for client in crowd.all.iter_mut().take(4) {
                    client.send(&batch)?;
                    sent += count;
                }
                crowd.serve(|all| all[4..].iter().all(|client| client.seen + 4 * count >= sent))?;
            }
            crowd.serve(|all| all[4..].iter().all(|client| client.seen >= sent))?;
            sent * 4
        }
        "fanin" => {
            let one = scenario.message("bench.inbox");
            let mut sent = 0;
            while sent < scenario.messages {
                for client in crowd.all.iter_mut().skip(1) {
                    client.send(&one)?;
                    sent += 1;
                }
                crowd.serve(|all| all[0].seen >= sent)?;
            }
            sent
        }
        "first" => crowd.whole_fleet(&scenario, &mut trips)?,
        _ => 0,
    };
    trips.sort_unstable();
    let place = |part: usize| trips.get(trips.len() * part / 100).copied().unwrap_or(0);
    println!("done {total} {} {} {}", begin.elapsed().as_secs_f64(), place(50), place(99));
    Ok(())
}

/// Clients on one event loop.
struct Crowd {
    poll: Poll,
    all: Vec<Client>,
}

impl Crowd {
    fn add(&mut self, mut client: Client) -> Result<(), Failure> {
        self.poll.registry().register(&mut client.stream, Token(self.all.len()), Interest::READABLE)?;
        self.all.push(client);
        Ok(())
    }

    /// A request and its answer, and only then the next.
    fn one_at_a_time(&mut self, scenario: &Scenario, trips: &mut Vec<u128>) -> Result<u64, Failure> {
        let (there, back) = (scenario.message("bench.b"), scenario.message("bench.a"));
        for round in 1..=scenario.messages {
            let start = Instant::now();
            self.all[0].send(&there)?;
            self.serve(|all| all[1].seen >= round)?;
            self.all[1].send(&back)?;
            self.serve(|all| all[0].seen >= round)?;
            trips.push(start.elapsed().as_micros());
        }
        Ok(scenario.messages * 2)
    }

    /// Full writes of one publisher, as far ahead of what has been `seen` as it may be.
    fn stream(
        &mut self,
        scenario: &Scenario,
        subject: &str,
        publisher: usize,
        seen: impl Fn(&[Client]) -> u64,
    ) -> Result<u64, Failure> {
        let (batch, count) = scenario.batch(subject);
        let ahead = scenario.ahead(count);
        let mut sent = 0;
        while sent < scenario.messages {
            self.all[publisher].send(&batch)?;
            sent += count;
            self.serve(|all| seen(all) + ahead >= sent)?;
        }
        self.serve(|all| seen(all) >= sent)?;
        Ok(sent)
    }

    /// The first request to a fleet that has just come: everybody answers with as much.
    fn whole_fleet(&mut self, scenario: &Scenario, trips: &mut Vec<u128>) -> Result<u64, Failure> {
        let request = scenario.message("mcollective.broadcast.agent.agent3");
        let reply = scenario.message("bench.replies");
        let nodes = scenario.links as usize - 1;
        let begin = Instant::now();
        self.all[0].send(&request)?;
        let mut answered = vec![false; nodes];
        while self.all[0].seen < nodes as u64 {
            let before = self.all[0].seen;
            let waiting: Vec<usize> =
                (0..nodes).filter(|node| !answered[*node] && self.all[node + 1].seen > 0).collect();
            for node in &waiting {
                answered[*node] = true;
                self.all[node + 1].send(&reply)?;
            }
            if waiting.is_empty() {
                let heard = answered.iter().filter(|done| **done).count() as u64;
                self.serve(|all| {
                    all[0].seen > before || all[1..].iter().map(|node| node.seen).sum::<u64>() > heard
                })?;
            }
        }
        trips.push(begin.elapsed().as_micros());
        Ok(nodes as u64)
    }

    /// Reads whatever comes until a condition holds.
    fn serve(&mut self, done: impl Fn(&[Client]) -> bool) -> Result<(), Failure> {
        let mut events = Events::with_capacity(1024);
        let mut again: VecDeque<usize> = VecDeque::new();
        while !done(&self.all) {
            self.poll.poll(&mut events, Some(Duration::from_secs(20)))?;
            if events.is_empty() {
                return Err("nothing came for 20 seconds".into());
            }
            again.extend(events.iter().map(|event| event.token().0));
            while let Some(number) = again.pop_front() {
                self.all[number].receive()?;
            }
        }
        Ok(())
    }
}

struct Client {
    stream: mio::net::TcpStream,
    tls: ClientConnection,
    /// Messages seen.
    seen: u64,
    /// Tail of the input, in case a verb is cut in two.
    cut: Vec<u8>,
}

impl Client {
    fn login(address: SocketAddr, config: &Arc<ClientConfig>, subscriptions: &str) -> Result<Self, Failure> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut byte = [0];
        while byte != *b"\n" {
            stream.read_exact(&mut byte)?;
        }
        let mut tls = ClientConnection::new(config.clone(), ServerName::try_from("localhost")?)?;
        // pieces of a record each: client memory does not matter here
        tls.writer().write_all(
            format!(
                "CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"protocol\":0,\"lang\":\"rust\",\"name\":\"node.example.net\"}}\r\n{subscriptions}PING\r\n"
            )
            .as_bytes(),
        )?;
        let mut text = Vec::new();
        while memchr::memmem::find(&text, b"PONG\r\n").is_none() {
            tls.complete_io(&mut stream)?;
            let mut piece = [0; 4096];
            match tls.reader().read(&mut piece) {
                Ok(0) => return Err(format!("closed: {:?}", String::from_utf8_lossy(&text)).into()),
                Ok(count) => text.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        stream.set_nonblocking(true)?;
        Ok(Self { stream: mio::net::TcpStream::from_std(stream), tls, seen: 0, cut: Vec::new() })
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.tls.writer().write_all(bytes)?;
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), Failure> {
        loop {
            match self.tls.read_tls(&mut self.stream) {
                Ok(0) => return Err("the server closed".into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            self.tls.process_new_packets()?;
            let mut text = std::mem::take(&mut self.cut);
            let _ = self.tls.reader().read_to_end(&mut text);
            self.seen += memchr::memmem::find_iter(&text, b"MSG ").count() as u64;
            if memchr::memmem::find(&text, b"PING\r\n").is_some() {
                self.send(b"PONG\r\n")?;
            }
            // at most three bytes: no whole verb is counted twice
            self.cut = text.split_off(text.len().saturating_sub(3));
        }
    }
}
