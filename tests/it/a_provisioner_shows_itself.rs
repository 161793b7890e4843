//! The provisioner's pages, and its backplane.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use serde_json::{Value, json};

use crate::a_broker_shows_itself::prometheus::minded;
use crate::a_fleet_is_provisioned::Provisioning;
use crate::process::until;
use crate::waiting_room::{ACCESS, PASSWORD, WaitingRoom};

/// Status code, headers and body of a page.
fn page(port: u16, path: &str) -> (u16, String, String) {
    page_with(port, path, &format!("host: 127.0.0.1:{port}\r\n"))
}

fn page_with(port: u16, path: &str, headers: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\n{headers}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a code");
    (code, head.to_lowercase(), body.to_owned())
}

/// Every metric of the dashboard is on the page, and every expression is PromQL.
fn the_dashboard_asks_for_what_is_there(room: &WaitingRoom, metrics: &str) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/grafana/provisioner.json");
    let dashboard: Value =
        serde_json::from_str(&std::fs::read_to_string(file).expect("a file")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let expressions: Vec<&str> =
        targets.map(|target| target["expr"].as_str().expect("an expression")).collect();
    assert!(expressions.len() > 20, "{expressions:?}");
    let variable = dashboard["templating"]["list"][0]["query"].as_str().expect("a query");
    let names = regex::Regex::new(r"\b(?:choria|process)_[a-z_]+").expect("an expression");
    let there = |name: &str| {
        metrics.lines().any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
    };
    for text in expressions.iter().chain([&variable]) {
        let mut asked = names.find_iter(text).map(|name| name.as_str()).peekable();
        assert!(asked.peek().is_some(), "{text} asks for nothing of ours");
        asked.for_each(|name| assert!(there(name), "{name} of {text} is not shown"));
    }
    let rules: Vec<Value> = expressions
        .iter()
        .enumerate()
        .map(|(place, text)| json!({"record": format!("r{place}"), "expr": text.replace("$instance", "x")}))
        .collect();
    let rules = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    let file = room.network.file("rules.json", &rules.to_string());
    let mut promtool = Command::new("promtool");
    let checked = promtool.args(["check", "rules"]).arg(file).output().expect("promtool");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn to_people_to_prometheus_and_to_the_backplane() {
    let room = WaitingRoom::open();
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    // a node of its own: callers may not answer
    room.network.certify(choria::core::pki::Kind::Node, "backplane.example.net");
    let security = room.network.security("backplane.example.net");
    let file = |key: &str| {
        let line = security.lines().find(|line| line.contains(key)).expect("a line");
        line.split_once('=').expect("a value").1.trim().to_owned()
    };
    let lines = format!(
        "site: testsite\nmonitor_port: {port}\nmanagement:\n  name: prov\n  brokers: ['{}']\n  auth:\n    \
         full: ['^choria=alice\\.']\n  \
         tls: {{identity: backplane.example.net, ca: '{}', cert: '{}', key: '{}'}}\n",
        room.network.address(),
        file("file.ca"),
        file("file.certificate"),
        file("file.key"),
    );
    let mut provisioning = Provisioning::new(&room, "provisioner", "prov1.example.net", &lines);
    provisioning.start();
    provisioning.log().says(&["answering requests"]);
    until("readiness", || (page(port, "/readyz").0 == 200).then_some(()));
    let mut node = room.node("n1.example.net");
    node.start();
    let status = until("a node that is done", || {
        let status: Value = serde_json::from_str(&page(port, "/status.json").2).expect("JSON");
        (status["provisioned"] == 1).then_some(status)
    });
    assert_eq!(status["recent"][0]["node"], "n1.example.net");

    // names are for those on this machine
    for headers in ["host: localhost\r\nx-forwarded-for: 192.0.2.1\r\n", "host: evil.example.net\r\n"] {
        let (_, _, body) = page_with(port, "/status.json", headers);
        assert!(
            !body.contains("n1.example.net") && !body.contains(&room.network.address().to_string()),
            "{body}"
        );
    }
    let (code, head, html) = page(port, "/");
    assert_eq!(code, 200);
    assert!(head.contains("content-security-policy: default-src 'none';"), "{head}");
    assert!(!head.contains("access-control-allow-origin"), "{head}");
    assert!(html.contains("<title>Choria provisioner</title>") && !html.contains("http"), "{html}");
    for path in ["/page.js", "/page.css", "/healthz"] {
        assert_eq!(page(port, path).0, 200, "{path}");
    }
    let (_, _, script) = page(port, "/page.js");
    assert!(!script.contains("innerHTML"), "what nodes say is text");

    let (_, _, metrics) = page(port, "/metrics");
    for line in [
        "choria_provisioner_provisioned{site=\"testsite\"} 1",
        "choria_provisioner_helper_errors{site=\"testsite\"} 0",
        "choria_provisioner_paused{site=\"testsite\"} 0",
        "choria_provisioner_rpc_time_count{rpc=\"choria_provision#configure\",site=\"testsite\"} 1",
        "choria_provisioner_ready{site=\"testsite\"} 1",
        "choria_provisioner_stage_seconds_count{site=\"testsite\",stage=\"configure\"} 1",
        "choria_provisioner_stage_nodes{site=\"testsite\",stage=\"helper\"} 0",
        "choria_election_leader{election=\"provisioner\",identity=\"prov1.example.net\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing: {metrics}");
    }
    for name in ["build_info{", "certificate_expires_seconds{", "ca_expires_seconds{"] {
        assert!(metrics.contains(&format!("choria_provisioner_{name}")), "{name}: {metrics}");
    }
    // the original's names have no unit and no ending
    let minded = minded(&metrics);
    let ours =
        |line: &String| line.starts_with("choria_provisioner_") || line.starts_with("choria_election_");
    assert!(minded.iter().all(ours), "{minded:?}");
    the_dashboard_asks_for_what_is_there(&room, &metrics);
    let stages = status["stages"].as_array().expect("stages");
    let done: Vec<(&str, u64)> = stages
        .iter()
        .filter_map(|stage| {
            Some((stage["stage"].as_str()?, stage["done"].as_u64().filter(|done| *done > 0)?))
        })
        .collect();
    let once = |stage| (stage, 1);
    let mut walk = ["queue", "inventory", "key", "helper", "journal", "configure", "restart"].map(once);
    walk[4].1 = 3;
    assert_eq!(done, walk);
    assert_eq!(status["age_seconds"], json!({"p50": 0, "p90": 0, "p99": 0, "max": 0}), "nobody waits");

    // the circuit breaker
    let alice = room.network.caller_with("alice.mcollective", "collectives = mcollective,prov_backplane\n");
    let call = |action: &str| {
        let words =
            ["rpc", "backplane", action, "-T", "prov_backplane", "-F", "backplane_pausable=true", "-j"];
        alice.run(&words).code(0)
    };
    assert_eq!(call("pause").json()["replies"][0]["data"]["paused"], true);
    let (code, _, why) = page(port, "/readyz");
    assert_eq!((code, why.as_str()), (503, "paused: backplane\n"));
    let info = call("info");
    assert!(info.stdout.contains("testsite"), "{info:?}");
    for secret in [ACCESS, PASSWORD] {
        assert!(!info.stdout.contains(secret), "{info:?}");
    }
    assert_eq!(call("resume").json()["replies"][0]["data"]["paused"], false);
    assert_eq!(page(port, "/readyz").0, 200);
}
