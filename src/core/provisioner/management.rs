//! The provisioner by the backplane: looked at, paused and resumed from afar (spec 05 §11).

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::daemon::Daemon;
use crate::core::backplane::{HealthCheckable, InfoSource, Pausable, Service};
use crate::core::build;

/// Cause of a pause; it clears no other.
const CAUSE: &str = "backplane";

struct Managed(Arc<Daemon>);

/// What the backplane offers.
pub(super) fn service(daemon: &Arc<Daemon>) -> Service {
    let managed = Arc::new(Managed(daemon.clone()));
    Service { pausable: Some(managed.clone()), health: Some(managed.clone()), ..Service::new(managed) }
}

impl InfoSource for Managed {
    /// Settings that are no secrets, one by one: the original shows all of them,
    /// passwords and tokens included.
    fn facts(&self) -> Map<String, Value> {
        let plan = self.0.plan();
        let settings = &plan.settings;
        let facts = json!({
            "site": settings.site,
            "interval": settings.interval.as_secs(),
            "helper_mode": format!("{:?}", settings.mode()).to_lowercase(),
            "workers": settings.workers(),
            "max_inflight": settings.max_inflight,
            "lifecycle_component": settings.lifecycle_component,
            "monitor_port": settings.monitor_port,
            "features": {
                "pki": settings.wants_pki(),
                "jwt": settings.wants_jwt(),
                "ed25519": settings.features.ed25519,
                "upgrades": settings.features.upgrades,
            },
        });
        match facts {
            Value::Object(facts) => facts,
            _ => Map::new(),
        }
    }

    fn version(&self) -> String {
        build::VERSION.to_owned()
    }
}

impl Pausable for Managed {
    fn pause(&self) {
        self.0.pause(CAUSE);
    }

    fn resume(&self) {
        self.0.resume(CAUSE);
    }

    fn paused(&self) -> bool {
        self.0.is_paused()
    }

    fn flip(&self) {
        // by our own pause: another cause is not ours to end
        if self.0.is_paused_by(CAUSE) { self.resume() } else { self.pause() }
    }
}

impl HealthCheckable for Managed {
    fn health(&self) -> (Value, bool) {
        let ready = self.0.ready();
        let status = self.0.status();
        let result = json!({
            "problem": ready.as_ref().err(),
            "waiting": status.nodes.ready,
            "working": status.nodes.working,
            "longest_wait_seconds": status.age_seconds.max,
            "provisioned": status.provisioned,
        });
        (result, ready.is_ok())
    }
}
