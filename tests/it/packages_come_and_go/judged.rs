//! What the distributions' own judges say of packages: nothing, but for what is listed with
//! a reason beside it.

use super::*;

/// What a judge prints; one that takes half a minute by itself is waited for.
fn said(command: &str, words: &[&str]) -> String {
    let mut judge = Command::new(command);
    let output = judge.args(words).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output.unwrap_or_else(|error| panic!("{command}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn by_lintian() {
    let package = package("0.1.0", ".deb").display().to_string();
    // Information too: an exception that nothing needs any more is told.
    let words =
        ["--display-info", "--allow-root", "--tag-display-limit", "0", "--fail-on", "error,warning,info"];
    assert_eq!(said("lintian", &[&words[..], &[&package]].concat()), "");
}

#[test]
fn by_rpmlint() {
    let package = package("0.1.0", ".rpm").display().to_string();
    let said = said("rpmlint", &["--config", "packaging/packages/rpmlint.toml", "--strict", &package]);
    assert!(said.contains("0 errors, 0 warnings"), "{said}");
}
