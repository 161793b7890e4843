//! Machines in a made-up time: nothing here waits, runs or writes.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::core::machine::definition::compile;
use crate::core::machine::turn::Ran;

/// An engine, its clock, and what it said.
struct Day {
    engine: Engine,
    at: Duration,
    events: Vec<Value>,
    warnings: Vec<String>,
    messages: Vec<Message>,
    /// What commands come to: part of the line, exit code, output.
    answers: Vec<(&'static str, i32, &'static str)>,
    /// Seconds each command takes.
    takes: Duration,
    under_way: Vec<(Duration, Ticket, Answer)>,
    ran: Vec<(Duration, String)>,
}

impl Day {
    fn new() -> Day {
        Day {
            engine: Engine::new("n1", TimeZone::UTC, 7),
            at: Duration::from_secs(1000),
            events: vec![],
            warnings: vec![],
            messages: vec![],
            answers: vec![],
            takes: Duration::ZERO,
            under_way: vec![],
            ran: vec![],
        }
    }

    fn now(&self) -> Moment {
        let wall = jiff::Timestamp::from_second(1_773_138_600).unwrap();
        Moment { at: self.at, wall: wall.checked_add(self.at).unwrap() }
    }

    fn add(&mut self, text: &str) -> Id {
        let definition = compile(text).unwrap_or_else(|e| panic!("{e:?}"));
        let path = PathBuf::from(format!("/m/{}", definition.name));
        let now = self.now();
        self.engine.add(definition, path, "{}".into(), now)
    }

    fn settle(&mut self) {
        loop {
            while let Some(said) = self.engine.said() {
                match said {
                    Said::Event(event) => {
                        let envelope: Value = serde_json::from_str(&event.payload).unwrap();
                        self.events.push(envelope["data"].clone());
                    }
                    Said::Warning(text) => self.warnings.push(text),
                    Said::Note(_) => {}
                    Said::Message(message) => self.messages.push(message),
                }
            }
            let Some(job) = self.engine.job(|_| true) else { return };
            let line = job.work.command().unwrap().line.to_string();
            let known = self.answers.iter().find(|(part, ..)| line.contains(part));
            let (_, code, output) = known.copied().unwrap_or(("", 0, ""));
            self.ran.push((self.at, line.clone()));
            let ran =
                Ran { code: Some(code), output: output.into(), line, took: self.takes, ..Ran::default() };
            if self.takes.is_zero() {
                let now = self.now();
                self.engine.answered(job.ticket, Answer::Ran(ran), now);
            } else {
                self.under_way.push((self.at + self.takes, job.ticket, Answer::Ran(ran)));
            }
        }
    }

    fn pass(&mut self, seconds: f64) {
        let end = self.at + Duration::from_secs_f64(seconds);
        self.settle();
        loop {
            let work = self.under_way.iter().map(|(at, ..)| *at).min();
            let next = self.engine.next_due().into_iter().chain(work).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.at = self.at.max(next);
            let now = self.now();
            if let Some(place) = self.under_way.iter().position(|(at, ..)| *at <= self.at) {
                let (_, ticket, answer) = self.under_way.remove(place);
                self.engine.answered(ticket, answer, now);
            } else {
                self.engine.step(now);
            }
            self.settle();
        }
        self.at = end;
    }

    fn ask(&mut self, id: Id, event: &str) -> Result<(), Refused> {
        let now = self.now();
        let asked = self.engine.transition(id, event, now);
        self.settle();
        asked
    }

    fn state(&self, id: Id) -> &str {
        self.engine.state_of(id).unwrap().1
    }

    fn transitions(&self) -> Vec<String> {
        let moved = |e: &&Value| e["protocol"] == "io.choria.machine.v1.transition";
        let text = |e: &Value| {
            format!(
                "{}: {} => {}",
                e["transition"].as_str().unwrap(),
                e["from_state"].as_str().unwrap(),
                e["to_state"].as_str().unwrap()
            )
        };
        self.events.iter().filter(moved).map(text).collect()
    }

    fn of(&self, kind: &str) -> Vec<&Value> {
        self.events.iter().filter(|e| e["type"] == kind).collect()
    }
}

