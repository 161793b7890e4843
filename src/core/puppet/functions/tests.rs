use crate::tests::stage::Stage;

fn run(code: &str) -> String {
    match Stage::default().run(code) {
        Ok(value) => value.to_json().to_string(),
        Err(e) => format!("error {}", e.message()),
    }
}

#[test]
fn functions_do_what_people_know() {
    for (code, value) in [
        (
            "sprintf('%+d|% d|%05d|%-5d|%5s|%.2s|%%', 3, 3, -3, 3, 'a', 'abc')",
            r#""+3| 3|-0003|3    |    a|ab|%""#,
        ),
        (
            "sprintf('%x %X %#x %o %b %e %g %g', 255, 255, 255, 8, 5, 1234.5, 0.00001, 100000)",
            r#""ff FF 0xff 10 101 1.234500e+03 1e-05 100000""#,
        ),
        ("sprintf('%2$s %1$s', 'a', 'b')", r#""b a""#),
        ("'a1b22c'.split('[0-9]+')", r#"["a","b","c"]"#),
        ("'abc'.split('')", r#"["a","b","c"]"#),
        ("'a b'.regsubst('(.) (.)', '\\2\\1')", r#""ba""#),
        ("['ab', 'xb'].regsubst('b$', '-')", r#"["a-","x-"]"#),
        ("'aXbx'.regsubst('x', '-', 'GI')", r#""a-b-""#),
        ("'abc123'.match(/([a-z]+)([0-9]+)/)", r#"["abc123","abc","123"]"#),
        ("'abc'.match('x')", "null"),
        ("range(1, 10, 3)", "[1,4,7,10]"),
        ("range(3, 1)", "[3,2,1]"),
        ("range('host8', 'host11')", r#"["host8","host9","host10","host11"]"#),
        ("range('a', 'e', 2)", r#"["a","c","e"]"#),
        ("[[1, 2], [3]].flatten(4)", "[1,2,3,4]"),
        ("[3, 1, 2].sort |$a, $b| { compare($b, $a) }", "[3,2,1]"),
        ("'banana'.unique", r#""ban""#),
        ("[1, 2, 3, 4].slice(2) |$a, $b| { }", "[1,2,3,4]"),
        ("{a => 1, b => 2}.any |$k, $v| { $v == 2 }", "true"),
        ("[1, 2].all |$i, $v| { $v > $i }", "true"),
        ("{a => {b => [1]}}.get('a.b.0')", "1"),
        ("{a => 1}.get('b.c', 'other')", r#""other""#),
        ("{a => [1, {b => 2}]}.tree_each.map |$e| { $e[0].join('.') }", r#"["","a","a.0","a.1","a.1.b"]"#),
        ("{a => [1]}.tree_each({include_containers => false}).map |$e| { $e[1] }", "[1]"),
        ("delete([1, 2, 1], 1) + delete({a => 1}, 'a').keys", "[2]"),
        ("union([1, 2], [2, 3]) + difference([1, 2], [2]) + intersection([1, 1, 2], [1])", "[1,2,3,1,1]"),
        ("concat([1], 2, [3, [4]])", "[1,2,3,[4]]"),
        ("versioncmp('1.10', '1.9') + versioncmp('2-1', '2.1') + versioncmp('1', '1')", "0"),
        ("round(-2.5) + floor(-1.5) + ceiling(-1.5) + abs(-3)", "-3"),
        ("max(1, 3.5, 2) + min([4, 2])", "5.5"),
        ("base64('decode', 'aGk=')", r#""hi""#),
        ("sha256('a')", r#""ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb""#),
        ("parseyaml('a: [1, b]').to_json", r#""{\"a\":[1,\"b\"]}""#),
        ("to_yaml({a => [1]})", r#""---\na:\n- 1\n""#),
        ("[1, {a => 'b'}].to_json_pretty", "\"[\\n  1,\\n  {\\n    \\\"a\\\": \\\"b\\\"\\n  }\\n]\\n\""),
        ("Timestamp('2024-01-02').strftime('%d.%m.%Y %H:%M', '+02:00')", r#""02.01.2024 02:00""#),
        (
            "strftime(Timestamp('05/2024', '%m/%Y'), '%F') =~ String",
            "error Unable to parse '05/2024' as a Timestamp",
        ),
        ("now().strftime('%s')", r#""1700000000""#),
        ("Timespan('1-02:03:04.5').convert_to(Float)", "93784.5"),
        ("Boolean('y') and !Boolean('No')", "true"),
        ("Integer('0b101') + Integer('ff', 16) + Integer('-7')", "253"),
        ("Hash(['a', 1, 'b', 2])", r#"{"a":1,"b":2}"#),
        ("String(255, '%x')", r#""ff""#),
        ("Optional[Integer]('5')", "5"),
        (
            "assert_type(Integer, 'x') |$expected, $actual| { \"${expected} ${actual}\" }",
            r#""Integer String""#,
        ),
        ("[undef, '', 1].count", "1"),
        ("call('upcase', 'a')", r#""A""#),
        ("'it''s'.size", "error This String has no effect"),
        ("shell_escape(\"it's a\\nb\")", r#""it\\'s\\ a'\n'b""#),
        ("defined('notice') and defined('Integer') and !defined('nosuch')", "true"),
        ("{a => 1, b => 1, c => 2}.unique", r#"{"[a, b]":[1],"[c]":[2]}"#),
        ("zip([1, 2], [3])", "[[1,3],[2,null]]"),
        ("'hello world'.capitalize.start_with('Hello')", "true"),
        ("stdlib::end_with('abc', ['x', 'bc'])", "true"),
        ("seeded_rand(10, 'a') == seeded_rand(10, 'a')", "true"),
        ("choria::tasks::validate_input({a => 1}, {parameters => {a => {type => 'Integer'}}})", "true"),
        (
            "choria::tasks::validate_input({a => 'x'}, {parameters => {a => {type => 'Integer'}}})",
            "error Invalid input: parameter 'a' expects an Integer value, got String",
        ),
        ("choria::discover(count => 3).choria::in_groups_of(2)", r#"[["n1","n2"],["n3"]]"#),
    ] {
        let got = run(code);
        assert!(got == value || value.starts_with("error") && got.starts_with(value), "{code}: {got}");
    }
}

#[test]
fn what_a_function_does_not_take_is_explained() {
    for (code, error) in [
        ("'a'.map", "'map' expects a block"),
        ("size(1, 2)", "'size' expects 1 argument, got 2"),
        ("upcase(true)", "'upcase' parameter 1 expects a String value, got Boolean"),
        ("size(1) |$x| { }", "'size' does not take a block"),
        ("sprintf('%d')", "sprintf(): too few arguments"),
        ("sprintf('%99999d', 1)", "larger than 10000"),
        ("sprintf('%q', 1)", "malformed format string - %q"),
        ("true.each |$x| { }", "expects an Iterable value, got a Boolean"),
        ("parsejson('{')", "parsejson(): unexpected token at '{'"),
        ("pick('', undef)", "must receive at least one value"),
        ("choria::sleep(-1)", "expects an Integer[0] value"),
        ("SemVer('1')", "cannot be converted to SemVer"),
        ("include foo", "only available when compiling a catalog"),
        ("round(1e300)", "too large for an Integer"),
        ("Timestamp(9223372036854775807)", "out of range"),
        ("strftime(Timestamp(0), '%999999d')", "more than two digits"),
    ] {
        let got = run(code);
        assert!(got.starts_with("error") && got.contains(error), "{code}: {got}");
    }
}
