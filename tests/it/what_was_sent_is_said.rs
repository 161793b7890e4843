//! Exit code 1 says that no node was asked: that has to be true whenever it is
//! given, and whoever may ask has to hear.

use std::fs::{self, File};
use std::os::unix::fs::FileTypeExt;

use rustix::process::Signal;

use crate::network::{Network, node};
use crate::process::run;

#[test]
fn privileged_names_hear_what_others_are_answered() {
    let network = Network::start();
    let nodes = network.nodes([node("n1")]);
    let admin = network.caller("admin.privileged.mcollective");
    for (round, words) in [
        &["rpc", "rpcutil", "ping", "-I", "n1.example.net", "--senders"][..],
        &["rpc", "rpcutil", "ping", "--senders"],
        &["rpc", "rpcutil", "ping", "--workers", "3", "--senders"],
    ]
    .into_iter()
    .enumerate()
    {
        let mut command = admin.command(words);
        command.env("MCOLLECTIVE_CERTNAME", "alice.mcollective");
        assert_eq!(run(command, None).fine().stdout, "n1.example.net\n");
        let audit = nodes[0].audit();
        assert_eq!(audit.len(), round + 1);
        assert!(audit[round].to_string().contains("\"choria=alice.mcollective\""), "{audit:?}");
    }
    // Who is not privileged hears nothing of others, and asks nothing for them.
    let bob = network.caller("bob.mcollective");
    let mut command = bob.command(&["rpc", "rpcutil", "ping", "-I", "n1.example.net"]);
    command.env("MCOLLECTIVE_CERTNAME", "alice.mcollective");
    run(command, None).code(1).silent().complains(&[
        "the broker does not let choria=alice.mcollective listen to mcollective.reply.",
        "the name of this caller is from MCOLLECTIVE_CERTNAME",
    ]);
    assert_eq!(nodes[0].audit().len(), 3);
}

#[test]
fn output_that_cannot_be_written_is_no_refusal() {
    let network = Network::start();
    let nodes = network.nodes([node("n1")]);
    let alice = network.alice();
    assert!(fs::metadata("/dev/full").expect("Linux").file_type().is_char_device());
    let words = ["rpc", "rpcutil", "ping", "-I", "n1.example.net"];
    for (number, form) in [&[][..], &["--json"], &["--table"], &["--senders"]].into_iter().enumerate() {
        let mut command = alice.command(&[&words[..], form].concat());
        command.stdout(File::options().write(true).open("/dev/full").expect("a device"));
        run(command, None).code(5).complains(&["the request was sent: ", "standard output"]);
        let ran = alice.run(&[&words[..], form, &["-o", "/dev/full"]].concat()).code(5);
        ran.silent().complains(&["the request was sent: cannot write /dev/full: "]);
        assert_eq!(nodes[0].audit().len(), 2 * (number + 1), "it was sent");
    }
    let mut command = alice.command(&["facts", "x", "-I", "n1.example.net"]);
    command.stdout(File::options().write(true).open("/dev/full").expect("a device"));
    run(command, None).code(5).complains(&["the request was sent: "]);
}

#[test]
fn results_of_before_stay_until_there_are_new_ones() {
    let network = Network::start();
    let mut nodes = network.nodes([node("n1")]);
    let alice = network.alice();
    let file = network.file("results.json", "the last results");
    let name = file.to_str().expect("text").to_owned();
    let read = || fs::read_to_string(&file).expect("a file");
    let asked = ["rpc", "rpcutil", "ping", "--json", "-o", &name];
    alice.run(&[&asked[..], &["-F", "country=atlantis"]].concat()).code(1);
    assert_eq!(read(), "the last results");
    alice.run(&["rpc", "rpcutil", "ping", "-o", "/nonexistent/x"]).code(1).complains(&["/nonexistent/x"]);
    alice.run(&asked).fine().silent();
    assert!(read().contains("\"sender\": \"n1.example.net\""), "{}", read());
    // What is known of a request that a person ends is kept.
    nodes[0].log().signal(Signal::STOP);
    let slow = network.caller_with("alice.mcollective", "discovery_timeout = 600\n");
    let ended = slow.start(&[&asked[..], &["-I", "n1.example.net"]].concat());
    crate::process::until("a request under way", || {
        let beside = fs::read_dir(network.path("")).expect("a directory").flatten();
        beside.into_iter().any(|e| e.file_name().to_string_lossy().starts_with(".choria-")).then_some(())
    });
    std::thread::sleep(std::time::Duration::from_millis(300));
    let mut ended = ended;
    ended.signal(Signal::INT);
    assert_eq!(ended.ended().code(), Some(130), "{:?}", ended.lines());
    assert!(read().contains("\"no_responses\""), "{}", read());
    nodes[0].log().signal(Signal::CONT);
    nodes[0].kill();
}

#[test]
fn failures_are_told_in_every_form() {
    let network = Network::start();
    let deny = "policy default deny\n";
    let _nodes = network.nodes([node("n1"), node("n2").policy("rpcutil", deny)]);
    let alice = network.alice();
    let both = ["-I", "n1.example.net", "-I", "n2.example.net", "-I", "gone.example.net"];
    for form in [&["--table"][..], &["--senders"], &["--json"], &["--jsonl"], &["--display", "ok"]] {
        let ran = alice.run(&[&["rpc", "rpcutil", "ping"], form, &both[..]].concat()).code(2);
        ran.complains(&["choria: n2.example.net: Request Aborted: You are not authorized"]);
    }
    for form in [&["--table"][..], &["--senders"], &["--json"]] {
        let ran = alice.run(&[&["rpc", "rpcutil", "ping"], form, &both[..]].concat()).code(2);
        ran.complains(&["choria: 1 ok, 1 failed (1 denied), 1 silent (1 not connected)\n"]);
    }
    let ran = alice.run(&[&["rpc", "rpcutil", "ping"], &both[..]].concat()).code(2);
    ran.says(&[
        "Finished processing 2 / 3 hosts",
        "\n1 ok, 1 failed (1 denied), 1 silent (1 not connected)\n",
    ]);
    for form in [&["--table"][..], &["--json"], &[]] {
        let ran = alice.run(&[&["facts", "x"], form, &both[..]].concat()).code(2);
        ran.complains(&["choria: n2.example.net: Request Aborted: You are not authorized"]);
    }
}

#[test]
fn who_was_not_asked_is_not_blamed() {
    let network = Network::start();
    let nodes = network.nodes([node("n1")]);
    let alice = network.alice();
    let names = ["-I", "n1.example.net", "-I", "n2.example.net", "-I", "n3.example.net"];
    let batch = ["rpc", "rpcutil", "ping", "--batch", "1", "--batch-sleep", "600"];
    let mut ended = alice.start(&[&batch[..], &names[..]].concat());
    ended.says(&["n1.example.net"]);
    ended.signal(Signal::INT);
    assert_eq!(ended.ended().code(), Some(130), "{:?}", ended.lines());
    ended.says(&["Finished processing 1 / 3 hosts"]);
    ended.says(&["1 ok, 0 failed, 0 silent, 2 not asked, interrupted"]);
    assert!(ended.matching(0, &["No Responses"]).is_empty(), "{:?}", ended.lines());
    assert_eq!(nodes[0].audit().len(), 1);
}
