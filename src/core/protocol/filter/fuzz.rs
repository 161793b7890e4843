//! Filters come from strangers: whatever they hold, a node answers and goes on.

use proptest::prelude::*;

use super::*;
use crate::core::protocol::json::{Numbers, read_value};

const FACTS: &str = r#"{"country":"MT","cpus":4,"os":{"family":"RedHat","release":{"major":"9"}},"list":["a",3,null,[1,[2]]],"disks":[{"name":"sda","size":100},{"name":"sdb","size":200}],"text":"{\"a\":1}","on":true}"#;

fn node_matches(filter: &Filter) {
    let (agents, classes) = (["rpcutil".to_owned()], ["apache".to_owned()]);
    let facts = Facts::from_json(FACTS.into());
    let node = NodeView { identity: "n1", agents: &agents, classes: &classes, facts: &facts, data: &NoData };
    let _ = filter.matches(&node);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// What a filter prints as reads as the same filter, unless its value would
    /// take over the split or make it an expression.
    #[test]
    fn fact_text_round_trips(fact in "[a-z][a-z.]{0,8}", op in 0usize..7, value in "[a-z0-9./]{1,8}") {
        let wire = ["==", "!=", "=~", "<", "<=", ">", ">="][op];
        let operator = FactOperator::from_wire(wire).unwrap();
        prop_assume!(operator == FactOperator::Match || pattern::expression(&value).is_none());
        let filter = FactFilter { fact, operator, value };
        prop_assert_eq!(FactFilter::parse(&filter.to_string()), Ok(filter));
    }

    #[test]
    fn any_words_make_a_filter_or_an_error(words in any::<String>()) {
        let mut filter = Filter::default();
        let _ = filter.add_fact(&words);
        let _ = filter.add_combined(&words);
        let _ = filter.set_expression(&words);
        node_matches(&filter);
    }

    #[test]
    fn any_names_and_values_are_compared(name in any::<String>(), value in any::<String>()) {
        for wire in ["==", "!=", "=~", "<", "<=", ">", ">="] {
            let operator = FactOperator::from_wire(wire).unwrap();
            for fact in ["country", "cpus", "on", "list", &name] {
                let fact = FactFilter { fact: fact.into(), operator, value: value.clone() };
                node_matches(&Filter { fact: vec![fact], ..Filter::default() });
            }
        }
        let names = vec![name.clone(), format!("/{name}/")];
        node_matches(&Filter { identity: names.clone(), ..Filter::default() });
        node_matches(&Filter { agent: names.clone(), ..Filter::default() });
        node_matches(&Filter { cf_class: names, ..Filter::default() });
    }

    #[test]
    fn any_version_text_is_judged(version in "[0-9v.x*+a-c -]{0,12}", constraint in "[0-9v.x*+a-c <>=~^|,-]{0,24}") {
        let _ = semver_matches(&version, &constraint);
    }
}

/// Text put together from the words of a language reaches further into a
/// parser than random bytes do.
fn sentence(words: &[&str], picks: &[u8]) -> String {
    picks.iter().take(60).map(|pick| words[usize::from(*pick) % words.len()]).collect()
}

#[test]
fn any_path_finds_something_or_nothing() {
    const WORDS: &[&str] = &[
        ".",
        "|",
        "#",
        "#(",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "\"",
        "\\",
        "*",
        "?",
        "@",
        "!",
        "==",
        "%",
        "~true",
        "<",
        "os",
        "list",
        "disks",
        "name",
        "size",
        "0",
        "1",
        "99",
        "@this",
        "@keys",
        "@values",
        "@reverse",
        "@flatten:",
        "{\"deep\":true}",
        "@dig:",
        "@tostr",
        "@fromstr",
        "@group",
        "@join",
        "..",
        "text",
        "ž",
        "!true",
        "!\"a\"",
    ];
    let facts = Facts::from_json(FACTS.into());
    bolero::check!().with_iterations(6000).with_type::<Vec<u8>>().for_each(|picks| {
        let _ = facts.get(&sentence(WORDS, picks));
        let _ = facts.get(&String::from_utf8_lossy(picks));
    });
}

