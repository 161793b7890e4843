//! The request itself, and what is known of each node when it is over.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::question::{Question, Staged};
use super::results::{Before, MOST_OF_ONE};
use crate::core::client::history::veil;
use crate::core::client::stages::{Change, Notice, Plan, Rollout, goes_on, never_begun};
use crate::core::client::{Class, Client, RequestStats, RpcCall, RpcOptions, RpcReply};
use crate::core::playbook::world::World;
use crate::core::puppet::host::{Level, Trouble};
use crate::core::tasks::spool::is_id;
use crate::core::text::shortened;

/// Characters of a reply in a log line.
const SHOWN: usize = 400;

/// What came of asking.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) replies: BTreeMap<String, RpcReply>,
    pub(super) stats: RequestStats,
    /// Tasks whose end is not known, by node: the id of the run.
    pub(super) running: BTreeMap<String, String>,
    /// What the check says of nodes that answered well.
    pub(super) unwell: BTreeMap<String, String>,
    /// In which words it stopped before all were asked, or too many had done badly.
    pub(super) stopped: Option<String>,
    /// What went wrong with the request itself, and whether nodes may have acted on it.
    pub(super) trouble: Option<(String, bool)>,
    pub(super) interrupted: bool,
}

/// Says what nodes answered, when there is time for it: replies do not wait for who reads of them.
struct Lines<'w> {
    world: &'w mut World,
    name: String,
    silent: bool,
    waiting: Vec<(Level, String)>,
}

impl Lines<'_> {
    fn reply(&mut self, reply: &RpcReply) {
        let ok = reply.body.statuscode.is_ok();
        if ok && self.silent {
            return;
        }
        let mut data = reply.body.data.clone();
        veil(reply.agent(), &mut data);
        // before it is cut
        self.world.secrets().mask_members(&mut data);
        let data = Json::Object(data).to_string();
        let what = if ok { "success".to_owned() } else { format!("failure: {}", reply.body.statusmsg) };
        let level = if ok { Level::Info } else { Level::Warning };
        let line = format!("{} {} {what}: {}", reply.sender, self.name, shortened(&data, SHOWN));
        self.waiting.push((level, line));
    }

    fn say(&mut self) {
        for (level, line) in std::mem::take(&mut self.waiting) {
            self.world.say(level, &line);
        }
    }

    fn notice(&mut self, notice: &Notice) {
        self.say();
        let level = match notice {
            Notice::Stage(..) => Level::Notice,
            _ => Level::Warning,
        };
        self.world.say(level, &format!("{}: {notice}", self.name));
    }
}

/// Looks at nodes that were asked to begin a task and did not answer: who never began it is asked again, whoever
/// else is not. Says why they could not be looked at, where that is so: nobody is asked then.
///
/// # Errors
/// The plan was interrupted.
pub(super) fn look_first(
    world: &World,
    client: &Client,
    before: &mut Before,
) -> Result<Option<String>, Trouble> {
    for (id, nodes) in before.unheard() {
        let looked = world.wait(async {
            let collective = client.collective(None).map_err(|e| e.to_string())?;
            never_begun(client, &collective, &id, nodes).await.map_err(|e| e.to_string())
        })?;
        match looked {
            Ok(unknown) => before.never_began(unknown),
            Err(e) => {
                let problem = "cannot be looked at, and nobody is asked again";
                return Ok(Some(format!("what became of the task {id} {problem}: {e}")));
            }
        }
    }
    Ok(None)
}

/// Asks all nodes but those that did well before, until it is over or ended. Whatever goes wrong,
/// what is known of the nodes is not lost.
pub(super) fn ask(
    world: &mut World,
    client: &Client,
    question: &Question,
    timeout: Duration,
    before: &Before,
) -> Asked {
    let (handle, cancel) = (world.handle(), world.cancel());
    let mut asked = Asked { running: before.running.clone(), ..Asked::default() };
    let usual = timeout.saturating_sub(Duration::from_secs(question.timeout));
    let check = match question.stages.as_ref().map(|staged| staged.check(world, usual)) {
        Some(Err(e)) => {
            asked.trouble = Some((e, false));
            return asked;
        }
        Some(Ok(check)) => check,
        None => None,
    };
    let lines = Lines { world, name: question.name(), silent: question.silent, waiting: vec![] };
    let work = async {
        let collective = client.collective(None).map_err(|e| e.to_string())?;
        let options = RpcOptions {
            agent: question.agent.clone(),
            action: question.action.action.clone(),
            data: question.data.clone(),
            collective: collective.clone(),
            timeout,
            batch: question.batch.map(|size| (size, question.pause)),
        };
        let call = match &question.stages {
            None => RpcCall::direct(client, options, question.nodes.clone()).await.map(|call| (call, None)),
            Some(staged) => {
                let (plan, rollout) = staged.plan(question, before, &collective);
                let (rest, groups) = (plan.nodes[rollout.asked()..].to_vec(), rollout.groups());
                let change = Change::new(plan, rollout, check, None);
                RpcCall::held(client, options, rest, groups).await.map(|call| (call, Some(change)))
            }
        };
        call.map_err(|e| e.to_string())
    };
    handle.block_on(async {
        let (mut call, mut change) = tokio::select! {
            biased;
            () = cancel.cancelled() => { asked.interrupted = true; return }
            made = work => match made {
                Ok(made) => made,
                Err(e) => { asked.trouble = Some((e, false)); return }
            },
        };
        let mut lines = lines;
        tokio::select! {
            biased;
            () = cancel.cancelled() => asked.interrupted = true,
            done = follow(client, &mut call, change.as_mut(), question, &mut lines, &mut asked) => {
                asked.trouble = done.err().map(|e| (e, call.sent()));
            }
        }
        asked.stats = call.stats();
        if let Some(change) = change {
            asked.running = change.running().clone();
            asked.unwell = change.unwell().clone();
        }
        lines.say();
    });
    asked
}

