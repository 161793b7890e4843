//! PuppetDB: what Puppet knows of nodes, asked in its own language (spec 03 §4.3).
//!
//! The query is the original's but for patterns: that writes every letter as `[xX]`, those
//! of `\d` and of ranges as well, which then mean something else, and leaves backslashes
//! as they are, which PuppetDB takes for escapes of its own.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;
use tokio_rustls::TlsConnector;

use super::is_name;
use crate::core::client::Client;
use crate::core::config::{Config, Environment, Origin};
use crate::core::connection::{ServerUrl, SrvResolver, srv_domain};
use crate::core::protocol::filter::{FactFilter, FactOperator, Filter};
use crate::core::security::https;
use crate::core::text::shortened;

/// Largest answer: a million nodes.
const MAX_ANSWER: usize = 128 * 1024 * 1024;
/// Longest wait for one server: large fleets are not asked within two seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longer queries are posted, as an address of that length is refused on the way.
const LONGEST_ADDRESS: usize = 4096;
const PATH: &str = "/pdb/query/v4";
/// What stands before a query of the user's own among identities.
const PQL: &str = "pql:";
/// Agents that every node has.
const EVERYWHERE: [&str; 3] = ["rpcutil", "scout", "choria_util"];

/// Why PuppetDB named no nodes.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the texts say it
pub enum PuppetDbError {
    #[error("PuppetDB cannot be asked by -S, only by -F, -C, -A, -I and -W")]
    Expression,
    #[error("PuppetDB cannot be asked for {kind} {text:?}: {why}")]
    Filter { kind: &'static str, text: String, why: &'static str },
    #[error("PuppetDB at {server}: {reason}")]
    Unreachable { server: String, reason: String },
    #[error("PuppetDB refuses the query: {0}")]
    Refused(String),
    #[error("PuppetDB at {server} answers with something else than a list of nodes: {reason}")]
    Answer { server: String, reason: String },
}

/// Names of the nodes that match, in PuppetDB's order.
///
/// # Errors
/// [`PuppetDbError`]; that of the last server, where several are known.
pub async fn puppetdb(
    client: &Client,
    env: &dyn Environment,
    collective: &str,
    filter: &Filter,
) -> Result<Vec<String>, PuppetDbError> {
    let query = query(collective, filter)?;
    let mut last = None;
    for server in servers(client.config(), env).await {
        let asked = tokio::time::timeout(PATIENCE, ask(client, &server, &query)).await;
        match asked {
            Ok(Err(unreachable @ PuppetDbError::Unreachable { .. })) => last = Some(unreachable),
            Ok(answer) => return answer,
            Err(_) => {
                let reason = format!("it did not answer within {} s", PATIENCE.as_secs());
                last = Some(PuppetDbError::Unreachable { server: shown(&server), reason });
            }
        }
    }
    Err(last.unwrap_or_else(|| PuppetDbError::Unreachable {
        server: "?".to_owned(),
        reason: "none is known; set plugin.choria.puppetdb_host".to_owned(),
    }))
}

fn shown(server: &ServerUrl) -> String {
    format!("{}:{}", server.host(), server.port())
}

/// Where PuppetDB may be: as configured, else by SRV records, else on `puppet`.
async fn servers(config: &Config, env: &dyn Environment) -> Vec<ServerUrl> {
    let port = u16::try_from(config.choria_puppetdb_port).unwrap_or(8081);
    let configured = ["plugin.choria.puppetdb_host", "plugin.choria.puppetdb_port"];
    if configured.iter().any(|key| config.origin(key) != Origin::Default) || !config.choria_use_srv {
        let host = Some(config.choria_puppetdb_host.as_str()).filter(|host| !host.is_empty());
        return vec![ServerUrl::nats(host.unwrap_or("puppet"), port)];
    }
    let mut found = vec![];
    if let (Some(domain), Ok(resolver)) = (srv_domain(config, env), SrvResolver::system()) {
        for (name, own_port) in [("_x-puppet-db._tcp", true), ("_x-puppet._tcp", false)] {
            let records = resolver.first(&[format!("{name}.{domain}")]).await;
            let records = records.inspect_err(|e| {
                tracing::warn!("looking for PuppetDB: {e}; plugin.choria.puppetdb_host names it without them")
            });
            found = records.unwrap_or_default();
            if !found.is_empty() {
                let moved = |server: &ServerUrl| ServerUrl::nats(server.host(), port);
                return if own_port { found } else { found.iter().map(moved).collect() };
            }
        }
    }
    found.push(ServerUrl::nats("puppet", port));
    found
}

