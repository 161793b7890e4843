use serde_json::{Map, Value, json};

use super::*;

fn vectors(name: &str) -> Value {
    let path = format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn strings(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).unwrap()
}

/// The stand-ins for data plugins that the vectors were made with.
struct StandIns;

impl DataFunctions for StandIns {
    fn functions(&self) -> Vec<DataFunction> {
        let function = |name: &str, takes_argument| DataFunction { name: name.into(), takes_argument };
        vec![function("machines", false), function("scout", true), function("with", true)]
    }

    fn call(&self, name: &str, argument: Option<&str>) -> Result<Map<String, Value>, String> {
        let value = match (name, argument) {
            ("machines", None) => json!({"count": 2}),
            ("scout", Some(check)) => {
                json!({"name": check, "value": 1, "f": 1.5, "version": "1.2.3", "ok": true, "list": ["a", 1.0]})
            }
            ("with", _) => json!({"replaced": true}),
            other => return Err(format!("{other:?}")),
        };
        Ok(value.as_object().cloned().unwrap_or_default())
    }
}

/// The node of go-made-filters.json.
struct Node {
    agents: Vec<String>,
    classes: Vec<String>,
    facts: Facts,
}

impl Node {
    fn new(vectors: &Value) -> Node {
        Node {
            agents: strings(&vectors["agents"]),
            classes: strings(&vectors["classes"]),
            facts: Facts::from_json(vectors["facts_json"].as_str().unwrap().into()),
        }
    }

    fn view(&self) -> NodeView<'_> {
        NodeView {
            identity: "node1.example.net",
            agents: &self.agents,
            classes: &self.classes,
            facts: &self.facts,
            data: &StandIns,
        }
    }
}

