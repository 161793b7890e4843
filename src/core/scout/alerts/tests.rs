//! Who is told of what, without a network.

use super::*;
use crate::core::scout::{Checked, Moved};

mod arrival;

const TWO: &str = "receivers: [{program: [/bin/page]}, {alertmanager: 'http://127.0.0.1:9093'}]";

fn alerts(more: &str) -> Alerts {
    let mut alerts = Alerts::new(Settings::parse(&format!("{TWO}\n{more}")).unwrap());
    alerts.connected(true, 0);
    alerts
}

fn checked(identity: &str, check: &str, status: u8) -> Seen {
    Seen::Checked(Checked {
        identity: identity.into(),
        machine: check.into(),
        version: "1".into(),
        status,
        output: format!("said {status}"),
        at: 0,
        looked: 0,
        every: 0,
        life: 0,
    })
}

fn moved(identity: &str, check: &str, to: &str) -> Seen {
    Seen::Moved(Moved {
        identity: identity.into(),
        machine: check.into(),
        version: "1".into(),
        transition: to.into(),
        from: "OK".into(),
        to: to.into(),
        at: 0,
        life: 0,
    })
}

/// What a receiver is told now, and has.
fn told(alerts: &mut Alerts, receiver: usize, now: i64) -> Vec<String> {
    alerts.look(now);
    let messages = alerts.due(receiver, now);
    let mut lines = Vec::new();
    for message in &messages {
        alerts.told(message);
        let names: Vec<&str> = message.alerts.iter().map(|alert| alert.identity.as_str()).collect();
        let (first, how) = (&message.alerts[0], if message.resolved { "resolved" } else { "firing" });
        lines.push(format!("{how} {} {} {}", first.check, first.status, names.join(",")));
    }
    lines
}

#[test]
fn each_is_told_once_and_when_it_is_over() {
    let mut alerts = alerts("");
    for identity in ["n1", "n2", "n3"] {
        alerts.machine(&checked(identity, "disk", 0), 5);
        alerts.machine(&checked(identity, "disk", 2), 10);
    }
    alerts.machine(&checked("n1", "load", 1), 10);
    assert_eq!(told(&mut alerts, 0, 11), ["firing disk 2 n1,n2,n3", "firing load 1 n1"]);
    for _ in 0..100 {
        alerts.machine(&checked("n1", "disk", 2), 20);
    }
    assert_eq!(told(&mut alerts, 0, 21), Vec::<String>::new());
    // worse, and better
    alerts.machine(&checked("n1", "load", 2), 30);
    assert_eq!(told(&mut alerts, 0, 31), ["firing load 2 n1"]);
    alerts.machine(&checked("n2", "disk", 0), 40);
    assert_eq!(told(&mut alerts, 0, 41), ["resolved disk 0 n2"]);
    assert_eq!(told(&mut alerts, 0, 42), Vec::<String>::new());
    // the other one was told nothing yet, and hears how it is now
    assert_eq!(told(&mut alerts, 1, 43), ["firing disk 2 n1,n3", "firing load 2 n1"]);
    assert_eq!(alerts.counts(), (3, 3));
}

#[test]
fn what_rests_is_not_told() {
    let mut alerts = alerts("ignore: [noise]\nstatuses: [critical]");
    alerts.machine(&checked("n1", "disk", 2), 10);
    alerts.machine(&checked("n1", "noise", 2), 10);
    alerts.machine(&checked("n1", "load", 1), 10);
    assert_eq!(told(&mut alerts, 0, 11), ["firing disk 2 n1"]);
    alerts.machine(&moved("n1", "disk", "MAINTENANCE"), 20);
    assert_eq!(told(&mut alerts, 0, 21), ["resolved disk 0 n1"]);
    alerts.machine(&moved("n1", "disk", "UNKNOWN"), 30);
    assert_eq!(told(&mut alerts, 0, 31), Vec::<String>::new(), "it has not looked yet");
    alerts.machine(&checked("n1", "disk", 2), 40);
    assert_eq!(told(&mut alerts, 0, 41), ["firing disk 2 n1"]);
}

fn shown(name: &str, rests: bool, status: Option<u8>, looked: i64) -> Shown {
    let found = status.map(|status| match checked("n1", name, status) {
        Seen::Checked(found) => Checked { looked, ..found },
        other => panic!("{other:?}"),
    });
    Shown { name: name.into(), rests, found }
}

