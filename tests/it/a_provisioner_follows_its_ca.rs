//! What the CA revokes counts for a provisioner and its backplane without a signal, as for
//! everybody who runs for long.

use std::fs;
use std::path::Path;

use choria::core::pki::{Ca, Kind};
use rustix::process::Signal;

use crate::network::now;
use crate::process::Daemon;
use crate::provisioning::provision_by;
use crate::waiting_room::WaitingRoom;

const CHANGED: &str = "the CA file or the revocation list has changed";
const READ: &str = "read keys, CA and revocation lists again";

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory").flatten() {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        match path.is_dir() {
            true => copy(&path, &to),
            false => drop(fs::copy(&path, &to).expect("a copy")),
        }
    }
}

#[test]
fn without_a_signal() {
    let mut room = WaitingRoom::open();
    room.network.certify(Kind::Node, "backplane.example.net");
    let alice = room.network.caller_with("alice.mcollective", "collectives = mcollective,prov_backplane\n");
    // what the provisioner knows of the CA, and the broker does not
    let own = room.network.path("own-ca");
    copy(&room.network.path("ca"), &own);
    let own = Ca::load(&own).expect("a CA");
    let ca = own.certificate_file().display().to_string();
    let caller =
        room.network.caller_with("provisioner.mcollective", &format!("plugin.security.file.ca = {ca}\n"));
    let ssl = room.network.path("ssl").display().to_string();
    let lines = format!(
        "management:\n  name: prov\n  brokers: ['{}']\n  auth: {{full: ['^choria=alice\\.']}}\n  \
         tls: {{identity: backplane.example.net, ca: '{ca}', cert: '{ssl}/backplane.example.net.pem', \
         key: '{ssl}/backplane.example.net-key.pem'}}\n",
        room.network.address(),
    );
    let mut provisioner = Daemon::start("provisioner", provision_by(&room, &caller, &lines));
    provisioner.says(&["answering requests"]);
    let ping =
        ["rpc", "backplane", "ping", "-T", "prov_backplane", "-I", "backplane.example.net", "--timeout", "5"];
    alice.run(&ping).code(0);

    own.revoke("alice.mcollective", now()).expect("a revocation");
    // once for its own connection, once for the backplane
    let both = |text: &str, times: usize| {
        crate::process::until(text, || (provisioner.matching(0, &[text]).len() >= times).then_some(()));
    };
    both(CHANGED, 2);
    both(READ, 2);
    let refused = alice.run(&ping);
    assert_ne!(refused.code, 0, "{refused:?}");
    provisioner.says(&["alice.mcollective", "revoked"]);

    own.revoke("broker.example.net", now()).expect("a revocation");
    both(READ, 4);
    let mark = provisioner.mark();
    room.network.kill_broker();
    room.network.start_broker();
    provisioner
        .says_after(mark, &["the certificate of the broker is not acceptable here: it has been revoked"]);

    // all of it is read on a signal, too
    let mark = provisioner.mark();
    provisioner.signal(Signal::HUP);
    provisioner.says_after(mark, &["read the settings again"]);
    provisioner.says_after(mark, &[READ]);
    provisioner.still_runs();
}
