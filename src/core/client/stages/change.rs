//! A change under way: judged when nobody is waited for any more, and told who is asked next.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::ends::{Ends, goes_on};
use super::{Check, Journal, JournalError, Plan, Rollout, TooMany};
use crate::core::client::{Client, ClientError, RpcReply};

/// Nodes of a failed check that are named.
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
    /// A task has not ended on so many nodes.
    GoesOn(usize),
    /// It ended badly on a node.
    EndedBadly(String, String),
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
            Notice::GoesOn(1) => write!(f, "the task goes on on 1 node, its end is waited for"),
            Notice::GoesOn(nodes) => write!(f, "the task goes on on {nodes} nodes, its end is waited for"),
            Notice::EndedBadly(node, words) => write!(f, "the task ended badly on {node}: {words}"),
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
    /// Tasks that go on where they answered.
    ends: Ends,
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
            ends: Ends::default(),
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

    /// A node answered. That a task goes on there is no answer yet.
    ///
    /// # Errors
    /// It could not be written down.
    pub fn answered(&mut self, reply: &RpcReply, good: bool) -> Result<(), ChangeError> {
        match goes_on(reply) {
            Some(id) => {
                self.ends.wait_for(&reply.sender, id);
                Ok(())
            }
            None => self.heard(&reply.sender, good),
        }
    }

    /// Waits until tasks that went on have ended, and tells how: before it [goes on](Change::go_on).
    ///
    /// # Errors
    /// [`ChangeError`]
    pub async fn ends(
        &mut self,
        client: &Client,
        good: &(dyn Fn(&RpcReply) -> bool + Sync),
        say: &mut (dyn FnMut(Notice) + Send),
    ) -> Result<Vec<RpcReply>, ChangeError> {
        let mut replies = vec![];
        if self.ends.len() > 0 {
            say(Notice::GoesOn(self.ends.len()));
        }
        while self.ends.len() > 0 {
            let (ended, lost) = self.ends.look(client, &self.plan.collective).await?;
            for node in lost {
                self.heard(&node, false)?;
                let words = "what became of it is not known, it does not answer".to_owned();
                self.unwell.insert(node.clone(), words.clone());
                say(Notice::EndedBadly(node, words));
            }
            for reply in ended {
                let well = good(&reply);
                self.heard(&reply.sender, well)?;
                if !well {
                    let words = reply.body.statusmsg.clone();
                    self.unwell.insert(reply.sender.clone(), words.clone());
                    say(Notice::EndedBadly(reply.sender.clone(), words));
                }
                replies.push(reply);
            }
        }
        Ok(replies)
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

    /// Whether somebody is still to be asked, or to be looked at by the check, when it has ended. What is kept of it goes
    /// where nobody will go on with it.
    pub fn end(self) -> bool {
        let unseen = self.check.is_some() && self.rollout.checked() < self.rollout.asked();
        let rest = unseen || !self.rollout.groups().is_empty();
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
        let bad: Vec<String> = self.rollout.bad().cloned().collect();
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
