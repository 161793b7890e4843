//! Clients that others wrote, on our broker and on nats-server: what they see
//! is compared, scenario by scenario.
//!
//! [`monitoring`] compares what monitoring tools see. [`servers`] runs the four brokers of each kind, [`tools`] gets the clients
//! (pinned in `tests/conformance/`), [`async_nats`] is the client that comes as
//! a crate. Only loopback is used once the clients are installed.

mod async_nats;
mod monitoring;
mod servers;
pub mod tools;

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::process::{Ran, run};
use servers::{Kind, Servers, Setting};
pub use tools::{nats_server, plain_broker, python};

/// The same scenarios on both, at the same time. `refusals` are results that
/// must not only agree: both could let everybody in, or nobody.
fn compare(client: impl Fn(&Servers) -> Value + Sync, refusals: Value) {
    let setting = Setting::new();
    let (ours, theirs) = std::thread::scope(|scope| {
        let [ours, theirs] = [Kind::Ours, Kind::NatsServer].map(|kind| {
            let (setting, client) = (&setting, &client);
            scope.spawn(move || client(&Servers::start(setting, kind)))
        });
        (ours.join().expect("our results"), theirs.join().expect("nats-server's results"))
    });
    let theirs = theirs.as_object().expect("scenarios");
    let mut differences = vec![];
    for (scenario, expected) in refusals.as_object().expect("scenarios") {
        assert_eq!(&ours[scenario], expected, "{scenario}");
    }
    for (scenario, expected) in theirs {
        assert!(expected.get("failed").is_none(), "{scenario} fails on nats-server: {expected}");
        let got = &ours[scenario];
        if got != expected {
            differences.push(format!("{scenario}\n  nats-server: {expected}\n  ours:        {got}"));
        }
    }
    assert!(theirs.len() > 10, "only {} scenarios ran", theirs.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn script(mut command: Command, servers: &Servers) -> Value {
    command.arg(servers.settings_file()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran: Ran = run(command, None);
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()
}

#[test]
fn by_nats_py() {
    let python = tools::python();
    compare(
        |servers| {
            let mut command = Command::new(&python);
            command.arg(tools::source("nats_py.py"));
            script(command, servers)
        },
        json!({
            "mutual_tls": {"right": 4000, "foreign": "refused", "None": "refused", "clear": "refused"},
        }),
    );
}

#[test]
fn by_nats_js() {
    let scripts = tools::node_scripts();
    compare(
        |servers| {
            let mut command = Command::new("node");
            command.arg(scripts.join("nats_js.cjs"));
            script(command, servers)
        },
        json!({
            "passwords": ["connected", "AUTHORIZATION_VIOLATION", "AUTHORIZATION_VIOLATION"],
            "tokens": ["connected", "AUTHORIZATION_VIOLATION"],
            "nkeys": ["connected", "AUTHORIZATION_VIOLATION"],
            "mutual_tls": {"client": true, "foreign": false, "undefined": false},
        }),
    );
}

#[test]
fn by_async_nats() {
    compare(
        |servers| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async_nats::scenarios(servers))
        },
        json!({
            "mutual_tls": [true, false, false],
        }),
    );
}
