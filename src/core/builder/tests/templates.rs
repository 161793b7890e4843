//! What templates make, and that none ends their reader.

use serde_json::{Value, json};

use super::super::{Scope, State, functions};
use super::Still;

pub fn state() -> State {
    State {
        arguments: json!({"name": "it's", "n": 3}).as_object().unwrap().clone(),
        flags: json!({"force": false, "list": "a,b", "empty": ""}).as_object().unwrap().clone(),
        config: json!({"Cowsay": "moo", "slack": {"token": "t"}}),
        secrets: json!({"token": "s3cret"}).as_object().unwrap().clone(),
        input: json!({"items": [{"n": 1}, {"n": 2}], "name": "James", "surname": "Bond"}),
        user_dir: "/home/u".into(),
        app_dir: "/etc/choria/builder".into(),
        helper: "/tmp/helper".into(),
    }
}

pub(super) fn made(text: &str) -> Result<String, String> {
    Scope { state: &state(), world: &Still }.render(text).map_err(|e| e.to_string())
}

#[test]
fn templates_make_what_definitions_expect() {
    for (text, expected) in [
        ("{{ default .Config.Cowsay \"cowsay\" }} {{ .Arguments.name | escape }}", "moo 'it'\"'\"'s'"),
        (
            "{{ default .Config.None \"cowsay\" }}{{ .Config.None | default \"x\" }}{{ default .Arguments.n \"5\" }}",
            "cowsayx3",
        ),
        ("{{ if .Flags.force }}yes{{ else if eq .Flags.list \"a,b\" }}list{{ else }}no{{ end }}", "list"),
        ("{{ require .Arguments.name \"a name\" }}{{ .Config.slack.token | require \"no token\" }}", "it'st"),
        (
            "{{ env \"GREETING\" }} {{ env \"NONE\" }}{{ expandenv \"$GREETING ${GREETING}$\" }}",
            "Morning Morning Morning$",
        ),
        (
            "{{ AppDir }} {{ TaskDir }} {{ UserWorkingDir }} {{ BashHelperPath }}",
            "/etc/choria/builder /etc/choria/builder /home/u /tmp/helper",
        ),
        ("{{ read_file \"/there\" }}", "text"),
        ("Hello {{ .Input.name }} {{ .Input.surname | swapcase }}", "Hello James bOND"),
        (
            "{{ range .Input.items }}{{ .n }},{{ end }}{{ range $i, $x := .Input.items }}{{ $i }}{{ $.Input.name }}{{ end }}",
            "1,2,0James1James",
        ),
        ("{{ .Secrets.token }}|{{ .Secrets }}|{{ $.Secrets.token }}", "s3cret|[REDACTED]|s3cret"),
        (
            "{{ upper \"a\" }}{{ title \"ab cd\" }}{{ trunc 2 \"abc\" }}{{ trunc -2 \"abc\" }}{{ substr 1 2 \"abc\" }}",
            "AAb Cdabbcb",
        ),
        (
            "{{ snakecase \"FirstName\" }} {{ kebabcase \"FirstName\" }} {{ camelcase \"http_server\" }}",
            "first_name first-name HttpServer",
        ),
        (
            "{{ trimSuffix \".x\" \"a.x\" }}{{ trimAll \"-\" \"-a-\" }}{{ nospace \"a b\" }}{{ repeat 3 \"x\" }}",
            "aaabxxx",
        ),
        (
            "{{ splitList \",\" .Flags.list | join \"-\" }}{{ (split \",\" .Flags.list)._1 }}{{ replace \"a\" \"z\" \"aba\" }}",
            "a-bbzbz",
        ),
        (
            "{{ quote \"a\" 1 }}{{ squote \"a\" }}{{ cat \"a\" \"b\" }}{{ indent 2 \"a\\nb\" }}",
            "\"a\" \"1\"'a'a b  a\n  b",
        ),
        (
            "{{ list 1 2 3 | len }}{{ first (list 7 8) }}{{ last (list 7 8) }}{{ rest (list 1 2) }}{{ has 2 (list 1 2) }}",
            "378[2]true",
        ),
        (
            "{{ range until 3 }}{{ . }}{{ end }}{{ untilStep 1 6 2 }}{{ seq 3 }}{{ uniq (list 1 1 2) }}{{ without (list 1 2) 1 }}",
            "012[1 3 5]1 2 3[1 2][2]",
        ),
        (
            "{{ (dict \"a\" 1 \"b\" 2).b }}{{ get (dict \"a\" 1) \"a\" }}{{ hasKey .Config \"x\" }}{{ dig \"slack\" \"token\" \"none\" .Config }}",
            "21falset",
        ),
        (
            "{{ toJson (dict \"a\" 1) }}{{ (fromJson \"{\\\"x\\\":[1]}\").x }}{{ ternary \"y\" \"n\" true }}{{ coalesce \"\" \"c\" }}",
            "{\"a\":1}[1]yc",
        ),
        (
            "{{ toJson (dict \"b\" \"<&>\" \"a\" 1) }}{{ toRawJson (dict \"b\" \"<&>\" \"a\" 1) }}",
            "{\"a\":1,\"b\":\"\\u003c\\u0026\\u003e\"}{\"a\":1,\"b\":\"<&>\"}",
        ),
        ("{{ title \"deploy MySQL on n1.EXAMPLE\" }}", "Deploy MySQL On N1.EXAMPLE"),
        (
            "{{ add 1 2 3 }} {{ sub 5 3 }} {{ mul 2 3 }} {{ div 7 2 }} {{ mod 7 2 }} {{ max 1 9 3 }} {{ round 1.255 1 }} {{ atoi \"12\" }}",
            "6 2 6 3 1 9 1.3 12",
        ),
        (
            "{{ now | date \"2006-01-02 15:04:05\" }} {{ now | date \"Mon Jan 2 3:04PM\" }} {{ unixEpoch now }}",
            "2026-11-30 08:05:09 Mon Nov 30 8:05AM 1796025909",
        ),
        (
            "{{ date \"2006\" 0 }} {{ dateModify \"-1h\" now | date \"15\" }} {{ duration 3725 }}",
            "1970 07 1h2m5s",
        ),
        (
            "{{ regexMatch \"^a+$\" \"aa\" }}{{ regexReplaceAll \"a(.)\" \"abac\" \"${1}\" }}{{ regexFind \"[0-9]+\" \"x12\" }}",
            "truebc12",
        ),
        (
            "{{ b64enc \"a\" }}{{ b64dec \"YQ==\" }}{{ sha256sum \"a\" | trunc 8 }}{{ adler32sum \"a\" }}{{ b32enc \"a\" }}",
            "YQ==aca9781126422626ME======",
        ),
        (
            "{{ base \"/a/b.c\" }} {{ dir \"/a/b.c\" }} {{ ext \"/a/b.c\" }} {{ clean \"/a/../b\" }} {{ isAbs \"x\" }}",
            "b.c /a .c /b false",
        ),
        (
            "{{ (semver \"v1.2-rc.1+b\").Minor }}{{ (semver \"v1.2-rc.1+b\").Prerelease }} {{ semverCompare \">= 1.2.0\" \"1.3.0\" }}{{ kindOf .Input.items }}{{ empty .Flags.empty }}",
            "2rc.1 trueslicetrue",
        ),
        (
            "{{ wrap 5 \"aa bb cc\" }}{{ abbrev 5 \"abcdefg\" }}{{ plural \"one\" \"many\" 2 }}{{ initials \"a b\" }}",
            "aa bb\nccab...manyab",
        ),
        ("{{ .Arguments.none }}", "<no value>"),
        ("{{- /* nothing */ -}}  x  {{- \"y\" -}}  z", "xyz"),
        (
            "{{ uuidv4 | len }}{{ randInt 1 5 }}{{ pick .Input \"name\" | keys }}{{ omit .Input \"name\" \"items\" | values }}",
            "364[name][Bond]",
        ),
    ] {
        assert_eq!(made(text).as_deref(), Ok(expected), "{text}");
    }
    let all = made("{{ toJson . }}{{ . }}").unwrap();
    assert!(all.contains("[REDACTED]") && !all.contains("s3cret"), "{all}");
    assert_eq!(state().redacted("x s3cret y"), "x [REDACTED] y");
    for (text, told) in [
        ("{{ require .Arguments.none \"a name is needed\" }}", "a name is needed"),
        ("{{ read_file \"/gone\" }}", "not there"),
        ("{{ fail \"no\" }}", "no"),
        ("{{ genCA \"x\" 1 }}", "no function genCA"),
        ("{{ .Config.none.token }}", "has no member token"),
        ("{{ define \"x\" }}{{ else }}{{ end }}", "an else stands in define"),
        ("{{ repeat 100000000 \"xx\" }}", "more than"),
        ("{{ until 10000000 }}", "more than"),
        ("{{ range until 100000 }}{{ range until 100000 }}x{{ end }}{{ end }}", "more work"),
        ("{{ regexMatch \"(\" \"\" }}", "no regular expression"),
        ("{{ div 1 0 }}", "divides by nothing"),
        ("{{ dateInZone \"2006\" now \"No/Where\" }}", "no time zone"),
    ] {
        let told_here = made(text).expect_err(text);
        assert!(told_here.contains(told), "{text}: {told_here}");
    }
}

#[test]
fn no_template_ends_the_reader() {
    bolero::check!().with_iterations(3000).with_type::<(String, u8, u8)>().for_each(|(text, a, b)| {
        let _ = made(text);
        let names = functions::names();
        let name = names[usize::from(*a) % names.len()];
        let more = names[usize::from(*b) % names.len()];
        let quoted = Value::from(text.as_str());
        let _ = made(&format!("{{{{ {name} {quoted} {b} .Input | {more} {a} {quoted} }}}}"));
        let _ = made(&format!("{{{{ {name} -9223372036854775808 {quoted} {quoted} }}}}"));
        let _ = made(&format!("{{{{ {name} .Input.items {quoted} }}}}{{{{ {more} }}}}"));
    });
}
