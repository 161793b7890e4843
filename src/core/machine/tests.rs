//! What tests of this room share.

use serde_json::Value;

/// A file of captured behaviour of the original.
pub(crate) fn vectors(file: &str) -> Value {
    let path = format!("{}/tests/vectors/captured/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

mod expressions {
    use serde_json::Value;

    use super::vectors;
    use crate::core::protocol::filter::{Facts, MachineExpression, MachineView};

    #[test]
    fn captured_expressions_say_what_they_said() {
        let captured = vectors("machine-expressions.json");
        let given = &captured["given"];
        let facts = Facts::from_json(given["facts"].to_string());
        let view = MachineView {
            identity: given["identity"].as_str().unwrap(),
            facts: &facts,
            data: &given["data"],
        };
        let mut wrong = Vec::new();
        let cases = captured["cases"].as_array().unwrap();
        for case in cases {
            let text = case["expression"].as_str().unwrap();
            let ours =
                MachineExpression::compile(text).and_then(|e| e.evaluate(&view).map_err(|e| e.to_string()));
            let theirs =
                if case["error"].is_string() { Err(()) } else { Ok(case["result"] == Value::Bool(true)) };
            if ours.as_ref().map_err(|_| ()).copied() != theirs {
                wrong.push(format!("{text}: {ours:?}, theirs {theirs:?}"));
            }
        }
        assert_eq!(wrong, Vec::<String>::new());
        assert_eq!(cases.len(), 99);
    }
}
