use std::sync::Arc;

use indexmap::IndexMap;
use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::budget::Budget;
use crate::value::Value;

fn of(text: &str) -> Type {
    let (of, unknown) = parse(text, Box::leak(Box::default())).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert!(unknown.is_empty(), "{text}: {unknown:?}");
    of
}

fn value(json: &str) -> Value {
    let json: Json = serde_json::from_str(json).expect("JSON");
    Value::from_json(&json, &Budget::new(1 << 20)).expect("room")
}

#[test]
fn values_are_of_types() {
    for (text, inside, outside) in [
        ("Integer[1, 10]", "10", "11"),
        ("Integer[default, 0]", "-3", "1"),
        ("Float[0.5]", "0.5", "0.4"),
        ("Numeric", "1.5", "\"1\""),
        ("String[2, 3]", "\"éé\"", "\"a\""),
        ("Enum[a, b]", "\"a\"", "\"A\""),
        ("Enum['a', 'b', true]", "\"A\"", "\"c\""),
        ("Pattern[/^x/]", "\"xa\"", "\"ax\""),
        ("Array[Integer, 1]", "[1]", "[]"),
        ("Hash[String, Integer]", "{\"a\":1}", "{\"a\":\"b\"}"),
        ("Tuple[Integer, String, 1, 3]", "[1,\"a\",\"b\"]", "[1,\"a\",2]"),
        ("Struct[{a => Integer, Optional[b] => String}]", "{\"a\":1}", "{\"b\":\"x\"}"),
        ("Struct[{NotUndef[a] => Any}]", "{\"a\":null}", "{}"),
        ("Struct[{a => Optional[Integer]}]", "{}", "{\"a\":1,\"z\":1}"),
        ("Variant[Integer, Boolean[true]]", "true", "false"),
        ("Optional[String]", "null", "1"),
        ("Optional['x']", "\"x\"", "\"y\""),
        ("NotUndef", "0", "null"),
        ("Data", "{\"a\":[null,{\"b\":1}]}", "null_"),
        ("Collection[1]", "[1]", "[]"),
        ("Iterable[Integer]", "[1]", "[\"a\"]"),
        ("Stdlib::Absolutepath", "\"/etc/x\"", "\"etc\""),
        ("Stdlib::Absolutepath", "\"C:\\\\x\"", "\"\""),
        ("Stdlib::Fqdn", "\"a.example.net\"", "\"a_b.net\""),
        ("Stdlib::IP::Address", "\"10.0.0.1\"", "\"10.0.0.256\""),
        ("Stdlib::IP::Address::V6", "\"fe80::1\"", "\"fe80\""),
        ("Stdlib::Port", "65535", "65536"),
        ("Stdlib::HTTPUrl", "\"https://x\"", "\"ftp://x\""),
        ("Choria::Nodes", "[\"a\"]", "[\"\"]"),
        ("Choria::ShellSafe", "\"ls & x\"", "\"ls && x\""),
        ("TargetSpec", "[[\"a\"],\"b\"]", "[1]"),
    ] {
        let of = of(text);
        let holds = |json: &str| instance(&of, &value(json), &mut Matching::new());
        assert!(holds(inside), "{text} {inside}");
        assert!(outside == "null_" || !holds(outside), "{text} {outside}");
    }
}

#[test]
fn well_known_names_are_types() {
    let text = include_str!("alias.rs");
    let names: Vec<_> =
        text.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" =>")).collect();
    assert!(names.len() > 30, "{names:?}");
    for (name, _) in names {
        assert!(of(name).resolved().is_some(), "{name}");
    }
}

#[test]
fn types_print_as_they_are_written() {
    for text in [
        "Any",
        "Integer[1, 10]",
        "Integer[default, 10]",
        "Integer[1]",
        "Float[1.0, 2.5]",
        "String[1]",
        "Enum['a', 'it\\'s']",
        "Pattern[/a\\/b/]",
        "Array[Integer[1, 1], 1, 3]",
        "Hash[String, Array]",
        "Tuple[Integer, String, 1, 3]",
        "Struct[{'a' => Integer, Optional['b'] => String, NotUndef['c'] => Any}]",
        "Variant[Integer, Undef]",
        "Optional[Enum['a', 'b']]",
        "Optional['a']",
        "Type[Integer]",
        "Callable[Integer, 1, 2]",
        "Sensitive[String]",
        "SemVer['>=1.0.0']",
        "Stdlib::Port",
    ] {
        let mut aliases = Aliases::default();
        assert_eq!(parse(text, &mut aliases).expect(text).0.to_string(), text);
    }
}

