//! Populations over time.

use proptest::prelude::*;

use super::*;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_name_is_worked_on_once() {
    let start = Instant::now();
    let mut population = Population::new(Rules::default());
    assert_eq!(population.notice("a", Source::Event, start), Noticed::New);
    assert_eq!(population.notice("a", Source::Discovery, start), Noticed::Known);
    assert_eq!(population.take().as_deref(), Some("a"));
    assert_eq!(population.notice("a", Source::Event, start), Noticed::Known);
    assert_eq!(population.take(), None);
    population.ended("a", End::Provisioned, None, start);
    // what is still on its way from before the restart starts nothing
    for source in [Source::Discovery, Source::Registration, Source::Event] {
        assert_eq!(population.notice("a", source, start + secs(1)), Noticed::Known);
    }
    assert_eq!(population.take(), None);
    population.advance(start + secs(61));
    assert_eq!(population.counts().known, 0);
}

#[test]
fn a_node_that_comes_back_is_tried_again_and_then_left_alone() {
    let mut now = Instant::now();
    let mut population = Population::new(Rules::default());
    population.notice("a", Source::Event, now);
    for noticed in [Noticed::Again, Noticed::Again, Noticed::Quarantined] {
        assert_eq!(population.take().as_deref(), Some("a"));
        population.ended("a", End::Provisioned, None, now);
        now += secs(3);
        assert_eq!(population.notice("a", Source::Event, now), noticed);
    }
    assert_eq!(population.take(), None);
    assert_eq!(population.notice("a", Source::Event, now + secs(10)), Noticed::Known);
    assert_eq!(population.notice("a", Source::Operator, now + secs(10)), Noticed::Again);
    assert_eq!(population.take().as_deref(), Some("a"));
}

#[test]
fn failures_are_tried_ever_more_seldom_and_silence_is_forgotten() {
    let start = Instant::now();
    let mut now = start;
    let mut population = Population::new(Rules::default());
    population.notice("a", Source::Discovery, now);
    let mut pauses = vec![];
    while let Some(name) = population.take() {
        population.ended(&name, End::Silent, None, now);
        let Some(next) = population.next_turn() else { break };
        pauses.push(next.duration_since(now).as_secs());
        now = next;
        population.advance(now);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(population.counts().known, 0);
    // a start is a reason not to wait
    population.notice("a", Source::Discovery, now);
    population.take();
    population.ended("a", End::Deferred, None, now);
    population.notice("a", Source::Discovery, now);
    assert_eq!(population.take(), None);
    population.notice("a", Source::Event, now);
    assert_eq!(population.take().as_deref(), Some("a"));
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
    assert!(population.ready.iter().map(VecDeque::len).sum::<usize>() < 2000);
    population.notice("a", Source::Event, now);
    assert_eq!(population.take().as_deref(), Some("a"));
    // who is in work is not forgotten under it
    population.left("a");
    assert!(population.is_working("a") && population.take().is_none());
    population.ended("a", End::Stopped, None, now);
    assert_eq!(population.take().as_deref(), Some("a"), "put back, not lost");
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
    assert_eq!(population.take().as_deref(), Some("there"));
    assert_eq!(population.take().as_deref(), Some("open"));
    assert_eq!(population.take(), None);
}

#[test]
fn a_helper_says_how_long_within_reason() {
    for (asked, expected) in [(None, 60), (Some(0), 1), (Some(7), 7), (Some(90_000), 3600)] {
        let now = Instant::now();
        let mut population = Population::new(Rules::default());
        population.notice("a", Source::Event, now);
        population.take();
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
    population.take();
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
    let turns: Vec<_> = std::iter::from_fn(|| population.take()).collect();
    assert_eq!(turns.len(), 1001, "everybody once");
    assert!(turns[..2].iter().any(|name| &**name == "honest"));
    // nobody listens there: it is forgotten soon
    for pause in [1, 2] {
        population.ended("made-up1", End::Absent, None, now);
        let next = population.next_turn().unwrap();
        assert_eq!(next.duration_since(now), secs(pause));
        population.advance(next);
        assert_eq!(population.take().as_deref(), Some("made-up1"));
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
                1 => if let Some(taken) = population.take() {
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
        while population.take().is_some() {
            turns += 1;
        }
        prop_assert_eq!(turns, counts.ready);
        prop_assert!(population.timers.len() < 2000);
    }
}
