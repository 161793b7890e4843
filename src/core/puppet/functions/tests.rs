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

/// What Puppet 7 says.
#[test]
fn functions_say_what_puppet_says() {
    let long = "Timespan(90061.5)";
    for (code, value) in [
        ("strftime(Timespan({hours => 25}), '%H:%M:%S')", "25:00:00"),
        ("strftime(Timespan(90000), '%D days %H:%M')", "1 days 01:00"),
        (
            &format!("strftime({long}, '%D|%H|%M|%S|%L|%N|%-H|%_H|%5D')"),
            "1|01|01|01|500|500000000|1| 1|00001",
        ),
        (
            &format!("strftime({long}, '%05D|%-M|%3N|%6N|%9N|%1L|%6L|%%')"),
            "00001|1|500|500000|500000000|500|500   |%",
        ),
        ("strftime(Timespan(-90061.5), '%D-%H:%M:%S.%L')", "-1-01:01:01.500"),
        ("strftime(Timespan(3661), '%M:%S')", "61:01"),
        ("strftime(Timespan(3661), '%S')", "3661"),
        ("strftime(Timespan(1.25), '%L')", "1250"),
        ("strftime(Timespan(1.25), '%N')", "1250000000"),
        ("strftime(Timespan(1.25), '%S %-N|%-L|%_N')", "01 25|25|25       "),
        ("strftime(Timespan(1.25), '%3S|%10H|%-3H')", "001|0000000000|0"),
        ("strftime(Timestamp(0), '%FT%T.%L')", "1970-01-01T00:00:00.000"),
        (
            "strftime(Timestamp(1.5), '%L|%N|%3N|%6L|%1N|%s|%z|%:z|%Z|%j|%e')",
            "500|500000000|500|500000|5|1|+0000|+00:00|UTC|001| 1",
        ),
        (
            "strftime(Timestamp(1.5), '%c|%v|%r|%x|%X|%D|%R|%^a|%-d')",
            "Thu Jan  1 00:00:01 1970| 1-JAN-1970|12:00:01 AM|01/01/70|00:00:01|01/01/70|00:00|THU|1",
        ),
        ("['1.0', '1.0.0', '1.0.1'].map |$v| { versioncmp($v, '1', true) }.join(' ')", "0 0 1"),
        (
            "[versioncmp('1.0-0', '1', true), versioncmp('2.0.0-1', '2-1', true), versioncmp('1.0', '1', false)].join(' ')",
            "1 0 1",
        ),
        (
            "[versioncmp('10', '1', true), versioncmp('0', '0.0', true), versioncmp('1.0a', '1a', true)].join(' ')",
            "1 0 -1",
        ),
        (
            "['1', 't', 'Y', 'true', 'YES', '0', 'F', 'n', 'No', '', ' '].map |$t| { str2bool($t) ? { true => 1, default => 0 } }.join('')",
            "11111000000",
        ),
        ("regsubst('ab', '(?<x>a)', '[\\k<x>]')", "[a]b"),
        ("regsubst('abc', 'b', '[\\&]')", "a[b]c"),
        ("regsubst('abc', 'b', \"[\\\\`|\\\\'|\\\\0|\\\\\\\\]\")", "a[a|c|b|\\]c"),
        ("regsubst('abc', '(?<x>z)?b', '[\\k<x>|\\1]')", "a[|]c"),
        ("regsubst('abc', 'b', '[\\9\\z\\k]')", "a[\\z\\k]c"),
        ("sprintf('%x %o %b %X %+x % x', -255, -8, -5, -255, -255, -255)", "..f01 ..70 ..1011 ..F01 -ff -ff"),
        (
            "sprintf('%#x|%8x|%08x|%.8x|%#o|%#b|%-8x|', -255, -255, -255, -255, -8, -5, -255)",
            "0x..f01|   ..f01|..ffff01|..ffff01|..70|0b..1011|..f01   |",
        ),
        (
            "sprintf('%08b %x %o %b %x %x %o %b %#010x', -5, -1, -1, -1, -256, -16, -64, -4, -255)",
            "..111011 ..f ..7 ..1 ..f00 ..f0 ..700 ..100 0x..ffff01",
        ),
        (
            "['10.0.0.0/8', '10.0.0.0', 'fe80::/64'].map |$a| { $a =~ Stdlib::IP::Address::V4::CIDR }.join(' ')",
            "true false false",
        ),
        (
            "['10.0.0.0/8', 'fe80::', 'fe80::/64'].map |$a| { $a =~ Stdlib::IP::Address::V6::CIDR }.join(' ')",
            "false false true",
        ),
    ] {
        assert_eq!(run(code), serde_json::Value::from(value).to_string(), "{code}");
    }
    for (code, error) in [
        ("strftime(Timespan(5), '%Q')", "bad format specifier '%Q' in '%Q'"),
        ("strftime(Timespan(5), '%5')", "bad format specifier '%5'"),
        ("strftime(Timespan(5), '%-_S')", "bad format specifier '%-_S'"),
        ("strftime(Timespan(5), '%100S')", "a width has more than two digits"),
        ("str2bool('maybe')", "Unknown type of boolean given: 'maybe'"),
        ("regsubst('abc', '(b)', '[\\k<y>]')", "undefined group name reference: y"),
        ("versioncmp('1', '1', 'x')", "parameter 3 expects a Boolean value"),
    ] {
        assert!(run(code).contains(error), "{code}: {}", run(code));
    }
}

