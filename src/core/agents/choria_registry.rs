//! The `choria_registry` agent (spec 02 §3.5): interfaces for clients that lack them, of
//! agents this node need not have. A service: one node of all that offer it answers.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Agent, Call, Node, Outcome, Running};
use crate::core::ddl::{self, AgentDdl, Resolver};
use crate::core::files;
use crate::core::rpc::StatusCode;

/// The agent.
pub struct ChoriaRegistry {
    store: Arc<Resolver>,
}

impl ChoriaRegistry {
    /// Of interfaces below `choria/agent` and `mcollective/agent` of this directory.
    pub fn new(store: impl Into<PathBuf>) -> ChoriaRegistry {
        ChoriaRegistry { store: Arc::new(Resolver::new([store.into()])) }
    }

    async fn names(&self) -> Outcome {
        let store = self.store.clone();
        // The store may be anybody's, and hang.
        let names = files::within_deadline(move || store.files()).await.unwrap_or_default();
        let names = if names.is_empty() { Value::Null } else { json!(names) };
        Outcome::ok(json!({"names": names, "plugin_type": "agent"}))
    }

    async fn ddl(&self, call: &Call, node: &dyn Node) -> Outcome {
        let (store, name) = (self.store.clone(), call.text("name").to_owned());
        let found = files::within_deadline(move || store.agent(&name)).await;
        let ddl = match found {
            Some(Ok(ddl)) => ddl,
            Some(Err(e)) => return missing(&e.to_string()),
            None => return missing("the store does not answer"),
        };
        let json = ddl.to_value().to_string();
        let signed = node.signed(&json, &call.request_id).unwrap_or_default();
        let text = if call.text("format") == "ddl" { ddl.to_ruby() } else { json };
        Outcome::ok(json!({
            "name": ddl.metadata.name,
            "version": ddl.metadata.version,
            "plugin_type": "agent",
            "ddl": text,
            "signed": signed,
        }))
    }
}

/// As the original: all its outputs are there, and empty.
fn missing(problem: &str) -> Outcome {
    tracing::info!("no interface for a client: {problem}");
    let mut outcome = Outcome::failed(StatusCode::Aborted, "Could not load DDL");
    for output in ["name", "plugin_type", "version", "ddl"] {
        outcome.data.insert(output.to_owned(), json!(""));
    }
    outcome
}

impl Agent for ChoriaRegistry {
    fn ddl(&self) -> &AgentDdl {
        // Compiled in; a test loads every built-in DDL.
        ddl::builtin("choria_registry").expect("compiled in")
    }

    fn run<'a>(&'a self, call: &'a Call, node: &'a dyn Node) -> Running<'a> {
        Box::pin(async move {
            match call.action.as_str() {
                "names" => self.names().await,
                "ddl" => self.ddl(call, node).await,
                other => Outcome::failed(
                    StatusCode::UnknownAction,
                    format!("Unknown action {other} for agent choria_registry"),
                ),
            }
        })
    }
}
