//! Provisioners of which one is at work.

use std::fs;
use std::time::{Duration, Instant};

use crate::a_broker_is_a_leaf::hub::Release;
use crate::a_fleet_is_provisioned::{Provisioning, all_are_members, helper, waiting};
use crate::process::until;
use crate::waiting_room::WaitingRoom;

const TTL: Duration = Duration::from_secs(4);

#[test]
fn one_of_two_is_at_work_and_the_other_takes_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let room = WaitingRoom::open_with(&format!(
        "plugin.choria.network.stream.store = {}\nplugin.choria.network.nats_server = {}\n\
         plugin.choria.network.lame_duck_duration = 1\n\
         plugin.choria.network.stream.leader_election_ttl = {}s\n",
        directory.path().display(),
        Release::Newest.program().display(),
        TTL.as_secs(),
    ));
    let (hold, asked) = (room.network.path("hold"), room.network.path("asked"));
    let script = format!("if [ -e {} ]; then touch {}; sleep 100; fi", hold.display(), asked.display());
    let lines = format!("leader_election: true\nhelper: {}\n", helper(&room, &script));
    let mut first = Provisioning::new(&room, "p1", "p1.example.net", &lines);
    let second = {
        let mut second = Provisioning::new(&room, "p2", "p2.example.net", &lines);
        first.start();
        first.log().says(&["elected, nodes are taken on"]);
        second.start();
        second
    };
    second.log().says(&["following until elected"]);
    let mut nodes = waiting(&room, &["n1.example.net", "n2.example.net"]);
    all_are_members(&room, &["n1.example.net", "n2.example.net"]);
    // through more than one renewal it is the only one
    std::thread::sleep(TTL + Duration::from_secs(1));
    assert_eq!(first.status()["provisioned"], 2);
    let follower = second.status();
    assert_eq!(
        (&follower["provisioned"], &follower["paused"][0]),
        (&0.into(), &"election".into()),
        "{follower}"
    );
    let leads = room.network.alice().run(&["election", "info", "--json"]).fine().json();
    assert_eq!(leads["elections"][0]["leader"], "p1.example.net", "{leads}");

    // killed while it is at a node
    fs::write(&hold, "").expect("a file");
    nodes.extend(waiting(&room, &["n3.example.net"]));
    until("the helper to be asked", || asked.exists().then_some(()));
    let killed = Instant::now();
    first.kill();
    fs::remove_file(&hold).expect("a file");
    second.log().says(&["elected, nodes are taken on"]);
    assert!(killed.elapsed() < TTL + Duration::from_secs(5), "{:?}", killed.elapsed());
    nodes.extend(waiting(&room, &["n4.example.net"]));
    all_are_members(&room, &["n1.example.net", "n2.example.net", "n4.example.net"]);
    // the one that was begun belongs to the dead one for as long as its lock lasts; nobody is configured twice
    nodes[2].log().says(&["Could not obtain provisioning lock", "p2.mcollective"]);
    for (node, times) in nodes.iter().zip([1, 1, 0, 1]) {
        assert_eq!(node.log().matching(0, &["configured: Wrote"]).len(), times, "{}", node.name);
    }
    assert!(second.log().matching(0, &["kind=unasked"]).is_empty(), "votes are no messages of machines");
    // back again, it follows
    first.start();
    std::thread::sleep(TTL + Duration::from_secs(1));
    assert_eq!(first.status()["paused"][0], "election");
    assert!(second.log().matching(0, &["election is lost"]).is_empty());
}

#[test]
fn without_a_bucket_nobody_is_elected_and_the_log_says_why() {
    let room = WaitingRoom::open();
    let mut alone = Provisioning::new(&room, "p1", "p1.example.net", "leader_election: true\n");
    alone.start();
    alone.log().says(&["nobody can be elected yet", "choria.streams.STREAM.INFO.KV_CHORIA_LEADER_ELECTION"]);
    assert_eq!(alone.status()["paused"][0], "election");
}
