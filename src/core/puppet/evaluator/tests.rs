use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use indexmap::IndexMap;

use crate::tests::stage::Stage;
use crate::{Evaluator, Limits, Value};

fn run(code: &str) -> String {
    match Stage::default().run(code) {
        Ok(value) => value.to_json().to_string(),
        Err(e) => format!("error {e}"),
    }
}

#[test]
fn errors_have_a_place() {
    for (code, error) in [
        ("$x = 1\n$y = $x + 'a'", "main.pp:2:6: The value 'a' cannot be converted to Numeric."),
        ("notice('a')\n  fail('b')", "main.pp:2:3: b"),
        ("$a = {x => 1,\n  x => 2}", "main.pp:2:3: The key 'x' is declared more than once"),
        ("[1].each |$x| {\n  nosuch($x)\n}", "main.pp:2:3: Unknown function: 'nosuch'."),
        ("\"a ${b} c\"", "main.pp:1:6: Unknown variable: 'b'."),
        ("if true {\n  next(1)\n}", "main.pp:2:3: next() from context where this is illegal"),
        (
            "demo::in_ruby(1)",
            "main.pp:1:1: Unknown function: 'demo::in_ruby'. demo/lib/puppet/functions/demo/in_ruby.rb",
        ),
        ("$x = 'a' =~ Foo::Bar", "main.pp:1:13: Resource type or type alias 'Foo::Bar' is not known"),
        ("Integer[1, a] =~ Type", "main.pp:1:1: Integer takes integers, not 'a'"),
    ] {
        assert!(run(code).starts_with(&format!("error {error}")), "{code}: {}", run(code));
    }
}

