//! Checks of nodes, as events tell of them.

use super::*;

fn checked(identity: &str, machine: &str, status: u8) -> Seen {
    Seen::Checked(Checked {
        identity: identity.into(),
        machine: machine.into(),
        version: "1.0.0".into(),
        status,
        output: "said".into(),
        at: 0,
        looked: 0,
        every: 0,
        life: 0,
    })
}

fn of(seen: &Seen) -> Moved {
    match seen {
        Seen::Moved(moved) => moved.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn checks_are_as_they_were_told_last() {
    let mut fleet = Fleet::default();
    assert!(fleet.take(&checked("n1", "disk", 0), 100).unwrap().differs);
    assert!(!fleet.take(&checked("n1", "disk", 0), 160).unwrap().differs);
    assert!(fleet.take(&checked("n1", "disk", 2), 220).unwrap().differs);
    let moved = Seen::Moved(Moved {
        identity: "n1".into(),
        machine: "disk".into(),
        version: "1.0.0".into(),
        transition: "MAINTENANCE".into(),
        from: "CRITICAL".into(),
        to: "MAINTENANCE".into(),
        at: 0,
        life: 0,
    });
    fleet.take(&moved, 230).unwrap();
    let track = &fleet.nodes()["n1"].tracks["disk"];
    assert!(track.rests() && track.status == Some(WELL) && track.since == 230);
    assert_eq!(track.history, [(100, 0), (160, 0), (220, 2)]);
    let resumed = Seen::Moved(Moved { to: "UNKNOWN".into(), ..of(&moved) });
    fleet.take(&resumed, 240).unwrap();
    let track = &fleet.nodes()["n1"].tracks["disk"];
    assert!(track.waits && track.status == Some(UNKNOWN) && track.output.is_empty());
    fleet.take(&checked("n1", "disk", 2), 250).unwrap();
    let track = &fleet.nodes()["n1"].tracks["disk"];
    assert!(!track.waits && track.status == Some(2));
    fleet.alive("n1", 300);
    fleet.alive("n2", 300);
    assert_eq!((fleet.nodes()["n1"].seen, fleet.nodes().len(), fleet.count()), (300, 1, 1));
    fleet.forget("n1");
    assert_eq!((fleet.nodes().len(), fleet.count()), (0, 0));
}

/// Its machine moves with what it finds, and when it is asked, and mends: none of that is news.
#[test]
fn a_change_is_told_once() {
    let mut fleet = Fleet::default();
    let moved = |to: &str| {
        Seen::Moved(Moved {
            identity: "n1".into(),
            machine: "disk".into(),
            version: "1.0.0".into(),
            transition: to.into(),
            from: "OK".into(),
            to: to.into(),
            at: 0,
            life: 0,
        })
    };
    let heard = [
        (checked("n1", "disk", 0), true),
        (moved("OK"), false),
        (checked("n1", "disk", 2), true),
        (moved("CRITICAL"), false),
        (moved("FORCE_CHECK"), false),
        (moved("UNKNOWN"), false),
        (checked("n1", "disk", 2), false),
        (moved("MAINTENANCE"), true),
        (moved("UNKNOWN"), true),
        (moved("MAINTENANCE"), true),
        // that it goes on was not heard
        (checked("n1", "disk", 0), false),
    ];
    let mut since = 0;
    for (at, (seen, differs)) in (100..).zip(&heard) {
        assert_eq!(fleet.take(seen, at).unwrap().differs, *differs, "{at}");
        since = if *differs { at } else { since };
        assert_eq!(fleet.nodes()["n1"].tracks["disk"].since, since, "{at}");
    }
}

#[test]
fn who_looks_again_does_not_rest() {
    let looked = |looked: i64, life: u64| match checked("n1", "disk", 3) {
        Seen::Checked(one) => Seen::Checked(Checked { looked, life, ..one }),
        other => other,
    };
    let rests = Seen::Moved(Moved {
        identity: "n1".into(),
        machine: "disk".into(),
        version: "1.0.0".into(),
        transition: "MAINTENANCE".into(),
        from: "UNKNOWN".into(),
        to: "MAINTENANCE".into(),
        at: 0,
        life: 7,
    });
    // when it looked and in which life, and whether it rests after that
    for (heard, expected) in [
        (vec![(100, 7)], true),
        (vec![(100, 7), (100, 7), (100, 7)], true),
        (vec![(100, 7), (160, 7)], false),
        (vec![(90, 8)], false),
        (vec![(100, 0)], true),
    ] {
        let mut fleet = Fleet::default();
        fleet.take(&looked(90, 7), 90).unwrap();
        fleet.take(&rests, 95).unwrap();
        for (at, life) in &heard {
            fleet.take(&looked(*at, *life), 200).unwrap();
        }
        let track = &fleet.nodes()["n1"].tracks["disk"];
        let status = if expected { WELL } else { UNKNOWN };
        assert_eq!((track.rests(), track.status), (expected, Some(status)), "{heard:?}");
    }
    let mut fleet = Fleet::default();
    fleet.take(&looked(90, 7), 90).unwrap();
    fleet.take(&rests, 95).unwrap();
    assert_eq!(fleet.begins("n1", 300), ["disk".into()]);
    assert_eq!(fleet.nodes()["n1"].tracks["disk"].since, 300);
    assert!(fleet.begins("n1", 400).is_empty() && fleet.begins("n2", 400).is_empty());
    let track = &fleet.nodes()["n1"].tracks["disk"];
    assert!(!track.rests() && track.waits);
}

#[test]
fn checks_that_are_not_heard_any_more_are_forgotten() {
    let mut fleet = Fleet::default();
    for (machine, at) in [("gone", 10), ("there", 100)] {
        fleet.take(&checked("n1", machine, 2), at).unwrap();
    }
    fleet.take(&checked("away", "disk", 2), 10).unwrap();
    assert!(fleet.forget_silent(100, 90).is_empty());
    let gone = fleet.forget_silent(100, 50);
    assert_eq!(gone, [("n1".into(), "gone".into())]);
    assert_eq!((fleet.count(), fleet.nodes().len()), (2, 2));
}

/// One that looks each second day is there all the time.
#[test]
fn a_check_that_looks_seldom_is_kept_for_three_of_its_intervals() {
    let mut fleet = Fleet::default();
    let Seen::Checked(one) = checked("n1", "updates", 2) else { panic!() };
    let day = 24 * 3600;
    fleet.take(&Seen::Checked(Checked { every: 2 * day, ..one }), 0).unwrap();
    for (at, stays) in [(day + 1, true), (6 * day, true), (6 * day + 1, false)] {
        fleet.alive("n1", at);
        assert_eq!(fleet.forget_silent(at, day).is_empty(), stays, "{at}");
    }
}

#[test]
fn what_a_hostile_node_tells_is_bounded() {
    let mut fleet = Fleet::default();
    for n in 0..MOST_CHECKS + 50 {
        fleet.take(&checked("n1", &format!("c{n}"), 0), 1);
    }
    assert_eq!((fleet.count(), fleet.dropped), (MOST_CHECKS, 50));
    for _ in 0..100 {
        fleet.take(&checked("n1", "c0", 1), 1);
    }
    assert_eq!(fleet.nodes()["n1"].tracks["c0"].history.len(), HISTORY);
}
