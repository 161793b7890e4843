//! The checks a DDL names for strings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::core::protocol::filter::search;

/// What a check says about a text.
pub(super) enum Verdict {
    /// It passes.
    Pass,
    /// It does not, for this reason.
    Refuse(String),
    /// Nobody here knows the check.
    Unknown,
}

/// Applies a check. A name starting with a lower-case letter is a named one,
/// anything else a regular expression.
pub(super) fn check(validation: &str, text: &str) -> Verdict {
    let refuse = |bad: bool, reason: &str| {
        if bad { Verdict::Refuse(reason.into()) } else { Verdict::Pass }
    };
    match validation {
        "" => Verdict::Pass,
        "shellsafe" => match ["`", "$", ";", "|", "&&", ">", "<"].iter().find(|c| text.contains(**c)) {
            Some(found) => Verdict::Refuse(format!("may not contain '{found}'")),
            None => Verdict::Pass,
        },
        // of the original's interface of tasks
        "bolt_task_name" => {
            let segment = |part: &str| {
                part.starts_with(|c: char| c.is_ascii_lowercase())
                    && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            };
            refuse(!text.split("::").all(segment), "is not the name of a task")
        }
        "ipv4address" => refuse(!is_ipv4(text), "is not an IPv4 address"),
        "ipv6address" => refuse(!is_ipv6(text), "is not an IPv6 address"),
        "ipaddress" => refuse(text.parse::<IpAddr>().is_err(), "is not an IP address"),
        named if named.starts_with(|c: char| c.is_ascii_lowercase()) => Verdict::Unknown,
        expression => {
            let found = search(expression).is_some_and(|regex| regex.is_match(text));
            refuse(!found, &format!("input does not match '{expression}'"))
        }
    }
}

fn is_ipv4(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok() || text.parse::<Ipv6Addr>().is_ok_and(|a| a.to_ipv4_mapped().is_some())
}

fn is_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok_and(|a| a.to_ipv4_mapped().is_none())
}
