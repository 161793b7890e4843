use super::*;
use crate::core::admission::SubjectList;

fn leaf(serial: u32) -> LeafId {
    LeafId { shard: 0, key: serial, serial }
}

fn hub(serial: u32, streams: bool) -> Attached {
    Attached {
        leaf: leaf(serial),
        order: serial as usize,
        streams,
        export: Arc::default(),
        changed: Arc::default(),
        unknown: HashSet::new(),
    }
}

fn to(serial: u32, plain: bool, queues: &[&str]) -> ToHub {
    let queues = queues.iter().map(|queue| queue.as_bytes().into()).collect();
    ToHub { leaf: leaf(serial), plain, queues }
}

#[test]
fn a_hub_gets_a_message_once_however_often_it_wants_it() {
    let mut hubs = Hubs::default();
    hubs.attach(hub(2, false));
    hubs.attach(hub(1, false));
    let wishes = ["a.>", "a.b", "*.b"].map(|subject| Wish::new(subject.as_bytes(), None));
    let keys = wishes.each_ref().map(|wish| hubs.want(leaf(1), wish));
    hubs.want(leaf(2), &Wish::new(b"a.b", Some(b"q")));
    hubs.want(leaf(2), &Wish::new(b"a.*", Some(b"q")));
    hubs.want(leaf(2), &Wish::new(b"a.*", Some(b"r")));
    let mut found = hubs.matches(b"a.b");
    found.iter_mut().for_each(|to| to.queues.sort());
    assert_eq!(found, [to(1, true, &[]), to(2, false, &["q", "r"])]);
    keys.into_iter().for_each(|key| hubs.withdraw(key));
    assert_eq!(hubs.matches(b"a.b").len(), 1);
    hubs.detach(leaf(2));
    assert!(hubs.matches(b"a.b").is_empty());
}

#[test]
fn streams_are_those_of_the_first_hub_that_has_some() {
    let mut hubs = Hubs::default();
    for (serial, streams) in [(1, false), (2, true), (3, true)] {
        hubs.attach(hub(serial, streams));
        hubs.want(leaf(serial), &Wish::new(b"$JS.API.>", None));
    }
    for (subject, expected) in [
        ("$JS.API.STREAM.LIST", vec![to(2, true, &[])]),
        ("$JS.API.DIRECT.GET.KV_X.$KV.X.k", vec![to(2, true, &["_sys_"])]),
        ("$KV.X.k", vec![to(2, true, &[])]),
        ("$OBJ.X.k", vec![to(2, true, &[])]),
        ("other", vec![]),
    ] {
        assert_eq!(hubs.matches(subject.as_bytes()), expected, "{subject}");
    }
    hubs.detach(leaf(2));
    assert_eq!(hubs.matches(b"$KV.X.k"), [to(3, true, &[])]);
    hubs.detach(leaf(3));
    // whoever it is that wants it
    assert_eq!(hubs.matches(b"$JS.API.STREAM.LIST"), [to(1, true, &[])]);
    assert!(hubs.matches(b"$KV.X.k").is_empty());
}

#[test]
fn a_hub_gets_what_it_takes() {
    let mut hubs = Hubs::default();
    let export = Arc::new(Permission { deny: SubjectList::new(["a.>"]), ..Default::default() });
    hubs.attach(Attached { export, ..hub(1, true) });
    hubs.want(leaf(1), &Wish::new(b">", None));
    assert!(hubs.matches(b"a.b").is_empty());
    assert_eq!(hubs.matches(b"b").len(), 1);
}

#[test]
fn a_change_is_told_once() {
    let mut hubs = Hubs::default();
    hubs.attach(hub(1, false));
    let (one, other) = (Wish::new(b"a", None), Wish::new(b"b", Some(b"q")));
    assert_eq!(hubs.note(&one), [leaf(1)]);
    assert!(hubs.note(&one).is_empty() && hubs.note(&other).is_empty());
    assert_eq!(hubs.take_unknown(leaf(1)).len(), 2);
    assert!(hubs.take_unknown(leaf(1)).is_empty());
    assert_eq!(hubs.note(&one), [leaf(1)]);
}
