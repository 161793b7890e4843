use super::*;
use crate::syntax::Lambda;

fn unit(text: &str) -> Result<Unit, Error> {
    parse(Arc::new(Source::new("t.pp", text)))
}

/// Every operator in parentheses.
fn shown(unit: &Unit, id: Id) -> String {
    let all = |ids: &[Id]| ids.iter().map(|id| shown(unit, *id)).collect::<Vec<_>>().join(", ");
    let block = |lambda: &Option<Box<Lambda>>| {
        lambda.as_ref().map_or(String::new(), |lambda| {
            let names: Vec<_> = lambda.parameters.iter().map(|p| p.name.to_string()).collect();
            format!(" |{}| {{{}}}", names.join(", "), shown(unit, lambda.body))
        })
    };
    let inner = |id: &Id| shown(unit, *id);
    match unit.node(id) {
        Node::String(text) => format!("'{text}'"),
        Node::Name(text) | Node::Type(text) => text.to_string(),
        Node::Variable(name) => format!("${name}"),
        Node::Integer(n) => n.to_string(),
        Node::Undef => "undef".to_owned(),
        Node::Default => "default".to_owned(),
        Node::Boolean(b) => b.to_string(),
        Node::Binary(operator, a, b) => format!("({} {} {})", inner(a), operator.text(), inner(b)),
        Node::And(a, b) => format!("({} and {})", inner(a), inner(b)),
        Node::Or(a, b) => format!("({} or {})", inner(a), inner(b)),
        Node::Assign(a, b) => format!("({} = {})", inner(a), inner(b)),
        Node::Not(a) => format!("(! {})", inner(a)),
        Node::Negate(a) => format!("(- {})", inner(a)),
        Node::Splat(a) => format!("(* {})", inner(a)),
        Node::Index(of, keys) => format!("{}[{}]", inner(of), all(keys)),
        Node::Array(items) => format!("[{}]", all(items)),
        Node::Hash(pairs) => {
            let pair = |(key, value): &(Id, Id)| format!("{} => {}", inner(key), inner(value));
            format!("{{{}}}", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        Node::Call { name, arguments, lambda } => format!("{name}({}){}", all(arguments), block(lambda)),
        Node::New { of, arguments, .. } => format!("{}.new({})", inner(of), all(arguments)),
        Node::Method { of, name, arguments, lambda } => {
            format!("{}.{name}({}){}", inner(of), all(arguments), block(lambda))
        }
        Node::If { test, then, otherwise, unless } => {
            let word = if *unless { "unless" } else { "if" };
            let otherwise = otherwise.map_or(String::new(), |id| format!(" else {}", shown(unit, id)));
            format!("{word} {} {}{otherwise}", inner(test), inner(then))
        }
        Node::Block(statements) => {
            let parts: Vec<_> = statements.iter().map(|id| shown(unit, *id)).collect();
            parts.join("; ")
        }
        Node::Selector { of, options } => {
            let pair = |(key, value): &(Id, Id)| format!("{} => {}", inner(key), inner(value));
            format!("({} ? {})", inner(of), options.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        Node::Interpolated(parts) => format!("\"{}\"", all(parts)),
        other => format!("{other:?}"),
    }
}

#[test]
fn operators_bind_as_they_should() {
    for (text, tree) in [
        ("1 + 2 * 3 - 4", "((1 + (2 * 3)) - 4)"),
        ("-2.abs", "(- 2.abs())"),
        ("!$a in $b", "((! $a) in $b)"),
        ("1 < 2 == true", "(1 < (2 == true))"),
        ("1 == 1 ? { true => a }", "((1 == 1) ? true => a)"),
        ("$a and $b or $c and $d", "(($a and $b) or ($c and $d))"),
        ("$a = $b = 1 + 2", "($a = ($b = (1 + 2)))"),
        ("$x[1].y(2)[3]", "$x[1].y(2)[3]"),
        ("f(1, a => 2, b => 3)", "f(1, {a => 2, b => 3})"),
        ("f(*$x)", "f((* $x))"),
        ("[1, a => 2]", "[1, {a => 2}]"),
        ("$a << $b << $c", "(($a << $b) << $c)"),
        ("Integer('3')", "Integer.new('3')"),
        ("$x.map |$y| { $y + 1 }.join(',')", "$x.map() |y| {($y + 1)}.join(',')"),
        ("notice 'a', b => 1", "notice('a', {b => 1})"),
        ("fail \"x ${y} ${z.w} ${v + 1}\"", "fail(\"'x ', $y, ' ', $z.w(), ' ', (v + 1)\")"),
        ("if $a { b() } elsif $c { d() } else { e() }", "if $a b() else if $c d() else e()"),
        ("f(1)\n(2)", "f(1); 2"),
        ("f (1, 2)", "f(1, 2)"),
        ("notice ( 1, 2 )", "notice(1, 2)"),
        ("$x = f /* here */ (1) |$y| { 2 }", "($x = f(1) |y| {2})"),
        ("$x.y (1, 2)", "$x.y(1, 2)"),
        ("[f (1), Integer ('3')]", "[f(1), Integer.new('3')]"),
        ("$x = f\n(1)", "($x = f); 1"),
        ("$x = f # here\n (1)", "($x = f); 1"),
        ("$x.y\n(1)", "$x.y(); 1"),
        ("$x\n  .y\n  .z", "$x.y().z()"),
        ("{ type => 1, function => 2, default => 3 }", "{'type' => 1, 'function' => 2, default => 3}"),
        ("type(5)", "type(5)"),
    ] {
        let unit = unit(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(shown(&unit, unit.body), tree, "{text}");
    }
}

#[test]
fn errors_say_what_was_expected_and_where() {
    for (text, error) in [
        ("$x = }", "t.pp:1:6: Syntax error at '}': expected a value"),
        (
            "plan a::b (String x) {}",
            "t.pp:1:19: Syntax error at 'x': expected a parameter, as in 'String $name'",
        ),
        ("plan a::b ($x $y) {}", "t.pp:1:15: Syntax error at '$y': expected ')' or ',' behind a parameter"),
        ("plan a::b () {\n  f(\n", "t.pp:3:1: Syntax error at the end of the text: expected a value"),
        ("plan a () { f(1 2) }", "t.pp:1:17: Syntax error at '2': expected ')' or ',' in these arguments"),
        ("plan a ($x, $x) {}", "t.pp:1:13: the parameter '$x' is there twice"),
        ("plan a (*$x, $y) {}", "t.pp:1:14: a parameter with '*'"),
        ("plan a () {} plan a () {}", "t.pp:1:14: 'a' is defined twice"),
        ("plan a () >> Integer {}", "t.pp:1:1: a plan has no type"),
        ("f() { plan b () {} }", "t.pp:1:7: Syntax error at 'plan': expected a value"),
        ("if $x { plan b () {} }", "t.pp:1:9: plans and functions are defined outside"),
        ("{ 'a' 1 }", "t.pp:1:7: Syntax error at '1': expected '=>'"),
        ("case 1 { 1 { } }", "t.pp:1:12: Syntax error at '{': expected ':'"),
        ("/(/ =~ 1", "t.pp:1:1: the regular expression /(/ is wrong"),
        ("$a += 1", "t.pp:1:4: The operator '+='"),
        ("File['/x'] -> File['/y']", "t.pp:1:12: A Relationship"),
        ("unless $x { } elsif $y { }", "t.pp:1:15: Syntax error at 'elsif': expected 'else'"),
        ("5 = 6", "t.pp:1:1: Illegal attempt to assign"),
        ("apply('n1') { }", "t.pp:1:1: An apply block is only available when compiling a catalog"),
        ("$1 = 6", "t.pp:1:1: '$1' is what a match found"),
    ] {
        let e = unit(text).expect_err(text).to_string();
        assert!(e.starts_with(error), "{text}: {e}");
    }
}

#[test]
fn nesting_is_refused_before_the_stack_ends() {
    for (open, close) in
        [("(", ")"), ("[", "]"), ("{a => ", "}"), ("!", ""), ("f(", ")"), ("if true { ", " }"), ("- ", "")]
    {
        let deep = |n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
        assert!(unit(&deep(30)).is_ok(), "{open}");
        for n in [300, 60_000] {
            let e = unit(&deep(n)).expect_err(open).to_string();
            assert!(e.contains("nested deeper"), "{open}: {e}");
        }
    }
    // what is long without being deep is not
    let long = "1 + ".repeat(50_000) + "1";
    assert!(unit(&long).is_ok());
    let chain = format!("$x{}", ".y".repeat(10_000));
    assert!(unit(&chain).expect_err("a chain").to_string().contains("more calls in one chain"));
    assert!(unit(&format!("if a {{ }}{}", " elsif b { }".repeat(10_000))).is_err());
}

#[test]
fn definitions_are_found() {
    let text = "# Says it.\nplan a::b (String $x = 'y', Optional[Integer] $n) { $x }\n\
                function a::c(Integer *$all) >> Integer { 1 }\ntype A::D = Array[A::D]\n";
    let unit = unit(text).expect("a unit");
    let found: Vec<_> = unit
        .definitions
        .iter()
        .map(|d| (d.plan, d.name.to_string(), d.parameters.len(), d.returns.is_some(), d.parameters[0].rest))
        .collect();
    assert_eq!(found, [(true, "a::b".into(), 2, false, false), (false, "a::c".into(), 1, true, true)]);
    assert_eq!(unit.aliases[0].name.as_str(), "A::D");
    assert_eq!(unit.source.comment_before(unit.definitions[0].span.start), ["Says it."]);
}
