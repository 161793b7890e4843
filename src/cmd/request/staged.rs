//! A request that goes through the fleet in stages: what is said of each, when it stops,
//! and how it goes on later.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use choria::core::client::history::Record;
use choria::core::client::stages::{Allowance, Change, Check, Journal, Look, Notice, Plan, Rollout, Stages};
use choria::core::client::{Client, RpcCall, RpcOptions, RpcReply};
use choria::core::config::Config;
use choria::core::rpc::StatusCode;

use super::{RequestFlags, action_of, interfaces, invalid, usual_timeout};
use crate::cmd::fleet::Selection;
use crate::cmd::out::errln;
use crate::cmd::render::keep::tell_undeclared;
use crate::cmd::render::text::clean;

/// What the flags say of stages.
#[derive(Debug, Clone)]
pub struct Wanted {
    stages: Stages,
    allowed: Allowance,
    check: Option<String>,
}

/// A change that goes on where it stopped.
pub struct Resumed {
    journal: Journal,
    plan: Plan,
    rollout: Rollout,
}

/// A change under way, and what is said of it.
pub struct Staged(Change);

impl RequestFlags {
    /// What is asked for; nothing without `--stages`.
    pub fn stages(&self) -> anyhow::Result<Option<Wanted>> {
        let allowed = self.abort.as_deref().map(str::parse::<Allowance>).transpose();
        let allowed = allowed.map_err(|e| anyhow!("--abort {e}"))?;
        let Some(text) = &self.stages else {
            for (flag, given) in [("--abort", self.abort.is_some()), ("--check", self.check.is_some())] {
                if given {
                    bail!("{flag} is for requests in stages: give --stages 1,10%,100%, too");
                }
            }
            return Ok(None);
        };
        let stages = text.parse::<Stages>().map_err(|e| anyhow!("--stages {text}: {e}"))?;
        let allowed = allowed.unwrap_or(Allowance::NONE);
        Ok(Some(Wanted { stages, allowed, check: self.check.clone() }))
    }
}

impl Wanted {
    /// Begins a request in stages, for which nobody is asked yet; `asked` is what of it is kept.
    pub async fn begin<'c>(
        self,
        client: &'c Client,
        options: RpcOptions,
        nodes: Vec<String>,
        asked: &Record,
        check: Option<Check>,
        pause: Duration,
    ) -> anyhow::Result<(RpcCall<'c>, Staged)> {
        let batch = options.batch.map(|(size, _)| size);
        let groups = Rollout::new(self.stages.bounds(nodes.len()), batch, self.allowed).groups();
        let collective = options.collective.clone();
        let call = RpcCall::held(client, options, nodes.clone(), groups).await?;
        let plan = Plan {
            id: call.stats().requestid,
            agent: asked.agent.clone(),
            action: asked.action.clone(),
            collective,
            inputs: asked.inputs.clone(),
            withheld: asked.withheld.clone(),
            bounds: self.stages.bounds(nodes.len()),
            nodes,
            batch,
            pause: pause.as_secs_f64(),
            abort: Some(self.allowed),
            check: self.check,
        };
        let rollout = Rollout::new(plan.bounds.clone(), batch, self.allowed);
        let journal = Journal::begin(&place()?, &plan)?;
        Ok((call, Staged(Change::new(plan, rollout, check, Some(journal)))))
    }

    /// The action that looks at nodes after each stage, checked.
    pub fn check(&self, config: &Config, selection: &Selection) -> anyhow::Result<Option<Check>> {
        self.check.as_deref().map(|text| check(config, selection, text)).transpose()
    }
}

/// What `--check` says, checked.
pub fn check(config: &Config, selection: &Selection, text: &str) -> anyhow::Result<Check> {
    let look = Look::parse(text).map_err(|e| anyhow!("--check {e}"))?;
    let ddl = interfaces::of(config, selection, &look.agent).context("--check")?;
    let known = action_of(&ddl, &look.action).context("--check")?;
    let data = known.coerce(&look.inputs).map_err(|e| invalid(known, &e)).context("--check")?;
    look.wanted().into_iter().for_each(|filter| tell_undeclared("--check", filter, &look.agent, known));
    Ok(look.with(data, Duration::from_secs(usual_timeout(config, &ddl))))
}

