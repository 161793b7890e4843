//! What a link and a message cost the embedded broker and nats-server, over mutual TLS.
//!
//! `cargo bench --bench broker` runs both by turns, three times, and prints
//! medians and ratios; nats-server is the one of the conformance tests. Each
//! is a process of its own and so are the clients, the same for both: memory
//! and processor time are the server's. Every idle link has a certificate of
//! its own.
//!
//! `own DIR unbuffered LINKS` measures ours alone, also with `buffered` TLS or
//! another number of idle links than 2,000, `judge DIR LINKS` shows how soon a
//! revocation list ends them. `certs DIR` writes certificates for any other
//! server, `external DIR ADDRESS PID` then measures that one.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use choria::core::admission::{
    Authenticator, ConnectionFacts, CurrentCertificates, Grant, Refusal, X509Authenticator, X509Options,
};
use choria::core::broker::{Broker, Limits, Listener, Options};
use choria::core::config::{Config, Fixed, Role};
use choria::core::security::Provider;
use mio::{Events, Interest, Poll, Token};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa, Issuer,
    KeyPair, RevokedCertParams, SerialNumber,
};
use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

#[allow(dead_code)]
#[path = "../tests/it/nats_clients_see_no_difference/tools.rs"]
mod tools;

type Failure = Box<dyn std::error::Error>;

/// Idle links of a run that is not told otherwise.
const LINKS: u32 = 2000;
/// Turns of each server.
const ROUNDS: usize = 3;

fn main() -> Result<(), Failure> {
    let (asked, arguments): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|word| word == "--bench");
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["clients", dir, address, scenario, links, messages] => {
            clients(Path::new(dir), address.parse()?, scenario, links.parse()?, messages.parse()?)
        }
        ["certs", dir] => write_certificates(Path::new(dir)),
        ["external", dir, address, pid] => {
            show(&measure(Path::new(dir), address.parse()?, pid.parse()?, LINKS)?);
            Ok(())
        }
        ["serve", dir, kind] => serve_until_told(Path::new(dir), *kind == "buffered"),
        ["judge", dir, links] => judge(Path::new(dir), links.parse()?),
        ["own", dir, kind, links] => {
            let server = Server::ours(Path::new(dir), kind)?;
            println!("embedded broker, {kind} TLS:");
            show(&server.measure(Path::new(dir), links.parse()?)?);
            Ok(())
        }
        // `cargo test --all-targets` runs this too, and does not ask to measure
        _ if asked.is_empty() => Ok(()),
        _ => compare(),
    }
}

// === both ===

/// Ours and nats-server by turns: what else the machine does meets both.
fn compare() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let dir = dir.path();
    write_certificates(dir)?;
    // whatever is missing has been said by then
    let other = std::panic::catch_unwind(tools::nats_server).ok();
    if other.is_none() {
        println!("nats-server is absent, ours is measured alone");
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        ours.push(Server::ours(dir, "unbuffered")?.measure(dir, LINKS)?);
        if let Some(program) = &other {
            theirs.push(Server::nats_server(dir, program)?.measure(dir, LINKS)?);
        }
    }
    println!(
        "medians of {ROUNDS} rounds, {LINKS} idle links of 11 subscriptions, messages of 512 B, mutual TLS"
    );
    println!("{:44} {:>12} {:>12} {:>7}  wanted", "", "ours", "nats-server", "ratio");
    let first = ours.first().cloned().unwrap_or_default();
    for (row, Figure { name, unit, wanted, .. }) in first.iter().enumerate() {
        let median = |rounds: &[Vec<Figure>]| {
            let mut values: Vec<f64> = rounds.iter().map(|figures| figures[row].value).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        let text = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
        let (ours, theirs) = (median(&ours), median(&theirs));
        let ratio = ours.zip(theirs).map(|(ours, theirs)| ours / theirs);
        println!(
            "{:44} {:>12} {:>12} {:>7}  {wanted}",
            format!("{name}, {unit}"),
            text(ours),
            text(theirs),
            text(ratio)
        );
    }
    println!("a revocation list on ours:");
    judge(dir, LINKS)
}

