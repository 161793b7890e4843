//! What commands draw on a terminal, by what it can show.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::a_node_mends_itself::{machine, with_machines};
use crate::network::{Caller, Network, node};
use crate::people_are_told_of_checks::{CHECK, checks};
use crate::process::until;

/// A terminal of so many columns: our end of it, and how to open theirs.
fn terminal(columns: u16) -> (OwnedFd, impl Fn() -> OwnedFd) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("a terminal");
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&ours, size).expect("a size");
    let name = ptsname(&ours, Vec::new()).expect("a name");
    let path = std::path::Path::new(name.to_str().expect("a name")).to_owned();
    let theirs =
        move || -> OwnedFd { File::options().read(true).write(true).open(&path).expect("a terminal").into() };
    (ours, theirs)
}

/// Everything `words` writes to a terminal of so many columns.
fn shown(caller: &Caller, words: &[&str], columns: u16, environment: &[(&str, &str)]) -> String {
    let (ours, theirs) = terminal(columns);
    let mut command = caller.command(words);
    command.env_remove("NO_COLOR").envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(theirs()).stderr(theirs());
    let mut child = command.spawn().expect("a program");
    drop((command, theirs));
    let mut terminal = File::from(ours);
    let reader = std::thread::spawn(move || {
        let (mut text, mut piece) = (Vec::new(), [0; 4096]);
        // the last of the other side closes it, which is an error here
        while let Ok(read @ 1..) = terminal.read(&mut piece) {
            text.extend_from_slice(&piece[..read]);
        }
        text
    });
    assert!(child.wait().expect("a child").success());
    String::from_utf8_lossy(&reader.join().expect("a reader")).into_owned()
}

/// Panes that are drawn until a person ends them, and leave the terminal as it was.
#[test]
fn checks_are_watched_in_panes() {
    let network = Network::start();
    let (setup, store) = with_machines(&network, "n1");
    let path = machine(&store, "whole", &checks(), &[("check", CHECK)]);
    std::fs::write(path.join("broken"), "").expect("a file");
    let _nodes = network.nodes([setup]);
    let alice = network.alice();
    for keys in [&b"q"[..], &[3]] {
        let (ours, theirs) = terminal(100);
        let mut command = alice.command(&["scout", "watch"]);
        command.env("TERM", "xterm").env("LANG", "C.UTF-8").env_remove("NO_COLOR");
        command.stdin(theirs()).stdout(theirs()).stderr(theirs());
        let mut child = command.spawn().expect("a program");
        drop((command, theirs));
        let before = rustix::termios::tcgetattr(&ours).expect("modes").local_modes;
        let mut keyboard = File::from(ours);
        let mut screen = keyboard.try_clone().expect("a terminal");
        let text = Arc::new(Mutex::new(Vec::new()));
        let seen = text.clone();
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            // the last of the other side closes it, which is an error here
            while let Ok(read @ 1..) = screen.read(&mut piece) {
                seen.lock().expect("text").extend_from_slice(&piece[..read]);
            }
        });
        // blanks are not written where there was one
        until("what the check found", || {
            let seen = text.lock().expect("text").clone();
            let seen = String::from_utf8_lossy(&seen).into_owned();
            ["broken", "CRITICAL:", "Observed"].iter().all(|part| seen.contains(part)).then_some(())
        });
        keyboard.write_all(keys).expect("a key");
        until("its end", || child.try_wait().expect("a child"));
        reader.join().expect("a reader");
        let text = text.lock().expect("text").clone();
        let text = String::from_utf8_lossy(&text);
        assert!(child.wait().expect("a child").success(), "{text:?}");
        assert!(text.contains("\x1b[?1049h") && text.contains("\x1b[?1049l"), "{text:?}");
        assert!(before.contains(rustix::termios::LocalModes::ICANON), "a terminal to begin with");
    }
    // and of lines there is nothing drawn
    let text = shown(&alice, &["scout", "watch", "--lines", "--count", "1"], 80, &[("TERM", "xterm")]);
    assert!(text.contains("n1.example.net whole") && !text.contains('\x1b'), "{text:?}");
}

#[test]
fn colours_boxes_and_widths() {
    let network = Network::start();
    let long = "x".repeat(200);
    let facts = serde_json::json!({"role": "web", "long": long});
    let names = ["n1", "a-node-with-quite-a-long-name-in-this-network"];
    let _nodes = network.nodes(names.map(|name| node(name).facts(facts.clone())));
    let alice = network.alice();
    let commands: [&[&str]; 6] = [
        &["ping"],
        &["find"],
        &["find", "-v"],
        &["rpc", "rpcutil", "get_fact", "fact=role"],
        &["rpc", "rpcutil", "get_fact", "fact=role", "--table"],
        &["facts", "role", "--table"],
    ];
    for words in commands {
        // A terminal that is nothing but a typewriter.
        let text = shown(&alice, words, 80, &[("TERM", "dumb"), ("LANG", "C.UTF-8")]);
        assert!(!text.contains('\x1b'), "{words:?}: {text:?}");
        assert!(text.contains("n1.example.net") || text.contains("web"), "{words:?}: {text:?}");
        // One that knows no other letters.
        let text = shown(&alice, words, 80, &[("TERM", "xterm"), ("LANG", "C")]);
        assert!(text.is_ascii(), "{words:?}: {text:?}");
        // A narrow one: tables keep to it, sentences and single names are the terminal's to break.
        if words.contains(&"--table") {
            let text = shown(&alice, words, 40, &[("TERM", "dumb"), ("LANG", "C.UTF-8")]);
            let drawn = |line: &&str| line.starts_with(['│', '┌', '├', '└', '╭', '╰', '+', '|']);
            let wide = text.lines().find(|line| drawn(line) && line.chars().count() > 40);
            assert!(text.lines().any(|line| drawn(&line)) && wide.is_none(), "{words:?}: {wide:?}: {text}");
        }
    }
    // And one that can do more: the summary is coloured, unless somebody minds.
    let words = ["rpc", "rpcutil", "ping"];
    let colourful = [("TERM", "xterm-256color"), ("LANG", "C.UTF-8")];
    assert!(shown(&alice, &words, 80, &colourful).contains("\x1b[32m2 / 2"));
    let minded = [("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("NO_COLOR", "1")];
    assert!(!shown(&alice, &words, 80, &minded).contains("\x1b[32m"));
}
