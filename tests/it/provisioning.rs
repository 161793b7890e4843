//! A provisioner for thousands: its settings in a file of the room, and the command that runs it.

use std::path::PathBuf;
use std::process::Command;

use crate::network::Caller;
use crate::process::program;
use crate::waiting_room::{ACCESS, PASSWORD, WaitingRoom};

/// Where it keeps its journal and its status socket.
pub fn state(room: &WaitingRoom) -> PathBuf {
    room.network.path("provisioner/state")
}

/// `choria provision run`, `lines` added to its settings; helpers sign by the network's CA.
pub fn provision(room: &WaitingRoom, lines: &str) -> Command {
    provision_by(room, &room.network.caller("provisioner.mcollective"), lines)
}

/// The same by the certificate and client configuration of a caller.
pub fn provision_by(room: &WaitingRoom, caller: &Caller, lines: &str) -> Command {
    let settings = format!(
        "token: {ACCESS}\nbroker_provisioning_password: {PASSWORD}\nstate_dir: {}\nca_dir: {}\n\
         jwt_verify_cert: {}\nfeatures: {{jwt: true, pki: true}}\n{lines}",
        state(room).display(),
        room.network.path("ca").display(),
        room.key.public_hex().expect("ed25519"),
    );
    let file = room.network.file("provisioner/provisioner.yaml", &settings);
    let mut command = program(&room.network.path(""));
    command.env("MCOLLECTIVE_CERTNAME", &caller.name).args(["provision", "run", "--config"]).arg(file);
    command.arg("--choria-config").arg(&caller.config);
    // helpers are programs like any other
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}
