//! `choria broker server`: which servers the network has.
//!
//! They are asked in the account of the system, by the user that is configured for it: brokers answer for
//! themselves, and so do the engines behind them, of all machines that are one broker.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use bytes::Bytes;
use choria::core::text::byte_size;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cmd::Globals;
use crate::cmd::context;
use crate::cmd::out::{out, outln};
use crate::cmd::render::table;
use crate::cmd::render::text::clean;
use crate::cmd::streams::{age, show, time};

/// Servers that are listed at most.
const MOST: usize = 10_000;
/// Of those that answer, how long after the last the next is waited for.
const SILENCE: Duration = Duration::from_millis(500);

/// which servers the network has; needs plugin.choria.network.system.user and .password
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "server")]
pub struct Servers {
    #[argh(subcommand)]
    command: ServerCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum ServerCommand {
    Info(Info),
    List(List),
}

/// list brokers, and the engines behind them
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "list")]
struct List {
    /// as JSON
    #[argh(switch, short = 'j')]
    json: bool,
    /// how long the first answer is waited for, default 2s
    #[argh(option, arg_name = "time", default = "String::from(\"2s\")")]
    timeout: String,
}

/// show one of them; without a name the broker one is connected to
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "info")]
struct Info {
    /// as JSON
    #[argh(switch, short = 'j')]
    json: bool,
    /// how long an answer is waited for, default 2s
    #[argh(option, arg_name = "time", default = "String::from(\"2s\")")]
    timeout: String,
    /// name or id of a server
    #[argh(positional)]
    server: Option<String>,
}

impl Servers {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        match self.command {
            ServerCommand::Info(c) => c.run(globals),
            ServerCommand::List(c) => c.run(globals),
        }
    }
}

/// A server's answer, and how long it took.
struct Answer {
    server: Value,
    data: Value,
    took: Duration,
}

impl Answer {
    fn read(payload: &[u8], took: Duration) -> Option<Answer> {
        let mut answer: Value = serde_json::from_slice(payload).ok()?;
        Some(Answer { server: answer.get_mut("server")?.take(), data: answer.get_mut("data")?.take(), took })
    }

    /// A broker of ours, and not the engine behind one.
    fn is_broker(&self) -> bool {
        self.data.get("jetstream").is_none()
    }

    fn kind(&self) -> &'static str {
        if self.is_broker() { "broker" } else { "nats-server" }
    }

    fn text(&self, key: &str) -> String {
        match &self.data[key] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        }
    }

    fn uptime(&self) -> String {
        self.data["start"]
            .as_str()
            .and_then(|text| text.parse::<Timestamp>().ok())
            .map(age)
            .unwrap_or_default()
    }

    fn streams(&self) -> Option<String> {
        let stats = self.data["jetstream"].get("stats")?;
        Some(byte_size(stats["storage"].as_f64().unwrap_or(0.0)))
    }

    fn document(&self) -> Value {
        json!({"server": self.server, "kind": self.kind(), "rtt": self.took.as_secs_f64(), "data": self.data})
    }
}

/// What all servers say that can be reached.
fn all(globals: &Globals, timeout: &str) -> anyhow::Result<Vec<Answer>> {
    let patience = time("--timeout", timeout)?;
    let mut config = context::client_config(globals)?;
    let user = config.choria_network_system_user.clone();
    let password = config.choria_network_system_password.clone();
    if user.is_empty() || password.is_empty() {
        bail!(
            "servers are asked as plugin.choria.network.system.user by plugin.choria.network.system.password: set both, \
             as on the brokers"
        );
    }
    config.set("plugin.nats.user", &user)?;
    config.set("plugin.nats.pass", &password)?;
    context::block_on(async {
        let client = context::connect(config).await?;
        let session = client.session();
        let inbox = format!("_INBOX.{}", uuid::Uuid::new_v4().simple());
        let mut heard = session.subscribe(inbox.clone(), MOST).await;
        let begun = Instant::now();
        let line = session.line().await?;
        line.publish("$SYS.REQ.SERVER.PING.VARZ".to_owned(), Some(inbox), Bytes::new()).await?;
        let mut answers = vec![];
        while answers.len() < MOST {
            let pause = if answers.is_empty() { patience } else { SILENCE.min(patience) };
            let Ok(Some(message)) = tokio::time::timeout(pause, heard.recv()).await else { break };
            answers.extend(Answer::read(&message.payload, begun.elapsed()));
        }
        session.close().await;
        if answers.is_empty() {
            bail!("no server has answered: does the broker know plugin.choria.network.system.user?");
        }
        answers.sort_by_key(|answer| (!answer.is_broker(), answer.text("server_name")));
        Ok(answers)
    })?
}