/// A server in a process of its own.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn ours(dir: &Path, kind: &str) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").arg(dir).arg(kind).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self::start(command, |process| Box::new(process.stdout.take().expect("a pipe")))
    }

    /// One with the same certificates, rules and time-outs.
    fn nats_server(dir: &Path, program: &Path) -> Result<Self, Failure> {
        let path = |name: &str| dir.join(name).display().to_string();
        let configuration = serde_json::json!({
            "listen": "127.0.0.1:-1", "authorization": {"timeout": 30},
            "tls": {
                "cert_file": path("server.pem"), "key_file": path("server-key.pem"),
                "ca_file": path("ca.pem"), "verify": true, "timeout": 30,
            },
        });
        std::fs::write(dir.join("nats-server.conf"), configuration.to_string())?;
        let mut command = Command::new(program);
        command.arg("-c").arg(dir.join("nats-server.conf")).stdout(Stdio::null()).stderr(Stdio::piped());
        Self::start(command, |process| Box::new(process.stderr.take().expect("a pipe")))
    }

    fn start(
        mut command: Command,
        says: impl FnOnce(&mut Child) -> Box<dyn Read + Send>,
    ) -> Result<Self, Failure> {
        let mut process = command.spawn()?;
        let mut lines = BufReader::new(says(&mut process)).lines();
        let address = loop {
            let line = lines.next().ok_or("the server ended before it listened")??;
            if line.to_lowercase().contains("listening for client connections on") {
                break line.rsplit(' ').find_map(|word| word.parse().ok()).ok_or("no address")?;
            }
        };
        // a server whose log nobody reads would wait for that in the end
        std::thread::spawn(move || lines.count());
        Ok(Self { process, address })
    }

    fn measure(&self, dir: &Path, links: u32) -> Result<Vec<Figure>, Failure> {
        measure(dir, self.address, self.process.id(), links)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn serve_until_told(dir: &Path, buffered_tls: bool) -> Result<(), Failure> {
    let broker = start(dir, buffered_tls)?;
    println!("listening for client connections on {}", broker.local_addr());
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// The security of `choria broker run`.
fn provider(dir: &Path) -> Result<Provider, Failure> {
    let file = |name: &str| dir.join(name).display().to_string();
    let config = Config::from_text(
        Role::Broker,
        &format!(
            "identity = server.example.net\nplugin.security.provider = file\n\
             plugin.security.file.certificate = {}\nplugin.security.file.key = {}\n\
             plugin.security.file.ca = {}\n",
            file("server.pem"),
            file("server-key.pem"),
            file("ca.pem")
        ),
    )?;
    Ok(Provider::new(&config, Role::Broker, &Fixed::default())?)
}

fn rules(provider: &Provider) -> CurrentCertificates<X509Authenticator> {
    CurrentCertificates::of_trust(X509Authenticator::new(X509Options::default()), provider.trust())
}

fn limits() -> Limits {
    let long = Duration::from_secs(30);
    Limits { tls_timeout: long, auth_timeout: long, ..Limits::default() }
}

fn start(dir: &Path, buffered_tls: bool) -> Result<Broker, Failure> {
    let provider = provider(dir)?;
    Ok(Broker::start(Options {
        listeners: vec![Listener::tls(SocketAddr::from(([127, 0, 0, 1], 0)))],
        tls: Some(provider.server_tls()?),
        authenticator: Arc::new(rules(&provider)),
        limits: limits(),
        buffered_tls,
        ..Options::default()
    })?)
}

// === judging again ===

/// Rules that count how often they were asked.
struct Counted(CurrentCertificates<X509Authenticator>, Arc<AtomicUsize>);

impl Authenticator for Counted {
    fn authenticate(&self, facts: &ConnectionFacts) -> Result<Grant, Refusal> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.authenticate(facts)
    }

    fn judges_chains(&self) -> bool {
        true
    }

    fn suspects(&self, chain: &[CertificateDer<'static>]) -> bool {
        self.0.suspects(chain)
    }
}

/// Every tenth link is revoked while a pair talks: how long until all of them are off, and until
/// everybody has been judged.
fn judge(dir: &Path, links: u32) -> Result<(), Failure> {
    let provider = provider(dir)?;
    let asked = Arc::new(AtomicUsize::new(0));
    let authenticator = |asked: &Arc<AtomicUsize>| Arc::new(Counted(rules(&provider), asked.clone()));
    let broker = Broker::start(Options {
        listeners: vec![Listener::tls(SocketAddr::from(([127, 0, 0, 1], 0)))],
        tls: Some(provider.server_tls()?),
        authenticator: authenticator(&asked),
        limits: limits(),
        ..Options::default()
    })?;
    let _crowd = Crowd::gather(dir, broker.local_addr(), "idle", links, 0)?;
    let mut pair = Crowd::gather(dir, broker.local_addr(), "pingpong", 2, 100_000)?;
    let revoked: Vec<u64> = (0..u64::from(links)).filter(|number| number % 10 == 0).collect();
    write_revocations(dir, &revoked)?;
    let before = broker.stats().connections;
    asked.store(0, Ordering::Relaxed);
    let busy = std::thread::spawn(move || pair.go().map(|trips| (trips.median, trips.worst)).ok());
    std::thread::sleep(Duration::from_millis(500));
    let begin = Instant::now();
    provider.reload()?;
    broker.reload(Some(provider.server_tls()?), authenticator(&asked), limits());
    while broker.stats().connections > before - revoked.len() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (off, first) = (begin.elapsed(), asked.load(Ordering::Relaxed));
    while asked.load(Ordering::Relaxed) < before {
        std::thread::sleep(Duration::from_millis(1));
    }
    println!(
        "  {links} links, {} revoked: off after {} ms (with {first} judged), all judged after {} ms",
        revoked.len(),
        off.as_millis(),
        begin.elapsed().as_millis()
    );
    let trips = busy.join().unwrap_or_default().unwrap_or_default();
    println!("  round trip of a pair meanwhile: {} µs, p99 {} µs", trips.0, trips.1);
    Ok(())
}

// === measuring ===

/// Something measured.
#[derive(Clone)]
struct Figure {
    name: String,
    unit: &'static str,
    value: f64,
    /// What it should be, next to nats-server.
    wanted: &'static str,
}

fn show(figures: &[Figure]) {
    for Figure { name, unit, value, .. } in figures {
        println!("  {name:36} {value:10.2} {unit}");
    }
}

fn measure(dir: &Path, address: SocketAddr, pid: u32, links: u32) -> Result<Vec<Figure>, Failure> {
    let mut figures = Vec::new();
    let mut note = |name: &str, unit, value, wanted| {
        figures.push(Figure { name: name.to_owned(), unit, value, wanted });
    };
    // once for the caches and arenas of the process itself
    drop(Crowd::gather(dir, address, "idle", 50, 0)?);
    std::thread::sleep(Duration::from_millis(300));
    let (memory, time) = (resident(pid)?, processor(pid)?);
    let crowd = Crowd::gather(dir, address, "idle", links, 0)?;
    std::thread::sleep(Duration::from_secs(4));
    let grown = resident(pid)?.saturating_sub(memory);
    note("idle link", "KiB", grown as f64 / 1024.0 / f64::from(links), "at most 12 KiB");
    let login = processor(pid)? - time;
    note("login (ECDSA P-256)", "µs CPU", login.as_secs_f64() * 1e6 / f64::from(links), "at most 0.6");
    drop(crowd);
    for (scenario, name) in [("again", "login, chain known"), ("resume", "login, session resumed")] {
        let mut crowd = Crowd::gather(dir, address, scenario, links.min(2000), 0)?;
        std::thread::sleep(Duration::from_secs(2));
        let before = processor(pid)?;
        let count = crowd.go()?.count;
        let used = processor(pid)? - before;
        note(name, "µs CPU", used.as_secs_f64() * 1e6 / count as f64, "");
    }
    for (scenario, links, messages, name, wanted) in [
        ("pingpong", 2, 20_000, "1:1, one at a time, a message", "at most 0.5"),
        ("stream", 2, 300_000, "1:1, streamed, a message", "at most 0.5"),
        ("fanout", 1000, 200, "fan-out 1000, a delivery", "at most 0.5"),
        ("fanin", 1000, 100_000, "fan-in 1000, a message", ""),
    ] {
        let mut crowd = Crowd::gather(dir, address, scenario, links, messages)?;
        std::thread::sleep(Duration::from_secs(3));
        let before = processor(pid)?;
        let Outcome { count, wall, .. } = crowd.go()?;
        let used = processor(pid)? - before;
        note(name, "µs CPU", used.as_secs_f64() * 1e6 / count as f64, wanted);
        if scenario != "pingpong" {
            note(&format!("{scenario}, messages"), "a second", count as f64 / wall, "");
        }
    }
    let mut pair = Crowd::gather(dir, address, "pingpong", 2, 20_000)?;
    let calm = pair.go()?;
    drop(pair);
    let mut pair = Crowd::gather(dir, address, "pingpong", 2, 20_000)?;
    let begin = Instant::now();
    let (storm, logins) = std::thread::scope(|scope| {
        let crowds: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| Crowd::gather(dir, address, "idle", 500, 0).map_err(|error| error.to_string()))
            })
            .collect();
        let storm = pair.go().map_err(|error| error.to_string());
        let all: Result<Vec<_>, String> = crowds
            .into_iter()
            .map(|crowd| crowd.join().unwrap_or_else(|_| Err("panicked".to_owned())))
            .collect();
        (storm, all.map(|_| 2000.0 / begin.elapsed().as_secs_f64()))
    });
    let storm = storm?;
    note("round trip of a pair, median", "µs", calm.median as f64, "");
    note("round trip of a pair, p99", "µs", calm.worst as f64, "");
    note("the same while 2000 log in, median", "µs", storm.median as f64, "");
    note("the same while 2000 log in, p99", "µs", storm.worst as f64, "");
    note("logins meanwhile", "a second", logins?, "");
    Ok(figures)
}

