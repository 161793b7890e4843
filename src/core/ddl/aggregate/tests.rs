use serde_json::json;

use super::*;

fn summed(function: &str, args: Value, values: &[Value]) -> Aggregator {
    let action: Action = serde_json::from_str(r#"{"action":"x"}"#).unwrap();
    let aggregate = Aggregate { function: function.into(), args };
    let mut aggregator = Action { aggregate: vec![aggregate], ..action }.aggregator();
    for value in values {
        aggregator.add(&Map::from_iter([("v".to_owned(), value.clone())]));
    }
    aggregator
}

#[test]
fn functions_of_public_agents_are_known() {
    let numbers = [json!(2.5), json!("4"), json!("soon"), json!(null), json!(1)];
    let processes = [
        json!([{"pid": 1, "rss": 2, "vsize": 4096}, {"pid": 2, "rss": 1024, "vsize": 1_610_612_736}]),
        json!([]),
        json!([{"rss": "many"}]),
        json!("none"),
    ];
    for (function, args, values, lines, document) in [
        (
            "nettest_mma",
            json!(["v", {"format": "Min: %.3fms  Max: %.3fms  Average: %.3fms"}]),
            &numbers[..],
            vec!["Min: 1.000ms  Max: 4.000ms  Average: 2.500ms"],
            json!({"v": {"min": 1.0, "max": 4.0, "average": 2.5}}),
        ),
        (
            "nettest_mma",
            json!(["v"]),
            &numbers[..1],
            vec!["Min: 2.500  Max: 2.500  Average: 2.500"],
            json!({"v": {"min": 2.5, "max": 2.5, "average": 2.5}}),
        ),
        ("nettest_mma", json!(["v"]), &[], vec![], json!({})),
        ("sum", json!(["v"]), &numbers, vec!["Sum of v: 7.500000"], json!({"v": {"sum": 7.5}})),
        (
            "sum",
            json!(["v", {"format": "%d in all"}]),
            &numbers,
            vec!["7 in all"],
            json!({"v": {"sum": 7.5}}),
        ),
        (
            "nagios_states",
            json!(["v"]),
            &[json!(0), json!(2), json!(0), json!(7), json!(null), json!(1.5)],
            vec!["        OK : 2", "   WARNING : 0", "  CRITICAL : 1", "   UNKNOWN : 3"],
            json!({"v": {"OK": 2, "WARNING": 0, "CRITICAL": 1, "UNKNOWN": 3}}),
        ),
        (
            "process_summary",
            json!(["v"]),
            &processes,
            vec![
                "    Matched hosts: 2",
                "Matched Processes: 3",
                "    Resident Size: 1.002 MB",
                "     Virtual Size: 1.500 GB",
            ],
            json!({"v": {"hosts": 2, "processes": 3, "rss": 1_050_624.0, "vsize": 1_610_616_832.0}}),
        ),
        (
            "boolean_summary",
            json!(["v", {"true": "enabled", "false": "disabled"}]),
            &[json!(true), json!(true), json!(false)],
            vec![" enabled: 2", "disabled: 1"],
            json!({"v": {"enabled": 2, "disabled": 1}}),
        ),
    ] {
        let aggregator = summed(function, args, values);
        let summaries = aggregator.summaries(Spelling::Today);
        assert_eq!(summaries[0].lines, lines, "{function}");
        assert_eq!(Value::Object(aggregator.json()), document, "{function}");
        assert!(aggregator.unknown().is_empty());
    }
}

#[test]
fn counts_are_written_as_the_ruby_world_writes_them() {
    let values: Vec<Value> =
        (0..12).map(|n| json!(if n < 10 { "running" } else { "unknown at all" })).collect();
    let lines = |spelling, args| summed("summary", args, &values).summaries(spelling)[0].lines.clone();
    assert_eq!(lines(Spelling::Ruby, json!(["v"])), ["       running = 10", "unknown at all =  2"]);
    assert_eq!(lines(Spelling::Today, json!(["v"])), ["       running: 10", "unknown at all: 2"]);
    assert_eq!(lines(Spelling::Ruby, json!(["v", {"format": "%s (%d)"}]))[0], "running (10)");
}

#[test]
fn what_nobody_knows_is_told_once() {
    let mut action: Action = serde_json::from_str(r#"{"action":"x"}"#).unwrap();
    for function in ["guess", "summary", "guess", "other"] {
        action.aggregate.push(Aggregate { function: function.into(), args: json!(["v"]) });
    }
    let aggregator = action.aggregator();
    assert_eq!(aggregator.unknown(), ["guess", "other"]);
    assert_eq!(aggregator.summaries(Spelling::Today).len(), 1);
}

#[test]
fn what_is_shown_of_all_outputs_together_is_bounded() {
    let name = |n: usize| format!("o{n}");
    let wide = "%1$1000s".repeat(60);
    let aggregate =
        |n: usize| Aggregate { function: "nagios_states".into(), args: json!([name(n), {"format": wide}]) };
    let action: Action = serde_json::from_str(r#"{"action":"x"}"#).unwrap();
    let action = Action { aggregate: (0..600).map(aggregate).collect(), ..action };
    let mut aggregator = action.aggregator();
    aggregator.add(&(0..600).map(|n| (name(n), json!(0))).collect());
    let summaries = aggregator.summaries(Spelling::Today);
    let bytes: usize = summaries.iter().flat_map(|summary| &summary.lines).map(String::len).sum();
    assert!(bytes < MAX_SHOWN + 600 * 50, "{bytes}");
    assert!(summaries[0].lines.len() == 4 && summaries[599].lines[0].starts_with("(more"));
}
