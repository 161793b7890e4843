//! The alive events of a node (spec 02 §10).

use std::sync::Arc;
use std::time::Duration;

use super::NodeState;
use crate::core::lifecycle::EventType;

/// Time between alive events.
const INTERVAL: Duration = Duration::from_secs(30 * 60);

/// Publishes alive events for ever: the first after a random time within the
/// interval so that a fleet that started together does not report together.
pub async fn keep_alive(node: Arc<NodeState>) {
    tokio::time::sleep(INTERVAL.mul_f64(fastrand::f64())).await;
    loop {
        node.event(EventType::Alive, None).await;
        tokio::time::sleep(INTERVAL).await;
    }
}
