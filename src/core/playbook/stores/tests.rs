use serde_json::json;

use super::*;
use crate::core::playbook::testing::{hash, in_a_world};
use crate::core::puppet::host::Host;

#[test]
fn stores_do_as_ever() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/tasks-playbooks.json");
    let vectors: Json = serde_json::from_str(&std::fs::read_to_string(path).expect("vectors")).expect("JSON");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("data.yaml").display().to_string();
    let cases = vectors["data_stores"].as_array().expect("cases").clone();
    assert!(cases.len() >= 11);
    in_a_world(move |world| {
        for case in cases {
            let mut store = case["store"].clone();
            if store.get("file").is_some() {
                store["file"] = file.as_str().into();
            }
            for (name, value) in case["env"].as_object().into_iter().flatten() {
                world.environment.insert(name.clone(), value.as_str().expect("text").to_owned());
            }
            let key = case["key"].as_str().unwrap_or_default();
            let value = case["value"].as_str().unwrap_or_default();
            let result = open(&hash(store)).and_then(|store| match case["op"].as_str() {
                Some("read") => store.read(world, key),
                Some("write") => store.write(world, key, value).map(|()| value.into()),
                Some("lock") => store.lock(world, key).map(|_| Json::Null),
                _ => Ok(Json::Null),
            });
            match (case["error"].as_str(), result) {
                (Some(error), Err(e)) => {
                    let error = error.replace(" data file F", &format!(" data file {file}"));
                    assert!(e.0.contains(&error), "{case}: {e}");
                }
                (None, Ok(value)) => assert_eq!(value, case["result"], "{case}"),
                (_, result) => panic!("{case}: {result:?}"),
            }
        }
    });
}

#[test]
fn a_file_keeps_its_order_and_mode() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("data.json");
    std::fs::write(&file, r#"{"z":1,"a":[2]}"#).expect("a file");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).expect("a mode");
    let path = file.display().to_string();
    in_a_world(move |world| {
        let store = open(&hash(json!({"type": "file", "file": path, "format": "json"}))).expect("a store");
        store.write(world, "new", "x").expect("written");
        assert_eq!(store.read(world, "a").expect("a value"), json!([2]));
    });
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), r#"{"z":1,"a":[2],"new":"x"}"#);
    assert_eq!(file.metadata().expect("a file").permissions().mode() & 0o777, 0o640);
    std::fs::write(&file, "[1]").expect("a file");
    let path = file.display().to_string();
    in_a_world(move |world| {
        let store = open(&hash(json!({"type": "file", "file": path, "format": "json"}))).expect("a store");
        assert!(store.read(world, "a").expect_err("no hash").0.contains("no hash of keys"));
    });
}

#[test]
fn a_program_keeps_values() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = dir.path().join("store");
    let text = "#!/bin/sh\ncase $1 in\n--read) cat \"$D/$CHORIA_DATA_KEY\";;\n--write) printf '%s\\n' \
                \"$CHORIA_DATA_VALUE\" >\"$D/$CHORIA_DATA_KEY\";;\nesac\n";
    crate::core::files::write_atomic(&program, text.as_bytes(), 0o755).expect("a program");
    let store = json!({"type": "shell", "command": program, "environment": {"D": dir.path()}});
    in_a_world(move |world| {
        let store = open(&hash(store)).expect("a store");
        store.write(world, "k-1", "two words").expect("written");
        assert_eq!(store.read(world, "k-1").expect("a value"), "two words");
        assert!(store.read(world, "absent").expect_err("no value").0.contains("exit status 1"));
        assert!(store.read(world, "../x").expect_err("no key").0.contains("other signs"));
    });
}

