//! What nodes publish reaches who works on it, whatever ends or is away meanwhile.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use choria::core::pki::Kind;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::adapter_stage::{BY_NAME, TOPIC, adapter, all_in_order, free_port, hears, publish, registration};
use crate::installed::example;
use crate::nats_clients_see_no_difference::{nats_server, python};
use crate::network::{Network, node};
use crate::process::{Daemon, program, read_page, run, until};
use crate::raw::Raw;
use crate::stream_stage::Streams;

#[test]
fn into_a_stream_through_the_end_of_both() {
    let network = Network::start_with(BY_NAME);
    let mut streams = Streams::by(&network, nats_server());
    let (port, spool) = (free_port(), network.path("spool"));
    let lines = format!(
        "plugin.choria.adapter.reg.type = jetstream\nplugin.choria.adapter.reg.stream.servers = {}\n\
         plugin.choria.adapter.reg.spool = {}\nplugin.choria.stats_port = {port}\n",
        streams.address,
        spool.display()
    );
    let mut daemon = adapter(&network, &lines);
    hears(&daemon, 2);
    let mut node = Raw::connect(&network, &network.caller("n0.example.net"));
    let page = || read_page(&format!("127.0.0.1:{port}"), "/choria/prometheus");
    let metric = |name: &str, role: &str| {
        let page = page();
        let line = page.lines().find(|line| line.starts_with(name) && line.contains(role));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(-1.0) as usize
    };
    // Without a stream it says what to do, and keeps what comes.
    publish(&mut node, 0..300);
    daemon.says(&["no stream takes js.in.reg.n", "choria broker streams NAME --add 'js.in.reg.>'"]);
    until("all to be taken in", || (metric("choria_adapter_received_msgs", "input") == 300).then_some(()));
    streams.make_stream("REG", "js.in.reg.>");
    daemon.says(&["documents are taken again"]);
    until("all to be handed on", || (metric("choria_adapter_queue_length", "reg") == 0).then_some(()));

    // The engine goes in the middle, and comes back.
    publish(&mut node, 300..600);
    streams.kill();
    publish(&mut node, 600..1500);
    until("more to be taken in", || (metric("choria_adapter_received_msgs", "input") == 1500).then_some(()));
    // So does the adapter, without a word.
    daemon.signal(Signal::KILL);
    daemon.ended();
    assert!(fs::read_dir(spool.join("reg")).expect("a spool").count() >= 2);
    let daemon = adapter(&network, &lines);
    hears(&daemon, 1);
    streams.again();
    hears(&daemon, 2);
    publish(&mut node, 1500..1800);
    until("the rest to be handed on", || {
        let (all_in, waiting) =
            (metric("choria_adapter_received_msgs", "input"), metric("choria_adapter_queue_length", "reg"));
        ((all_in, waiting) == (300, 0)).then_some(())
    });
    let messages = streams.messages("REG");
    let arrived: Vec<(String, usize)> = messages
        .iter()
        .map(|(subject, headers, document)| {
            let sender = document["sender"].as_str().expect("a sender").to_owned();
            assert_eq!(subject, &format!("js.in.reg.{sender}"));
            assert!(headers.contains("Nats-Msg-Id: "), "{headers}");
            assert_eq!(document["protocol"], "choria:adapters:choria_streams:output:1");
            (sender, document["data"].as_str().and_then(|data| data.parse().ok()).expect("a number"))
        })
        .collect();
    all_in_order(&arrived, 1800);
    // What was told twice the stream has kept once: the message id is the same.
    assert_eq!(arrived.len(), 1800);
    assert_eq!(metric("choria_adapter_lost_msgs", "reg"), 0);
}

/// Lines a web service was posted, by batch.
type Batches = Arc<Mutex<Vec<Vec<String>>>>;