/// As Ruby reads them.
#[test]
fn numbers_of_yaml_may_begin_with_zeros() {
    let code = r#"parseyaml("a: 0644\nb: 08\nc: -010\nd: 09.5\ne: ['0644', 089]\nf: 1").to_json"#;
    assert_eq!(
        run(code),
        r#""{\"a\":420,\"b\":\"08\",\"c\":-8,\"d\":9.5,\"e\":[\"0644\",\"089\"],\"f\":1}""#
    );
}

/// Masked, a secret would be taken for what it says.
#[test]
fn text_of_secrets_is_a_secret_and_has_them() {
    for (code, value) in [
        ("to_json({a => Sensitive('s')})", r#""Sensitive [value redacted]""#),
        ("to_json({a => Sensitive('s'), b => [Sensitive(1)]}).unwrap", r#""{\"a\":\"s\",\"b\":[1]}""#),
        ("stdlib::to_json(Sensitive({a => Sensitive('s')})).unwrap", r#""{\"a\":\"s\"}""#),
        ("to_json_pretty([Sensitive('s')]).unwrap", r#""[\n  \"s\"\n]\n""#),
        ("to_yaml({a => Sensitive('s')}).unwrap", r#""---\na: s\n""#),
        ("to_json({a => 's'})", r#""{\"a\":\"s\"}""#),
    ] {
        assert_eq!(run(code), value, "{code}");
    }
}

/// A task is given secrets as they are, whether its types or the plan hide them.
#[test]
fn secrets_are_inputs_of_tasks() {
    let metadata = "{parameters => {pw => {type => 'Sensitive[String[3]]'}, pin => {type => 'Optional[Integer]', sensitive => true}, \
                    mode => {type => 'Optional[Enum[a, b]]'}}}";
    for (inputs, answer) in [
        ("{pw => Sensitive('long')}", "true"),
        ("{pw => 'long'}", "true"),
        ("{pw => 'long', pin => Sensitive(5), mode => Sensitive('a')}", "true"),
        (
            "{pw => 'no'}",
            "parameter 'pw' expects a value of type Sensitive[String[3]]; what is given, which is not shown",
        ),
        (
            "{pw => 'long', pin => 'x9x'}",
            "parameter 'pin' expects a value of type Optional[Integer]; what is given",
        ),
        (
            "{pw => 'long', mode => Sensitive('x9x')}",
            "parameter 'mode' expects a value of type Optional[Enum['a', 'b']]",
        ),
        ("{pw => 'long', mode => 'x8x'}", "expects an undef value or a match for Enum['a', 'b'], got 'x8x'"),
        ("{pw => 'no', zz => 1}", "no parameter named 'zz'"),
        ("{}", "expects a value for parameter 'pw'"),
    ] {
        let said = run(&format!("choria::tasks::validate_input({inputs}, {metadata})"));
        assert!(said.contains(answer) && !said.contains("x9x"), "{inputs}: {said}");
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

#[test]
fn addresses_are_within_networks() {
    for (code, value) in [
        ("stdlib::ip_in_range('10.1.2.3', '10.0.0.0/8')", "true"),
        ("'11.1.2.3'.stdlib::ip_in_range('10.0.0.0/8')", "false"),
        ("stdlib::ip_in_range('10.1.2.3', ['192.168.0.0/16', '10.1.2.3'])", "true"),
        ("stdlib::ip_in_range('10.1.0.0/16', '10.0.0.0/8')", "true"),
        ("stdlib::ip_in_range('10.0.0.0/8', '10.1.0.0/16')", "false"),
        ("stdlib::ip_in_range('255.255.255.255', '0.0.0.0/0')", "true"),
        ("stdlib::ip_in_range('fd00::7', ['10.0.0.0/8', 'fd00::/8'])", "true"),
        ("stdlib::ip_in_range('::1', '::/0')", "true"),
        ("stdlib::ip_in_range('::a01:203', '10.0.0.0/8')", "false"),
        ("stdlib::ip_in_range('10.1.2.3', [])", "false"),
        (
            "stdlib::ip_in_range('10.1.2', '10.0.0.0/8')",
            "error ip_in_range(): '10.1.2' is neither an address nor a network, such as 10.0.0.0/8",
        ),
        (
            "stdlib::ip_in_range('10.1.2.3', '10.0.0.0/33')",
            "error ip_in_range(): '10.0.0.0/33' is neither an address nor a network, such as 10.0.0.0/8",
        ),
    ] {
        assert_eq!(run(code), value, "{code}");
    }
}

/// The lists of the specification (07 §C6); none of a name is missing.
#[test]
fn what_plans_are_promised_is_there() {
    let first = "alert crit debug emerg err info notice warning fail return next break each map filter reduce any all slice \
        with then lest reverse_each step index dig get getvar empty length size keys values sort unique flatten join split \
        upcase downcase capitalize strip lstrip rstrip chomp regsubst match sprintf ceiling floor round abs max min compare \
        versioncmp range parsejson to_json stdlib::to_json to_json_pretty parseyaml to_yaml merge count reverse member \
        intersection difference union pick concat delete type assert_type convert_to new unwrap strftime defined file base64 \
        reboot::sleep";
    let second = "group_by partition tree_each find_file binary_file shell_escape seeded_rand stdlib::start_with \
        stdlib::end_with stdlib::ip_in_range sha256 lookup";
    let missing: Vec<&str> = first
        .split_whitespace()
        .chain(second.split_whitespace())
        .filter(|name| super::find(name).is_none())
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}
