//! By a query of PuppetDB.

use super::NodeSet;
use crate::core::discovery::puppetdb;
use crate::core::playbook::options::Options;
use crate::core::playbook::world::World;
use crate::core::protocol::filter::Filter;
use crate::core::puppet::host::Trouble;

pub(super) const TYPE: NodeSet = NodeSet { name: "pql", options: &["query"], find };

fn find(world: &mut World, options: &Options<'_>) -> Result<Vec<String>, Trouble> {
    let query = options.required("query")?;
    let mut filter = Filter::default();
    // a query among identities is asked as it is
    filter.add_identity(&format!("pql:{query}")).map_err(|e| options.wrong(e))?;
    let client = world.client()?;
    let collective = client.collective(None).map_err(|e| options.wrong(e))?;
    let found = world.wait(puppetdb(&client, &crate::core::config::System, &collective, &filter))?;
    found.map_err(|e| options.wrong(e))
}
