//! Replies of an RPC request for people and for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use choria::core::client::{RequestStats, RpcReply};
use choria::core::ddl::{Action, Display};
use choria::core::rpc::StatusCode;

use super::columns;
use super::text::{Colour, clean, duration, paint};

/// Names of silent nodes that are listed without `-v`.
const LISTED: usize = 200;
/// Lists up to this long stay on one line.
const INLINE: usize = 80;

/// One reply as JSON; `flat` puts the sender last, as JSON lines do.
pub fn json(reply: &RpcReply, flat: bool) -> Value {
    let body = &reply.body;
    let code = body.statuscode.code();
    let (sender, time) = (&reply.sender, reply.time);
    if flat {
        json!({"action": body.action, "statuscode": code, "statusmsg": body.statusmsg, "data": body.data,
               "sender": sender, "time_utc": time})
    } else {
        json!({"sender": sender, "action": body.action, "statuscode": code, "statusmsg": body.statusmsg,
               "data": body.data, "time_utc": time})
    }
}

/// How replies are written for people.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Which replies are shown.
    pub display: Display,
    /// Data as JSON.
    pub verbose: bool,
    /// Colour codes.
    pub colour: bool,
}

/// One reply for people; `None` when the display mode hides it. A reason for a
/// failure is never hidden.
pub fn text(reply: &RpcReply, action: &Action, style: Style) -> Option<String> {
    let ok = reply.body.statuscode == StatusCode::Ok;
    if !style.display.shows(ok) {
        return None;
    }
    let status = match reply.body.statuscode {
        StatusCode::Ok => String::new(),
        StatusCode::Aborted => "Request Aborted".to_owned(),
        StatusCode::UnknownAction => "Unknown Action".to_owned(),
        StatusCode::MissingData => "Missing Request Data".to_owned(),
        StatusCode::InvalidData => "Invalid Request Data".to_owned(),
        StatusCode::UnknownError => "Unknown Request Status".to_owned(),
        StatusCode::Other(code) => format!("Unknown Status {code}"),
    };
    let mut out = String::with_capacity(256);
    let sender = clean(&reply.sender, false);
    if status.is_empty() {
        out.push_str(&sender);
    } else {
        let status = paint(&status, Colour::Red, style.colour && !ok);
        out.push_str(format!("{sender:<40} {status}").trim_end());
    }
    out.push_str("\n\n");
    if !ok {
        let message = clean(&reply.body.statusmsg, true);
        for line in message.lines() {
            out.push_str(&format!("    {}\n", paint(line, Colour::Yellow, style.colour)));
        }
    }
    if style.verbose && (ok || !reply.body.data.is_empty()) {
        let mut data = Value::Object(reply.body.data.clone());
        data.sort_all_objects();
        let pretty = serde_json::to_string_pretty(&data).unwrap_or_default();
        pretty.lines().for_each(|line| out.push_str(&format!("   {}\n", clean(line, false))));
    } else if ok {
        outputs(&mut out, reply, action);
    }
    out.push('\n');
    Some(out)
}

/// `label: value` rows; outputs the node did not send show the DDL's default.
fn outputs(out: &mut String, reply: &RpcReply, action: &Action) {
    let shown = action.shown(&reply.body.data);
    let rows: Vec<_> =
        shown.into_iter().map(|(name, value)| (clean(action.label(name), false), value)).collect();
    let width = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0) + 3;
    for (label, value) in rows {
        let _ = write!(out, "{label:>width$}: {}", plain(value, width + 2));
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
}

/// A value for people, further lines indented by `indent`.
fn plain(value: &Value, indent: usize) -> String {
    let indented = |text: &str| clean(text, true).replace('\n', &format!("\n{}", " ".repeat(indent)));
    match value {
        Value::Null => String::new(),
        Value::String(text) => indented(text),
        Value::Array(items) if !items.iter().any(Value::is_object) && value.to_string().len() <= INLINE => {
            let items: Vec<String> = items.iter().map(Value::to_string).collect();
            clean(&format!("[{}]", items.join(", ")), false).into_owned()
        }
        Value::Array(_) | Value::Object(_) => {
            let mut sorted = value.clone();
            sorted.sort_all_objects();
            indented(&serde_json::to_string_pretty(&sorted).unwrap_or_default())
        }
        other => other.to_string(),
    }
}

/// Aggregates, sorted by output name, with their blank lines.
pub fn summaries(action: &Action, formatted: &std::collections::BTreeMap<String, Vec<String>>) -> String {
    let mut out = String::new();
    for (output, lines) in formatted {
        out.push_str(&format!("Summary of {}:\n\n", clean(action.label(output), false)));
        if lines.is_empty() {
            out.push_str("   No summary received\n");
        }
        lines.iter().for_each(|line| out.push_str(&format!("   {}\n", clean(line, false))));
        out.push('\n');
    }
    out
}

