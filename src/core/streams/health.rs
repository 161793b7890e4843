//! What is wrong with streams, by what is known of them. Pure.

use std::time::Duration;

use serde_json::Value;

/// The share of a limit from which on it is spoken of.
const NEARLY: f64 = 0.85;
/// Operations that a copy may be behind.
const MOST_LAG: u64 = 1_000;
/// The system streams, and what for.
const SYSTEM: [(&str, &str); 5] = [
    ("CHORIA_EVENTS", "events of nodes are not kept"),
    ("CHORIA_MACHINE", "what autonomous agents say is not kept"),
    ("CHORIA_STREAM_ADVISORIES", "what happens to streams is not kept"),
    ("CHORIA_EXECUTOR", "what executors say is not kept"),
    ("KV_CHORIA_LEADER_ELECTION", "nobody can be elected"),
];

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// As it should be.
    Fine,
    /// Somebody should look.
    Warning,
    /// It does not work.
    Broken,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub weight: Weight,
    /// Of which stream; empty for the network.
    pub stream: String,
    /// A sentence.
    pub text: String,
}

fn finding(weight: Weight, stream: &str, text: impl Into<String>) -> Finding {
    Finding { weight, stream: stream.to_owned(), text: text.into() }
}

/// What is found of a network's streams: what its account may keep and keeps (`$JS.API.INFO`), and each stream.
pub fn look(account: &Value, streams: &[Value]) -> Vec<Finding> {
    let mut findings = limits(account);
    for (name, lost) in SYSTEM {
        if !streams.iter().any(|info| info["config"]["name"] == name) {
            findings.push(finding(Weight::Warning, name, format!("is not there: {lost}")));
        }
    }
    for info in streams {
        let name = info["config"]["name"].as_str().unwrap_or_default();
        let before = findings.len();
        findings.extend(copies(name, info));
        findings.extend(room(name, info));
        findings.extend(by_name(name, info));
        if findings.len() == before {
            findings.push(finding(Weight::Fine, name, "is fine"));
        }
    }
    findings
}

fn nearly(used: f64, limit: f64) -> Option<u32> {
    // a share of 0 to a few hundred per cent
    (limit > 0.0 && used >= limit * NEARLY).then(|| (used / limit * 100.0).clamp(0.0, 999.0) as u32)
}

fn limits(account: &Value) -> Vec<Finding> {
    let number = |value: &Value| value.as_f64().unwrap_or(-1.0);
    let of = [
        ("storage", "max_storage", "bytes on disk"),
        ("streams", "max_streams", "streams"),
        ("consumers", "max_consumers", "consumers"),
    ];
    let full = |(used, limit, what): (&str, &str, &str)| {
        let share = nearly(number(&account[used]), number(&account["limits"][limit]))?;
        Some(finding(Weight::Warning, "", format!("{share} % of the {what} there may be are used")))
    };
    of.into_iter().filter_map(full).collect()
}

fn copies(name: &str, info: &Value) -> Vec<Finding> {
    let mut findings = vec![];
    let wanted = info["config"]["num_replicas"].as_u64().unwrap_or(1);
    let cluster = &info["cluster"];
    if wanted > 1 && cluster["leader"].as_str().unwrap_or_default().is_empty() {
        findings.push(finding(Weight::Broken, name, "has no leader: nothing is stored"));
    }
    let others = cluster["replicas"].as_array().map_or(&[][..], Vec::as_slice);
    let held = 1 + others.len() as u64;
    if wanted > held {
        findings.push(finding(Weight::Warning, name, format!("has {held} copies of {wanted}")));
    }
    for other in others {
        let at = other["name"].as_str().unwrap_or("somewhere");
        let lag = other["lag"].as_u64().unwrap_or(0);
        if other["offline"].as_bool() == Some(true) {
            findings.push(finding(Weight::Warning, name, format!("its copy at {at} is not reached")));
        } else if other["current"].as_bool() == Some(false) || lag > MOST_LAG {
            findings.push(finding(
                Weight::Warning,
                name,
                format!("its copy at {at} is {lag} operations behind"),
            ));
        }
    }
    findings
}

fn room(name: &str, info: &Value) -> Vec<Finding> {
    // a governor is full when it is at work
    if name.starts_with("GOVERNOR_") {
        return vec![];
    }
    let number = |value: &Value| value.as_f64().unwrap_or(-1.0);
    let refuses = info["config"]["discard"] == "new";
    let of = [("bytes", "max_bytes"), ("messages", "max_msgs")];
    let full = |(used, limit): (&str, &str)| {
        let share = nearly(number(&info["state"][used]), number(&info["config"][limit]))?;
        let then = if refuses { "nothing more is taken then" } else { "the oldest go then" };
        let text = format!("{share} % of the {used} it may hold are used, {then}");
        refuses.then(|| finding(Weight::Warning, name, text))
    };
    of.into_iter().filter_map(full).collect()
}