async fn follow(
    client: &Client,
    call: &mut RpcCall<'_>,
    mut change: Option<&mut Change>,
    question: &Question,
    lines: &mut Lines<'_>,
    asked: &mut Asked,
) -> Result<(), String> {
    loop {
        if let Some(change) = change.as_mut() {
            lines.say();
            let stopped = &mut asked.stopped;
            let mut say = |notice: Notice| {
                if let Notice::Stopped(..) = &notice {
                    *stopped = Some(notice.to_string());
                }
                lines.notice(&notice);
            };
            let good = |reply: &RpcReply| question.is_well(reply);
            let replies = &mut asked.replies;
            let mut told = |reply: RpcReply| drop(replies.insert(reply.sender.clone(), reply));
            change.ends(client, &good, &mut say, &mut told).await.map_err(|e| e.to_string())?;
            let going_on =
                change.go_on(client, call.upcoming(), &mut say).await.map_err(|e| e.to_string())?;
            match (going_on, call.upcoming().is_some()) {
                (true, true) => call.go_on(),
                (true, false) => return Ok(()),
                (false, _) => {
                    call.conclude().await;
                    return Ok(());
                }
            }
        }
        while let Some(reply) = call.next().await.map_err(|e| e.to_string())? {
            lines.reply(&reply);
            if let Some(change) = change.as_mut() {
                let good = question.is_well(&reply);
                change.answered(&reply, good).map_err(|e| e.to_string())?;
            }
            asked.replies.insert(reply.sender.clone(), reply);
        }
        if change.is_none() {
            return Ok(());
        }
    }
}

impl Question {
    /// Whether a node did what was asked, as far as its answer says so.
    pub(super) fn is_well(&self, reply: &RpcReply) -> bool {
        let fits = reply.message.len() <= MOST_OF_ONE;
        fits && reply.body.statuscode.is_ok() && goes_on(reply).is_none() && self.holds(&reply.body.data)
    }

    /// Whether a node that was asked and did not answer may have begun what can be looked at later.
    pub(super) fn may_have_begun(&self, node: &str, class: Class, stats: &RequestStats) -> bool {
        let runs_tasks = self.agent == "bolt_tasks" && self.action.action.starts_with("run_");
        let has_it = match class {
            Class::NoAnswer => true,
            // one that left when it had been asked
            Class::NotConnected => !stats.nobody_listens.iter().any(|name| name == node),
            _ => false,
        };
        self.stages.is_some() && runs_tasks && has_it && is_id(&stats.requestid)
    }

    /// Whether the assertion holds, if there is one.
    pub(super) fn holds(&self, data: &Map<String, Json>) -> bool {
        let data = || Json::Object(data.clone());
        self.assertion.as_ref().is_none_or(|assertion| assertion.holds(&data()))
    }
}

impl Staged {
    /// The change, where it is: who did well before, or where a task goes on, counts as asked, who did not is the
    /// next.
    fn plan(&self, question: &Question, before: &Before, collective: &str) -> (Plan, Rollout) {
        let (good, rest): (Vec<String>, Vec<String>) =
            question.nodes.iter().cloned().partition(|node| before.is_good(node));
        let (running, rest): (Vec<String>, Vec<String>) =
            rest.into_iter().partition(|node| before.running.contains_key(node));
        let (bad, new): (Vec<String>, Vec<String>) =
            rest.into_iter().partition(|node| before.was_asked(node));
        let bounds = self.stages.bounds(question.nodes.len());
        let mut rollout = Rollout::new(bounds.clone(), question.batch, self.allowed);
        rollout.asking(&good);
        good.iter().for_each(|node| rollout.heard(node, true));
        rollout.asking(&running);
        before.running.iter().for_each(|(node, id)| rollout.runs(node, id));
        let plan = Plan {
            agent: question.agent.clone(),
            action: question.action.action.clone(),
            collective: collective.to_owned(),
            nodes: [good, running, bad, new].concat(),
            bounds,
            pause: question.pause.as_secs_f64(),
            ..Plan::default()
        };
        (plan, rollout)
    }
}