/// Resident memory in bytes.
fn resident(pid: u32) -> Result<u64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse::<u64>()? * 1024)
}

/// Processor time of all threads, to the nanosecond where the system counts it.
fn processor(pid: u32) -> Result<Duration, Failure> {
    let mut total = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        total += text.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(total))
}

/// What clients report.
struct Outcome {
    count: u64,
    /// Seconds.
    wall: f64,
    /// Round trip of a pair, in microseconds, where there are any.
    median: u64,
    /// 99 of 100 are faster.
    worst: u64,
}

/// Clients in a process of their own.
struct Crowd {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Crowd {
    fn gather(
        dir: &Path,
        address: SocketAddr,
        scenario: &str,
        links: u32,
        messages: u32,
    ) -> Result<Self, Failure> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("clients")
            .arg(dir)
            .args([address.to_string(), scenario.to_owned(), links.to_string(), messages.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take().ok_or("no stdin")?;
        let output = BufReader::new(process.stdout.take().ok_or("no stdout")?);
        let mut crowd = Self { process, input, output };
        crowd.expect("ready")?;
        Ok(crowd)
    }

    fn expect(&mut self, word: &str) -> Result<String, Failure> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        if line.starts_with(word) { Ok(line) } else { Err(format!("clients said {line:?}").into()) }
    }

