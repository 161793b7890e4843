//! What one node's certificate, or a waiting machine's token, can make the broker hold or do.
//!
//! Each attack is made on a broker in a process of its own. Its memory is what
//! the system says it is, and a canary, somebody who has nothing to do with the
//! attack, is answered all the while and afterwards.

mod cases;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use choria::core::pki::Kind;

use crate::network::{Caller, Network};
use crate::raw::Raw;

/// A network with one hostile node.
struct Attacked {
    network: Network,
    node: Caller,
    before: u64,
}

impl Attacked {
    fn start(lines: &str) -> Attacked {
        let lines = format!("plugin.choria.network.x509_permissions = by-name\n{lines}");
        let mut network = Network::start_with(&lines);
        let node = holder(&network, "hostile.example.net");
        // both sides have said something: what that takes is not the attack's
        Raw::connect(&network, &network.alice());
        Raw::connect(&network, &node);
        let before = resident(network.broker().pid());
        Attacked { network, node, before }
    }

    fn raw(&self) -> Raw {
        Raw::connect(&self.network, &self.node)
    }

    /// MiB the broker has grown by at most, the highest mark counts.
    #[track_caller]
    fn grew_by_at_most(&mut self, mib: u64) {
        let peak = field(self.network.broker().pid(), "VmHWM:");
        let grown = peak.saturating_sub(self.before) / 1024 / 1024;
        assert!(grown <= mib, "the broker grew by {grown} MiB, {mib} are allowed");
    }

    /// Runs an attack while a canary sings, and lets it sing once more.
    fn survives(&mut self, attack: impl FnOnce(&Attacked)) {
        let canary = Canary::start(&self.network);
        attack(self);
        let worst = canary.worst();
        assert!(worst < Duration::from_secs(5), "the canary waited {worst:?}");
        Raw::connect(&self.network, &self.network.alice()).sync();
        self.network.broker().still_runs();
    }
}

/// Somebody with a node's certificate.
fn holder(network: &Network, name: &str) -> Caller {
    network.certify(Kind::Node, name);
    network.caller(name)
}

/// Asks the broker something, all the time.
pub struct Canary {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Canary {
    pub fn start(network: &Network) -> Canary {
        let mut alice = Raw::connect(network, &network.alice());
        // the reply subjects of nobody else
        let hash = choria::core::protocol::subjects::caller_hash("choria=alice.mcollective");
        alice.send(format!("SUB mcollective.reply.{hash}.> 1\r\n"));
        alice.sync();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut worst = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                let begin = Instant::now();
                alice.send(format!("PUB $SYS.REQ.USER.INFO mcollective.reply.{hash}.canary 0\r\n\r\n"));
                alice.until("\"permissions\"").expect("the canary lives");
                worst = worst.max(begin.elapsed());
            }
            worst
        });
        Canary { stop, thread }
    }

    /// The longest it waited for an answer.
    pub fn worst(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the canary sings to the end")
    }
}

pub fn resident(pid: u32) -> u64 {
    field(pid, "VmRSS:")
}

/// A line of what the system says of a process, in bytes.
pub fn field(pid: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux");
    let line = text.lines().find(|line| line.starts_with(name)).expect("the line");
    line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).expect("a number") * 1024
}
