//! By a YAML file of groups.

use std::path::Path;

use serde_json::Value as Json;

use super::NodeSet;
use crate::core::files::read_bounded;
use crate::core::playbook::options::Options;
use crate::core::playbook::world::World;
use crate::core::puppet::host::Trouble;
use crate::core::text::documents;

pub(super) const TYPE: NodeSet = NodeSet { name: "yaml", options: &["source", "group"], find };

/// Largest file.
const MOST: u64 = 16 << 20;

fn find(_: &mut World, options: &Options<'_>) -> Result<Vec<String>, Trouble> {
    let (file, group) = (options.required("source")?, options.required("group")?);
    let wrong = |what: String| options.wrong(format!("{file}: {what}"));
    let bytes = read_bounded(Path::new(file), MOST).map_err(|e| wrong(e.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("this is not UTF-8".to_owned()))?;
    let json: Json = documents::yaml(&text).map_err(wrong)?;
    let names = match &json[group] {
        Json::Null => return Err(wrong(format!("there is no group '{group}'"))),
        Json::Array(names) => {
            names.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        }
        _ => None,
    };
    match names {
        Some(names) if !names.is_empty() => Ok(names),
        _ => Err(wrong(format!("the group '{group}' is not a list of names"))),
    }
}
