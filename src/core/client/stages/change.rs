//! A change under way: judged when nobody is waited for any more, and told who is asked next.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use super::ends::{MISSES, Misses, SAID, goes_on, has_ended, look, pause};
use super::{Check, Journal, JournalError, Plan, Rollout, TooMany};
use crate::core::client::{Client, ClientError, RpcReply};

/// Nodes of a failed check, or that are waited for, that are named.
const NAMED: usize = 10;

/// What is to be said while a change goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A stage begins, or goes on: which of how many, and for how many nodes.
    Stage(usize, usize, usize),
    /// It stops in this stage of so many; so many were not asked.
    Stopped(usize, usize, TooMany, usize),
    /// The check says something of a node.
    Unwell(String, String),
    /// And of so many more.
    MoreUnwell(usize),
    /// The run of this id has not ended on these nodes.
    GoesOn(String, Vec<String>),
    /// It ended badly on a node.
    EndedBadly(String, String),
    /// What became of it on a node is not known: its id, and why.
    NotKnown(String, String, String),
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Stage(number, of, 1) => write!(f, "stage {number} of {of}: 1 node"),
            Notice::Stage(number, of, nodes) => write!(f, "stage {number} of {of}: {nodes} nodes"),
            Notice::Stopped(number, of, TooMany { bad, asked, allowed }, rest) => write!(
                f,
                "stopped in stage {number} of {of}: {bad} of the {asked} nodes that were asked did badly, and \
                 {allowed} may; {rest} were not asked"
            ),
            Notice::Unwell(node, words) => write!(f, "the check says of {node}: {words}"),
            Notice::GoesOn(id, nodes) => {
                let count =
                    if let [_] = nodes[..] { "1 node".to_owned() } else { format!("{} nodes", nodes.len()) };
                let named = nodes.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
                let more = if nodes.len() > NAMED { ", …" } else { "" };
                write!(
                    f,
                    "the task goes on on {count}, its end is waited for: {named}{more}; choria tasks status {id} \
                     tells more"
                )
            }
            Notice::EndedBadly(node, words) => write!(f, "the task ended badly on {node}: {words}"),
            Notice::NotKnown(node, id, why) => {
                write!(
                    f,
                    "what became of the task on {node} is not known: {why}; choria tasks status {id} looks again"
                )
            }
            Notice::MoreUnwell(more) => write!(f, "and of {more} more"),
        }
    }
}

/// What goes wrong with the change itself.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The check could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It could not be kept: nobody is to be asked.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A change under way. Who asks waits for nobody, lets it [`Change::go_on`], asks the next group
/// if it may, and tells it of every answer.
pub struct Change {
    plan: Plan,
    rollout: Rollout,
    check: Option<Check>,
    journal: Option<Journal>,
    /// Asked since the last stage was over.
    stage: Vec<String>,
    /// Whether anybody was asked in this life of it.
    begun: bool,
    /// What the check found of those that were asked in this life, and tasks that ended badly after their answer.
    unwell: BTreeMap<String, String>,
    /// Looks at tasks that go on.
    misses: Misses,
}

impl Change {
    /// One that begins, or goes on, where `rollout` is. Without a journal it ends with the process.
    pub fn new(plan: Plan, rollout: Rollout, check: Option<Check>, journal: Option<Journal>) -> Change {
        // of a stage that was under way, or whose check did not come to its end
        let asked = rollout.asked().min(plan.nodes.len());
        let stage = plan.nodes[rollout.checked().min(asked)..asked].to_vec();
        Change {
            plan,
            rollout,
            check,
            journal,
            stage,
            begun: false,
            unwell: BTreeMap::new(),
            misses: Misses::default(),
        }
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.plan.id
    }

    /// What the check found of those that were asked in this life, by node.
    pub fn unwell(&self) -> &BTreeMap<String, String> {
        &self.unwell
    }

    /// Tasks whose end is not known, by node: the id of the run.
    pub fn running(&self) -> &BTreeMap<String, String> {
        self.rollout.running()
    }

