//! Populations over time.

use proptest::prelude::*;

use super::*;

/// Nodes in work at most.
const PLACES: usize = 512;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_name_is_worked_on_once() {
    let start = Instant::now();
    let mut population = Population::new(Rules::default());
    assert_eq!(population.notice("a", Source::Event, start), Noticed::New);
    assert_eq!(population.notice("a", Source::Discovery, start), Noticed::Known);
    assert_eq!(population.take(PLACES).as_deref(), Some("a"));
    assert_eq!(population.notice("a", Source::Event, start), Noticed::Known);
    assert_eq!(population.take(PLACES), None);
    population.ended("a", End::Provisioned, None, start);
    // what is still on its way from before the restart starts nothing
    for source in [Source::Discovery, Source::Registration, Source::Event] {
        assert_eq!(population.notice("a", source, start + secs(1)), Noticed::Known);
    }
    assert_eq!(population.take(PLACES), None);
    population.advance(start + secs(61));
    assert_eq!(population.counts().known, 0);
}

#[test]
fn a_node_that_comes_back_is_tried_again_and_then_left_alone() {
    let mut now = Instant::now();
    let mut population = Population::new(Rules::default());
    population.notice("a", Source::Event, now);
    for noticed in [Noticed::Again, Noticed::Again, Noticed::Quarantined] {
        assert_eq!(population.take(PLACES).as_deref(), Some("a"));
        population.ended("a", End::Provisioned, None, now);
        now += secs(3);
        assert_eq!(population.notice("a", Source::Event, now), noticed);
    }
    assert_eq!(population.take(PLACES), None);
    assert_eq!(population.notice("a", Source::Event, now + secs(10)), Noticed::Known);
    assert_eq!(population.notice("a", Source::Operator, now + secs(10)), Noticed::Again);
    assert_eq!(population.take(PLACES).as_deref(), Some("a"));
}

#[test]
fn failures_are_tried_ever_more_seldom_and_silence_is_forgotten() {
    let start = Instant::now();
    let mut now = start;
    let mut population = Population::new(Rules::default());
    population.notice("a", Source::Discovery, now);
    let mut pauses = vec![];
    while let Some(name) = population.take(PLACES) {
        population.ended(&name, End::Silent, None, now);
        let Some(next) = population.next_turn() else { break };
        pauses.push(next.duration_since(now).as_secs());
        now = next;
        population.advance(now);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128]);
    assert_eq!(population.counts().known, 0);
    // a start is a reason not to wait
    population.notice("a", Source::Discovery, now);
    population.take(PLACES);
    population.ended("a", End::Deferred, None, now);
    population.notice("a", Source::Discovery, now);
    assert_eq!(population.take(PLACES), None);
    population.notice("a", Source::Event, now);
    assert_eq!(population.take(PLACES).as_deref(), Some("a"));
}

#[test]
fn who_said_goodbye_does_not_wait_and_the_queue_does_not_grow() {
    let now = Instant::now();
    let mut population = Population::new(Rules::default());
    for _ in 0..10_000 {
        population.notice("a", Source::Event, now);
        population.left("a");
    }
    assert_eq!(population.counts(), Counts::default());
    assert!(population.ready.len() < 2000);
    population.notice("a", Source::Event, now);
    assert_eq!(population.take(PLACES).as_deref(), Some("a"));
    // who is in work is not forgotten under it
    population.left("a");
    assert!(population.is_working("a") && population.take(PLACES).is_none());
    population.ended("a", End::Stopped, None, now);
    assert_eq!(population.take(PLACES).as_deref(), Some("a"), "put back, not lost");
}

#[test]
fn after_a_long_pause_only_who_was_heard_of_is_tried() {
    let start = Instant::now();
    let mut population = Population::new(Rules::default());
    population.notice("gone", Source::Event, start);
    population.notice("there", Source::Event, start);
    population.notice("open", Source::Event, start);
    population.notice("there", Source::Registration, start + secs(100));
    assert_eq!(population.forget_unheard(start + secs(200), |name| name == "open"), 1);
    assert_eq!(population.take(PLACES).as_deref(), Some("there"));
    assert_eq!(population.take(PLACES).as_deref(), Some("open"));
    assert_eq!(population.take(PLACES), None);
}

