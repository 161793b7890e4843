//! `dns`: whether a name is resolved, and to what; `MX:example.net` asks for records of a type.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use serde_json::{Value, json};

use super::{Kind, Look, Looking, Property};

pub(in super::super) const KIND: Kind = Kind {
    key: "dns",
    name: "DNS",
    subject: "resolve",
    properties: &[Property::new("resolveable"), Property::new("resolvable"), Property::new("addrs")],
    gated: true,
    options: &["timeout", "server"],
    look,
};

fn look<'a>(look: &'a mut Look<'_>, attribute: &'static str) -> Looking<'a> {
    Box::pin(async move {
        if look.kept.is_none() {
            let limit = look.timeout(500);
            let asked = tokio::time::timeout(limit, asked(look)).await;
            let slow = |_| format!("DNS lookup timed out ({}ms)", limit.as_millis());
            let found = asked.map_err(slow).and_then(|found| found);
            look.kept = Some(found.map(|mut found| {
                found.sort();
                found.into()
            }));
        }
        let found = look.kept.clone().unwrap_or(Ok(Value::Null))?;
        Ok(match attribute {
            "addrs" => found,
            _ => json!(found.as_array().is_some_and(|all| !all.is_empty())),
        })
    })
}

async fn asked(look: &Look<'_>) -> Result<Vec<String>, String> {
    let subject = &look.resource.subject;
    let (kind, name) = match subject.split_once(':') {
        Some((kind, name)) if !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_uppercase()) => {
            (Some(kind), name)
        }
        _ => (None, subject.as_str()),
    };
    let server = match look.option("server") {
        // the names of this machine, /etc/hosts as well, as everything else of it resolves them
        None if matches!(kind, None | Some("A" | "AAAA")) => {
            let found = tokio::net::lookup_host((name, 0)).await.map(Iterator::collect::<Vec<_>>);
            let wanted = |address: &IpAddr| match kind {
                Some("A") => address.is_ipv4(),
                Some("AAAA") => address.is_ipv6(),
                _ => true,
            };
            let found = found.unwrap_or_default().into_iter().map(|address| address.ip()).filter(wanted);
            return Ok(found.map(|ip| ip.to_string()).collect());
        }
        server => server,
    };
    let builder = match server {
        Some(server) => {
            let address = server
                .parse::<SocketAddr>()
                .or_else(|_| server.parse::<IpAddr>().map(|ip| SocketAddr::from((ip, 53))));
            let address = address.map_err(|_| format!("{server} is no address of a server"))?;
            let mut name_server = NameServerConfig::udp_and_tcp(address.ip());
            name_server.connections.iter_mut().for_each(|one| one.port = address.port());
            let config = ResolverConfig::from_parts(None, vec![], vec![name_server]);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
        None => TokioResolver::builder_tokio().map_err(|e| e.to_string())?,
    };
    let resolver = builder.build().map_err(|e| e.to_string())?;
    let name = match (kind, name.parse::<IpAddr>()) {
        (Some("PTR"), Ok(address)) => reversed(address),
        _ => format!("{}.", name.trim_end_matches('.')),
    };
    let kinds = match kind {
        None => vec![RecordType::A, RecordType::AAAA],
        Some(kind) => vec![kind.parse().map_err(|_| format!("{kind} is no type of records"))?],
    };
    let mut all = Vec::new();
    for kind in kinds {
        match resolver.lookup(name.clone(), kind).await {
            Ok(found) => all.extend(found.answers().iter().filter_map(|record| shown(&record.data))),
            Err(e) if e.is_no_records_found() || e.is_nx_domain() => {}
            Err(e) => return Err(e.to_string()),
        }
    }
    Ok(all)
}

fn reversed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(v6) => {
            let digits: Vec<String> =
                v6.octets().iter().rev().map(|byte| format!("{:x}.{:x}", byte & 15, byte >> 4)).collect();
            format!("{}.ip6.arpa.", digits.join("."))
        }
    }
}

/// A record as rules write it.
fn shown(data: &RData) -> Option<String> {
    Some(match data {
        RData::A(address) => address.to_string(),
        RData::AAAA(address) => address.to_string(),
        RData::CNAME(name) => name.to_utf8(),
        RData::NS(name) => name.to_utf8(),
        RData::PTR(name) => name.to_utf8(),
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_turned_around() {
        assert_eq!(reversed("192.0.2.1".parse().unwrap()), "1.2.0.192.in-addr.arpa.");
        assert!(reversed("2001:db8::1".parse().unwrap()).starts_with("1.0.0.0."));
        assert!(reversed("2001:db8::1".parse().unwrap()).ends_with("8.b.d.0.1.0.0.2.ip6.arpa."));
    }
}
