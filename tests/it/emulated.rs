//! `choria emulate`, whose counters say how far its nodes are.

use crate::network::Network;
use crate::process::{Daemon, program, read_page, sample, until};
use crate::waiting_room::WaitingRoom;

/// Emulated nodes and where their counters are.
pub struct Emulated {
    pub daemon: Daemon,
    page: String,
}

impl Emulated {
    /// Members of a network.
    pub fn members(network: &Network, count: u64, words: &[&str]) -> Emulated {
        let (broker, ca) = (network.address().to_string(), network.path("ca").display().to_string());
        let count_text = count.to_string();
        let base = ["emulate", "--count", &count_text, "--broker", &broker, "--ca", &ca, "--monitor", "0"];
        let daemon = network.alice().start(&[&base[..], &["--name", "e{}.example.net"], words].concat());
        Emulated::of(daemon)
    }

    /// Nodes that wait to be provisioned, `eN.example.net`.
    pub fn waiting(room: &WaitingRoom, count: usize, words: &[&str]) -> Emulated {
        Emulated::waiting_as(room, "e{}.example.net", count, words)
    }

    /// The same by other names.
    pub fn waiting_as(room: &WaitingRoom, names: &str, count: usize, words: &[&str]) -> Emulated {
        let token = room.token("fleet.jwt", &room.claims());
        let mut command = program(&room.network.path(""));
        command.args(["emulate", "--count", &count.to_string(), "--monitor", "0"]);
        command.args(["--name", names, "--provisioning-token"]).arg(token).args(words);
        Emulated::of(Daemon::start("emulator", command))
    }

    fn of(daemon: Daemon) -> Emulated {
        let page = daemon.says(&["counters are at http://"]);
        let page = page.split("http://").nth(1).and_then(|t| t.split('/').next()).expect("an address");
        Emulated { page: page.to_owned(), daemon }
    }

    pub fn counter(&self, name: &str) -> u64 {
        let text = read_page(&self.page, "/metrics");
        sample(&text, &format!("{name}{{")).expect("a sample") as u64
    }

    #[track_caller]
    pub fn counts(&self, name: &str, least: u64) {
        until(&format!("{name} to reach {least}"), || (self.counter(name) >= least).then_some(()));
    }
}

impl Drop for Emulated {
    /// The files of waiting nodes are in memory, and go with an emulator that may tidy up.
    fn drop(&mut self) {
        self.daemon.leave();
    }
}
