//! Servers of tasks that lie, break off or send callers elsewhere, and callers that ours does not
//! know; nodes of the original among ours.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use choria::core::agents::Outcome;
use choria::core::config::{Config, Fixed, Role};
use choria::core::security::Provider;
use choria::core::text::hex;
use serde_json::{Value, json};

use crate::network::{Network, node};
use crate::stage::{Stage, failed, interface};
use crate::task_stage::{N1, Tasks, with_tasks};

const CONTENT: &str = "#!/bin/sh\necho served\n";

/// A server with this network's broker's certificate that answers by the last part of a path.
struct Badly {
    port: u16,
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
}

fn badly(network: &Network) -> Badly {
    let config = Config::load(Role::Broker, Some(&network.path("broker.conf")), &Fixed::default())
        .expect("a configuration");
    let tls =
        Provider::new(&config, Role::Broker, &Fixed::default()).expect("keys").server_tls().expect("TLS");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let asked = Arc::new(Mutex::new(BTreeMap::new()));
    let counts = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (tls, counts) = (tls.clone(), counts.clone());
            std::thread::spawn(move || {
                let connection = rustls::ServerConnection::new(tls).expect("a connection");
                let mut stream = BufReader::new(rustls::StreamOwned::new(connection, stream));
                let mut line = String::new();
                while stream.read_line(&mut line).is_ok_and(|read| read > 0) {
                    let path =
                        line.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
                    let kind = path.rsplit('/').next().unwrap_or_default().to_owned();
                    while stream.read_line(&mut line).is_ok_and(|read| read > 2) {}
                    let times = {
                        let mut counts = counts.lock().expect("counts");
                        let times = counts.entry(kind.clone()).or_insert(0);
                        *times += 1;
                        *times
                    };
                    if !answer(stream.get_mut(), &kind, times) {
                        return;
                    }
                    line.clear();
                }
            });
        }
    });
    Badly { port, asked }
}

/// False where the connection ends with it.
fn answer(stream: &mut impl Write, kind: &str, times: usize) -> bool {
    let whole = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let (text, goes_on) = match kind {
        "redirect" => (
            "HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n".to_owned(),
            true,
        ),
        "short" => (format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n#!/bin", CONTENT.len()), false),
        "less" => (whole("200 OK", "#!/bin/sh\n"), true),
        "other" => (whole("200 OK", &CONTENT.replace("served", "hacked")), true),
        "absent" => (whole("404 Not Found", "{\"msg\":\"none\"}"), true),
        "garbage" => ("SSH-2.0-x\r\n".to_owned(), false),
        "flaky" if times <= 3 => (whole("503 Busy", "later"), true),
        "endless" => {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096));
            let _ = stream.write_all(head.as_bytes());
            while stream.write_all(chunk.as_bytes()).is_ok() {}
            return false;
        }
        _ => (whole("200 OK", CONTENT), true),
    };
    stream.write_all(text.as_bytes()).and_then(|()| stream.flush()).is_ok() && goes_on
}

fn record(kind: &str) -> String {
    let sha256 = hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, CONTENT.as_bytes()).as_ref());
    json!([{"filename": format!("{kind}.sh"), "sha256": sha256, "size_bytes": CONTENT.len(),
            "uri": {"path": format!("/puppet/v3/file_content/tasks/bad/{kind}"), "params": {"environment": "production"}}}])
    .to_string()
}