#[test]
fn any_expression_compiles_and_runs_or_errs() {
    const WORDS: &[&str] = &[
        " ",
        " ",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ";",
        ":",
        "?",
        "?.",
        ".",
        "..",
        "#",
        "|",
        "==",
        "!=",
        "<",
        ">=",
        "+",
        "-",
        "*",
        "/",
        "%",
        "**",
        "??",
        "!",
        "not ",
        " in ",
        " and ",
        " or ",
        " matches ",
        " contains ",
        "let x = ",
        "if ",
        " else ",
        "true",
        "nil",
        "1",
        "2.5",
        "0x1f",
        "\"a\"",
        "'b'",
        "`c`",
        "fact(\"list\")",
        "fact(\"os\")",
        "with(\"cpus>3\")",
        "agents",
        "classes",
        "facts",
        "$env",
        "any(",
        "map(",
        "filter(",
        "reduce(",
        "sortBy(",
        "groupBy(",
        "len(",
        "string(",
        "toJSON(",
        "split(",
        "date(\"2020-01-01\")",
        ".Year()",
        "duration(\"1h\")",
        "// c\n",
        "\"\\u00e9\"",
        "1..9",
        "index",
        "acc",
        "x",
        "include(",
        "flatten(",
        "repeat(",
        "max(",
        "bitshl(",
    ];
    let (agents, classes) = (["rpcutil".to_owned()], ["apache".to_owned()]);
    let facts = Facts::from_json(FACTS.into());
    bolero::check!().with_iterations(8000).with_type::<Vec<u8>>().for_each(|picks| {
        let node =
            NodeView { identity: "n1", agents: &agents, classes: &classes, facts: &facts, data: &NoData };
        for text in [sentence(WORDS, picks), String::from_utf8_lossy(picks).into_owned()] {
            if let Ok(expression) = Expression::compile(&text, &[]) {
                let _ = expression.evaluate(&node);
            }
        }
    });
}

#[test]
fn any_fact_file_is_read_or_skipped() {
    const WORDS: &[&str] = &[
        "a",
        "b",
        ": ",
        "\n",
        "\n  ",
        "- ",
        "&x ",
        "*x",
        "<<: ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "'",
        "\"",
        "|\n",
        ">\n",
        "# c",
        "---\n",
        "...\n",
        "!tag ",
        "!!str ",
        "0x1",
        "010",
        "1_0",
        ".5",
        "1e3",
        "~",
        "\t",
        "? ",
        "%YAML 1.2\n",
    ];
    let dir = tempfile::tempdir().unwrap();
    let (yaml, json) = (dir.path().join("f.yaml"), dir.path().join("f.json"));
    bolero::check!().with_iterations(1000).with_type::<Vec<u8>>().for_each(|picks| {
        for content in [sentence(WORDS, picks).into_bytes(), picks.clone()] {
            for path in [&yaml, &json] {
                std::fs::write(path, &content).unwrap();
                let (facts, _) = Facts::load(path.to_str().unwrap());
                assert!(read_value(facts.as_json().as_bytes(), Numbers::Exact).is_ok());
            }
        }
    });
}

