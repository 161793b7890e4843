//! What people type, and help.

use serde_json::json;

use super::super::kinds::OwnFlag;
use super::super::line::{self, Line, Run};
use super::super::{Definition, help};
use super::{HEAD, Still, compiled, definition};

const LINES: &str = "  - name: say
    description: Says something
    aliases: [s]
    type: exec
    command: x
    confirm_prompt: Sure?
    arguments:
      - {name: what, required: true, validate: len(value) < 9}
      - {name: more, default: m}
    flags:
      - {name: greeting, short: g, enum: [Hello, Halo, Morning], default: Hello, env: GREETING}
      - {name: loud, bool: true, short: l}
      - {name: nice, bool: true, default: true}
      - {name: verbose, type: counter, short: v}
      - {name: small, type: int8}
      - {name: big, type: uint64}
      - {name: share, type: float}
      - {name: file, type: existing_file}
      - {name: dir, type: existing_dir}
  - name: group
    description: Several
    type: parent
    commands:
      - name: find
        description: Finds
        type: discover
        std_filters: true
";

pub fn filters() -> Vec<OwnFlag> {
    vec![
        OwnFlag { long: "wf".into(), short: Some('F'), value: Some("fact".into()), help: "facts".into() },
        OwnFlag { long: "fixed-window".into(), short: None, value: None, help: "wait".into() },
    ]
}

fn read<'d>(definition: &'d Definition, words: &str) -> Result<Run<'d>, String> {
    let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
    match line::read(definition, "demo", &words, &filters(), &Still) {
        Ok(Line::Run(run)) => Ok(*run),
        Ok(other) => Err(format!("{other:?}").split_whitespace().next().unwrap().to_owned()),
        Err(e) => Err(e.to_string()),
    }
}

#[test]
fn lines_are_read_as_people_write_them() {
    let definition = definition(LINES);
    for (words, flag, value) in [
        ("say x", "greeting", json!("Morning")),
        ("say x -g Halo", "greeting", json!("Halo")),
        ("say x -gHalo", "greeting", json!("Halo")),
        ("s --greeting=Halo x", "greeting", json!("Halo")),
        ("say --greeting Hello x --greeting Halo", "greeting", json!("Halo")),
        ("say x", "loud", json!(false)),
        ("say x -l", "loud", json!(true)),
        ("say x --loud=false", "loud", json!(false)),
        ("say x", "nice", json!(true)),
        ("say x --no-nice", "nice", json!(false)),
        ("say x -vvv", "verbose", json!(3)),
        ("say x -vlv --verbose", "verbose", json!(3)),
        ("say x --small -128", "small", json!(-128)),
        ("say x", "small", json!(0)),
        ("say x --big 18446744073709551615", "big", json!(u64::MAX)),
        ("say x --share 1.5", "share", json!(1.5)),
        ("say x --file /there", "file", json!("/there")),
        ("say x --dir /dir", "dir", json!("/dir")),
    ] {
        let run = read(&definition, words).unwrap_or_else(|e| panic!("{words}: {e}"));
        assert_eq!(run.flags[flag], value, "{words}");
        assert_eq!((&run.arguments["what"], &run.arguments["more"]), (&json!("x"), &json!("m")), "{words}");
    }
    assert_eq!(
        read(&definition, "say -- -x --y").unwrap().arguments,
        *json!({"what": "-x", "more": "--y"}).as_object().unwrap()
    );
    assert_eq!(read(&definition, "say -5").unwrap().arguments["what"], "-5");
    assert!(
        read(&definition, "say x").unwrap().prompt && !read(&definition, "say x --no-prompt").unwrap().prompt
    );
    let found = read(&definition, "group find -F a=b -Fc=d --fixed-window --json").unwrap();
    assert_eq!(found.own["wf"], ["a=b", "c=d"]);
    assert!(found.is_set("fixed-window") && found.is_set("json") && found.path.len() == 2);

    for (words, told) in [
        ("say", "what is required"),
        ("say x y z", "'z' is one word too many"),
        ("say tooolonggg", "does not meet len(value) < 9"),
        ("say x -g Foo", "not one of Hello, Halo, Morning"),
        ("say x --greting Halo", "did you mean greeting, see 'demo say --help'"),
        ("say x --greeting", "needs a value"),
        ("say x -x", "there is no flag -x"),
        ("say x --no-loud", "there is no flag --no-loud"),
        ("say x --loud=5", "takes no value"),
        ("say x --small 128", "whole number of 8 bits"),
        ("say x --big -1", "not below zero"),
        ("say x --share much", "a number"),
        ("say x --file /gone", "there is no file /gone"),
        ("say x --dir /there", "there is no directory"),
        ("sya x", "there is no command 'sya', did you mean say"),
        ("group fnd", "did you mean find, see 'demo group --help'"),
        ("say x -F a=b", "there is no flag -F"),
        ("group", "Help"),
        ("", "Help"),
        ("--version", "Version"),
        ("say --help", "Help"),
        ("help say", "Help"),
        ("help nosuch", "there is no command 'nosuch'"),
    ] {
        let read = read(&definition, words).map(|run| run.arguments.clone()).expect_err(words);
        assert!(read.contains(told), "{words}: {read}");
    }
}

#[test]
fn help_tells_all_there_is() {
    let definition = definition(LINES);
    let text = help::application(&definition, "demo");
    for part in ["Usage: demo", "say    Says something", "group  Several", "Contact: a"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = help::command("demo", &[&definition.commands[0]], &filters());
    for part in [
        "Usage: demo say [<flags>] <what> [<more>]",
        "Other names: s",
        "-g, --greeting=Hello",
        "one of Hello, Halo, Morning; default Hello; $GREETING",
        "--[no-]nice",
        "-v, --verbose",
        "--[no-]prompt",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let group = &definition.commands[1];
    let text = help::command("demo", &[group, &group.commands[0]], &filters());
    assert!(text.contains("-F, --wf=FACT") && text.contains("--json"), "{text}");
    for (typed, words) in [
        (&[][..], &["--help", "group", "say"][..]),
        (&["group"], &["--help", "find"]),
        (&["group", "find", "-F", "x"], &["--fixed-window", "--help", "--json", "--wf"]),
        (&["nosuch"], &["--help", "group", "say"]),
    ] {
        assert_eq!(help::words(&definition, typed, &filters()), words, "{typed:?}");
    }
    for style in ["compact", "long", "short"] {
        let text = format!("help_template: {style}\n{HEAD}{LINES}");
        let text = help::application(&compiled(&text).unwrap().definition, "demo");
        assert!(text.contains("say") && text.contains("find") == (style != "short"), "{style}: {text}");
    }
}
