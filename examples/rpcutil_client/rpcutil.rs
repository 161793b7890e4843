//! A client of the agent rpcutil 1.0.0: What a node knows about itself and about its Choria server
//!
//! Made from its interface by `choria plugin generate client`; make it again when that changes.
#![allow(dead_code)]

use std::time::Duration;

use choria::core::client::{Client, ClientError, RpcCall, RpcOptions};
use serde_json::{Map, Value};

/// Name of the agent.
pub const AGENT: &str = "rpcutil";
/// How long replies are waited for: what the agent may take, and two seconds on the way.
pub const TIMEOUT: Duration = Duration::from_secs(4);

/// What one node answered.
#[derive(Debug, Clone)]
pub struct Reply<T> {
    /// The node.
    pub sender: String,
    /// 0 when it worked.
    pub statuscode: i64,
    /// `OK`, or what went wrong.
    pub statusmsg: String,
    /// Outputs that are known.
    pub outputs: T,
    /// All outputs, as they came.
    pub data: Map<String, Value>,
}

/// An output of its kind; nothing where it is missing or of another.
fn output<T: serde::de::DeserializeOwned>(data: &Map<String, Value>, name: &str) -> Option<T> {
    serde_json::from_value(data.get(name)?.clone()).ok()
}

async fn call(
    client: &Client,
    nodes: Vec<String>,
    action: &str,
    data: Map<String, Value>,
) -> Result<Vec<(String, choria::core::rpc::ReplyBody)>, ClientError> {
    let options = RpcOptions {
        agent: AGENT.to_owned(),
        action: action.to_owned(),
        data,
        collective: client.collective(None)?,
        timeout: TIMEOUT,
        batch: None,
    };
    let mut call = RpcCall::direct(client, options, nodes).await?;
    let mut replies = vec![];
    while let Some(reply) = call.next().await? {
        replies.push((reply.sender, reply.body));
    }
    Ok(replies)
}

/// Inputs of `agent_inventory`.
#[derive(Debug, Clone, Default)]
pub struct AgentInventoryInput {}

/// Outputs of `agent_inventory`.
#[derive(Debug, Clone, Default)]
pub struct AgentInventoryOutput {
    /// One entry an agent, with its metadata
    pub agents: Option<Vec<Value>>,
}

/// Names, versions and descriptions of the agents that run here
///
/// # Errors
/// The request cannot be sent; what nodes answer is no error.
pub async fn agent_inventory(
    client: &Client,
    nodes: Vec<String>,
    _input: AgentInventoryInput,
) -> Result<Vec<Reply<AgentInventoryOutput>>, ClientError> {
    let data = Map::new();
    let replies = call(client, nodes, "agent_inventory", data).await?;
    Ok(replies
        .into_iter()
        .map(|(sender, body)| Reply {
            sender,
            statuscode: body.statuscode.code(),
            statusmsg: body.statusmsg,
            outputs: AgentInventoryOutput { agents: output(&body.data, "agents") },
            data: body.data,
        })
        .collect())
}

/// Inputs of `collective_info`.
#[derive(Debug, Clone, Default)]
pub struct CollectiveInfoInput {}

/// Outputs of `collective_info`.
#[derive(Debug, Clone, Default)]
pub struct CollectiveInfoOutput {
    /// Every collective it listens to
    pub collectives: Option<Vec<Value>>,
    /// The collective it belongs to first
    pub main_collective: Option<String>,
}

/// The collectives this node is in
///
/// # Errors
/// The request cannot be sent; what nodes answer is no error.
pub async fn collective_info(
    client: &Client,
    nodes: Vec<String>,
    _input: CollectiveInfoInput,
) -> Result<Vec<Reply<CollectiveInfoOutput>>, ClientError> {
    let data = Map::new();
    let replies = call(client, nodes, "collective_info", data).await?;
    Ok(replies
        .into_iter()
        .map(|(sender, body)| Reply {
            sender,
            statuscode: body.statuscode.code(),
            statusmsg: body.statusmsg,
            outputs: CollectiveInfoOutput {
                collectives: output(&body.data, "collectives"),
                main_collective: output(&body.data, "main_collective"),
            },
            data: body.data,
        })
        .collect())
}

/// Inputs of `daemon_stats`.
#[derive(Debug, Clone, Default)]
pub struct DaemonStatsInput {}