#[test]
fn what_asks_for_too_much_is_refused() {
    let (agents, classes) = (["rpcutil".to_owned()], ["apache".to_owned()]);
    let many: Vec<String> = (0..3000).map(|i| i.to_string()).collect();
    let facts = Facts::from_json(format!("{{\"many\":[{}]}}", many.join(",")));
    let node = NodeView { identity: "n1", agents: &agents, classes: &classes, facts: &facts, data: &NoData };
    let run = |text: &str| Expression::compile(text, &[]).and_then(|e| e.evaluate(&node));
    for text in [
        "len(1..9999999999) > 1",
        "all(1..100000, {all(1..100000, {true})})",
        "len(repeat(\"a\", 999999999)) > 1",
        "let a = repeat(\"a\", 1000000); len(map(1..100, {a + string(#)})) > 1",
        "len(filter(fact(\"many\"), {# in fact(\"many\")})) > 1",
        "fact(\"many\") matches \"(x{1000}){1000}\"",
        "reduce(1..100000, [#acc]) == 1",
        "let a = reduce(1..100, [#acc, #acc]); a == a",
        "string(reduce(1..60, [#acc, #acc])) == \"\"",
        "toJSON(reduce(1..60, {\"a\": #acc, \"b\": #acc})) == \"\"",
        "let a = repeat(\"ab\", 400000); any(1..60000, {len(trim(a, \"ba\")) > 0})",
        "let a = repeat(\"ab\", 400000); any(1..60000, {a contains \"x\" or indexOf(a, \"x\") > 0})",
        "let a = repeat(\"a\", 900000); any(1..60000, {len(split(a, \"\")) < 0})",
        "let a = repeat(\"a\", 9000); any(1..60000, {upper(a) + lower(a) == replace(a, \"a\", \"bb\")})",
        "any(1..60000, {len(uniq(map(1..20000, {0.0 / 0}))) < 0})",
        "let m = groupBy(1..20000, {string(#)}); all(1..20000, {m[string(# + 50000)] == nil})",
        "let a = map(1..3000, {string(#)}); all(1..3000, {not (string(-#) in a)})",
        "let m = fromPairs(map(1..3000, {[string(#), #]})); all(1..3000, {m == m})",
        "let a = repeat(\"a\", 100000); any(1..60000, {a matches \"(a?){60}a{60}b\"})",
        "any(1..60000, {let x = facts; x == facts and false})",
        "any(1..60000, {sort(fact(\"many\")) == nil})",
        "any(1..60000, {median(fact(\"many\"), fact(\"many\")) < 0})",
        "any(1..60000, {semver(\"1.2.3\", \">1 \" + repeat(\"|| >2 \", 20)) and 1 > 2})",
        "all(1..100000, {string(#) matches \"^\" + string(#)})",
        "all(1..100000, {with(\"/a/\") or true and 1 == 1})",
        "all(1..100000, {len(fact(\"@dig:x\")) == 0})",
    ] {
        assert!(run(text).is_err(), "{text}");
    }
    for text in
        ["(".repeat(5000), "not ".repeat(5000), "[".repeat(5000), "a?.".repeat(5000), "-".repeat(5000)]
    {
        assert!(matches!(Expression::compile(&format!("{text}1"), &[]), Err(ExprError::Compile(_))));
    }
    // Trees that stand twice at every level.
    for (open, close) in [("(", " ?: true)"), ("(1 < (", ") < 1)")] {
        let text = format!("{}true{}", open.repeat(45), close.repeat(45));
        assert!(matches!(Expression::compile(&text, &[]), Err(ExprError::Compile(_))), "{text}");
    }
    assert!(Expression::compile(&"1+".repeat(5000), &[]).is_err());
    let crowd = |name: &str| Filter { identity: vec![name.into(); 5000], ..Filter::default() };
    let refused = crowd("/x{900}{900}/").matches(&node);
    assert_eq!(refused, Err(MatchError::TooMany(5000, "facts and regular expressions", MAX_COSTLY)));
    assert_eq!(crowd("n2").matches(&node), Ok(false));
    // Long but flat is fine.
    assert_eq!(run(&vec!["with(\"nope\")"; 900].join(" or ")), Ok(false));
    assert_eq!(
        run(&format!("{}true", "(".repeat(90)).replace("true", &format!("true{}", ")".repeat(90)))),
        Ok(true)
    );

    assert_eq!(run("len(uniq(fact(\"many\"))) == 3000"), Ok(true));
    assert_eq!(run("all(fact(\"many\"), {string(#) matches \"^[0-9]+$\"})"), Ok(true));

    let list = facts.get("[many,many].@flatten.#");
    assert_eq!(list, Some(serde_json::json!(6000)));
    let dig = format!("{}many", "@dig:".repeat(20));
    assert!(facts.get(&dig).is_none_or(|found| found.is_array()));
    assert_eq!(facts.get(&"many|".repeat(2000)), None);
    let doubled = (0..20).fold("many".to_owned(), |path, _| format!("[{path},{path}]"));
    assert_eq!(facts.get(&doubled), None);
    for path in [
        vec!["[@this,@this]"; 22].join("|"),
        vec!["{a:@this,b:@this}"; 22].join("|"),
        vec!["@dig:[@this,@this]"; 20].join("|"),
        format!("many|{}", vec!["[@tostr,@tostr]"; 40].join("|")),
        "many.#(%\"*a*a*a*a*a*a*b\")#|@this|".repeat(30),
    ] {
        let budget = Budget::default();
        let found = facts.find(&path, &budget);
        assert!(
            found.is_err() || found.is_ok_and(|found| found.is_none_or(|v| v.to_string().len() < 1000)),
            "{path}"
        );
    }
}