async fn ask(client: &Client, server: &ServerUrl, query: &str) -> Result<Vec<String>, PuppetDbError> {
    let unreachable = |reason: String| PuppetDbError::Unreachable { server: shown(server), reason };
    let encoded = utf8_percent_encode(query, NON_ALPHANUMERIC).to_string();
    let request = if encoded.len() <= LONGEST_ADDRESS {
        Request::get(format!("{PATH}?query={encoded}")).body(Full::default())
    } else {
        let body = serde_json::json!({ "query": query }).to_string();
        Request::post(PATH).header(CONTENT_TYPE, "application/json").body(Full::new(Bytes::from(body)))
    };
    let mut request = request.map_err(|e| unreachable(e.to_string()))?;
    let host = shown(server).parse().map_err(|_| unreachable("it has an odd name".to_owned()))?;
    request.headers_mut().insert(HOST, host);
    let (tls, at) = (TlsConnector::from(client.tls().clone()), (server.host(), server.port()));
    let (status, text) = https::ask(&tls, at, request, MAX_ANSWER).await.map_err(unreachable)?;
    let words = || format!("{status}: {}", shortened(&String::from_utf8_lossy(&text), 200));
    match status {
        StatusCode::OK => {}
        StatusCode::BAD_REQUEST => return Err(PuppetDbError::Refused(words())),
        _ => return Err(unreachable(words())),
    }
    names(&text).map_err(|reason| PuppetDbError::Answer { server: shown(server), reason })
}

#[derive(Deserialize)]
struct Found {
    certname: String,
    /// When it was; the original takes a truth here, which PuppetDB never sends.
    #[serde(default)]
    deactivated: Value,
}

/// The nodes of an answer that are still there.
fn names(text: &[u8]) -> Result<Vec<String>, String> {
    let found: Vec<Found> = serde_json::from_slice(text).map_err(|e| {
        let begins: String = String::from_utf8_lossy(text).chars().take(40).collect();
        format!("{e}; it begins with {:?}", begins)
    })?;
    let alive = found.into_iter().filter(|node| matches!(node.deactivated, Value::Null | Value::Bool(false)));
    let names: Vec<String> = alive.map(|node| node.certname).collect();
    match names.iter().find(|name| !is_name(name)) {
        Some(name) => Err(format!("{:?} is no name of a node", shortened(name, 100))),
        None => Ok(names),
    }
}

/// The query for a filter.
fn query(collective: &str, filter: &Filter) -> Result<String, PuppetDbError> {
    if !filter.compound.is_empty() {
        return Err(PuppetDbError::Expression);
    }
    let mut parts = vec![format!(
        r#"certname in inventory[certname] {{ facts.mcollective.server.collectives.match("\d+") = {} }}"#,
        quoted(collective)
    )];
    let mut add = |joint: &str, of_kind: Vec<String>| {
        if !of_kind.is_empty() {
            parts.push(of_kind.join(joint));
        }
    };
    add(" or ", filter.identity.iter().map(|name| identity(name)).collect());
    add(" and ", filter.cf_class.iter().map(|name| class(name)).collect());
    add(" and ", filter.agent.iter().map(|name| agent(name)).collect());
    add(" and ", filter.fact.iter().map(fact).collect::<Result<_, _>>()?);
    let parts: Vec<String> = parts.iter().map(|part| format!("({part})")).collect();
    Ok(format!("nodes[certname, deactivated] {{ {} }}", parts.join(" and ")))
}

fn identity(name: &str) -> String {
    if let Some(own) = name.strip_prefix(PQL) {
        return format!("certname in {}", own.trim());
    }
    match pattern(name) {
        Some(pattern) => format!("certname ~ {}", regex(pattern)),
        None => format!("certname = {}", quoted(name)),
    }
}

