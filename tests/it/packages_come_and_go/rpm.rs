//! Red Hat's rpm, on a machine whose files it knows nothing of.

use super::*;

/// A package called NAME that has nothing, but what it says: a file of a spec.
const STAND_IN: &str = r#"
stand_in() {
    printf 'Name: %s\nVersion: 2.25\nRelease: 1\nSummary: others\nLicense: others\nBuildArch: noarch\n%s\n%%description\n.\n%%files\n' \
        "$1" "$2" >$1.spec
    rpmbuild -bb --quiet --define "_rpmdir $PWD" --define "_topdir $PWD/$1" $1.spec
}
"#;

/// rpm of Debian warns of itself.
const RPM: &str = "rpm --force-debian";

#[test]
fn an_rpm() {
    if !Machine::possible() {
        return;
    }
    let (old, new) = (package("0.1.0", ".rpm"), package("0.2.0", ".rpm"));
    let [old, new] = [&old, &new].map(|package| package.display().to_string());
    let station = Station::start();

    // What it needs is what the system has by its own package manager.
    let refused = station.root(&format!("{RPM} -i {old}"));
    refused.code(1).complains(&["/usr/sbin/useradd", "libc.so.6"]);
    let system = format!(
        "{STAND_IN} stand_in system \"$(rpm -qp --requires {old} | grep -v -e '^rpmlib' -e '^config' | sed 's/^/Provides: /')\" && \
         stand_in choria && stand_in mcollective-client && {RPM} -i noarch/system-*.rpm noarch/choria-*.rpm"
    );
    station.root(&system).code(0);

    // Beside the original's it does not go.
    station.root(&format!("{RPM} -i {old}")).code(1).complains(&["choria", "conflicts"]);
    station.root(&format!("{RPM} -e choria && {RPM} -i {old}")).code(0);
    station.root(&format!("{RPM} -i noarch/mcollective-client-*.rpm")).code(1).complains(&["conflicts"]);
    station.guards_its_files();
    assert_eq!(station.root("pgrep -x choria").stdout, "", "who is to run is said by its administrator");

    station.becomes_a_network();
    station.goes_on_after(&format!("{RPM} -U {new}"));
    station.goes_on_after(&format!("{RPM} -U --oldpackage {old}"));

    station.root(&format!("{RPM} -e choria-rs")).code(0);
    station.is_quiet();
    station
        .root(
            "grep -q n1.example.net /etc/choria/server.conf.rpmsave && test -e /etc/choria/tls/node/key.pem",
        )
        .code(0);
    assert_eq!(station.root("find /etc/systemd/system -name 'choria*'").stdout, "");
}
