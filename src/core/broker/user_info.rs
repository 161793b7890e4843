//! The answer to `$SYS.REQ.USER.INFO`: what a connection may do (spec 04 §7.2).

use serde_json::{Value, json};

use super::shared::Identity;
use crate::core::admission::{Account, Permission, Responses, SubjectList};

/// Subject of the request.
pub const SUBJECT: &[u8] = b"$SYS.REQ.USER.INFO";

/// The answer for one connection. The time is left out: nobody reads it.
pub fn answer(
    identity: &Identity,
    user: &str,
    account: Account,
    publish: &Permission,
    subscribe: &Permission,
    responses: Option<Responses>,
) -> String {
    let mut permissions = json!({ "publish": lists(publish), "subscribe": lists(subscribe) });
    if let (Some(Responses { max, expires }), Some(permissions)) = (responses, permissions.as_object_mut()) {
        let ttl = u64::try_from(expires.as_nanos()).unwrap_or(u64::MAX);
        let max = max.map_or(-1, i64::from);
        permissions.insert("responses".to_owned(), json!({ "max": max, "ttl": ttl }));
    }
    let (host, _) = identity.advertised.first().cloned().unwrap_or_default();
    json!({
        "server": {
            "name": identity.server_name,
            "host": host,
            "id": identity.server_id,
            "cluster": identity.cluster,
            "ver": identity.version,
            "jetstream": false,
        },
        "data": {
            "user": user,
            "account": account.name(),
            "permissions": permissions,
        },
    })
    .to_string()
}

fn lists(permission: &Permission) -> Value {
    let list = |subjects: &SubjectList| subjects.iter().map(Value::from).collect::<Vec<_>>();
    let mut value = serde_json::Map::new();
    if let Some(allow) = &permission.allow {
        value.insert("allow".to_owned(), list(allow).into());
    }
    if !permission.deny.is_empty() {
        value.insert("deny".to_owned(), list(&permission.deny).into());
    }
    value.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape() {
        let identity = Identity {
            server_id: "N1".to_owned(),
            server_name: "b1".to_owned(),
            cluster: "CHORIA".to_owned(),
            version: "2.10.0".to_owned(),
            advertised: vec![("h".to_owned(), 1)],
        };
        let text = answer(
            &identity,
            "choria=bob",
            Account::Choria,
            &Permission::only(["a.>"]),
            &Permission { deny: SubjectList::new(["b"]), ..Default::default() },
            Some(Responses::default()),
        );
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value["data"],
            json!({"user": "choria=bob", "account": "choria", "permissions": {
                "publish": {"allow": ["a.>"]}, "subscribe": {"deny": ["b"]},
                "responses": {"max": 1, "ttl": 120_000_000_000_u64},
            }})
        );
        assert_eq!(value["server"]["name"], "b1");
    }
}
