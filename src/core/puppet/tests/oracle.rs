//! What another parser takes for the language: the grammar that editors use. It knows
//! syntax only, so that it takes more, and manifests better than plans, so that it takes
//! less: no plans with parameters, no blocks in arguments, no expressions as statements, no
//! index in a value.

use std::sync::Arc;

use proptest::prelude::*;
use tree_sitter::Parser;

use crate::parser::parse;
use crate::source::Source;

fn theirs(text: &str) -> bool {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_puppet::LANGUAGE.into()).expect("a grammar");
    !parser.parse(text, None).expect("a tree").root_node().has_error()
}

fn ours(text: &str) -> bool {
    parse(Arc::new(Source::new("t.pp", text))).is_ok()
}

#[test]
fn we_take_all_that_the_original_takes_and_the_other_much_of_it() {
    let vectors = super::vectors();
    let good: Vec<&str> = vectors["language"]
        .as_array()
        .expect("cases")
        .iter()
        .filter(|case| case.get("result").is_some())
        .map(|case| case["code"].as_str().expect("code"))
        .collect();
    for code in &good {
        assert!(ours(code), "{code}");
    }
    // it is made for manifests, whose statements are not expressions
    let both = good.iter().filter(|code| theirs(code)).count();
    assert!(both > 100, "{both} of {}", good.len());
}

/// Expressions that mean something, from small ones.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("$x".to_owned()),
        (0_u16..2000).prop_map(|n| n.to_string()),
        "[a-z]{1,5}".prop_map(|word| format!("'{word}'")),
        "[a-z]{1,5}".prop_map(|word| format!("\"a ${{{word}}} b\"")),
        Just("undef".to_owned()),
        Just("true".to_owned()),
        Just("Integer".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let operator = prop::sample::select(vec![
            "+", "-", "*", "/", "%", "==", "!=", "<", ">=", "and", "or", "in", "<<",
        ]);
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(a, sign, b)| format!("({a} {sign} {b})")),
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec(inner.clone(), 0..3).prop_map(|values| {
                let pairs: Vec<_> =
                    values.iter().enumerate().map(|(n, value)| format!("'k{n}' => {value}")).collect();
                format!("{{ {} }}", pairs.join(", "))
            }),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("f({a}, {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("h({a}).dig({b})")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_well_formed_is_taken_by_both(a in expression(), b in expression(), name in "[a-z]{1,6}::[a-z]{1,6}") {
        let text = format!(
            "function {name} (String $x, Array[Integer] $l = [], Hash $h = {{}}) {{\n  $y = {a}\n  if $y {{ notice({b}) }} \
             else {{ fail('no') }}\n  $z = $y ? {{ 1 => {a}, default => {b} }}\n}}\n"
        );
        prop_assert!(ours(&text), "{}", text);
        prop_assert!(theirs(&text), "{}", text);
    }

    #[test]
    fn what_lacks_its_end_is_taken_by_neither(a in expression(), cut in 1_usize..40) {
        let text = format!("function f($x) {{ $y = [{a}]\n $y }}\n");
        let short: String = text.chars().take(text.chars().count().saturating_sub(cut + 2)).collect();
        if !ours(&short) {
            return Ok(());
        }
        prop_assert!(theirs(&short), "only we take {}", short);
    }
}
