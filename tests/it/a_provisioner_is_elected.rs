//! An embedder's election: who does not lead touches no node, and loses none.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use choria::core::provisioner::daemon::Daemon;
use choria::core::provisioner::election::{Campaign, Election, Poll};
use choria::core::provisioner::helper::Surroundings;
use choria::core::provisioner::plan::Plan;
use choria::core::provisioner::settings::{Features, Settings};
use choria::core::provisioner::status::Status;
use choria::core::text::Secret;
use tokio::sync::watch;

use crate::a_fleet_is_provisioned::{all_are_members, helper, waiting};
use crate::process::until;
use crate::waiting_room::{ACCESS, WaitingRoom};

/// Whoever holds the other end decides.
struct Decided(watch::Receiver<bool>);

impl Election for Decided {
    fn name(&self) -> &str {
        "provisioner"
    }

    fn campaign<'a>(&'a self, poll: &'a dyn Poll) -> Campaign<'a> {
        Box::pin(async move {
            let mut elected = self.0.clone();
            loop {
                poll.voted(Duration::from_secs(1));
                match *elected.borrow_and_update() {
                    true => poll.won(),
                    false => poll.lost(),
                }
                if elected.changed().await.is_err() {
                    return;
                }
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_elected_touches_no_node_and_loses_none() {
    let room = WaitingRoom::open();
    let (asked, hold) = (room.network.path("asked"), room.network.path("hold"));
    fs::create_dir(&asked).expect("a directory");
    let script = format!(
        "mktemp {}/node.XXXXXX > /dev/null; while [ -e {} ]; do sleep 0.05; done",
        asked.display(),
        hold.display()
    );
    let settings = Settings {
        state_dir: room.network.path("state"),
        token: Secret::new(ACCESS),
        jwt_verify_cert: room.key.public_hex().expect("ed25519"),
        helper: helper(&room, &script),
        features: Features { pki: Some(true), jwt: true, ..Features::default() },
        ..Settings::default()
    };
    let plan = Plan::new(settings, &Surroundings::default()).expect("a plan");
    let (session, signer, caller) = room.session().await;
    let (decide, decided) = watch::channel(false);
    let daemon =
        Daemon::elected(session, Some(signer), "p1.example.net", &caller, plan, Arc::new(Decided(decided)));
    let daemon = daemon.await.expect("a journal");
    let (stop, stopping) = watch::channel(false);
    let running = tokio::spawn(daemon.clone().run(stopping));
    tokio::task::block_in_place(|| {
        let status = |what: &str, is: &dyn Fn(&Status) -> bool| {
            until(what, || Some(daemon.status()).filter(|status| is(status)))
        };
        let times_asked = || fs::read_dir(&asked).expect("a directory").count();

        // a follower notices and touches nothing
        let mut nodes = waiting(&room, &["n1.example.net", "n2.example.net"]);
        let following = status("two nodes to be noticed", &|status| status.nodes.ready == 2);
        assert_eq!(following.paused, ["election"]);
        assert_eq!(daemon.ready(), Err("paused: election".to_owned()));
        assert!(daemon.is_paused() && times_asked() == 0);
        assert!(nodes.iter().all(|node| !node.dir.join("ssl").exists()), "no key was asked for");

        // elected, it does all of them
        decide.send_replace(true);
        all_are_members(&room, &["n1.example.net", "n2.example.net"]);
        assert_eq!(status("both to be done", &|status| status.provisioned == 2).paused, [""; 0]);

        // the election is lost while a helper thinks about a node
        fs::write(&hold, "").expect("a file");
        nodes.extend(waiting(&room, &["n3.example.net"]));
        until("the helper to be asked", || (times_asked() == 3).then_some(()));
        decide.send_replace(false);
        status("the loss to be noticed", &|status| status.paused == ["election"]);
        nodes.extend(waiting(&room, &["n4.example.net"]));
        status("another node to be noticed", &|status| status.nodes.ready == 1);
        fs::remove_file(&hold).expect("a file");
        let put_back = status("the walk to end", &|status| status.nodes.working == 0);
        assert_eq!((put_back.nodes.ready, put_back.provisioned), (2, 2), "put back, not lost");
        assert!(put_back.reasons.values().all(|count| *count == 0), "and no failure: {put_back:?}");
        assert!(nodes.iter().skip(2).all(|node| !node.config().exists()), "neither is configured");

        // and won again
        decide.send_replace(true);
        let names = ["n1.example.net", "n2.example.net", "n3.example.net", "n4.example.net"];
        all_are_members(&room, &names);
        status("all to be done", &|status| status.provisioned == 4);
        assert_eq!(times_asked(), 5, "the answer of the lost time was not used");
        for node in &nodes {
            assert_eq!(node.log().matching(0, &["configured: Wrote"]).len(), 1, "{} once", node.name);
        }
    });
    // whoever decides has gone: nobody leads
    drop(decide);
    tokio::task::block_in_place(|| until("the end of the election", || daemon.is_paused().then_some(())));
    stop.send_replace(true);
    running.await.expect("an end");
}
