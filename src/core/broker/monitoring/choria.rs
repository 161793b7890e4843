//! `/choria/`: the page of the original (spec 04 §1.11).

use serde_json::{Value, json};

use super::Monitored;
use crate::core::build;
use crate::core::metrics::process;

/// The page. `go` keeps its name, and holds the compiler that built this binary.
pub fn page(subject: &Monitored, trusted: bool) -> Value {
    json!({
        "build": {
            "version": build::VERSION,
            "sha": build::SHA,
            "build_date": build::date(),
            "license": build::LICENSE,
            "tls": true,
            "secure": true,
            "go": build::COMPILER,
            "max_broker_clients": build::MAX_BROKER_CLIENTS,
        },
        "system": {
            "rss": process::memory(),
            "cpu_percent": process::percent(subject.view.stats().uptime),
            "cpu_cores": process::cores(),
        },
        "config_file": if trusted { subject.about.config_file.as_str() } else { "" },
        "identity": subject.about.identity,
    })
}
