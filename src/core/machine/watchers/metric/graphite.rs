//! Graphite: a line a number, over TCP (spec 06 §7.2).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::Metric;
use crate::core::machine::template::{Lookup, render};
use crate::core::machine::turn::{Answer, Said, Setting, Work};

/// For all of it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the numbers go; templates.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub host: Arc<str>,
    pub port: Arc<str>,
    pub prefix: Arc<str>,
}

/// Sends a gathering.
pub(super) fn send(target: Target, metric: &Metric) -> Work {
    let metric = metric.clone();
    Work::other(move |setting| async move {
        let began = Instant::now();
        let sent = tokio::time::timeout(PATIENCE, sent(&target, &metric, setting)).await;
        let problem = match sent {
            Ok(Ok(())) => String::new(),
            Ok(Err(e)) => e,
            Err(_) => format!("Graphite at {} did not take the metrics within {PATIENCE:?}", target.host),
        };
        Answer::Said(Said { outcome: "sent", problem, took: began.elapsed(), ..Said::default() })
    })
}

async fn sent(target: &Target, metric: &Metric, setting: Setting) -> Result<(), String> {
    let facts = setting.facts_for(&[&target.host, &target.port, &target.prefix]).await;
    let scope = setting.scope(&facts);
    let made = |text: &str| render(text, &Lookup { scope: &scope }).map_err(|e| e.to_string());
    let (host, port, prefix) = (made(&target.host)?, made(&target.port)?, made(&target.prefix)?);
    let port: u16 = port.trim().parse().map_err(|_| format!("graphite_port {port:?} is no port"))?;
    let wrong = |e: std::io::Error| format!("the metrics were not sent to Graphite at {host}:{port}: {e}");
    let mut stream = TcpStream::connect((host.as_str(), port)).await.map_err(wrong)?;
    stream.write_all(lines(&prefix, metric).as_bytes()).await.map_err(wrong)?;
    stream.shutdown().await.map_err(wrong)
}

fn lines(prefix: &str, metric: &Metric) -> String {
    let word = |text: &str| text.replace(|c: char| c.is_whitespace() || c.is_control(), "_");
    let mut out = String::new();
    for (name, value) in &metric.metrics {
        let name = if **name == *"choria_runtime_seconds" { "runtime" } else { name };
        out.push_str(&format!("{}.{} {value:.6} {}\n", word(prefix), word(name), metric.time));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_blank_is_one_word() {
        let mut metric = Metric { time: 5, ..Metric::default() };
        metric.metrics.insert("big value\n".into(), 1.5);
        metric.metrics.insert("choria_runtime_seconds".into(), 0.25);
        assert_eq!(lines("a b", &metric), "a_b.big_value_ 1.500000 5\na_b.runtime 0.250000 5\n");
    }
}
