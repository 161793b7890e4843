//! Words of package managers, recorded: dpkg 1.21, apt 2.6, rpm 4.18, dnf 4.14 and zypper
//! 1.14 as Debian 12 has them, with repositories made for it. apk runs on no machine these
//! tests run on: its words are those of images of Alpine 3.11 and 3.18, as others have published
//! them. Those of pkg are of its version 2.8, built on Linux, with a repository made for it.

use super::manager::{Manager, Properties};
use super::update::Update;
use super::{apk, apt, pkg, rpm, shown, yum, zypper};
use crate::core::agents::system::Told;

fn told(code: i32, output: &str, errors: &str) -> Told {
    Told { code, output: output.into(), errors: errors.into() }
}

fn parts(of: &Properties) -> [Option<&str>; 5] {
    let part = |part: &'_ Option<String>| part.clone();
    let [version, release, epoch, arch] =
        [part(&of.version), part(&of.release), part(&of.epoch), part(&of.arch)]
            .map(|part| part.map(|text| &*Box::leak(text.into_boxed_str())));
    [Some(Box::leak(of.ensure.clone().into_boxed_str())), version, release, epoch, arch]
}

#[test]
fn dpkg_tells_of_a_package() {
    let read = |output: &str| apt::properties("zsh", &told(0, output, "")).unwrap();
    let found = read("installed\t5.9-4+b2\tamd64\tzsh\n");
    assert_eq!(parts(&found), [Some("5.9-4+b2"), Some("5.9"), Some("4+b2"), None, Some("amd64")]);
    let found = read("installed\t1:9.18-1~deb12u1\tamd64\tzsh\n");
    assert_eq!(
        parts(&found),
        [Some("1:9.18-1~deb12u1"), Some("9.18"), Some("1~deb12u1"), Some("1"), Some("amd64")]
    );
    assert!(found.is_version("9.18-1~deb12u1") && found.is_version("1:9.18-1~deb12u1"));
    assert!(!found.is_version("9.19"));
    assert_eq!(read("config-files\t5.9-4\tamd64\tzsh\n").ensure, "absent");
    assert_eq!(read("half-configured\t5.9-4\tamd64\tzsh\n").ensure, "absent");
    assert_eq!(read("not-installed\t\tamd64\tzsh\n").ensure, "purged");
    // several architectures: the one that is installed
    assert_eq!(read("config-files\t1\ti386\tzsh\ninstalled\t2\tamd64\tzsh\n").ensure, "2");
    let unknown = told(1, "", "dpkg-query: no packages found matching zsh\n");
    assert_eq!(apt::properties("zsh", &unknown).unwrap().ensure, "purged");
    let broken = told(2, "", "dpkg-query: error: failed to open package info file\n");
    assert!(apt::properties("zsh", &broken).unwrap_err().contains("failed to open"));
}

#[test]
fn apt_tells_what_it_would_do() {
    let policy = "hello:\n  Installed: (none)\n  Candidate: 2.10-3\n  Version table:\n     2.10-3 500\n";
    assert_eq!(apt::read_candidate("hello", policy).as_deref(), Some("2.10-3"));
    assert_eq!(apt::read_candidate("hello", "hello:\n  Candidate: (none)\n"), None);
    assert_eq!(apt::read_candidate("hello", ""), None);
    // a pattern, and what apt says of all that match it
    assert_eq!(apt::read_candidate("hell.+", policy), None);
    assert_eq!(apt::read_candidate("hello", &format!("{policy}hello-more:\n  Candidate: 1\n")), None);
    let simulated = "Reading package lists...\nInst libssl3 [3.0.15-1~deb12u1] (3.0.17-1~deb12u2 \
                     Debian:12.11/oldstable [amd64])\nInst new (1.0 here [all])\n\
                     Inst a [1:1] (1:2 Debian:12/x, Debian-Security:12/y [all]) []\nConf a (1:2 x [all])\n";
    let updates = apt::updates(simulated);
    assert_eq!(
        updates,
        [
            Update::new("libssl3", "3.0.17-1~deb12u2", "Debian:12.11/oldstable [amd64]"),
            Update::new("a", "1:2", "Debian:12/x, Debian-Security:12/y [all]"),
        ]
    );
}

#[test]
fn rpm_tells_of_a_package() {
    let read = |code, output: &str| rpm::properties("hello-choria", &told(code, output, ""), "purged", "dnf");
    let found = read(0, "hello-choria\t0\t1.0\t1\tnoarch\n").unwrap();
    assert_eq!(parts(&found), [Some("1.0-1"), Some("1.0"), Some("1"), Some("0"), Some("noarch")]);
    let found = read(0, "hello-choria\t2\t1.0\t1\tnoarch\nhello-choria\t2\t1.1\t1\tnoarch\n").unwrap();
    assert_eq!(found.ensure, "2:1.1-1");
    assert_eq!(read(1, "package hello-choria is not installed\n").unwrap().ensure, "purged");
    assert!(read(1, "error: cannot open Packages database\n").unwrap_err().contains("cannot open"));
    // asked by a name with its version, which rpm finds: that is another name
    assert_eq!(read(0, "hello\t0\t1.0\t1\tnoarch\n").unwrap().ensure, "purged");
}

