//! What is wrong with definitions, what is odd, and what they are made of.

use super::super::kinds::Kind;
use super::super::transforms::Transform;
use super::super::{Source, compile};
use super::{Files, HEAD, compiled, definition};

#[test]
fn mistakes_are_found_with_their_place() {
    for (commands, mistake) in [
        (
            "  - {name: a, description: d, type: exec}",
            ":6:5: application: command a: command or script is required",
        ),
        ("  - {name: a, description: d, type: exce, command: x}", "type is exce, did you mean exec?"),
        ("  - {name: a, description: d}", "type is required"),
        ("  - {description: d, type: exec, command: x}", "name is required"),
        ("  - {name: a b, description: d, type: exec, command: x}", "which nobody can type"),
        ("  - {name: a, description: d, type: parent}", "a parent needs commands"),
        ("  - {name: a, description: d, type: exec, command: '{{ nosuch }}'}", "there is no function nosuch"),
        ("  - {name: a, description: d, type: exec, command: '{{ if }}'}", "cannot be used"),
        ("  - {name: a, description: d, type: exec, command: x, script: y}", "exclude each other"),
        ("  - {name: a, description: d, type: exec, command: x, environment: [A]}", "NAME=VALUE"),
        (
            "  - {name: a, description: d, type: exec, command: x, backoff: {steps: 3}}",
            "max_attempts is required",
        ),
        ("  - {name: a, description: d, type: exec, command: x, backoff: {max_attempts: 1}}", "2 at least"),
        (
            "  - {name: a, description: d, type: exec, command: x, flags: [{name: f, short: xy}]}",
            "one letter",
        ),
        (
            "  - {name: a, description: d, type: exec, command: x, flags: [{name: f}, {name: f}]}",
            "another flag --f",
        ),
        (
            "  - {name: a, description: d, type: exec, command: x, flags: [{name: help}]}",
            "another flag --help",
        ),
        (
            "  - {name: a, description: d, type: exec, command: x, flags: [{name: f, type: number}]}",
            "known are string",
        ),
        (
            "  - {name: a, description: d, type: exec, command: x, flags: [{name: f, type: int, enum: [a]}]}",
            "exclude",
        ),
        (
            "  - {name: a, description: d, type: exec, command: x, flags: [{name: f, type: int8, default: 200}]}",
            "8 bits",
        ),
        (
            "  - {name: a, description: d, type: exec, command: x, flags: [{name: f, enum: [x], default: y}]}",
            "not one of x",
        ),
        (
            "  - {name: a, description: d, type: exec, command: x, flags: [{name: f, validate: 'nosuch(value)'}]}",
            "nosuch",
        ),
        (
            "  - {name: a, description: d, type: exec, command: x, arguments: [{name: o}, {name: r, required: true}]}",
            "stands behind",
        ),
        ("  - {name: a, description: d, type: exec, command: x, transform: {}}", "has to be one of"),
        (
            "  - {name: a, description: d, type: exec, command: x, transform: {jq: {query: '('}}}",
            "cannot be read",
        ),
        (
            "  - {name: a, description: d, type: exec, command: x, transform: {to_json: {}, to_yaml: {}}}",
            "exclude",
        ),
        ("  - {name: a, description: d, type: exec, command: x, transform: {pipeline: []}}", "has no steps"),
        (
            "  - {name: a, description: d, type: exec, command: x, transform: {template: {}}}",
            "contents or source",
        ),
        (
            "  - {name: a, description: d, type: exec, command: x, secrets: [{name: s}]}",
            "one_password is required",
        ),
        ("  - {name: a, description: d, type: rpc}", "request is required"),
        ("  - {name: a, description: d, type: rpc, request: {agent: x}}", "action is required"),
        (
            "  - {name: a, description: d, type: rpc, request: {agent: x, action: y}, output_format: xml}",
            "senders, json",
        ),
        (
            "  - {name: a, description: d, type: rpc, request: {agent: x, action: y}, batch: 1, batch_flags: true}",
            "exclude",
        ),
        ("  - {name: a, description: d, type: kv, action: get, bucket: B}", "key is required"),
        ("  - {name: a, description: d, type: kv, action: set, bucket: B, key: k}", "get, put, del"),
        ("  - {name: a, description: d, type: kv, action: put, bucket: B, key: k}", "value is required"),
        ("  - {name: a, description: d, type: form}", "properties are required"),
        (
            "  - {name: a, description: d, type: form, properties: [{name: p, type: date}]}",
            "known are string",
        ),
        (
            "  - {name: a, description: d, type: form, properties: [{name: p, conditional: 'value == 1'}]}",
            "nobody knows",
        ),
        ("  - {name: a, description: d, type: task}", "task is required"),
        ("  - {name: a, description: d, type: playbook}", "playbook is required"),
        (
            "  - {name: a, description: d, type: exec, command: x}\n  - {name: b, aliases: [a], description: d, type: exec, command: x}",
            ":7:5: application: command b: there is another",
        ),
        ("  - [a]", "a mapping is expected"),
        ("  x: 1", "a list is expected"),
    ] {
        let told = compiled(&format!("{HEAD}{commands}\n")).map(|_| ()).expect_err(commands);
        assert!(told.contains(mistake), "{commands}\n{told}");
        assert!(told.starts_with("demo-app.yaml:"), "{told}");
    }
    for (text, mistake) in [
        ("", "no commands are defined"),
        ("[1]", "an application is a mapping"),
        ("a: [", "not YAML"),
        ("commands: []\nhelp_template: wide", "help_template"),
    ] {
        let told = compiled(text).map(|_| ()).expect_err(text);
        assert!(told.contains(mistake), "{text}: {told}");
    }
}

