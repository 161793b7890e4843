//! A fleet's events, counted.

use super::*;
use crate::core::scout::{Checked, Moved, Ran};

fn moved(identity: &str, transition: &str, to: &str) -> Heard {
    Heard::Machine(Seen::Moved(Moved {
        identity: identity.into(),
        machine: "di\"sk".into(),
        version: "1.0.0".into(),
        transition: transition.into(),
        from: "OK".into(),
        to: to.into(),
        at: 0,
        life: 0,
    }))
}

fn life(kind: EventType, identity: &str) -> Heard {
    let event = Event::new(kind, identity, "server", "id".into(), 1).version("0.1.0");
    Heard::Life(Box::new(event))
}

#[test]
fn what_is_heard_is_counted() {
    let mut tally = Tally::new("choria_tally", "server");
    for heard in [
        life(EventType::Startup, "n1"),
        life(EventType::Alive, "n2"),
        moved("n1", "CRITICAL", "CRITICAL"),
        moved("n3", "CRITICAL", "CRITICAL"),
        Heard::Machine(Seen::Checked(Checked {
            identity: "n1".into(),
            machine: "load".into(),
            version: "1.0.0".into(),
            status: 1,
            output: String::new(),
            at: 0,
            looked: 0,
            every: 0,
            life: 0,
        })),
        Heard::Machine(Seen::Ran(Ran {
            machine: "motd".into(),
            version: "1.0.0".into(),
            watcher: "look".into(),
            well: true,
            took: 500_000_000,
        })),
        Heard::Odd,
    ] {
        tally.take(&heard, 1000);
    }
    tally.took(0.25);
    let text = tally.render();
    for line in [
        "choria_tally_good_events{component=\"server\",active=\"1\"} 6\n",
        "choria_tally_process_errors{component=\"server\",active=\"1\"} 1\n",
        "choria_tally_event_types{component=\"server\",type=\"alive\",active=\"1\"} 1\n",
        "choria_tally_machine_transition{machine=\"di\\\"sk\",version=\"1.0.0\",transition=\"CRITICAL\",from=\"OK\",to=\"CRITICAL\",active=\"1\"} 2\n",
        "# TYPE choria_tally_exec_watcher_runtime summary\n",
        "choria_tally_exec_watcher_runtime_sum{machine=\"motd\",version=\"1.0.0\",watcher=\"look\",active=\"1\"} 0.5\n",
        "choria_tally_processing_time_count{component=\"server\",active=\"1\"} 1\n",
        "choria_tally_versions{component=\"server\",version=\"0.1.0\",active=\"1\"} 2\n",
        "choria_tally_nodes{component=\"server\",active=\"1\"} 3\n",
        "choria_tally_machine_states{machine=\"di\\\"sk\",version=\"1.0.0\",state=\"CRITICAL\",active=\"1\"} 2\n",
        "choria_tally_checks{check=\"load\",status=\"WARNING\",active=\"1\"} 1\n",
    ] {
        assert!(text.contains(line), "{line} of\n{text}");
    }
    assert_eq!(text.matches("# TYPE choria_tally_machine_transition ").count(), 1);
}

#[test]
fn nodes_that_are_silent_or_gone_are_not_counted() {
    let mut tally = Tally::new("t", "server");
    tally.take(&life(EventType::Startup, "n1"), 1000);
    tally.take(&moved("n2", "CRITICAL", "CRITICAL"), 1000);
    tally.take(&life(EventType::Alive, "n1"), 1000 + SILENCE);
    tally.expire(1001 + SILENCE);
    let text = tally.render();
    assert!(text.contains("t_nodes{component=\"server\",active=\"1\"} 1\n"), "{text}");
    assert!(text.contains("t_nodes_expired{component=\"server\",active=\"1\"} 1\n"), "{text}");
    assert!(!text.contains("t_machine_states"), "{text}");
    tally.take(&life(EventType::Shutdown, "n1"), 2000 + SILENCE);
    assert!(tally.render().contains("t_nodes{component=\"server\",active=\"1\"} 0\n"));
}

/// Its machines begin anew, whatever states they were in when it crashed.
#[test]
fn a_node_that_starts_is_not_counted_as_it_was() {
    let mut tally = Tally::new("t", "server");
    let checked = Heard::Machine(Seen::Checked(Checked {
        identity: "n1".into(),
        machine: "q".into(),
        version: "1.0.0".into(),
        status: 0,
        output: String::new(),
        at: 0,
        looked: 0,
        every: 0,
        life: 0,
    }));
    let rests = Heard::Machine(Seen::Moved(Moved {
        identity: "n1".into(),
        machine: "q".into(),
        version: "1.0.0".into(),
        transition: "MAINTENANCE".into(),
        from: "OK".into(),
        to: "MAINTENANCE".into(),
        at: 0,
        life: 0,
    }));
    for heard in [&moved("n1", "on", "light"), &checked, &rests] {
        tally.take(heard, 1);
    }
    assert_eq!(tally.render().matches("t_machine_states{").count(), 2);
    tally.take(&life(EventType::Startup, "n1"), 2);
    let text = tally.render();
    assert!(!text.contains("t_machine_states{"), "{text}");
    assert!(text.contains("t_checks{check=\"q\",status=\"UNKNOWN\",active=\"1\"} 1\n"), "{text}");
    tally.take(&moved("n1", "off", "dark"), 3);
    assert!(tally.render().contains("state=\"dark\",active=\"1\"} 1\n"));
}