/// A web service that is busy at first, and does not want what is poison.
fn service(batches: Batches) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let mut busy = true;
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
            let (mut text, mut piece) = (Vec::new(), [0; 64 * 1024]);
            loop {
                let head = memchr::memmem::find(&text, b"\r\n\r\n").map(|at| at + 4);
                let whole = head.and_then(|head| {
                    let lower = String::from_utf8_lossy(&text[..head]).to_lowercase();
                    let length = lower
                        .split("content-length: ")
                        .nth(1)?
                        .split("\r\n")
                        .next()?
                        .parse::<usize>()
                        .ok()?;
                    (text.len() >= head + length).then_some((head, head + length))
                });
                if let Some((head, end)) = whole {
                    let body = String::from_utf8(text[head..end].to_vec()).expect("text");
                    text.drain(..end);
                    let answer = match () {
                        () if std::mem::take(&mut busy) => {
                            "HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
                        }
                        () if body.contains("poison") => "HTTP/1.1 400 Bad\r\nContent-Length: 3\r\n\r\nno!",
                        () => {
                            let lines = body.lines().map(str::to_owned).collect();
                            batches.lock().unwrap_or_else(PoisonError::into_inner).push(lines);
                            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
                        }
                    };
                    if stream.write_all(answer.as_bytes()).is_err() {
                        break;
                    }
                    continue;
                }
                match stream.read(&mut piece) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => text.extend_from_slice(&piece[..read]),
                }
            }
            let _ = stream.shutdown(Shutdown::Both);
        }
    });
    port
}

#[test]
fn to_a_web_service_that_is_busy_and_does_not_want_everything() {
    let network = Network::start_with(BY_NAME);
    let batches = Batches::default();
    let port = service(batches.clone());
    let daemon = adapter(
        &network,
        &format!(
            "plugin.choria.adapter.reg.type = http\nplugin.choria.adapter.reg.http.url = http://127.0.0.1:{port}/in\n\
             plugin.choria.adapter.reg.format = cloudevents\n"
        ),
    );
    hears(&daemon, 1);
    let mut node = Raw::connect(&network, &network.caller("n0.example.net"));
    publish(&mut node, 0..30);
    let poison = registration("poison.example.net", 7);
    node.send(format!("PUB {TOPIC} {}\r\n{poison}\r\n", poison.len()));
    publish(&mut node, 30..60);
    let arrived = until("all but the poison", || {
        let batches = batches.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<Value> =
            batches.iter().flatten().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        (lines.len() >= 60).then_some(lines)
    });
    daemon.says(&["documents wait: status 503"]);
    daemon.says(&["a document is given up: status 400 Bad Request: no!"]);
    let arrived: Vec<(String, usize)> = arrived
        .iter()
        .map(|event| {
            assert_eq!((&event["specversion"], &event["data"]["sender"]), (&json!("1.0"), &event["subject"]));
            let number = event["data"]["data"].as_str().and_then(|data| data.parse().ok());
            (event["subject"].as_str().expect("a sender").to_owned(), number.expect("a number"))
        })
        .collect();
    all_in_order(&arrived, 60);
}

#[test]
fn beside_a_broker_to_whoever_listens() {
    let mut network = Network::start();
    let own = format!(
        "plugin.choria.network.x509_permissions = by-name\nplugin.choria.adapters = reg\n\
         plugin.choria.middleware_hosts = {}\nplugin.choria.adapter.reg.type = nats\n\
         plugin.choria.adapter.reg.ingest.topic = {TOPIC}\nplugin.choria.adapter.reg.ingest.protocol = request\n\
         plugin.choria.adapter.reg.ingest.verify = true\nplugin.choria.adapter.reg.stream.topic = choria.lifecycle.event.%s\n",
        network.address()
    );
    network.configure_broker(&own);
    network.kill_broker();
    network.start_broker();
    network.broker().says(&["connected", "choria adapter reg"]);
    // Clients may hear events, so that is where it is heard here.
    let mut alice = Raw::connect(&network, &network.alice());
    alice.send("SUB choria.lifecycle.event.> 1\r\n");
    alice.sync();
    let data = network.file("data.json", "{\"a\":1}");
    let lines = format!(
        "registration = file_content\nregisterinterval = 1\nplugin.choria.registration.file_content.data = {}\n",
        data.display()
    );
    // A real node signs what it registers; who signs for another, or not at all, is not handed on.
    let mut liar = Raw::connect(&network, &network.caller("n9.example.net"));
    let unsigned = registration("n9.example.net", 5);
    // again and again: the adapter may be connected and not hear yet
    let lie = format!("PUB {TOPIC} {}\r\n{unsigned}\r\n", unsigned.len());
    until("the lie to be seen through", || {
        liar.send(&lie);
        liar.sync();
        network.broker().matching(0, &["adapter reg: a message is not handed on"]).pop()
    });
    let _node = network.node(node("n1").lines(&lines));
    let seen = until("a registration", || {
        let mut text = alice.until("choria:adapters:choria_streams:output:1")?;
        text.push_str(&alice.until("\r\n")?);
        Some(text)
    });
    assert!(seen.contains("MSG choria.lifecycle.event.n1.example.net") && !seen.contains("n9"), "{seen}");
    assert!(seen.contains("choria:registration:filecontent:1"), "{seen}");
}

