//! What nodes publish reaches a stream of Kinesis, each node's in order, however much of it
//! is refused at first.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::adapter_stage::{BY_NAME, adapter, all_in_order, hears, publish};
use crate::installed::python_with;
use crate::network::Network;
use crate::process::{Daemon, run, until};
use crate::raw::Raw;

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/kinesis").join(name)
}

fn python() -> Command {
    let mut command = Command::new(python_with("kinesis", &source("requirements.txt")));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn peer(endpoint: &str, words: &[&str]) -> Command {
    let mut command = python();
    command.arg(source("peer.py")).arg(endpoint).args(words);
    command
}

/// What stands in for the service, and where it is.
fn server() -> (Daemon, String) {
    let mut command = python();
    command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]);
    let server = Daemon::start("moto", command);
    let line = server.says(&["Running on http://"]);
    let endpoint = line.split_whitespace().find(|word| word.starts_with("http://")).expect("an address");
    (server, endpoint.to_owned())
}

/// Shard, partition key and data of all records.
fn records(endpoint: &str, stream: &str) -> Vec<[String; 3]> {
    let read = run(peer(endpoint, &["read", stream]), None).code(0);
    let of = |line: &str| serde_json::from_str(line).expect("JSON");
    read.stdout.lines().map(of).collect()
}

#[test]
fn through_a_service_that_refuses_some() {
    let network = Network::start_with(BY_NAME);
    let (_server, endpoint) = server();
    let endpoint = endpoint.as_str();
    let between = Daemon::start("proxy", peer(endpoint, &["between"]));
    let line = between.says(&["listening on"]);
    let address = line.rsplit(' ').next().expect("an address");
    let keys = network.file("credentials", "[default]\naws_access_key_id = AKIDEXAMPLE\n");
    let key = "plugin.choria.adapter.reg";
    let lines = format!(
        "{key}.type = kinesis\n{key}.kinesis.region = eu-west-1\n{key}.kinesis.stream = nodes\n\
         {key}.kinesis.endpoint = http://{address}\n{key}.kinesis.credentials_file = {}\n{key}.queue_len = 10000\n",
        keys.display()
    );
    adapter(&network, &lines).says(&["there is no aws_secret_access_key in [default]"]);
    let whole = "[default]\naws_access_key_id = AKIDEXAMPLE\naws_session_token = token/EXAMPLE\n\
                 aws_secret_access_key = ";
    network.file("credentials", &format!("{whole}wrong\n"));
    let daemon = adapter(&network, &lines);
    hears(&daemon, 1);
    let mut node = Raw::connect(&network, &network.caller("n0.example.net"));
    publish(&mut node, 0..30);
    daemon.says(&["documents wait: Kinesis answers with status 403", "InvalidSignatureException"]);
    run(peer(endpoint, &["make", "nodes", "3"]), None).code(0);
    // Keys are read anew each time.
    network.file("credentials", &format!("{whole}secret/EXAMPLE+KEY\n"));
    publish(&mut node, 30..150);
    let got = until("all of them", || {
        let records = records(endpoint, "nodes");
        (records.len() >= 150).then_some(records)
    });
    let arrived = got.iter().map(|[_, key, data]| {
        let document: Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(document["sender"], key.as_str());
        let number = document["data"].as_str().and_then(|data| data.parse().ok());
        (key.clone(), number.expect("a number"))
    });
    let arrived: Vec<(String, usize)> = arrived.collect();
    daemon.says(&["documents are taken again"]);
    all_in_order(&arrived, 150);
    assert_eq!(arrived.len(), 150);
}

#[test]
fn a_stream_that_is_missing_is_told_of() {
    let network = Network::start_with(BY_NAME);
    let (_server, endpoint) = server();
    let endpoint = endpoint.as_str();
    let keys = network.file("credentials", "[default]\naws_access_key_id = A\naws_secret_access_key = b\n");
    let key = "plugin.choria.adapter.reg";
    let daemon = adapter(
        &network,
        &format!(
            "{key}.type = kinesis\n{key}.kinesis.region = eu-west-1\n{key}.kinesis.stream = nodes\n\
             {key}.kinesis.endpoint = {endpoint}\n{key}.kinesis.credentials_file = {}\n",
            keys.display()
        ),
    );
    hears(&daemon, 1);
    let mut node = Raw::connect(&network, &network.caller("n0.example.net"));
    publish(&mut node, 0..3);
    let command = "aws kinesis create-stream --stream-name nodes --shard-count 1 --region eu-west-1";
    daemon.says(&["documents wait: Kinesis has no stream nodes in eu-west-1", command]);
    run(peer(endpoint, &["make", "nodes", "1"]), None).code(0);
    daemon.says(&["documents are taken again"]);
    assert_eq!(records(endpoint, "nodes").len(), 3);
}
