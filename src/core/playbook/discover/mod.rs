//! Node sets: `choria::discover` (spec 07 §B5). How nodes are found is a file each; what has
//! to be true of a set is the same for all.

mod fleet;
mod listed;
mod pql;
mod programs;
mod uses;

use std::collections::HashSet;

use super::options::Options;
use super::world::World;
use crate::core::discovery::is_name;
use crate::core::puppet::host::{Level, Trouble};
use crate::core::puppet::value::Hash;

/// A way to find nodes: its name, its options, and what it does.
pub(super) struct NodeSet {
    name: &'static str,
    options: &'static [&'static str],
    find: fn(&mut World, &Options<'_>) -> Result<Vec<String>, Trouble>,
}

const COMMON: &[&str] = &["at_least", "when_empty", "empty_ok", "limit", "test", "uses"];

const TYPES: [&NodeSet; 5] =
    [&fleet::TYPE, &pql::TYPE, &listed::TYPE, &programs::SHELL, &programs::TERRAFORM];

/// The nodes of a set: found, unique, and such as they have to be.
pub(super) fn run(world: &mut World, kind: &str, hash: &Hash) -> Result<Vec<String>, Trouble> {
    let what = format!("{kind} node set");
    let options = Options::new(&what, hash);
    let Some(set) = TYPES.into_iter().find(|set| set.name == kind) else {
        let names = TYPES.map(|set| set.name).join(", ");
        return Err(Trouble(format!("there is no node set type '{kind}'; there are {names}")));
    };
    for name in options.unknown(&[COMMON, set.options].concat()) {
        world.say(Level::Warning, &format!("{what}: nothing reads the option '{name}'"));
    }
    let uses = uses::read(&options)?;
    uses.check_here(world)?;
    let mut nodes = (set.find)(world, &options)?;
    let mut seen = HashSet::new();
    nodes.retain(|node| seen.insert(node.clone()));
    if let Some(name) = nodes.iter().find(|name| !is_name(name)) {
        let name = crate::core::text::shortened(name, 80);
        return Err(options.wrong(format!("'{name}' is not the name of a node")));
    }
    let empty_ok = options.flag("empty_ok", false)?;
    if nodes.is_empty() && !empty_ok {
        let message =
            options.text("when_empty")?.unwrap_or("Did not discover any nodes for nodeset task_nodes");
        return Err(Trouble(message.to_owned()));
    }
    let limit = options.count("limit", 0)?;
    if limit > 0 {
        nodes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    let at_least = options.count("at_least", u64::from(!empty_ok))?;
    if (nodes.len() as u64) < at_least {
        let got = nodes.len();
        return Err(Trouble(format!("Node set task_nodes needs at least {at_least} nodes, got {got}")));
    }
    if options.flag("test", false)? && !nodes.is_empty() {
        uses::test(world, &nodes)?;
    }
    if !nodes.is_empty() {
        uses.check_there(world, &nodes)?;
    }
    world.say(Level::Info, &format!("Discovered {} node(s) in node set task_nodes", nodes.len()));
    Ok(nodes)
}