/// `docs/adapters.md`, its last part.
#[test]
fn the_example_keeps_what_nodes_say() {
    let mut command = Command::new(python());
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/node_inventory.py"));
    it_keeps_what_nodes_say(command);
}

#[test]
fn so_does_the_one_in_rust() {
    it_keeps_what_nodes_say(Command::new(example("node_inventory")));
}

fn it_keeps_what_nodes_say(mut command: Command) {
    let network = Network::start_with(BY_NAME);
    let database = network.path("nodes.db");
    command.args(["--port", "0", "--database"]).arg(&database);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let example = Daemon::start("node_inventory", command);
    let line = example.says(&["listening on"]);
    let address = line.rsplit(' ').next().expect("an address");
    let lines = format!(
        "plugin.choria.adapter.reg.type = http\nplugin.choria.adapter.reg.http.url = http://{address}/\n\
         plugin.choria.adapter.reg.ingest.verify = true\n"
    );
    let daemon = adapter(&network, &lines);
    hears(&daemon, 1);
    let lines = "registration = inventory_content\nregisterinterval = 1\n";
    let facts = json!({"os": {"name": "Debian"}});
    let _node = network.node(node("n1").facts(facts).lines(lines));
    let query = "import json, sqlite3, sys\n\
        rows = sqlite3.connect(sys.argv[1]).execute('select name, inventory from nodes').fetchall()\n\
        print(json.dumps([[name, json.loads(text)] for name, text in rows]))";
    let rows = until("a row", || {
        let mut command = Command::new(python());
        command.args(["-c", query]).arg(&database).stdout(Stdio::piped()).stderr(Stdio::piped());
        let ran = run(command, None).code(0).json();
        (ran.as_array().is_some_and(|rows| !rows.is_empty())).then_some(ran)
    });
    assert_eq!(rows[0][0], "n1.example.net", "{rows}");
    assert_eq!(rows[0][1]["facts"]["os"]["name"], "Debian", "{rows}");
}

#[test]
fn mistakes_end_its_start() {
    let network = Network::start();
    let name = "adapter.example.net";
    network.certify(Kind::Node, name);
    let read_only = network.file("file", "");
    let spool = format!("plugin.choria.adapter.reg.spool = {}\n", read_only.join("spool").display());
    for (lines, check, says) in [
        ("plugin.choria.adapter.reg.stream.topc = x\n", true, "did you mean stream.topic?"),
        (
            "plugin.choria.adapter.reg.http.url = http://example.net/\nplugin.choria.adapter.reg.type = http\n",
            false,
            "neither https nor on this machine",
        ),
        ("plugin.choria.adapter.reg.stream.servers = nowhere\n", false, "'nowhere' has no port"),
        (&spool, false, "its spool"),
    ] {
        let kind = if lines.contains("type =") { "" } else { "plugin.choria.adapter.reg.type = jetstream\n" };
        let text = format!(
            "identity = {name}\nplugin.choria.adapters = reg\nplugin.choria.middleware_hosts = {}\n\
             plugin.choria.adapter.reg.ingest.topic = {TOPIC}\n{kind}{}{lines}",
            network.address(),
            network.security(name)
        );
        let config = network.file("adapter.conf", &text);
        let mut command = program(network.directory());
        command.arg("broker").arg("run").arg("--config").arg(&config);
        if check {
            command.arg("--check-config");
        }
        let ran = run(command, None);
        assert!(ran.code == 1 && ran.stderr.contains(says), "{lines}: {ran:?}");
    }
}