    fn go(&mut self) -> Result<Outcome, Failure> {
        writeln!(self.input, "go")?;
        let line = self.expect("done")?;
        let mut words = line.split_whitespace().skip(1);
        let mut next = || words.next().ok_or("too few numbers");
        Ok(Outcome {
            count: next()?.parse()?,
            wall: next()?.parse()?,
            median: next()?.parse()?,
            worst: next()?.parse()?,
        })
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

// === clients ===

struct Client {
    stream: mio::net::TcpStream,
    tls: ClientConnection,
    /// Messages seen.
    seen: u64,
    /// Tail of the input, in case a verb is cut in two.
    cut: Vec<u8>,
}

fn clients(
    dir: &Path,
    address: SocketAddr,
    scenario: &str,
    links: u32,
    messages: u32,
) -> Result<(), Failure> {
    let person = Person::read(dir)?;
    let config = person.config(1_000_000, false)?;
    let mut poll = Poll::new()?;
    let mut all = Vec::new();
    let mut configs = Vec::new();
    for number in 0..links {
        let config = match scenario {
            "idle" | "again" | "resume" => person.config(u64::from(number), scenario == "resume")?,
            _ => config.clone(),
        };
        let subscriptions = match (scenario, number) {
            ("idle" | "again" | "resume", _) => (0..10)
                .map(|agent| format!("SUB mcollective.broadcast.agent.agent{agent} {agent}\r\n"))
                .chain([format!("SUB mcollective.node.node{number}.example.net n\r\n")])
                .collect(),
            ("pingpong" | "stream", 0) => "SUB bench.a 1\r\n".to_owned(),
            ("pingpong", _) => "SUB bench.b 1\r\n".to_owned(),
            ("fanout", _) => "SUB bench.all 1\r\n".to_owned(),
            ("fanin", 0) => "SUB bench.inbox 1\r\n".to_owned(),
            _ => String::new(),
        };
        let mut client = Client::login(address, &config, &subscriptions)?;
        poll.registry().register(&mut client.stream, Token(number as usize), Interest::READABLE)?;
        all.push((client, subscriptions));
        configs.push(config);
    }
    let (mut all, subscriptions): (Vec<Client>, Vec<String>) = all.into_iter().unzip();
    println!("ready");
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    if line.trim() != "go" {
        return Ok(());
    }
    let payload = "x".repeat(512);
    let publish = |subject: &str| format!("PUB {subject} 512\r\n{payload}\r\n");
    let begin = Instant::now();
    let mut trips = Vec::new();
    let total = match scenario {
        "again" | "resume" => {
            // all go, and come back
            all.clear();
            std::thread::sleep(Duration::from_millis(500));
            for (config, subscriptions) in configs.iter().zip(&subscriptions) {
                all.push(Client::login(address, config, subscriptions)?);
            }
            u64::from(links)
        }
        "pingpong" => {
            let (there, back) = (publish("bench.b"), publish("bench.a"));
            for round in 1..=u64::from(messages) {
                let start = Instant::now();
                all[0].send(there.as_bytes())?;
                serve(&mut poll, &mut all, |all| all[1].seen >= round)?;
                all[1].send(back.as_bytes())?;
                serve(&mut poll, &mut all, |all| all[0].seen >= round)?;
                trips.push(start.elapsed().as_micros());
            }
            u64::from(messages) * 2
        }
        "stream" => {
            let batch = publish("bench.a").repeat(32);
            let mut sent = 0;
            while sent < u64::from(messages) {
                all[1].send(batch.as_bytes())?;
                sent += 32;
                // a window, so that the reader is not cut for being slow
                serve(&mut poll, &mut all, |all| all[0].seen + 2048 >= sent)?;
            }
            serve(&mut poll, &mut all, |all| all[0].seen >= sent)?;
            sent
        }
        "fanout" => {
            let one = publish("bench.all");
            for round in 1..=u64::from(messages) {
                all[0].send(one.as_bytes())?;
                serve(&mut poll, &mut all, |all| all.iter().all(|client| client.seen >= round))?;
            }
            u64::from(messages) * u64::from(links)
        }
        "fanin" => {
            let one = publish("bench.inbox");
            let mut sent = 0;
            while sent < u64::from(messages) {
                for client in all.iter_mut().skip(1) {
                    client.send(one.as_bytes())?;
                    sent += 1;
                }
                serve(&mut poll, &mut all, |all| all[0].seen >= sent)?;
            }
            sent
        }
        _ => 0,
    };
    trips.sort_unstable();
    let place = |part: usize| trips.get(trips.len() * part / 100).copied().unwrap_or(0);
    println!("done {total} {} {} {}", begin.elapsed().as_secs_f64(), place(50), place(99));
    Ok(())
}

/// Reads whatever comes until a condition holds.
fn serve(poll: &mut Poll, all: &mut [Client], done: impl Fn(&[Client]) -> bool) -> Result<(), Failure> {
    let mut events = Events::with_capacity(1024);
    let mut again: VecDeque<usize> = VecDeque::new();
    while !done(all) {
        poll.poll(&mut events, Some(Duration::from_secs(20)))?;
        if events.is_empty() {
            return Err("nothing came for 20 seconds".into());
        }
        again.extend(events.iter().map(|event| event.token().0));
        while let Some(number) = again.pop_front() {
            all[number].receive()?;
        }
    }
    Ok(())
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

// === certificates ===

/// Whoever makes client certificates.
struct Person {
    roots: Arc<RootCertStore>,
    issuer: Issuer<'static, KeyPair>,
    key: KeyPair,
}

impl Person {
    fn read(dir: &Path) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(std::fs::read(dir.join("ca.der"))?))?;
        let text = |name: &str| std::fs::read_to_string(dir.join(name));
        let key = KeyPair::from_pem(&text("ca-key.pem")?)?;
        let issuer = Issuer::from_ca_cert_pem(&text("ca.pem")?, key)?;
        Ok(Self { roots: Arc::new(roots), issuer, key: KeyPair::from_pem(&text("client-key.pem")?)? })
    }

    fn config(&self, number: u64, resumes: bool) -> Result<Arc<ClientConfig>, Failure> {
        let name = format!("node{number}.example.net");
        let mut params = CertificateParams::new(vec![name.clone()])?;
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.serial_number = Some(serial(number));
        let certificate = params.signed_by(&self.key, &self.issuer)?;
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(self.roots.clone())
                .with_client_auth_cert(
                    vec![certificate.der().clone()],
                    PrivateKeyDer::try_from(self.key.serialize_der())?,
                )?;
        if !resumes {
            config.resumption = Resumption::disabled();
        }
        Ok(Arc::new(config))
    }
}

fn serial(number: u64) -> SerialNumber {
    SerialNumber::from(number + 1)
}

fn write_revocations(dir: &Path, numbers: &[u64]) -> Result<(), Failure> {
    let now = rcgen::date_time_ymd(2020, 1, 1);
    let revoked = numbers.iter().map(|number| RevokedCertParams {
        serial_number: serial(*number),
        revocation_time: now,
        reason_code: None,
        invalidity_date: None,
    });
    let list = CertificateRevocationListParams {
        this_update: now,
        next_update: rcgen::date_time_ymd(2040, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let person = Person::read(dir)?;
    std::fs::write(dir.join("crl.pem"), list.signed_by(&person.issuer)?.pem()?)?;
    Ok(())
}

fn write_certificates(dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dir)?;
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    let ca_key = KeyPair::generate()?;
    std::fs::write(dir.join("ca-key.pem"), ca_key.serialize_pem())?;
    let ca = CertifiedIssuer::self_signed(params, ca_key)?;
    std::fs::write(dir.join("ca.der"), ca.der())?;
    std::fs::write(dir.join("ca.pem"), ca.pem())?;
    for name in ["server", "client"] {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), format!("{name}.example.net")])?;
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("{name}.example.net"));
        let certificate = params.signed_by(&key, &ca)?;
        std::fs::write(dir.join(format!("{name}.der")), certificate.der())?;
        std::fs::write(dir.join(format!("{name}-key.der")), key.serialize_der())?;
        std::fs::write(dir.join(format!("{name}.pem")), certificate.pem())?;
        std::fs::write(dir.join(format!("{name}-key.pem")), key.serialize_pem())?;
    }
    Ok(())
}
