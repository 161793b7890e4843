use std::time::Duration;

use serde_json::json;

use super::ends::{MISSES, Misses, has_ended, pause};
use super::journal::replay;
use super::*;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("n{number:05}")).collect()
}

#[test]
fn stages_as_people_write_them() {
    let bounds = |text: &str, nodes| text.parse::<Stages>().map(|stages| stages.bounds(nodes));
    assert_eq!(bounds("1,1%,10%,100%", 1000).unwrap(), [1, 10, 100, 1000]);
    assert_eq!(bounds("1, 10%, 100%", 5).unwrap(), [1, 5], "a stage that asks nobody more is none");
    assert_eq!(bounds("100%", 3).unwrap(), [3]);
    assert_eq!(bounds("50,10%,100%", 100).unwrap(), [50, 100]);
    assert_eq!(bounds("7,100%", 3).unwrap(), [3]);
    assert_eq!(bounds("1,100%", 0).unwrap(), [0usize; 0]);
    for bad in
        ["", "1,", "0,100%", "-1,100%", "101%", "1.5,100%", "x", "+1,100%", "99999999999999999999,100%"]
    {
        assert!(matches!(bounds(bad, 5), Err(StagesError::Malformed(_))), "{bad}");
    }
    assert_eq!(bounds("1,10%", 5), Err(StagesError::Short("10%".to_owned())));
    assert_eq!(bounds("1,5", 5), Err(StagesError::Short("5".to_owned())));
    assert_eq!(bounds(&"1,".repeat(100), 5), Err(StagesError::Many));
}

#[test]
fn what_may_fail() {
    let of = |text: &str, asked| text.parse::<Allowance>().map(|allowance| allowance.of(asked));
    assert_eq!((of("0", 9), of("3", 1), of("2%", 49), of("2%", 50)), (Ok(0), Ok(3), Ok(0), Ok(1)));
    for bad in ["", "100%", "-1", "x", "1.5%", "%"] {
        assert!(of(bad, 1).is_err(), "{bad}");
    }
}

/// A change on nodes of which some break, whose client may be killed and go on; who was
/// asked how often, and whether it stopped.
fn simulate(
    rng: &mut fastrand::Rng,
    breaks: &dyn Fn(&str) -> bool,
    killed: bool,
) -> (Plan, Vec<usize>, bool) {
    let count = rng.usize(1..400);
    let mut words: Vec<String> = (0..rng.usize(0..5))
        .map(|_| if rng.bool() { rng.usize(1..50).to_string() } else { format!("{}%", rng.usize(1..100)) })
        .collect();
    words.push("100%".to_owned());
    let bounds = words.join(",").parse::<Stages>().unwrap().bounds(count);
    let batch = rng.bool().then(|| rng.usize(1..60));
    let abort = if rng.bool() { Allowance::NONE } else { Allowance::Percent(rng.usize(0..100)) };
    let plan = Plan { nodes: names(count), bounds, batch, abort: Some(abort), ..Plan::default() };
    let mut file = serde_json::to_string(&plan).unwrap() + "\n";
    let mut times = vec![0; count];
    loop {
        let (_, mut rollout) = replay(file.as_bytes()).unwrap();
        // killed anywhere in a life, now and then in the middle of a line
        let mut left = if killed { rng.usize(1..200) } else { usize::MAX };
        let mut say = |text: String| {
            left = left.saturating_sub(1);
            let whole = left > 0 || rng.bool();
            file.push_str(&text[..if whole { text.len() } else { text.len() / 2 }]);
            (whole, left > 0)
        };
        let mut alive = true;
        'life: for size in rollout.groups() {
            if rollout.verdict().is_err() {
                return (plan, times, true);
            }
            let from = rollout.asked();
            let group = &plan.nodes[from..from + size];
            let (whole, lives) = say(format!("{{\"asked\":{}}}\n", from + size));
            if !whole || !lives {
                alive = false;
                break 'life;
            }
            rollout.asking(group);
            for (number, node) in group.iter().enumerate() {
                times[from + number] += 1;
                let good = !breaks(node);
                rollout.heard(node, good);
                if !say(format!("{{\"{}\":\"{node}\"}}\n", if good { "good" } else { "bad" })).1 {
                    alive = false;
                    break 'life;
                }
            }
            rollout.waited();
        }
        if alive {
            return (plan, times, rollout.verdict().is_err());
        }
        if !file.ends_with('\n') {
            file.truncate(file.rfind('\n').map_or(0, |at| at + 1));
        }
    }
}

