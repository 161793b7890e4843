//! Three brokers that are one: how fast a fleet logs in, is asked from one of them, and is back when one is killed.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::common::{milliseconds, processor, show};
use crate::network::Network;
use crate::process::{Daemon, PATIENCE, program, read_page, sample};

/// Emulators, as the nodes of each know the brokers in another order.
const FLEETS: usize = 3;

pub fn nats_server() -> Option<PathBuf> {
    let of_tests =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tmp/conformance/python/bin/nats-server");
    std::env::var_os("NATS_SERVER")
        .map(PathBuf::from)
        .into_iter()
        .chain([of_tests])
        .find(|path| path.exists())
}

/// Waits for all fleets together to have so many connections; how long that took.
fn until_connected(pages: &[String], count: usize) -> Duration {
    let begun = Instant::now();
    loop {
        let connected: f64 = pages
            .iter()
            .map(|page| {
                sample(&read_page(page, "/metrics"), "choria_emulator_connected{").unwrap_or_default()
            })
            .sum();
        if connected as usize >= count {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < 5 * PATIENCE, "{connected} of {count} are connected");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn three_brokers(count: usize) {
    let Some(nats_server) = nats_server() else {
        println!("three brokers: no nats-server, say with NATS_SERVER where one is");
        return;
    };
    let listeners: Vec<TcpListener> =
        (0..FLEETS).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    let ports: Vec<u16> = listeners.iter().map(|l| l.local_addr().expect("an address").port()).collect();
    drop(listeners);
    let peers: Vec<String> = ports.iter().map(|port| format!("localhost:{port}")).collect();
    let first = Network::without_broker();
    let others: Vec<Network> = (1..FLEETS).map(|_| first.without_broker_beside()).collect();
    let mut brokers: Vec<Network> = std::iter::once(first).chain(others).collect();
    for (at, (broker, port)) in brokers.iter_mut().zip(&ports).enumerate() {
        broker.configure_broker(&format!(
            "identity = broker{at}.example.net\nplugin.choria.network.x509_permissions = by-name\n\
             plugin.choria.network.peers = {}\nplugin.choria.network.peer_port = {port}\n\
             plugin.choria.network.nats_server = {}\n",
            peers.join(", "),
            nats_server.display()
        ));
        broker.start_broker();
    }
    for broker in &mut brokers {
        broker.broker().says(&["connected to the hub as a leaf"]);
    }
    let addresses: Vec<String> = brokers.iter().map(|broker| broker.address().to_string()).collect();
    let pids: Vec<u32> = brokers.iter_mut().map(|broker| broker.broker().pid()).collect();
    let begun = Instant::now();
    let before: Duration = pids.iter().map(|pid| processor(*pid)).sum();
    let ca = brokers[0].path("ca").display().to_string();
    let each = count / FLEETS;
    let fleets: Vec<Daemon> = (0..FLEETS)
        .map(|at| {
            let mut order = addresses.clone();
            order.rotate_left(at);
            let mut command = program(brokers[0].directory());
            command.args([
                "emulate",
                "--count",
                &each.to_string(),
                "--broker",
                &order.join(","),
                "--ca",
                &ca,
            ]);
            command.args(["--name", &format!("e{at}-{{}}.example.net"), "--rate", "5000", "--monitor", "0"]);
            Daemon::start("emulator", command)
        })
        .collect();
    let pages: Vec<String> = fleets
        .iter()
        .map(|fleet| {
            let line = fleet.says(&["counters are at http://"]);
            line.split("http://")
                .nth(1)
                .and_then(|rest| rest.split('/').next())
                .expect("an address")
                .to_owned()
        })
        .collect();
    let all = each * FLEETS;
    until_connected(&pages, all);
    let took = begun.elapsed().as_secs_f64();
    let cost: Duration = pids.iter().map(|pid| processor(*pid)).sum::<Duration>() - before;
    show(
        &format!("{all} nodes log in to three brokers"),
        "a second",
        vec![all as f64 / took],
        "430 (callout)",
        "at least 800",
    );
    show("  of the brokers, a login", "ms CPU", vec![milliseconds(cost) / all as f64], "", "");

    let hosts = format!("plugin.choria.middleware_hosts = {}\ndiscovery_timeout = 60\n", addresses[0]);
    let caller = brokers[0].caller_with("alice.mcollective", &hosts);
    let expected = all.to_string();
    let mut walls = vec![];
    for _ in 0..crate::common::ROUNDS {
        let begun = Instant::now();
        caller.run(&["ping", "--silent", "--expect", &expected]).code(0);
        walls.push(begun.elapsed().as_secs_f64());
    }
    show("  all of them pinged from one broker", "s", walls, "", "");

    let killed = Instant::now();
    brokers[2].kill_broker();
    // They have to see it first.
    std::thread::sleep(Duration::from_millis(500));
    until_connected(&pages, all);
    show(
        "  a broker is killed, all are back after",
        "s",
        vec![killed.elapsed().as_secs_f64()],
        "",
        "at most 10",
    );
    drop(fleets);
}