const PROBE: &str = "
name: demo
version: 1.0.0
initial_state: waiting
transitions:
  - {name: ready, from: [waiting], destination: running}
  - {name: lost, from: [running], destination: waiting}
watchers:
  - name: probe
    type: exec
    interval: 30s
    success_transition: ready
    fail_transition: lost
    properties: {command: ./probe.sh}
";

#[test]
fn a_command_moves_its_machine_and_runs_once_more_for_the_move() {
    let mut day = Day::new();
    let id = day.add(PROBE);
    day.pass(29.0);
    assert_eq!((day.state(id), day.ran.len()), ("waiting", 0));
    day.pass(1.5);
    assert_eq!(day.state(id), "running");
    assert_eq!(day.transitions(), ["ready: waiting => running"]);
    assert_eq!(day.ran.len(), 2, "at its interval, and for the change it made");
    assert_eq!(day.of("exec")[0]["previous_outcome"], "success");
    day.answers = vec![("probe", 2, "")];
    day.pass(30.0);
    assert_eq!(
        (day.state(id), day.of("exec").last().unwrap()["previous_outcome"].clone()),
        ("waiting", json!("error"))
    );
    assert!(
        day.warnings.iter().any(|w| w == "demo#probe: ./probe.sh ended with exit code 2"),
        "{:?}",
        day.warnings
    );
}

/// Its machine moved while it ran, and moves by what it comes to: that is one run more.
#[test]
fn a_move_while_it_runs_and_one_by_what_it_comes_to_are_one() {
    let mut day = Day::new();
    day.takes = Duration::from_secs(2);
    let id = day.add(
        "{name: d, version: 1.0.0, initial_state: a, transitions: [{name: one, from: [a], destination: b}, {name: two, from: \
         [b], destination: c}, {name: done, from: [c], destination: d}], watchers: [{name: work, type: exec, \
         success_transition: done, properties: {command: ./work}}]}",
    );
    day.pass(1.0);
    day.ask(id, "one").unwrap();
    day.pass(1.0);
    day.ask(id, "two").unwrap();
    day.pass(60.0);
    assert_eq!(day.state(id), "d");
    assert_eq!(day.ran.iter().map(|(at, _)| at.as_secs()).collect::<Vec<_>>(), [1001, 1003]);
}

#[test]
fn what_takes_longer_than_its_interval_runs_once_at_a_time() {
    let mut day = Day::new();
    day.add(&PROBE.replace("interval: 30s", "interval: 1s").replace("success_transition: ready", ""));
    day.takes = Duration::from_secs(10);
    day.pass(60.0);
    assert!((5..=6).contains(&day.ran.len()), "{:?}", day.ran);
    assert!(day.under_way.len() <= 1);
}

#[test]
fn asking_for_what_is_not_valid_says_so() {
    let mut day = Day::new();
    let id = day.add(PROBE);
    assert_eq!(day.ask(id, "ready"), Err(Refused::NotStarted));
    day.pass(0.1);
    assert_eq!(
        day.ask(id, "lost").unwrap_err().to_string(),
        "transition lost is not valid while in waiting state"
    );
    assert_eq!(day.ask(id, "ready"), Ok(()));
    day.engine.remove(id);
    assert_eq!(day.ask(id, "lost"), Err(Refused::Gone));
    let again = day.add(PROBE);
    assert_ne!(id, again);
}

/// Fifteen checks a minute that are OK do not slow anything down; a machine that flaps is.
#[test]
fn only_machines_that_move_are_slowed_down() {
    let flap = "
name: flap
version: 1.0.0
initial_state: A
transitions:
  - {name: go, from: [A], destination: B}
  - {name: back, from: [B], destination: A}
watchers:
  - {name: a, type: exec, state_match: [A], success_transition: go, interval: 500ms, properties: {command: /bin/true}}
  - {name: b, type: exec, state_match: [B], success_transition: back, interval: 500ms, properties: {command: /bin/true}}
";
    let mut day = Day::new();
    day.add(flap);
    day.pass(60.0);
    let count = day.transitions().len();
    assert!((20..=60).contains(&count), "{count} moves in a minute");
    let mut calm = Day::new();
    let id = calm.add(
        "{name: calm, version: 1.0.0, initial_state: A, transitions: [{name: ok, from: [A, B], destination: A}, \
         {name: bad, from: [A], destination: B}], watchers: [{name: a, type: exec, success_transition: ok, interval: \
         1s, properties: {command: x}}]}",
    );
    calm.pass(120.0);
    assert_eq!(calm.transitions().len(), 0);
    calm.ask(id, "bad").unwrap();
    calm.pass(0.04);
    assert_eq!(
        calm.transitions().len(),
        2,
        "there and back without much of a wait: {:?}",
        calm.transitions()
    );
}

