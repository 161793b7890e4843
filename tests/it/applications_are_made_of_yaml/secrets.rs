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

/// Between two attempts it ends as well, and does not make the next.
#[test]
fn a_signal_ends_the_wait_for_another_attempt() {
    let place = demo(
        "  - {name: again, description: d, type: exec, script: 'echo x >>tries; exit 3', backoff: {max_attempts: 3, min_sleep: 1h, max_sleep: 2h}}\n",
    );
    use rustix::process::Signal;
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let mut running = Daemon::start("demo", place.command("demo", &["again"]));
        running.says(&["attempt 1 of 3"]);
        running.signal(signal);
        assert_eq!(running.ended().code(), Some(code));
    }
    assert_eq!(fs::read_to_string(place.path("tries")).expect("a log"), "x\n".repeat(3));
}

/// Where there is no terminal, what a script runs ends with it, and nobody waits for its output.
#[test]
fn a_signal_ends_all_that_a_script_runs() {
    let place = demo(
        r#"  - {name: plain, description: d, type: exec, script: 'sleep 600 & echo "child $!"; wait; echo never'}
  - name: piped
    description: d
    type: exec
    script: 'trap "exit 7" TERM; setsid sleep 600 2>/dev/null & echo "child $!" >&2; wait'
    transform: {jq: {query: .a}}
"#,
    );
    use rustix::process::Signal;
    // without a terminal, also where somebody tries this at one
    let start = |name: &str| {
        let given = place.command("demo", &[name]);
        let mut command = std::process::Command::new("/usr/bin/setsid");
        command.arg(given.get_program()).args(given.get_args()).env_clear();
        command.envs(given.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(place.path("")).stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        Daemon::start("demo", command)
    };
    let child = |running: &Daemon| -> i32 {
        let line = running.says(&["child "]);
        line.split("child ").nth(1).and_then(|pid| pid.trim().parse().ok()).expect("a number")
    };
    for (name, code) in [("plain", 143), ("piped", 7)] {
        let mut running = start(name);
        let pid = rustix::process::Pid::from_raw(child(&running)).expect("a number");
        running.signal(Signal::TERM);
        assert_eq!(running.ended().code(), Some(code), "{name}");
        if name == "piped" {
            // it has a session of its own, and held the output open
            rustix::process::kill_process(pid, Signal::KILL).expect("it went on");
            continue;
        }
        crate::process::until("what the script ran to be gone", || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
            (stat.is_empty() || stat.contains(") Z ")).then_some(())
        });
    }
}