#[test]
fn what_is_no_store_is_explained() {
    for (store, error) in [
        (json!({}), "the option 'type' is missing"),
        (json!({"type": "kv"}), "the option 'bucket' is missing"),
        (json!({"type": "kv", "bucket": "a.b"}), "no name of a bucket"),
        (json!({"type": "shell"}), "the option 'command' is missing"),
        (json!({"type": "consul", "ttl": 5}), "is 10 seconds or more"),
        (json!({"type": "etcd", "user": "me"}), "given together"),
        (json!({"type": "etcd", "url": "ftp://x"}), "begins with http"),
    ] {
        let e = open(&hash(store.clone())).err().expect("no store").0;
        assert!(e.contains(error), "{store}: {e}");
    }
}

/// What is `Sensitive` among options of a store is in no message.
#[test]
fn what_is_secret_of_a_store_is_not_shown() {
    let secret = "hunter2secret";
    let at = format!("http://127.0.0.1:1/{secret}/");
    for (kind, option, value) in [
        ("shell", "command", format!("/nonexistent/{secret} x")),
        ("shell", "command", format!("/bin/false {secret}")),
        ("shell", "command", format!("/bin/sh -c 'echo {secret}' '")),
        ("etcd", "url", at.clone()),
        ("consul", "url", at),
        ("file", "file", format!("/nonexistent/{secret}")),
    ] {
        let store = crate::core::playbook::testing::with_secret(
            json!({"type": kind, "format": "json"}),
            option,
            json!(value),
        );
        in_a_world(move |world| {
            let e = world.read("key", &store).expect_err("there is none").0;
            assert!(!e.contains(secret), "{kind}: {e}");
            let e = world.write("key", "v", &store).expect_err("there is none").0;
            assert!(!e.contains(secret), "{kind}: {e}");
            let report = world.report.to_json("x", Default::default(), Default::default(), None);
            assert!(!report.to_string().contains(secret), "{kind}");
        });
    }
}