/// That a check rests, is well or is gone may have been told while nobody listened.
#[test]
fn nodes_are_asked_for_what_was_not_heard() {
    let mut alerts = alerts("silence_after: 1d");
    for (node, check) in [("n1", "disk"), ("n1", "gone"), ("n1", "load"), ("n2", "disk"), ("n3", "disk")] {
        alerts.machine(&checked(node, check, 2), 10);
    }
    alerts.machine(&checked("n3", "disk", 0), 11);
    assert_eq!(told(&mut alerts, 0, 12).len(), 3);
    assert_eq!(alerts.to_ask(20, 10), Vec::<String>::new(), "they were just heard");
    assert_eq!((alerts.to_ask(130, 1), alerts.to_ask(130, 10)), (vec!["n1".into()], vec!["n2".into()]));
    assert!(alerts.to_ask(131, 10).is_empty(), "once");
    let shown = |name: &str, rests: bool, status: Option<u8>| self::shown(name, rests, status, 129);
    let all = [shown("disk", true, Some(0)), shown("load", false, Some(0))];
    alerts.answered("n1", &all, 130, 132);
    assert_eq!(told(&mut alerts, 0, 133), ["resolved disk 0 n1", "resolved load 0 n1"]);
    // what is gone is asked for once more, as a node that starts has none
    assert_eq!(alerts.to_ask(134, 10), ["n1"]);
    alerts.answered("n1", &all, 134, 135);
    assert_eq!(told(&mut alerts, 0, 136), ["resolved gone 0 n1"]);
    // what was heard meanwhile is later than the answer
    alerts.machine(&checked("n2", "disk", 2), 140);
    alerts.answered("n2", &[shown("disk", true, Some(0))], 130, 141);
    assert_eq!(told(&mut alerts, 0, 142), Vec::<String>::new());
    // nothing is known of what was told while the broker was away
    alerts.connected(false, 150);
    assert!(alerts.to_ask(151, 10).is_empty());
    alerts.connected(true, 152);
    assert_eq!(alerts.to_ask(153, 10), ["n2"]);
}

/// Nobody waits behind those who do not answer, nor behind names that no node has.
#[test]
fn who_was_asked_longest_ago_is_asked_first() {
    let mut alerts = alerts("silence_after: 1d");
    for node in ["0 x", "a..b", "n*", "n1", "n2", "n3", "n4", "n5"] {
        alerts.machine(&checked(node, "disk", 2), 10);
    }
    assert_eq!(alerts.to_ask(130, 2), ["n1", "n2"]);
    assert_eq!(alerts.to_ask(140, 2), ["n3", "n4"]);
    assert_eq!(alerts.to_ask(440, 2), ["n5", "n1"], "not from the first on again");
    assert_eq!(alerts.to_ask(450, 10), ["n2", "n3", "n4"]);
    assert_eq!(alerts.to_ask(760, 2), ["n1", "n5"]);
    // and where the network was not heard meanwhile
    alerts.connected(false, 800);
    alerts.connected(true, 801);
    assert_eq!(alerts.to_ask(802, 2), ["n2", "n3"]);
    assert_eq!(alerts.to_ask(803, 10), ["n4", "n1", "n5"]);
}

/// A machine moves to UNKNOWN by itself when its remedy ends: that is no look.
#[test]
fn what_has_not_looked_again_is_as_it_was() {
    let looked = |status: u8, looked: i64| match checked("n1", "disk", status) {
        Seen::Checked(found) => Seen::Checked(Checked { looked, ..found }),
        other => panic!("{other:?}"),
    };
    for (heard, shown, expected) in [
        (10, shown("disk", false, Some(3), 10), vec![]),
        (10, shown("disk", false, Some(0), 9), vec![]),
        (10, shown("disk", false, None, 0), vec![]),
        (10, shown("disk", false, Some(0), 70), vec!["resolved disk 0 n1"]),
        (10, shown("disk", true, Some(2), 10), vec!["resolved disk 0 n1"]),
        // who writes a time to come into an event keeps nobody from being heard
        (i64::MAX, shown("disk", false, Some(0), 70), vec!["resolved disk 0 n1"]),
    ] {
        let mut alerts = alerts("silence_after: 1d\nforget_after: 3d");
        alerts.machine(&looked(2, heard), 12);
        assert_eq!(told(&mut alerts, 0, 13), ["firing disk 2 n1"]);
        assert_eq!(alerts.to_ask(140, 10), ["n1"]);
        alerts.answered("n1", std::slice::from_ref(&shown), 140, 141);
        assert_eq!(told(&mut alerts, 0, 142), expected, "{shown:?}");
    }
    let text = r#"{"checks": [{"name": "disk", "state": "UNKNOWN", "status": {"protocol":
        "io.choria.machine.watcher.nagios.v1.state", "type": "nagios", "identity": "n1", "machine": "disk", "status_code": 3,
        "check_time": 7, "history": [{"execute": "2026-12-01T10:00:00Z", "status": 0},
        {"execute": "2026-12-01T10:05:00Z", "status": 2}]}}]}"#;
    let read = Shown::read(&serde_json::from_str(text).unwrap()).unwrap();
    let found = read[0].found.as_ref().unwrap();
    assert_eq!((found.status, found.looked, found.every), (2, 7, 300));
}

