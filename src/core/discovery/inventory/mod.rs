//! An inventory file: nodes with their facts, classes and agents, and filters
//! evaluated here (spec 03 §4.5).

mod columns;
mod index;
#[cfg(test)]
mod index_tests;
mod wanted;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::index::Index;
use crate::core::files::read_bounded;
use crate::core::protocol::filter::{Facts, Filter, FilterError, NoData, NodeView};
use crate::core::text::documents;

const SCHEMA: &str = "https://choria.io/schemas/choria/discovery/v1/inventory_file.json";
/// Largest inventory.
const MAX_FILE: u64 = 256 * 1024 * 1024;
/// What selects a group among identities.
const GROUP: &str = "group:";

/// The document.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// Schema address, the fixed one.
    #[serde(rename = "$schema")]
    pub schema: String,
    /// Saved filters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// Nodes.
    pub nodes: Vec<Node>,
}

/// A saved filter.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Letters, digits, `_` and `-`.
    pub name: String,
    /// The filter.
    #[serde(default)]
    pub filter: GroupFilter,
}

/// A filter as people write it down.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // the filter types by name
pub struct GroupFilter {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub compound: String,
}

/// One node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // as in the file
pub struct Node {
    pub name: String,
    pub collectives: Vec<String>,
    pub facts: Map<String, Value>,
    pub classes: Vec<String>,
    pub agents: Vec<String>,
}