#[test]
fn an_action_that_breaks_every_node_hits_the_first_stage_only() {
    let mut rng = fastrand::Rng::with_seed(7);
    for round in 0..10_000 {
        let (plan, times, stopped) = simulate(&mut rng, &|_| true, round % 2 == 1);
        assert!(stopped || plan.bounds.len() == 1, "{plan:?}");
        let hit = times.iter().filter(|times| **times > 0).count();
        let first = plan.bounds[0].min(plan.batch.unwrap_or(usize::MAX));
        assert!(hit <= first, "{hit} of {plan:?}");
    }
}

#[test]
fn nobody_is_asked_twice_and_a_good_change_reaches_everybody() {
    let mut rng = fastrand::Rng::with_seed(11);
    for round in 0..2_000 {
        let killed = round % 2 == 1;
        let (plan, times, stopped) = simulate(&mut rng, &|_| false, killed);
        assert!(times.iter().all(|times| *times <= 1), "{plan:?}");
        // who had been asked when its client was killed may have acted, or not: that is told
        if !killed {
            assert!(!stopped && times.iter().all(|times| *times == 1), "{plan:?}");
        }
    }
}

#[test]
fn what_stands_in_the_file_is_where_it_stands() {
    let plan = Plan { nodes: names(4), bounds: vec![1, 4], ..Plan::default() };
    let plan = serde_json::to_string(&plan).unwrap();
    let of = |lines: &str| replay(format!("{plan}\n{lines}").as_bytes()).map(|(_, rollout)| rollout);
    let rollout = of("").unwrap();
    assert_eq!((rollout.groups(), rollout.asked(), rollout.verdict()), (vec![1, 3], 0, Ok(())));
    let rollout = of("{\"asked\":1}\n{\"good\":\"n00000\"}\n{\"asked\":4}\n{\"go").unwrap();
    assert_eq!(rollout.bad().collect::<Vec<_>>(), ["n00001", "n00002", "n00003"], "who is not heard of");
    assert_eq!(rollout.verdict(), Err(TooMany { bad: 3, asked: 4, allowed: 0 }));
    let rollout =
        of("{\"asked\":1}\n{\"bad\":\"n00000\"}\n{\"good\":\"n00000\"}\n{\"bad\":\"other\"}\n").unwrap();
    assert_eq!((rollout.verdict(), rollout.groups(), rollout.stage()), (Ok(()), vec![3], (true, 1, 2)));
    for junk in ["x\n", "{\"asked\":9}\n", "{\"asked\":4}\n{\"asked\":1}\n"] {
        assert!(of(junk).is_err(), "{junk}");
    }
    for junk in [
        "",
        "\n",
        "{}\n",
        "{\"nodes\":[\"a\"],\"bounds\":[2]}\n",
        "{\"nodes\":[\"a\",\"b\"],\"bounds\":[2,1,2]}\n",
    ] {
        assert!(replay(junk.as_bytes()).is_err(), "{junk}");
    }
}

#[test]
fn tasks_that_go_on_are_known_to_who_goes_on() {
    let plan = Plan { nodes: names(3), bounds: vec![2, 3], ..Plan::default() };
    let plan = serde_json::to_string(&plan).unwrap();
    let of = |lines: &str| replay(format!("{plan}\n{lines}").as_bytes()).unwrap().1;
    let running = "{\"asked\":2}\n{\"good\":\"n00001\"}\n{\"running\":[\"n00000\",\"id\"]}\n";
    let mut rollout = of(running);
    assert_eq!(rollout.running().get("n00000").map(String::as_str), Some("id"));
    assert_eq!(rollout.verdict(), Ok(()), "neither well nor badly");
    // it counts as bad where it is given up, and who goes on looks again
    rollout.lost("n00000");
    assert!(rollout.verdict().is_err() && rollout.running().len() == 1);
    rollout.heard("n00000", true);
    assert!(rollout.verdict().is_ok() && rollout.running().is_empty());
    assert_eq!(of(&format!("{running}{{\"asked\":3}}\n")).running().len(), 1);
    for (end, bad) in [("good", 0), ("bad", 1)] {
        let rollout = of(&format!("{running}{{\"{end}\":\"n00000\"}}\n"));
        assert_eq!((rollout.running().len(), rollout.bad().count()), (0, bad), "{end}");
    }
    assert!(of("{\"running\":[\"n00000\",\"id\"]}\n").running().is_empty(), "it was not asked");
}

