//! `/choria/`: the page of the original (spec 04 §1.11).

use serde_json::{Value, json};

use super::Process;
use crate::core::build;
use crate::core::metrics::process as own;

/// The page. `go` keeps its name, and holds the compiler that built this binary.
pub fn page(process: &Process, trusted: bool) -> Value {
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
            "rss": own::memory(),
            "cpu_percent": own::percent(process.uptime()),
            "cpu_cores": own::cores(),
        },
        "config_file": if trusted { process.about.config_file.as_str() } else { "" },
        "identity": process.about.identity,
    })
}
