//! Operators of one network and nodes of others, with a federation broker between.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use choria::core::pki::Kind;
use serde_json::{Value, json};

use crate::a_hostile_node_does_not_hurt_the_broker::resident;
use crate::link::Link;
use crate::network::{Caller, Network, node};
use crate::process::{Daemon, Ran, parameter, program, until};
use crate::raw::Raw;

const BY_NAME: &str = "plugin.choria.network.x509_permissions = by-name\n\
     plugin.choria.network.federation_certnames = /^fed/\n";

/// Where the operators are.
fn federation() -> Network {
    Network::start_with(BY_NAME)
}

/// A federation broker between two networks.
fn carry(operators: SocketAddr, site: &Network, cluster: &str, lines: &str) -> Daemon {
    carry_by(operators, site.address(), site, cluster, lines)
}

/// The same, by this way into the site.
fn carry_by(operators: SocketAddr, side: SocketAddr, site: &Network, cluster: &str, lines: &str) -> Daemon {
    let name = format!("fed-{cluster}.example.net");
    site.certify(Kind::Node, &name);
    let text = format!(
        "identity = {name}\nplugin.choria.broker_federation = true\nplugin.choria.federation.cluster = {cluster}\n\
         plugin.choria.federation_middleware_hosts = {operators}\nplugin.choria.middleware_hosts = {side}\n{}{lines}",
        site.security(&name)
    );
    let config = site.file(&format!("{name}.conf"), &text);
    let mut command = program(site.directory());
    command.arg("broker").arg("run").arg("--config").arg(&config);
    Daemon::start(&name, command)
}

/// It hears both networks.
fn carries(daemon: &Daemon) {
    until("both connections", || (daemon.matching(0, &["connected", "broker="]).len() >= 2).then_some(()));
}

fn operator(network: &Network, federations: &str) -> Caller {
    let hosts = network.address();
    let lines = format!(
        "plugin.choria.federation_middleware_hosts = {hosts}\nplugin.choria.federation.collectives = {federations}\n"
    );
    network.caller_with("alice.mcollective", &lines)
}

/// Names that answer a ping, once it is these.
#[track_caller]
fn answered_by(alice: &Caller, names: &[&str]) {
    let count = names.len().to_string();
    until("answers of all", || {
        let ran = alice.run(&["ping", "--names", "--expect", &count]);
        (ran.sorted() == names).then_some(())
    });
}

#[test]
fn nodes_of_all_sites_answer_and_the_site_that_is_down_is_named() {
    let operators = federation();
    let [london, paris] = [0, 1].map(|_| operators.beside(BY_NAME));
    let _nodes = [london.node(node("l1")), london.node(node("l2")), paris.node(node("p1"))];
    let mut carriers = vec![
        carry(operators.address(), &london, "london", ""),
        carry(operators.address(), &paris, "paris", ""),
    ];
    carriers.iter().for_each(carries);
    let alice = operator(&operators, "london,paris");
    answered_by(&alice, &["l1.example.net", "l2.example.net", "p1.example.net"]);

    let ran = alice.run(&["rpc", "rpcutil", "ping", "--json"]).code(0);
    let replies = ran.json();
    assert_eq!(
        replies["summary_stats"]["responses"].as_i64().or(replies["request_stats"]["responses"].as_i64()),
        Some(3),
        "{ran:?}"
    );
    // One site alone, one node of it.
    alice.run(&["find", "--federations", "paris"]).fine().says(&["p1.example.net"]);
    let one = alice.run(&["rpc", "rpcutil", "ping", "-I", "l2.example.net", "--json"]).code(0).json();
    assert_eq!(one["replies"][0]["sender"], "l2.example.net");

    // What is audited is who asked, not who carried.
    let audit = fs::read_to_string(london.path("l1.example.net/audit.log")).unwrap();
    assert!(audit.contains("choria=alice.mcollective") && !audit.contains("fed-london"), "{audit}");

    // The path of a message.
    let traced = alice.run(&["tool", "federation", "trace", "p1.example.net"]).fine();
    traced.clone().says(&["p1.example.net", "fed-paris.example.net", &paris.address().to_string()]);

    // One site goes: the others do not wait for it.
    drop(carriers.pop());
    let down = until("the site to be missed", || {
        let ran = alice.run(&["rpc", "rpcutil", "ping", "--timeout", "30"]);
        ran.stderr.contains("paris").then_some(ran)
    });
    assert!(down.stderr.contains("nobody carries requests to the federation paris"), "{down:?}");
    assert_eq!(down.stderr.matches("nobody carries").count(), 1, "{down:?}");
    down.code(4).says(&["l1.example.net", "l2.example.net"]);
    // who is named has answered, wherever others are
    alice.run(&["rpc", "rpcutil", "ping", "-I", "l1.example.net"]).code(0);
    alice.run(&["rpc", "rpcutil", "ping"]).code(4);
    alice.run(&["find"]).code(4).complains(&["paris"]);
    // All of them: at once, and with a reason.
    drop(carriers);
    let gone = until("both sites to be missed", || {
        let ran = alice.run(&["ping"]);
        (ran.stderr.matches("nobody carries").count() == 2).then_some(ran)
    });
    assert!(gone.stderr.contains("none of its federations is there"), "{gone:?}");

    let wrong: Ran = alice.run(&["ping", "--federations", "a.b"]);
    assert!(wrong.code == 1 && wrong.stderr.contains("'a.b' is no federation"), "{wrong:?}");
}