#[test]
fn a_check_that_is_not_heard_any_more_is_gone() {
    let mut alerts = alerts("silence_after: 1h\nforget_after: 1d");
    alerts.machine(&checked("n1", "gone", 2), 10);
    alerts.machine(&checked("n1", "disk", 2), 10);
    assert_eq!(told(&mut alerts, 0, 12).len(), 2);
    for hour in 1..=24 {
        alerts.machine(&checked("n1", "disk", 2), hour * 3600);
        assert!(told(&mut alerts, 0, hour * 3600).is_empty());
    }
    assert_eq!(told(&mut alerts, 0, 86_411), ["resolved gone 0 n1"]);
}

#[test]
fn what_passes_quickly_is_not_told_where_it_has_to_last() {
    let mut alerts = alerts("confirm: 1m\nrepeat: 1h");
    alerts.machine(&checked("n1", "disk", 2), 10);
    assert_eq!(told(&mut alerts, 0, 60), Vec::<String>::new());
    alerts.machine(&checked("n1", "disk", 0), 65);
    alerts.tidy();
    assert_eq!((told(&mut alerts, 0, 200), alerts.counts().1), (vec![], 0));
    alerts.machine(&checked("n1", "disk", 2), 300);
    assert_eq!(told(&mut alerts, 0, 360), ["firing disk 2 n1"]);
    assert_eq!(told(&mut alerts, 0, 3900), Vec::<String>::new());
    assert_eq!(told(&mut alerts, 0, 3960), ["firing disk 2 n1"]);
}

#[test]
fn nodes_that_fall_silent_are_missed_unless_they_said_goodbye() {
    let mut alerts = alerts("silence_after: 10m");
    let life = |kind, identity: &str| Event::new(kind, identity, "server", "i".into(), 0);
    for identity in ["n1", "n2", "n3"] {
        alerts.machine(&checked(identity, "disk", 0), 100);
    }
    alerts.machine(&checked("n3", "disk", 2), 100);
    alerts.life(&life(EventType::Shutdown, "n3"), 110);
    assert_eq!(told(&mut alerts, 0, 120), ["firing disk 2 n3"]);
    alerts.life(&life(EventType::Alive, "n2"), 500);
    // a goodbye is no word of the node's: with something critical it is missed all the same
    assert_eq!(told(&mut alerts, 0, 701), ["firing NodeSilent 2 n1,n3"]);
    assert_eq!(told(&mut alerts, 0, 711), Vec::<String>::new());
    alerts.machine(&checked("n1", "disk", 0), 800);
    assert_eq!(told(&mut alerts, 0, 801), ["resolved NodeSilent 0 n1"]);
    // nobody is silent while we hear nothing ourselves
    alerts.connected(false, 900);
    assert_eq!(told(&mut alerts, 0, 5000), Vec::<String>::new());
    alerts.connected(true, 5000);
    assert_eq!(told(&mut alerts, 0, 5500), Vec::<String>::new());
    assert_eq!(told(&mut alerts, 0, 5601), ["firing NodeSilent 2 n1,n2"]);
    // who is away for a week is gone for good
    let week = 5000 + 7 * 86_400;
    assert_eq!(told(&mut alerts, 0, week), Vec::<String>::new());
    assert_eq!(told(&mut alerts, 0, week + 1), ["resolved NodeSilent 0 n1,n2,n3", "resolved disk 0 n3"]);
    assert_eq!(alerts.counts(), (0, 0));
}

#[test]
fn a_restart_tells_nobody_twice() {
    let mut before = alerts("");
    before.machine(&checked("n1", "disk", 2), 10);
    before.machine(&checked("n2", "disk", 0), 10);
    assert_eq!(told(&mut before, 0, 11), ["firing disk 2 n1"]);
    let kept = before.snapshot().text();
    let mut after = alerts("");
    after.restore(kept.as_bytes(), 500).unwrap();
    after.machine(&checked("n1", "disk", 2), 501);
    assert_eq!(told(&mut after, 0, 502), Vec::<String>::new());
    assert_eq!(told(&mut after, 1, 502), ["firing disk 2 n1"]);
    after.machine(&checked("n1", "disk", 0), 600);
    assert_eq!(told(&mut after, 0, 601), ["resolved disk 0 n1"]);
    // nodes that were well are missed, too
    assert_eq!(after.counts().0, 2);
    assert!(
        after.restore(b"{}", 1).is_err()
            && after.restore(b"{\"format\":2,\"receivers\":[],\"nodes\":[],\"cases\":[]}", 1).is_err()
    );
}

