//! The answer to `$SYS.REQ.SERVER.PING` and its kind, in the account of the system: what this broker is and does
//! (spec 04 §7.2). Whoever gets there may ask; an engine behind this broker answers for itself.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::shared::Shared;
use super::stats::Stats;
use crate::core::metrics::process;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Counters.
    Statsz,
    /// Counters and settings.
    Varz,
    /// Whether it is well.
    Healthz,
    /// Who it is.
    Idz,
}

/// What a subject asks of the server of that id; nothing where it is for others, or not known here.
pub fn asked(subject: &[u8], id: &str) -> Option<Asked> {
    let text = std::str::from_utf8(subject).ok()?.strip_prefix("$SYS.REQ.SERVER.")?;
    let (whom, what) = text.split_once('.').unwrap_or((text, "STATSZ"));
    if whom != "PING" && whom != id {
        return None;
    }
    match what {
        "STATSZ" => Some(Asked::Statsz),
        "VARZ" => Some(Asked::Varz),
        "HEALTHZ" => Some(Asked::Healthz),
        "IDZ" => Some(Asked::Idz),
        _ => None,
    }
}

/// The answer.
pub fn answer(asked: Asked, shared: &Shared, stats: &Stats, now: Timestamp) -> String {
    let identity = &shared.identity;
    let (host, port) = identity.advertised.first().cloned().unwrap_or_default();
    let server = json!({
        "name": identity.server_name, "host": host, "id": identity.server_id, "cluster": identity.cluster,
        "ver": identity.version, "jetstream": false, "time": now.to_string(),
    });
    let start =
        now.checked_sub(jiff::SignedDuration::try_from(stats.uptime).unwrap_or_default()).unwrap_or(now);
    let document = match asked {
        Asked::Idz => json!({"name": identity.server_name, "host": host, "id": identity.server_id}),
        Asked::Healthz => {
            let well = shared.threads_lost.load(std::sync::atomic::Ordering::Relaxed) == 0;
            json!({"server": server, "data": {"status": if well { "ok" } else { "unavailable" }}})
        }
        Asked::Statsz => json!({"server": server, "statsz": {
            "start": start.to_string(), "mem": process::memory(), "cores": process::cores(),
            "cpu": process::percent(stats.uptime), "connections": stats.connections,
            "total_connections": stats.total_connections, "active_accounts": active(stats),
            "subscriptions": stats.subscriptions, "sent": traffic(stats.out_msgs, stats.out_bytes),
            "received": traffic(stats.in_msgs, stats.in_bytes), "slow_consumers": stats.slow_consumers,
            "routes": [], "gateways": [], "active_servers": 1,
        }}),
        Asked::Varz => json!({"server": server, "data": {
            "server_id": identity.server_id, "server_name": identity.server_name, "version": identity.version,
            "host": host, "port": port, "start": start.to_string(), "now": now.to_string(),
            "mem": process::memory(), "cores": process::cores(), "cpu": process::percent(stats.uptime),
            "connections": stats.connections, "total_connections": stats.total_connections,
            "leafnodes": stats.hubs, "routes": 0, "subscriptions": stats.subscriptions,
            "in_msgs": stats.in_msgs, "in_bytes": stats.in_bytes, "out_msgs": stats.out_msgs,
            "out_bytes": stats.out_bytes, "slow_consumers": stats.slow_consumers,
            "cluster": {"name": identity.cluster}, "system_account": "system",
            "max_connections": shared.settings().limits.max_connections,
        }}),
    };
    document.to_string()
}

fn active(stats: &Stats) -> usize {
    stats.accounts.iter().filter(|(_, links)| **links > 0).count()
}

fn traffic(msgs: u64, bytes: u64) -> Value {
    json!({"msgs": msgs, "bytes": bytes})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_asked_by_all_or_by_id() {
        for (subject, expected) in [
            ("$SYS.REQ.SERVER.PING", Some(Asked::Statsz)),
            ("$SYS.REQ.SERVER.PING.VARZ", Some(Asked::Varz)),
            ("$SYS.REQ.SERVER.NID.HEALTHZ", Some(Asked::Healthz)),
            ("$SYS.REQ.SERVER.NID", Some(Asked::Statsz)),
            ("$SYS.REQ.SERVER.OTHER.VARZ", None),
            ("$SYS.REQ.SERVER.PING.KICK", None),
            ("$SYS.REQ.SERVER.PING.VARZ.X", None),
            ("$SYS.REQ.USER.INFO", None),
        ] {
            assert_eq!(asked(subject.as_bytes(), "NID"), expected, "{subject}");
        }
        assert_eq!(asked(b"$SYS.REQ.SERVER.\xff", "NID"), None);
    }
}
