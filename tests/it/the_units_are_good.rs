//! The units of our packages, as systemd reads them.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn by_systemds_own_check() {
    let dir = tempfile::TempDir::new().expect("a directory");
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd");
    let mut verify = Command::new("systemd-analyze");
    // pages of the manual are where packages put them
    verify.args(["verify", "--man=no"]);
    let mut count = 0;
    for entry in fs::read_dir(units).expect("a directory").flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|e| e != "service") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a unit");
        assert!(text.contains("ExecStart=/usr/bin/choria "), "{}", path.display());
        // and so is the program
        let text = text.replace("/usr/bin/choria ", concat!(env!("CARGO_BIN_EXE_choria"), " "));
        let copy = dir.path().join(path.file_name().expect("a name"));
        fs::write(&copy, text).expect("a file");
        verify.arg(copy);
        count += 1;
    }
    assert_eq!(count, 6);
    let done = verify.output().expect("systemd-analyze");
    let said = String::from_utf8_lossy(&done.stderr);
    // it speaks of units of this machine too
    let of_ours = said.lines().any(|line| line.contains("choria-"));
    assert!(done.status.success() && !of_ours, "{said}");
}