/// Who asks for a thousand times as much as he says holds up nobody but himself.
#[test]
fn one_callers_flood_keeps_nobody_else_waiting() {
    let operators = federation();
    let london = operators.beside(BY_NAME);
    let _nodes = london.nodes([node("l1"), node("l2")]);
    let carrier = carry(operators.address(), &london, "london", "");
    carries(&carrier);
    let alice = operator(&operators, "london");
    answered_by(&alice, &["l1.example.net", "l2.example.net"]);
    let mallory = operators.caller("mallory.mcollective");
    let mut raw = Raw::connect(&operators, &mallory);
    for (size, times) in [(700_000, 20), (60_000, 200)] {
        let targets: Vec<String> = (0..1000).map(|n| format!("mcollective.node.x{n}.example.net")).collect();
        let text = json!({"protocol": "choria:transport:1", "data": "x".repeat(size), "headers": {
            "mc_sender": "x", "reply-to": "mcollective.reply.0123456789abcdef0123456789abcdef.1.1",
            "federation": {"req": "x", "target": targets}}})
        .to_string();
        for _ in 0..times {
            raw.send(format!("PUB choria.federation.london.federation {}\r\n{text}\r\n", text.len()));
        }
    }
    raw.sync();
    for _ in 0..3 {
        let begun = std::time::Instant::now();
        answered_by(&alice, &["l1.example.net", "l2.example.net"]);
        assert!(begun.elapsed() < Duration::from_secs(15), "it took {:?}", begun.elapsed());
    }
    carrier.says(&["bytes for all its targets together"]);
    let memory = resident(carrier.pid());
    assert!(memory < 150 << 20, "{memory} bytes");
}

#[test]
fn a_network_broker_is_its_own_federation_broker() {
    let operators = federation();
    let mut site = operators.beside(BY_NAME);
    site.configure_broker(&format!(
        "{BY_NAME}plugin.choria.broker_federation = true\nplugin.choria.federation.cluster = london\n\
         plugin.choria.federation_middleware_hosts = {}\nplugin.choria.middleware_hosts = {}\n",
        operators.address(),
        site.address()
    ));
    site.kill_broker();
    site.start_broker();
    // By name: it is broker.example.net in both networks, which the other has to know.
    let mut lines = BY_NAME.replace("/^fed/", "broker.example.net");
    lines.push_str("loglevel = debug\n");
    let mut operators = operators;
    operators.configure_broker(&lines);
    operators.kill_broker();
    operators.start_broker();
    let _node = site.node(node("l1"));
    answered_by(&operator(&operators, "london"), &["l1.example.net"]);
}

