use super::*;

fn shown(text: &str) -> String {
    match lex(&Source::new("t", text)) {
        Ok(tokens) => {
            let words: Vec<_> = tokens.iter().map(|token| described(&token.tok)).collect();
            words.join(" ")
        }
        Err(e) => format!("error {e}"),
    }
}

fn described(tok: &Tok) -> String {
    match tok {
        Tok::String(text) => format!("<{}>", text.as_str()),
        Tok::Regexp(text) => format!("/{}/", text.as_str()),
        Tok::Word(text) => format!("word:{}", text.as_str()),
        Tok::Float(n) => format!("{n:?}"),
        Tok::End => "end".to_owned(),
        Tok::Interpolated(parts) => {
            let part = |part: &Part| match part {
                Part::Text(text) => format!("<{}>", text.as_str()),
                Part::Variable(name, _) => format!("${}", name.as_str()),
                Part::Code(tokens) => {
                    let words: Vec<_> = tokens.iter().map(|token| described(&token.tok)).collect();
                    format!("({})", words.join(" "))
                }
            };
            format!("\"{}\"", parts.iter().map(part).collect::<String>())
        }
        other => other.shown().trim_matches('\'').to_owned(),
    }
}

#[test]
fn words_and_signs() {
    for (text, tokens) in [
        ("a::b $c ::d Ab::Cd", "a::b $c d Ab::Cd end"),
        ("foo-bar 5-3 $a-1", "word:foo-bar 5 - 3 $a - 1 end"),
        ("|$x| ||", "| $x | | | end"),
        ("010 0x1F 1e3 1.5 1.max", "8 31 1000.0 1.5 1 . max end"),
        ("a:b default:", "a : b default : end"),
        ("# c\n/* d\n */ 1", "1 end"),
        ("$::facts $a::b", "$facts $a::b end"),
        ("'a\\n\\'b\\\\'", "<a\\n'b\\> end"),
    ] {
        assert_eq!(shown(text), tokens, "{text}");
    }
}

#[test]
fn a_slash_divides_behind_a_value_only() {
    assert_eq!(shown("if /a b/ {"), "if /a b/ { end");
    assert_eq!(shown("$x / 2 / 3"), "$x / 2 / 3 end");
    assert_eq!(shown("[/a/, /b\\/c/]"), "[ /a/ , /b/c/ ] end");
}

#[test]
fn strings_hold_code() {
    for (text, tokens) in [
        (r#""a $b c""#, "\"<a >$b< c>\" end"),
        (r#""${a['}']} $""#, "\"(a [ <}> ] end)< $>\" end"),
        (r#""${{'a' => "x${1}"}}""#, "\"({ <a> => \"<x>(1 end)\" } end)\" end"),
        (r#""\u0041\u{1F600}\q\$x""#, "<A😀\\q$x> end"),
        ("@(E)\n  a ${1}\n   b\n  | - E\n$x", "<a ${1}\n b> $x end"),
        ("f(@(A), @(B/t))\nx\n| A\n\\ty\\n\n| B\nz", "f ( <x\n> , <\ty\\n\n> ) z end"),
    ] {
        assert_eq!(shown(text), tokens, "{text}");
    }
}

#[test]
fn errors_have_a_place() {
    for (text, error) in [
        ("\n  'abc", "t:2:3: expected a ' to end this string"),
        ("\"a ${b", "t:1:4: expected '}' to end this '${'"),
        ("x = §", "t:1:5: a '§' means nothing here"),
        ("@(E)\nabc", "t:1:1: expected a line '| E' that ends this heredoc"),
        ("12ab", "t:1:1: a number ends in a letter"),
        ("09", "t:1:1: a number that begins with 0 is octal"),
        ("@(\"E\")\n    a\n    ${x §}\n    | E\n", "t:3:9: a '§'"),
        ("99999999999999999999", "t:1:1: a number is larger"),
    ] {
        let got = shown(text);
        assert!(got.starts_with(&format!("error {error}")), "{text}: {got}");
    }
    let deep = "\"${".repeat(50);
    assert!(shown(&deep).contains("nested deeper"), "{}", shown(&deep));
}
