//! One run of one plan.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::world::World;
use crate::core::puppet::host::{Host, Kind};
use crate::core::puppet::{Budget, Error, Evaluator, IndexMap, Limits, Signature, Value};

/// Stack of the thread that a plan runs on.
const STACK: usize = 16 << 20;

/// What a run gave.
#[derive(Debug)]
pub struct Outcome {
    /// What the plan returned, or what went wrong.
    pub result: Result<Value, Error>,
    /// Whether somebody ended it.
    pub interrupted: bool,
}

/// Makes the arguments of a plan, charged to the run.
pub type Arguments = Box<dyn FnOnce(&Signature, &Budget) -> Result<IndexMap<Value, Value>, String> + Send>;

/// Runs a plan to its end, on a thread of its own. `None` when there is no such plan.
///
/// # Errors
/// The thread could not be started, or the arguments are wrong; in words.
pub fn run(
    mut world: World,
    name: &str,
    arguments: Arguments,
    cancel: &CancellationToken,
) -> Result<(World, Option<Outcome>), String> {
    let stop = Arc::new(AtomicBool::new(false));
    let (name, cancel) = (name.to_owned(), cancel.clone());
    world.playbook = name.clone();
    let inner = move || {
        let result = within(&mut world, &name, arguments, &stop, &cancel);
        world.close();
        result.map(|outcome| (world, outcome))
    };
    let thread = std::thread::Builder::new().name("playbook".to_owned()).stack_size(STACK).spawn(inner);
    let thread = thread.map_err(|e| format!("no thread for the playbook: {e}"))?;
    thread.join().map_err(|_| "the playbook ended by a fault of this program".to_owned())?
}

fn within(
    world: &mut World,
    name: &str,
    arguments: Arguments,
    stop: &Arc<AtomicBool>,
    cancel: &CancellationToken,
) -> Result<Option<Outcome>, String> {
    // steps are looked at by the flag, waiting by the token
    let watch = world.watch(stop.clone(), cancel.clone());
    // replies of fifty thousand nodes are values too
    let limits =
        Limits { steps: 1_000_000_000, memory: 1 << 30, stack: STACK - (4 << 20), ..Limits::default() };
    let facts = json!({"choria": {"playbook": name}});
    let mut evaluator = Evaluator::new(world, limits, stop.clone());
    let outcome = evaluator.set_facts(&facts).and_then(|()| evaluator.signature(name));
    let outcome = match outcome {
        Ok(None) => None,
        Ok(Some(signature)) => {
            let budget = evaluator.budget().clone();
            let given = arguments(&signature, &budget)?;
            Some(evaluator.plan(name, &given))
        }
        Err(e) => Some(Err(e)),
    };
    watch.abort();
    let interrupted = stop.load(Ordering::Relaxed) || cancel.is_cancelled();
    Ok(outcome.map(|result| Outcome { result, interrupted }))
}

/// What a plan takes; none when there is no such plan.
///
/// # Errors
/// It does not parse, or names what is not known.
pub fn signature(host: &mut dyn Host, name: &str) -> Result<Option<Signature>, Error> {
    Evaluator::new(host, Limits::default(), Arc::new(AtomicBool::new(false))).signature(name)
}

/// What is wrong with a plan, without running it; none when there is no such plan.
///
/// # Errors
/// Its file cannot be read.
pub fn check(host: &mut dyn Host, name: &str) -> Result<Option<Vec<Error>>, String> {
    let Some(source) = host.source(Kind::Plan, name).map_err(|e| e.to_string())? else { return Ok(None) };
    let mut evaluator = Evaluator::new(host, Limits::default(), Arc::new(AtomicBool::new(false)));
    Ok(Some(evaluator.problems(source, Some(name))))
}