#[test]
fn a_helper_says_how_long_within_reason() {
    for (asked, expected) in [(None, 60), (Some(0), 1), (Some(7), 7), (Some(90_000), 3600)] {
        let now = Instant::now();
        let mut population = Population::new(Rules::default());
        population.notice("a", Source::Event, now);
        population.take(PLACES);
        population.ended("a", End::Deferred, asked.map(secs), now);
        assert_eq!(population.next_turn(), Some(now + secs(expected)));
    }
}

#[test]
fn ages_are_of_who_waits() {
    let start = Instant::now();
    let mut population = Population::new(Rules::default());
    assert_eq!(population.ages(start), Ages::default());
    for place in 0..100 {
        population.notice(&format!("n{place}"), Source::Event, start + secs(place));
    }
    let now = start + secs(100);
    assert_eq!(population.ages(now), Ages { p50: 50, p90: 90, p99: 99, max: 100 });
    // the first, which waited longest, has its turn
    population.take(PLACES);
    assert_eq!(population.ages(now).max, 99);
    assert_eq!(population.queued("n0", now), secs(100));
}

#[test]
fn names_are_bounded() {
    let now = Instant::now();
    let mut population = Population::new(Rules { most: 4, ..Rules::default() });
    let mut notice = |names: [&str; 3], source| names.map(|name| population.notice(name, source, now));
    use Noticed::{Full, Known, New};
    assert_eq!(notice(["a", "b", "c"], Source::Event), [New, New, Full], "half are for events");
    assert_eq!(notice(["c", "d", "e"], Source::Discovery), [New, New, Full]);
    population.forget("c");
    assert_eq!(population.notice("e", Source::Registration, now), Full);
    assert_eq!(population.notice("a", Source::Discovery, now), Known);
    assert_eq!(population.notice("e", Source::Registration, now), New, "a is no longer one of them");
}

#[test]
fn names_that_are_only_claimed_do_not_hold_up_those_that_answer() {
    let now = Instant::now();
    let mut population = Population::new(Rules::default());
    for number in 0..1000 {
        population.notice(&format!("made-up{number}"), Source::Event, now);
    }
    population.notice("honest", Source::Event, now);
    population.notice("honest", Source::Discovery, now);
    let turns: Vec<_> = std::iter::from_fn(|| population.take(PLACES)).collect();
    assert_eq!(turns.len(), 1001, "everybody once");
    assert!(turns[..2].iter().any(|name| &**name == "honest"));
    // nobody listens there: it is forgotten soon
    for pause in [1, 2] {
        population.ended("made-up1", End::Absent, None, now);
        let next = population.next_turn().unwrap();
        assert_eq!(next.duration_since(now), secs(pause));
        population.advance(next);
        assert_eq!(population.take(PLACES).as_deref(), Some("made-up1"));
    }
    population.ended("made-up1", End::Absent, None, now);
    assert_eq!(population.counts().known, 1000);
    // by whose word it leaves nobody knows
    population.ended("honest", End::Silent, None, now);
    population.left("honest");
    population.ended("made-up2", End::Silent, None, now);
    population.left("made-up2");
    assert_eq!(population.counts().known, 999);
}

#[test]
fn names_that_failed_come_after_others_and_have_a_share_of_the_places() {
    let start = Instant::now();
    let mut population = Population::new(Rules::default());
    let mut now = start;
    for number in 0..100 {
        population.notice(&format!("silent{number}"), Source::Discovery, now);
    }
    for number in 0..10 {
        population.notice(&format!("again{number}"), Source::Journal, now);
    }
    while let Some(name) = population.take(8) {
        population.ended(&name, End::Silent, None, now);
    }
    now += secs(1);
    population.advance(now);
    let taken: Vec<_> = std::iter::from_fn(|| population.take(8)).collect();
    assert_eq!(taken.len(), 2, "a fourth of the places");
    for number in 0..20 {
        population.notice(&format!("new{number}"), Source::Event, now);
    }
    let fresh: Vec<_> = std::iter::from_fn(|| population.take(8)).collect();
    assert_eq!(fresh.iter().filter(|name| name.starts_with("new")).count(), 20, "{fresh:?}");
    assert_eq!(fresh.len(), 20);
    population.ended(&taken[0], End::Provisioned, None, now);
    assert!(population.take(1).is_none(), "one is in work still");
    population.ended(&taken[1], End::Silent, None, now);
    assert!(population.take(1).is_some(), "there is one place for them in any case");
}