#[test]
fn alertmanager_is_told_again_and_of_what_another_severity_ends() {
    let mut alerts = alerts("");
    alerts.machine(&checked("n1", "disk", 1), 10);
    assert_eq!(told(&mut alerts, 1, 11), ["firing disk 1 n1"]);
    assert_eq!(told(&mut alerts, 1, 40), Vec::<String>::new());
    assert_eq!(told(&mut alerts, 1, 71), ["firing disk 1 n1"]);
    alerts.machine(&checked("n1", "disk", 2), 80);
    let message = alerts.due(1, 81).remove(0);
    let told = message.for_alertmanager();
    assert_eq!(told[0]["labels"]["severity"], "warning");
    assert_eq!(told[0]["endsAt"], "1970-01-01T00:01:21Z");
    assert_eq!(
        (&told[1]["labels"]["severity"], &told[1]["endsAt"]),
        (&"critical".into(), &"1970-01-01T00:06:21Z".into())
    );
    alerts.told(&message);
    let document = message.document();
    assert_eq!(
        (&document["status"], &document["alerts"][0]["before"]),
        (&"firing".into(), &"WARNING".into())
    );
}

#[test]
fn many_are_told_in_several_messages() {
    let mut alerts = alerts("");
    for n in 0..MOST_ALERTS + 1 {
        alerts.machine(&checked(&format!("n{n:04}"), "disk", 2), 10);
    }
    let sizes: Vec<usize> = alerts.due(0, 11).iter().map(|message| message.alerts.len()).collect();
    assert_eq!(sizes, [MOST_ALERTS, 1]);
}

#[test]
fn who_has_least_to_tell_waits_for_nobody_who_makes_names_up() {
    let mut alerts = alerts("");
    for n in 0..3000 {
        alerts.machine(&checked("n3", &format!("{n:04}"), 2), 10);
    }
    alerts.machine(&checked("n2", "disk", 2), 20);
    let messages = alerts.due(0, 21);
    assert!(messages.len() <= MOST_APART + 3000 / MOST_ALERTS + 1, "{}", messages.len());
    assert_eq!((messages[0].alerts[0].check.as_str(), messages[0].alerts.len()), ("disk", 1));
    assert_eq!(messages[0].document()["check"], "disk");
    let last = messages.last().expect("messages");
    assert!(last.alerts.len() > 1 && last.document()["check"].is_null());
    let all: usize = messages.iter().map(|message| message.alerts.len()).sum();
    assert_eq!(all, alerts.counts().1);
    messages.iter().for_each(|message| alerts.told(message));
    assert!(alerts.due(0, 22).is_empty());
}

#[test]
fn mistakes_in_the_file_are_said() {
    for (text, why) in [
        ("receivers: []", "receivers names nobody to tell"),
        ("receivers: [{}]", "receiver number 1 needs one of alertmanager, webhook and program"),
        ("receivers: [{program: [page]}]", "program is a list, its path first"),
        ("receivers: [{webhook: 'ftp://a'}]", "ftp://a is no address such as"),
        ("receivers: [{program: [/a]}, {program: [/b]}]", "two receivers are called program"),
        ("receivers: [{program: [/a]}]\nstatuses: [bad]", "statuses has bad"),
        (
            "receivers: [{program: [/a]}]\nsilence_after: soon",
            "silence_after is soon, which is no length of time",
        ),
        ("receivers: [{program: [/a]}]\nrepeat: 1s", "repeat is 1s, the least is 60s"),
        ("reciever: 1", "reciever"),
        (
            "receivers: [{program: [/a]}]\nforget_after: 1h",
            "forget_after is 1h and has to be longer than silence_after, 80m, or",
        ),
        ("receivers: [{program: [/a]}]\nsilence_after: 8d", "forget_after is 7d and has to be longer"),
        ("receivers: [{program: [/a], ca: /b}]", "ca and token_file are of a server, and it is a program"),
        ("receivers: [{program: [/a], token_file: /b}]", "ca and token_file are of a server"),
        ("receivers: [{webhook: 'https://user:pw@h/x'}]", "its address has a user, who is not told"),
        ("receivers: [{alertmanager: 'http://user@h'}]", "its address has a user, who is not told"),
    ] {
        let told = Settings::parse(text).unwrap_err();
        assert!(told.contains(why), "{text}: {told}");
    }
}

