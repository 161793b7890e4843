//! What a task asks, checked before anything is sent.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::super::assertion::Assertion;
use crate::core::client::stages::{Allowance, Check, Look, Stages};
use crate::core::ddl::Action;
use crate::core::nats::subject::{is_literal, valid_subject};
use crate::core::playbook::options::Options;
use crate::core::playbook::world::World;
use crate::core::puppet::host::Trouble;
use crate::core::text::meant;

/// A request to some nodes.
pub(super) struct Question {
    pub(super) agent: String,
    pub(super) action: Action,
    pub(super) data: Map<String, Json>,
    pub(super) nodes: Vec<String>,
    /// How many at a time.
    pub(super) batch: Option<usize>,
    /// Between batches, and between stages.
    pub(super) pause: Duration,
    pub(super) stages: Option<Staged>,
    pub(super) timeout: u64,
    pub(super) assertion: Option<Assertion>,
    pub(super) silent: bool,
    pub(super) summarize: bool,
    pub(super) description: String,
}

/// A change that goes through the nodes step by step.
pub(super) struct Staged {
    pub(super) stages: Stages,
    pub(super) allowed: Allowance,
    /// What looks at nodes after each stage, as it was written.
    check: Option<String>,
}

impl Question {
    pub(super) fn new(world: &World, options: &Options<'_>) -> Result<Question, Trouble> {
        let name = options.required("action")?;
        let Some((agent, action)) =
            name.split_once('.').filter(|(agent, action)| !agent.is_empty() && !action.is_empty())
        else {
            return Err(options.wrong(format!("the option 'action' is AGENT.ACTION, not '{name}'")));
        };
        let mut nodes = options.texts("nodes")?.unwrap_or_default();
        let mut seen = HashSet::new();
        nodes.retain(|node| seen.insert(node.clone()));
        if nodes.is_empty() {
            return Err(options.wrong(format!("no nodes to run {agent}#{action} on; give them as 'nodes'")));
        }
        if let Some(bad) = nodes.iter().find(|node| !valid_subject(node) || !is_literal(node)) {
            return Err(options.wrong(format!("the option 'nodes': {bad:?} is no name of a node")));
        }
        let ddl = world.resolver.agent(agent).map_err(|e| options.wrong(e))?;
        let known = || ddl.action_names().join(", ");
        let action = ddl
            .action(action)
            .ok_or_else(|| options.wrong(format!("{name} is no action; {agent} has {}", known())))?;
        let mut data = options.map("properties")?;
        action.input_defaults(&mut data);
        action.validate(&data).map_err(|e| options.wrong(format!("{name}: {e}")))?;
        let batch = usize::try_from(options.count("batch_size", 0)?).unwrap_or(usize::MAX);
        let assertion = options.text("assert")?.filter(|text| !text.trim().is_empty()).map(Assertion::parse);
        let post = options.texts("post")?.unwrap_or_default();
        if let Some(other) = post.iter().find(|post| *post != "summarize") {
            return Err(options.wrong(format!("the option 'post' knows 'summarize', not '{other}'")));
        }
        let stages = Staged::new(world, options)?;
        if stages.is_some() && ddl.metadata.service {
            let what = format!("{agent} is a service, one node of which answers: there are no stages");
            return Err(options.wrong(what));
        }
        Ok(Question {
            agent: agent.to_owned(),
            action: action.clone(),
            data,
            nodes,
            batch: (batch > 0).then_some(batch),
            pause: options.seconds("batch_sleep_time", 1)?,
            stages,
            timeout: options.count("timeout", ddl.metadata.client_timeout())?.clamp(1, 86_400),
            assertion: assertion
                .transpose()
                .map_err(|e| options.wrong(format!("the option 'assert': {e}")))?,
            silent: options.flag("silent", false)?,
            summarize: !post.is_empty(),
            description: options.text("description")?.unwrap_or("mcollective task").to_owned(),
        })
    }

    /// As messages name it.
    pub(super) fn name(&self) -> String {
        format!("{}#{}", self.agent, self.action.action)
    }
}

impl Staged {
    fn new(world: &World, options: &Options<'_>) -> Result<Option<Staged>, Trouble> {
        let of = |name: &str, e: &dyn std::fmt::Display| options.wrong(format!("the option '{name}': {e}"));
        let Some(stages) = options.text("stages")? else {
            for name in ["abort", "check"] {
                if options.given(name) {
                    let what = format!(
                        "the option '{name}' is for tasks in stages: give stages => '1,10%,100%', too"
                    );
                    return Err(options.wrong(what));
                }
            }
            return Ok(None);
        };
        let stages = stages.parse().map_err(|e| of("stages", &e))?;
        let allowed = match options.word("abort")? {
            Some(text) => text.parse().map_err(|e| of("abort", &e))?,
            None => Allowance::NONE,
        };
        let check = options.text("check")?;
        let staged = Staged { stages, allowed, check: check.map(str::to_owned) };
        staged.check(world, Duration::ZERO).map_err(|e| of("check", &e))?;
        Ok(Some(staged))
    }

    /// What looks at nodes when a stage is over. Beside what its agent says it waits this long.
    pub(super) fn check(&self, world: &World, usual: Duration) -> Result<Option<Check>, String> {
        let Some(text) = &self.check else { return Ok(None) };
        let look = Look::parse(text)?;
        let ddl = world.resolver.agent(&look.agent).map_err(|e| e.to_string())?;
        let names = ddl.action_names();
        let action = ddl.action(&look.action).ok_or_else(|| {
            let meant = meant(&look.action, names.iter().copied());
            format!("unknown action {}#{}{meant}, it has {}", look.agent, look.action, names.join(", "))
        })?;
        let data = action.coerce(&look.inputs).map_err(|e| format!("{text}: {e}"))?;
        Ok(Some(look.with(data, usual + Duration::from_secs(ddl.metadata.client_timeout()))))
    }
}