#[test]
fn series_are_bounded() {
    let mut tally = Tally::new("t", "server");
    for n in 0..MOST_SERIES + 5 {
        tally.take(&moved("n1", &format!("T{n}"), "OK"), 1);
    }
    let text = tally.render();
    assert_eq!(text.matches("t_machine_transition{").count(), MOST_SERIES);
    assert!(text.contains("t_left_away{active=\"1\"} 5\n"), "{}", &text[text.len() - 200..]);
}

#[test]
fn versions_are_bounded_and_those_of_many_nodes_stay() {
    let mut tally = Tally::new("t", "server");
    let life = |identity: String, version: &str| {
        let event = Event::new(EventType::Alive, &identity, "server", "id".into(), 1).version(version);
        Heard::Life(Box::new(event))
    };
    for n in 0..MOST_SERIES + 5 {
        tally.take(&life(format!("forged{n}"), &format!("0.{n}")), 1);
    }
    tally.take(&life("n1".into(), "z"), 1);
    tally.take(&life("n2".into(), "z"), 1);
    let text = tally.render();
    assert_eq!(text.matches("t_versions{").count(), MOST_SERIES);
    assert!(text.contains("t_versions{component=\"server\",version=\"z\",active=\"1\"} 2\n"));
    assert!(text.contains("t_left_away{active=\"1\"} 6\n"), "{}", &text[text.len() - 200..]);
}

#[test]
fn checks_of_many_nodes_and_those_that_were_there_stay() {
    let mut tally = Tally::new("t", "server");
    let checked = |identity: &str, machine: String| {
        Heard::Machine(Seen::Checked(Checked {
            identity: identity.into(),
            machine,
            version: "1.0.0".into(),
            status: 2,
            output: String::new(),
            at: 0,
            looked: 0,
            every: 0,
            life: 0,
        }))
    };
    tally.take(&checked("n1", "zz_first".into()), 1);
    for n in 0..MOST_SERIES + 50 {
        tally.take(&checked(&format!("forged{}", n / 100), format!("!{n}")), 1);
    }
    tally.take(&checked("n1", "zz_shared".into()), 1);
    tally.take(&checked("n2", "zz_shared".into()), 1);
    let text = tally.render();
    assert_eq!(text.matches("t_checks{").count(), MOST_SERIES);
    for (check, count) in [("zz_first", 1), ("zz_shared", 2)] {
        let line = format!("t_checks{{check=\"{check}\",status=\"CRITICAL\",active=\"1\"}} {count}\n");
        assert!(text.contains(&line), "{check}");
    }
    assert!(text.contains("t_left_away{active=\"1\"} 52\n"), "{}", &text[text.len() - 200..]);
}

#[test]
fn transitions_that_are_not_heard_make_room() {
    let mut tally = Tally::new("t", "server");
    for n in 0..MOST_SERIES {
        tally.take(&moved("n1", &format!("T{n}"), "OK"), 1);
    }
    tally.expire(2 + NAMED);
    tally.take(&moved("n1", "real", "OK"), 2 + NAMED);
    let text = tally.render();
    assert_eq!(text.matches("t_machine_transition{").count(), 1, "{text}");
}

#[test]
fn governors_that_are_not_heard_make_room() {
    let mut tally = Tally::new("t", "server");
    let entered = |name: String| {
        let mut event = Event::new(EventType::Governor, "n1", "server", "id".into(), 1);
        (event.governor, event.event_type) = (Some(name), Some("enter".into()));
        Heard::Life(Box::new(event))
    };
    for n in 0..MOST_SERIES + 1 {
        tally.take(&entered(format!("forged{n}")), 1);
    }
    tally.take(&entered("forged0".into()), 2);
    tally.expire(2 + NAMED);
    let text = tally.render();
    assert_eq!(text.matches("t_governor{").count(), 1);
    assert!(text.contains("governor=\"forged0\",event=\"enter\",active=\"1\"} 2\n"), "{text}");
    tally.take(&entered("real".into()), 3 + NAMED);
    assert!(tally.render().contains("governor=\"real\",event=\"enter\",active=\"1\"} 1\n"));
}
