//! `kv`: a value of a bucket.

use super::Kind;
use crate::core::builder::compile::Reading;

/// Keeps or shows a value.
#[derive(Debug)]
pub struct Kv {
    /// What is done.
    pub action: KvAction,
    /// The bucket; a template.
    pub bucket: String,
    /// The key; a template.
    pub key: String,
    /// The value; a template.
    pub value: String,
    /// Whether it is shown as JSON.
    pub json: bool,
}

/// What is done with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvAction {
    /// Its value is shown.
    Get,
    /// It is given a value.
    Put,
    /// Its value is removed.
    Del,
    /// What was done with it is shown.
    History,
}

impl Kv {
    /// Whether a flag says that JSON is wanted.
    pub(super) fn takes_json(&self) -> bool {
        match self.action {
            KvAction::Get => true,
            KvAction::History => !self.json,
            _ => false,
        }
    }
}

pub(super) fn read(of: &mut Reading<'_, '_>) -> Kind {
    let action = match of.required("action").as_str() {
        "put" => KvAction::Put,
        "del" => KvAction::Del,
        "history" => KvAction::History,
        "get" | "" => KvAction::Get,
        other => {
            of.error_at("action", format!("is {other}: get, put, del and history are known"));
            KvAction::Get
        }
    };
    let kv = Kv {
        action,
        bucket: of.required_template("bucket"),
        key: of.required_template("key"),
        value: of.template("value"),
        json: of.flag("json"),
    };
    if action == KvAction::Put && kv.value.is_empty() {
        of.error("value is required to put one");
    }
    Kind::Kv(kv)
}
