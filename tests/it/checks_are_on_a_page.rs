//! The page of checks: whoever has a token sees them live and keeps them quiet, nobody else does.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::a_node_mends_itself::{machine, state, with_machines};
use crate::network::Network;
use crate::process::until;

/// Status code, head and body of an answer.
fn asked(port: u16, what: &str, token: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    let request = format!(
        "{what} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\nconnection: \
         close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a code");
    (code, head.to_lowercase(), body.to_owned())
}

const CHECK: &str =
    "#!/bin/sh\n[ -e ./broken ] && { echo 'CRITICAL: <b>broken</b>|broken=1'; exit 2; }\necho 'OK: whole'\n";

#[test]
fn whoever_has_a_token_sees_them_live_and_keeps_them_quiet() {
    let mut network = Network::start();
    let alice = network.alice();
    let web = alice.start(&["scout", "web", "--port", "0"]);
    let said = web.says(&["The page of checks is at http://127.0.0.1:"]);
    let (_, rest) = said.rsplit_once("127.0.0.1:").expect("an address");
    let (port, token) = rest.trim().split_once("/#token=").expect("a token");
    let port: u16 = port.parse().expect("a port");
    // its own files are anybody's, what nodes said is not
    for file in ["/", "/page.js", "/page.css"] {
        let (code, head, _) = asked(port, &format!("GET {file}"), "", "");
        assert!(code == 200 && head.contains("content-security-policy: default-src 'none'"), "{head}");
    }
    for what in ["GET /fleet.json", "GET /events?after=0", "GET /check.json?node=n&check=c", "POST /act"] {
        assert_eq!(asked(port, what, "a-token-that-is-not-it", "").0, 401, "{what}");
    }
    let (setup, store) = with_machines(&network, "n1");
    let all = crate::a_node_mends_itself::check("whole", "1s");
    let text = all.split("  - name: remedy").next().expect("a check");
    let path = machine(&store, "whole", text, &[("check", CHECK)]);
    let nodes = network.nodes([setup]);
    let fleet =
        || -> Value { serde_json::from_str(&asked(port, "GET /fleet.json", token, "").2).expect("JSON") };
    let number = until("the check to be on the page", || {
        let all = fleet();
        (all["checks"] == json!(["whole"]) && all["nodes"][0][2][0][1] == 0).then(|| all["number"].as_u64())
    });
    // a stream tells what happens, and where the next begins
    std::fs::write(path.join("broken"), "").expect("a file");
    let mut after = number.expect("a number");
    let told = until("the change to be told", || {
        let (code, head, body) = asked(port, &format!("GET /events?after={after}"), token, "");
        assert!(code == 200 && head.contains("content-type: text/event-stream"), "{head}");
        let id = body.lines().filter_map(|line| line.strip_prefix("id: ")).next_back()?;
        after = id.parse().expect("a number");
        body.contains("CRITICAL: <b>broken</b>").then_some(body)
    });
    assert!(told.contains("\"status\":2"), "{told}");
    let one = |name: &str| {
        let (code, _, body) =
            asked(port, &format!("GET /check.json?node={}&check={name}", nodes[0].name), token, "");
        (code, body)
    };
    let found: Value = serde_json::from_str(&one("whole").1).expect("JSON");
    assert_eq!((&found["output"], &found["acts"]), (&json!("CRITICAL: <b>broken</b>"), &json!(true)));
    assert!(found["history"].as_array().is_some_and(|past| past.len() >= 2), "{found}");
    assert_eq!(one("nosuch").0, 404);
    // somebody keeps it quiet, by the rights of who runs the page
    let act = |action: &str, check: &str| {
        let body = json!({"node": nodes[0].name, "check": check, "action": action}).to_string();
        asked(port, "POST /act", token, &body).0
    };
    assert_eq!(
        (act("maintenance", "whole"), act("shutdown", "whole"), act("resume", "nosuch")),
        (200, 400, 404)
    );
    until("the check to rest", || {
        state(&network, &nodes[0], "whole").filter(|found| found["state"] == "MAINTENANCE")
    });
    until("the page to know", || (fleet()["nodes"][0][2][0][2] == 1).then_some(()));
    // what does not happen is not said to be done
    let body = json!({"node": nodes[0].name, "check": "whole", "action": "trigger"}).to_string();
    let (code, _, told) = asked(port, "POST /act", token, &body);
    assert!(code != 200 && told.contains("nothing is done: the check is in MAINTENANCE"), "{code} {told}");
    assert_eq!(act("resume", "whole"), 200);
    until("the page to know", || (fleet()["nodes"][0][2][0][2] == 0).then_some(()));
    assert_ne!(act("resume", "whole"), 200);
    // numbers that are none of ours begin anew
    let (_, _, anew) = asked(port, "GET /events?after=123456", token, "");
    assert!(anew.contains("event: anew"), "{anew}");
    // with tokens of a file, and only to be looked at
    let tokens = network.file("tokens", "a-token-of-a-file-1234\n");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o640)).expect("a mode");
    let quiet = alice.start(&[
        "scout",
        "web",
        "--port",
        "0",
        "--read-only",
        "--token-file",
        &tokens.to_string_lossy(),
    ]);
    let said = quiet.says(&["The page of checks is at http://127.0.0.1:"]);
    let port: u16 = said
        .rsplit_once("127.0.0.1:")
        .and_then(|(_, rest)| rest.trim().trim_end_matches('/').parse().ok())
        .expect("a port");
    assert_eq!(asked(port, "GET /fleet.json", "a-token-of-a-file-1234", "").0, 200);
    assert_eq!(asked(port, "GET /fleet.json", token, "").0, 401);
    assert_eq!(asked(port, "POST /act", "a-token-of-a-file-1234", "{}").0, 403);
    // what it shows gets old while nothing is heard
    assert_eq!(fleet()["connected"], true);
    network.kill_broker();
    until("the page to say so", || (fleet()["connected"] == false).then_some(()));
}

