//! An action of an agent on given nodes, accounted for to the last node.
//!
//! [`question`] is what the options ask for, checked before anything is sent; [`asking`] sends it,
//! at once, in batches or in stages, and ends with what is known of each node; [`results`] says
//! that in the words of plans.

mod asking;
mod question;
mod results;

use std::time::Duration;

use super::TaskType;
use crate::core::playbook::options::Options;
use crate::core::playbook::world::World;
use crate::core::puppet::host::{Outcome, Trouble};

use asking::Asked;
use question::Question;
use results::Before;

pub(super) const TYPE: TaskType = TaskType {
    name: "mcollective",
    options: &[
        "nodes",
        "action",
        "properties",
        "batch_size",
        "batch_sleep_time",
        "stages",
        "abort",
        "check",
        "silent",
        "post",
        "assert",
        "timeout",
    ],
    run,
};

fn run(world: &mut World, options: &Options<'_>) -> Result<Outcome, Trouble> {
    let question = Question::new(world, options)?;
    let fail_ok = options.flag("fail_ok", false)?;
    let client = world.client()?;
    // who did well in an earlier try of a change in stages is not asked again; what is known of it stays until there is
    // more
    let mut before = match &world.current.change {
        Some(change) => Before::of(change).map_err(|e| options.wrong(e))?,
        None => Before::default(),
    };
    let unknown = asking::look_first(world, &client, &mut before)?;
    // as long as for any request: what the agent says, and the time that finding nodes takes
    let usual = u64::try_from(client.config().discovery_timeout).unwrap_or(2);
    let timeout = Duration::from_secs(usual.saturating_add(question.timeout));
    let asked = match unknown {
        // a further try looks again
        Some(problem) => {
            Asked { running: before.running.clone(), trouble: Some((problem, false)), ..Asked::default() }
        }
        None => asking::ask(world, &client, &question, timeout, &before),
    };
    let interrupted = asked.interrupted;
    let judged = results::judged(&question, asked, before, fail_ok);
    world.current.accounting = Some(judged.accounting);
    world.current.change = judged.change;
    if interrupted { Err(Trouble("interrupted".to_owned())) } else { Ok(judged.outcome) }
}
