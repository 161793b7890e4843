//! All that definitions of the original have.

use std::fs;

use serde_json::json;

use super::Place;
use crate::process::run;

/// An application with all that definitions of the original have, in their ways of writing it.
const WHOLE: &str = r##"
name: whole
description: All there is
version: 0.1.1
author: Ops <ops@example.net>
help_template: default
cheat:
  label: whole
  cheat: |
    # what there is
    whole --help

commands:
  - name: basics
    description: |
      Plain things

      With more to say
    type: parent
    aliases:
      - b
    commands:
      - name: greet
        description: Greets a person
        type: exec
        tags:
          - impact:ro
        arguments:
          - name: first
            description: A first name
            required: true
            validate: len(value) < 20
          - name: last
            description: A last name
        flags:
          - name: word
            description: How
            default: Hello
            env: WORD
            short: w
            enum:
              - Hello
              - Halo
              - Morning
        command: |
          {{ if .Arguments.last }}
            echo '{{ .Flags.word }} {{.Arguments.last}}, {{ require .Arguments.first "who?" }}'
          {{ else }}
            echo '{{ .Flags.word }} {{ require .Arguments.first "who?" }}'
          {{ end }}
      - name: truths
        description: Yes and no
        type: exec
        flags:
          - name: title
            description: With a title
            default: true
            bool: true
          - name: quiet
            description: Nothing at all
            bool: true
        shell: /bin/bash
        script: |
          if [ "{{ .Flags.quiet }}" == "false" ]
          then
            if [ "{{ .Flags.title }}" == "true" ]; then echo "== title"; fi
            echo "text"
          fi
      - name: asked
        description: Asks first
        type: exec
        cheat:
          label: asking
          cheat: "# unasked"
        confirm_prompt: Are you sure
        command: echo "was sure"
      - name: env
        description: A variable
        type: exec
        arguments:
          - name: value
            required: true
        environment:
          - APPVAR="{{.Arguments.value}}"
        script: |
          echo "it is ${APPVAR?}"
      - name: frame
        type: exec
        description: Functions for scripts
        script: |
          set -e

          . "{{ BashHelperPath }}"
          AB_ANNOUNCE_PREFIX="???"

          ab_announce Told by a function
      - name: secret
        description: A secret
        type: exec
        secrets:
          - name: token
            description: What it is for
            one_password:
              item: Demo
              field: credential
              vault: Demo
        environment:
          - "TOKEN={{ .Secrets.token }}"
        script: |
          echo "${TOKEN?}"
  - name: files
    description: Makes files
    type: scaffold
    arguments:
      - name: target
        required: true
    target: "{{ .Arguments.target }}"
    source:
      "a.go": |
        // {{ now | date "2006" }}
    post:
      - "*.go": "gofmt -w"
  - name: form
    type: form
    description: Asks for a configuration
    properties:
      - name: listen
        description: Where
        required: true
        default: 127.0.0.1:-1
      - name: accounts
        description: Accounts
        help: |
          Several lines
          of help
        type: object
        empty: absent
        properties:
          - name: users
            description: Users
            required: true
            type: array
            properties:
              - name: user
                description: Who
                required: true
              - name: password
                description: With what
                type: password
                required: true
      - name: leaf
        description: The other side
        required: true
        properties:
          - name: remotes
            description: All of them
            type: array
            required: true
            properties:
              - name: url
                description: Where
                enum:
                  - nats://one
                  - nats://two
              - name: credentials
                description: A file
                empty: absent
                validation: hasPrefix(value, '/')
      - name: thing
        description: A thing
        empty: absent
        conditional: Input.accounts != nil
  - name: include
    type: parent
    include_file: more.yaml
  - name: transforms
    description: What output becomes
    type: parent
    commands:
      - name: template
        type: exec
        description: Text of a document
        command: |
          echo '{"name": "James", "surname":"Bond"}'
        transform:
          template:
            contents: |
              Hello {{ .Input.name }} {{ .Input.surname | swapcase }}
      - name: bars
        description: Bars of a document
        type: exec
        flags:
          - name: caption
            description: What stands above
            default: Sizes
        transform:
          pipeline:
            - jq:
                query: |
                  .assets|map({(.name): .size})|reduce .[] as $a ({}; . + $a)
            - bar_graph:
                caption: "{{.Flags.caption}}"
                bytes: true
        command: |
          echo '{"assets": [{"name": "a", "size": 1024}, {"name": "b", "size": 4096}]}'
      - name: report
        type: exec
        description: Pages of a document
        command: |
          echo '{"name": "R", "assets":[{"name":"one","size":2048,"n":3},{"name":"two","size":10,"n":4}]}'
        transform:
          pipeline:
            - report:
                name: Report
                initial_query: assets
                header: |+
                  @||||||||||
                  data.name
                  -----------

                body: |
                  Name: @<<<<< Size: @B###### Number: @###
                  row.name, row.size,              row.n
                footer: |+2

                                            Total: @###
                  report.summary.n
            - write_file:
                file: report.txt
"##;

/// A parent of a file of its own.
const MORE: &str = r#"
name: more
description: Of another file
type: parent
commands:
  - name: one
    description: One
    type: exec
    command: echo one
"#;

