//! A node that was asked, together with another, speaks for the other: by its
//! certificate, on every address it can know of.

use choria::core::pki::Kind;
use choria::core::protocol::v1::{
    Headers, Reply, ReplyEnvelope, Request, SecureReply, SecureRequest, Transport,
};
use choria::core::rpc::{ReplyBody, StatusCode};

use crate::network::Network;
use crate::wire::{self, Wire};

const LIAR: &str = "liar.example.net";
const HONEST: &str = "honest.example.net";

/// The reply of `name` to a request, with a text by which it is known again.
fn reply(request: &Request, name: &str, text: &str) -> String {
    let body = ReplyBody {
        action: "ping".into(),
        statuscode: StatusCode::Ok,
        statusmsg: text.into(),
        data: serde_json::json!({"pong": 1}).as_object().cloned().unwrap_or_default(),
    };
    let reply = Reply {
        message: body.encode().into(),
        envelope: ReplyEnvelope {
            requestid: request.envelope.requestid.as_str().into(),
            senderid: name.into(),
            agent: "rpcutil".into(),
            time: crate::network::now(),
        },
    };
    let data = SecureReply::of(&reply.encode()).encode().into_bytes();
    let headers = Headers { sender: name.into(), ..Headers::default() };
    Transport { data, headers }.encode()
}

/// What arrived: the request, where its answer is to go, where the broker would
/// say that nobody is there.
fn heard(message: &async_nats::Message) -> (Request, String, String) {
    let transport = Transport::decode(&message.payload).expect("a transport");
    let secure = SecureRequest::decode(&transport.data).expect("a request");
    let request = Request::decode(secure.message.as_bytes()).expect("a request");
    let none = message.reply.as_ref().expect("an address for the broker's word").to_string();
    (request, transport.headers.reply_to.expect("a reply subject"), none)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_says_of_others_is_dropped_and_the_others_are_heard() {
    let network = Network::start();
    let mut wires = vec![];
    for name in [LIAR, HONEST] {
        network.certify(Kind::Node, name);
        let wire = Wire::connect(&network, &network.caller(name)).await;
        let ears = wire.subscribe(&format!("mcollective.node.{name}")).await;
        wires.push((wire, ears));
    }
    let nodes = network.file("nodes.txt", &format!("{LIAR}\n{HONEST}\n"));
    let alice = network.caller_with("alice.mcollective", "discovery_timeout = 30\n");
    let words = ["rpc", "rpcutil", "ping", "--json", "--nodes"];
    let asking = tokio::task::spawn_blocking(move || {
        let words: Vec<&str> = words.into_iter().chain(nodes.to_str()).collect();
        alice.run(&words)
    });

    let (liar, ears) = &mut wires[0];
    let (request, address, none) = heard(&wire::next(ears).await);
    let shared = address.rsplit_once('.').expect("an address of its own").0.to_owned();
    let unheard = none.replace(LIAR, HONEST);
    for to in [&address, &shared, &none, &unheard, &format!("{shared}.{HONEST}")] {
        liar.publish(to, reply(&request, HONEST, "a lie")).await;
    }
    // The broker's word, as a broker writes it.
    for to in [&unheard, &format!("{shared}.none.node.{HONEST}"), &format!("{shared}.none.all.nodes")] {
        let line = format!("HPUB {to} 16 16\r\nNATS/1.0 503\r\n\r\n\r\n");
        wire::say(&network, &network.caller(LIAR), &line);
    }
    liar.publish(&address, reply(&request, LIAR, "of the liar")).await;
    liar.flush().await;

    let (honest, ears) = &mut wires[1];
    let (request, its_address, its_none) = heard(&wire::next(ears).await);
    assert_ne!(its_address, address);
    assert_ne!(its_none, unheard);
    honest.publish(&its_address, reply(&request, HONEST, "the truth")).await;
    honest.flush().await;

    let ran = asking.await.expect("a thread").code(0);
    assert!(
        ran.stderr.contains("did not come by the address that honest.example.net was given"),
        "{}",
        ran.stderr
    );
    let document = ran.json();
    let mut said: Vec<(&str, &str)> = document["replies"]
        .as_array()
        .expect("replies")
        .iter()
        .map(|r| (r["sender"].as_str().unwrap_or_default(), r["statusmsg"].as_str().unwrap_or_default()))
        .collect();
    said.sort_unstable();
    assert_eq!(said, [(HONEST, "the truth"), (LIAR, "of the liar")]);
    assert_eq!(document["request_stats"]["dropped_responses"], 2, "{document}");
    assert_eq!(document["request_stats"]["no_responses"], serde_json::json!([]));
}

/// Those who are asked by name and are not there are still known at once.
#[test]
fn nodes_that_are_not_there_are_known_at_once() {
    let network = Network::start();
    let _node = network.nodes([crate::network::node("n1")]);
    let nodes = network.file("nodes.txt", "n1.example.net\nn9.example.net\n");
    let words = ["rpc", "rpcutil", "ping", "--json", "--nodes", nodes.to_str().expect("text")];
    let began = std::time::Instant::now();
    let alice = network.caller_with("alice.mcollective", "discovery_timeout = 60\n");
    let document = alice.run(&words).json();
    assert_eq!(document["request_stats"]["nobody_listens"], serde_json::json!(["n9.example.net"]));
    assert_eq!(document["replies"].as_array().map(Vec::len), Some(1), "{document}");
    assert!(began.elapsed().as_secs() < 30, "it waited for whom nobody is");
}