fn by_name(name: &str, info: &Value) -> Vec<Finding> {
    let age = Duration::from_nanos(info["config"]["max_age"].as_u64().unwrap_or(0));
    let mut findings = vec![];
    if name == "KV_CHORIA_LEADER_ELECTION" {
        if !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&age) {
            let text = "its values have to live between one second and an hour: nobody can be elected";
            findings.push(finding(Weight::Broken, name, text));
        }
        if info["config"]["discard"] != "new" {
            let text = "it drops what is old for what is new, and has to refuse: two may be elected";
            findings.push(finding(Weight::Broken, name, text));
        }
    }
    if name.starts_with("GOVERNOR_") && age.is_zero() {
        let text = "its slots never expire: whoever dies in one holds it for ever";
        findings.push(finding(Weight::Warning, name, text));
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stream(name: &str, config: Value, state: Value, cluster: Value) -> Value {
        let mut all = json!({"name": name, "num_replicas": 1, "max_bytes": -1, "max_msgs": -1, "max_age": 60_000_000_000_u64, "discard": "new"});
        for (key, value) in config.as_object().unwrap() {
            all[key] = value.clone();
        }
        json!({"config": all, "state": state, "cluster": cluster})
    }

    fn all_of_the_system() -> Vec<Value> {
        SYSTEM.iter().map(|(name, _)| stream(name, json!({}), json!({}), json!({"leader": "b1"}))).collect()
    }

    #[test]
    fn what_is_fine_is_fine() {
        let found = look(&json!({"storage": 1, "limits": {"max_storage": -1}}), &all_of_the_system());
        assert_eq!(found.len(), 5);
        assert!(found.iter().all(|f| f.weight == Weight::Fine), "{found:?}");
        assert!(look(&json!({}), &[]).iter().all(|f| f.weight == Weight::Warning));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let behind = json!({"leader": "b1", "replicas": [
            {"name": "b2", "current": true, "offline": true}, {"name": "b3", "current": false, "lag": 9},
        ]});
        for (broken, weight, text) in [
            (
                stream("S", json!({"num_replicas": 3}), json!({}), json!({"leader": ""})),
                Weight::Broken,
                "no leader",
            ),
            (
                stream("S", json!({"num_replicas": 3}), json!({}), json!({"leader": "b1"})),
                Weight::Warning,
                "1 copies of 3",
            ),
            (
                stream("S", json!({"num_replicas": 3}), json!({}), behind.clone()),
                Weight::Warning,
                "b2 is not reached",
            ),
            (
                stream("S", json!({"num_replicas": 3}), json!({}), behind),
                Weight::Warning,
                "b3 is 9 operations behind",
            ),
            (
                stream("S", json!({"max_bytes": 100}), json!({"bytes": 90}), json!({})),
                Weight::Warning,
                "90 % of the bytes",
            ),
            (
                stream("GOVERNOR_G", json!({"max_age": 0}), json!({}), json!({})),
                Weight::Warning,
                "never expire",
            ),
            (
                stream("KV_CHORIA_LEADER_ELECTION", json!({"max_age": 0}), json!({}), json!({})),
                Weight::Broken,
                "nobody can be elected",
            ),
            (
                stream("KV_CHORIA_LEADER_ELECTION", json!({"discard": "old"}), json!({}), json!({})),
                Weight::Broken,
                "two may be elected",
            ),
        ] {
            let found = look(&json!({}), std::slice::from_ref(&broken));
            assert!(found.iter().any(|f| f.weight == weight && f.text.contains(text)), "{text}: {found:?}");
        }
        // what is full by design, or forgets by design, is not told
        for fine in [
            stream("GOVERNOR_G", json!({"max_msgs": 1}), json!({"messages": 1}), json!({})),
            stream("S", json!({"max_bytes": 100, "discard": "old"}), json!({"bytes": 100}), json!({})),
        ] {
            let found = look(&json!({}), std::slice::from_ref(&fine));
            assert!(found.iter().any(|f| f.weight == Weight::Fine), "{found:?}");
        }
        let full = look(&json!({"storage": 99, "limits": {"max_storage": 100}}), &all_of_the_system());
        assert!(full[0].text.contains("99 % of the bytes on disk"), "{full:?}");
    }
}
