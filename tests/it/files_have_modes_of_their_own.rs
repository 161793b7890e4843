//! What daemons write is as private as it has to be, whatever the umask they were started with.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::a_fleet_is_provisioned::all_are_members;
use crate::network::node;
use crate::process::{Daemon, program, until, without_umask};
use crate::provisioning::{provision, state};
use crate::waiting_room::WaitingRoom;

/// Modes of everything below a directory.
fn modes(dir: &Path) -> BTreeMap<PathBuf, u32> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("a directory").flatten() {
            // Temporary files go while one looks.
            let Ok(about) = entry.path().symlink_metadata() else { continue };
            if about.is_dir() {
                dirs.push(entry.path());
            }
            if !about.is_symlink() {
                found.insert(entry.path(), about.permissions().mode() & 0o777);
            }
        }
    }
    found
}

#[test]
fn without_any_umask() {
    let room = WaitingRoom::open();
    let network = &room.network;

    // A node that was provisioned, with keys of its own, and who made it one.
    let mut waiting = room.node("n1.example.net");
    waiting.start_by(without_umask(&waiting.command()));
    waiting.waits(0);
    let provisioner = Daemon::start("provisioner", without_umask(&provision(&room, "")));
    provisioner.says(&["watching for nodes"]);
    all_are_members(&room, &["n1.example.net"]);

    // A node and a broker that keep logs.
    let log = |name: &str| format!("logfile = {}\n", network.path(name).display());
    let mut own = network.node(node("n2"));
    own.kill();
    let text = fs::read_to_string(&own.config).expect("a configuration") + &log("n2.log");
    fs::write(&own.config, text).expect("a file");
    let mut command = program(&network.path(""));
    command.args(["server", "run", "--config"]).arg(&own.config).arg("--pid").arg(network.path("n2.pid"));
    let second = Daemon::start("n2", without_umask(&command));
    let text = fs::read_to_string(network.path("broker.conf")).expect("a configuration");
    let text: String =
        text.lines().filter(|line| !line.contains("client_port")).flat_map(|line| [line, "\n"]).collect();
    let config = network
        .file("second.conf", &format!("{text}plugin.choria.network.client_port = 0\n{}", log("broker.log")));
    let mut command = program(&network.path(""));
    command.args(["broker", "run", "--config"]).arg(config);
    let broker = Daemon::start("second broker", without_umask(&command));
    all_are_members(&room, &["n1.example.net", "n2.example.net"]);
    network.alice().run(&["rpc", "rpcutil", "ping"]).code(0);
    until("a second log", || network.path("broker.log").exists().then_some(()));
    own.counts("total", 1);

    let found = modes(&network.path(""));
    let lax: Vec<_> = found.iter().filter(|(_, mode)| *mode & 0o022 != 0).map(|(path, _)| path).collect();
    assert!(lax.is_empty(), "written for everybody: {lax:?}");
    let mode = |path: PathBuf| {
        *found.get(&path).unwrap_or_else(|| panic!("no {}: {:?}", path.display(), found.keys()))
    };
    let state = state(&room);
    for (file, expected) in [
        (waiting.dir.join("ssl"), 0o751),
        (waiting.dir.join("ssl/private.pem"), 0o600),
        (waiting.dir.join("ssl/certificate.pem"), 0o644),
        (waiting.config(), 0o600),
        (own.dir.join("audit.log"), 0o600),
        (own.dir.join("status.json"), 0o644),
        (network.path("n2.log"), 0o640),
        (network.path("n2.pid"), 0o644),
        (network.path("broker.log"), 0o640),
        (state.clone(), 0o700),
        (state.join("journal.jsonl"), 0o600),
        (state.join("lock"), 0o600),
        (network.path("ca/issued.jsonl"), 0o600),
    ] {
        assert_eq!(mode(file.clone()), expected, "{} is not {expected:o}", file.display());
    }
    drop((broker, second, provisioner));
}
