//! How targets are found (spec 03 §4).
//!
//! Broadcast asks the fleet; the other methods ask somebody who knows it: `flatfile` is a
//! list of names, `inventory` one of whole nodes that filters are evaluated against here,
//! `external` a program, `puppetdb` Puppet's database. [`trace`] asks which way a node is reached.

mod broadcast;
mod external;
mod flatfile;
mod inventory;
mod puppetdb;
mod trace;
mod window;

use std::time::Duration;

pub use broadcast::{LateAnswers, broadcast};
pub use external::{ExternalError, Wanted, external};
pub use flatfile::{FlatfileError, Format, is_name, listed_names, read_names, saved_results};
pub use inventory::{Inventory, InventoryError, Node as InventoryNode};
pub use puppetdb::{PuppetDbError, puppetdb};
pub use trace::{Trace, trace};
pub use window::Window;

use crate::core::protocol::filter::Filter;

/// Nodes that were found.
#[derive(Debug, Default)]
pub struct Discovered {
    /// Names, in the order they were found.
    pub nodes: Vec<String>,
    /// All of them were named, so nobody was asked.
    pub named: bool,
    /// How long it took.
    pub took: Duration,
    /// Where nodes were asked: who answers after the window closed.
    pub late: LateAnswers,
    /// Where nodes were asked: no node at all listens, by the broker's word.
    pub nobody_listens: bool,
    /// Federations that nobody carried the question to.
    pub federations_down: Vec<String>,
    /// Answers dropped because too many bytes of them waited.
    pub overflowed: u64,
}

impl Discovered {
    /// Names that somebody knows without asking.
    pub fn known(nodes: Vec<String>, took: Duration) -> Discovered {
        Discovered { nodes, took, ..Discovered::default() }
    }
}

/// The names themselves, when a filter asks for nothing but literal identities:
/// there is nobody to ask then.
pub fn literal_identities(filter: &Filter) -> Option<Vec<String>> {
    let only_identities = !filter.identity.is_empty()
        && filter.fact.is_empty()
        && filter.cf_class.is_empty()
        && filter.compound.is_empty();
    let pattern = |name: &String| name.len() > 1 && name.starts_with('/') && name.ends_with('/');
    (only_identities && !filter.identity.iter().any(pattern)).then(|| filter.identity.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_names_need_no_discovery() {
        let filter = |identities: &[&str], fact: bool| {
            let mut filter = Filter::default();
            identities.iter().for_each(|i| filter.add_identity(i).unwrap());
            if fact {
                filter.add_fact("a=b").unwrap();
            }
            filter.add_agent("rpcutil").unwrap();
            filter
        };
        assert_eq!(literal_identities(&filter(&["n1", "n2"], false)).unwrap(), ["n1", "n2"]);
        assert_eq!(literal_identities(&filter(&["n1", "/n2/"], false)), None);
        assert_eq!(literal_identities(&filter(&["n1"], true)), None);
        assert_eq!(literal_identities(&filter(&[], false)), None);
    }
}