#[test]
fn what_is_no_type_is_explained() {
    for (text, error) in [
        ("", "expected a value"),
        ("Integer[", "expected a value"),
        ("5", "'5' is not a type"),
        ("Integer[a]", "Integer takes integers, not 'a'"),
        ("Integer[5, 1]", "has a least that is more than its most"),
        ("Enum[1]", "Enum takes words, not 1"),
        ("Struct[{1 => Integer}]", "Struct has no key 1"),
        ("Undef[1]", "Undef takes no parameters"),
        ("Pattern[/(/]", "the regular expression /(/ is wrong"),
        ("$x", "is not a type"),
        ("fail('x')", "'fail('x')' is not a type"),
        ("Integer Integer", "expected the end of the text"),
    ] {
        let e = parse(text, &mut Aliases::default()).expect_err(text).to_string();
        assert!(e.contains(error), "{text}: {e}");
    }
    let nested = "Array[".repeat(1_000);
    assert!(parse(&nested, &mut Aliases::default()).expect_err("deep").to_string().contains("nested deeper"));
    let (any, unknown) = parse("Array[Foo::Bar[1]]", &mut Aliases::default()).expect("a type");
    assert_eq!((any.to_string().as_str(), unknown), ("Array", vec!["Foo::Bar".to_owned()]));
}

#[test]
fn names_that_lead_nowhere_or_everywhere_end() {
    let mut aliases = Aliases::default();
    let define = |aliases: &mut Aliases, name: &str, text: &str| {
        let alias = aliases.declare(&Text::literal(name));
        let (of, _) = parse(text, aliases).expect(text);
        aliases.define(name, of);
        alias
    };
    let own = define(&mut aliases, "A", "A");
    let one = define(&mut aliases, "B", "Variant[B, Integer]");
    let many = define(&mut aliases, "C", "Variant[Array[C], Array[C], Integer]");
    assert!(!instance(&own, &value("1"), &mut Matching::new()));
    assert!(instance(&one, &value("1"), &mut Matching::new()));
    assert!(!instance(&one, &value("\"a\""), &mut Matching::new()));
    let deep = format!("{}\"a\"{}", "[".repeat(100), "]".repeat(100));
    let mut matching = Matching::new();
    assert!(!instance(&many, &value(&deep), &mut matching));
    assert!(matching.exhausted, "two to the hundredth is too often");
    drop(aliases);
    assert!(!instance(&one, &value("1"), &mut Matching::new()), "the table is gone");
}

#[test]
fn inputs_of_tasks_are_judged_as_ever() {
    let vectors = crate::tests::vectors();
    let cases = vectors["input_validation"].as_array().expect("cases");
    assert!(cases.len() >= 20);
    for case in cases {
        let mut aliases = Aliases::default();
        // absent parameters take anything, a parameter without a type is of any: see the
        // table of differences in docs/compatibility.md
        let Some(parameters) = case["parameters"].as_object() else { continue };
        let types: Vec<_> = parameters
            .iter()
            .map(|(name, parameter)| {
                let text = parameter["type"].as_str().unwrap_or("Any");
                (name.as_str(), parse(text, &mut aliases).expect(text))
            })
            .collect();
        let declared: Vec<_> =
            types.iter().map(|(name, (of, _))| Declared { name, of, optional: false }).collect();
        let Value::Hash(given) = value(&case["input"].to_string()) else { panic!("{case}") };
        let wrong = mismatches(&declared, given.entries()).join("\n ");
        let reason = case["reason"].as_str().expect("a reason");
        match reason.contains("unresolved") || case.get("keep").is_some() {
            true => assert_eq!(wrong, "", "names of modules are known or taken for anything: {case}"),
            false => assert_eq!(wrong, reason, "{case}"),
        }
    }
}

