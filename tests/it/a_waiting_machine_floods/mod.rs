//! What a machine with no more than the provisioning token can do to the broker,
//! to the provisioner, and to those who wait beside it.

mod broker;
mod provisioner;

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::raw::{Raw, tls_of};
use crate::waiting_room::WaitingRoom;

/// Somebody who holds the token of a fleet and may call itself anything.
struct Machine {
    address: std::net::SocketAddr,
    tls: Arc<ClientConfig>,
    token: String,
}

impl Machine {
    fn of(room: &WaitingRoom) -> Machine {
        Machine {
            address: room.network.address(),
            tls: tls_of(&room.network.ca),
            token: room.key.sign(&room.claims()).expect("a token"),
        }
    }

    /// A connection by a name, which may be refused.
    fn open(&self, name: &str) -> Raw {
        let options = format!(",\"name\":\"{name}\",\"auth_token\":\"{}\"", self.token);
        Raw::open(self.address, self.tls.clone(), &options)
    }

    /// One that is let in.
    fn connect(&self, name: &str) -> Raw {
        let mut raw = self.open(name);
        raw.sync();
        raw.impatient(Duration::from_secs(20));
        raw
    }
}
