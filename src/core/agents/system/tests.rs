//! Programs of the system, and inputs that become their arguments.

use std::time::Duration;

use super::Tool;
use super::input::{path, word};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_program_is_asked_in_the_language_c() {
    let told = Tool::new("env", [""; 0]).env("X", "1").ask(PATIENCE).await.unwrap();
    assert!(told.well() && told.output.contains("LC_ALL=C\n") && told.output.contains("X=1\n"));
    let told = Tool::new("sh", ["-c", "echo a; echo b >&2; exit 7"]).ask(PATIENCE).await.unwrap();
    assert_eq!((told.code, told.complaint().as_str(), told.all().as_str()), (7, "b", "a\nb"));
    let problem = Tool::new("no-such-program", [""; 0]).ask(PATIENCE).await.unwrap_err();
    assert_eq!(problem, "this node has no program no-such-program");
    assert!(Tool::new("sleep", ["600"]).ask(Duration::from_millis(50)).await.is_err());
}

#[test]
fn words_and_paths() {
    for good in ["a", "0x", "a.b-c"] {
        assert!(word("x", good, ".-").is_ok());
    }
    for bad in ["", "-a", ".a", "a b", "a/b", "a\0"] {
        assert!(word("x", bad, ".-").is_err(), "{bad:?}");
    }
    for good in ["/etc/motd", "//etc/./motd", "/a b"] {
        assert!(path("x", good).is_ok(), "{good}");
    }
    for bad in ["", "etc", "/", "//", "/.", "/a/../b", "/a\nb", "..", "/a\0"] {
        assert!(path("x", bad).is_err(), "{bad:?}");
    }
    let text = path("file", "a\u{1b}[2J").unwrap_err().to_string();
    assert!(!text.contains('\u{1b}'), "{text}");
}
