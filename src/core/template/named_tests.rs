//! Templates that define others, and ranges that are left: what Go's text/template makes of them.

use serde_json::{Value, json};

use super::*;

struct Plain(Value);

impl Functions for Plain {
    fn dot(&self) -> Value {
        self.0.clone()
    }

    fn has(&self, _: &str) -> bool {
        false
    }

    fn call(&self, name: &str, _: &[Value]) -> Result<Value, String> {
        Err(name.to_owned())
    }
}

/// What Go 1.26 made of a template; nothing where it does not parse or fails.
#[rustfmt::skip]
const CASES: [(&str, Option<&str>); 64] = [
    (r#"{{define "x"}}hi {{.name}}{{end}}[{{template "x" .}}]"#, Some("[hi Bob]")),
    (r#"{{template "x" .}}{{define "x"}}later{{end}}"#, Some("later")),
    (r#"{{define "x"}}[{{.}}]{{end}}{{template "x"}}"#, Some("[<no value>]")),
    (r#"{{define "x"}}[{{.name}}]{{end}}{{template "x"}}"#, Some("[<no value>]")),
    (r#"{{define "x"}}[{{.}}]{{end}}{{template "x" 5}}{{template "x" "a"}}"#, Some("[5][a]")),
    (r#"{{define "x"}}[{{$}}]{{end}}{{template "x" .name}}"#, Some("[Bob]")),
    (r#"{{define "x"}}{{$.name}}{{end}}{{with .tree}}{{template "x" $}}{{end}}"#, Some("Bob")),
    (r#"{{$v := 1}}{{define "x"}}{{$v}}{{end}}{{template "x"}}"#, None),
    (r#"{{template "x" (index .list 1)}}{{define "x"}}<{{.}}>{{end}}"#, Some("<b>")),
    (r#"{{template "x" .name | printf "%s!"}}{{define "x"}}<{{.}}>{{end}}"#, Some("<Bob!>")),
    (r#"{{define "n"}}({{.v}}{{range .kids}}{{template "n" .}}{{end}}){{end}}{{template "n" .tree}}"#, Some("(1(2)(3(4)))")),
    (r#"{{block "b" .name}}<{{.}}>{{end}}{{template "b" 7}}"#, Some("<Bob><7>")),
    (r#"{{block "b" .}}{{block "c" .name}}{{.}}{{end}}!{{end}}{{template "c" 1}}"#, Some("Bob!1")),
    (r#"{{range .list}}{{block "b" .}}<{{.}}>{{end}}{{end}}"#, Some("<a><b><c>")),
    (r#"{{block "b"}}x{{end}}"#, None),
    (r#"{{template "x"}}"#, None),
    (r#"{{if false}}{{template "x"}}{{end}}fine"#, Some("fine")),
    (r#"{{define "x"}}a{{end}}{{define "x"}}b{{end}}"#, None),
    (r#"{{define "x"}} {{end}}{{define "x"}}b{{end}}{{template "x"}}"#, Some("b")),
    (r#"{{define "x"}}b{{end}}{{define "x"}} {{/* c */}} {{end}}{{template "x"}}"#, Some("b")),
    (r#"{{define "x"}}a{{end}}{{block "x" .}}b{{end}}"#, None),
    (r#"{{define "x"}} {{end}}{{block "x" .}}b{{end}}"#, Some("b")),
    (r#"{{if true}}{{define "x"}}a{{end}}{{end}}"#, None),
    (r#"{{define "x"}}{{define "y"}}a{{end}}{{end}}"#, None),
    ("{{define x}}a{{end}}", None),
    (r#"{{define "x" .}}a{{end}}"#, None),
    ("{{define}}a{{end}}", None),
    (r#"{{define `x`}}raw{{end}}{{template `x`}}"#, Some("raw")),
    (r#"{{define "x"}}a"#, None),
    (r#"{{define "x"}}a{{else}}b{{end}}"#, None),
    (r#"{{block "x" .}}a{{else}}b{{end}}"#, None),
    ("{{template x .}}", None),
    ("{{template .name .}}", None),
    (r#"{{template (print "x") .}}{{define "x"}}{{end}}"#, None),
    ("{{template}}", None),
    (r#"a {{- define "x" -}} b {{- end -}} c{{template "x"}}"#, Some("acb")),
    ("a\n{{define \"x\"}}\nb\n{{end}}\nc{{template \"x\"}}", Some("a\n\nc\nb\n")),
    (r#"{{define ""}}empty{{end}}{{template ""}}"#, Some("empty")),
    (r#"{{define "x"}}{{$y := 2}}{{$y}}{{end}}{{$y := 1}}{{template "x"}}{{$y}}"#, Some("21")),
    (r#"{{template "x" $z := 3}}{{define "x"}}{{.}}{{end}}"#, Some("3")),
    (r#"{{range .list}}{{if eq . "b"}}{{break}}{{end}}{{.}}{{end}}"#, Some("a")),
    (r#"{{range .list}}{{if eq . "b"}}{{continue}}{{end}}{{.}}{{end}}"#, Some("ac")),
    ("{{range $i, $v := .list}}{{range $.list}}{{if eq . $v}}{{break}}{{end}}{{.}}{{end}}|{{end}}", Some("|a|ab|")),
    ("{{range .list}}{{with .}}{{if true}}{{continue}}{{end}}{{end}}x{{else}}none{{end}}.", Some(".")),
    ("{{range .none}}x{{else}}{{break}}{{end}}", None),
    ("{{range .list}}{{range $.none}}x{{else}}{{break}}{{end}}y{{end}}z", Some("yyyz")),
    ("{{break}}", None),
    ("{{continue}}", None),
    ("{{if true}}{{break}}{{end}}", None),
    ("{{range .list}}{{break 1}}{{end}}", None),
    ("{{range .list}}{{break}}x", None),
    (r#"{{range .list}}{{define "x"}}{{end}}{{end}}"#, None),
    (r#"{{range .list}}{{block "x" .}}{{break}}{{end}}{{end}}"#, None),
    (r#"{{define "x"}}{{break}}{{end}}"#, None),
    (r#"{{define "x"}}{{range .}}{{if eq . "b"}}{{break}}{{end}}{{.}}{{end}}{{end}}{{range .list}}{{template "x" $.list}},{{end}}"#, Some("a,a,a,")),
    (r#"{{define "x"}}{{template "x"}}{{end}}{{template "x"}}"#, None),
    (r#"{{define "x"}}1{{template "y" .}}{{end}}{{define "y"}}2{{end}}{{template "x"}}"#, Some("12")),
    (r#"{{define "x"}}{{end}}[{{template "x" .}}]"#, Some("[]")),
    (r#"{{define "x"}}{{if .}}t{{else}}f{{end}}{{end}}{{template "x"}}{{template "x" 1}}"#, Some("ft")),
    ("{{end}}", None),
    (r#"{{define "x"}}a{{end}}{{end}}"#, None),
    ("{{end x}}", None),
    (r#"{{range $v := .list}}{{$w := $v}}{{if eq $v "a"}}{{continue}}{{end}}{{$w}}{{end}}"#, Some("bc")),
    (r#"{{template "x" .missing}}{{define "x"}}<{{.}}>{{end}}"#, Some("<<no value>>")),
];

fn scope() -> Plain {
    let leaf = |name: &str| json!({"v": name, "kids": []});
    let tree = json!({"v": "1", "kids": [leaf("2"), {"v": "3", "kids": [leaf("4")]}]});
    Plain(json!({"name": "Bob", "list": ["a", "b", "c"], "none": [], "tree": tree}))
}

#[test]
fn templates_that_define_others_make_what_go_makes() {
    for (template, expected) in CASES {
        let made = render(template, &scope());
        assert_eq!(made.as_deref().ok(), expected, "{template}: {made:?}");
    }
}

#[test]
fn what_is_wrong_with_one_is_said() {
    for (template, words) in [
        ("{{template \"x\"}}", "there is no template \"x\""),
        ("{{define \"x\"}}a{{end}}{{define \"x\"}}b{{end}}", "\"x\" is defined more than once"),
        ("{{if 1}}{{define \"x\"}}{{end}}{{end}}", "a define stands inside of something else"),
        ("{{define x}}{{end}}", "define takes a name in quotes, and nothing else"),
        ("{{define \"x\"}}", "the end of define is missing"),
        ("{{block \"x\" 1}}{{else}}{{end}}", "an else stands in block \"x\""),
        ("{{template .}}", "template takes a name in quotes first"),
        ("{{break}}", "break stands outside of a range"),
    ] {
        let error = render(template, &scope()).unwrap_err().to_string();
        assert!(error.ends_with(words), "{template}: {error}");
    }
}

/// Whoever calls itself ends, on the small stack of a thread, and so does who makes more than it may.
#[test]
fn templates_that_would_not_end_are_ended() {
    let deep =
        "{{define \"x\"}}{{with 1}}{{if 1}}{{template \"x\" .}}{{end}}{{end}}{{end}}{{template \"x\" 1}}";
    let each = "{{define \"x\"}}{{range .list}}{{template \"x\" $}}{{end}}{{end}}{{template \"x\" .}}";
    let double = "{{define \"x\"}}{{.}}{{.}}{{end}}";
    let twice: String = (0..60)
        .map(|n| {
            format!(
                "{{{{define \"t{n}\"}}}}{{{{template \"t{}\"}}}}{{{{template \"t{}\"}}}}{{{{end}}}}",
                n + 1,
                n + 1
            )
        })
        .collect();
    let twice = format!("{twice}{{{{define \"t60\"}}}}x{{{{end}}}}{{{{template \"t0\"}}}}");
    let nested = format!("{}x{}", "{{block \"a\" 1}}".repeat(5000), "{{end}}".repeat(5000));
    for template in [deep, each, &twice, &nested] {
        let template = template.to_owned();
        let run = std::thread::Builder::new().stack_size(2 << 20).spawn(move || render(&template, &scope()));
        assert!(run.unwrap().join().unwrap().is_err());
    }
    assert_eq!(render(&format!("{double}{{{{template \"x\" 1}}}}"), &scope()).as_deref(), Ok("11"));
}