/// A node that does not answer keeps nobody from acting on others.
#[test]
fn a_node_that_is_stopped_keeps_no_other_from_being_asked() {
    let network = Network::start();
    let alice = network.alice();
    let web = alice.start(&["scout", "web", "--port", "0"]);
    let said = web.says(&["The page of checks is at http://127.0.0.1:"]);
    let (_, rest) = said.rsplit_once("127.0.0.1:").expect("an address");
    let (port, token) = rest.trim().split_once("/#token=").expect("a token");
    let port: u16 = port.parse().expect("a port");
    let all = crate::a_node_mends_itself::check("whole", "1s");
    let text = all.split("  - name: remedy").next().expect("a check");
    let setups = ["n1", "n2"].map(|name| {
        let (setup, store) = with_machines(&network, name);
        machine(&store, "whole", text, &[("check", CHECK)]);
        setup
    });
    let nodes = network.nodes(setups);
    until("both to be on the page", || {
        let fleet: Value = serde_json::from_str(&asked(port, "GET /fleet.json", token, "").2).ok()?;
        (fleet["nodes"].as_array()?.len() == 2).then_some(())
    });
    let act = |node: &str| {
        let body = json!({"node": node, "check": "whole", "action": "maintenance"}).to_string();
        asked(port, "POST /act", token, &body).0
    };
    nodes[0].log().signal(rustix::process::Signal::STOP);
    std::thread::scope(|scope| {
        let stopped: Vec<_> = (0..3).map(|_| scope.spawn(|| act(&nodes[0].name))).collect();
        assert_eq!(act(&nodes[1].name), 200);
        for one in stopped {
            assert_ne!(one.join().expect("an answer"), 200);
        }
    });
    nodes[0].log().signal(rustix::process::Signal::CONT);
}