#[test]
fn only_a_status_says_how_a_task_is() {
    for (ok, data, wanted) in [
        (true, json!({"completed": false}), Some(false)),
        (true, json!({"completed": true}), Some(true)),
        (false, json!({"completed": true, "exitcode": 1}), Some(true)),
        // denied, not known there, too large, not understood
        (false, json!({}), None),
        (false, json!({"completed": false, "exitcode": 127}), None),
        (true, json!({}), None),
        (true, json!({"completed": "true"}), None),
    ] {
        assert_eq!(has_ended(ok, data.as_object().unwrap()), wanted, "{ok} {data}");
    }
    let running = [("a", "1"), ("b", "1"), ("c", "2")].map(|(node, id)| (node.to_owned(), id.to_owned()));
    let (running, mut misses) = (running.into_iter().collect(), Misses::default());
    for look in 1..=MISSES {
        assert_eq!(misses.one_more("a"), look == MISSES);
        misses.one_more("b");
        misses.none("b");
    }
    let pauses = [0, 60, 300, 3600, 90_000].map(|waited| pause(Duration::from_secs(waited)).as_secs());
    assert_eq!(pauses, [3, 6, 30, 60, 60]);
    let left = misses.waited_for(&running);
    assert_eq!((&left["1"], &left["2"]), (&vec!["b".to_owned()], &vec!["c".to_owned()]));
}

#[test]
fn who_is_waited_for_is_named() {
    let said = |count| Notice::GoesOn("id7".to_owned(), names(count)).to_string();
    let one = "the task goes on on 1 node, its end is waited for: n00000; choria tasks status id7 tells more";
    assert_eq!(said(1), one);
    assert!(said(11).starts_with("the task goes on on 11 nodes") && said(11).contains("n00009, …;"));
}

#[test]
fn a_file_is_of_one_command_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("stages");
    let plan = |id: &str| Plan { id: id.to_owned(), nodes: names(2), bounds: vec![1, 2], ..Plan::default() };
    let mut first = Journal::begin(&dir, &plan("aab")).unwrap();
    first.asked(1).unwrap();
    first.heard("n00000", true).unwrap();
    assert!(matches!(Journal::resume(&dir, "aab"), Err(JournalError::Busy(_))));
    drop(first);
    drop(Journal::begin(&dir, &plan("aac")).unwrap());
    assert!(matches!(Journal::resume(&dir, "aa"), Err(JournalError::Ambiguous(_, 2))));
    assert!(matches!(Journal::resume(&dir, "b"), Err(JournalError::Unknown(_))));
    assert!(matches!(Journal::resume(&dir, ""), Err(JournalError::Unknown(_))));
    let (journal, plan, rollout) = Journal::resume(&dir, "aab").unwrap();
    assert_eq!((plan.id.as_str(), rollout.groups()), ("aab", vec![1]));
    journal.end();
    assert!(matches!(Journal::resume(&dir, "aab"), Err(JournalError::Unknown(_))));
    assert_eq!(Journal::resume(&dir, "last").unwrap().1.id, "aac");
}

#[test]
fn a_check_ends_where_what_it_wants_begins() {
    for (text, inputs, wanted) in [
        ("rpcutil.ping", &[][..], false),
        ("rpcutil.ping if ok()", &[], true),
        ("demo.look text=\"only if needed\" if data('x') == ' if '", &[("text", "only if needed")], true),
        ("demo.look text='a if b'", &[("text", "a if b")], false),
    ] {
        let look = Look::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let found: Vec<_> = look.inputs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!((found.as_slice(), look.wanted().is_some()), (inputs, wanted), "{text}");
    }
}