#[test]
fn dnf_and_yum_tell_of_updates() {
    let said = "\nhello-choria.noarch                          1.1-1                          here\n";
    assert_eq!(yum::updates(said), [Update::new("hello-choria.noarch", "1.1-1", "here")]);
    let obsoleting = format!("{said}Obsoleting Packages\nx.noarch 2-1 here\n    y.noarch 1-1 @System\n");
    assert_eq!(yum::updates(&obsoleting).len(), 1);
    assert!(yum::updates("").is_empty());
    let said = "Available Packages\nhello-choria.noarch                          1.1-1            here\n";
    assert_eq!(yum::names(said), ["hello-choria"]);
    assert_eq!(yum::clean(Manager::Dnf, "all").unwrap().shown(), "dnf clean all");
    assert!(yum::clean(Manager::Yum, "all; reboot").is_err());
}

#[test]
fn zypper_tells_of_updates() {
    let said = "S | Repository | Name         | Current Version | Available Version | Arch\n\
                --+------------+--------------+-----------------+-------------------+-------\n\
                v | here       | hello-choria | 1.0-1           | 1.1-1             | noarch\n";
    assert_eq!(zypper::updates(said), [Update::new("hello-choria", "1.1-1", "here")]);
    let said = "\nS  | Name         | Summary    | Type\n---+--------------+------------+--------\n\
                i+ | hello-choria | says hello | package\n   | hello-more   | says more  | package\n";
    assert_eq!(zypper::names(said), ["hello-choria", "hello-more"]);
    assert!(zypper::well(0) && zypper::well(102) && !zypper::well(104) && !zypper::well(8));
}

#[test]
fn apk_tells_of_packages() {
    let line = "busybox-1.36.1-r15 x86_64 {busybox} (GPL-2.0-only) [installed]\n";
    let found = apk::properties("busybox", &told(0, line, ""));
    assert_eq!(parts(&found), [Some("1.36.1-r15"), Some("1.36.1"), Some("15"), None, Some("x86_64")]);
    assert_eq!(apk::properties("busy", &told(0, line, "")).ensure, "absent");
    let said = "Installed:                                Available:\n\
                busybox-1.36.1-r2                       < 1.36.1-r15\n";
    assert_eq!(apk::updates(said), [Update::new("busybox", "1.36.1-r15", "")]);
}

#[test]
fn pkg_tells_of_packages() {
    let said = "hello-choria\t1.0\tFreeBSD:14:amd64\tmisc/hello-choria\n";
    for name in ["hello-choria", "misc/hello-choria"] {
        let found = pkg::properties(name, &told(0, said, ""));
        assert_eq!(parts(&found), [Some("1.0"), Some("1.0"), None, None, Some("FreeBSD:14:amd64")]);
    }
    assert_eq!(pkg::properties("hello", &told(0, said, "")).ensure, "absent");
    // where none is installed at all it is no failure, where others are it is
    assert_eq!(
        pkg::properties("hello-choria", &told(0, "", "pkg: No packages installed\n")).ensure,
        "absent"
    );
    assert_eq!(pkg::properties("hello-more", &told(1, "", "")).ensure, "absent");
    // what is installed knows no repository, and a repository may keep older versions
    let available = "hello-choria\t1.0\thello\nhello-choria\t1.1\thello\nhello-more\t2.3_1,1\thello\n";
    let (said, updates) = pkg::compared("hello-choria\t1.0\t\n", available);
    assert_eq!(updates, [Update::new("hello-choria", "1.1", "hello")]);
    assert!(said.output.starts_with("hello-choria-1.0 ") && said.output.ends_with("(remote has 1.1)\n"));
    let (said, updates) = pkg::compared("hello-choria\t1.1\t\n", available);
    assert_eq!((said.output.as_str(), updates.len()), ("", 0));
}

