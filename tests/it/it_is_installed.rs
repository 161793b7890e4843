//! What `make install` leaves: files that those can read who have to.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::process::{program, run};

fn make(dest: &Path, binary: &str) -> std::process::Output {
    make_with(&[&format!("DESTDIR={}", dest.display())], binary)
}

fn make_with(settings: &[&str], binary: &str) -> std::process::Output {
    let mut make = Command::new("make");
    make.current_dir(env!("CARGO_MANIFEST_DIR")).arg("install");
    // Whoever installs has no Rust.
    make.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    make.args(settings).arg(format!("BINARY={binary}"));
    make.output().expect("make")
}

#[test]
fn by_somebody_without_rust() {
    let dir = tempfile::TempDir::new().expect("a directory");
    let missing = make(dir.path(), "target/nowhere/choria");
    let said = String::from_utf8_lossy(&missing.stderr);
    assert!(!missing.status.success() && said.contains("run make first, as yourself"), "{said}");

    let made = make(dir.path(), env!("CARGO_BIN_EXE_choria"));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mode = |file: &str| {
        let found = fs::metadata(dir.path().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        found.permissions().mode() & 0o777
    };
    for (file, expected) in [
        ("usr/bin/choria", 0o755),
        ("etc/choria", 0o755),
        ("etc/choria/client.conf", 0o644),
        ("etc/choria/broker.conf", 0o640),
        ("etc/choria/server.conf", 0o640),
        ("etc/choria/tls", 0o755),
        ("etc/choria/facts.yaml", 0o644),
        ("etc/choria/policies/rpcutil.policy", 0o644),
        ("etc/choria/policies/choria_util.policy", 0o644),
        ("etc/choria-provisioner", 0o750),
        ("etc/choria-provisioner/provisioner.yaml", 0o640),
        ("etc/choria-provisioner/client.conf", 0o640),
    ] {
        assert_eq!(mode(file), expected, "{file}");
    }
    // Every file a sample names is installed, but for keys and what is written later.
    for file in ["etc/choria/server.conf", "etc/choria-provisioner/client.conf"] {
        let text = fs::read_to_string(dir.path().join(file)).expect("a file");
        for path in text.lines().filter_map(|line| line.split_once(" = /etc/")).map(|(_, path)| path) {
            let place = dir.path().join("etc").join(path);
            assert!(
                place.exists() || place.parent().is_some_and(|p| p.ends_with("tls") && p.exists()),
                "{path}"
            );
        }
    }
    // Samples point to documents, which are there.
    for document in ["README.md", "docs/policies.md", "docs/provisioning.md"] {
        assert_eq!(mode(&format!("usr/share/doc/choria/{document}")), 0o644);
    }
    // zsh finds its completion by itself, in a directory where it looks.
    let zsh = Command::new("zsh").args(["-c", "print -l $fpath"]).output().expect("zsh");
    let looks = String::from_utf8_lossy(&zsh.stdout).into_owned();
    let found = |place: &str| dir.path().join(place.trim_start_matches('/')).join("_choria").exists();
    assert!(looks.lines().any(found), "{looks}");

    let mut check = program(dir.path());
    check.args(["policy", "check", "--config"]).arg(dir.path().join("etc/choria/server.conf"));
    run(check, None).fine().says(&["no problems"]);

    // Units start the program where it was put.
    let elsewhere = tempfile::TempDir::new().expect("a directory");
    let destination = format!("DESTDIR={}", elsewhere.path().display());
    let made = make_with(&[&destination, "PREFIX=/opt/choria"], env!("CARGO_BIN_EXE_choria"));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let prefix = elsewhere.path().join("opt/choria");
    assert!(prefix.join("bin/choria").exists());
    for unit in fs::read_dir(prefix.join("lib/systemd/system")).expect("units") {
        let unit = fs::read_to_string(unit.expect("a unit").path()).expect("a unit");
        assert!(unit.contains("\nExecStart=/opt/choria/bin/choria ") && !unit.contains("/usr/bin"), "{unit}");
    }

    // What somebody has changed stays.
    let config = dir.path().join("etc/choria/server.conf");
    fs::write(&config, "identity = mine\n").expect("a file");
    assert!(make(dir.path(), env!("CARGO_BIN_EXE_choria")).status.success());
    assert_eq!(fs::read_to_string(&config).expect("a file"), "identity = mine\n");
}