impl List {
    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let answers = all(globals, &self.timeout)?;
        if self.json {
            show(&answers.iter().map(Answer::document).collect());
            return Ok(ExitCode::SUCCESS);
        }
        let rows: Vec<Vec<String>> = answers
            .iter()
            .map(|answer| {
                vec![
                    answer.text("server_name"),
                    answer.kind().to_owned(),
                    answer.data["cluster"]["name"].as_str().unwrap_or_default().to_owned(),
                    answer.text("version"),
                    answer.text("connections"),
                    answer.text("subscriptions"),
                    answer.streams().unwrap_or_default(),
                    byte_size(answer.data["mem"].as_f64().unwrap_or(0.0)),
                    answer.uptime(),
                    format!("{:.1} ms", answer.took.as_secs_f64() * 1000.0),
                ]
            })
            .collect();
        let header = [
            "Name",
            "Kind",
            "Cluster",
            "Version",
            "Connections",
            "Subscriptions",
            "Streams",
            "Memory",
            "Uptime",
            "RTT",
        ];
        out!("{}", table::render(&header.map(str::to_owned), &rows));
        Ok(ExitCode::SUCCESS)
    }
}

impl Info {
    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let answers = all(globals, &self.timeout)?;
        let is_it = |answer: &&Answer| match &self.server {
            // only the one that one is connected to answers for itself beside engines
            None => answer.is_broker(),
            Some(name) => answer.text("server_name") == *name || answer.text("server_id") == *name,
        };
        let found: Vec<&Answer> = answers.iter().filter(is_it).collect();
        let answer = found.first().with_context(|| match &self.server {
            Some(name) => {
                format!("no server {} has answered; choria broker server list shows them", clean(name, false))
            }
            None => {
                "the broker has not answered for itself; choria broker server list shows who has".to_owned()
            }
        })?;
        if self.json {
            match found.as_slice() {
                [one] => show(&one.document()),
                several => show(&several.iter().map(|answer| answer.document()).collect()),
            }
            return Ok(ExitCode::SUCCESS);
        }
        for answer in if self.server.is_some() { found.as_slice() } else { std::slice::from_ref(answer) } {
            describe(answer);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn describe(answer: &Answer) {
    let traffic = |msgs: &str, bytes: &str| {
        format!("{} messages, {}", answer.text(msgs), byte_size(answer.data[bytes].as_f64().unwrap_or(0.0)))
    };
    let lines = [
        ("Name", answer.text("server_name")),
        ("Id", answer.text("server_id")),
        ("Kind", answer.kind().to_owned()),
        ("Cluster", answer.data["cluster"]["name"].as_str().unwrap_or("(none)").to_owned()),
        ("Version", answer.text("version")),
        ("Address", format!("{}:{}", answer.text("host"), answer.text("port"))),
        ("Uptime", answer.uptime()),
        (
            "Connections",
            format!("{}, {} since the start", answer.text("connections"), answer.text("total_connections")),
        ),
        ("Leafs", answer.text("leafnodes")),
        ("Routes", answer.text("routes")),
        ("Subscriptions", answer.text("subscriptions")),
        ("Heard", traffic("in_msgs", "in_bytes")),
        ("Said", traffic("out_msgs", "out_bytes")),
        ("Slow", answer.text("slow_consumers")),
        ("Streams", answer.streams().unwrap_or_else(|| "(none)".to_owned())),
        ("Memory", byte_size(answer.data["mem"].as_f64().unwrap_or(0.0))),
        ("Processors", format!("{}, {} % used", answer.text("cores"), answer.text("cpu"))),
        ("RTT", format!("{:.1} ms", answer.took.as_secs_f64() * 1000.0)),
    ];
    for (what, is) in lines {
        outln!("{what:>13}: {}", clean(&is, false));
    }
}