#[test]
fn mismatches_say_where() {
    for (text, json, wrong) in [
        ("Optional[Enum[a, b]]", "\"c\"", "x expects an undef value or a match for Enum['a', 'b'], got 'c'"),
        (
            "Variant[Integer, Boolean, Array]",
            "\"c\"",
            "x expects a value of type Integer, Boolean, or Array, got String",
        ),
        ("Array[Integer, 2]", "[1]", "x expects size to be at least 2, got 1"),
        ("Hash[String, Integer]", "{\"a\":\"b\"}", "x entry 'a' expects an Integer value, got String"),
        ("Struct[{a => Integer}]", "{\"b\":1}", "x expects a value for key 'a'; x unrecognized key 'b'"),
        ("Tuple[Integer, Integer]", "[1]", "x expects size to be 2, got 1"),
        ("Optional[Array[Integer]]", "[\"a\"]", "x index 0 expects an Integer value, got String"),
        ("Stdlib::Port", "70000", "x expects a Stdlib::Port value, got Integer[70000, 70000]"),
        ("Choria::Nodes", "[\"\"]", "x index 0 expects a Choria::Node value, got String"),
        ("NotUndef", "null", "x expects a NotUndef value, got Undef"),
    ] {
        assert_eq!(describe("x", &of(text), &value(json)).join("; "), wrong, "{text} {json}");
    }
    let many = format!("[{}]", vec!["\"a\""; 1_000].join(","));
    assert_eq!(describe("x", &of("Array[Integer]"), &value(&many)).len(), 20);
}

fn any_type() -> impl Strategy<Value = Type> {
    let count = prop_oneof![
        Just(Count::ANY),
        (0_u64..5, 5_u64..9).prop_map(|(least, most)| Span { least, most }),
        (1_u64..5).prop_map(|least| Span { least, most: u64::MAX }),
    ];
    let word = "[a-z'\\\\\n$ é]{1,6}".prop_map(|word| Text::literal(&word));
    let leaf = prop_oneof![
        Just(Kind::Any),
        Just(Kind::Data),
        Just(Kind::Boolean(Some(true))),
        (any::<i32>(), 0_i64..9).prop_map(|(least, more)| {
            let least = i64::from(least);
            Kind::Integer(Span { least, most: least + more })
        }),
        count.clone().prop_map(Kind::String),
        (prop::collection::vec(word.clone(), 1..4), any::<bool>())
            .prop_map(|(words, case)| Kind::Enum(words, case)),
        "[a-z/]{0,5}".prop_map(|text| {
            Kind::Pattern(vec![Arc::new(crate::value::Regexp::new(&text).expect("a regular expression"))])
        }),
    ];
    let leaf = leaf.prop_map(|kind| Type::new(kind).expect("small"));
    leaf.prop_recursive(3, 20, 3, move |inner| {
        let types = prop::collection::vec(inner.clone(), 1..4);
        let members = prop::collection::btree_map(
            word.clone(),
            (
                inner.clone(),
                prop_oneof![Just(Presence::Plain), Just(Presence::Optional), Just(Presence::Required)],
            ),
            1..3,
        );
        let members = members.prop_map(|members| {
            let member = |(name, (of, presence))| Member { name, presence, of };
            Kind::Struct(members.into_iter().map(member).collect())
        });
        prop_oneof![
            (inner.clone(), count.clone()).prop_map(|(of, count)| Kind::Array(of, count)),
            (inner.clone(), inner.clone(), count.clone())
                .prop_map(|(key, of, count)| Kind::Hash(key, of, count)),
            types.clone().prop_map(Kind::Variant),
            types.prop_map(|types| Kind::Tuple(types, None)),
            inner.prop_map(|of| Kind::NotUndef(Some(of))),
            members,
        ]
        .prop_map(|kind| Type::new(kind).expect("small"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_printed_type_reads_the_same(of in any_type()) {
        let text = of.to_string();
        let (again, _) = parse(&text, &mut Aliases::default()).unwrap_or_else(|e| panic!("{text}: {e}"));
        prop_assert_eq!(&again.to_string(), &text);
        prop_assert!(assignable(&of, &again, &mut Matching::new()), "{}", text);
    }

    #[test]
    fn a_value_is_of_its_own_type(json in crate::tests::any_json()) {
        let value = Value::from_json(&json, &Budget::new(1 << 22)).expect("room");
        let of = infer(&value).expect("small");
        prop_assert!(instance(&of, &value, &mut Matching::new()), "{}", of);
        let entries = IndexMap::from([(Value::word("x"), value)]);
        let declared = [Declared { name: "x", of: &of, optional: false }];
        prop_assert!(mismatches(&declared, &entries).is_empty());
    }
}
