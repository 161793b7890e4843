//! A world without a network, for tests of what plans ask of it.

use std::sync::Arc;

use serde_json::Value as Json;

use super::modules::Modules;
use super::world::World;
use crate::core::ddl::Resolver;
use crate::core::puppet::value::Hash;
use crate::core::puppet::{Budget, Value};

/// Options of a task, a node set or a store.
pub(super) fn hash(json: Json) -> Arc<Hash> {
    match Value::from_json(&json, &Budget::new(1 << 20)).expect("room") {
        Value::Hash(hash) => hash,
        other => panic!("{other}"),
    }
}

/// The same with one more, that is `Sensitive`.
pub(super) fn with_secret(json: Json, name: &str, value: Json) -> Arc<Hash> {
    let budget = Budget::new(1 << 20);
    let value = Value::from_json(&value, &budget).expect("room");
    let mut entries = hash(json).entries().clone();
    entries.insert(Value::string(name, &budget).expect("room"), Value::sensitive(value).expect("room"));
    match Value::hash(entries, &budget).expect("room") {
        Value::Hash(hash) => hash,
        other => panic!("{other}"),
    }
}

/// Work in a world without a network.
pub(super) fn in_a_world<T: Send + 'static>(work: impl FnOnce(&mut World) -> T + Send + 'static) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let connect = || Box::pin(async { Err("there is no network".to_owned()) }) as _;
    let mut world = World::new(
        Modules::default(),
        Resolver::default(),
        Box::new(connect),
        Box::new(|_, _, _| ()),
        runtime.handle().clone(),
        Default::default(),
    );
    std::thread::spawn(move || work(&mut world)).join().expect("no panic")
}
