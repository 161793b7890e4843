//! The attacks.

use choria::core::protocol::subjects;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Attacked, holder};
use crate::network::node;
use crate::process::until;
use crate::raw::{Raw, socket_from, tls};

/// Where a node may subscribe anything.
const AGENTS: &str = "mcollective.broadcast.agent";

#[test]
fn subscriptions_are_paid_for() {
    let mut attacked = Attacked::start("");
    attacked.survives(|attacked| {
        let mut raw = attacked.raw();
        // patterns of very many tokens are none
        let deep = "*.".repeat(1500);
        for number in 0..200 {
            raw.send(format!("SUB {AGENTS}.{deep}a{number} {number}\r\n"));
        }
        let told = raw.sync();
        assert_eq!(told.matches("number of tokens limit").count(), 200, "{told:.200}");
        // as many as there may be tokens, and as long as a line may be
        let (deep, long) = ("*.".repeat(55), "x".repeat(3000));
        let mut refused = 0;
        for round in 0..40 {
            let lines: String = (0..250)
                .map(|number| format!("SUB {AGENTS}.{deep}{long}{round}x{number} {round}-{number}\r\n"))
                .collect();
            raw.send(lines);
            refused += raw.sync().matches("maximum subscriptions exceeded").count();
        }
        assert!(refused > 5000, "only {refused} were refused");
        // a node has so many and no more, however small
        let mut many = attacked.raw();
        many.send((0..5000).map(|n| format!("SUB {AGENTS}.a{n} {n}\r\n")).collect::<String>());
        let told = many.sync();
        assert!(told.matches("maximum subscriptions exceeded").count() >= 1000, "{}", told.len());
    });
    attacked.grew_by_at_most(64);
}

#[test]
fn what_is_told_to_the_deaf_is_in_the_account() {
    let mut attacked = Attacked::start("");
    attacked.survives(|attacked| {
        std::thread::scope(|scope| {
            for _ in 0..30 {
                scope.spawn(|| {
                    let mut raw = attacked.raw();
                    raw.impatient(Duration::from_secs(3));
                    // a short line brings a long answer, which nobody reads
                    let forbidden = format!("PUB {} 0\r\n\r\n", "q".repeat(3900)).repeat(20);
                    for _ in 0..200 {
                        if raw.try_send(&forbidden).is_err() {
                            break;
                        }
                    }
                });
            }
        });
    });
    attacked.grew_by_at_most(96);
}

#[test]
fn unfinished_messages_cut_whoever_began_them() {
    let mut attacked = Attacked::start("");
    let honest = holder(&attacked.network, "honest.example.net");
    attacked.survives(|attacked| {
        // somebody else is in the middle of a message, too
        let mut other = Raw::connect(&attacked.network, &honest);
        other.send("PUB mcollective.reply.x.y 100000\r\nx");
        let mut held = Vec::new();
        let half = format!("PUB mcollective.reply.x.y 1000000\r\n{}", "x".repeat(999_000));
        for _ in 0..60 {
            let mut raw = Raw::open(attacked.network.address(), tls(&attacked.node), "");
            raw.send(&half);
            held.push(raw);
        }
        let cut = held.iter_mut().filter_map(|raw| raw.try_send("x").err()).count();
        let cut = cut.max(held.iter_mut().filter_map(|raw| raw.try_send("x").err()).count());
        assert!(cut > 0, "nobody was cut");
        other.send("x".repeat(99_999));
        other.send("\r\n");
        other.sync();
    });
    attacked.grew_by_at_most(96);
}

#[test]
fn who_logs_in_again_and_again_is_cut() {
    let mut attacked = Attacked::start("");
    attacked.survives(|attacked| {
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    let mut raw = attacked.raw();
                    let again = "CONNECT {\"verbose\":false}\r\n".repeat(1000);
                    while raw.try_send(&again).is_ok() {}
                });
            }
        });
    });
    attacked.grew_by_at_most(32);
}

