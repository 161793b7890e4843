//! Callers choose where replies go; a node is not to be used against others.

use serde_json::json;

use crate::network::{Network, node};
use crate::wire::{self, Wire};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn subjects_that_are_none_or_not_for_nodes() {
    for permissions in ["by-name", "open"] {
        let network =
            Network::start_with(&format!("plugin.choria.network.x509_permissions = {permissions}\n"));
        let mut nodes = network.nodes([node("n1"), node("n2")]);
        let alice = Wire::connect(&network, &network.alice()).await;
        let refused = [
            ".",
            "a..b",
            "mcollective.reply.*",
            "mcollective.reply.>",
            "a b",
            "a\r\nPUB mcollective.node.n2.example.net 0\r\n\r\n",
            "a\tb",
            "a\u{0}b",
            &"x".repeat(5000),
            &"x.".repeat(2000),
            // Subjects that are some, and not for replies.
            "mcollective.node.n2.example.net",
            "mcollective.broadcast.agent.rpcutil",
            "choria.lifecycle.event.shutdown.server",
            "$SYS.REQ.SERVER.PING",
            "uk.reply.x.1",
            // Into its own ear.
            "mcollective.node.n1.example.net",
        ];
        for reply_to in refused {
            let request = alice.request("rpcutil", "ping", json!({}));
            alice.publish("mcollective.node.n1.example.net", alice.signed(&request, reply_to)).await;
        }
        let words = ["refused a request", "its reply would go to", "caller=choria=alice.mcollective"];
        nodes[0].log().says(&words);
        nodes[0].counts("invalid", refused.len() as u64);
        // Nothing has run for a reply that nobody could be given.
        assert!(nodes[0].audit().is_empty(), "{:?}", nodes[0].audit());
        let subject = alice.reply_subject();
        let mut replies = alice.subscribe(&subject).await;
        let request = alice.request("rpcutil", "ping", json!({}));
        alice.publish("mcollective.node.n1.example.net", alice.signed(&request, &subject)).await;
        assert_eq!(wire::reply(&wire::next(&mut replies).await.payload).0, "n1.example.net");
        for node in &mut nodes {
            node.daemon().still_runs();
            assert!(node.log().matching(0, &["reconnecting"]).is_empty());
        }
        // A reply is no request, wherever it goes.
        assert!(nodes[1].audit().is_empty());
        assert!(nodes[0].log().matching(0, &["ermissions Violation"]).is_empty());
    }
}
