//! What a link and a message cost the embedded broker and nats-server, over mutual TLS.
//!
//! `cargo bench --bench broker` runs both by turns, three times, and prints
//! medians and ratios; nats-server is the one of the conformance tests. Beside
//! them a floor: a relay that reads, decrypts, encrypts and writes, and looks at
//! nothing. Each is a process of its own and so are the clients, the same for
//! all: memory and processor time are the server's. Every idle link has a
//! certificate of its own.
//!
//! `path` measures messages alone, `path WORD` scenarios whose name holds the
//! word. `own DIR unbuffered LINKS` measures ours alone, also with `buffered` TLS
//! or another number of idle links than 2,000, `judge DIR LINKS` shows how soon a
//! revocation list ends them. `certs DIR` writes certificates for any other
//! server, `external DIR ADDRESS PID` then measures that one.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

mod certificates;
mod clients;
mod crowd;
mod floor;
mod judging;
mod servers;

#[allow(dead_code)]
#[path = "../../tests/it/installed.rs"]
mod installed;
#[allow(dead_code)]
#[path = "../../tests/it/nats_clients_see_no_difference/tools.rs"]
mod tools;

use crowd::{Crowd, Outcome};
use servers::Server;

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
            clients::run(Path::new(dir), address.parse()?, scenario, links.parse()?, messages.parse()?)
        }
        ["certs", dir] => certificates::write_certificates(Path::new(dir)),
        ["external", dir, address, pid] => {
            let (dir, address, pid) = (Path::new(dir), address.parse()?, pid.parse()?);
            let mut figures = links(dir, address, pid, LINKS)?;
            figures.extend(messages(dir, address, pid, "", false)?);
            show(&figures);
            Ok(())
        }
        ["serve", dir, kind] => servers::serve_until_told(Path::new(dir), kind),
        ["judge", dir, links] => judging::judge(Path::new(dir), links.parse()?),
        ["own", dir, kind, count] => {
            let dir = Path::new(dir);
            let server = Server::ours(dir, kind)?;
            println!("embedded broker, {kind} TLS:");
            let mut figures = links(dir, server.address, server.pid(), count.parse()?)?;
            figures.extend(messages(dir, server.address, server.pid(), "", false)?);
            show(&figures);
            Ok(())
        }
        // `cargo test --all-targets` runs this too, and does not ask to measure
        _ if asked.is_empty() => Ok(()),
        ["path"] => compare("", false),
        ["path", word] => compare(word, false),
        _ => compare("", true),
    }
}

// === ours, theirs and the floor ===

/// By turns: what else the machine does meets all of them.
fn compare(word: &str, with_links: bool) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let dir = dir.path();
    certificates::write_certificates(dir)?;
    // whatever is missing has been said by then
    let other = std::panic::catch_unwind(tools::nats_server).ok();
    if other.is_none() {
        println!("nats-server is absent, ours is measured alone");
    }
    let (mut ours, mut theirs, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        let take = |server: Server, is_floor: bool| -> Result<Vec<Figure>, Failure> {
            let mut figures = Vec::new();
            if with_links && !is_floor {
                figures = links(dir, server.address, server.pid(), LINKS)?;
            }
            figures.extend(messages(dir, server.address, server.pid(), word, is_floor)?);
            Ok(figures)
        };
        ours.extend(take(Server::ours(dir, "unbuffered")?, false)?);
        if let Some(program) = &other {
            theirs.extend(take(Server::nats_server(dir, program)?, false)?);
        }
        floor.extend(take(Server::ours(dir, "floor")?, true)?);
    }
    println!("medians of {ROUNDS} rounds, mutual TLS; idle links have 11 subscriptions");
    println!("{:52} {:>9} {:>11} {:>9} {:>6}  wanted", "", "ours", "nats-server", "floor", "ratio");
    let rows = ours.len() / ROUNDS;
    for Figure { name, unit, wanted, .. } in ours.iter().take(rows) {
        let (mine, other, least) = (median(&ours, name), median(&theirs, name), median(&floor, name));
        let text = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
        let ratio = mine.zip(other).map(|(mine, other)| mine / other);
        let row = format!("{name}, {unit}");
        println!(
            "{row:52} {:>9} {:>11} {:>9} {:>6}  {wanted}",
            text(mine),
            text(other),
            text(least),
            text(ratio)
        );
    }
    if with_links {
        println!("a revocation list on ours:");
        judging::judge(dir, LINKS)?;
    }
    Ok(())
}

