//! DDLs come from plugin authors, inputs from anybody, replies from the fleet.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|f| serde_json::Number::from_f64(f).map_or(Value::Null, Value::Number)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z]{1,3}", inner, 0..4).prop_map(|m| json!(m)),
        ]
    })
}

fn input() -> impl Strategy<Value = Input> {
    let kinds = ["integer", "float", "number", "string", "boolean", "list", "Hash", "array", "odd"];
    let kind = prop::sample::select(kinds.map(String::from).to_vec());
    let validation = prop_oneof![any::<String>(), Just("shellsafe".into()), Just("^[a-z]+$".into())];
    let default = prop_oneof![any::<i64>().prop_map(Value::from), any::<String>().prop_map(Value::from)];
    (kind, any::<bool>(), validation, -1i64..20, prop::option::of(default)).prop_map(
        |(kind, optional, validation, maxlength, default)| Input {
            kind,
            optional,
            validation,
            maxlength,
            default,
            choices: vec!["a".into()],
            ..Input::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is coerced is valid, and survives being sent.
    #[test]
    fn coerced_inputs_are_valid(input in input(), text in any::<String>()) {
        let mut action: Action = serde_json::from_str(r#"{"action":"x"}"#).unwrap();
        action.input.insert("in".into(), input);
        if let Ok(data) = action.coerce(&[("in".into(), text)]) {
            prop_assert!(action.validate(&data).is_ok());
            let json = crate::core::protocol::json::go_json(&data);
            prop_assert!(action.validate_json(json.as_bytes()).is_ok());
        }
    }

    #[test]
    fn any_replies_are_summed_up(replies in prop::collection::vec(value(), 0..8), format in any::<String>()) {
        for function in [
            "summary", "boolean_summary", "average", "chart", "sum", "nettest_mma", "process_summary", "nagios_states", "x",
        ] {
            let mut action: Action = serde_json::from_str(r#"{"action":"x"}"#).unwrap();
            let args = json!(["v", {"format": format, "true": "yes"}]);
            action.aggregate.push(Aggregate { function: function.into(), args });
            let mut aggregator = action.aggregator();
            for reply in &replies {
                aggregator.add(&Map::from_iter([("v".to_owned(), reply.clone())]));
            }
            let _ = (aggregator.summaries(Spelling::Today), aggregator.summaries(Spelling::Ruby), aggregator.json());
        }
    }

    /// A DDL that reads reads the same after being written.
    #[test]
    fn a_ddl_survives_its_file(inputs in prop::collection::btree_map("[a-z]{1,4}", input(), 0..4)) {
        let mut ddl = builtin("rpcutil").unwrap().clone();
        ddl.actions[0].input = inputs;
        let json = serde_json::to_vec(&ddl).unwrap();
        let read = AgentDdl::parse(&json).unwrap();
        prop_assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::to_value(&ddl).unwrap());
    }
}

#[test]
fn damaged_ddls_end_nothing() {
    let seed = serde_json::to_vec(builtin("rpcutil").unwrap()).unwrap();
    bolero::check!().with_iterations(2000).with_type::<Vec<(u16, u8)>>().for_each(|edits| {
        let mut bytes = seed.clone();
        for (place, byte) in edits.iter().take(6) {
            let place = usize::from(*place) % bytes.len();
            bytes[place] = *byte;
        }
        if let Ok(ddl) = AgentDdl::parse(&bytes) {
            for action in &ddl.actions {
                let _ = action.coerce(&[("fact".into(), "x".into())]);
            }
        }
    });
}