#[test]
fn signs_of_life_shorten_a_pause_and_do_not_end_it() {
    let now = Instant::now();
    let mut population = Population::new(Rules::default());
    population.notice("a", Source::Discovery, now);
    let fail = |population: &mut Population, end, times| {
        for _ in 0..times {
            population.notice("a", Source::Operator, now);
            assert!(population.take(PLACES).is_some());
            population.ended("a", end, None, now);
        }
        population.next_turn().unwrap().duration_since(now)
    };
    let turn = |population: &Population| population.next_turn().unwrap().duration_since(now);
    assert_eq!(fail(&mut population, End::Silent, 6), secs(32));
    for _ in 0..2 {
        population.notice("a", Source::Registration, now);
        assert_eq!(turn(&population), secs(32), "which may be of before");
    }
    for source in [Source::Discovery, Source::Event, Source::Event] {
        population.notice("a", source, now);
        assert_eq!(turn(&population), secs(8), "{source:?}");
    }
    population.advance(now + secs(8));
    assert!(population.take(PLACES).is_some());
    population.ended("a", End::Failed, None, now);
    population.notice("a", Source::Discovery, now);
    assert_eq!(turn(&population), secs(60), "it answers, and fails");
    population.notice("a", Source::Event, now);
    assert_eq!(turn(&population), secs(15));
    assert_eq!(fail(&mut population, End::Silent, 20), secs(300), "the longest");
}

#[test]
fn a_reason_is_told_once() {
    let now = Instant::now();
    let mut population = Population::new(Rules::default());
    population.notice("a", Source::Event, now);
    assert!(population.is_news("a", "silent"));
    population.was_told("a", "silent");
    assert!(!population.is_news("a", "silent") && population.is_news("a", "refused"));
    population.take(PLACES);
    population.ended("a", End::Provisioned, None, now);
    assert!(population.is_news("a", "silent"), "that is over");
}

proptest! {
    /// Whatever happens, a name is in work at most once, and one that waits comes to its turn.
    #[test]
    fn nobody_is_lost_and_nobody_is_worked_on_twice(
        steps in proptest::collection::vec((0..4_u8, 0..5_usize, 0..70_u64), 1..200)
    ) {
        let mut now = Instant::now();
        let mut population = Population::new(Rules::default());
        let mut working = std::collections::HashSet::new();
        let ends = [End::Provisioned, End::Silent, End::Locked, End::Deferred, End::Failed];
        for (step, which, seconds) in steps {
            let name = format!("n{which}");
            match step {
                0 => { population.notice(&name, Source::Event, now); }
                1 => if let Some(taken) = population.take(PLACES) {
                    prop_assert!(working.insert(taken));
                },
                2 => if let Some(taken) = working.iter().next().cloned() {
                    working.remove(&taken);
                    population.ended(&taken, ends[which], None, now);
                },
                _ => {
                    now += Duration::from_secs(seconds);
                    population.advance(now);
                }
            }
            prop_assert_eq!(population.counts().working, working.len());
        }
        for name in working {
            population.ended(&name, End::Failed, None, now);
        }
        population.notice("n0", Source::Operator, now);
        now += secs(10);
        population.advance(now);
        let counts = population.counts();
        let mut turns = 0;
        while population.take(PLACES).is_some() {
            turns += 1;
        }
        prop_assert_eq!(turns, counts.ready);
        prop_assert!(population.timers.len() <= population.counts().known);
    }
}
