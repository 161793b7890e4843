//! What becomes of a message on its way, and of what there is too much of.

use super::*;

/// Alertmanager takes what it is told for over at `endsAt`.
#[test]
fn alertmanager_believes_it_until_it_is_told_again() {
    for (group, believed) in [("10s", 300), ("5m", 900), ("1h", 3 * 3600)] {
        let mut alerts = alerts(&format!("group: {group}"));
        alerts.machine(&checked("n1", "disk", 2), 10);
        let told = alerts.due(1, 20).remove(0).for_alertmanager();
        let ends: jiff::Timestamp = told[0]["endsAt"].as_str().unwrap().parse().unwrap();
        assert_eq!(ends.as_second(), 20 + believed, "{group}");
        assert!(ends.as_second() >= 20 + 2 * alerts.settings().group);
    }
}

/// Who hears that something is wrong takes its time, and the check does not wait for that.
#[test]
fn what_recovers_while_it_is_told_is_told_to_be_over() {
    // what becomes of the message, and what its receiver is told then
    type Becomes = fn(&mut Alerts, &Message);
    let ways: [(Becomes, &[&str]); 4] = [
        (|alerts, message| alerts.told(message), &["resolved disk 0 n1"]),
        // nobody knows whether it arrived
        (|_, _| {}, &["resolved disk 0 n1"]),
        (|alerts, message| alerts.not_told(message), &[]),
        // it ended by force, and begins again
        (
            |alerts, _| {
                let kept = alerts.snapshot().text();
                *alerts = self::alerts("");
                alerts.restore(kept.as_bytes(), 14).unwrap();
            },
            &["resolved disk 0 n1"],
        ),
    ];
    for (becomes, expected) in ways {
        let mut alerts = alerts("");
        alerts.machine(&checked("n1", "disk", 2), 10);
        let message = alerts.due(0, 11).remove(0);
        alerts.sends(&message);
        alerts.machine(&checked("n1", "disk", 0), 12);
        alerts.tidy();
        becomes(&mut alerts, &message);
        assert_eq!(told(&mut alerts, 0, 15), expected);
        alerts.tidy();
        assert_eq!((told(&mut alerts, 0, 16), alerts.counts().1), (vec![], 0));
    }
}

/// What was under way when it ended by force is told again where it is wrong still.
#[test]
fn what_may_not_have_arrived_is_told_again() {
    let mut before = alerts("");
    before.machine(&checked("n1", "disk", 2), 10);
    let message = before.due(0, 11).remove(0);
    before.sends(&message);
    let mut after = alerts("");
    after.restore(before.snapshot().text().as_bytes(), 20).unwrap();
    let again = after.due(0, 21).remove(0);
    assert_eq!((again.resolved, again.alerts[0].before), (false, None));
    assert_eq!(told(&mut after, 0, 21), ["firing disk 2 n1"]);
    assert_eq!(told(&mut after, 0, 22), Vec::<String>::new());
    // and so it is by another one that goes on
    let mut other = alerts("");
    other.machine(&checked("n1", "disk", 0), 10);
    other.go_on(before.snapshot().text().as_bytes(), 20).unwrap();
    assert_eq!(told(&mut other, 0, 21), ["resolved disk 0 n1"]);
    // Alertmanager has the end of another severity that it may have
    let mut alerts = alerts("");
    alerts.machine(&checked("n1", "disk", 1), 10);
    let message = alerts.due(1, 11).remove(0);
    alerts.sends(&message);
    alerts.machine(&checked("n1", "disk", 2), 12);
    let told = alerts.due(1, 13).remove(0).for_alertmanager();
    let severities: Vec<_> = told.as_array().unwrap().iter().map(|one| &one["labels"]["severity"]).collect();
    assert_eq!(severities, ["warning", "critical"]);
}

/// A node runs as many machines as that.
#[test]
fn all_checks_of_a_node_are_told_and_more_are_said_to_be_left_away() {
    let mut alerts = alerts("");
    for n in 0..2000 {
        // machines that are no checks leave their places to those that are
        alerts.machine(&moved("n1", &format!("machine{n:04}"), "RUNS"), 10);
    }
    for n in 0..2000 {
        alerts.machine(&checked("n1", &format!("check{n:04}"), 2), 10);
    }
    assert_eq!((alerts.counts().1, alerts.take_crowded()), (2000, None));
    let all: usize = alerts.due(0, 11).iter().map(|message| message.alerts.len()).sum();
    assert_eq!(all, 2000);
    alerts.machine(&checked("n1", "more", 2), 12);
    assert_eq!(alerts.take_crowded().as_deref(), Some("n1"));
    alerts.machine(&checked("n1", "evenmore", 2), 13);
    assert_eq!((alerts.take_crowded(), alerts.counts().1), (None, 2000), "it is said once of a node");
}