#[test]
fn machines_follow_others_once_they_run() {
    let mut day = Day::new();
    let follower = "{name: user, version: 1.0.0, initial_state: wait, splay_start: 0, transitions: [{name: ready, from: \
                    [wait], destination: active, subscribe: [{machine_name: demo, event: ready}]}], watchers: [{name: \
                    t, type: exec, state_match: [active], foreign_state_required: [{machine_name: demo, state: \
                    running}], interval: 5s, properties: {command: /bin/foreign}}]}";
    let base = day.add(PROBE);
    day.pass(1.0);
    let loaded = day.add(follower);
    // it has not started: the original ends here
    day.ask(base, "ready").unwrap();
    assert_eq!(day.state(loaded), "wait");
    day.pass(1.0);
    day.answers = vec![("probe", 1, "")];
    day.ask(base, "lost").unwrap();
    day.pass(1.0);
    day.ask(base, "ready").unwrap();
    day.pass(0.1);
    assert_eq!(day.state(loaded), "active");
    let foreign = |day: &Day| day.ran.iter().filter(|(_, line)| line == "/bin/foreign").count();
    let before = foreign(&day);
    assert_eq!(day.state(base), "waiting");
    day.pass(12.0);
    assert_eq!(foreign(&day), before, "the other machine is not in that state");
    day.answers = vec![];
    day.ask(base, "ready").unwrap();
    day.pass(11.0);
    assert!(foreign(&day) > before);
}

#[test]
fn machines_that_set_each_other_off_for_ever_do_not_keep_the_engine() {
    let mut day = Day::new();
    for (name, other) in [("a", "b"), ("b", "a")] {
        day.add(&format!(
            "{{name: {name}, version: 1.0.0, initial_state: x, transitions: [{{name: e, from: [x], destination: y, \
             subscribe: [{{machine_name: {other}, event: f}}]}}, {{name: f, from: [y], destination: x, subscribe: \
             [{{machine_name: {other}, event: e}}]}}], watchers: [{{name: t, type: timer, fail_transition: e, \
             properties: {{timer: 1s}}}}]}}"
        ));
    }
    day.pass(60.0);
    let count = day.transitions().len();
    assert!((10..400).contains(&count), "{count}");
}

