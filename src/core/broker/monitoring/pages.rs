//! `/`, `/varz`, `/leafz`, `/healthz`, and the empty pages of what this broker
//! is not: a member of a cluster, a gateway.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Monitored, time};
use crate::core::build;
use crate::core::metrics::process;

/// Largest and default number of connections or subscriptions on a page.
pub const PAGE: usize = 1024;

/// The pages there are, linked.
pub fn index() -> String {
    let links: String =
        ["varz", "connz", "subsz", "routez", "leafz", "gatewayz", "healthz", "metrics", "choria/"]
            .iter()
            .map(|page| format!("<a href=\"/{page}\">{page}</a><br/>\n"))
            .collect();
    format!("<html lang=\"en\"><head><title>choria broker</title></head>\n<body>\n{links}</body></html>\n")
}

/// Everything about the broker as a whole.
pub fn varz(subject: &Monitored) -> Value {
    let mut page = Map::new();
    for part in [configuration(subject), process_wide(subject), traffic(subject)] {
        page.extend(part.as_object().cloned().unwrap_or_default());
    }
    if let Some(most) = subject.view.limits().max_subscriptions {
        page.insert("max_subscriptions".to_owned(), most.into());
    }
    if let Some(expiry) = subject.process.about.expiry()
        && let Ok(expiry) = Timestamp::from_second(expiry)
    {
        page.insert("tls_cert_not_after".to_owned(), expiry.to_string().into());
    }
    page.into()
}

fn configuration(subject: &Monitored) -> Value {
    let (limits, identity) = (subject.view.limits(), subject.view.identity());
    let (host, port) = identity.advertised.first().cloned().unwrap_or_default();
    json!({
        "server_id": identity.server_id,
        "server_name": identity.server_name,
        "version": identity.version,
        "proto": 1,
        "git_commit": build::SHA,
        "go": "rust",
        "host": host,
        "port": port,
        "auth_required": subject.view.requires_credentials(),
        "tls_required": subject.view.has_tls(),
        "max_connections": limits.max_connections,
        "ping_interval": nanoseconds(limits.ping_interval),
        "ping_max": limits.ping_max,
        "http_host": subject.address.ip().to_canonical().to_string(),
        "http_port": subject.address.port(),
        "http_base_path": "",
        "https_port": 0,
        "auth_timeout": limits.auth_timeout.as_secs_f64(),
        "max_control_line": limits.max_control_line,
        "max_payload": limits.max_payload,
        "max_pending": limits.max_pending,
        "cluster": {"name": identity.cluster},
        "gateway": {},
        "leaf": {},
        "mqtt": {},
        "websocket": {},
        "jetstream": {},
        "tls_timeout": limits.tls_timeout.as_secs_f64(),
        "write_deadline": nanoseconds(limits.write_deadline),
    })
}

fn process_wide(subject: &Monitored) -> Value {
    let (now, uptime) = (Timestamp::now(), subject.view.stats().uptime);
    json!({
        "start": subject.process.started.to_string(),
        "now": now.to_string(),
        "uptime": time::uptime(uptime),
        "mem": process::memory(),
        "cores": process::cores(),
        "gomaxprocs": process::cores(),
        "cpu": process::percent(uptime),
        "http_req_stats": subject.requests.counts(),
        "config_load_time": subject.process.started.to_string(),
        "config_digest": "",
        "feature_flags": {},
        "system_account": "system",
    })
}

fn traffic(subject: &Monitored) -> Value {
    let stats = subject.view.stats();
    let by_kind = |clients: u64| json!({"clients": clients, "routes": 0, "gateways": 0, "leafs": 0});
    json!({
        "connections": stats.connections,
        "total_connections": stats.total_connections,
        "routes": 0,
        "remotes": 0,
        "leafnodes": stats.hubs,
        "in_msgs": stats.in_msgs,
        "in_bytes": stats.in_bytes,
        "in_client_msgs": stats.in_msgs,
        "in_client_bytes": stats.in_bytes,
        "out_msgs": stats.out_msgs,
        "out_bytes": stats.out_bytes,
        "out_client_msgs": stats.out_msgs,
        "out_client_bytes": stats.out_bytes,
        "slow_consumers": stats.slow_consumers,
        "stale_connections": stats.stale_connections,
        "stalled_clients": 0,
        "subscriptions": stats.subscriptions,
        "slow_consumer_stats": by_kind(stats.slow_consumers),
        "stale_connection_stats": by_kind(stats.stale_connections),
    })
}

fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Cluster members: none.
pub fn routez(subject: &Monitored) -> Value {
    let identity = subject.view.identity();
    json!({
        "server_id": identity.server_id, "server_name": identity.server_name,
        "now": Timestamp::now().to_string(), "num_routes": 0, "routes": [],
    })
}

/// The hubs this broker is a leaf of.
pub fn leafz(subject: &Monitored) -> Value {
    let id = &subject.view.identity().server_id;
    let hubs = subject.view.hubs();
    let leafs: Vec<Value> = hubs
        .iter()
        .map(|hub| {
            json!({
                "id": hub.cid,
                "name": hub.hub,
                "is_spoke": true,
                "is_isolated": false,
                "account": hub.account,
                "ip": hub.address.map(|address| address.ip().to_canonical().to_string()).unwrap_or_default(),
                "port": hub.address.map_or(0, |address| address.port()),
                "rtt": hub.rtt.map(time::trip).unwrap_or_default(),
                "in_msgs": hub.in_msgs,
                "out_msgs": hub.out_msgs,
                "in_bytes": hub.in_bytes,
                "out_bytes": hub.out_bytes,
                "subscriptions": hub.subscriptions,
            })
        })
        .collect();
    let now = Timestamp::now().to_string();
    json!({"server_id": id, "now": now, "leafnodes": leafs.len(), "leafs": leafs})
}

/// Gateways: none.
pub fn gatewayz(subject: &Monitored) -> Value {
    let id = &subject.view.identity().server_id;
    json!({
        "server_id": id, "now": Timestamp::now().to_string(),
        "outbound_gateways": {}, "inbound_gateways": {},
    })
}

/// Whether connections are served: `ok`, or an error for status 503.
pub fn healthz(subject: &Monitored) -> Result<Value, Value> {
    if subject.view.is_healthy() {
        Ok(json!({"status": "ok"}))
    } else {
        Err(json!({"status": "unavailable", "error": "a thread of the broker has failed"}))
    }
}
