//! Our one verdict beside the two of the original.

use super::compile;
use crate::core::machine::tests::vectors;

/// What runs there and is refused here, each with the reason why.
const REFUSED: [(&str, &str); 11] = [
    ("metric_small", "too small"),
    ("kv_badbucket", "no name of a bucket"),
    ("plugins_badkey", "64 hex digits"),
    ("plugins_shortkey", "64 hex digits"),
    ("plugins_manage_small", "too small"),
    ("plugins_nointerval", "interval is required"),
    ("ccm_both_sources", "is not part of"),
    ("nagios_unknown_builtin", "no builtin"),
    ("expr_bad", "does not compile"),
    ("gossip_gt", "wildcard"),
    ("gossip_reg_port_big", "65535"),
];
/// The same, for commands and addresses that could never work.
const NEVER_WORKS: [(&str, &str); 3] =
    [("arch_badsource", "http"), ("arch_ftp", "http"), ("metric_nointerval", "interval")];
/// What is refused there and runs here.
const ACCEPTED: [(&str, &str); 7] = [
    ("timer_days", "one parser for all lengths of time"),
    ("exec_timeout_bad", "one parser for all lengths of time"),
    ("sched_days", "one parser for all lengths of time"),
    ("nagios_lastmessage_days", "one parser for all lengths of time"),
    ("metric_days", "one parser for all lengths of time"),
    ("sched_splay_noduration", "the default of a minute counts for the splay too"),
    ("file_mode_string_0o", "digits are octal"),
];

#[test]
fn captured_definitions_have_the_verdict_of_the_server() {
    let captured = vectors("machine-definitions.json");
    let mut wrong = Vec::new();
    for case in captured["cases"].as_array().unwrap() {
        let (name, text) = (case["case"].as_str().unwrap(), case["machine_yaml"].as_str().unwrap());
        let ours = compile(text);
        let said: Vec<String> = ours.as_ref().err().into_iter().flatten().map(ToString::to_string).collect();
        let differs = REFUSED.iter().chain(&NEVER_WORKS).find(|(known, _)| *known == name);
        let accepted = ACCEPTED.iter().any(|(known, _)| *known == name);
        let runs = case["server"] == "runs";
        let as_expected = match differs {
            Some((_, reason)) => runs && said.iter().any(|line| line.contains(reason)),
            None => (runs != accepted) == ours.is_ok(),
        };
        if !as_expected {
            wrong.push(format!("{name}: {} {:?} {said:?}", case["server"], case["error"].as_str()));
        }
        let most = if name == "yaml_empty" { 5 } else { 4 };
        assert!(said.len() <= most, "one line a mistake: {name}: {said:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn mistakes_are_said_with_their_place() {
    let text = "name: demo\nversion: 1.0.0\ninitial_state: a\ntransitions:\n  - {name: go, from: [a], destination: b}\n\
                watchers:\n  - name: w\n    type: exec\n    interval: 10\n    timeout: 5s\n    state_match: [c]\n    \
                properties:\n      comand: /bin/true\n";
    let errors: Vec<String> = compile(text).err().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "line 9, column 5: watcher w: interval is wrong: 10 has no unit, write 10s for seconds",
            "line 11, column 5: watcher w: state_match names the state c, which no transition leads from or to",
            "line 13, column 7: watcher w: command is required",
        ]
    );
}

#[test]
fn what_means_nothing_is_warned_of() {
    let text = "name: demo\nversion: 1.0.0\ninitial_state: a\nnosuch: 1\ntransitions:\n  - {name: go, from: [a], \
                destination: b}\nwatchers:\n  - name: w\n    type: exec\n    timeout: 5s\n    properties: {command: \
                /bin/true, timout: 10, timeout: 10}\n";
    let warnings: Vec<String> =
        compile(text).ok().unwrap().warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 4, "{warnings:#?}");
    for (line, text) in [
        (&warnings[0], "nosuch is not known"),
        (&warnings[1], "timeout is not known and means nothing, it belongs below properties"),
        (&warnings[2], "timout is not known and means nothing, did you mean timeout?"),
        (&warnings[3], "nanoseconds: write 10s for seconds"),
    ] {
        assert!(line.contains(text), "{line}");
    }
    let of_the_original = text.replace("timeout: 10}", "timeout: 5000000000}");
    let warnings = compile(&of_the_original).ok().unwrap().warnings;
    assert!(warnings[3].to_string().contains("nanoseconds: write 5s"), "{warnings:?}");
}

#[test]
fn the_drawing_is_that_of_the_original() {
    let machines = vectors("machine-events.json");
    let mut seen = 0;
    for run in vectors("machine-cli.json")["runs"].as_array().unwrap() {
        let Some(path) =
            run["command"].as_str().unwrap().strip_prefix("choria machine graph /etc/choria/machine/")
        else {
            continue;
        };
        let known = machines["machines"]
            .as_array()
            .unwrap()
            .iter()
            .find(|machine| machine["machine"] == path)
            .unwrap();
        let definition = compile(known["machine_yaml"].as_str().unwrap()).ok().unwrap();
        assert_eq!(definition.graph(), run["stdout"].as_str().unwrap());
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[test]
fn no_text_ends_the_compiler() {
    let base = "name: n\nversion: 1.0.0\ninitial_state: a\ntransitions:\n  - {name: go, from: [a], destination: b}\nwatchers:\n  - name: w\n    type: ";
    bolero::check!().with_iterations(3000).with_type::<(String, u8)>().for_each(|(text, kind)| {
        let _ = compile(text);
        let kinds = super::super::watchers::names();
        let kind = kinds[usize::from(*kind) % kinds.len()];
        let _ = compile(&format!("{base}{kind}\n    properties: {{{text}}}\n"));
    });
}
