//! Debian's dpkg.

use super::*;

/// Packages of the original and of its predecessor, as far as ours meet them.
const OTHERS: &str = r#"
set -e
pack() {
    mkdir -p $1/DEBIAN
    printf 'Package: %s\nVersion: 0.29.4\nArchitecture: all\nMaintainer: Others <others@example.net>\nDescription: others\n' \
        $1 >$1/DEBIAN/control
    dpkg-deb -Znone -b $1 $1.deb
}
mkdir -p choria/etc/choria choria/usr/sbin mcollective-client/usr/bin
echo '# as of the original' >choria/etc/choria/server.conf
printf '#!/bin/sh\n' >choria/usr/sbin/choria
printf '#!/bin/sh\n' >mcollective-client/usr/bin/mco
mkdir choria/DEBIAN && echo /etc/choria/server.conf >choria/DEBIAN/conffiles
pack choria
pack mcollective-client
"#;

/// What an upgrade does where nobody can be asked.
fn install(package: &Path) -> String {
    format!("DEBIAN_FRONTEND=noninteractive dpkg --force-confold --no-triggers -i {}", package.display())
}

fn state(station: &Station, name: &str) -> String {
    station.root(&format!("dpkg-query -W -f '${{db:Status-Abbrev}}' {name}")).stdout.trim().to_owned()
}

#[test]
fn a_debian_package() {
    if !Machine::possible() {
        return;
    }
    let (old, new) = (package("0.1.0", ".deb"), package("0.2.0", ".deb"));
    let station = Station::start();
    station.root(&install(&old)).code(0);
    station.guards_its_files();
    station.completes();
    assert_eq!(station.root("pgrep -x choria").stdout, "", "who is to run is said by its administrator");
    station.becomes_a_network();
    station.goes_on_after(&install(&new));
    station.goes_on_after(&install(&old));

    station.root("dpkg --no-triggers -r choria-rs").code(0);
    station.is_quiet();
    assert_eq!(state(&station, "choria-rs"), "rc");
    station.root("grep -q n1.example.net /etc/choria/server.conf && test -e /etc/choria/broker.conf").code(0);

    // It comes back as it was.
    station.root(&install(&new)).code(0);
    assert_eq!(station.asked("systemctl is-enabled choria-broker choria-server"), "enabled\nenabled");
    station.root("systemctl start choria-broker choria-server").code(0);
    station.answers();

    station.root("dpkg --no-triggers -P choria-rs").code(0);
    station.is_quiet();
    let left = "ls /etc/choria; ls -d /etc/choria-provisioner; find /etc/systemd/system -name 'choria*'";
    assert_eq!(station.root(left).stdout, "ca\ntls\n", "keys are nobody's to delete");
    station.root("test -e /etc/choria/tls/key.pem").code(0);
}

#[test]
fn a_debian_package_takes_the_place_of_others() {
    if !Machine::possible() {
        return;
    }
    let ours = package("0.1.0", ".deb");
    let station = Station::start();
    station.root(OTHERS).code(0);
    station
        .root("dpkg -i choria.deb mcollective-client.deb && echo 'identity = mine' >/etc/choria/server.conf")
        .code(0);
    let done = station.root(&install(&ours)).code(0);
    assert!(state(&station, "choria").ends_with('c'), "only its configuration is there: {done:?}");
    assert!(state(&station, "mcollective-client").ends_with('n'), "{done:?}");
    assert_eq!(
        station.asked("cat /etc/choria/server.conf; readlink /usr/bin/mco"),
        "identity = mine\nchoria"
    );
    // What is left of the others may go.
    station.root("dpkg -P choria").code(0);
    assert_eq!(station.asked("cat /etc/choria/server.conf; choria --version"), "identity = mine\n0.1.0");
    // Who wants them back says so: they do not come beside ours.
    station.root("dpkg -i choria.deb").code(1).complains(&["conflict"]);
}