/// An inventory that cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the texts say it
pub enum InventoryError {
    #[error(transparent)]
    Read(#[from] std::io::Error),
    #[error("{file} is no inventory file: {reason}")]
    Malformed { file: PathBuf, reason: String },
    #[error("group '{0}' is not in the inventory file")]
    Group(String),
    #[error("-I group: cannot be used together with other filters")]
    Mixed,
    #[error(transparent)]
    Filter(#[from] FilterError),
}

impl Default for Inventory {
    fn default() -> Inventory {
        Inventory { schema: SCHEMA.to_owned(), groups: Vec::new(), nodes: Vec::new() }
    }
}

impl Inventory {
    /// The document as it stands in a file of that name.
    ///
    /// # Errors
    /// It cannot be written so.
    pub fn text(&self, file: &Path) -> Result<String, InventoryError> {
        let malformed = |reason: String| InventoryError::Malformed { file: file.to_owned(), reason };
        match is_yaml(file) {
            true => serde_saphyr::to_string(self).map_err(|e| malformed(e.to_string())),
            false => serde_json::to_string_pretty(self).map_err(|e| malformed(e.to_string())),
        }
    }

    /// Reads a `.yaml` or `.yml` file as YAML and any other as JSON.
    pub fn read(file: &Path) -> Result<Inventory, InventoryError> {
        let malformed = |reason: String| InventoryError::Malformed { file: file.to_owned(), reason };
        let content = read_bounded(file, MAX_FILE)?;
        let text = std::str::from_utf8(&content).map_err(|e| malformed(e.to_string()))?;
        let inventory: Inventory = if is_yaml(file) {
            documents::yaml(text).map_err(malformed)?
        } else {
            serde_json::from_str(text).map_err(|e| malformed(e.to_string()))?
        };
        inventory.check().map_err(malformed)?;
        Ok(inventory)
    }

    fn check(&self) -> Result<(), String> {
        if self.schema != SCHEMA {
            return Err(format!("its $schema is not {SCHEMA}"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        match self.groups.iter().find(|g| g.name.is_empty() || !g.name.chars().all(plain)) {
            Some(group) => {
                Err(format!("group name '{}' has other characters than A-Z a-z 0-9 _ -", group.name))
            }
            None => Ok(()),
        }
    }

    /// Names of the nodes in `collective` that match, sorted. A node whose data
    /// makes the filter fail does not match.
    ///
    /// # Errors
    /// A group that is not there, or is mixed with other filters.
    pub fn select(&self, collective: &str, filter: &Filter) -> Result<Vec<String>, InventoryError> {
        let filters = filters(&self.groups, filter)?;
        Ok(sorted(filters.iter().flat_map(|filter| self.matching(collective, filter))))
    }

    /// [`Inventory::select`] of a file. Of a large one an index is kept in the directory `cache`, by
    /// which it is not read again until it changes.
    ///
    /// # Errors
    /// Those of [`Inventory::read`] and [`Inventory::select`].
    pub fn select_in(
        file: &Path,
        cache: Option<&Path>,
        collective: &str,
        filter: &Filter,
    ) -> Result<Vec<String>, InventoryError> {
        let Some(cache) = cache else { return Inventory::read(file)?.select(collective, filter) };
        if let Some(index) = Index::open(file, cache) {
            let filters = filters(index.groups(), filter)?;
            let found: Option<Vec<_>> =
                filters.iter().map(|filter| index.matching(collective, filter)).collect();
            if let Some(found) = found {
                return Ok(sorted(found.into_iter().flatten()));
            }
            return Inventory::read(file)?.select(collective, filter);
        }
        let before = index::stamp(file);
        let inventory = Inventory::read(file)?;
        let found = inventory.select(collective, filter)?;
        if let Some(before) = before {
            Index::write(&inventory, before, file, cache);
        }
        Ok(found)
    }

    fn matching(&self, collective: &str, filter: &Filter) -> Vec<String> {
        let nodes = self.nodes.iter().filter(|n| n.collectives.iter().any(|c| c == collective));
        nodes.filter(|node| node.matches(filter)).map(|node| node.name.clone()).collect()
    }
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    names
}

/// The filters of which one has to match: of the groups that are named, or the one there is.
fn filters(groups: &[Group], filter: &Filter) -> Result<Vec<Filter>, InventoryError> {
    let named: Vec<&str> = filter.identity.iter().filter_map(|i| i.strip_prefix(GROUP)).collect();
    if named.is_empty() {
        return Ok(vec![filter.clone()]);
    }
    let lone = filter.fact.is_empty() && filter.cf_class.is_empty() && filter.compound.is_empty();
    if !lone || named.len() != filter.identity.len() {
        return Err(InventoryError::Mixed);
    }
    let of_group = |name: &str| {
        let mut of_group = Group::filter(groups, name)?;
        // The agent a request needs, whatever the group says.
        filter.agent.iter().try_for_each(|agent| of_group.add_agent(agent))?;
        Ok(of_group)
    };
    named.into_iter().map(of_group).collect()
}

impl Group {
    /// The filter of the group of that name.
    fn filter(groups: &[Group], name: &str) -> Result<Filter, InventoryError> {
        let group = groups.iter().find(|g| g.name == name);
        let saved = &group.ok_or_else(|| InventoryError::Group(name.to_owned()))?.filter;
        let mut filter = Filter::default();
        saved.agents.iter().try_for_each(|a| filter.add_agent(a))?;
        saved.classes.iter().try_for_each(|c| filter.add_class(c))?;
        saved.facts.iter().try_for_each(|f| filter.add_fact(f))?;
        saved.identities.iter().try_for_each(|i| filter.add_identity(i))?;
        if !saved.compound.is_empty() {
            filter.set_expression(&saved.compound)?;
        }
        Ok(filter)
    }
}

fn is_yaml(file: &Path) -> bool {
    matches!(file.extension().and_then(|e| e.to_str()), Some("yaml" | "yml"))
}

impl Node {
    fn matches(&self, filter: &Filter) -> bool {
        let facts = Facts::from_json(Value::Object(self.facts.clone()).to_string());
        let view = NodeView {
            identity: &self.name,
            agents: &self.agents,
            classes: &self.classes,
            facts: &facts,
            data: &NoData,
        };
        filter.matches(&view).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
$schema: https://choria.io/schemas/choria/discovery/v1/inventory_file.json
groups:
  - name: acme
    filter: { facts: ["customer=acme"] }
  - name: web
    filter: { classes: ["/apache/"] }
nodes:
  - { name: a1, collectives: [mcollective], facts: {customer: acme, n: 1}, classes: [apache], agents: [rpcutil] }
  - { name: b1, collectives: [mcollective], facts: {customer: other}, classes: [apache], agents: [rpcutil] }
  - { name: c1, collectives: [uk], facts: {customer: acme}, classes: [], agents: [] }
"#;

    fn inventory() -> Inventory {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("inventory.yaml");
        std::fs::write(&file, TEXT).unwrap();
        Inventory::read(&file).unwrap()
    }

    fn select(identities: &[&str], facts: &[&str]) -> Result<Vec<String>, String> {
        let mut filter = Filter::default();
        filter.add_agent("rpcutil").unwrap();
        identities.iter().for_each(|i| filter.add_identity(i).unwrap());
        facts.iter().for_each(|f| filter.add_fact(f).unwrap());
        inventory().select("mcollective", &filter).map_err(|e| e.to_string())
    }

    #[test]
    fn filters_are_evaluated_here() {
        assert_eq!(select(&[], &[]).unwrap(), ["a1", "b1"]);
        assert_eq!(select(&[], &["customer=acme"]).unwrap(), ["a1"], "the other is in another collective");
        assert_eq!(select(&["/1$/"], &["n>0"]).unwrap(), ["a1"]);
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut document = inventory();
        let odd = serde_json::json!({"yes": "no", "colon": "a: b", "n": 1.5, "list": [true, null], "text": "x\ny\t'\"é"});
        document.nodes[0].facts = odd.as_object().unwrap().clone();
        for name in ["i.yaml", "i.json"] {
            let file = dir.path().join(name);
            std::fs::write(&file, document.text(&file).unwrap()).unwrap();
            let again = Inventory::read(&file).unwrap();
            assert_eq!(
                serde_json::to_value(&again).unwrap(),
                serde_json::to_value(&document).unwrap(),
                "{name}"
            );
        }
    }

    #[test]
    fn groups_are_merged_and_not_mixed() {
        assert_eq!(select(&["group:acme", "group:web"], &[]).unwrap(), ["a1", "b1"]);
        assert!(select(&["group:acme", "a1"], &[]).is_err());
        assert!(select(&["group:acme"], &["n=1"]).is_err());
        assert!(select(&["group:nope"], &[]).unwrap_err().contains("nope"));
    }
}