/// Outputs of `daemon_stats`.
#[derive(Debug, Clone, Default)]
pub struct DaemonStatsOutput {
    /// Names of the running agents
    pub agents: Option<Vec<Value>>,
    /// File the settings were read from
    pub configfile: Option<String>,
    /// Lifecycle events that were published
    pub events: Option<i64>,
    /// Requests that were for other nodes
    pub filtered: Option<i64>,
    /// Requests that were for this node
    pub passed: Option<i64>,
    /// Process id of the server
    pub pid: Option<i64>,
    /// Replies that were sent
    pub replies: Option<i64>,
    /// When the server started, in Unix seconds
    pub starttime: Option<i64>,
    /// What the process runs on
    pub threads: Option<Vec<Value>>,
    /// Processor time that was used
    pub times: Option<Map<String, Value>>,
    /// Messages that arrived
    pub total: Option<i64>,
    /// Requests that came too late
    pub ttlexpired: Option<i64>,
    /// Messages whose sender could not be verified
    pub unvalidated: Option<i64>,
    /// Messages whose sender was verified
    pub validated: Option<i64>,
    /// Version of the server
    pub version: Option<String>,
}

/// How the server process is doing
///
/// # Errors
/// The request cannot be sent; what nodes answer is no error.
pub async fn daemon_stats(
    client: &Client,
    nodes: Vec<String>,
    _input: DaemonStatsInput,
) -> Result<Vec<Reply<DaemonStatsOutput>>, ClientError> {
    let data = Map::new();
    let replies = call(client, nodes, "daemon_stats", data).await?;
    Ok(replies
        .into_iter()
        .map(|(sender, body)| Reply {
            sender,
            statuscode: body.statuscode.code(),
            statusmsg: body.statusmsg,
            outputs: DaemonStatsOutput {
                agents: output(&body.data, "agents"),
                configfile: output(&body.data, "configfile"),
                events: output(&body.data, "events"),
                filtered: output(&body.data, "filtered"),
                passed: output(&body.data, "passed"),
                pid: output(&body.data, "pid"),
                replies: output(&body.data, "replies"),
                starttime: output(&body.data, "starttime"),
                threads: output(&body.data, "threads"),
                times: output(&body.data, "times"),
                total: output(&body.data, "total"),
                ttlexpired: output(&body.data, "ttlexpired"),
                unvalidated: output(&body.data, "unvalidated"),
                validated: output(&body.data, "validated"),
                version: output(&body.data, "version"),
            },
            data: body.data,
        })
        .collect())
}

/// Inputs of `get_config_item`.
#[derive(Debug, Clone, Default)]
pub struct GetConfigItemInput {
    /// Key of the setting, as in the configuration file
    pub item: String,
}

/// Outputs of `get_config_item`.
#[derive(Debug, Clone, Default)]
pub struct GetConfigItemOutput {
    /// The key that was asked for
    pub item: Option<String>,
    /// Its value in use
    pub value: Option<Value>,
}

/// The value of one setting
///
/// # Errors
/// The request cannot be sent; what nodes answer is no error.
pub async fn get_config_item(
    client: &Client,
    nodes: Vec<String>,
    input: GetConfigItemInput,
) -> Result<Vec<Reply<GetConfigItemOutput>>, ClientError> {
    let mut data = Map::new();
    data.insert("item".to_owned(), input.item.into());
    let replies = call(client, nodes, "get_config_item", data).await?;
    Ok(replies
        .into_iter()
        .map(|(sender, body)| Reply {
            sender,
            statuscode: body.statuscode.code(),
            statusmsg: body.statusmsg,
            outputs: GetConfigItemOutput {
                item: output(&body.data, "item"),
                value: output(&body.data, "value"),
            },
            data: body.data,
        })
        .collect())
}

/// Inputs of `get_data`.
#[derive(Debug, Clone, Default)]
pub struct GetDataInput {
    /// Name of the plugin
    pub source: String,
    /// What to ask the plugin, if it takes a question
    pub query: Option<String>,
}

/// Outputs of `get_data`.
#[derive(Debug, Clone, Default)]
pub struct GetDataOutput {}

/// What a data plugin says
///
/// # Errors
/// The request cannot be sent; what nodes answer is no error.
pub async fn get_data(
    client: &Client,
    nodes: Vec<String>,
    input: GetDataInput,
) -> Result<Vec<Reply<GetDataOutput>>, ClientError> {
    let mut data = Map::new();
    data.insert("source".to_owned(), input.source.into());
    if let Some(value) = input.query {
        data.insert("query".to_owned(), value.into());
    }
    let replies = call(client, nodes, "get_data", data).await?;
    Ok(replies
        .into_iter()
        .map(|(sender, body)| Reply {
            sender,
            statuscode: body.statuscode.code(),
            statusmsg: body.statusmsg,
            outputs: GetDataOutput {},
            data: body.data,
        })
        .collect())
}

/// Inputs of `get_fact`.
#[derive(Debug, Clone, Default)]
pub struct GetFactInput {
    /// Path of the fact, such as os.release.major
    pub fact: String,
}

/// Outputs of `get_fact`.
#[derive(Debug, Clone, Default)]
pub struct GetFactOutput {
    /// The path that was asked for
    pub fact: Option<String>,
    /// Its value, or nothing if there is no such fact
    pub value: Option<Value>,
}

