//! Filters of somebody without rights: evaluated before anybody knows that he
//! has none, and at nobody else's cost.

use std::time::{Duration, Instant};

use async_nats::Subscriber;
use choria::core::protocol::filter::{CompoundEntry, FactFilter, FactOperator, Filter};
use rustix::process::Signal;
use serde_json::json;

use crate::network::{Network, Node, node};
use crate::process::until;
use crate::wire::{self, Wire};

/// What somebody else waits for an answer at most while a node is attacked:
/// generous, for a machine that does much else.
const SANE: Duration = Duration::from_secs(10);
/// What the attacks of this file may make a node hold beside what it held before; unbounded they took
/// hundreds of megabytes.
const MEMORY: u64 = 72 << 20;

/// The network of every test here: one node, alice who may, mallory who may not.
struct Attacked {
    network: Network,
    nodes: Vec<Node>,
    /// Bytes it held before.
    idle: u64,
    alice: Wire,
    reply_to: String,
    replies: Subscriber,
    mallory: Wire,
}

impl Attacked {
    async fn start() -> Attacked {
        let network = Network::start();
        let disks: Vec<_> = (0..200).map(|n| json!({"name": format!("disk{n}"), "size": n})).collect();
        let nodes = network.nodes([node("n1").facts(json!({"country": "mt", "disks": disks}))]);
        let alice = Wire::connect(&network, &network.alice()).await;
        let reply_to = alice.reply_subject();
        let replies = alice.subscribe(&reply_to).await;
        let mallory = Wire::connect(&network, &network.caller("mallory.mcollective")).await;
        let idle = nodes[0].peak_memory();
        Attacked { network, nodes, idle, alice, reply_to, replies, mallory }
    }

    /// A request of mallory's.
    fn hostile(&self, filter: Filter) -> String {
        let mut request = self.mallory.request("rpcutil", "ping", json!({}));
        request.envelope.filter = filter;
        self.mallory.signed(&request, &self.mallory.reply_subject())
    }

    async fn attack(&self, message: String) {
        self.mallory.publish("mcollective.node.n1.example.net", message).await;
    }

    /// Alice asks, by name and by fact, and is answered in time.
    async fn others_are_answered(&mut self) {
        for fact in [None, Some("country=mt")] {
            let mut request = self.alice.request("rpcutil", "ping", json!({}));
            fact.into_iter().for_each(|fact| request.envelope.filter.add_fact(fact).expect("a fact"));
            let begun = Instant::now();
            let message = self.alice.signed(&request, &self.reply_to);
            self.alice.publish("mcollective.node.n1.example.net", message).await;
            loop {
                let reply = wire::next(&mut self.replies).await;
                if wire::replied(&reply.payload).0 == request.envelope.requestid {
                    break;
                }
            }
            assert!(begun.elapsed() < SANE, "{fact:?} took {:?}", begun.elapsed());
        }
    }

    fn memory_is_bounded(&self) {
        let peak = self.nodes[0].peak_memory();
        let more = peak.saturating_sub(self.idle);
        assert!(more < MEMORY, "{more} bytes more than the {} before", self.idle);
    }
}

fn expression(text: &str) -> Filter {
    Filter { compound: vec![vec![CompoundEntry::new(text)]], ..Filter::default() }
}

fn fact(path: &str, operator: FactOperator, value: &str) -> Filter {
    let fact = FactFilter { fact: path.into(), operator, value: value.into() };
    Filter { fact: vec![fact], ..Filter::default() }
}

fn identities(words: Vec<String>) -> Filter {
    Filter { identity: words, ..Filter::default() }
}

