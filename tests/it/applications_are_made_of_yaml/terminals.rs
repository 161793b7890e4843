//! People at terminals.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::demo;

/// A terminal, and a command at it.
struct Terminal {
    ours: fs::File,
    child: std::process::Child,
    shown: String,
}

impl Terminal {
    fn start(mut command: Command) -> Terminal {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("a terminal");
        let name = ptsname(&ours, Vec::new()).expect("a name");
        let path = PathBuf::from(name.to_str().expect("a name"));
        let theirs = || fs::File::options().read(true).write(true).open(&path).expect("a terminal");
        command.stdin(theirs()).stdout(theirs()).stderr(theirs());
        let child = command.spawn().expect("a program");
        Terminal { ours: ours.into(), child, shown: String::new() }
    }

    /// Waits until it has shown a text, and types what comes then.
    fn answer(&mut self, shown: &str, typed: &str) {
        use std::io::{Read, Write};
        let from = self.shown.len();
        let mut piece = [0; 4096];
        while !self.shown[from..].contains(shown) {
            let read = self.ours.read(&mut piece).unwrap_or_else(|e| panic!("{e}: {}", self.shown));
            self.shown.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
        self.ours.write_all(typed.as_bytes()).expect("a terminal");
    }

    fn end(mut self) -> (Option<i32>, String) {
        use std::io::Read;
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = self.ours.read(&mut piece) {
            self.shown.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
        (self.child.wait().expect("a child").code(), self.shown)
    }
}

/// At a terminal people are asked, and what they type as a password is not shown.
#[test]
fn people_are_asked_at_a_terminal() {
    let place = demo(
        "  - {name: sure, description: d, type: exec, confirm_prompt: Really?, command: echo was sure}\n  \
         - name: form\n    description: A form\n    type: form\n    properties:\n      \
         - {name: user, description: Who, required: true}\n      - {name: password, description: With, type: password}\n",
    );
    for (answer, code, told) in [("y\n", 0, "was sure"), ("n\n", 1, "nothing was done")] {
        let mut terminal = Terminal::start(place.command("demo", &["sure"]));
        terminal.answer("Really? (y/n): ", answer);
        let (ended, shown) = terminal.end();
        assert_eq!(ended, Some(code), "{shown}");
        assert!(shown.contains(told), "{shown}");
    }
    let mut terminal = Terminal::start(place.command("demo", &["form"]));
    terminal.answer("Press enter to start: ", "\n");
    terminal.answer("? user: ", "\n");
    terminal.answer("An answer is required.", "ada\n");
    terminal.answer("? password: ", "s3cret\n");
    terminal.answer("\"user\": \"ada\"", "");
    let (ended, shown) = terminal.end();
    assert_eq!(ended, Some(0), "{shown}");
    assert!(shown.contains("\"password\": \"s3cret\"") && shown.matches("s3cret").count() == 1, "{shown}");
}