/// `apk list -I` in the image alpine:3.11, as the notes on licences of .NET's images show it.
#[test]
fn apk_tells_of_an_image() {
    let said = "musl-1.1.24-r0 x86_64 {musl} (MIT) [installed]\n\
                zlib-1.2.11-r3 x86_64 {zlib} (Zlib) [installed]\n\
                apk-tools-2.10.4-r3 x86_64 {apk-tools} (GPL2) [installed]\n\
                musl-utils-1.1.24-r0 x86_64 {musl} (MIT BSD GPL2+) [installed]\n\
                libssl1.1-1.1.1d-r2 x86_64 {openssl} (OpenSSL) [installed]\n\
                alpine-baselayout-3.2.0-r3 x86_64 {alpine-baselayout} (GPL-2.0-only) [installed]\n\
                busybox-1.31.1-r8 x86_64 {busybox} (GPL-2.0-only) [installed]\n\
                libtls-standalone-2.9.1-r0 x86_64 {libtls-standalone} (ISC) [installed]\n\
                ssl_client-1.31.1-r8 x86_64 {busybox} (GPL-2.0-only) [installed]\n\
                ca-certificates-cacert-20191127-r0 x86_64 {ca-certificates} (MPL-2.0 GPL-2.0-or-later) [installed]\n";
    for (name, ensure, version, release) in [
        ("musl", "1.1.24-r0", "1.1.24", "0"),
        ("musl-utils", "1.1.24-r0", "1.1.24", "0"),
        ("libssl1.1", "1.1.1d-r2", "1.1.1d", "2"),
        ("ca-certificates-cacert", "20191127-r0", "20191127", "0"),
        ("ssl_client", "1.31.1-r8", "1.31.1", "8"),
    ] {
        let found = apk::properties(name, &told(0, said, ""));
        assert_eq!(
            parts(&found),
            [Some(ensure), Some(version), Some(release), None, Some("x86_64")],
            "{name}"
        );
    }
    for absent in ["apk", "tools", "libssl", "ca-certificates", "openssl"] {
        assert_eq!(apk::properties(absent, &told(0, said, "")).ensure, "absent", "{absent}");
    }
}

/// `apk version -l '<'` in the image alpine:3.18 with the repositories of 3.21, as somebody's notes
/// on testing upgrades show it.
#[test]
fn apk_tells_of_the_updates_of_an_image() {
    let said = "Installed:                                Available:\n\
                alpine-baselayout-3.4.3-r1              < 3.6.8-r1\n\
                alpine-baselayout-data-3.4.3-r1         < 3.6.8-r1\n\
                apk-tools-2.14.4-r0                     < 2.14.6-r3\n\
                busybox-binsh-1.36.1-r7                 < 1.37.0-r14\n\
                ca-certificates-bundle-20241121-r1      < 20250911-r0\n\
                libcrypto3-3.1.8-r0                     < 3.3.6-r0\n\
                ssl_client-1.36.1-r7                    < 1.37.0-r14\n";
    let expected = [
        ("alpine-baselayout", "3.6.8-r1"),
        ("alpine-baselayout-data", "3.6.8-r1"),
        ("apk-tools", "2.14.6-r3"),
        ("busybox-binsh", "1.37.0-r14"),
        ("ca-certificates-bundle", "20250911-r0"),
        ("libcrypto3", "3.3.6-r0"),
        ("ssl_client", "1.37.0-r14"),
    ];
    assert_eq!(apk::updates(said), expected.map(|(name, version)| Update::new(name, version, "")));
}

#[test]
fn names_that_are_no_packages() {
    for manager in [Manager::Apt, Manager::Yum, Manager::Dnf, Manager::Zypper, Manager::Apk, Manager::Pkg] {
        for good in ["zsh", "g++", "libc6", "python3.11", "3proxy"] {
            assert!(manager.checked(good, "").is_ok(), "{good}");
            assert!(manager.checked(good, "1:2.3~rc1-4+b1").is_ok());
        }
        let long = "x".repeat(91);
        let bad = [
            "",
            "-y",
            "--purge",
            "zsh vim",
            "zsh;id",
            "$(id)",
            "`id`",
            "a\nb",
            "../x",
            "/etc/passwd",
            "./x.deb",
            "http://x/y.deb",
            "@core",
            "*",
            "zsh*",
            "[a]",
            "a..b",
            "a&b",
            "é",
            &long,
        ];
        for bad in bad {
            assert!(manager.checked(bad, "").is_err(), "{bad}");
        }
        for bad in ["candidate", "newest", "1.rpm", "-1", "1 2", "1;id", "*", "1\n2", "/x", &long] {
            assert!(manager.checked("zsh", bad).is_err(), "{bad}");
        }
    }
    // what apt would read as "remove vim", and what it would read as a release
    assert_eq!(apt::install("vim-", "1").shown().split(' ').next_back(), Some("'vim-=1'"));
    assert!(Manager::Apt.checked("vim/testing", "").is_err());
    assert!(
        Manager::Pkg.checked("nginx", "1.24.0_2,3").is_ok() && Manager::Apt.checked("nginx", "1,3").is_err()
    );
}

#[test]
fn the_end_of_a_long_text_is_shown() {
    assert_eq!(shown("short"), "short");
    let long = "é".repeat(60_000) + "the end";
    assert!(shown(&long).len() <= 64 * 1024 && shown(&long).ends_with("the end"));
}
