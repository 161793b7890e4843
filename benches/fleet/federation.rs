//! What a message costs the federation broker that carries it, ours and, where `CHORIA_ORIGINAL` names the program,
//! the original's, by turns between the same networks.

use std::time::{Duration, Instant};

use choria::core::pki::Kind;

use crate::common::{memory, show, whole_processor};
use crate::emulated;
use crate::network::{Caller, Network};
use crate::original::Program;
use crate::process::PATIENCE;

/// Requests that are timed.
const ROUNDS: usize = 10;
const CLUSTER: &str = "site";
const CARRIER: &str = "fed.example.net";

pub fn carried(count: usize) {
    let lines = "plugin.choria.network.x509_permissions = by-name\nplugin.choria.network.federation_certnames = \
                 /^fed/\n";
    let operators = Network::start_with(lines);
    let site = operators.beside(lines);
    let hosts = operators.address();
    let alice = operators.caller_with(
        "alice.mcollective",
        &format!(
            "discovery_timeout = 60\nplugin.choria.federation_middleware_hosts = {hosts}\n\
             plugin.choria.federation.collectives = {CLUSTER}\n"
        ),
    );
    let _emulator = emulated(&site, &site.alice(), count, &[]);
    site.certify(Kind::Node, CARRIER);
    for which in Program::all() {
        let config = format!(
            "identity = {CARRIER}\nplugin.choria.use_srv = false\nplugin.choria.broker_federation = true\n\
             plugin.choria.federation.cluster = {CLUSTER}\nplugin.choria.federation_middleware_hosts = {hosts}\n\
             plugin.choria.middleware_hosts = {}\nloglevel = warn\n{}",
            site.address(),
            site.security(CARRIER)
        );
        let carrier = which.broker(&site, "carrier", &config);
        asked_by(&alice, count);
        let (before, begun) = (whole_processor(carrier.pid()), Instant::now());
        for _ in 0..ROUNDS {
            asked_by(&alice, count);
        }
        let (took, used) = (begun.elapsed(), whole_processor(carrier.pid()) - before);
        // nodes are looked for and answer, are asked, and answer
        let carried = (1 + count + count.div_ceil(200) + count) * ROUNDS;
        let each = used.as_secs_f64() * 1e6 / carried as f64;
        show(
            &format!("federation broker, {which}, a message"),
            "µs CPU",
            vec![each],
            "",
            "at most 0.4 of it",
        );
        show("  its memory", "MiB", vec![memory(carrier.pid(), "Rss:")], "", "");
        let one = took.as_secs_f64() / ROUNDS as f64;
        show(&format!("  {count} nodes found, asked and shown through it"), "s", vec![one], "", "");
    }
}

/// Everybody answers; at first the carrier may not be there yet.
fn asked_by(alice: &Caller, count: usize) {
    let begun = Instant::now();
    let ok = format!("\"ok\":{count}");
    while !alice.run(&["rpc", "rpcutil", "ping", "--json"]).stdout.replace(' ', "").contains(&ok) {
        assert!(begun.elapsed() < 2 * PATIENCE, "{count} nodes never answered");
        std::thread::sleep(Duration::from_millis(100));
    }
}
