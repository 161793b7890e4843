//! Data plugins in filters that not everybody may ask: whom a program is run for, and how often,
//! and who learns of settings.
//!
//! A filter is evaluated before anybody has looked what its caller may do, and a program is
//! another matter than a lookup. So a plugin that is a program runs in a filter only for a caller
//! whom the policy lets ask the same by `rpcutil#get_data`, and with the same audit record; within
//! the time of the filter, and for few different questions. Settings are told to those whom it
//! lets ask `rpcutil#get_config_item`.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tokio::runtime::Handle;

use super::auditing::Auditing;
use super::judging::judge;
use super::stages::{Authorized, Fresh};
use crate::core::agents::data::{CONFIG_ITEM, DataPlugins};
use crate::core::agents::external::DataSet;
use crate::core::agents::{Call, Node};
use crate::core::authz::Authorizer;
use crate::core::protocol::filter::{DataFunction, DataFunctions};
use crate::core::server::NodeState;

/// Different questions to programs in one filter.
const MOST: usize = 8;
/// Longest question.
const QUESTION: usize = 4096;

/// Who says for whom plugins run.
pub struct DataDoor {
    pub node: Arc<NodeState>,
    pub authorizer: Arc<Authorizer>,
    pub audit: Option<Arc<Auditing>>,
}

impl DataDoor {
    /// Whether the caller of a request may ask a plugin this, by the policy of
    /// `rpcutil#get_data` or of what else tells the same; what is asked is on record then.
    async fn admits(&self, fresh: &Fresh, source: &str, query: Option<&str>) -> Result<(), String> {
        let agent = self.node.hosted().agent("rpcutil").ok_or("this node does not have rpcutil#get_data")?;
        let mut data = Map::new();
        let action = match source {
            CONFIG_ITEM => {
                data.extend(query.map(|query| ("item".to_owned(), Value::from(query))));
                "get_config_item"
            }
            _ => {
                data.insert("source".to_owned(), source.into());
                data.extend(query.map(|query| ("query".to_owned(), Value::from(query))));
                "get_data"
            }
        };
        let call = fresh.call("rpcutil", action, data);
        let decision = judge(&call, &self.node, &self.authorizer).await;
        if !decision.allowed {
            return Err(format!("its caller may not ask it by rpcutil#{action}: {}", decision.reason));
        }
        tracing::info!(
            request = call.request_id,
            caller = call.caller,
            source,
            "a filter asks a data plugin"
        );
        self.is_recorded(Authorized { agent, call, until: None }).await
    }

    async fn is_recorded(&self, authorized: Authorized) -> Result<(), String> {
        let Some(audit) = &self.audit else { return Ok(()) };
        match audit.record(&authorized, None).await {
            Err(e) if audit.is_mandatory() => Err(format!("the audit record was not written: {e}")),
            Err(e) => {
                let Call { request_id, caller, .. } = &authorized.call;
                tracing::error!(request = request_id, caller, "the audit record was not written: {e}");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

/// The data plugins of a node as one filter sees them; for threads that may block.
pub struct FilterData<'a> {
    own: DataPlugins<'a>,
    node: &'a NodeState,
    external: Arc<DataSet>,
    door: &'a DataDoor,
    fresh: &'a Fresh,
    runtime: Handle,
    /// When the filter has had its time.
    until: Instant,
    answers: RefCell<Vec<Asked>>,
}

/// A question, and what came of it.
type Asked = (String, Option<String>, Result<Map<String, Value>, String>);

impl<'a> FilterData<'a> {
    /// For the filter of a request, which is evaluated until then.
    pub fn new(
        node: &'a NodeState,
        door: &'a DataDoor,
        fresh: &'a Fresh,
        runtime: Handle,
        until: Instant,
    ) -> Self {
        let external = node.data_plugins();
        FilterData {
            own: DataPlugins(node),
            node,
            external,
            door,
            fresh,
            runtime,
            until,
            answers: RefCell::default(),
        }
    }

    /// Asks once, if the caller may, for all places of the filter that ask the same.
    fn ask(
        &self,
        name: &str,
        query: Option<&str>,
        answer: impl Future<Output = Result<Map<String, Value>, String>>,
    ) -> Result<Map<String, Value>, String> {
        if query.is_some_and(|query| query.len() > QUESTION) {
            return Err(format!("a question to a data plugin has {QUESTION} bytes at most"));
        }
        let mut answers = self.answers.borrow_mut();
        let known = answers.iter().find(|(asked, with, _)| asked == name && with.as_deref() == query);
        if let Some((_, _, answer)) = known {
            return answer.clone();
        }
        if answers.len() >= MOST {
            return Err(format!("a filter asks such plugins {MOST} different questions at most"));
        }
        let asking = async {
            self.door.admits(self.fresh, name, query).await?;
            answer.await
        };
        // the policy may hang as well as the program
        let limit = self.until.saturating_duration_since(Instant::now()) + Duration::from_millis(50);
        let answer = self.runtime.block_on(async { tokio::time::timeout(limit, asking).await });
        let answer = answer.unwrap_or_else(|_| Err("the time of the filter is over".to_owned()));
        let answer = answer.map_err(|problem| format!("data plugin {name}: {problem}"));
        answers.push((name.to_owned(), query.map(str::to_owned), answer.clone()));
        answer
    }
}

impl DataFunctions for FilterData<'_> {
    fn functions(&self) -> Vec<DataFunction> {
        let mut functions = self.own.functions();
        functions.extend(self.external.iter().map(|(name, plugin)| DataFunction {
            name: name.clone(),
            takes_argument: plugin.ddl().query.is_some(),
        }));
        functions
    }

    fn call(&self, name: &str, argument: Option<&str>) -> Result<Map<String, Value>, String> {
        match self.external.get(name) {
            Some(plugin) => self.ask(name, argument, async {
                let facts = self.node.facts().as_json().to_owned();
                plugin.ask(argument, self.until.saturating_duration_since(Instant::now()), facts).await
            }),
            None if name == CONFIG_ITEM => self.ask(name, argument, async { self.own.call(name, argument) }),
            None => self.own.call(name, argument),
        }
    }
}
