//! By the client's own discovery methods.

use std::path::Path;
use std::time::Duration;

use super::NodeSet;
use crate::core::discovery::{
    Discovered, Format, Inventory, Window, broadcast, literal_identities, puppetdb, read_names,
};
use crate::core::playbook::options::Options;
use crate::core::playbook::world::World;
use crate::core::protocol::filter::{Facts, Filter, MatchError, NoData, NodeView};
use crate::core::puppet::host::{Level, Trouble};

pub(super) const TYPE: NodeSet = NodeSet {
    name: "mcollective",
    options: &[
        "discovery_method",
        "discovery_options",
        "discovery_timeout",
        "fixed_window",
        "agents",
        "facts",
        "classes",
        "identities",
        "compound",
        "collective",
        "federations",
    ],
    find,
};

fn filter(options: &Options<'_>) -> Result<Filter, Trouble> {
    let mut filter = Filter::default();
    let texts = |name: &str| options.texts(name).map(Option::unwrap_or_default);
    for agent in options.texts("agents")?.unwrap_or_else(|| vec!["rpcutil".to_owned()]) {
        filter.add_agent(&agent).map_err(|e| options.wrong(e))?;
    }
    for fact in texts("facts")? {
        filter.add_fact(&fact).map_err(|e| options.wrong(e))?;
    }
    for class in texts("classes")? {
        filter.add_class(&class).map_err(|e| options.wrong(e))?;
    }
    for identity in texts("identities")? {
        filter.add_identity(&identity).map_err(|e| options.wrong(e))?;
    }
    if let Some(expression) = options.text("compound")? {
        filter.set_expression(expression).map_err(|e| options.wrong(e))?;
    }
    match filter.broken_expression() {
        Some(broken) => {
            Err(options
                .wrong(format!("'{broken}' is not a valid regular expression, no node would match it")))
        }
        None => Ok(filter),
    }
}

/// A list of names knows nothing of nodes: what cannot be looked at is refused, or more nodes than
/// were asked for would be acted on.
fn only_named(options: &Options<'_>) -> Result<(), Trouble> {
    for name in ["facts", "classes", "agents", "compound", "collective"] {
        if options.texts(name)?.is_some_and(|texts| !texts.is_empty()) {
            return Err(options.wrong(format!(
                "the option '{name}' cannot be used with a list of nodes, which knows names only: 'identities' narrows \
                 it down"
            )));
        }
    }
    Ok(())
}

/// Those of the names that the filter is for, where it names any.
fn identified(names: Vec<String>, filter: Filter) -> Result<Vec<String>, MatchError> {
    if filter.identity.is_empty() {
        return Ok(names);
    }
    let filter = Filter { identity: filter.identity, ..Filter::default() };
    let facts = Facts::default();
    let mut kept = vec![];
    for name in names {
        let view = NodeView { identity: &name, agents: &[], classes: &[], facts: &facts, data: &NoData };
        if filter.matches(&view)? {
            kept.push(name);
        }
    }
    Ok(kept)
}

fn find(world: &mut World, options: &Options<'_>) -> Result<Vec<String>, Trouble> {
    let filter = filter(options)?;
    if options.texts("federations")?.is_some_and(|federations| !federations.is_empty()) {
        return Err(
            options.wrong("federations are set for a whole run, by plugin.choria.federation.collectives")
        );
    }
    let of_method = options.words("discovery_options")?;
    let file = || {
        let file = of_method.iter().find(|(name, _)| name == "file");
        file.map(|(_, file)| file.clone())
            .ok_or_else(|| options.wrong("discovery_options need the key 'file'"))
    };
    let method = options.text("discovery_method")?.unwrap_or("mc");
    match method {
        "flatfile" | "file" => {
            let file = file()?;
            let path = Path::new(&file);
            only_named(options)?;
            let names = read_names(path, Format::of(path)).map_err(|e| options.wrong(e))?;
            return identified(names, filter).map_err(|e| options.wrong(e));
        }
        "mc" | "broadcast" | "choria" | "puppetdb" | "inventory" => {}
        other => {
            return Err(options.wrong(format!(
                "the discovery method '{other}' is not known to playbooks; mc, puppetdb, inventory and flatfile are"
            )));
        }
    }
    // who is named needs not be found, but for agents
    if let Some(nodes) = literal_identities(&filter).filter(|_| method != "inventory") {
        return Ok(nodes);
    }
    let client = world.client()?;
    let collective = client.collective(options.text("collective")?).map_err(|e| options.wrong(e))?;
    match method {
        "inventory" => {
            let file = file()?;
            let cache = world.inventories.as_deref();
            Inventory::select_in(Path::new(&file), cache, &collective, &filter).map_err(|e| options.wrong(e))
        }
        "puppetdb" => {
            let found = world.wait(puppetdb(&client, &crate::core::config::System, &collective, &filter))?;
            found.map_err(|e| options.wrong(e))
        }
        _ => {
            let usual = u64::try_from(client.config().discovery_timeout).unwrap_or(2).max(1);
            let timeout = options.seconds("discovery_timeout", usual)?.max(Duration::from_millis(100));
            let window = match options.flag("fixed_window", false)? {
                true => Window::Fixed(timeout),
                false => Window::Sliding(timeout),
            };
            let found = world.wait(broadcast(&client, collective, filter, window, |_, _| true))?;
            let Discovered { mut nodes, late, federations_down, .. } = found.map_err(|e| options.wrong(e))?;
            world.made(late);
            for federation in federations_down {
                world.say(
                    Level::Warning,
                    &format!("nobody carries requests to the federation {federation}: its nodes are not in the node set"),
                );
            }
            nodes.sort();
            Ok(nodes)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::core::playbook::testing::{hash, in_a_world};

    #[test]
    fn a_list_of_names_is_filtered_by_names_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let list = dir.path().join("nodes.txt");
        std::fs::write(&list, "n1\nn2\nn10\n").expect("a list");
        let cases = [
            (json!({}), Ok(vec!["n1", "n2", "n10"])),
            (json!({"identities": ["n2"]}), Ok(vec!["n2"])),
            (json!({"identities": ["/^n1/", "n2"]}), Ok(vec!["n1", "n2", "n10"])),
            (json!({"identities": "/^n1/", "facts": []}), Ok(vec!["n1", "n10"])),
            (json!({"identities": ["n3"], "empty_ok": true}), Ok(vec![])),
            (json!({"facts": ["country=mt"]}), Err("the option 'facts' cannot be used with a list of nodes")),
            (json!({"classes": ["web"]}), Err("the option 'classes' cannot")),
            (json!({"agents": ["puppet"]}), Err("the option 'agents' cannot")),
            (json!({"compound": "web and db"}), Err("the option 'compound' cannot")),
            (json!({"collective": "other"}), Err("the option 'collective' cannot")),
        ];
        in_a_world(move |world| {
            for method in ["flatfile", "file"] {
                for (more, expected) in &cases {
                    let mut options = more.clone();
                    options["discovery_method"] = method.into();
                    options["discovery_options"] = json!({"file": list});
                    let found = crate::core::playbook::discover::run(world, "mcollective", &hash(options));
                    match (found, expected) {
                        (Ok(found), Ok(expected)) => assert_eq!(found, *expected, "{more}"),
                        (Err(e), Err(expected)) => assert!(e.0.contains(expected), "{more}: {e}"),
                        (found, _) => panic!("{more}: {found:?}"),
                    }
                }
            }
        });
    }
}
