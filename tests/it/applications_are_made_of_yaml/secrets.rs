//! Secrets, and what is left when a command is ended.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::demo;
use crate::process::{Daemon, run};

/// Secrets come from the program of their store, and are in no words and no complaints.
#[test]
fn secrets_are_given_and_not_told() {
    let place = demo(
        r#"  - name: use
    description: d
    type: exec
    confirm_prompt: Sure?
    secrets: [{name: token, one_password: {vault: V, item: I, field: F, account: A}}]
    environment: ["TOKEN={{ .Secrets.token }}"]
    script: 'printf "%s %s %s" "$TOKEN" "{{ .Secrets }}" "$0"'
  - name: leak
    description: d
    type: exec
    secrets: [{name: token, one_password: {vault: V, item: I, field: F}}]
    command: /no/{{ .Secrets.token }}
  - name: wrong
    description: d
    type: exec
    secrets: [{name: token, one_password: {vault: V, item: I, field: F}}]
    command: echo {{ .Secrets.token.more }}
  - name: nowhere
    description: d
    type: exec
    secrets: [{name: token, one_password: {vault: V, item: I, field: F}}]
    dir: /no/{{ .Secrets.token }}
    command: pwd
  - name: key
    description: d
    type: kv
    action: get
    bucket: B
    key: "{{ .Secrets.token }} x"
    secrets: [{name: token, one_password: {vault: V, item: I, field: F}}]
"#,
    );
    let op = "#!/bin/sh\necho \"$*\" >>\"$HOME/asked\"\n[ -e \"$HOME/locked\" ] && { echo 'no session' >&2; exit 1; }\nprintf s3cret\n";
    fs::create_dir_all(place.path("tools")).expect("a directory");
    fs::write(place.path("tools/op"), op).expect("a file");
    fs::set_permissions(place.path("tools/op"), fs::Permissions::from_mode(0o755)).expect("a mode");
    let run = |words: &[&str]| {
        let mut command = place.command("demo", words);
        command.env("PATH", format!("{}:/usr/bin:/bin", place.path("tools").display()));
        run(command, None)
    };
    // nobody is asked for a secret before a person has said that it is meant, or for help
    run(&["use"]).code(1);
    run(&["use", "--help"]).fine();
    assert!(!place.path("asked").exists());
    let used = run(&["use", "--no-prompt"]).fine();
    assert!(used.stdout.starts_with("s3cret [REDACTED] "), "{used:?}");
    let asked = fs::read_to_string(place.path("asked")).expect("a log");
    assert_eq!(asked, "read --no-newline op://V/I/F --account A\n");
    let told = run(&["leak"]).code(1).complains(&["cannot run /no/[REDACTED]"]);
    assert!(!told.stderr.contains("s3cret"), "{told:?}");
    let told = run(&["wrong"]).code(1).complains(&["[REDACTED] has no member more"]);
    assert!(!told.stderr.contains("s3cret"), "{told:?}");
    for word in ["nowhere", "key"] {
        let told = run(&[word]).code(1).complains(&["[REDACTED]"]);
        assert!(!told.stderr.contains("s3cret"), "{told:?}");
    }
    fs::write(place.path("locked"), "").expect("a file");
    run(&["use", "--no-prompt"]).code(1).silent().complains(&["secret token: op read: no session"]);
}

/// Who ends it ends what it runs, and nothing is left.
#[test]
fn an_interrupt_ends_what_is_run() {
    let place = demo(
        "  - {name: waits, description: d, type: exec, script: 'echo begun; echo {{ BashHelperPath }}; exec sleep 600'}\n",
    );
    use rustix::process::Signal;
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let mut running = Daemon::start("demo", place.command("demo", &["waits"]));
        running.says(&["begun"]);
        let helper = running.says(&["choria-builder-"]);
        assert!(Path::new(&helper).exists(), "{helper}");
        running.signal(signal);
        assert_eq!(running.ended().code(), Some(code));
        assert!(!Path::new(&helper).exists(), "{helper}");
    }
}
