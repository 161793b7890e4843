//! How a provisioner goes, for people.

use choria::core::provisioner::status::Status;

use crate::cmd::out::outln;
use crate::cmd::render::text::clean;

/// Writes it.
pub fn show(status: &Status) {
    let Status { nodes, .. } = status;
    let since = jiff::Timestamp::from_second(status.started).map(|time| time.to_string()).unwrap_or_default();
    outln!("         Identity: {} (choria {}), since {since}", status.identity, status.version);
    outln!(
        "           Broker: {}",
        if status.connected.is_empty() { "not connected" } else { &status.connected }
    );
    outln!("           Helper: {}", status.helper);
    let paused = if status.paused.is_empty() { "no".to_owned() } else { status.paused.join(", ") };
    outln!("           Paused: {paused}");
    outln!(
        "      Provisioned: {}, {} in the last minute",
        status.provisioned,
        status.provisioned_last_minute
    );
    outln!(
        "            Nodes: {} waiting, {} in work, {} to be tried again, {} just done, {} left alone as they keep coming back",
        nodes.ready,
        nodes.working,
        nodes.later,
        nodes.cooling,
        nodes.quarantined
    );
    let ages = status.age_seconds;
    outln!(
        "      Have waited: half {} s, 90 % {} s, 99 % {} s, longest {} s",
        ages.p50,
        ages.p90,
        ages.p99,
        ages.max
    );
    for stage in status.stages.iter().filter(|stage| stage.done + stage.nodes > 0) {
        let within =
            |millis: Option<u64>| millis.map_or("longer".to_owned(), |millis| format!("{millis} ms"));
        outln!(
            "{:>17}: {} in it, half within {}, 95 % within {}",
            format!("Stage {}", stage.stage),
            stage.nodes,
            within(stage.half_millis),
            within(stage.most_millis)
        );
    }
    for (reason, count) in status.reasons.iter().filter(|(_, count)| **count > 0) {
        outln!("{:>17}: {count}", format!("Ended {reason}"));
    }
    let failed = status.recent.iter().filter(|end| !end.reason.is_empty());
    for end in failed.take(10) {
        let at = jiff::Timestamp::from_second(end.at).map(|time| time.to_string()).unwrap_or_default();
        // names and reasons are words of who waits
        let line = format!("{at} {}: {}: {}", end.node, end.kind, end.reason);
        outln!("{}", clean(&line, false));
    }
}
