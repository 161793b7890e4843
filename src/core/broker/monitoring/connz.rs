//! `/connz`: the connections, page by page, those there are and those there were.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::query::{self, QueryError, shown};
use super::{Monitored, subsz, time};
use crate::core::broker::{Chains, ClosedInfo, ConnectionInfo, Order, Select, SubscriptionInfo};
use crate::core::text::hex;

/// Most subscriptions listed on one page.
const SUBSCRIPTIONS: usize = 64 * 1024;

/// What of nats-server's query is understood; anything else is ignored.
#[derive(Debug, Default, Deserialize)]
pub struct Query {
    limit: Option<i64>,
    offset: Option<i64>,
    sort: Option<String>,
    auth: Option<String>,
    subs: Option<String>,
    cid: Option<u64>,
    state: Option<String>,
    acc: Option<String>,
    user: Option<String>,
}

/// Which lists of subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lists {
    No,
    Subjects,
    Details,
}

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    By(Order),
    Stop,
    Reason,
}

/// A connection, and its end if it had one.
struct Row {
    connection: ConnectionInfo,
    end: Option<(String, std::time::Duration)>,
}

impl From<ConnectionInfo> for Row {
    fn from(connection: ConnectionInfo) -> Self {
        Self { connection, end: None }
    }
}

impl From<ClosedInfo> for Row {
    fn from(closed: ClosedInfo) -> Self {
        Self { connection: closed.connection, end: Some((closed.reason, closed.stop)) }
    }
}

/// The page.
///
/// # Errors
/// A query that nats-server would refuse too, or that asks for names without being trusted.
pub fn page(subject: &Monitored, query: &Query, trusted: bool) -> Result<Value, QueryError> {
    let (offset, limit) = query::page(query.offset, query.limit);
    let (open, closed) = match query.state.as_deref().unwrap_or("open") {
        "open" | "" => (true, false),
        "closed" => (false, true),
        "all" | "any" => (true, true),
        other => return Err(QueryError::State(shown(other))),
    };
    let auth = query::flag("auth", query.auth.as_deref())?;
    let lists = match query.subs.as_deref() {
        Some("detail") => Lists::Details,
        other if query::flag("subs", other)? => Lists::Subjects,
        _ => Lists::No,
    };
    if query.user.is_some() && !trusted {
        return Err(QueryError::Names("filtering by user"));
    }
    let sort = sort(query.sort.as_deref().unwrap_or_default(), open)?;
    let wanted = Select {
        cid: query.cid.filter(|cid| *cid > 0),
        account: query.acc.clone(),
        user: query.user.clone(),
        order: if let Sort::By(order) = sort { order } else { Order::Cid },
        most: offset.saturating_add(limit),
    };
    let ended = match closed {
        true => subject.view.closed(|one| wanted.takes(one.cid, one.account, &one.user)),
        false => Vec::new(),
    };
    let (mut total, running) = if open { subject.view.select(wanted) } else { (0, Vec::new()) };
    total += ended.len();
    let mut rows: Vec<Row> =
        running.into_iter().map(Row::from).chain(ended.into_iter().map(Row::from)).collect();
    match sort {
        Sort::By(order) => {
            rows.sort_by_cached_key(|row| (order.key(&row.connection), row.connection.cid));
        }
        Sort::Stop => rows.sort_by_key(|row| std::cmp::Reverse(row.end.as_ref().map(|(_, stop)| *stop))),
        Sort::Reason => rows.sort_by_key(|row| row.end.as_ref().map(|(reason, _)| reason.clone())),
    }
    let rows: Vec<Row> = rows.into_iter().skip(offset).take(limit).collect();
    let cids = || rows.iter().filter(|row| row.end.is_none()).map(|row| row.connection.cid);
    let chains = if trusted && auth { subject.view.certificates(cids()) } else { Chains::new() };
    let mut subscriptions = match lists {
        Lists::Subjects | Lists::Details if trusted => {
            subject.view.subscriptions_of(cids(), SUBSCRIPTIONS, subsz::TEXT)
        }
        _ => HashMap::new(),
    };
    let rows: Vec<Value> = rows
        .iter()
        .map(|one| {
            let cid = one.connection.cid;
            let mut row = row(subject.process.started, one, trusted, auth);
            if let Some(chain) = chains.get(&cid) {
                let chain = chain.iter().filter_map(describe).collect();
                row.insert("tls_peer_certs".to_owned(), chain);
            }
            if let Some(found) = subscriptions.remove(&cid) {
                listed(&mut row, lists, &found);
            }
            row.into()
        })
        .collect();
    Ok(json!({
        "server_id": subject.view.identity().server_id,
        "now": Timestamp::now().to_string(),
        "num_connections": rows.len(),
        "total": total,
        "offset": offset,
        "limit": limit,
        "connections": rows,
    }))
}

/// The largest numbers come first, and the oldest by `cid` and `start`.
fn sort(text: &str, open: bool) -> Result<Sort, QueryError> {
    Ok(Sort::By(match text {
        "" | "cid" | "start" => Order::Cid,
        "subs" => Order::Subscriptions,
        "pending" => Order::Pending,
        "msgs_to" => Order::MessagesTo,
        "msgs_from" => Order::MessagesFrom,
        "bytes_to" => Order::BytesTo,
        "bytes_from" => Order::BytesFrom,
        "last" => Order::Last,
        "idle" => Order::Idle,
        "uptime" => Order::Uptime,
        "rtt" => Order::Rtt,
        "stop" | "reason" if open => return Err(QueryError::SortOfClosed(text.to_owned())),
        "stop" => return Ok(Sort::Stop),
        "reason" => return Ok(Sort::Reason),
        other => return Err(QueryError::Sort(shown(other))),
    }))
}

fn listed(row: &mut Map<String, Value>, lists: Lists, found: &[SubscriptionInfo]) {
    let (name, list): (_, Value) = match lists {
        Lists::No => return,
        Lists::Subjects => ("subscriptions_list", found.iter().map(|one| one.subject.as_str()).collect()),
        Lists::Details => {
            ("subscriptions_list_detail", found.iter().map(|one| subsz::row(one, false)).collect())
        }
    };
    row.insert(name.to_owned(), list);
}

/// One connection; `epoch` is the start of the broker.
fn row(epoch: Timestamp, Row { connection, end }: &Row, trusted: bool, auth: bool) -> Map<String, Value> {
    let now = time::after(epoch, connection.at);
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
    if let Some((reason, stop)) = end {
        put("stop", time::after(epoch, *stop).to_string().into());
        put("reason", reason.as_str().into());
    }
    if let Some(rtt) = connection.rtt {
        put("rtt", time::trip(rtt).into());
    }
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
    if auth {
        if trusted && !connection.user.is_empty() {
            put("authorized_user", connection.user.as_str().into());
        }
        if !connection.account.is_empty() {
            put("account", connection.account.into());
            put("name_tag", connection.account.into());
        }
    }
    row
}

fn describe(certificate: &CertificateDer<'static>) -> Option<Value> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(json!({
        "subject": parsed.subject().to_string(),
        "spki_sha256": hex(digest(&SHA256, parsed.public_key().raw).as_ref()),
        "cert_sha256": hex(digest(&SHA256, certificate).as_ref()),
    }))
}