/// Whatever is no value of a key is an error: a plan would go on with nothing.
#[test]
fn a_refusal_is_no_value() {
    use axum::http::StatusCode;
    for (status, text) in [
        (StatusCode::FORBIDDEN, r#"{"error":"permission denied"}"#),
        (StatusCode::FORBIDDEN, r#"[{"Value":"eA=="}]"#),
        (StatusCode::SERVICE_UNAVAILABLE, "[]"),
        (StatusCode::INTERNAL_SERVER_ERROR, "null"),
        (StatusCode::OK, r#"{"error":"permission denied"}"#),
        (StatusCode::OK, r#"{"message":"sign in"}"#),
        (StatusCode::OK, "[]"),
        (StatusCode::OK, "<html>sign in</html>"),
    ] {
        let pages = axum::Router::new().fallback(move || async move { (status, text) });
        served(pages, move |world, url| {
            for kind in ["consul", "etcd"] {
                let store = open(&hash(json!({"type": kind, "url": url}))).expect("a store");
                let e = store.read(world, "k").expect_err("no value").0;
                assert!(e.contains(&format!("answers {}", status.as_u16())), "{kind} {status} {text}: {e}");
                assert!(store.write(world, "k", "v").is_err(), "{kind} {status} {text}");
            }
        });
    }
}

/// Consul and etcd as far as they are asked: keys in memory, one session that locks.
mod fakes {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::body::Bytes;
    use axum::extract::{Path, RawQuery, State};
    use axum::http::StatusCode;
    use axum::routing::{any, post, put};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value as Json, json};

    #[derive(Default)]
    pub(super) struct Kept {
        pub(super) keys: BTreeMap<String, String>,
        pub(super) asked: Vec<String>,
        /// Times that a lock is refused first.
        pub(super) refusals: u32,
        /// Whether the session has ended.
        pub(super) over: bool,
    }

    pub(super) type Shared = Arc<Mutex<Kept>>;

    pub(super) fn consul(kept: Shared) -> Router {
        async fn kv(
            State(kept): State<Shared>,
            Path(key): Path<String>,
            RawQuery(query): RawQuery,
            request: axum::extract::Request,
        ) -> (StatusCode, String) {
            let method = request.method().clone();
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.expect("a body");
            let mut kept = kept.lock().expect("a lock");
            let query = query.unwrap_or_default();
            kept.asked.push(format!("{method} {key} {query}"));
            if query.starts_with("release=") && kept.over {
                return (StatusCode::OK, "false".to_owned());
            }
            if query.starts_with("acquire=") && kept.refusals > 0 {
                kept.refusals -= 1;
                return (StatusCode::OK, "false".to_owned());
            }
            if method == "PUT" {
                kept.keys.insert(key, String::from_utf8_lossy(&body).into_owned());
                return (StatusCode::OK, "true".to_owned());
            }
            match kept.keys.get(&key) {
                Some(value) => (StatusCode::OK, json!([{"Value": STANDARD.encode(value)}]).to_string()),
                None => (StatusCode::NOT_FOUND, String::new()),
            }
        }
        async fn session(State(kept): State<Shared>, Path(rest): Path<String>) -> (StatusCode, String) {
            let mut kept = kept.lock().expect("a lock");
            let gone = kept.over && rest.starts_with("renew/");
            kept.asked.push(format!("session {rest}"));
            let status = if gone { StatusCode::NOT_FOUND } else { StatusCode::OK };
            (status, json!({"ID": "adf4238a-882b-9ddc-4a9d-5b6758e4159e"}).to_string())
        }
        Router::new()
            .route("/v1/kv/{*key}", any(kv))
            .route("/v1/session/{*rest}", put(session))
            .with_state(kept)
    }

    pub(super) fn etcd(kept: Shared) -> Router {
        async fn call(
            State(kept): State<Shared>,
            Path(rest): Path<String>,
            headers: axum::http::HeaderMap,
            body: Bytes,
        ) -> (StatusCode, String) {
            let body: Json = serde_json::from_slice(&body).expect("JSON");
            let decoded = |name: &str| {
                let bytes = STANDARD.decode(body[name].as_str().expect("text")).expect("base64");
                String::from_utf8(bytes).expect("UTF-8")
            };
            if rest == "auth/authenticate" {
                let good = body["name"] == "me" && body["password"] == "secret";
                let status = if good { StatusCode::OK } else { StatusCode::BAD_REQUEST };
                return (
                    status,
                    json!({"header": {}, "token": "T", "message": "wrong password"}).to_string(),
                );
            }
            if headers.get("authorization").is_none_or(|token| token != "T") {
                return (StatusCode::UNAUTHORIZED, json!({"message": "no token"}).to_string());
            }
            let mut kept = kept.lock().expect("a lock");
            let key = decoded("key");
            if rest == "kv/put" {
                kept.keys.insert(key, decoded("value"));
                return (StatusCode::OK, json!({"header": {}}).to_string());
            }
            let found = kept.keys.get(&key).map(|value| json!([{"value": STANDARD.encode(value)}]));
            (StatusCode::OK, json!({"header": {}, "kvs": found}).to_string())
        }
        Router::new().route("/v3/{*rest}", post(call)).with_state(kept)
    }
}

/// Serves pages while work is done with their address.
fn served(pages: axum::Router, work: impl FnOnce(&mut World, String) + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    runtime.spawn(async move { axum::serve(listener, pages).await });
    in_a_world(move |world| work(world, address));
}

#[test]
fn consul_keeps_values_and_locks() {
    let kept = fakes::Shared::default();
    kept.lock().expect("a lock").refusals = 1;
    let seen = kept.clone();
    served(fakes::consul(kept), move |world, url| {
        let options = hash(json!({"type": "consul", "url": url, "timeout": 30}));
        let store = open(&options).expect("a store");
        store.write(world, "a/b c", "v").expect("written");
        assert_eq!(store.read(world, "a/b c").expect("a value"), "v");
        assert!(store.read(world, "none").expect_err("no value").0.contains("No such key none"));
        let lock = store.lock(world, "deploy").expect("a lock");
        world.wait(lock.release()).expect("not interrupted").expect("released");
        let hurried = hash(json!({"type": "consul", "url": url, "timeout": 1}));
        seen.lock().expect("a lock").refusals = 5;
        let e = open(&hurried).expect("a store").lock(world, "deploy").expect_err("held");
        assert!(e.0.contains("somebody else held it"), "{e}");
        let asked = seen.lock().expect("a lock").asked.join("\n");
        let id = "adf4238a-882b-9ddc-4a9d-5b6758e4159e";
        let twice = format!(
            "PUT deploy acquire={id}\nPUT deploy acquire={id}\nPUT deploy release={id}\nsession destroy/{id}"
        );
        assert!(asked.contains(&twice), "{asked}");
        assert!(asked.ends_with(&format!("session destroy/{id}")), "{asked}");
    });
}

#[test]
fn what_is_lost_of_consul_is_known() {
    let kept = fakes::Shared::default();
    let seen = kept.clone();
    served(fakes::consul(kept), move |world, url| {
        let store = json!({"type": "consul", "url": url, "ttl": 10});
        world.lock("deploy", &hash(store.clone())).expect("a lock");
        let set = |world: &mut World| world.write("K", "v", &hash(json!({"type": "environment"})));
        set(world).expect("it is held");
        seen.lock().expect("a lock").over = true;
        let begun = std::time::Instant::now();
        let told = loop {
            match set(world) {
                Err(told) => break told.0,
                Ok(()) if begun.elapsed().as_secs() < 60 => {
                    world.sleep_for(std::time::Duration::from_millis(50)).expect("time");
                }
                Ok(()) => panic!("nobody noticed"),
            }
        };
        assert!(told.contains("the lock plan_store/deploy is lost"), "{told}");
        assert!(told.ends_with("consul has ended its session"), "{told}");
        // nothing else is done either, and it is not given back as if nothing had been
        assert!(world.lock("other", &hash(store.clone())).is_err());
        assert!(world.sleep(0).is_err());
        let told = world.unlock("deploy", &hash(store)).expect_err("it was lost").0;
        assert!(told.contains("it was lost before, and others may have held it meanwhile"), "{told}");
        set(world).expect("behind the block");
    });
}

#[test]
fn what_is_beside_a_key_in_yaml_is_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("data.yaml");
    std::fs::write(&file, "mode: 0644\nzip: 01239\nlist: [08, '0644', 1.10]\n").expect("a file");
    let store = json!({"type": "file", "file": file, "format": "yaml"});
    in_a_world(move |world| {
        let store = open(&hash(store)).expect("a store");
        assert_eq!(store.read(world, "mode").expect("a value"), 0o644);
        for value in ["010", "08", "x"] {
            store.write(world, "new", value).expect("written");
            assert_eq!(store.read(world, "new").expect("a value"), value);
            assert_eq!(store.read(world, "mode").expect("a value"), 0o644);
            assert_eq!(store.read(world, "zip").expect("a value"), "01239");
            assert_eq!(store.read(world, "list").expect("a value"), json!(["08", "0644", 1.1]));
        }
    });
}

#[test]
fn etcd_keeps_values_for_who_may() {
    served(fakes::etcd(fakes::Shared::default()), |world, url| {
        let options = json!({"type": "etcd", "url": url, "user": "me", "password": "secret"});
        let store = open(&hash(options.clone())).expect("a store");
        store.write(world, "k", "v").expect("written");
        assert_eq!(store.read(world, "k").expect("a value"), "v");
        assert!(store.read(world, "none").expect_err("no value").0.contains("No such key none"));
        let mut other = options;
        other["password"] = "guess".into();
        let e = open(&hash(other)).expect("a store").read(world, "k").expect_err("refused").0;
        assert!(e.contains("answers 400: wrong password") && !e.contains("guess"), "{e}");
    });
}