#[test]
fn very_many_queue_groups_hold_up_nobody() {
    let mut attacked = Attacked::start("plugin.choria.network.limits.client = subscriptions=100000\n");
    attacked.survives(|attacked| {
        // Nodes share nothing by queue groups; a caller may, of its own replies.
        let mut node = attacked.raw();
        node.send(format!("SUB {AGENTS}.groups g 1\r\n"));
        node.until("Permissions Violation for Subscription").expect("a refusal");
        let mut raw = Raw::connect(&attacked.network, &attacked.network.caller("mallory.mcollective"));
        let prefix = subjects::caller_inbox_prefix("mcollective", "choria=mallory.mcollective");
        let subject = format!("{prefix}.groups");
        for round in 0..40 {
            let lines: String =
                (0..1000).map(|n| format!("SUB {subject} g{round}.{n} {round}.{n}\r\n")).collect();
            raw.send(lines);
            raw.sync();
        }
        for _ in 0..3 {
            node.send(format!("PUB {subject} 1\r\nx\r\n"));
            node.sync();
        }
        raw.until(&format!("MSG {subject}")).expect("it hears what it asked for");
    });
    attacked.grew_by_at_most(96);
}

#[test]
fn one_identity_has_so_many_connections_and_others_have_theirs() {
    let mut attacked = Attacked::start("plugin.choria.network.limits.node = connections=10\n");
    let honest = holder(&attacked.network, "honest.example.net");
    attacked.survives(|attacked| {
        let mut held: Vec<Raw> = (0..10).map(|_| attacked.raw()).collect();
        let mut more = Raw::open(attacked.network.address(), tls(&attacked.node), "");
        assert_eq!(more.until("maximum connections exceeded").as_deref(), Some("-ERR '"));
        Raw::connect(&attacked.network, &honest).sync();
        held.pop();
        until("a place to be free again", || {
            Raw::open(attacked.network.address(), tls(&attacked.node), "").try_sync()
        });
    });
    attacked.network.broker().says(&[
        "connection refused",
        "too many connections of one identity",
        "hostile",
    ]);
}

#[test]
fn who_writes_faster_than_others_read_is_slowed_down() {
    let mut attacked = Attacked::start("plugin.choria.network.limits.client = memory=16M\n");
    attacked.survives(|attacked| {
        // bob reads, slowly; a node writes to him as fast as it can
        let bob = attacked.network.caller("bob.mcollective");
        let hash = choria::core::protocol::subjects::caller_hash("choria=bob.mcollective");
        let mut reader = Raw::connect(&attacked.network, &bob);
        reader.send(format!("SUB mcollective.reply.{hash}.> 1\r\n"));
        reader.sync();
        let message = format!("PUB mcollective.reply.{hash}.x 8192\r\n{}\r\n", "x".repeat(8192));
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut raw = attacked.raw();
                raw.send(message.repeat(4000));
                raw.sync();
            });
            for count in 0..4000 {
                reader.until("MSG ").expect("he is not cut: the writer was slowed down");
                if count % 100 == 0 {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            writer.join().expect("it comes to its end");
        });
    });
    attacked.grew_by_at_most(48);
}

#[test]
fn what_others_broadcast_cuts_no_node() {
    let mut attacked = Attacked::start("");
    let honest = holder(&attacked.network, "honest.example.net");
    attacked.survives(|attacked| {
        let mut node = Raw::connect(&attacked.network, &honest);
        node.send(format!("SUB {AGENTS}.rpcutil 1\r\n"));
        node.sync();
        // more than a node may have pending, while it reads nothing
        let mut bob = Raw::connect(&attacked.network, &attacked.network.caller("bob.mcollective"));
        let large = format!("PUB {AGENTS}.rpcutil 1000000\r\n{}\r\n", "x".repeat(1_000_000));
        for _ in 0..60 {
            bob.send(&large);
        }
        bob.sync();
        let heard = node.sync().matches("MSG ").count();
        assert!((10..60).contains(&heard), "{heard}");
        bob.send(format!("PUB {AGENTS}.rpcutil 4\r\nlast\r\n"));
        node.until("last").expect("it was not cut");
    });
    attacked.network.broker().says(&["reads too slowly, messages for it are dropped", "honest"]);
    attacked.grew_by_at_most(64);
}

