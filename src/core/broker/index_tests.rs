use proptest::prelude::*;

use super::*;
use crate::core::nats::subject::matches;

fn target(slot: u32) -> Target {
    Target { shard: (slot % 3) as u16, slot, serial: 1 }
}

#[test]
fn one_group_over_all_patterns() {
    let mut index = Index::default();
    for (slot, pattern) in ["q.a", "q.*", "q.>"].into_iter().enumerate() {
        index.insert(pattern.as_bytes(), Some(b"g"), target(slot as u32), 0);
    }
    let matched = index.matches(b"q.a");
    assert_eq!(matched.groups.len(), 1);
    assert_eq!(matched.groups[0].members.len(), 3);
    assert_eq!(index.matches(b"q.a.b").groups[0].members.len(), 1);
    assert!(index.matches(b"x").is_empty());
}

#[test]
fn wildcard_text_in_a_published_subject_is_text() {
    let mut index = Index::default();
    index.insert(b"a.b", None, target(0), 0);
    index.insert(b"a.*", None, target(1), 0);
    assert_eq!(index.matches(b"a.*").len(), 1);
    assert_eq!(index.matches(b"a.b").len(), 2);
}

#[derive(Debug, Clone)]
enum Step {
    Insert(String, Option<&'static str>),
    Remove(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (proptest::collection::vec("[ab*]", 1..4), any::<bool>(), prop_oneof![Just(None), Just(Some("g")), Just(Some("h"))])
            .prop_map(|(tokens, rest, queue)| Step::Insert(tokens.join(".") + if rest { ".>" } else { "" }, queue)),
        1 => any::<prop::sample::Index>().prop_map(Step::Remove),
    ]
}

proptest! {
    #[test]
    fn agrees_with_a_plain_list(steps in proptest::collection::vec(step(), 0..60), subject in proptest::collection::vec("[ab]", 1..5)) {
        let subject = subject.join(".");
        let mut index = Index::default();
        let mut list = Vec::new();
        for (slot, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert(pattern, queue) => {
                    let key = index.insert(pattern.as_bytes(), queue.map(str::as_bytes), target(slot as u32), 0);
                    list.push((key, pattern, queue, target(slot as u32)));
                }
                Step::Remove(_) if list.is_empty() => {}
                Step::Remove(at) => {
                    let (key, ..) = list.swap_remove(at.index(list.len()));
                    index.remove(key);
                }
            }
        }
        prop_assert_eq!(index.len(), list.len());
        let matched = index.matches(subject.as_bytes());
        let expected = |wanted: Option<&str>| {
            let mut targets: Vec<Target> = list
                .iter()
                .filter(|(_, pattern, queue, _)| *queue == wanted && matches(pattern, &subject))
                .map(|(.., target)| *target)
                .collect();
            targets.sort();
            targets
        };
        let mut plain: Vec<Target> = (0..3).flat_map(|shard| matched.plain(shard).to_vec()).collect();
        plain.sort();
        prop_assert_eq!(plain, expected(None));
        for name in ["g", "h"] {
            let mut members = matched
                .groups
                .iter()
                .filter(|group| *group.name == *name.as_bytes())
                .flat_map(|group| group.members.clone())
                .collect::<Vec<_>>();
            members.sort();
            prop_assert_eq!(members, expected(Some(name)));
        }
        // page by page, each is there once and as it was made
        for test in [None, Some(subject.as_str())] {
            let wanted = |pattern: &str| test.is_none_or(|subject| matches(pattern, subject));
            let mut made: Vec<(Target, String, Option<&str>)> = list
                .iter()
                .filter(|(_, pattern, ..)| wanted(pattern))
                .map(|(_, pattern, queue, target)| (*target, pattern.clone(), *queue))
                .collect();
            let mut listed = Vec::new();
            for page in 0..=made.len() / 3 {
                let (total, rows) = index.list(test.map(str::as_bytes), page * 3, 3);
                prop_assert_eq!(total, made.len());
                listed.extend(rows);
            }
            made.sort();
            listed.sort_by_key(|row| row.target);
            prop_assert_eq!(listed.len(), made.len());
            for (row, (target, pattern, queue)) in listed.iter().zip(&made) {
                let row = (row.target, &*row.subject, row.queue.as_deref());
                prop_assert_eq!(row, (*target, pattern.as_bytes(), queue.map(str::as_bytes)));
            }
        }
        for (key, _, _, target) in &list {
            prop_assert!(index.describe(*key, *target).is_some());
            prop_assert_eq!(index.describe(*key, Target { serial: 2, ..*target }), None);
        }
        for (key, ..) in list {
            index.remove(key);
        }
        prop_assert!(index.is_empty() && index.subjects.is_empty() && index.literal.is_empty() && index.wild.is_empty());
    }
}