fn check_facts(cases: &Value, facts: &Facts) -> usize {
    let mut failures = Vec::new();
    let cases = cases.as_array().unwrap();
    for case in cases {
        let word = |key: &str| case[key].as_str().unwrap().to_owned();
        let expected = match case["error"].as_bool() {
            Some(true) => Err(()),
            _ => Ok(case["match"].as_bool().unwrap()),
        };
        let Some(operator) = FactOperator::from_wire(&word("operator")) else {
            // Such an operator cannot be in a filter; the original errs when it meets one.
            if expected == Ok(true) {
                failures.push(format!("{case}: not an operator"));
            }
            continue;
        };
        let filter = FactFilter { fact: word("fact"), operator, value: word("value") };
        let result = filter.matches(facts).map_err(|_| ());
        if result != expected {
            failures.push(format!("{case} gave {result:?}"));
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
    cases.len()
}

#[test]
fn facts_compare_as_in_the_original() {
    let vectors = vectors("go-made-filters.json");
    assert_eq!(check_facts(&vectors["fact_matches"], &Node::new(&vectors).facts), 870);
}

#[test]
fn the_written_fact_vectors_agree() {
    let vectors = vectors("protocol.json");
    let facts = Facts::from_json(vectors["filters"]["facts"].to_string());
    assert_eq!(check_facts(&vectors["filters"]["fact_matches"], &facts), 39);
}

fn check_parse(cases: &Value) -> usize {
    let cases = cases.as_array().unwrap();
    for case in cases {
        let parsed = FactFilter::parse(case["input"].as_str().unwrap());
        if case["error"] == true {
            assert!(parsed.is_err(), "{case}: {parsed:?}");
            continue;
        }
        let filter = parsed.unwrap_or_else(|e| panic!("{case}: {e}"));
        assert_eq!(case["fact"], filter.fact, "{case}");
        assert_eq!(case["operator"], filter.operator.as_str(), "{case}");
        assert_eq!(case["value"], filter.value, "{case}");
    }
    cases.len()
}

#[test]
fn fact_text_reads_as_in_the_original() {
    assert_eq!(check_parse(&vectors("go-made-filters.json")["parse"]), 60);
    assert_eq!(check_parse(&vectors("protocol.json")["filters"]["parse"]), 13);
}

#[test]
fn names_match_as_in_the_original() {
    let vectors = vectors("go-made-filters.json");
    let node = Node::new(&vectors);
    let mut seen = 0;
    for (kind, cases) in [("identity", 25), ("agent", 17), ("class", 26)] {
        let list = vectors[kind].as_array().unwrap();
        assert_eq!(list.len(), cases);
        for case in list {
            let names = strings(&case["filter"]);
            // An empty list is no filter at all; the original's own functions call it no match.
            if names.is_empty() {
                continue;
            }
            let mut filter = Filter::default();
            match kind {
                "identity" => filter.identity = names,
                "agent" => filter.agent = names,
                _ => filter.cf_class = names,
            }
            assert_eq!(filter.matches(&node.view()).ok(), case["match"].as_bool(), "{kind} {case}");
            seen += 1;
        }
    }
    assert_eq!(seen, 65);
}

#[test]
fn the_written_name_vectors_agree() {
    let vectors = &vectors("protocol.json")["filters"];
    let facts = Facts::default();
    for kind in ["identity", "agent", "class"] {
        for case in vectors[kind].as_array().unwrap() {
            let names = strings(&case["filter"]);
            let list = |key: &str| case.get(key).map(strings).unwrap_or_default();
            let (agents, classes) = (list("agents"), list("classes"));
            let identity = case["identity"].as_str().unwrap_or("x");
            let node =
                NodeView { identity, agents: &agents, classes: &classes, facts: &facts, data: &NoData };
            let mut filter = Filter::default();
            match kind {
                "identity" => filter.identity = names,
                "agent" => filter.agent = names,
                _ => filter.cf_class = names,
            }
            assert_eq!(filter.matches(&node).ok(), case["match"].as_bool(), "{kind} {case}");
        }
    }
}

#[test]
fn words_build_the_filters_of_the_original() {
    let vectors = vectors("go-made-filters.json");
    for case in vectors["build"].as_array().unwrap() {
        let mut filter = Filter::default();
        let mut result = Ok(());
        for word in strings(&case["input"]) {
            // An empty word is dropped by the original and refused here: it would
            // widen the filter to the whole fleet.
            let added = match case["kind"].as_str().unwrap() {
                "fact" => filter.add_fact(&word),
                "class" => filter.add_class(&word),
                "agent" => filter.add_agent(&word),
                "identity" => filter.add_identity(&word),
                // The tools of the original take one expression; ours compile it.
                _ => {
                    filter.compound.extend((!word.is_empty()).then(|| vec![CompoundEntry::new(&word)]));
                    Ok(())
                }
            };
            match added {
                Err(FilterError::Empty(_)) => assert!(word.is_empty()),
                added => result = result.and(added),
            }
        }
        assert_eq!(case["error"], result.is_err(), "{case}");
        if result.is_ok() {
            assert_eq!(case["filter"], serde_json::to_value(&filter).unwrap(), "{case}");
        }
    }
    for case in vectors["combined"].as_array().unwrap() {
        let mut filter = Filter::default();
        let input = case["input"].as_str().unwrap();
        match filter.add_combined(input) {
            Err(FilterError::Empty(_)) => assert!(input.trim().is_empty()),
            result => result.unwrap(),
        }
        assert_eq!(case["filter"], serde_json::to_value(&filter).unwrap(), "{case}");
    }
}

#[test]
fn expressions_compute_as_in_the_original() {
    let vectors = vectors("go-made-filters.json");
    let node = Node::new(&vectors);
    let cases = vectors["compound"].as_array().unwrap();
    let mut failures = Vec::new();
    for case in cases {
        let text = case["expr"].as_str().unwrap();
        let result = Expression::compile(text, &StandIns.functions()).and_then(|e| e.evaluate(&node.view()));
        let agrees = match (case["error"].as_str(), &result) {
            (Some("compile"), Err(ExprError::Compile(_))) | (Some("run"), Err(ExprError::Run(_))) => true,
            (None, Ok(result)) => case["match"] == *result,
            _ => false,
        };
        if !agrees {
            failures.push(format!("{case} gave {result:?}"));
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
    assert_eq!(cases.len(), 314);
}

#[test]
fn compound_entries_vote() {
    let vectors = vectors("go-made-filters.json");
    let node = Node::new(&vectors);
    let cases = vectors["compound_lists"].as_array().unwrap();
    assert_eq!(cases.len(), 17);
    for case in cases {
        let compound: Vec<Vec<CompoundEntry>> =
            serde_json::from_str(case["compound_json"].as_str().unwrap()).unwrap();
        // As above: an empty list is no filter.
        if compound.is_empty() {
            continue;
        }
        let filter = Filter { compound, ..Filter::default() };
        assert_eq!(filter.matches(&node.view()).unwrap_or(false), case["match"].as_bool().unwrap(), "{case}");
    }
}

#[test]
fn whole_filters_match_as_in_the_original() {
    let vectors = vectors("go-made-filters.json");
    let node = Node::new(&vectors);
    let cases = vectors["whole"].as_array().unwrap();
    assert_eq!(cases.len(), 12);
    for case in cases {
        let filter: Filter = serde_json::from_str(case["filter_json"].as_str().unwrap()).unwrap();
        assert_eq!(filter.matches(&node.view()).unwrap_or(false), case["match"].as_bool().unwrap(), "{case}");
    }
}

#[test]
fn fact_files_read_as_in_the_original() {
    let vectors = vectors("go-made-filters.json");
    let cases = vectors["fact_files"].as_array().unwrap();
    assert_eq!(cases.len(), 20);
    for case in cases {
        let dir = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        for file in case["files"].as_array().unwrap() {
            let path = dir.path().join(file["name"].as_str().unwrap());
            if file["absent"] != true {
                std::fs::write(&path, file["content"].as_str().unwrap()).unwrap();
            }
            paths.push(path);
        }
        let list = std::env::join_paths(paths).unwrap();
        let (facts, problems) = Facts::load(list.to_str().unwrap());
        let none = problems.iter().any(|p| matches!(p, FactsError::None { .. } | FactsError::Unnamed));
        assert_eq!(case["error"].as_bool().unwrap_or(false), none, "{case}: {problems:?}");
        assert_eq!(case["facts_json"].as_str().unwrap_or("{}"), facts.as_json(), "{case}: {problems:?}");
    }
}

#[test]
fn classes_files_read_as_in_the_original() {
    let vectors = vectors("go-made-filters.json");
    let cases = vectors["class_files"].as_array().unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("classes.txt");
        std::fs::write(&path, case["content"].as_str().unwrap()).unwrap();
        assert_eq!(strings(&case["classes"]), load_classes(&path), "{case}");
    }
    assert!(load_classes("/nonexistent/classes.txt").is_empty());
}

/// Generated expressions, paths and constraints, judged by the libraries of
/// the original.
#[test]
fn the_languages_mean_what_they_mean_to_the_original() {
    let vectors = vectors("go-made-languages.json");
    let (agents, classes) = (["rpcutil".to_owned()], ["apache".to_owned()]);
    let facts = Facts::from_json(vectors["facts_json"].as_str().unwrap().into());
    let node =
        NodeView { identity: "node1", agents: &agents, classes: &classes, facts: &facts, data: &NoData };
    let cases = |key: &str| vectors[key].as_array().unwrap().clone();
    let word = |case: &Value, at: usize| case[at].as_str().unwrap().to_owned();
    for case in cases("expressions") {
        let result = Expression::compile(&word(&case, 0), &[]).and_then(|e| e.evaluate(&node));
        let result = match result {
            Ok(truth) => truth.to_string(),
            Err(ExprError::Compile(_)) => "compile".into(),
            Err(ExprError::Run(_)) => "run".into(),
        };
        assert_eq!(word(&case, 1), result, "{case}");
    }
    for case in cases("paths") {
        let found = facts.get(&word(&case, 0)).map(|mut value| {
            value.sort_all_objects();
            crate::core::protocol::json::go_json(&value)
        });
        assert_eq!(case[1].as_str(), found.as_deref(), "{case}");
    }
    for case in cases("versions") {
        let result = semver_matches(&word(&case, 0), &word(&case, 1));
        assert_eq!(word(&case, 2), result.map_or("err".into(), |truth| truth.to_string()), "{case}");
    }
}

/// Every filter grammar on five nodes, as recorded.
#[test]
fn recorded_filters_select_the_recorded_nodes() {
    let vectors = vectors("captured/filters.json");
    let nodes = vectors["inventory_nodes"].as_array().unwrap();
    let (mut differ, mut empty) = (Vec::new(), 0);
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 152);
    for case in cases {
        let words = strings(&case["args"]);
        let mut filter = Filter::default();
        let mut parsed = Ok(());
        let mut collective = None;
        for option in words.chunks(2) {
            let [flag, word] = option else { panic!("{case}") };
            let added = match flag.as_str() {
                "-F" => filter.add_fact(word),
                "-C" => filter.add_class(word),
                "-A" => filter.add_agent(word),
                "-I" => filter.add_identity(word),
                "-W" => filter.add_combined(word),
                "-S" => filter.set_expression(word),
                "-T" => {
                    collective = Some(word.clone());
                    Ok(())
                }
                other => panic!("{other} {case}"),
            };
            parsed = parsed.and(added);
        }
        if matches!(parsed, Err(FilterError::Empty(_))) {
            // Dropped by the original, which then acts on every node; refused here.
            empty += 1;
            continue;
        }
        let selected = parsed.map(|()| {
            let mut names = Vec::new();
            for node in nodes {
                let name = node["name"].as_str().unwrap();
                let (agents, classes) = (strings(&node["agents"]), strings(&node["classes"]));
                let facts = Facts::from_json(node["facts"].to_string());
                let view = NodeView {
                    identity: name,
                    agents: &agents,
                    classes: &classes,
                    facts: &facts,
                    data: &NoData,
                };
                let here = collective.as_ref().is_none_or(|c| strings(&node["collectives"]).contains(c));
                if here && filter.matches(&view).unwrap_or(false) {
                    names.push(name.trim_end_matches(".example.net").to_owned());
                }
            }
            names.sort();
            names
        });
        let expected = case["nodes"].as_array().map(|_| strings(&case["nodes"])).unwrap_or_default();
        if selected.clone().unwrap_or_default() != expected {
            differ.push(format!("{case} gave {selected:?}"));
        }
    }
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
    assert!(empty > 0);
}