/// The value of one fact
///
/// # Errors
/// The request cannot be sent; what nodes answer is no error.
pub async fn get_fact(
    client: &Client,
    nodes: Vec<String>,
    input: GetFactInput,
) -> Result<Vec<Reply<GetFactOutput>>, ClientError> {
    let mut data = Map::new();
    data.insert("fact".to_owned(), input.fact.into());
    let replies = call(client, nodes, "get_fact", data).await?;
    Ok(replies
        .into_iter()
        .map(|(sender, body)| Reply {
            sender,
            statuscode: body.statuscode.code(),
            statusmsg: body.statusmsg,
            outputs: GetFactOutput { fact: output(&body.data, "fact"), value: output(&body.data, "value") },
            data: body.data,
        })
        .collect())
}

/// Inputs of `get_facts`.
#[derive(Debug, Clone, Default)]
pub struct GetFactsInput {
    /// Paths of the facts, with commas between
    pub facts: String,
}

/// Outputs of `get_facts`.
#[derive(Debug, Clone, Default)]
pub struct GetFactsOutput {
    /// Values by path
    pub values: Option<Map<String, Value>>,
}

/// The values of several facts
///
/// # Errors
/// The request cannot be sent; what nodes answer is no error.
pub async fn get_facts(
    client: &Client,
    nodes: Vec<String>,
    input: GetFactsInput,
) -> Result<Vec<Reply<GetFactsOutput>>, ClientError> {
    let mut data = Map::new();
    data.insert("facts".to_owned(), input.facts.into());
    let replies = call(client, nodes, "get_facts", data).await?;
    Ok(replies
        .into_iter()
        .map(|(sender, body)| Reply {
            sender,
            statuscode: body.statuscode.code(),
            statusmsg: body.statusmsg,
            outputs: GetFactsOutput { values: output(&body.data, "values") },
            data: body.data,
        })
        .collect())
}

/// Inputs of `inventory`.
#[derive(Debug, Clone, Default)]
pub struct InventoryInput {}

/// Outputs of `inventory`.
#[derive(Debug, Clone, Default)]
pub struct InventoryOutput {
    /// Names of the running agents
    pub agents: Option<Vec<Value>>,
    /// Configuration management classes applied here
    pub classes: Option<Vec<Value>>,
    /// Every collective it listens to
    pub collectives: Option<Vec<Value>>,
    /// Names of its data plugins
    pub data_plugins: Option<Vec<Value>>,
    /// All of its facts
    pub facts: Option<Map<String, Value>>,
    /// Autonomous agents with their states
    pub machines: Option<Map<String, Value>>,
    /// The collective it belongs to first
    pub main_collective: Option<String>,
    /// Whether the server can replace its own executable
    pub upgradable: Option<bool>,
    /// Version of the server
    pub version: Option<String>,
}

/// Everything a node tells about itself
///
/// # Errors
/// The request cannot be sent; what nodes answer is no error.
pub async fn inventory(
    client: &Client,
    nodes: Vec<String>,
    _input: InventoryInput,
) -> Result<Vec<Reply<InventoryOutput>>, ClientError> {
    let data = Map::new();
    let replies = call(client, nodes, "inventory", data).await?;
    Ok(replies
        .into_iter()
        .map(|(sender, body)| Reply {
            sender,
            statuscode: body.statuscode.code(),
            statusmsg: body.statusmsg,
            outputs: InventoryOutput {
                agents: output(&body.data, "agents"),
                classes: output(&body.data, "classes"),
                collectives: output(&body.data, "collectives"),
                data_plugins: output(&body.data, "data_plugins"),
                facts: output(&body.data, "facts"),
                machines: output(&body.data, "machines"),
                main_collective: output(&body.data, "main_collective"),
                upgradable: output(&body.data, "upgradable"),
                version: output(&body.data, "version"),
            },
            data: body.data,
        })
        .collect())
}

/// Inputs of `ping`.
#[derive(Debug, Clone, Default)]
pub struct PingInput {}

/// Outputs of `ping`.
#[derive(Debug, Clone, Default)]
pub struct PingOutput {
    /// The node's clock, in Unix seconds
    pub pong: Option<f64>,
}

/// Asks for nothing but an answer
///
/// # Errors
/// The request cannot be sent; what nodes answer is no error.
pub async fn ping(
    client: &Client,
    nodes: Vec<String>,
    _input: PingInput,
) -> Result<Vec<Reply<PingOutput>>, ClientError> {
    let data = Map::new();
    let replies = call(client, nodes, "ping", data).await?;
    Ok(replies
        .into_iter()
        .map(|(sender, body)| Reply {
            sender,
            statuscode: body.statuscode.code(),
            statusmsg: body.statusmsg,
            outputs: PingOutput { pong: output(&body.data, "pong") },
            data: body.data,
        })
        .collect())
}