#[test]
fn what_a_breaking_link_loses_is_told_and_nothing_comes_twice() {
    let each = parameter("CHORIA_TEST_NODES", 60);
    let operators = federation();
    let sites = ["london", "paris", "berlin"].map(|name| (name, operators.beside(BY_NAME)));
    let mut kept = vec![];
    let mut link = None;
    for (name, site) in &sites {
        // The nodes of all sites are of one CA, and have names of their own.
        let ca = operators.ca.dir().display().to_string();
        let (count, broker) = (each.to_string(), site.address().to_string());
        let pattern = format!("{name}{{}}.example.net");
        let words = ["emulate", "--count", &count, "--broker", &broker, "--ca", &ca, "--name", &pattern];
        kept.push(operators.alice().start(&words));
        let side = match *name {
            "paris" => {
                let to_paris = Link::to(site.address());
                let address = to_paris.address;
                link = Some(to_paris);
                address
            }
            _ => site.address(),
        };
        kept.push(carry_by(operators.address(), side, site, name, ""));
    }
    let link = link.unwrap();
    let alice = operator(&operators, "london,paris,berlin");
    let all = each as usize * 3;
    let count = all.to_string();
    until("all nodes", || {
        let ran = alice.run(&["ping", "--names", "--expect", &count]);
        (ran.sorted().len() == all).then_some(())
    });
    let cutting = Arc::new(AtomicBool::new(true));
    let cutter = {
        let cutting = cutting.clone();
        std::thread::spawn(move || {
            let mut cuts = 0;
            while cutting.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(700));
                cuts += link.cut();
            }
            cuts
        })
    };
    let mut silent = 0;
    for _ in 0..8 {
        let ran = alice.run(&["rpc", "rpcutil", "ping", "--json", "--timeout", "3"]);
        let told = ran.json();
        let stats = &told["request_stats"];
        let number = |key: &str| stats[key].as_u64().unwrap_or_else(|| panic!("{key}: {ran:?}"));
        let missing = stats["no_responses"].as_array().map_or(0, Vec::len) as u64;
        assert_eq!(number("responses") + missing, number("discovered"), "{ran:?}");
        assert_eq!(stats["unexpected_responses"].as_array().map_or(0, Vec::len), 0, "{ran:?}");
        let of_paris = |name: &Value| name.as_str().is_some_and(|name| name.starts_with("paris"));
        assert!(stats["no_responses"].as_array().is_none_or(|names| names.iter().all(of_paris)), "{ran:?}");
        // The others are all there.
        let others = told["replies"].as_array().unwrap().iter().filter(|reply| !of_paris(&reply["sender"]));
        assert_eq!(others.count(), all - each as usize, "{ran:?}");
        silent += missing;
    }
    cutting.store(false, Ordering::Relaxed);
    let cuts = cutter.join().unwrap();
    assert!(cuts > 0, "nothing was cut");
    until(&format!("all of them again ({silent} were silent)"), || {
        let ran = alice.run(&["rpc", "rpcutil", "ping", "--json"]);
        (ran.code == 0 && ran.json()["request_stats"]["responses"] == all).then_some(())
    });
}

/// What comes through goes where requests and answers go, and the process counts it.
#[test]
fn who_may_ask_cannot_have_other_things_published() {
    let operators = federation();
    let site = operators.beside(BY_NAME);
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap().port();
    let carrier =
        carry(operators.address(), &site, "london", &format!("plugin.choria.stats_port = {port}\n"));
    carries(&carrier);
    let metric = |name: &str, labels: &str| {
        let text = get(port, "/choria/prometheus");
        let line = text.lines().find(|line| line.starts_with(name) && line.contains(labels));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(-1.0)
    };
    let mut alice = Raw::connect(&operators, &operators.alice());
    let mut say = |payload: &str| {
        alice.send(format!("PUB choria.federation.london.federation {}\r\n{payload}\r\n", payload.len()));
    };
    let federated = |targets: Value| {
        json!({"protocol": "choria:transport:1", "data": "eA==", "headers": {"reply-to": "mcollective.reply.x.1",
               "mc_sender": "a", "federation": {"req": "1", "target": targets}}})
        .to_string()
    };
    say(&federated(json!(["choria.lifecycle.event.shutdown.server"])));
    say("hello");
    let many: Vec<String> = (0..30_000).map(|i| format!("mcollective.node.n{i}")).collect();
    say(&federated(json!(many)));
    say(&federated(json!(["mcollective.node.n1"])));
    until("all to be counted", || {
        (metric("choria_federation_published_msgs", "connected_to=\"collective\"") == 1.0).then_some(())
    });
    assert_eq!(
        metric("choria_federation_errors", "name=\"nats_ingest\",worker=\"0\",connected_to=\"federation\""),
        2.0
    );
    assert_eq!(
        metric("choria_federation_errors", "name=\"nats_egest\",worker=\"0\",connected_to=\"collective\""),
        1.0
    );
    carrier.says(&["not carried to choria.lifecycle.event.shutdown.server"]);
    carrier.says(&["more than 1,000 targets"]);
    assert!(get(port, "/choria/").contains("fed-london.example.net"));
    assert!(get(port, "/varz").is_empty());
}

fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}
