//! Prometheus itself reads the metrics, and its own tool finds nothing wrong with them.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::{free_port, get};
use crate::network::Network;
use crate::process::{Daemon, until};

const INSTALL: &str = "install it with: apt-get install -y --no-install-recommends prometheus";

/// `GET` on a server that may not listen yet: the body, where the answer is fine.
fn asked(port: u16, path: &str) -> Option<Value> {
    let text = std::panic::catch_unwind(|| get(port, path)).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    if !head.starts_with("HTTP/1.1 200") {
        return None;
    }
    // an answer in pieces has their lengths between them
    let document = body.get(body.find('{')?..=body.rfind('}')?)?;
    serde_json::from_str(document).ok()
}

/// The value of a query, as Prometheus answers it.
fn value(port: u16, query: &str) -> Option<String> {
    let answer = asked(port, &format!("/api/v1/query?query={query}"))?;
    Some(answer["data"]["result"][0]["value"][1].as_str()?.to_owned())
}

#[test]
fn prometheus_reads_it() {
    let (pages, own) = (free_port(), free_port());
    let token = "a-token-for-prometheus";
    let mut network = Network::without_broker();
    let tokens = network.file("tokens", &format!("{token}\n"));
    chmod(&tokens, 0o640);
    network.configure_broker(&format!(
        "plugin.choria.network.x509_permissions = by-name\nplugin.choria.stats_port = {pages}\n\
         plugin.choria.stats_token_file = {}\n",
        tokens.display()
    ));
    network.start_broker();
    network.alice().run(&["ping"]).code(3);

    let dir = TempDir::new().expect("a directory");
    let configuration = dir.path().join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n  - job_name: choria\n    \
         authorization: {{credentials: {token}}}\n    static_configs: [{{targets: ['127.0.0.1:{pages}']}}]\n  \
         - job_name: wrong\n    authorization: {{credentials: {token}-not}}\n    \
         static_configs: [{{targets: ['127.0.0.1:{pages}']}}]\n"
    );
    std::fs::write(&configuration, text).expect("a file");
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", configuration.display()))
        .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{own}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|error| panic!("prometheus: {error}; {INSTALL}"));
    let daemon = Daemon::adopt("prometheus", child);
    daemon.says(&["Server is ready to receive web requests"]);
    until("the target to be up", || (value(own, "up{job=\"choria\"}")? == "1").then_some(()));
    until("the connection to be seen", || {
        (value(own, "choria_network_total_connections{job=\"choria\"}")? == "1").then_some(())
    });
    for query in [
        "choria_build_info{job=\"choria\"}",
        "choria_broker_pending_bytes_max{job=\"choria\"}",
        "choria_broker_refusals_total{job=\"choria\",reason=\"tls handshake\"}",
        "choria_broker_closed_total{job=\"choria\",reason=\"Slow Consumer (Write Deadline)\"}",
        "choria_broker_fan_out_count{job=\"choria\"}",
        "histogram_quantile(0.5,choria_broker_fan_out_bucket{job=\"choria\"})",
        "process_resident_memory_bytes{job=\"choria\"}",
    ] {
        let query = query.replace(' ', "%20");
        until(&query, || value(own, &query));
    }
    until("the refusal", || (value(own, "up{job=\"wrong\"}")? == "0").then_some(()));
    let denied = "choria_broker_monitoring_denied_total{job=\"choria\"}";
    until("it to be counted", || (value(own, denied)?.parse::<u64>().ok()? > 0).then_some(()));
    network.broker().says(&["monitoring refused: wrong credentials"]);
    complaints_are_the_originals(pages);
}

/// `promtool check metrics`: what it minds are names that the original chose.
fn complaints_are_the_originals(pages: u16) {
    let text = get(pages, "/metrics");
    let (_, metrics) = text.split_once("\r\n\r\n").expect("a body");
    let ours =
        |line: &String| !(line.starts_with("choria_network_") || line.starts_with("choria_build_info"));
    let minded: Vec<String> = minded(metrics).into_iter().filter(ours).collect();
    assert!(minded.is_empty(), "{minded:?}");
}

/// What promtool minds of metrics that it can read.
pub fn minded(metrics: &str) -> Vec<String> {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("promtool: {error}; {INSTALL}"));
    let mut input = promtool.stdin.take().expect("a pipe");
    input.write_all(metrics.as_bytes()).expect("promtool reads");
    drop(input);
    let output = promtool.wait_with_output().expect("an end");
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    // 3 is "read, but minds a name"; 1 is a text that it cannot read
    assert!(matches!(output.status.code(), Some(0 | 3)), "{said}");
    for family in metrics.lines().filter(|line| !line.starts_with('#')) {
        let name = family.split(['{', ' ']).next().unwrap_or_default();
        let stem =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        for head in ["HELP", "TYPE"] {
            assert!(metrics.contains(&format!("# {head} {stem} ")), "no {head} of {name}");
        }
    }
    said.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn chmod(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}