    /// A node answered. That a task goes on there is no answer yet, and is written down: whoever goes on with the
    /// change looks what became of it.
    ///
    /// # Errors
    /// It could not be written down.
    pub fn answered(&mut self, reply: &RpcReply, good: bool) -> Result<(), ChangeError> {
        match goes_on(reply) {
            Some(id) => {
                self.rollout.runs(&reply.sender, id);
                Ok(self.journal.as_mut().map_or(Ok(()), |journal| journal.runs(&reply.sender, id))?)
            }
            None => self.heard(&reply.sender, good),
        }
    }

    /// Waits until tasks that went on have ended, and tells of each when it has: before it
    /// [goes on](Change::go_on). Of one that is given up it is not known, and whoever goes on later looks again.
    ///
    /// # Errors
    /// [`ChangeError`]
    pub async fn ends(
        &mut self,
        client: &Client,
        good: &(dyn Fn(&RpcReply) -> bool + Sync),
        say: &mut (dyn FnMut(Notice) + Send),
        told: &mut dyn FnMut(RpcReply),
    ) -> Result<(), ChangeError> {
        let (began, mut said, mut failed) = (Instant::now(), None::<Instant>, 0);
        loop {
            let runs = self.misses.waited_for(self.rollout.running());
            if runs.is_empty() {
                return Ok(());
            }
            if said.is_none_or(|said| said.elapsed() > SAID) {
                said = Some(Instant::now());
                runs.iter().for_each(|(id, nodes)| say(Notice::GoesOn(id.clone(), nodes.clone())));
            }
            tokio::time::sleep(pause(began.elapsed())).await;
            for (id, nodes) in runs {
                match self.look_at_run(client, &id, nodes, good, say, told).await {
                    // the broker may come back
                    Err(ChangeError::Client(e)) if failed < MISSES => {
                        failed += 1;
                        tracing::debug!("looking at the run {id}: {e}");
                    }
                    looked => {
                        looked?;
                        failed = 0;
                    }
                }
            }
        }
    }

    /// Looks once at a run on these nodes. What was heard until this is given up is kept.
    async fn look_at_run(
        &mut self,
        client: &Client,
        id: &str,
        nodes: Vec<String>,
        good: &(dyn Fn(&RpcReply) -> bool + Sync),
        say: &mut (dyn FnMut(Notice) + Send),
        told: &mut dyn FnMut(RpcReply),
    ) -> Result<(), ChangeError> {
        let silence = |node: &String| (node.clone(), "it does not answer".to_owned());
        let mut silent: BTreeMap<String, String> = nodes.iter().map(silence).collect();
        let mut call = look(client, &self.plan.collective, id, nodes).await?;
        while let Some(reply) = call.next().await? {
            let node = reply.sender.clone();
            match has_ended(reply.body.statuscode.is_ok(), &reply.body.data) {
                None => {
                    silent.entry(node).and_modify(|words| words.clone_from(&reply.body.statusmsg));
                }
                Some(ended) if silent.remove(&node).is_some() => {
                    self.misses.none(&node);
                    if !ended {
                        continue;
                    }
                    let well = good(&reply);
                    self.heard(&node, well)?;
                    if !well {
                        let words = reply.body.statusmsg.clone();
                        self.unwell.insert(node.clone(), words.clone());
                        say(Notice::EndedBadly(node, words));
                    }
                    told(reply);
                }
                Some(_) => {}
            }
        }
        for (node, words) in silent {
            if self.misses.one_more(&node) {
                self.rollout.lost(&node);
                self.unwell.insert(node.clone(), format!("what became of it is not known: {words}"));
                say(Notice::NotKnown(node, id.to_owned(), words));
            }
        }
        Ok(())
    }

    /// What is known of a node.
    ///
    /// # Errors
    /// It could not be written down.
    pub fn heard(&mut self, node: &str, good: bool) -> Result<(), ChangeError> {
        self.rollout.heard(node, good);
        Ok(self.journal.as_mut().map_or(Ok(()), |journal| journal.heard(node, good))?)
    }

