//! Programs that applications run, and definitions that are not run.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::{Place, demo};
use crate::process::run;

#[test]
fn programs_run_as_their_definition_says() {
    let place = demo(
        r#"  - {name: words, description: d, type: exec, command: 'printf "%s|" "{{ .Arguments.x }}" $HOME *', arguments: [{name: x}]}
  - {name: fails, description: d, type: exec, shell: /bin/sh -euc, script: exit 7}
  - {name: ends, description: d, type: exec, script: 'kill -9 $$'}
  - {name: gone, description: d, type: exec, command: /no/such/program}
  - {name: empty, description: d, type: exec, command: '{{ .Flags.x }}', flags: [{name: x}]}
  - name: again
    description: d
    type: exec
    script: 'echo "try $BUILDER_TRY" >>log; [ $BUILDER_TRY -ge 3 ] && echo done'
    backoff: {max_attempts: 5, min_sleep: 10ms, max_sleep: 20ms}
    transform: {template: {contents: "x"}}
  - {name: never, description: d, type: exec, script: 'echo x >>tries; exit 3', backoff: {max_attempts: 2, min_sleep: 10ms, max_sleep: 20ms}}
  - {name: there, description: d, type: exec, dir: '{{ AppDir }}/sub', command: pwd}
  - {name: helper, description: d, type: exec, no_helper: true, script: 'echo {{ BashHelperPath }}'}
  - {name: panics, description: d, type: exec, script: '. "{{ BashHelperPath }}"; ab_panic a b; echo never'}
  - {name: jq, description: d, type: exec, command: 'echo ''{{ .Arguments.x }}''', arguments: [{name: x}], transform: {jq: {query: .a}}}
  - {name: why, description: d, type: exec, script: 'echo ''{"error":"the reason"}''; exit 3', transform: {jq: {query: .error}}}
  - {name: spins, description: d, type: exec, command: echo 1, transform: {jq: {query: '[range(1e18)]|length'}}}
  - {name: deep, description: d, type: exec, command: echo 1, transform: {jq: {query: 'def f: 1 + f; f'}}}
  - {name: writes, description: d, type: exec, command: echo 1, transform: {write_file: {file: out.txt, message: 'Wrote {{ .Target }}'}}}
  - {name: big, description: d, type: exec, command: head -c 20000000 /dev/zero, transform: {to_json: {}}}
"#,
    );
    fs::create_dir(place.path("sub")).expect("a directory");
    // no shell sees a command
    assert_eq!(place.run("demo", &["words", "a b;c"]).fine().stdout, "a b;c|$HOME|*|");
    place.run("demo", &["fails"]).code(7).complains(&["/bin/sh ended with exit code 7"]);
    place.run("demo", &["ends"]).code(137).complains(&["was ended by signal 9"]);
    place.run("demo", &["gone"]).code(1).complains(&["demo: cannot run /no/such/program"]);
    place.run("demo", &["empty"]).code(1).complains(&["its command is empty"]);
    fs::remove_file(place.path("log")).unwrap_or_default();
    place.run("demo", &["again"]).code(1).complains(&["attempt 1 of 5", "attempt 2 of 5", "takes JSON"]);
    assert_eq!(fs::read_to_string(place.path("log")).expect("a log"), "try 1\ntry 2\ntry 3\n");
    place.run("demo", &["never"]).code(3).complains(&["ended with exit code 3 at attempt 2"]);
    assert_eq!(fs::read_to_string(place.path("tries")).expect("a log"), "x\nx\n");
    place.run("demo", &["there"]).fine().says(&["/sub\n"]);
    place.run("demo", &["helper"]).code(1).complains(&["BashHelperPath is nothing here"]);
    let panicked = place.run("demo", &["panics"]).code(1);
    assert_eq!(panicked.stdout, "!!!\n!!! a b\n!!!\n");
    assert_eq!(place.run("demo", &["jq", "{\"a\":\"b\"}"]).fine().stdout, "b\n");
    place.run("demo", &["jq", "{"]).code(1).complains(&["this is none"]);
    place
        .run("demo", &["why"])
        .code(3)
        .silent()
        .complains(&["ended with exit code 3", r#"{"error":"the reason"}"#]);
    place.run("demo", &["spins"]).code(1).complains(&["the query takes more than"]);
    place.run("demo", &["deep"]).code(1).complains(&["the query takes more than"]);
    assert_eq!(place.run("demo", &["writes"]).fine().stdout, "Wrote out.txt\n");
    place.run("demo", &["writes"]).code(1).complains(&["is there already"]);
    place.run("demo", &["big"]).code(1).complains(&["too many to be transformed"]);
}

#[test]
fn definitions_of_others_are_not_run_by_accident() {
    let commands = "  - {name: a, description: d, type: exec, command: echo hello}\n";
    let place = demo(commands);
    assert_eq!(place.run("demo", &["a"]).fine().stdout, "hello\n");
    fs::set_permissions(place.path("demo-app.yaml"), fs::Permissions::from_mode(0o646)).expect("a mode");
    place
        .run("demo", &["a"])
        .code(1)
        .silent()
        .complains(&["demo-app.yaml is not used", "there is no demo-app.yaml in"]);
    // by its path it is meant
    assert_eq!(place.run("choria", &["builder", "run", "./demo-app.yaml", "a"]).fine().stdout, "hello\n");
    // and where applications are kept it is found from everywhere
    fs::create_dir_all(place.path(".config/choria/builder")).expect("a directory");
    fs::rename(place.path("demo-app.yaml"), place.path(".config/choria/builder/demo-app.yaml"))
        .expect("a file");
    assert_eq!(place.run("demo", &["a"]).fine().stdout, "hello\n");
    place.run("choria", &["builder", "run", "demo", "a"]).fine();
    place
        .run("choria", &["builder", "run", "deno"])
        .code(1)
        .complains(&["no application 'deno', did you mean demo?"]);
    let list = place.run("choria", &["builder", "list", "--json"]).fine().json();
    assert_eq!((&list[0]["name"], &list[0]["description"]), (&json!("demo"), &json!("d")));
    place.run("choria", &["builder", "info"]).fine().says(&[
        ".config/choria/builder",
        "/etc/appbuilder",
        "BUILDER_APP",
    ]);
    let mut elsewhere = place.command("demo", &["a"]);
    elsewhere.env("BUILDER_APP", place.path("none.yaml"));
    run(elsewhere, None).code(1).complains(&["BUILDER_APP: there is no file"]);
    place.run("other", &["a"]).code(1).complains(&["this program is called 'other'", "no other-app.yaml"]);
}

#[test]
fn mistakes_are_told_with_their_line() {
    let place = demo("  - {name: a, description: d, type: exec, confim: x, command: echo 1}\n");
    place
        .run("choria", &["builder", "validate", "./demo-app.yaml"])
        .code(1)
        .complains(&["./demo-app.yaml:6:43: application: command a: confim is not known"]);
    place.run("demo", &["a"]).code(0).says(&["1"]).complains(&["6:43: warning: "]);
    let place =
        demo("  - {name: a, description: d, type: exec, command: '{{ nosuch }}'}\n  - {name: b, type: x}\n");
    let told = place.run("demo", &["a"]).code(1).silent();
    let told =
        told.complains(&["demo-app.yaml:6:43: ", "no function nosuch", "demo-app.yaml:7:", "type is x"]);
    told.complains(&["is no application that could run"]);
    let told = place.run("choria", &["builder", "validate", "--json", "demo"]).code(1).json();
    assert_eq!(
        (&told["mistakes"][0]["line"], &told["mistakes"][0]["column"]),
        (&json!(6), &json!(43)),
        "{told}"
    );
    let place = Place::new(&[("demo-app.yaml", "include_file: demo-app.yaml\n")]);
    place.run("demo", &[]).code(1).complains(&["that file includes this one"]);
    place.run("choria", &["builder", "new", "Demo"]).code(1).complains(&["is no name for a command"]);
    place.run("choria", &["builder", "new", "x1"]).fine();
    place.run("choria", &["builder", "new", "x1"]).code(1).complains(&["is there already"]);
}

/// What says what is run, and what is written, is the person's alone.
#[test]
fn files_of_applications_are_the_persons_own() {
    let place = demo(
        r#"  - {name: shown, description: d, type: exec, command: 'echo target={{ .Config.target }}'}
  - {name: writes, description: d, type: exec, command: echo secret, transform: {write_file: {file: out.txt, replace: true}}}
"#,
    );
    let settings = place.path("demo-cfg.yaml");
    fs::write(&settings, "target: here\n").expect("a file");
    assert_eq!(place.run("demo", &["shown"]).fine().stdout, "target=here\n");
    fs::set_permissions(&settings, fs::Permissions::from_mode(0o666)).expect("a mode");
    let ran = place.run("demo", &["shown"]).code(0);
    assert!(!ran.stdout.contains("target=here"), "{ran:?}");
    ran.complains(&["demo-cfg.yaml is not used"]);

    let mode = |name: &str| fs::metadata(place.path(name)).expect("a file").permissions().mode() & 0o777;
    fs::write(place.path("out.txt"), "before").expect("a file");
    fs::set_permissions(place.path("out.txt"), fs::Permissions::from_mode(0o600)).expect("a mode");
    place.run("demo", &["writes"]).code(0);
    assert_eq!(
        (mode("out.txt"), fs::read_to_string(place.path("out.txt")).expect("a file")),
        (0o600, "secret\n".to_owned())
    );

    // a name that a shell would take for more than a word is nobody's
    fs::copy(place.path("demo-app.yaml"), place.path("d$(id)-app.yaml")).expect("a file");
    let listed = place.run("choria", &["completion", "--list", "line", "builder", "run", "d"]);
    assert!(!listed.stdout.contains("$("), "{listed:?}");
}
