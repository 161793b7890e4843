//! Who holds how much, and who may come.

use super::*;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn node(name: &str) -> Peer {
    Peer { kind: PeerKind::Node, identity: name.into() }
}

#[test]
fn two_machines_of_one_name_are_known_by_both_being_heard() {
    let (holders, limits) = (Arc::new(Holders::default()), Limits::default());
    let at = Duration::from_secs;
    let enter =
        |peer: &Peer, cid, now| holders.enter(Account::Choria, peer, (cid, HERE), &limits, at(now)).unwrap();
    let (old, new) = (enter(&node("n1"), 1, 5), enter(&node("n1"), 2, 10));
    let shows = |slot: &LinkSlot, cid, now| slot.holder.shows_double(cid, at(now));
    assert!(!shows(&new, 2, 20), "the newer one alone");
    assert!(!shows(&old, 1, 11), "what was on its way");
    assert!(shows(&old, 1, 12) && !shows(&old, 1, 13), "told once");
    let (old, new) = (enter(&node("n2"), 1, 5), enter(&node("n2"), 2, 10));
    drop(new);
    assert!(!shows(&old, 1, 20), "the newer one has gone");
    let client = Peer { kind: PeerKind::Client, identity: "bob".into() };
    let (old, _new) = (enter(&client, 1, 5), enter(&client, 2, 10));
    assert!(!shows(&old, 1, 20), "clients may");
}

#[test]
fn what_is_held_is_known_by_shard_identity_and_kind() {
    let (holders, limits, counter) = (Arc::new(Holders::default()), Limits::default(), Counter::default());
    let slot =
        |name: &str| holders.enter(Account::Choria, &node(name), (1, HERE), &limits, Duration::ZERO).unwrap();
    let mut first = Charge::new(slot("n1"), &counter);
    let mut second = Charge::new(slot("n1"), &counter);
    let mut other = Charge::new(slot("n2"), &counter);
    first.set(10, 4, 100);
    second.set(5, 0, 5);
    other.set(50, 7, 60);
    assert_eq!(counter.load(Ordering::Relaxed), 65);
    assert_eq!((first.holder().bytes(), other.holder().bytes()), (105, 60));
    assert_eq!(holders.of_kind(PeerKind::Node), 165);
    assert!(Arc::ptr_eq(&holders.heaviest(None, 1)[0], second.holder()));
    assert!(holders.heaviest(Some(PeerKind::Client), 3).is_empty());
    assert_eq!(first.holder().subscribed(), 4);
    first.set(0, 0, 0);
    assert!(Arc::ptr_eq(&holders.heaviest(None, 1)[0], other.holder()));
    drop((first, second, other));
    assert_eq!(counter.load(Ordering::Relaxed), 0);
    assert_eq!(holders.of_kind(PeerKind::Node), 0);
    assert!(holders.known.lock().unwrap().by_name.is_empty());
}

