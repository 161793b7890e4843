//! The action that looks at nodes after each stage.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::core::client::{Client, ClientError, RpcCall, RpcOptions};
use crate::core::protocol::filter::ReplyFilter;
use crate::core::rpc::StatusCode;

/// What looks at nodes, as a person writes it: `AGENT.ACTION`, inputs, and `if` with what has to
/// be true of an answer, as one text.
pub struct Look {
    /// Agent.
    pub agent: String,
    /// Action.
    pub action: String,
    /// Inputs as words; their types are those of the interface.
    pub inputs: Vec<(String, String)>,
    /// What has to be true of an answer, and its text.
    wanted: Option<(ReplyFilter, String)>,
}

impl Look {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong, for the end of a sentence that begins with the name of the option.
    pub fn parse(text: &str) -> Result<Look, String> {
        // one within quotes is a part of an input
        const IF: &str = " if ";
        let stands =
            |(at, _): &(usize, &str)| text.get(..*at).is_some_and(|before| shlex::split(before).is_some());
        let (text, wanted) = match text.match_indices(IF).find(stands) {
            Some((at, _)) => (&text[..at], text.get(at + IF.len()..).map(str::trim)),
            None => (text, None),
        };
        let compiled = |text: &str| {
            let filter = ReplyFilter::compile(text).map_err(|e| format!("… if {text}: {e}"))?;
            Ok::<_, String>((filter, text.to_owned()))
        };
        let wanted = wanted.map(compiled).transpose()?;
        let words = shlex::split(text).ok_or_else(|| format!("{text} has a quote that is not closed"))?;
        let (name, inputs) = words.split_first().ok_or("needs AGENT.ACTION, such as rpcutil.ping")?;
        let (agent, action) = name
            .split_once('.')
            .filter(|(agent, action)| !agent.is_empty() && !action.is_empty())
            .ok_or_else(|| format!("{name}: write AGENT.ACTION, such as rpcutil.ping"))?;
        let pair = |input: &String| match input.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(format!("{text}: cannot use '{input}' as an input, write key=value")),
        };
        let inputs = inputs.iter().map(pair).collect::<Result<_, _>>()?;
        Ok(Look { agent: agent.to_owned(), action: action.to_owned(), inputs, wanted })
    }

    /// What has to be true of an answer.
    pub fn wanted(&self) -> Option<&ReplyFilter> {
        self.wanted.as_ref().map(|(filter, _)| filter)
    }

    /// With inputs that its interface takes.
    pub fn with(self, data: Map<String, Value>, timeout: Duration) -> Check {
        Check { agent: self.agent, action: self.action, data, timeout, wanted: self.wanted }
    }
}

/// The same, checked.
pub struct Check {
    agent: String,
    action: String,
    data: Map<String, Value>,
    timeout: Duration,
    wanted: Option<(ReplyFilter, String)>,
}

impl Check {
    /// Calls it on nodes and tells which of them are not well, and in what words.
    ///
    /// # Errors
    /// They could not be asked.
    pub async fn look(
        &self,
        client: &Client,
        collective: &str,
        nodes: Vec<String>,
    ) -> Result<Vec<(String, String)>, ClientError> {
        if nodes.is_empty() {
            return Ok(vec![]);
        }
        let options = RpcOptions {
            agent: self.agent.clone(),
            action: self.action.clone(),
            data: self.data.clone(),
            collective: collective.to_owned(),
            timeout: self.timeout,
            batch: None,
        };
        let mut call = RpcCall::direct(client, options, nodes).await?;
        let mut unwell = vec![];
        while let Some(mut reply) = call.next().await? {
            if reply.body.statuscode != StatusCode::Ok {
                unwell.push((reply.sender, reply.body.statusmsg));
                continue;
            }
            match self.wanted.as_ref().map(|(filter, text)| (reply.kept_by(filter), text)) {
                None | Some((Ok(true), _)) => {}
                Some((Ok(false), text)) => unwell.push((reply.sender, format!("it is not so that {text}"))),
                Some((Err(e), text)) => {
                    unwell.push((reply.sender, format!("whether {text} cannot be told: {e}")))
                }
            }
        }
        let silent = call.stats().no_responses.into_iter();
        unwell.extend(silent.map(|node| (node, "no answer".to_owned())));
        Ok(unwell)
    }
}