#[test]
fn what_is_odd_or_missing_does_not_keep_it_from_running() {
    let text = "commands:\n  - {name: a, type: exec, command: x, confim_prompt: y, flags: [{name: f, validat: z}]}\n";
    let made = compiled(text).unwrap();
    let odd: Vec<String> = made.definition.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(odd.len(), 2, "{odd:?}");
    assert!(
        odd.iter().any(|w| w.contains("confim_prompt is not known") && w.contains("confirm_prompt")),
        "{odd:?}"
    );
    assert!(odd.iter().any(|w| w.starts_with("demo-app.yaml:2:") && w.contains("validat is")), "{odd:?}");
    let missing: Vec<String> = made.incomplete.iter().map(|f| f.text.clone()).collect();
    assert_eq!(missing.len(), 5, "{missing:?}");
    // of tasks nothing is missing
    let made = compile("ABTaskFile", text, &mut Files::default(), true).unwrap();
    assert!(made.incomplete.is_empty());
    for version in ["1.2", "1.2.3.4", "01.2.3", "x", "1.2.3-"] {
        let text = HEAD.replace("1.2.3", version) + "  - {name: a, description: d, type: exec, command: x}\n";
        assert_eq!(compiled(&text).unwrap().incomplete.len(), 1, "{version}");
    }
}

#[test]
fn what_is_not_done_here_is_named() {
    let made = definition(
        "  - {name: a, description: d, type: scaffold, target: x, source: {y: z}, post: [{'*.go': x}]}\n  \
         - {name: b, description: d, type: ccm_manifest, manifest: x}\n  \
         - {name: c, description: d, type: exec, command: x, transform: {pipeline: [{to_json: {}}, {scaffold: {target: x}}]}}\n",
    );
    let told: Vec<&str> = made.refused.iter().map(|f| f.text.as_str()).collect();
    assert!(told[0].contains("type scaffold") && told[1].contains("type ccm_manifest"), "{told:?}");
    assert!(told[2].contains("transforms by scaffold"), "{told:?}");
    assert!(matches!(made.commands[0].kind, Kind::Refused("scaffold")));
    assert_eq!(made.commands[2].transform.as_ref().and_then(Transform::refused), Some("scaffold"));
}

#[test]
fn files_are_included_and_not_for_ever() {
    let files = |pairs: &[(&'static str, &str)]| {
        Files(pairs.iter().map(|(name, text)| (*name, (*text).to_owned())).collect())
    };
    let go = "name: go\ndescription: from go\ntype: parent\ncommands:\n  - {name: x, description: d, type: exec, command: y}\n";
    let mut source = files(&[("go.yaml", go)]);
    let text = format!("{HEAD}  - {{name: inc, type: parent, include_file: go.yaml}}\n");
    let made = compile("demo-app.yaml", &text, &mut source, false).unwrap();
    assert!(
        made.definition.warnings.is_empty() && made.incomplete.is_empty(),
        "{:?}",
        made.definition.warnings
    );
    let inc = &made.definition.commands[0];
    assert_eq!((inc.name.as_str(), inc.description.as_str(), inc.commands.len()), ("inc", "from go", 1));

    // a whole application, of which four things are said anew
    let whole = format!("{HEAD}  - {{name: a, description: d, type: exec, command: x}}\n");
    let mut source = files(&[("whole.yaml", &whole)]);
    let made = compile("i.yaml", "name: other\ninclude_file: whole.yaml\n", &mut source, false).unwrap();
    assert_eq!((made.definition.name.as_str(), made.definition.author.as_str()), ("other", "a"));

    for (pairs, mistake) in [
        (
            &[("a.yaml", "include_file: b.yaml\n"), ("b.yaml", "include_file: a.yaml\n")][..],
            "includes this one",
        ),
        (
            &[(
                "a.yaml",
                "type: parent\nname: a\ncommands: [{name: b, type: parent, include_file: a.yaml}]\n",
            )],
            "includes this one",
        ),
        (&[("a.yaml", "x: [")], "a.yaml:"),
        (&[], "there is none"),
    ] {
        let mut source = files(pairs);
        let text = match pairs.iter().any(|(_, text)| text.contains("parent")) {
            true => format!("{HEAD}  - {{name: a, type: parent, include_file: a.yaml}}\n"),
            false => "include_file: a.yaml\n".to_owned(),
        };
        let told = compile("demo-app.yaml", &text, &mut source, false).map(|_| ()).unwrap_err();
        let told: Vec<String> = told.iter().map(ToString::to_string).collect();
        assert!(told.join("\n").contains(mistake), "{pairs:?}: {told:?}");
    }
    // one file after the other, without end
    struct Endless(usize);
    impl Source for Endless {
        fn read(&mut self, _: &str, _: &str) -> Result<(String, String), String> {
            self.0 += 1;
            Ok((format!("{}.yaml", self.0), "include_file: next.yaml\n".to_owned()))
        }
    }
    let told = compile("demo-app.yaml", "include_file: x\n", &mut Endless(0), false).map(|_| ()).unwrap_err();
    assert!(told[0].text.contains("within one another"), "{told:?}");
}
