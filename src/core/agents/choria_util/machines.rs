//! What autonomous agents of a node do, and moving them (spec 06 §8).

use serde_json::{Map, Value, json};

use crate::core::agents::{Call, Node, Outcome};
use crate::core::machine::engine::{Found, Refused, Wanted, fitting};
use crate::core::rpc::StatusCode;

fn found(node: &dyn Node, wanted: Wanted<'_>) -> Vec<Found> {
    node.machines().map(|host| host.find(wanted)).unwrap_or_default()
}

/// Which machine a caller means.
fn wanted(call: &Call) -> Wanted<'_> {
    Wanted {
        name: call.text("name"),
        version: call.text("version"),
        path: call.text("path"),
        instance: call.text("instance"),
    }
}

/// All of them.
pub(super) fn states(node: &dyn Node) -> Outcome {
    let mut all = found(node, Wanted::default());
    fitting(&mut all);
    let names: Vec<String> = all.iter().map(|one| format!("{} {}", one.name, one.version)).collect();
    let ids: Vec<&str> = all.iter().map(|one| one.instance.as_str()).collect();
    let states: Map<String, Value> = all.iter().map(|one| (one.instance.clone(), one.to_value())).collect();
    Outcome::ok(json!({"machine_ids": ids, "machine_names": names, "states": states}))
}

/// One of them.
pub(super) fn state(call: &Call, node: &dyn Node) -> Outcome {
    // a version alone says nothing here, as ever
    let wanted = Wanted { version: "", ..wanted(call) };
    let asked = [wanted.name, wanted.path, wanted.instance].iter().any(|text| !text.is_empty());
    let any = !found(node, Wanted::default()).is_empty();
    let all = found(node, wanted);
    let message = match (asked, any, all.as_slice()) {
        (false, ..) => "No search criteria given",
        (_, false, _) => "No running machines",
        (.., [one]) => return Outcome::ok(one.to_value()),
        (.., []) => "Could not find a matching machine",
        _ => "Found multiple machines matching criteria",
    };
    let mut outcome = Outcome::failed(StatusCode::Aborted, message);
    // Clients of the original expect every output to be there, also on failure.
    if let Value::Object(placeholders) = json!({
        "name": "unknown machine", "version": "unknown machine", "state": "unknown machine",
        "path": "", "id": "", "start_time": 0, "available_transitions": null, "scout": false,
    }) {
        outcome.data = placeholders;
    }
    outcome
}

/// Moves the first that is meant.
pub(super) fn transition(call: &Call, node: &dyn Node) -> Outcome {
    let (wanted, event) = (wanted(call), call.text("transition"));
    let Wanted { name, version, path, instance } = wanted;
    let asked = [name, version, path, instance].iter().any(|text| !text.is_empty());
    let first = if asked { found(node, wanted).into_iter().next() } else { None };
    let done = match (node.machines(), first) {
        (Some(host), Some(one)) => host.transition(one.id, event),
        _ => Err(Refused::Gone),
    };
    let reason = match done {
        Ok(()) => return Outcome::ok(json!({"success": true})),
        Err(Refused::Gone) => format!(
            "could not find machine matching criteria name='{name}', version='{version}', path='{path}', id='{instance}'"
        ),
        Err(refused) => refused.to_string(),
    };
    let message = format!("Could not perform {event} transition: {reason}");
    let mut outcome = Outcome::failed(StatusCode::Aborted, message);
    outcome.data.insert("success".into(), json!(false));
    outcome
}
