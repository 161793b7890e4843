//! A request that goes through the fleet in stages: what is said of each, when it stops,
//! and how it goes on later.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use choria::core::client::history::Record;
use choria::core::client::stages::{Allowance, Journal, Plan, Rollout, Stages};
use choria::core::client::{Client, RpcCall, RpcOptions, RpcReply};
use choria::core::config::Config;
use choria::core::protocol::filter::ReplyFilter;
use choria::core::rpc::StatusCode;
use serde_json::{Map, Value};

use super::{RequestFlags, action_of, interfaces, invalid, usual_timeout};
use crate::cmd::fleet::Selection;
use crate::cmd::out::errln;
use crate::cmd::render::text::{clean, counted};

/// Nodes of a failed check that are named.
const NAMED: usize = 10;

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

/// The action that looks at nodes after each stage.
pub struct Check {
    agent: String,
    action: String,
    data: Map<String, Value>,
    timeout: Duration,
    /// What has to be true of an answer, and its text.
    wanted: Option<(ReplyFilter, String)>,
}

/// A change under way.
pub struct Staged {
    journal: Journal,
    plan: Plan,
    rollout: Rollout,
    check: Option<Check>,
    collective: String,
    /// Asked since the last stage was over.
    stage: Vec<String>,
    /// Whether anybody was asked in this life of it.
    begun: bool,
    /// Whether the check found something of those that were asked in this life.
    unwell: bool,
}

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
            collective: collective.clone(),
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
        let staged =
            Staged { journal, plan, rollout, check, collective, stage: vec![], begun: false, unwell: false };
        Ok((call, staged))
    }

    /// The action that looks at nodes after each stage, checked.
    pub fn check(&self, config: &Config, selection: &Selection) -> anyhow::Result<Option<Check>> {
        self.check.as_deref().map(|text| Check::new(config, selection, text)).transpose()
    }
}

impl Check {
    /// `AGENT.ACTION`, inputs, and `if` with what has to be true of an answer, as one text.
    pub fn new(config: &Config, selection: &Selection, text: &str) -> anyhow::Result<Check> {
        let (text, wanted) = match text.split_once(" if ") {
            Some((text, wanted)) => (text, Some(wanted.trim().to_owned())),
            None => (text, None),
        };
        let compiled = |text: String| {
            let filter = ReplyFilter::compile(&text).with_context(|| format!("--check … if {text}"))?;
            anyhow::Ok((filter, text))
        };
        let wanted = wanted.map(compiled).transpose()?;
        let words =
            shlex::split(text).with_context(|| format!("--check {text} has a quote that is not closed"))?;
        let (name, inputs) =
            words.split_first().context("--check needs AGENT.ACTION, such as rpcutil.ping")?;
        let (agent, action) = name
            .split_once('.')
            .with_context(|| format!("--check {name}: write AGENT.ACTION, such as rpcutil.ping"))?;
        let ddl = interfaces::of(config, selection, agent).context("--check")?;
        let known = action_of(&ddl, action).context("--check")?;
        let pairs = crate::cmd::rpc::pairs(inputs).context("--check")?;
        let data = known.coerce(&pairs).map_err(|e| invalid(known, &e)).context("--check")?;
        let timeout = Duration::from_secs(usual_timeout(config, &ddl));
        Ok(Check { agent: agent.to_owned(), action: action.to_owned(), data, timeout, wanted })
    }