#[test]
fn a_timer_ends_or_is_stopped() {
    let mut day = Day::new();
    let id = day.add(
        "{name: t, version: 1.0.0, initial_state: on, transitions: [{name: end, from: [on], destination: \"off\"}, \
         {name: start, from: [\"off\"], destination: on}], watchers: [{name: w, type: timer, state_match: [on], \
         fail_transition: end, properties: {timer: 1h}}]}",
    );
    day.pass(3599.0);
    assert_eq!(day.state(id), "on");
    day.pass(2.0);
    assert_eq!(day.state(id), "off");
    day.ask(id, "start").unwrap();
    day.pass(10.0);
    day.ask(id, "end").unwrap();
    day.pass(7200.0);
    let states: Vec<&str> = day.of("timer").iter().map(|e| e["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["running", "stopped", "running", "stopped"]);
    assert_eq!(day.of("timer")[0]["timer"], json!(3_600_000_000_000_u64));
}

/// A timer that is started anew all the time leaves nothing behind.
#[test]
fn moments_that_mean_nothing_are_forgotten() {
    let mut day = Day::new();
    let id = day.add(
        "{name: t, version: 1.0.0, initial_state: a, transitions: [{name: go, from: [a], destination: b}, {name: back, \
         from: [b], destination: a}], watchers: [{name: w, type: timer, fail_transition: go, properties: {timer: 24h}}]}",
    );
    day.pass(1.0);
    for _ in 0..5000 {
        day.ask(id, "go").unwrap();
        day.ask(id, "back").unwrap();
        day.pass(1.0);
    }
    assert!(day.engine.due.len() <= 64, "{}", day.engine.due.len());
    day.pass(86_390.0);
    assert_eq!(day.state(id), "a");
    day.pass(10.0);
    assert_eq!(day.state(id), "b");
}

/// What `machine-schedule.json` saw of the original, to the second.
#[test]
fn a_schedule_opens_and_closes_as_it_did() {
    let mut day = Day::new();
    let text = "{name: s, version: 1.0.0, initial_state: idle, transitions: [{name: open, from: [idle, closed], \
                destination: window}, {name: close, from: [idle, window], destination: closed}], watchers: [{name: \
                minute, type: schedule, success_transition: open, fail_transition: close, properties: {DURATION \
                schedules: [\"* * * * *\"]}}]}";
    day.add(&text.replace("DURATION", "duration: 20s,"));
    // 16:40:00 minus nothing: the wall shows 10:46:40
    day.pass(150.0);
    let states: Vec<(&str, i64)> = day
        .of("schedule")
        .iter()
        .map(|e| (e["state"].as_str().unwrap(), e["timestamp"].as_i64().unwrap() % 60))
        .collect();
    assert_eq!(states, [("on", 0), ("off", 20), ("on", 0), ("off", 20), ("on", 0)]);
    assert_eq!(day.transitions()[..2], ["open: idle => window", "close: window => closed"]);
    // Without a duration a minute counts, and minutes that touch are one.
    let mut day = Day::new();
    let id = day.add(&text.replace("DURATION", ""));
    day.pass(3600.0);
    assert_eq!(day.transitions(), ["open: idle => window"]);
    assert_eq!(day.state(id), "window");
}

const CHECK: &str = "
name: check_load
version: 1.0.0
initial_state: UNKNOWN
transitions:
  - {name: UNKNOWN, from: [UNKNOWN, OK, WARNING, CRITICAL, FORCE_CHECK], destination: UNKNOWN}
  - {name: OK, from: [UNKNOWN, OK, WARNING, CRITICAL, FORCE_CHECK], destination: OK}
  - {name: WARNING, from: [UNKNOWN, OK, WARNING, CRITICAL, FORCE_CHECK], destination: WARNING}
  - {name: CRITICAL, from: [UNKNOWN, OK, WARNING, CRITICAL, FORCE_CHECK], destination: CRITICAL}
  - {name: FORCE_CHECK, from: [UNKNOWN, OK, WARNING, CRITICAL], destination: FORCE_CHECK}
  - {name: MAINTENANCE, from: [UNKNOWN, OK, WARNING, CRITICAL, FORCE_CHECK], destination: MAINTENANCE}
  - {name: RESUME, from: [MAINTENANCE], destination: UNKNOWN}
watchers:
  - name: check
    type: nagios
    interval: 10s
    state_match: [UNKNOWN, OK, WARNING, CRITICAL]
    properties: {plugin: ./check_load, annotations: {team: ops}}
  - {name: remediate, type: exec, state_match: [CRITICAL], interval: 15m, success_transition: UNKNOWN, properties: {command: ./fix}}
";

#[test]
fn a_check_fails_and_is_remediated_by_its_own_machine() {
    let mut day = Day::new();
    let id = day.add(CHECK);
    day.answers = vec![("check_load", 0, "OK: fine|load1=0.5;1;2 load5=1")];
    day.pass(21.0);
    assert_eq!(day.state(id), "OK");
    let event = day.of("nagios")[0].clone();
    assert_eq!(
        (&event["status"], &event["status_code"], &event["plugin"]),
        (&json!("OK"), &json!(0), &json!("./check_load"))
    );
    assert_eq!(event["perfdata"][0], json!({"unit": "", "label": "load1", "value": 0.5}));
    assert_eq!(
        (&event["annotations"]["team"], event["history"].as_array().unwrap().len()),
        (&json!("ops"), 1)
    );
    day.answers = vec![("check_load", 2, "CRITICAL"), ("fix", 0, "")];
    day.pass(11.0);
    assert!(day.ran.iter().any(|(_, line)| line == "./fix"), "{:?}", day.ran);
    assert_eq!(day.transitions().last().unwrap(), "UNKNOWN: CRITICAL => UNKNOWN");
    let found = day.engine.find(Wanted { name: "check_load", ..Wanted::default() });
    assert!(found[0].scout && found[0].history.contains(&"CRITICAL"), "{found:?}");
}

#[test]
fn a_check_is_forced_at_once_and_rests_in_maintenance() {
    let mut day = Day::new();
    let id = day.add(CHECK);
    day.answers = vec![("check_load", 1, "WARNING")];
    day.pass(1.0);
    day.ask(id, "FORCE_CHECK").unwrap();
    day.pass(0.1);
    assert_eq!((day.state(id), day.ran.len()), ("WARNING", 1));
    day.ask(id, "MAINTENANCE").unwrap();
    day.pass(300.0);
    assert_eq!(day.ran.len(), 1, "nothing runs in maintenance");
    // and it counts as OK there
    let found = day.engine.find(Wanted::default());
    assert_eq!(found[0].current.as_ref().unwrap()["status"], "OK");
    day.ask(id, "RESUME").unwrap();
    day.pass(15.0);
    assert_eq!(day.state(id), "WARNING");
}

#[test]
fn exit_codes_of_no_state_are_unknown_and_keep_their_text() {
    for code in [4, 5, 77, -1] {
        let mut day = Day::new();
        let id = day.add(CHECK);
        day.answers = vec![("check_load", code, "went wrong")];
        day.pass(21.0);
        assert_eq!(day.state(id), "UNKNOWN", "{code}");
        assert_eq!(day.of("nagios")[0]["output"], "went wrong");
    }
}

#[test]
fn what_is_remembered_of_checks_does_not_grow() {
    let mut day = Day::new();
    day.add(CHECK);
    day.answers = vec![("check_load", 0, "OK|a=1")];
    day.pass(1000.0);
    let last = *day.of("nagios").last().unwrap();
    assert_eq!(last["history"].as_array().unwrap().len(), 15);
}

#[test]
fn data_is_kept_sorted_within_bounds_and_written_once() {
    let mut day = Day::new();
    day.add(
        "{name: d, version: 1.0.0, initial_state: A, transitions: [{name: go, from: [A], destination: B}], watchers: \
         [{name: g, type: exec, interval: 5s, properties: {command: ./data, parse_as_data: true}}]}",
    );
    day.answers = vec![("data", 0, "{\"z\": 1, \"a\": {\"b\": \"<\"}}")];
    day.pass(6.0);
    let (_, path, data) = day.engine.take_data(|_| true).unwrap();
    assert_eq!((path.to_str(), &*data), (Some("/m/d"), "{\"a\":{\"b\":\"\\u003c\"},\"z\":1}"));
    day.pass(30.0);
    assert!(day.engine.take_data(|_| true).is_none(), "the same data is not written again");
    day.answers = vec![("data", 0, "plain")];
    day.pass(6.0);
    assert_eq!(day.of("exec").last().unwrap()["previous_outcome"], "error");
}

/// What goes wrong each half second is no reason to fill a disk.
#[test]
fn the_same_warning_is_told_once_until_it_was_well() {
    let mut day = Day::new();
    day.add(&PROBE.replace("interval: 30s", "interval: 1s"));
    let told = |day: &Day| day.warnings.iter().filter(|text| text.contains("ended with")).count();
    day.answers = vec![("probe", 1, "")];
    day.pass(30.0);
    assert_eq!(told(&day), 1, "{:?}", day.warnings);
    day.answers = vec![("probe", 2, "")];
    day.pass(10.0);
    assert_eq!(told(&day), 2);
    day.answers = vec![];
    day.pass(2.0);
    day.answers = vec![("probe", 2, "")];
    day.pass(10.0);
    assert_eq!(told(&day), 3);
}

#[test]
fn what_is_announced_is_told_again_and_again() {
    let mut day = Day::new();
    day.add(&PROBE.replace("interval: 30s", "interval: 1h\n    announce_interval: 1m"));
    day.pass(301.0);
    let outcomes: Vec<&Value> = day.of("exec").iter().map(|e| &e["previous_outcome"]).collect();
    assert_eq!(outcomes, [&json!("unknown"); 5]);
}

#[test]
fn metrics_are_gathered_shown_and_forgotten() {
    let mut day = Day::new();
    day.add(
        "{name: m, version: 1.0.0, initial_state: A, transitions: [{name: go, from: [A], destination: B}], watchers: \
         [{name: w, type: metric, fail_transition: go, properties: {command: ./m, interval: 10s, labels: {dc: x}, \
         store: true}}]}",
    );
    day.answers = vec![("./m", 0, "{\"labels\":null,\"metrics\":{\"a\":1}}")];
    day.pass(11.0);
    let event = day.of("metric")[0].clone();
    assert_eq!(event["metrics"]["labels"], json!({"dc": "x", "format": "choria"}));
    assert_eq!(event["metrics"]["metrics"]["a"], json!(1));
    assert_eq!(day.engine.metrics(day.now().wall).count(), 1);
    assert!(day.engine.take_data(|_| true).unwrap().2.starts_with("{\"metric\":{\"w\":"));
    day.answers = vec![("./m", 1, "")];
    day.pass(60.0);
    assert_eq!(day.engine.metrics(day.now().wall).count(), 0, "what is too old is not shown");
    assert_eq!(day.state(day.engine.find(Wanted::default())[0].id), "A");
    day.answers = vec![("./m", 0, "{bad")];
    day.pass(11.0);
    assert_eq!(day.state(day.engine.find(Wanted::default())[0].id), "B");
}

#[test]
fn a_switch_is_pressed_where_it_may_be() {
    let mut day = Day::new();
    let id = day.add(
        "{name: lamp, version: 1.0.0, initial_state: dark, transitions: [{name: \"on\", from: [dark], destination: \
         light}, {name: \"off\", from: [light], destination: dark}, {name: lock, from: [dark], destination: locked}], \
         watchers: [{name: s, type: httpswitch, success_transition: \"on\", fail_transition: \"off\", properties: \
         {on_when: [light], off_when: [dark], disable_when: [locked]}}]}",
    );
    day.pass(0.1);
    let now = day.now();
    assert_eq!(day.engine.press("lamp", "s", true, now), Some(Press::Gave(true)));
    assert_eq!(day.state(id), "light");
    assert_eq!(day.engine.press("lamp", "s", false, now), Some(Press::Gave(false)));
    day.pass(2.0);
    day.ask(id, "lock").unwrap();
    assert_eq!(day.engine.press("lamp", "s", true, now), Some(Press::Refused(false)));
    assert_eq!(day.engine.press("lamp", "nosuch", true, now), None);
    assert_eq!(day.engine.switch("lamp", "s").unwrap().0, Some(false));
}

#[test]
fn gossip_registers_a_service() {
    let mut day = Day::new();
    day.add(
        "{name: g, version: 1.0.0, initial_state: A, transitions: [{name: go, from: [A], destination: B}], watchers: \
         [{name: w, type: gossip, interval: 10s, properties: {ttl_seconds: 30, registration: {cluster: c, service: s, \
         protocol: http, ip: 127.0.0.1, port: 80, prefix: reg}}}]}",
    );
    day.pass(25.0);
    assert_eq!(day.messages.len(), 3);
    let message = &day.messages[0];
    assert!(message.subject.starts_with("reg.c.http.s."), "{}", message.subject);
    assert_eq!(
        message.payload,
        "{\"cluster\":\"c\",\"service\":\"s\",\"protocol\":\"http\",\"address\":\"127.0.0.1\",\"port\":80,\"priority\":0}"
    );
    assert_eq!(message.headers, [("Nats-TTLSeconds", "30s".to_owned())]);
}

/// What one machine costs: a node has to hold a thousand.
#[test]
fn a_machine_is_small() {
    assert!(size_of::<super::machine::Slot>() <= 300, "{}", size_of::<super::machine::Slot>());
    assert!(size_of::<Machine>() <= 256, "{}", size_of::<Machine>());
}