#[test]
fn what_is_not_what_it_should_be_is_not_run() {
    let network = Network::start();
    let server = badly(&network);
    let nodes = network.nodes([with_tasks(&network, node("n1"), "n1", server.port)]);
    let alice = network.alice();
    let cached =
        || std::fs::read_dir(network.path("n1-tasks/cache")).map_or(0, |files| files.flatten().count());
    for (kind, complaint) in [
        (
            "redirect",
            "answers 302 Found for /puppet/v3/file_content/tasks/bad/redirect?environment=production",
        ),
        ("short", "broke off"),
        ("less", "it has 10 bytes and should have 22"),
        ("other", "its content is not what the task asks for, by its hash"),
        ("absent", "answers 404 Not Found"),
        ("garbage", "broke off"),
        ("endless", "it has more than the 22 bytes it should have"),
    ] {
        let files = format!("files={}", record(kind));
        let words = ["bolt_tasks", "download", "task=bad", "environment=production", &files];
        let message = alice.bad(N1, 5, &words);
        assert!(
            message.starts_with("Could not download task file") && message.contains(complaint),
            "{kind}: {message}"
        );
        let ran = alice.bad(N1, 5, &["bolt_tasks", "run_and_wait", "task=bad", &files, "input={}"]);
        assert!(ran.contains("Task bad is not available") && ran.contains(complaint), "{kind}: {ran}");
        assert_eq!(cached(), 0, "{kind}: nothing of it is kept");
        assert!(server.asked.lock().expect("counts")[kind] >= 4, "each is tried twice");
    }
    let spool = network.path("n1-tasks/spool");
    assert!(std::fs::read_dir(spool).map_or(0, |runs| runs.flatten().count()) == 0, "nothing was begun");
    let files = format!("files={}", record("flaky"));
    let said = alice.good(N1, &["bolt_tasks", "run_and_wait", "task=bad", &files, "input={}"]);
    assert_eq!(said["stdout"], r#"{"_output":"served\n"}"#);
    assert!(nodes[0].peak_memory() < 200 << 20);
}

#[test]
fn records_that_lead_elsewhere_are_refused_by_the_node() {
    let network = Network::start();
    let server = badly(&network);
    let _nodes = network.nodes([with_tasks(&network, node("n1"), "n1", server.port)]);
    let alice = network.alice();
    let good: Value = serde_json::from_str(&record("good")).expect("JSON");
    for (member, value, complaint) in [
        ("filename", json!("../../../etc/cron.d/x"), "has a name that leads elsewhere"),
        ("filename", json!("/etc/cron.d/x"), "has a name that leads elsewhere"),
        ("sha256", json!("a".repeat(63)), "has no SHA-256 of 64 hex digits"),
        ("sha256", json!("../".repeat(21) + "x"), "has no SHA-256 of 64 hex digits"),
        ("size_bytes", json!(1u64 << 50), "larger files than a node takes"),
        ("uri", json!({"path": "/etc/passwd", "params": {}}), "has an address outside of /puppet/v3/"),
    ] {
        let mut record = good.clone();
        record[0][member] = value;
        let files = format!("files={record}");
        for words in [
            &["bolt_tasks", "download", "task=bad", "environment=production", &files][..],
            &["bolt_tasks", "run_and_wait", "task=bad", &files, "input={}"],
            &["bolt_tasks", "run_no_wait", "task=bad", &files, "input={}"],
        ] {
            let message = alice.bad(N1, 4, words);
            assert!(message.contains(complaint), "{member}: {message}");
        }
    }
    assert!(server.asked.lock().expect("counts").is_empty(), "nobody was asked for it");
    assert!(!network.path("n1-tasks").exists(), "nothing was written");
}

#[test]
fn many_who_want_a_file_fetch_it_once() {
    let network = Network::start();
    let server = badly(&network);
    let _nodes = network.nodes([with_tasks(&network, node("n1"), "n1", server.port)]);
    let alice = network.alice();
    let files = format!("files={}", record("good"));
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let words = ["bolt_tasks", "run_and_wait", "task=bad", &files, "input={}"];
                assert_eq!(alice.good(N1, &words)["exitcode"], 0);
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    assert_eq!((done.into_inner(), server.asked.lock().expect("counts")["good"]), (6, 1));
}

/// Who has no certificate keeps nobody else waiting, and the log short.
#[test]
fn strangers_are_in_nobodys_way() {
    let tasks = Tasks::start(&[], "", &[("demo/tasks/init.sh", CONTENT)]);
    let (port, server) = (tasks.port, tasks.server.as_ref().expect("a server"));
    let connect = || TcpStream::connect(("127.0.0.1", port)).expect("a server");
    let before = server.mark();
    for _ in 0..2000 {
        let _ = connect().write_all(b"x");
    }
    assert!(tasks.files("demo").contains("init.sh"));
    // more than there are places, and they say nothing, or a word of a handshake
    let silent: Vec<TcpStream> = (0..700)
        .map(|n| {
            let mut stream = connect();
            if n % 2 == 0 {
                let _ = stream.write_all(&[22, 3, 1, 1]);
            }
            stream
        })
        .collect();
    let begun = std::time::Instant::now();
    assert!(tasks.files("demo").contains("init.sh"));
    assert!(begun.elapsed().as_secs() < 8, "it took {:?}", begun.elapsed());
    drop(silent);
    let lines = server.matching(before, &["a connection ended"]).len();
    assert!(lines <= 100, "{lines} lines");
    server.says_after(before, &["more refusals of this kind are not logged"]);
}

#[test]
fn our_server_gives_files_to_who_shows_a_certificate() {
    let tasks = Tasks::start(&[], "", &[("demo/tasks/init.sh", CONTENT), ("secret", "s3cret")]);
    let files: Value = serde_json::from_str(&tasks.files("demo")).expect("JSON");
    assert_eq!(files[0]["uri"]["path"], "/puppet/v3/file_content/tasks/demo/init.sh");
    let port = tasks.port;
    let get = |certified: bool, path: &str| -> String {
        let mut roots = rustls::RootCertStore::empty();
        use rustls_pki_types::pem::PemObject;
        let ca = rustls_pki_types::CertificateDer::from_pem_file(tasks.network.ca_file()).expect("a CA");
        roots.add(ca).expect("a CA");
        let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()
            .expect("TLS");
        let builder = builder.with_root_certificates(roots);
        let config = match certified {
            false => builder.with_no_client_auth(),
            true => {
                let at = |name: &str| tasks.network.path(&format!("ssl/alice.mcollective{name}.pem"));
                let chain =
                    vec![rustls_pki_types::CertificateDer::from_pem_file(at("")).expect("a certificate")];
                let key = rustls_pki_types::PrivateKeyDer::from_pem_file(at("-key")).expect("a key");
                builder.with_client_auth_cert(chain, key).expect("a certificate")
            }
        };
        let name = rustls_pki_types::ServerName::try_from("127.0.0.1").expect("a name");
        let connection = rustls::ClientConnection::new(Arc::new(config), name).expect("a connection");
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("a server");
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let _ = write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    let file = "/puppet/v3/file_content/tasks/demo/init.sh";
    assert!(get(true, file).ends_with(CONTENT));
    assert_eq!(get(false, file), "", "nobody without a certificate");
    for path in [
        "/puppet/v3/file_content/tasks/demo/../../secret",
        "/puppet/v3/file_content/tasks/demo/%2e%2e/%2e%2e/secret",
        "/puppet/v3/file_content/modules/..%2fsecret",
        "/secret",
        "//etc/passwd",
    ] {
        let answer = get(true, path);
        assert!(answer.starts_with("HTTP/1.1 404") && !answer.contains("s3cret"), "{path}: {answer}");
    }
}

/// Nodes of the original lack files until they are told to fetch them.
#[test]
fn nodes_of_the_original_are_asked_to_fetch() {
    let tasks = Tasks::start(&[], "", &[("demo/tasks/init.sh", CONTENT)]);
    let known = std::fs::read_to_string(&tasks.alice.config).expect("a file");
    let lines: String =
        known.lines().filter(|line| line.contains("puppetserver")).map(|line| format!("{line}\n")).collect();
    let outputs =
        ["task_id", "task", "callerid", "exitcode", "stdout", "stderr", "completed", "runtime", "start_time"];
    let ddl = interface(
        "bolt_tasks",
        60,
        &[
            (
                "download",
                &["task: string", "environment: string", "files: string"],
                &["downloads"],
                json!([]),
            ),
            ("run_and_wait", &["task: string", "files: string", "input: string"], &outputs, json!([])),
        ],
    );
    let has = AtomicUsize::new(0);
    let act = move |_: &str, call: &choria::core::agents::Call| match call.action.as_str() {
        "download" => {
            has.fetch_add(1, Ordering::Relaxed);
            Outcome::ok(json!({"downloads": 1}))
        }
        _ if has.load(Ordering::Relaxed) == 0 => failed(
            5,
            "Task demo is not available or does not match the specification",
            json!({"task_id": call.request_id, "stdout": "{\"_error\":{\"msg\":\"x\",\"kind\":\"choria/invalid_cache\",\"details\":{}}}"}),
        ),
        _ => Outcome::ok(
            json!({"task_id": call.request_id, "task": "demo", "callerid": call.caller, "exitcode": 0,
            "stdout": "{\"_output\":\"old\"}", "stderr": "", "completed": true, "runtime": 0.1, "start_time": 1}),
        ),
    };
    let stage = Stage::of(&tasks.network, &["old.example.net"], &[ddl], Arc::new(act));
    let alice = stage.alice(&tasks.network, &lines);
    let ran = alice.run(&["tasks", "run", "demo", "-v", "-I", "old.example.net"]).code(0);
    ran.says(&["old.example.net", "    old", "Successful: 1", " and "])
        .complains(&["fetch the files of the task and are asked again"]);
}