    /// Calls it on nodes and tells which of them are not well, and in what words.
    async fn look(
        &self,
        client: &Client,
        collective: &str,
        nodes: Vec<String>,
    ) -> anyhow::Result<Vec<(String, String)>> {
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
        if rest.is_empty() {
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

impl Staged {
    /// One that goes on.
    pub fn resume(resumed: Resumed, check: Option<Check>) -> Staged {
        let Resumed { journal, plan, rollout } = resumed;
        let collective = plan.collective.clone();
        // of a stage that was under way, or whose check did not come to its end
        let stage = plan.nodes[rollout.checked().min(rollout.asked())..rollout.asked()].to_vec();
        Staged { journal, plan, rollout, check, collective, stage, begun: false, unwell: false }
    }

    /// A reply came.
    pub fn reply(&mut self, reply: &RpcReply) -> anyhow::Result<()> {
        let good = reply.body.statuscode == StatusCode::Ok;
        self.rollout.heard(&reply.sender, good);
        Ok(self.journal.heard(&reply.sender, good)?)
    }

    /// Nobody is waited for: judges what was done, and writes down who is asked next.
    /// False where it stops.
    pub async fn go_on(&mut self, client: &Client, upcoming: Option<&[String]>) -> anyhow::Result<bool> {
        self.rollout.waited();
        let (over, number, of) = self.rollout.stage();
        if !self.begun {
            // Who did badly before, or was not heard of, may have been seen to meanwhile.
            self.look_again(client).await?;
        }
        if over {
            self.look(client).await?;
        }
        if let Err(too_many) = self.rollout.verdict() {
            let rest = self.plan.nodes.len() - too_many.asked;
            errln!(
                "choria: stopped in stage {number} of {of}: {} of the {} nodes that were asked did badly, and {} may; \
                 {rest} were not asked",
                too_many.bad,
                too_many.asked,
                too_many.allowed
            );
            return Ok(false);
        }
        let Some(group) = upcoming else { return Ok(true) };
        if (over || !self.begun) && of > 1 {
            let number = if over { number + 1 } else { number };
            let end = self.plan.bounds.get(number - 1).copied().unwrap_or(self.plan.nodes.len());
            let nodes = counted((end - self.rollout.asked()) as u64, "node");
            errln!("choria: stage {number} of {of}: {nodes}");
        }
        if self.begun {
            // Whoever is ended meanwhile has not asked the next.
            tokio::time::sleep(Duration::try_from_secs_f64(self.plan.pause).unwrap_or_default()).await;
        }
        self.journal.asked(self.rollout.asked() + group.len())?;
        self.rollout.asking(group);
        self.stage.extend_from_slice(group);
        self.begun = true;
        Ok(true)
    }

    /// What is to be said when it has ended, and nobody else will go on with it. Whether the check found something.
    pub fn end(self) -> bool {
        if self.rollout.groups().is_empty() && self.rollout.verdict().is_ok() {
            self.journal.end();
            return self.unwell;
        }
        if !self.rollout.groups().is_empty() {
            let id: String = self.plan.id.chars().take(8).collect();
            errln!("choria: choria rpc --resume {id} goes on with it; --abort N there lets more do badly");
        }
        self.unwell
    }

    /// The check on nodes of a stage that did well.
    async fn look(&mut self, client: &Client) -> anyhow::Result<()> {
        let Some(check) = &self.check else { return Ok(()) };
        let bad: std::collections::BTreeSet<_> = self.rollout.bad().collect();
        let good = self.stage.iter().filter(|node| !bad.contains(node)).cloned().collect();
        let unwell = check.look(client, &self.collective, good).await?;
        self.stage.clear();
        self.unwell |= !unwell.is_empty();
        self.tell(&unwell);
        for (node, _) in &unwell {
            self.rollout.heard(node, false);
            self.journal.heard(node, false)?;
        }
        Ok(self.journal.checked(self.rollout.asked())?)
    }

    /// The check on nodes that did badly before.
    async fn look_again(&mut self, client: &Client) -> anyhow::Result<()> {
        let bad: Vec<String> = self.rollout.bad().cloned().collect();
        let Some(check) = &self.check else { return Ok(()) };
        let unwell = check.look(client, &self.collective, bad.clone()).await?;
        self.tell(&unwell);
        for node in bad.iter().filter(|node| !unwell.iter().any(|(name, _)| name == *node)) {
            self.rollout.heard(node, true);
            self.journal.heard(node, true)?;
        }
        Ok(())
    }

    fn tell(&self, unwell: &[(String, String)]) {
        for (node, words) in unwell.iter().take(NAMED) {
            errln!("choria: the check says of {}: {}", clean(node, false), clean(words, false));
        }
        if unwell.len() > NAMED {
            errln!("choria: and of {} more", unwell.len() - NAMED);
        }
    }
}
