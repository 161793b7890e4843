//! Programs that end, and those that would not.

use super::*;

fn sh(script: &str) -> Program {
    Program::new("/bin/sh").args(["-c", script]).limit(Duration::from_secs(20))
}

#[tokio::test]
async fn what_a_program_leaves() {
    let ended = sh("cat; echo two >&2; echo three >&2; exit 3").input("one").run().await.unwrap();
    assert_eq!((ended.output.as_slice(), ended.errors.as_str()), (&b"one"[..], "two\nthree"));
    assert_eq!(how(ended.status), "exit status 3");
    let ended = sh("kill -9 $$").run().await.unwrap();
    assert_eq!(how(ended.status), "signal 9");
    let ended = sh("pwd; env").directory("/").bare().env("A", "b").run().await.unwrap();
    let text = String::from_utf8(ended.output).unwrap();
    assert!(text.starts_with("/\n") && text.contains("A=b") && !text.contains("HOME="), "{text}");
}

#[tokio::test]
async fn bounds_hold() {
    let error = sh("echo asking >&2; sleep 600 & sleep 600").limit(Duration::from_millis(300)).run().await;
    let error = error.unwrap_err();
    assert!(matches!(error, ProgramError::TooLong { .. }) && error.errors() == "asking", "{error}");
    let error = sh("yes").most(1000).run().await.unwrap_err();
    assert!(matches!(error, ProgramError::TooMuch { most: 1000, .. }), "{error}");
    // just as much as it may
    assert_eq!(sh("printf %1000s x").most(1000).run().await.unwrap().output.len(), 1000);
    // a child that keeps the pipes open is not waited for
    assert_eq!(sh("sleep 600 & echo done").run().await.unwrap().output, b"done\n");
    let error = Program::new("/nonexistent/program").run().await.unwrap_err();
    assert!(error.to_string().starts_with("/nonexistent/program cannot be started: "), "{error}");
}

#[tokio::test]
async fn talk_is_heard_and_not_kept() {
    let mut heard = Vec::new();
    let ended = sh("echo one; echo two >&2; yes | head -n 500000; echo last")
        .talks()
        .run_heard(|stream, line| heard.push((stream, line.to_owned())))
        .await
        .unwrap();
    assert!(ended.output.is_empty() && ended.status.success());
    assert!(
        heard.contains(&(Stream::Output, "one".into())) && heard.contains(&(Stream::Error, "two".into()))
    );
    assert!(heard.len() < 70_000);
}

#[tokio::test]
async fn what_is_overheard_is_kept_also_of_what_was_killed() {
    let mut heard = Vec::new();
    let program = sh("echo one; echo two >&2; printf three").overheard();
    let ended = program.run_heard(|stream, line| heard.push((stream, line.to_owned()))).await.unwrap();
    assert_eq!(ended.output, b"one\nthree");
    heard.sort_by_key(|(stream, _)| *stream == Stream::Error);
    let texts: Vec<_> = heard.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(texts, ["one", "three", "two"]);
    let mut heard = 0;
    let slow = sh("echo one; echo two; exec sleep 600").overheard().limit(Duration::from_secs(2));
    match slow.run_heard(|_, _| heard += 1).await {
        Err(ProgramError::TooLong { output, .. }) => assert_eq!(output, b"one\ntwo\n"),
        other => panic!("{other:?}"),
    }
    assert_eq!(heard, 2);
    match sh("yes").most(1000).run().await {
        Err(ProgramError::TooMuch { output, .. }) => assert_eq!(output, b"y\n".repeat(500)),
        other => panic!("{other:?}"),
    }
}

/// Whoever writes more than is kept is let go on, and ends as it would.
#[tokio::test]
async fn what_is_cut_comes_to_its_end() {
    let flood = "head -c 300000 /dev/zero | tr '\\0' y; echo end >&2; exit 3";
    for most in [1000, 299_999] {
        let ended = sh(flood).most(most).cut().overheard().run().await.unwrap();
        assert_eq!((ended.output, ended.cut), (b"y".repeat(most), true));
        assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(3), "end"));
    }
    let ended = sh(flood).most(300_000).cut().run().await.unwrap();
    assert_eq!((ended.output.len(), ended.cut), (300_000, false));
}

#[tokio::test]
async fn what_outlives_is_let_run_until_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let done = dir.path().join("done");
    let script = format!("sleep 0.3; echo > {}", done.display());
    let waiting = sh(&script).outlives().run();
    assert!(tokio::time::timeout(Duration::from_millis(50), waiting).await.is_err());
    while !done.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let never = dir.path().join("never");
    let script = format!("(sleep 1; echo > {}) & sleep 600", never.display());
    let error = sh(&script).outlives().limit(Duration::from_millis(100)).run().await.unwrap_err();
    assert!(matches!(error, ProgramError::TooLong { .. }));
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert!(!never.exists(), "the whole group is gone");
}

#[tokio::test]
async fn lines_are_heard_as_they_come() {
    let mut heard = Vec::new();
    sh("echo one >&2; yes >&2 & sleep 0.3; kill $!; echo last >&2")
        .run_heard(|_, line| heard.push(line.to_owned()))
        .await
        .unwrap();
    assert_eq!(heard.first().map(String::as_str), Some("one"));
    assert_eq!(heard.last().map(String::as_str), Some("(says more than is shown)"));
    assert!(heard.iter().map(String::len).sum::<usize>() < 70_000);
}

/// What nobody reads has no pipe, and holds nothing up.
#[tokio::test]
async fn a_silent_program_writes_to_nobody() {
    let script = "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; exit 3";
    let ended = Program::new("/bin/sh").args(["-c", script]).silent().run().await.unwrap();
    assert_eq!((ended.status.code(), ended.output.len(), ended.errors.as_str()), (Some(3), 0, ""));
}