#[test]
fn scopes_and_matches() {
    for (code, value) in [
        ("$x = 1\n[2].map |$x| { $x }", "[2]"),
        ("'ab' =~ /(a)(b)/\n[1].map |$n| { \"$1$2$3\" }", r#"["ab"]"#),
        ("case 'web7' { /(\\d)/: { $1 } default: { 'none' } }", r#""7""#),
        ("case [1, 'a'] { [Integer, String]: { 'pair' } default: { 'other' } }", r#""pair""#),
        ("case 5 { default: { 'd' } 5: { 'five' } }", r#""five""#),
        ("case 'x' { *['a', 'x']: { 1 } default: { 2 } }", "1"),
        ("$v = if false { 1 } elsif true { 2 } else { 3 }\n$v", "2"),
        ("[[1, 2], [3, 4]].map |$a| { [$x, $y] = $a\n $x * $y }", "[2,12]"),
        ("Integer <= Numeric and Integer[1, 2] < Integer", "true"),
        ("(Timestamp(10) - Timestamp(4)).convert_to(Integer)", "6"),
        ("SemVer('1.2.3') =~ SemVerRange('>=1.0.0 <2.0.0')", "true"),
        ("$h = {a => {b => [10, 20]}}\n\"${h['a']['b'][1]} ${h.dig('a', 'b', 0)}\"", r#""20 10""#),
        ("with('a') |String $x, Integer $n = 3| { \"${x}${n}\" }", r#""a3""#),
    ] {
        assert_eq!(run(code), value, "{code}");
    }
}

#[test]
fn a_lock_is_given_back_whatever_happens() {
    let mut stage = Stage::default();
    let code = "choria::lock('deploy', {type => 'x'}) || { fail('no') }";
    assert!(stage.run(code).is_err());
    assert_eq!(stage.locked, ["+deploy", "-deploy"]);
    let code = "choria::lock('a', {type => 'x'}) || { choria::data('k', 'v', {}) }\nchoria::data('k', {})";
    assert_eq!(stage.run(code).expect("a value").to_string(), "v");
}

#[test]
fn signatures_are_read() {
    let text = "# Restarts a cluster.\n#\n# @param cluster which\n\
                plan demo::restart (Enum[a, b] $cluster, Optional[Integer] $n, Boolean $quick = true) { }";
    let mut stage = Stage::with(&[("plans/restart.pp", text)]);
    let mut evaluator = Evaluator::new(&mut stage, Limits::default(), Arc::new(AtomicBool::new(false)));
    let signature = evaluator.signature("demo::restart").expect("a plan").expect("a plan");
    assert_eq!(signature.comment[0], "Restarts a cluster.");
    let found: Vec<_> = signature
        .parameters
        .iter()
        .map(|p| (p.name.as_str(), p.of.to_string(), p.default.as_deref(), p.is_required()))
        .collect();
    assert_eq!(
        found,
        [
            ("cluster", "Enum['a', 'b']".to_owned(), None, true),
            ("n", "Optional[Integer]".to_owned(), None, false),
            ("quick", "Boolean".to_owned(), Some("true"), false),
        ]
    );
    assert!(evaluator.signature("demo::other").expect("no error").is_none());
    let e = evaluator.plan("demo::restart", &IndexMap::new()).expect_err("a value is missing");
    assert_eq!(e.to_string(), "demo::restart: expects a value for parameter 'cluster'");
    let given = IndexMap::from([(Value::word("cluster"), Value::word("a"))]);
    assert_eq!(evaluator.plan("demo::restart", &given).expect("a value"), Value::Undef);
}

#[test]
fn types_of_modules_may_hold_themselves() {
    let files = [("types/tree.pp", "type Demo::Tree = Hash[String, Variant[Integer, Demo::Tree]]")];
    let code = "[{a => {b => 1}} =~ Demo::Tree, {a => {b => 'x'}} =~ Demo::Tree]";
    assert_eq!(Stage::with(&files).run(code).expect("a value").to_json().to_string(), "[true,false]");
}

#[test]
fn problems_are_found_without_running() {
    let text = "plan demo::x (Nosuch::Type $t) {\n  $r = choria::task(action => 'a.b')\n  $r.error_set.each |$e| { error($e.message) }\n\
                  fail('never')\n}";
    let mut stage = Stage::default();
    let mut evaluator = Evaluator::new(&mut stage, Limits::default(), Arc::new(AtomicBool::new(false)));
    let problems = |evaluator: &mut Evaluator<'_>, text: &str, name: &str| {
        let found = evaluator.problems(crate::Source::new("x.pp", text), Some(name));
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let found = problems(&mut evaluator, text, "demo::x");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("x.pp:1:15: Resource type or type alias 'Nosuch::Type'"), "{found:?}");
    assert_eq!(found[1], "x.pp:3:28: Unknown function: 'error'.");
    assert!(
        problems(&mut evaluator, "plan demo::y () { }", "demo::x")[0]
            .contains("has to define the plan 'demo::x'")
    );
    assert!(
        problems(&mut evaluator, "plan demo::x () { $a = }", "demo::x")[0]
            .starts_with("x.pp:1:24: Syntax error")
    );
    assert!(problems(&mut evaluator, "plan demo::x () { 1 }", "demo::x").is_empty());
}

/// What stands beside the plan, the function or the type of a file would be nothing.
#[test]
fn a_file_has_what_its_place_says_and_no_more() {
    for (file, text, code, told) in [
        (
            "plans/x.pp",
            "plan demo::x () { 1 }\nfunction demo::y() { 2 }",
            "choria::run_playbook('demo::x')",
            "x.pp:2:1: The code loaded from <modules>/demo/plans/x.pp must contain only the plan 'demo::x' - it has additional definitions: 'demo::y'",
        ),
        (
            "plans/x.pp",
            "plan demo::x () { 1 }\nfunction demo::x() { 2 }",
            "choria::run_playbook('demo::x')",
            "additional definitions",
        ),
        (
            "plans/x.pp",
            "notice('top')\nplan demo::x () { 1 }",
            "choria::run_playbook('demo::x')",
            "x.pp:1:1: The code loaded from <modules>/demo/plans/x.pp contains additional logic - can only contain the plan 'demo::x'",
        ),
        (
            "functions/f.pp",
            "function demo::f() { 1 }\nfunction demo::g() { 2 }",
            "demo::f()",
            "only the function 'demo::f'",
        ),
        ("functions/f.pp", "$x = 1\nfunction demo::f() { 1 }", "demo::f()", "additional logic"),
        (
            "types/t.pp",
            "type Demo::T = Integer\ntype Demo::U = String",
            "1 =~ Demo::T",
            "only the type alias 'Demo::T'",
        ),
    ] {
        let said = Stage::with(&[(file, text)]).run(code).expect_err(text).to_string();
        assert!(said.contains(told), "{text}: {said}");
        if let Some(name) = file.strip_prefix("plans/").and_then(|file| file.strip_suffix(".pp")) {
            let mut stage = Stage::default();
            let mut evaluator =
                Evaluator::new(&mut stage, Limits::default(), Arc::new(AtomicBool::new(false)));
            let source = crate::Source::new("<modules>/demo/plans/x.pp", text);
            let found = evaluator.problems(source, Some(&format!("demo::{name}")));
            assert!(found.iter().any(|e| e.to_string().contains(told)), "{text}: {found:?}");
        }
    }
}
