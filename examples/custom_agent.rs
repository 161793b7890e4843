//! A program that is a Choria node: it hosts an agent of its own.
//!
//! ```text
//! make demo KEEP=1                     # leaves a network up in /tmp/choria-demo.XXXX
//! choria tool ca issue --dir NET/ca --node app1.demo.example.net --out NET/app1
//! mkdir NET/app1/policies
//! sed 's#web1#app1#g' NET/web1/server.conf >NET/app1/server.conf
//! # ... and in it plugin.security.file.certificate and .key: those that were issued into NET/app1
//! echo "policy default allow" > NET/app1/policies/counter.policy
//! cargo run --example custom_agent NET/app1/server.conf
//! ```
//!
//! Operators need the DDL below as `counter.json` in a `libdir`, then:
//! `choria rpc counter add by=3 -I app1.demo.example.net`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use choria::core::agents::{Agent, Call, Node, Outcome, Running};
use choria::core::config::{Config, Role, System};
use choria::core::ddl::AgentDdl;
use choria::core::log;
use choria::core::security::Provider;
use choria::core::server::{Server, ServerOptions};
use serde_json::{Value, json};

/// The interface: the node refuses what does not fit it before `run` is called.
const DDL: &str = r#"{
  "$schema": "https://choria.io/schemas/mcorpc/ddl/v1/agent.json",
  "metadata": {
    "name": "counter", "description": "Counts", "author": "You", "license": "Apache-2.0",
    "version": "1.0.0", "url": "https://example.net", "timeout": 2
  },
  "actions": [{
    "action": "add", "description": "Adds to the counter", "display": "always",
    "input": {"by": {"prompt": "By", "description": "How much", "type": "integer", "optional": true, "default": 1}},
    "output": {"count": {"description": "The sum so far", "display_as": "Count", "type": "integer"}},
    "aggregate": [{"function": "summary", "args": ["count"]}]
  }]
}"#;

struct Counter {
    ddl: AgentDdl,
    count: AtomicI64,
}

impl Agent for Counter {
    fn ddl(&self) -> &AgentDdl {
        &self.ddl
    }

    fn run<'a>(&'a self, call: &'a Call, node: &'a dyn Node) -> Running<'a> {
        Box::pin(async move {
            let by = call.data.get("by").and_then(Value::as_i64).unwrap_or(1);
            let count = self.count.fetch_add(by, Ordering::Relaxed) + by;
            println!("{} added {by} on {}", call.caller, node.identity());
            Outcome::ok(json!({ "count": count }))
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("usage: custom_agent server.conf")?;
    let config = Config::load(Role::Server, Some(Path::new(&file)), &System)?;
    log::init(log::Destination::Stderr, "info")?;
    let provider = Arc::new(Provider::new(&config, Role::Server, &System)?);

    let mut options = ServerOptions::new(config, provider)?;
    options.component = "counter".to_owned();
    options
        .agents
        .push(Arc::new(Counter { ddl: AgentDdl::parse(DDL.as_bytes())?, count: AtomicI64::new(0) }));
    let server = Server::new(options)?;

    let (stop, stopping) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        let _ = stop.send(true);
    });
    server.run(stopping).await?;
    Ok(())
}