/// Filters that cost much and do not look like it.
fn costly() -> Vec<(&'static str, Filter)> {
    let doubled = vec!["[@this,@this]"; 22].join("|");
    let dug = vec!["@dig:[@this,@this]"; 20].join("|");
    let nested = |open: &str, close: &str| format!("{}true{}", open.repeat(60), close.repeat(60));
    let letters = r"/zz(?:\pL{1,22})N/".to_owned();
    vec![
        (
            "trim",
            expression(
                r#"let a = repeat("ab", 400000); let b = repeat("ba", 400000); any(1..60000, {len(trim(a, b)) > 0})"#,
            ),
        ),
        ("split", expression(r#"let a = repeat("a", 900000); any(1..60000, {len(split(a, "")) < 0})"#)),
        (
            "in",
            expression("let a = map(1..20000, {string(#)}); all(1..20000, {not (string(# * 50000) in a)})"),
        ),
        ("uniq", expression("any(1..60000, {len(uniq(map(1..20000, {0.0 / 0}))) < 0})")),
        (
            "maps",
            expression(
                "let m = groupBy(1..20000, {string(#)}); all(1..20000, {m[string(# + 50000)] == nil})",
            ),
        ),
        ("toJSON", expression("let a = reduce(1..17, [#acc, #acc]); any(1..1000, {len(toJSON(a)) < 0})")),
        ("regex", expression(r#"let a = repeat("a", 100000); any(1..60000, {a matches "(a?){60}a{60}b"})"#)),
        (
            "many expressions",
            Filter {
                compound: vec![vec![CompoundEntry::new(r#"len(repeat("a", 900000)) > 0"#)]; 1000],
                ..Filter::default()
            },
        ),
        ("one pattern again and again", identities(vec![letters; 1000])),
        ("large patterns", identities((0..200).map(|n| format!(r"/zz{n}(?:\pL{{1,22}})N/")).collect())),
        (
            "folded ranges",
            fact("country", FactOperator::Match, &format!("/{}/", r"[\x{0}-\x{10FFFF}]".repeat(300))),
        ),
        ("doubled facts", fact(&doubled, FactOperator::Equal, "x")),
        ("doubled facts in an expression", expression(&format!("fact(\"{doubled}\") == 1"))),
        ("facts dug up", fact(&dug, FactOperator::Equal, "x")),
        ("a choice within a choice", expression(&nested("(", " ?: true)"))),
        ("a comparison within a comparison", expression(&nested("(1 < (", ") < 1)"))),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_filter_that_costs_much_is_refused_and_others_are_served() {
    let mut attacked = Attacked::start().await;
    for (n, (what, filter)) in costly().into_iter().enumerate() {
        // What the filters of one caller take is his to wait for: each comes of another.
        let name = format!("mallory{n}.mcollective");
        attacked.mallory = Wire::connect(&attacked.network, &attacked.network.caller(&name)).await;
        let begun = Instant::now();
        attacked.attack(attacked.hostile(filter)).await;
        attacked.others_are_answered().await;
        let caller = format!("caller=choria={name}");
        let texts = ["refused a request", "its filter cannot be evaluated", &caller];
        let line = attacked.nodes[0].log().says(&texts);
        assert!(begun.elapsed() < SANE, "{what}: {:?}", begun.elapsed());
        assert!(line.len() < 1000, "{what}: {line}");
    }
    attacked.memory_is_bounded();
    assert!(attacked.nodes[0].audit().iter().all(|line| line["caller"] == "choria=alice.mcollective"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_has_no_order_is_no_fault() {
    let mut attacked = Attacked::start().await;
    for text in [
        "len(sort(map(1..200, {# % 3 == 0 ? 0.0 / 0 : (# * 7919) % 101}))) == 200",
        "len(sort(map(1..200, {# % 2 == 0 ? string(#) : #}))) == 200",
        "len(sortBy(1..200, {# % 3 == 0 ? 0.0 / 0 : -#})) == 200",
        "len(sort([1, \"a\", nil, true, [1], {\"a\": 1}])) == 6",
        "len(sort(map(1..100, {9007199254740992 + # % 3 + (# % 2 == 0 ? 0.0 : 0)}))) == 100",
        "min([0.0 / 0, 1]) < max([1, 0.0 / 0])",
        "median([0.0 / 0, 1, 2]) > 0",
    ] {
        attacked.attack(attacked.hostile(expression(text))).await;
    }
    attacked.others_are_answered().await;
    attacked.nodes[0].daemon().still_runs();
    attacked.nodes[0].counts("replies", 2);
    assert_eq!(attacked.nodes[0].counter("panicked"), 0);
    assert!(attacked.nodes[0].log().matching(0, &["panicked"]).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_flood_of_them_costs_its_sender_his_part_and_the_node_still_ends() {
    let mut attacked = Attacked::start().await;
    let mut costly: Vec<Filter> = costly().into_iter().map(|(_, filter)| filter).collect();
    costly.push(expression("all(1..60000, {all(1..60000, {1 < 2})})"));
    let flood: Vec<String> = (0..600).map(|n| attacked.hostile(costly[n % costly.len()].clone())).collect();
    let (first, second) = flood.split_at(300);
    for message in first {
        attacked.attack(message.clone()).await;
    }
    for _ in 0..5 {
        attacked.others_are_answered().await;
    }
    let refused = |node: &Node| node.counter("overbudget") + node.counter("filtered");
    until("the flood to be refused", || (refused(&attacked.nodes[0]) >= 300).then_some(()));
    attacked.others_are_answered().await;
    attacked.memory_is_bounded();
    assert_eq!(attacked.nodes[0].counter("dropped"), 0);

    for message in second {
        attacked.attack(message.clone()).await;
    }
    attacked.mallory.flush().await;
    attacked.others_are_answered().await;
    let begun = Instant::now();
    attacked.nodes[0].daemon().signal(Signal::TERM);
    let status = attacked.nodes[0].daemon().ended();
    assert!(status.success() && begun.elapsed() < SANE, "{status} after {:?}", begun.elapsed());
    drop(attacked.network);
}

/// An operator who asks much at once, with filters as people write them.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_caller_who_asks_much_is_answered() {
    let mut attacked = Attacked::start().await;
    let filters = [
        fact("country", FactOperator::Equal, "mt"),
        fact("disks.#(name==\"disk7\").size", FactOperator::GreaterOrEqual, "7"),
        identities(vec![r"/^n\d+\.example\.net$/".into()]),
        expression(r#"with("country=mt") and any(fact("disks"), {.name matches "^disk1[0-9]$"})"#),
    ];
    let requests: Vec<_> = (0..200)
        .map(|n| {
            let mut request = attacked.alice.request("rpcutil", "ping", json!({}));
            request.envelope.filter = filters[n % filters.len()].clone();
            attacked.alice.signed(&request, &attacked.reply_to)
        })
        .collect();
    for request in requests {
        attacked.alice.publish("mcollective.node.n1.example.net", request).await;
    }
    for _ in 0..200 {
        wire::next(&mut attacked.replies).await;
    }
    attacked.nodes[0].counts("replies", 200);
    assert_eq!(attacked.nodes[0].counter("overbudget"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn replies_that_go_nowhere_do_not_fill_the_log() {
    let attacked = Attacked::start().await;
    for _ in 0..100 {
        let request = attacked.mallory.request("discovery", "ping", json!({}));
        attacked.attack(attacked.mallory.signed(&request, "no subject..at all")).await;
    }
    attacked.nodes[0].counts("invalid", 100);
    let lines = attacked.nodes[0].log().matching(0, &["its reply would go to no subject..at all"]);
    assert!((1..=20).contains(&lines.len()), "{} lines", lines.len());
    assert!(lines[0].contains("caller=choria=mallory.mcollective"), "{}", lines[0]);
}