#[test]
fn the_silent_of_one_address_crowd_nobody_out_elsewhere() {
    let mut attacked = Attacked::start("");
    let honest = holder(&attacked.network, "honest.example.net");
    attacked.survives(|attacked| {
        let address = attacked.network.address();
        // more than may be in their handshakes from one address
        let _silent: Vec<_> = (0..450).map(|_| socket_from("127.0.0.2", address)).collect();
        let late = socket_from("127.0.0.3", address);
        // it has half a second when there is no place for others, and there are places
        std::thread::sleep(Duration::from_millis(1200));
        Raw::over(late, tls(&honest), "").sync();
    });
}

#[test]
fn who_floods_a_node_crowds_nobody_out() {
    let mut attacked = Attacked::start("");
    let nodes = attacked.network.nodes([node("n1")]);
    let ended = AtomicBool::new(false);
    attacked.survives(|attacked| {
        let bob = attacked.network.caller("bob.mcollective");
        let garbage = format!("PUB mcollective.node.n1.example.net 50\r\n{}\r\n", "x".repeat(50)).repeat(500);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut raw = Raw::connect(&attacked.network, &bob);
                    while !ended.load(Ordering::Relaxed) {
                        if raw.try_send(&garbage).is_err() {
                            return;
                        }
                    }
                });
            }
            let words = ["rpc", "rpcutil", "ping", "-I", "n1.example.net"];
            nodes[0].counts("invalid", 1000);
            let codes: Vec<_> = (0..5).map(|_| attacked.network.alice().run(&words).code).collect();
            ended.store(true, Ordering::Relaxed);
            assert_eq!(codes, [0; 5]);
        });
    });
    assert!(nodes[0].peak_memory() < 96 * 1024 * 1024, "{}", nodes[0].peak_memory());
    attacked.grew_by_at_most(64);
}

/// Who hears one message thousands of times has it put into queues thousands of times, whether
/// anything is read or not.
#[test]
fn what_one_hears_again_and_again_costs_others_nothing() {
    let mut attacked = Attacked::start("");
    let mallory = attacked.network.caller("mallory.mcollective");
    let own = format!("mcollective.reply.{}", subjects::caller_hash("choria=mallory.mcollective"));
    let subscribed = |attacked: &Attacked, count: usize| {
        let mut raw = Raw::connect(&attacked.network, &mallory);
        raw.send((0..count).map(|n| format!("SUB {own}.> {n}\r\n")).collect::<String>());
        raw.sync();
        raw.impatient(Duration::from_secs(20));
        raw
    };
    let reply = format!("PUB {own}.x 2\r\nhi\r\n");
    let (mut one, many) =
        (subscribed(&attacked, 20_000), (0..100).map(|_| subscribed(&attacked, 900)).collect::<Vec<_>>());
    attacked.survives(|attacked| {
        let mut node = attacked.raw();
        // a fleet's replies to one request
        for _ in 0..30 {
            node.send(reply.repeat(100));
            node.sync();
        }
        one.until("maximum subscriptions to one subject exceeded").expect("a word");
    });
    // who has a few is told what it asked for
    drop(many);
    let mut few = subscribed(&attacked, 3);
    attacked.raw().send(&reply);
    few.until("hi").expect("the first");
    few.sync();
}

/// Small messages that are thousands of deliveries each, from one thread of the broker to another.
#[test]
fn little_that_stands_for_much_does_not_pile_up() {
    let mut attacked = Attacked::start("");
    let own = format!("mcollective.reply.{}", subjects::caller_hash("hostile.example.net"));
    attacked.survives(|attacked| {
        // so many that more than one thread has some of them
        let connected = || {
            let mut raw = attacked.raw();
            raw.impatient(Duration::from_secs(20));
            raw
        };
        let _idle: Vec<Raw> = (0..36).map(|_| connected()).collect();
        let _hearing: Vec<Raw> = (0..6)
            .map(|_| {
                let mut raw = connected();
                raw.send((0..900).map(|n| format!("SUB {own}.> {n}\r\n")).collect::<String>());
                raw.sync();
                raw
            })
            .collect();
        let messages = format!("PUB {own}.y 0\r\n\r\n").repeat(1000);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut raw = attacked.raw();
                    raw.impatient(Duration::from_secs(3));
                    // until nothing more of it is read
                    for _ in 0..400 {
                        if raw.try_send(&messages).is_err() {
                            return;
                        }
                    }
                });
            }
        });
    });
    attacked.grew_by_at_most(96);
}
