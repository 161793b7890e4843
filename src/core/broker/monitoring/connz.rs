//! `/connz`: the connections, page by page.

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::pages::PAGE;
use super::{Subject, time};
use crate::core::broker::{Chains, ConnectionInfo};

/// What of nats-server's query is understood; anything else is ignored.
#[derive(Debug, Default, Deserialize)]
pub struct Query {
    limit: Option<usize>,
    offset: Option<usize>,
    sort: Option<String>,
    auth: Option<String>,
    cid: Option<u64>,
    state: Option<String>,
    acc: Option<String>,
    user: Option<String>,
}

/// Why a query cannot be answered, in the words of status 400.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Nothing to sort by.
    #[error(
        "sort '{0}' is unknown, use one of: cid, start, subs, pending, msgs_to, msgs_from, bytes_to, bytes_from, \
         last, idle, uptime"
    )]
    Sort(String),
    /// No such state.
    #[error("state '{0}' is unknown, use open, closed or any")]
    State(String),
    /// Names are for loopback.
    #[error("filtering by user is for requests over loopback only")]
    User,
}

/// The page. Closed connections are not kept: the log has them.
///
/// # Errors
/// A query that nats-server would refuse too, or that asks for names from afar.
pub fn page(subject: &Subject, query: &Query, trusted: bool) -> Result<Value, QueryError> {
    let limit = query.limit.filter(|limit| *limit > 0).unwrap_or(PAGE).min(PAGE);
    let offset = query.offset.unwrap_or(0);
    let closed = match query.state.as_deref().unwrap_or("open") {
        "open" | "any" => false,
        "closed" => true,
        other => return Err(QueryError::State(other.to_owned())),
    };
    if query.user.is_some() && !trusted {
        return Err(QueryError::User);
    }
    let sort = query.sort.as_deref().filter(|sort| !sort.is_empty()).unwrap_or("cid");
    let key = sort_key(sort).ok_or_else(|| QueryError::Sort(sort.to_owned()))?;
    let filtered = query.cid.is_some() || query.acc.is_some() || query.user.is_some();
    // in the order shards report in, no more than the page has to be looked at
    let wanted = if filtered || sort != "cid" { usize::MAX } else { offset.saturating_add(limit) };
    let mut found = if closed { Vec::new() } else { subject.view.connections(wanted) };
    found.retain(|connection| {
        query.cid.is_none_or(|cid| connection.cid == cid)
            && query.acc.as_ref().is_none_or(|account| connection.account == account)
            && query.user.as_ref().is_none_or(|user| connection.user == *user)
    });
    let total = match (closed, filtered) {
        (false, false) => subject.view.stats().connections.max(found.len()),
        _ => found.len(),
    };
    found.sort_by_key(key);
    let shown: Vec<ConnectionInfo> = found.into_iter().skip(offset).take(limit).collect();
    let chains = match trusted && query.auth.as_deref().is_some_and(is_true) {
        true => subject.view.certificates(shown.iter().map(|connection| connection.cid)),
        false => Chains::new(),
    };
    let now = Timestamp::now();
    let rows: Vec<Value> = shown
        .iter()
        .map(|connection| row(connection, now, trusted, chains.get(&connection.cid).map(Vec::as_slice)))
        .collect();
    Ok(json!({
        "server_id": subject.view.identity().server_id,
        "now": now.to_string(),
        "num_connections": rows.len(),
        "total": total,
        "offset": offset,
        "limit": limit,
        "connections": rows,
    }))
}

fn is_true(text: &str) -> bool {
    matches!(text, "1" | "true" | "t" | "TRUE" | "True")
}

/// What comes first: the largest numbers, the oldest by `cid` and `start`.
fn sort_key(sort: &str) -> Option<fn(&ConnectionInfo) -> i128> {
    Some(match sort {
        "cid" | "start" => |c| i128::from(c.cid),
        "subs" => |c| -(c.subscriptions as i128),
        "pending" => |c| -(c.pending_bytes as i128),
        "msgs_to" => |c| -i128::from(c.out_msgs),
        "msgs_from" => |c| -i128::from(c.in_msgs),
        "bytes_to" => |c| -i128::from(c.out_bytes),
        "bytes_from" => |c| -i128::from(c.in_bytes),
        "last" => |c| c.idle.as_nanos() as i128,
        "idle" => |c| -(c.idle.as_nanos() as i128),
        "uptime" => |c| -(c.uptime.as_nanos() as i128),
        _ => return None,
    })
}

fn row(
    connection: &ConnectionInfo,
    now: Timestamp,
    trusted: bool,
    chain: Option<&[CertificateDer<'static>]>,
) -> Value {
    let (ip, port) =
        connection.remote.map_or((String::new(), 0), |r| (r.ip().to_canonical().to_string(), r.port()));
    let mut row = Map::new();
    let mut put = |name: &str, value: Value| {
        row.insert(name.to_owned(), value);
    };
    put("cid", connection.cid.into());
    put("kind", "Client".into());
    put("type", "nats".into());
    put("ip", ip.into());
    put("port", port.into());
    put("start", time::before(now, connection.uptime).to_string().into());
    put("last_activity", time::before(now, connection.idle).to_string().into());
    put("uptime", time::uptime(connection.uptime).into());
    put("idle", time::uptime(connection.idle).into());
    put("pending_bytes", connection.pending_bytes.into());
    put("in_msgs", connection.in_msgs.into());
    put("out_msgs", connection.out_msgs.into());
    put("in_bytes", connection.in_bytes.into());
    put("out_bytes", connection.out_bytes.into());
    put("subscriptions", connection.subscriptions.into());
    let (tls_version, suite) = connection.tls.split_once(' ').unwrap_or_default();
    let version = tls_version.trim_start_matches("TLSv").replace('_', ".");
    // names that clients give themselves are theirs, and may hold a person's
    let name = if trusted { connection.name.as_str() } else { "" };
    for (key, text) in [
        ("name", name),
        ("lang", &connection.lang),
        ("version", &connection.version),
        ("tls_version", &version),
        ("tls_cipher_suite", &suite.replace("TLS13_", "TLS_")),
    ] {
        if !text.is_empty() {
            put(key, text.into());
        }
    }
    if let Some(chain) = chain {
        put("tls_peer_certs", chain.iter().filter_map(|certificate| describe(certificate)).collect());
    }
    if trusted && !connection.user.is_empty() {
        put("authorized_user", connection.user.as_str().into());
    }
    put("account", connection.account.into());
    put("name_tag", connection.account.into());
    row.into()
}

fn describe(certificate: &CertificateDer<'_>) -> Option<Value> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(json!({
        "subject": parsed.subject().to_string(),
        "spki_sha256": hex(digest(&SHA256, parsed.public_key().raw).as_ref()),
        "cert_sha256": hex(digest(&SHA256, certificate).as_ref()),
    }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