fn class(name: &str) -> String {
    match pattern(name) {
        Some(pattern) => format!(r#"resources {{type = "Class" and title ~ {}}}"#, regex(pattern)),
        None => format!(r#"resources {{type = "Class" and title = {}}}"#, quoted(&titled(name))),
    }
}

fn agent(name: &str) -> String {
    if EVERYWHERE.contains(&name) {
        let services = [class("choria::service"), class("mcollective::service")];
        return format!("({})", services.join(" or "));
    }
    match pattern(name) {
        Some(pattern) => {
            let tag = format!("mcollective_agent_.*?{}.*?_server", both_cases(pattern));
            format!(r#"resources {{type = "File" and tag ~ {}}}"#, quoted(&tag))
        }
        None => {
            let tag = format!("mcollective_agent_{name}_server");
            format!(r#"resources {{type = "File" and tag = {}}}"#, quoted(&tag))
        }
    }
}

fn fact(fact: &FactFilter) -> Result<String, PuppetDbError> {
    let FactFilter { fact: path, operator, value } = fact;
    let refused = |text: &str, why| PuppetDbError::Filter { kind: "fact", text: text.to_owned(), why };
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    if !path.split('.').all(plain) {
        return Err(refused(path, "its path may have letters, digits, '_', '-' and '.' only"));
    }
    let literal =
        value.parse::<f64>().is_ok_and(f64::is_finite) || ["true", "false"].contains(&value.as_str());
    let equal = || {
        let text = format!("facts.{path} = {}", quoted(value));
        if literal { format!("facts.{path} = {value} or {text}") } else { text }
    };
    let test = match operator {
        FactOperator::Match => {
            let pattern = value.trim_start_matches('/').trim_end_matches('/');
            format!("facts.{path} ~ {}", regex(pattern))
        }
        FactOperator::Equal => equal(),
        FactOperator::NotEqual => format!("!({})", equal()),
        order if value.parse::<f64>().is_ok_and(f64::is_finite) => {
            format!("facts.{path} {} {value}", order.as_str())
        }
        _ => return Err(refused(value, "only numbers can be ordered")),
    };
    Ok(format!("inventory {{{test}}}"))
}

/// What stands between slashes.
fn pattern(text: &str) -> Option<&str> {
    text.strip_prefix('/')?.strip_suffix('/')
}

/// As Puppet writes the names of classes: `roles::apache` is `Roles::Apache`.
fn titled(name: &str) -> String {
    let title = |part: &str| {
        let mut letters = part.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    };
    name.split("::").map(title).collect::<Vec<_>>().join("::")
}

/// A text of the language is one of JSON (measured; the original leaves the backslashes of
/// patterns alone, and PuppetDB refuses them). Nothing in it ends it.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn regex(pattern: &str) -> String {
    quoted(&both_cases(pattern))
}

/// A pattern that takes letters of either case, without a flag: PostgreSQL has it in
/// another place. Escapes stay, and in a set each letter and range stands twice.
fn both_cases(pattern: &str) -> String {
    let swapped =
        |c: char| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
    let mut out = String::new();
    let mut letters = pattern.chars().peekable();
    let mut in_set = false;
    while let Some(c) = letters.next() {
        match c {
            '\\' => {
                out.push(c);
                out.extend(letters.next());
            }
            '[' if !in_set => {
                in_set = true;
                out.push(c);
                // the first of a set closes nothing
                out.extend(letters.next_if_eq(&'^'));
                out.extend(letters.next_if_eq(&']'));
            }
            // a named class, such as [:digit:]
            '[' if letters.peek() == Some(&':') => {
                out.push(c);
                for c in letters.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            ']' if in_set => {
                in_set = false;
                out.push(c);
            }
            c if in_set && c.is_ascii_alphabetic() => {
                let range = letters.next_if_eq(&'-').is_some();
                let to = if range { letters.next_if(|c| c.is_ascii_alphabetic()) } else { None };
                match to {
                    Some(to) => out.push_str(&format!("{c}-{to}{}-{}", swapped(c), swapped(to))),
                    None if range => out.push_str(&format!("{c}{}-", swapped(c))),
                    None => out.extend([c, swapped(c)]),
                }
            }
            c if !in_set && c.is_ascii_alphabetic() => {
                out.push_str(&format!("[{}{}]", c.to_ascii_lowercase(), c.to_ascii_uppercase()));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(add: impl Fn(&mut Filter)) -> Filter {
        let mut filter = Filter::default();
        add(&mut filter);
        filter
    }

    #[test]
    fn queries_are_the_originals() {
        let of = |filter: &Filter| {
            let query = query("uk", filter).unwrap();
            let rest =
                query.strip_prefix("nodes[certname, deactivated] { ").unwrap().strip_suffix(" }").unwrap();
            let collective = r#"(certname in inventory[certname] { facts.mcollective.server.collectives.match("\d+") = "uk" })"#;
            rest.strip_prefix(collective).unwrap().strip_prefix(" and ").unwrap_or_default().to_owned()
        };
        assert_eq!(of(&Filter::default()), "");
        let identities = filter(|f| {
            f.add_identity("/x/").unwrap();
            f.add_identity("y").unwrap();
            f.add_identity(r#"pql: nodes[certname] { facts_environment = "production" }"#).unwrap();
        });
        assert_eq!(
            of(&identities),
            r#"(certname ~ "[xX]" or certname = "y" or certname in nodes[certname] { facts_environment = "production" })"#
        );
        let classes = filter(|f| {
            f.add_class("/foo/").unwrap();
            f.add_class("foo::bar").unwrap();
        });
        assert_eq!(
            of(&classes),
            r#"(resources {type = "Class" and title ~ "[fF][oO][oO]"} and resources {type = "Class" and title = "Foo::Bar"})"#
        );
        let agents = filter(|f| ["rpcutil", "rspec1", "/rs/"].iter().for_each(|a| f.add_agent(a).unwrap()));
        assert_eq!(
            of(&agents),
            concat!(
                r#"((resources {type = "Class" and title = "Choria::Service"} or "#,
                r#"resources {type = "Class" and title = "Mcollective::Service"}) and "#,
                r#"resources {type = "File" and tag = "mcollective_agent_rspec1_server"} and "#,
                r#"resources {type = "File" and tag ~ "mcollective_agent_.*?[rR][sS].*?_server"})"#
            )
        );
        for (typed, asked) in [
            ("f=~v", r#"(inventory {facts.f ~ "[vV]"})"#),
            ("f=/v/", r#"(inventory {facts.f ~ "[vV]"})"#),
            ("f=v", r#"(inventory {facts.f = "v"})"#),
            ("f!=v", r#"(inventory {!(facts.f = "v")})"#),
            ("f>=1", "(inventory {facts.f >= 1})"),
            ("os.n=true", r#"(inventory {facts.os.n = true or facts.os.n = "true"})"#),
            ("f!=1.5", r#"(inventory {!(facts.f = 1.5 or facts.f = "1.5")})"#),
        ] {
            assert_eq!(of(&filter(|f| f.add_fact(typed).unwrap())), asked, "{typed}");
        }
    }

    #[test]
    fn nothing_that_is_typed_becomes_a_query() {
        let refused = |add: &dyn Fn(&mut Filter)| query("c", &filter(add)).unwrap_err().to_string();
        assert!(refused(&|f| f.add_fact("f>=v").unwrap()).contains("only numbers"));
        assert!(refused(&|f| f.add_fact("a b=1").unwrap()).contains("its path"));
        assert!(refused(&|f| f.set_expression("true").unwrap()).contains("-S"));
        let asked = |add: &dyn Fn(&mut Filter)| query("c\"d", &filter(add)).unwrap();
        for (query, quoted) in [
            (asked(&|f| f.add_fact("f=x\" or \"").unwrap()), r#"facts.f = "x\" or \"""#),
            (asked(&|f| f.add_class("a\"b").unwrap()), r#"title = "A\"b""#),
            (asked(&|f| f.add_class("/1\"2/").unwrap()), r#"title ~ "1\"2""#),
            (asked(&|f| f.add_identity(r"/1\/").unwrap()), r#"certname ~ "1\\""#),
        ] {
            assert!(query.contains(quoted) && query.contains(r#"= "c\"d""#), "{query}");
        }
    }

    #[test]
    fn letters_of_either_case() {
        for (pattern, both) in [
            ("a1_$-2bZ", "[aA]1_$-2[bB][zZ]"),
            (r"web\d+", r"[wW][eE][bB]\d+"),
            ("[a-c]x", "[a-cA-C][xX]"),
            ("[^]a0-9]", "[^]aA0-9]"),
            ("[[:alpha:]b]", "[[:alpha:]bB]"),
            (r"[\d]", r"[\d]"),
            ("[a-]", "[aA-]"),
            (r"\", r"\"),
        ] {
            assert_eq!(both_cases(pattern), both, "{pattern}");
        }
    }

    #[test]
    fn answers() {
        let read = |text: &str| names(text.as_bytes());
        let some = r#"[{"certname":"n1","deactivated":null},{"certname":"n2","deactivated":"2026-01-01T00:00:00Z"},
            {"certname":"n3"},{"certname":"n4","deactivated":true}]"#;
        assert_eq!(read(some).unwrap(), ["n1", "n3"]);
        assert_eq!(read("[]").unwrap(), Vec::<String>::new());
        assert!(read("<html><body>").unwrap_err().contains("begins with \"<html>"));
        assert!(read(r#"{"error":"x"}"#).unwrap_err().contains("expected a sequence"));
        assert!(read(r#"[{"certname":"a b"}]"#).unwrap_err().contains("no name"));
    }
}