fn median(figures: &[Figure], name: &str) -> Option<f64> {
    let mut values: Vec<f64> = figures.iter().filter(|one| one.name == name).map(|one| one.value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Something measured.
#[derive(Clone)]
struct Figure {
    name: String,
    unit: &'static str,
    value: f64,
    /// What it should be, next to nats-server.
    wanted: &'static str,
}

impl Figure {
    fn new(name: impl Into<String>, unit: &'static str, value: f64, wanted: &'static str) -> Self {
        Self { name: name.into(), unit, value, wanted }
    }
}

fn show(figures: &[Figure]) {
    for Figure { name, unit, value, .. } in figures {
        println!("  {name:44} {value:10.2} {unit}");
    }
}

// === measuring ===

/// What links cost that are made, idle, and made again.
fn links(dir: &Path, address: SocketAddr, pid: u32, links: u32) -> Result<Vec<Figure>, Failure> {
    let mut figures = Vec::new();
    // once for the caches and arenas of the process itself
    drop(Crowd::gather(dir, address, "idle", 50, 0)?);
    std::thread::sleep(Duration::from_millis(300));
    let (memory, time) = (resident(pid)?, processor(pid)?);
    let crowd = Crowd::gather(dir, address, "idle", links, 0)?;
    std::thread::sleep(Duration::from_secs(4));
    let grown = resident(pid)?.saturating_sub(memory) as f64 / 1024.0 / f64::from(links);
    figures.push(Figure::new("idle link", "KiB", grown, "at most 12 KiB"));
    let login = (processor(pid)? - time).as_secs_f64() * 1e6 / f64::from(links);
    figures.push(Figure::new("login (ECDSA P-256)", "µs CPU", login, "at most 0.6"));
    drop(crowd);
    for (scenario, name) in [("again", "login, chain known"), ("resume", "login, session resumed")] {
        let mut crowd = Crowd::gather(dir, address, scenario, links.min(2000), 0)?;
        std::thread::sleep(Duration::from_secs(2));
        let before = processor(pid)?;
        let count = crowd.go()?.count;
        let used = processor(pid)? - before;
        figures.push(Figure::new(name, "µs CPU", used.as_secs_f64() * 1e6 / count as f64, ""));
    }
    figures.extend(storm(dir, address)?);
    Ok(figures)
}

/// A pair that talks, alone and while two thousand log in.
fn storm(dir: &Path, address: SocketAddr) -> Result<Vec<Figure>, Failure> {
    let mut pair = Crowd::gather(dir, address, "pingpong", 2, 20_000)?;
    let calm = pair.go()?;
    drop(pair);
    let mut pair = Crowd::gather(dir, address, "pingpong", 2, 20_000)?;
    let begin = Instant::now();
    let (storm, logins) = std::thread::scope(|scope| {
        let gather = || Crowd::gather(dir, address, "idle", 500, 0).map_err(|error| error.to_string());
        let crowds: Vec<_> = (0..4).map(|_| scope.spawn(gather)).collect();
        let storm = pair.go().map_err(|error| error.to_string());
        let all: Result<Vec<_>, String> = crowds
            .into_iter()
            .map(|crowd| crowd.join().unwrap_or_else(|_| Err("panicked".to_owned())))
            .collect();
        (storm, all.map(|_| 2000.0 / begin.elapsed().as_secs_f64()))
    });
    let storm = storm?;
    Ok(vec![
        Figure::new("round trip of a pair, median", "µs", calm.median as f64, ""),
        Figure::new("round trip of a pair, p99", "µs", calm.worst as f64, ""),
        Figure::new("the same while 2000 log in, median", "µs", storm.median as f64, ""),
        Figure::new("the same while 2000 log in, p99", "µs", storm.worst as f64, ""),
        Figure::new("logins meanwhile", "a second", logins?, ""),
    ])
}

/// Scenario, links, messages; its name, what is counted, and the ratio it should reach.
type Row = (&'static str, u32, u32, &'static str, &'static str);

const ROWS: [Row; 12] = [
    ("stream:128", 2, 2_000_000, "1 to 1, 128 B streamed, a message", "0.50, aim 0.30"),
    ("stream:16", 2, 2_000_000, "1 to 1, 16 B streamed, a message", "0.50, aim 0.30"),
    ("stream:1024", 2, 500_000, "1 to 1, 1 KB streamed, a message", "0.50, aim 0.30"),
    ("stream:8192", 2, 100_000, "1 to 1, 8 KB streamed, a message", "0.50, aim 0.30"),
    ("fanstream:1500", 1001, 1000, "1 to 1000, 1.5 KB streamed, a delivery", "0.45, aim 0.33"),
    ("pingpong:128", 2, 20_000, "request/reply 128 B, a message", "0.60, aim 0.45"),
    ("queue:128", 11, 1_000_000, "queue group of 10, 128 B, a message", "0.40, aim 0.20"),
    ("first:1500", 1001, 1, "first request to 1000 that just came, a node", "0.7, aim 0.5"),
    ("fanout:128", 101, 2000, "1 to 100, 128 B one at a time, a delivery", "keep"),
    ("fanout:1500", 1001, 200, "1 to 1000, 1.5 KB one at a time, a delivery", "keep"),
    ("four:128", 8, 400_000, "4 to 4, 128 B streamed, a delivery", "keep"),
    ("fanin:512", 1001, 100_000, "1000 to 1, 512 B, a message", "keep"),
];

/// What messages cost, by scenario.
fn messages(
    dir: &Path,
    address: SocketAddr,
    pid: u32,
    word: &str,
    floor: bool,
) -> Result<Vec<Figure>, Failure> {
    let mut figures = Vec::new();
    for (scenario, links, messages, name, wanted) in ROWS {
        // a relay knows no subjects: nothing that needs them
        let relays =
            ["stream", "fanstream", "fanout"].contains(&scenario.split(':').next().unwrap_or_default());
        if !scenario.contains(word) || (floor && !relays) {
            continue;
        }
        let scenario = if floor { format!("{scenario}:floor") } else { scenario.to_owned() };
        let mut crowd = Crowd::gather(dir, address, &scenario, links, messages)?;
        std::thread::sleep(Duration::from_millis(if scenario.starts_with("first") { 200 } else { 1500 }));
        let before = processor(pid)?;
        let Outcome { count, wall, median, worst } = crowd.go()?;
        let used = processor(pid)? - before;
        figures.push(Figure::new(name, "µs CPU", used.as_secs_f64() * 1e6 / count as f64, wanted));
        if scenario.starts_with("pingpong") {
            figures.push(Figure::new(format!("{scenario}, median"), "µs", median as f64, "0.95, aim 0.80"));
            figures.push(Figure::new(format!("{scenario}, p99"), "µs", worst as f64, "1.0, aim 0.8"));
        } else if scenario.starts_with("first") {
            figures.push(Figure::new(format!("{scenario}, last reply"), "µs", worst as f64, wanted));
        } else {
            figures.push(Figure::new(format!("{scenario}, rate"), "a second", count as f64 / wall, ""));
        }
    }
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
