//! The builtin `choria_status`: how the node says it is, in its status file (spec 06 §6.5, §11.6).

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use crate::core::files::{read_judged, unless_ours_hangs};
use crate::core::machine::turn::{Answer, Said, Setting};

const MOST: u64 = 1024 * 1024;

/// What is too long ago, or too soon.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub last_message: Option<Duration>,
    pub certificate: Duration,
    pub token: Duration,
}

/// Looks at the file.
pub(super) async fn look(limits: Limits, setting: Setting) -> Answer {
    let began = Instant::now();
    let (outcome, text) = match setting.status {
        None => ("UNKNOWN", "Status file not configured".to_owned()),
        Some((file, interval)) => {
            let place = file.clone();
            let looked = unless_ours_hangs(&place, move || judged(limits, &file, interval)).await;
            looked.unwrap_or_else(|| ("CRITICAL", "the status file does not answer".to_owned()))
        }
    };
    Answer::Said(Said { outcome, detail: text.into(), problem: String::new(), took: began.elapsed() })
}

fn judged(limits: Limits, file: &Path, interval: Duration) -> (&'static str, String) {
    let shown = file.display();
    let read = read_judged(file, MOST, |about| about.modified());
    let (text, modified) = match read {
        Ok(read) => read,
        Err(e) => return ("CRITICAL", format!("CRITICAL: {e}")),
    };
    let Ok(status) = serde_json::from_slice::<Value>(&text) else {
        return ("CRITICAL", format!("CRITICAL: {shown} is no status file"));
    };
    let now = Timestamp::now();
    let age = modified.elapsed().unwrap_or_default();
    said(&limits, &status, age, interval, now, &shown.to_string())
}

/// What the contents of a status file of that age come to.
fn said(
    limits: &Limits,
    status: &Value,
    age: Duration,
    interval: Duration,
    now: Timestamp,
    file: &str,
) -> (&'static str, String) {
    let number = |name: &str| status.get(name).and_then(Value::as_i64).unwrap_or_default();
    let stat = |name: &str| {
        status.get("stats").and_then(|s| s.get(name)).and_then(Value::as_i64).unwrap_or_default()
    };
    let left = |name: &str| -> Option<i64> {
        let time: Timestamp = status.get(name)?.as_str()?.parse().ok()?;
        (time.as_second() > 0).then(|| time.as_second() - now.as_second())
    };
    let (certificate, token) = (left("certificate_expires"), left("token_expires"));
    let below = |left: Option<i64>, limit: Duration| {
        !limit.is_zero() && left.is_some_and(|left| left < i64::try_from(limit.as_secs()).unwrap_or(i64::MAX))
    };
    let message = number("last_message");
    let since = u64::try_from(now.as_second() - message).unwrap_or(0);
    let too_long = limits.last_message.is_some_and(|limit| match message {
        0 => u64::try_from(number("uptime")).unwrap_or(0) >= limit.as_secs(),
        _ => since > limit.as_secs(),
    });
    let connected =
        status.get("connected_server").and_then(Value::as_str).is_some_and(|server| !server.is_empty());
    let problem = if age > interval.saturating_mul(3) {
        Some(format!("the file is {} seconds old", age.as_secs()))
    } else if below(certificate, limits.certificate) {
        Some(format!("the certificate expires in {} seconds", certificate.unwrap_or_default()))
    } else if below(token, limits.token) {
        Some(format!("the token expires in {} seconds", token.unwrap_or_default()))
    } else if too_long {
        Some(format!(
            "the last message came {} seconds ago",
            if message == 0 { number("uptime") } else { now.as_second() - message }
        ))
    } else if !connected {
        Some("not connected to a broker".to_owned())
    } else {
        None
    };
    let state = if problem.is_some() { "CRITICAL" } else { "OK" };
    let text = format!(
        "{state}: {}|uptime={};; filtered_msgs={};; invalid_msgs={};; passed_msgs={};; replies_msgs={};; \
         total_msgs={};; ttlexpired_msgs={};; last_msg={message};; cert_expire_seconds={};; \
         token_expire_seconds={};; events={};;",
        problem.as_deref().unwrap_or(file),
        number("uptime"),
        stat("filtered"),
        stat("invalid"),
        stat("passed"),
        stat("replies"),
        stat("total"),
        stat("ttlexpired"),
        certificate.unwrap_or(i64::MAX),
        token.unwrap_or(i64::MAX),
        stat("events"),
    );
    (state, text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_thing_that_is_wrong_is_said() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap().to_string();
        let limits = Limits {
            last_message: Some(Duration::from_secs(3600)),
            certificate: Duration::from_secs(86_400),
            token: Duration::from_secs(86_400),
        };
        let good = json!({
            "uptime": 60, "connected_server": "nats://b1:4222", "last_message": 1_799_999_990_i64,
            "stats": {"total": 5}, "certificate_expires": at(90_000), "token_expires": "0001-01-01T00:00:00Z",
        });
        let with = |name: &str, value: Value| {
            let mut status = good.clone();
            status[name] = value;
            status
        };
        let (fresh, interval) = (Duration::from_secs(10), Duration::from_secs(30));
        for (status, age, text) in [
            (good.clone(), fresh, "OK: F|uptime=60;; "),
            (with("last_message", json!(0)), fresh, "OK: F|"),
            (good.clone(), Duration::from_secs(91), "CRITICAL: the file is 91 seconds old|"),
            (
                with("certificate_expires", json!(at(100))),
                fresh,
                "CRITICAL: the certificate expires in 100 seconds|",
            ),
            (with("token_expires", json!(at(-5))), fresh, "CRITICAL: the token expires in -5 seconds|"),
            (
                with("last_message", json!(1_799_990_000_i64)),
                fresh,
                "CRITICAL: the last message came 10000 seconds ago|",
            ),
            (with("connected_server", json!("")), fresh, "CRITICAL: not connected to a broker|"),
        ] {
            let (state, said) = said(&limits, &status, age, interval, now, "F");
            assert!(said.starts_with(text), "{said}");
            assert!(said.contains(";; total_msgs=5;;"), "{said}");
            assert!(said.starts_with(state));
        }
    }
}
