//! What the tests of several files use.

mod language;
mod limits;
mod oracle;
pub(crate) mod stage;

use proptest::prelude::*;
use serde_json::Value as Json;

/// What the original said, see `tests/vectors`.
pub(crate) fn vectors() -> Json {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/vectors/tasks-playbooks.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("the vectors")).expect("JSON")
}

pub(crate) fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        ".{0,8}".prop_map(Json::String),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            prop::collection::btree_map(".{0,4}", inner, 0..4)
                .prop_map(|entries| Json::Object(entries.into_iter().collect())),
        ]
    })
}