#[test]
fn what_app_builder_takes_is_taken() {
    let place = Place::new(&[
        ("whole-app.yaml", WHOLE),
        ("more.yaml", MORE),
        ("include-app.yaml", "name: include\nversion: 0.2.2\ninclude_file: whole-app.yaml"),
    ]);
    place
        .run("choria", &["builder", "validate", "./whole-app.yaml"])
        .code(0)
        .says(&["is valid"])
        .complains(&["note: application: command files: commands of type scaffold are not done here"]);
    place.run("whole", &["--help"]).fine().says(&["Use 'whole cheat'", "basics      Plain things"]);
    place.run("whole", &[]).code(1).silent().complains(&["Usage: whole"]);
    place.run("whole", &["cheat", "asking"]).fine().says(&["# unasked"]);
    let said = |words: &[&str]| place.run("whole", words).code(0).stdout;
    assert_eq!(said(&["--version"]), "0.1.1\n");
    assert_eq!(said(&["basics", "greet", "x"]), "Hello x\n");
    assert_eq!(said(&["b", "greet", "x", "y", "-w", "Halo"]), "Halo y, x\n");
    let mut command = place.command("whole", &["basics", "greet", "x", "y"]);
    command.env("WORD", "Morning");
    assert_eq!(run(command, None).fine().stdout, "Morning y, x\n");
    place
        .run("whole", &["basics", "greet", "x", "-w", "Foo"])
        .code(1)
        .complains(&["not one of Hello, Halo, Morning"]);
    place
        .run("whole", &["basics", "greet", "xxxxxxxxxxxxxxxxxxxxxxxx"])
        .code(1)
        .complains(&["len(value) < 20"]);
    place.run("whole", &["basics", "greet"]).code(1).complains(&["first is required"]);
    assert_eq!(said(&["basics", "truths"]), "== title\ntext\n");
    assert_eq!(said(&["basics", "truths", "--no-title"]), "text\n");
    assert_eq!(said(&["basics", "truths", "--quiet"]), "");
    place.run("whole", &["basics", "asked"]).code(1).silent().complains(&["--no-prompt does it unasked"]);
    assert_eq!(said(&["basics", "asked", "--no-prompt"]), "was sure\n");
    assert_eq!(said(&["basics", "env", "a b"]), "it is \"a b\"\n");
    assert_eq!(said(&["basics", "frame"]), "???\n??? Told by a function\n???\n");
    place.run("whole", &["basics", "secret"]).code(1).silent().complains(&["secret token", "cannot run op"]);
    let mut command = place.command("whole", &["basics", "secret"]);
    command.env("BUILDER_DRY_RUN", "1");
    run(command, None).code(0).silent().complains(&["would run", "TOKEN"]);
    assert_eq!(said(&["include", "one"]), "one\n");
    assert_eq!(place.run("include", &["basics", "greet", "x"]).fine().stdout, "Hello x\n");
    assert_eq!(place.run("include", &["--version"]).fine().stdout, "0.2.2\n");
    assert_eq!(said(&["transforms", "template"]), "Hello James bOND\n");
    assert!(said(&["transforms", "bars"]).starts_with("Sizes\n\n  a: ▏ (1.0 KiB)\n  b: ██"));
    let report = said(&["transforms", "report"]);
    assert!(
        report.contains("Name: one    Size: 2.0 KiB  Number: 3") && report.contains("Total: 7"),
        "{report}"
    );
    assert_eq!(fs::read_to_string(place.path("report.txt")).expect("a file"), report);
    place.run("whole", &["files", "x"]).code(1).complains(&["type scaffold are not done here"]);
    // answers of the form, a line each
    let answers = "\ny\nUSERS\nuser1\nsecret\nn\nn\n1\n/x.creds\nn\n";
    let form = run(place.command("whole", &["form"]), Some(answers)).code(0).json();
    let wanted = json!({
        "listen": "127.0.0.1:-1", "USERS": {"users": [{"user": "user1", "password": "secret"}]},
        "leaf": {"remotes": [{"url": "nats://one", "credentials": "/x.creds"}]},
    });
    assert_eq!(form, wanted);
    run(place.command("whole", &["form"]), Some("\n")).code(1).silent().complains(&["standard input ended"]);
}

/// Settings are those beside the definition, or those that the environment names.
#[test]
fn settings_are_found() {
    let text = "name: quick\ndescription: d\nauthor: a\ncommands:\n  - name: say\n    description: d\n    type: exec\n    \
                command: '{{ default .Config.Program \"printf\" }} {{ .Arguments.x | escape }}'\n    \
                arguments: [{name: x, required: true}]\n";
    let place =
        Place::new(&[("quick-app.yaml", text), ("other.yaml", "Program: /usr/bin/printf other-%s\n")]);
    assert_eq!(place.run("quick", &["say", "it's"]).fine().stdout, "it's");
    fs::write(place.path("quick-cfg.yaml"), "Program: /bin/echo\n").expect("a file");
    assert_eq!(place.run("quick", &["say", "it's"]).fine().stdout, "it's\n");
    let with = |file: &str| {
        let mut command = place.command("quick", &["say", "x"]);
        command.env("BUILDER_CONFIG", place.path(file));
        run(command, None)
    };
    assert_eq!(with("other.yaml").fine().stdout, "other-x");
    with("none").code(1).complains(&["BUILDER_CONFIG: there is no file"]);
    place.run("choria", &["builder", "validate", "quick"]).code(1).complains(&["version is required"]);
}