impl Resumed {
    /// The change of that id, for flags that may say otherwise.
    pub fn open(id: &str, flags: &RequestFlags) -> anyhow::Result<Resumed> {
        for (flag, given) in [
            ("--stages", flags.stages.is_some()),
            ("--limit", flags.limit.is_some()),
            ("--batch", flags.batch.is_some()),
            ("--only", flags.only.is_some()),
        ] {
            if given {
                bail!("{flag} and --resume exclude each other: who is asked when was said when it began");
            }
        }
        let (journal, mut plan, mut rollout) = Journal::resume(&place()?, id)?;
        if let Some(text) = &flags.abort {
            rollout.allow(text.parse().map_err(|e| anyhow!("--abort {e}"))?);
        }
        if flags.batch_sleep.is_some() {
            plan.pause = flags.pause()?.as_secs_f64();
        }
        if flags.check.is_some() {
            plan.check = flags.check.clone();
        }
        Ok(Resumed { journal, plan, rollout })
    }

    /// What is asked.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The groups that are still to be asked.
    pub fn groups(&self) -> Vec<usize> {
        self.rollout.groups()
    }

    /// Who was not asked yet.
    pub fn rest(&self) -> anyhow::Result<Vec<String>> {
        let rest = &self.plan.nodes[self.rollout.asked()..];
        // the check of the last stage may not have come to its end
        let unseen = self.plan.check.is_some() && self.rollout.checked() < self.rollout.asked();
        if rest.is_empty() && !unseen && self.rollout.running().is_empty() {
            let bad: Vec<_> = self.rollout.bad().map(|node| clean(node, false).into_owned()).collect();
            let bad = if bad.is_empty() { "nobody".to_owned() } else { bad.join(", ") };
            bail!("all nodes of that request were asked; did badly, or whose answer is not known: {bad}");
        }
        Ok(rest.to_vec())
    }
}

/// Where changes are kept.
fn place() -> anyhow::Result<PathBuf> {
    let history = crate::cmd::history::place().context(
        "--stages keeps what it does in a file, and neither HOME nor XDG_STATE_HOME is a directory of yours",
    )?;
    Ok(history.parent().unwrap_or(Path::new("/")).join("stages"))
}

fn is_well(reply: &RpcReply) -> bool {
    reply.body.statuscode == StatusCode::Ok
}

fn say(notice: Notice) {
    errln!("choria: {}", clean(&notice.to_string(), false));
}

impl Staged {
    /// One that goes on.
    pub fn resume(resumed: Resumed, check: Option<Check>) -> Staged {
        let Resumed { journal, plan, rollout } = resumed;
        Staged(Change::new(plan, rollout, check, Some(journal)))
    }

    /// A reply came.
    pub fn reply(&mut self, reply: &RpcReply) -> anyhow::Result<()> {
        Ok(self.0.answered(reply, is_well(reply))?)
    }

    /// Waits for the ends of tasks that went on, and tells what the nodes say of them.
    pub async fn ends(&mut self, client: &Client, told: &mut dyn FnMut(RpcReply)) -> anyhow::Result<()> {
        Ok(self.0.ends(client, &is_well, &mut say, told).await?)
    }

    /// Nobody is waited for: judges what was done, and writes down who is asked next.
    /// False where it stops.
    pub async fn go_on(&mut self, client: &Client, upcoming: Option<&[String]>) -> anyhow::Result<bool> {
        Ok(self.0.go_on(client, upcoming, &mut say).await?)
    }

    /// Nodes of which the check says something.
    pub fn unwell(&self) -> Vec<String> {
        self.0.unwell().keys().cloned().collect()
    }

    /// What the check says, by node.
    pub fn said(&self) -> BTreeMap<String, String> {
        self.0.unwell().clone()
    }

    /// What is to be said when it has ended, and nobody else will go on with it. Whether the check found something.
    pub fn end(self) -> bool {
        let unwell = !self.0.unwell().is_empty();
        let id: String = self.0.id().chars().take(8).collect();
        if self.0.end() {
            errln!("choria: choria rpc --resume {id} goes on with it; --abort N there lets more do badly");
        }
        unwell
    }
}