/// The last lines of a request: how many answered, who did not.
pub fn footer(stats: &RequestStats, verbose: bool, colour: bool) -> String {
    let total = stats.discover_time + stats.request_time;
    let mut out = String::new();
    if verbose {
        out.push_str("---- request stats ----\n");
        for (label, value) in [
            ("Request ID", stats.requestid.clone()),
            ("Nodes", format!("{} / {}", stats.responses, stats.discovered)),
            ("Pass / Fail", format!("{} / {}", stats.ok, stats.failed)),
            ("No Responses", stats.no_responses.len().to_string()),
            ("Unexpected Responses", stats.unexpected_responses.len().to_string()),
            ("Dropped Responses", stats.dropped_responses.to_string()),
            ("Start Time", stats.start_time_utc.strftime("%Y-%m-%dT%H:%M:%S+0000").to_string()),
            ("Discovery Time", duration(stats.discover_time)),
            ("Publish Time", duration(stats.publish_time)),
            ("Agent Time", duration(stats.request_time)),
            ("Total Time", duration(total)),
        ] {
            out.push_str(&format!("{label:>20}: {value}\n"));
        }
    } else {
        let counts = format!("{} / {}", stats.responses, stats.discovered);
        let hue = match stats.responses {
            0 => Colour::Red,
            n if n < stats.discovered => Colour::Yellow,
            _ => Colour::Green,
        };
        out.push_str(&format!(
            "Finished processing {} hosts in {}\n",
            paint(&counts, hue, colour),
            duration(total)
        ));
    }
    for (title, names) in [
        ("No Responses from", &stats.no_responses),
        ("Unexpected Responses from", &stats.unexpected_responses),
        ("Discovered too late to be asked, try --fixed-window", &stats.late_discoveries),
    ] {
        if names.is_empty() {
            continue;
        }
        let shown = if verbose { names.len() } else { names.len().min(LISTED) };
        out.push_str(&format!("\n{title}: {}\n\n", names.len()));
        out.push_str(&columns::across(&names[..shown], 3, 4));
        if shown < names.len() {
            out.push_str(&format!("    … and {} more, all with -v\n", names.len() - shown));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use choria::core::ddl::builtin;
    use choria::core::protocol::v1::{Reply, ReplyEnvelope};
    use choria::core::rpc::ReplyBody;

    use super::*;

    fn reply(code: StatusCode, message: &str, data: Value) -> RpcReply {
        let data = data.as_object().cloned().unwrap_or_else(Map::new);
        let body = ReplyBody { action: "get_fact".into(), statuscode: code, statusmsg: message.into(), data };
        let envelope = ReplyEnvelope {
            requestid: "".into(),
            senderid: "n1.example.net".into(),
            agent: "rpcutil".into(),
            time: 0,
        };
        let protocol = Reply { message: body.encode().into(), envelope };
        RpcReply::new(Default::default(), &protocol)
    }

    fn action() -> &'static Action {
        builtin("rpcutil").unwrap().action("get_fact").unwrap()
    }

    const STYLE: Style = Style { display: Display::Always, verbose: false, colour: false };

    #[test]
    fn outputs_are_labelled_and_aligned() {
        let reply = reply(StatusCode::Ok, "OK", json!({"fact": "os", "value": {"name": "Debian", "v": [1]}}));
        assert_eq!(
            text(&reply, action(), STYLE).unwrap(),
            "n1.example.net\n\n    Fact: os\n   Value: {\n            \"name\": \"Debian\",\n            \"v\": [\n              1\n            ]\n          }\n\n"
        );
    }

    #[test]
    fn a_failure_says_why_in_every_mode() {
        let reply = reply(StatusCode::Aborted, "it broke\u{1b}[2J", json!({}));
        for verbose in [false, true] {
            let text = text(&reply, action(), Style { verbose, ..STYLE }).unwrap();
            assert!(text.contains("Request Aborted") && text.contains("    it broke\u{fffd}[2J"), "{text}");
        }
    }

    #[test]
    fn the_display_mode_hides_replies() {
        let good = reply(StatusCode::Ok, "OK", json!({}));
        let bad = reply(StatusCode::Aborted, "no", json!({}));
        let shown = |display, reply| text(reply, action(), Style { display, ..STYLE }).is_some();
        assert!(!shown(Display::Failed, &good) && shown(Display::Failed, &bad));
        assert!(shown(Display::Ok, &good) && !shown(Display::Ok, &bad));
    }

    #[test]
    fn silent_nodes_are_named() {
        let stats = RequestStats {
            discovered: 2,
            no_responses: vec!["n1".into(), "n2".into()],
            ..Default::default()
        };
        let text = footer(&stats, false, false);
        assert!(
            text.contains("Finished processing 0 / 2 hosts") && text.contains("No Responses from: 2"),
            "{text}"
        );
        assert!(text.contains("    n1  n2"), "{text}");
    }
}