#[test]
fn a_goodbye_makes_nothing_well() {
    let mut alerts = alerts("silence_after: 10m\nforget_after: 1h");
    let shutdown = |identity: &str| Event::new(EventType::Shutdown, identity, "server", "i".into(), 0);
    for (identity, status) in [("n1", 1), ("n2", 0), ("n3", 2)] {
        alerts.machine(&checked(identity, "disk", status), 100);
        alerts.life(&shutdown(identity), 110);
        alerts.life(&shutdown(identity), 300);
    }
    assert_eq!(told(&mut alerts, 0, 120), ["firing disk 1 n1,n3"]);
    // who had nothing critical is not missed, and who had nothing is forgotten
    assert_eq!(told(&mut alerts, 0, 720), ["firing NodeSilent 2 n3"]);
    assert_eq!(alerts.counts(), (2, 3));
    // nor does a restart forget who said goodbye
    let mut after = self::alerts("silence_after: 10m\nforget_after: 1h");
    after.restore(alerts.snapshot().text().as_bytes(), 800).unwrap();
    after.connected(false, 800);
    after.connected(true, 800);
    assert_eq!(told(&mut after, 0, 810), Vec::<String>::new());
    assert_eq!(told(&mut after, 0, 1500), Vec::<String>::new());
    // one that was not gone is as it was
    alerts.machine(&checked("n3", "disk", 2), 900);
    assert_eq!(told(&mut alerts, 0, 901), ["resolved NodeSilent 0 n3"]);
    assert_eq!(told(&mut alerts, 0, 1501), ["firing NodeSilent 2 n3"]);
    assert_eq!(told(&mut alerts, 0, 3700), Vec::<String>::new());
    assert_eq!(told(&mut alerts, 0, 3701), ["resolved disk 0 n1"]);
}

#[test]
fn who_leaves_takes_its_own_cases_along_and_not_all_leave_at_once() {
    let mut alerts = alerts("forget_after: 1h\nsilence_after: 30m");
    alerts.machine(&checked("n1", "disk", 2), 100);
    alerts.machine(&checked("n1", "load", 2), 100);
    alerts.machine(&checked("n10", "disk", 2), 1000);
    alerts.machine(&checked("n0", "disk", 2), 1000);
    assert_eq!(told(&mut alerts, 0, 1001), ["firing disk 2 n0,n1,n10", "firing load 2 n1"]);
    assert_eq!(
        told(&mut alerts, 0, 3701),
        ["firing NodeSilent 2 n0,n10", "resolved disk 0 n1", "resolved load 0 n1",]
    );
    let mut alerts = self::alerts("forget_after: 1h\nsilence_after: 30m");
    for n in 0..MOST_LEAVING + 5 {
        alerts.machine(&checked(&format!("n{n:05}"), "disk", 0), 1);
    }
    alerts.look(3602);
    assert_eq!(alerts.counts().0, 5);
    alerts.look(3603);
    assert_eq!(alerts.counts().0, 0);
}

#[test]
fn what_is_wrong_is_bounded() {
    let mut alerts = alerts("");
    let name: std::sync::Arc<str> = "disk".into();
    for n in 0..MOST_CASES + 7 {
        alerts.is_now((format!("n{n}").into(), name.clone()), 2, "".into(), 1);
    }
    assert_eq!((alerts.counts().1, alerts.take_dropped(), alerts.take_dropped()), (MOST_CASES, 7, 0));
}

/// Another one told of a node that this one hears: that is no sign that it is silent, nor that it is there.
#[test]
fn what_another_one_told_is_no_sign_of_a_node() {
    let mut leader = alerts("silence_after: 10m");
    leader.machine(&checked("n1", "disk", 0), 10);
    assert_eq!(told(&mut leader, 0, 700), ["firing NodeSilent 2 n1"]);
    let mut other = alerts("silence_after: 10m");
    other.machine(&checked("n1", "disk", 0), 701);
    other.go_on(leader.snapshot().text().as_bytes(), 702).unwrap();
    assert_eq!(told(&mut other, 0, 703), ["resolved NodeSilent 0 n1"]);
    // a check that only the leader knows brings nobody back
    let mut leader = alerts("silence_after: 10m");
    leader.machine(&checked("n1", "load", 2), 10);
    told(&mut leader, 0, 11);
    let mut other = alerts("silence_after: 10m");
    other.machine(&checked("n1", "disk", 0), 10);
    other.go_on(leader.snapshot().text().as_bytes(), 600).unwrap();
    assert_eq!(told(&mut other, 0, 611), ["firing NodeSilent 2 n1"]);
}