#[test]
fn an_identity_has_so_many_links_and_waiting_nodes_leave_room() {
    let holders = Arc::new(Holders::default());
    let mut limits = Limits { max_connections: 12, ..Limits::default() };
    limits.of_mut(PeerKind::Node).connections = 2;
    let at = |peer: &Peer, last: u8| {
        let from = IpAddr::from([192, 0, 2, last]);
        holders.enter(Account::Choria, peer, (1, from), &limits, Duration::ZERO)
    };
    let slot = |peer: &Peer| at(peer, 1);
    let held = [slot(&node("n1")).unwrap(), slot(&node("n1")).unwrap()];
    assert_eq!(slot(&node("n1")).unwrap_err(), "too many connections of one identity");
    assert!(slot(&node("n2")).is_ok());
    drop(held);
    assert!(slot(&node("n1")).is_ok());
    let waiting = |number: usize| Peer { kind: PeerKind::WaitingNode, identity: format!("w{number}").into() };
    let seats: Vec<_> = (0..5).map(|number| at(&waiting(number), 1).unwrap()).collect();
    assert_eq!(slot(&waiting(9)).unwrap_err(), "too many connections of waiting nodes at one address");
    // and by its name nobody is kept out elsewhere
    let more: Vec<_> = (0..4).map(|number| at(&waiting(number), 2).unwrap()).collect();
    assert_eq!(at(&waiting(9), 3).unwrap_err(), "too many connections of waiting nodes");
    assert!(slot(&node("n1")).is_ok());
    drop((seats, more));
    assert!(slot(&waiting(9)).is_ok());
    assert!(holders.known.lock().unwrap().waiting.is_empty());
    // four by one name and from one place
    let many: Vec<_> = (0..4).map(|_| at(&waiting(0), 1).unwrap()).collect();
    assert_eq!(slot(&waiting(0)).unwrap_err(), "too many connections of one identity");
    assert!(at(&waiting(0), 2).is_ok());
    drop(many);
    // who waits by the name of a member that is there
    let _member = slot(&node("n9")).unwrap();
    let named = Peer { kind: PeerKind::WaitingNode, identity: "n9".into() };
    assert_eq!(slot(&named).unwrap_err(), MEMBER);
    // nobody in particular
    let nobody = Peer { kind: PeerKind::Node, identity: "".into() };
    let seats = [1, 2, 3]
        .map(|cid| holders.enter(Account::Choria, &nobody, (cid, HERE), &limits, Duration::ZERO).unwrap());
    assert_eq!(seats.map(|slot| slot.holder.links.load(Ordering::Relaxed)), [1, 1, 1]);
}

/// Whoever has the token waits by no name of a member, nor of one that was cut off a moment ago.
#[test]
fn the_name_of_a_member_stays_its_own() {
    let holders = Arc::new(Holders::default());
    let limits = Limits::default();
    let at = |kind: PeerKind, last: u8, second: u64| {
        let peer = Peer { kind, identity: "n1".into() };
        let account = if kind == PeerKind::WaitingNode { Account::Provisioning } else { Account::Choria };
        let from = IpAddr::from([192, 0, 2, last]);
        holders.enter(account, &peer, (1, from), &limits, Duration::from_secs(second))
    };
    for kind in MEMBERS {
        let early = at(PeerKind::WaitingNode, 9, 0).unwrap();
        assert!(!early.holder.is_ousted());
        let member = at(kind, 1, 0).unwrap();
        assert!(early.holder.is_ousted(), "who waited by its name has no part in it");
        assert_eq!(at(PeerKind::WaitingNode, 9, 1).unwrap_err(), MEMBER);
        assert_eq!(at(PeerKind::WaitingNode, 1, 1).unwrap_err(), MEMBER);
        drop((early, member));
        assert_eq!(at(PeerKind::WaitingNode, 9, 2).unwrap_err(), MEMBER, "{kind:?}");
        assert!(at(PeerKind::WaitingNode, 1, 2).is_ok(), "a node that is provisioned anew");
        assert!(at(PeerKind::WaitingNode, 9, 400).is_ok(), "another machine by its name");
        holders.known.lock().unwrap().gone = Default::default();
        assert!(holders.known.lock().unwrap().waiting_by_name.is_empty());
    }
}

/// However many leave, what is remembered of them is bounded, and the last are.
#[test]
fn names_that_are_kept_free_are_so_many() {
    let mut known = Known::default();
    let elsewhere = IpAddr::from([192, 0, 2, 9]);
    for number in 0..3 * MOST_GONE {
        known.keep_free(&format!("n{number}"), HERE, Duration::from_secs(1));
    }
    assert!(known.gone.iter().map(HashMap::len).sum::<usize>() <= MOST_GONE);
    let is_kept = |number: usize, second| {
        known.is_of_a_member(&format!("n{number}"), elsewhere, Duration::from_secs(second))
    };
    assert!(is_kept(3 * MOST_GONE - 1, 2) && !is_kept(3 * MOST_GONE - 1, 400) && !is_kept(0, 2));
}
