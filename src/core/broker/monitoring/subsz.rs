//! `/subsz`: how many subscriptions, how they are found, and which they are.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Monitored;
use super::query::{self, QueryError, shown};
use crate::core::admission::Account;
use crate::core::broker::SubscriptionInfo;
use crate::core::nats::subject::{is_literal, valid_subject};

/// Bytes of what clients wrote on one page of subscriptions; written as JSON it is six
/// times as long at worst.
pub const TEXT: usize = 1024 * 1024;

/// What of nats-server's query is understood; anything else is ignored.
#[derive(Debug, Default, Deserialize)]
pub struct Query {
    limit: Option<i64>,
    offset: Option<i64>,
    subs: Option<String>,
    acc: Option<String>,
    test: Option<String>,
}

/// The page. Subjects hold names, so lists are for those who may see them.
///
/// # Errors
/// A query that nats-server would refuse too, or that asks for names without being trusted.
pub fn page(subject: &Monitored, query: &Query, trusted: bool) -> Result<Value, QueryError> {
    let (offset, limit) = query::page(query.offset, query.limit);
    let listed = query::flag("subs", query.subs.as_deref())?;
    let test = query.test.as_deref().filter(|test| !test.is_empty());
    if let Some(test) = test.filter(|test| !(valid_subject(test) && is_literal(test))) {
        return Err(QueryError::Subject(shown(test)));
    }
    if test.is_some() && !trusted {
        return Err(QueryError::Names("testing a subject"));
    }
    let wanted = query.acc.as_deref().filter(|name| !name.is_empty());
    let account = wanted.map(|name| Account::all().into_iter().find(|account| account.name() == name));
    let view = &subject.view;
    let (now, made, answers) = match account {
        None => view.answers(None),
        Some(None) => Default::default(),
        Some(Some(account)) => view.answers(Some(account)),
    };
    let (total, mut list) = match account {
        Some(None) => (0, Vec::new()),
        _ if listed && trusted => {
            view.subscriptions(account.flatten(), test.map(str::as_bytes), offset, limit)
        }
        _ if test.is_some() => (0, Vec::new()),
        _ => (now, Vec::new()),
    };
    let mut text = 0;
    list.retain(|one| {
        text += one.text();
        text <= TEXT
    });
    let share = |part: u64, of: u64| if of == 0 { 0.0 } else { part as f64 / of as f64 };
    let mut page = json!({
        "server_id": view.identity().server_id,
        "now": Timestamp::now().to_string(),
        "num_subscriptions": now,
        "num_cache": answers.subjects,
        "num_inserts": made,
        "num_removes": made.saturating_sub(now as u64),
        "num_matches": answers.lookups,
        "cache_hit_rate": share(answers.hits, answers.lookups),
        "max_fanout": answers.largest,
        "avg_fanout": share(answers.targets as u64, answers.subjects as u64),
        "total": total,
        "offset": offset,
        "limit": limit,
    });
    if !list.is_empty()
        && let Some(page) = page.as_object_mut()
    {
        let rows = list.iter().map(|one| row(one, true)).collect();
        page.insert("subscriptions_list".to_owned(), rows);
    }
    Ok(page)
}

/// One subscription, as pages list them.
pub fn row(one: &SubscriptionInfo, with_account: bool) -> Value {
    let mut row = Map::new();
    let mut put = |name: &str, value: Value| {
        row.insert(name.to_owned(), value);
    };
    if with_account {
        put("account", one.account.into());
        put("account_tag", one.account.into());
    }
    put("subject", one.subject.as_str().into());
    if let Some(queue) = &one.queue {
        put("qgroup", queue.as_str().into());
    }
    put("sid", one.sid.as_str().into());
    put("msgs", one.delivered.into());
    if one.max > 0 {
        put("max", one.max.into());
    }
    put("cid", one.cid.into());
    row.into()
}