    /// Nobody is waited for: judges what was done, and writes down who is asked next.
    /// False where it stops.
    ///
    /// # Errors
    /// [`ChangeError`]
    pub async fn go_on(
        &mut self,
        client: &Client,
        upcoming: Option<&[String]>,
        say: &mut (dyn FnMut(Notice) + Send),
    ) -> Result<bool, ChangeError> {
        self.rollout.waited();
        let (over, number, of) = self.rollout.stage();
        if !self.begun {
            // Who did badly before, or was not heard of, may have been seen to meanwhile.
            self.look_again(client, say).await?;
        }
        if over {
            self.look(client, say).await?;
        }
        if let Err(too_many) = self.rollout.verdict() {
            let rest = self.plan.nodes.len() - too_many.asked;
            say(Notice::Stopped(number, of, too_many, rest));
            return Ok(false);
        }
        let Some(group) = upcoming else { return Ok(true) };
        if (over || !self.begun) && of > 1 {
            let number = if over { number + 1 } else { number };
            let end = self.plan.bounds.get(number - 1).copied().unwrap_or(self.plan.nodes.len());
            say(Notice::Stage(number, of, end - self.rollout.asked()));
        }
        if self.begun {
            // Whoever is ended meanwhile has not asked the next.
            tokio::time::sleep(Duration::try_from_secs_f64(self.plan.pause).unwrap_or_default()).await;
        }
        if let Some(journal) = &mut self.journal {
            journal.asked(self.rollout.asked() + group.len())?;
        }
        self.rollout.asking(group);
        self.stage.extend_from_slice(group);
        self.begun = true;
        Ok(true)
    }

    /// Whether somebody is still to be asked, to be looked at by the check, or at a task, when it has ended. What is
    /// kept of it goes where nobody will go on with it.
    pub fn end(self) -> bool {
        let unseen = self.check.is_some() && self.rollout.checked() < self.rollout.asked();
        let rest = unseen || !self.rollout.groups().is_empty() || !self.rollout.running().is_empty();
        if !rest && self.rollout.verdict().is_ok() {
            self.journal.into_iter().for_each(Journal::end);
        }
        rest
    }

    /// The check on nodes of a stage that did well.
    async fn look(
        &mut self,
        client: &Client,
        say: &mut (dyn FnMut(Notice) + Send),
    ) -> Result<(), ChangeError> {
        let Some(check) = &self.check else { return Ok(()) };
        let bad: BTreeSet<_> = self.rollout.bad().collect();
        let good = self.stage.iter().filter(|node| !bad.contains(node)).cloned().collect();
        let unwell = check.look(client, &self.plan.collective, good).await?;
        self.stage.clear();
        tell(&unwell, say);
        for (node, words) in unwell {
            self.heard(&node, false)?;
            self.unwell.insert(node, words);
        }
        let asked = self.rollout.asked();
        self.rollout.looked_at(asked);
        Ok(self.journal.as_mut().map_or(Ok(()), |journal| journal.checked(asked))?)
    }

    /// The check on nodes that did badly before.
    async fn look_again(
        &mut self,
        client: &Client,
        say: &mut (dyn FnMut(Notice) + Send),
    ) -> Result<(), ChangeError> {
        // a check does not know whether a task has ended
        let running = self.rollout.running();
        let bad: Vec<String> =
            self.rollout.bad().filter(|node| !running.contains_key(*node)).cloned().collect();
        let Some(check) = &self.check else { return Ok(()) };
        let unwell = check.look(client, &self.plan.collective, bad.clone()).await?;
        tell(&unwell, say);
        for node in bad.iter().filter(|node| !unwell.iter().any(|(name, _)| name == *node)) {
            self.heard(node, true)?;
        }
        Ok(())
    }
}

fn tell(unwell: &[(String, String)], say: &mut (dyn FnMut(Notice) + Send)) {
    for (node, words) in unwell.iter().take(NAMED) {
        say(Notice::Unwell(node.clone(), words.clone()));
    }
    if unwell.len() > NAMED {
        say(Notice::MoreUnwell(unwell.len() - NAMED));
    }
}
