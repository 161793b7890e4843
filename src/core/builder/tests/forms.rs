//! Questions, and the documents of their answers.

use serde_json::{Value, json};

use super::super::Scope;
use super::super::form::{Asker, Question, QuestionKind, ask};
use super::super::kinds::Kind;
use super::templates::state;
use super::{Still, definition};

/// Somebody whose answers are known beforehand.
struct Script {
    answers: Vec<&'static str>,
    shown: Vec<String>,
    asked: Vec<String>,
}

impl Asker for Script {
    fn show(&mut self, text: &str) {
        self.shown.push(text.trim().to_owned());
    }

    fn ask(&mut self, question: &Question) -> Result<String, String> {
        let secret = if question.kind == QuestionKind::Secret { "!" } else { "" };
        self.asked.push(format!("{secret}{}", question.message));
        if self.answers.is_empty() {
            return Err("nobody answers".to_owned());
        }
        Ok(self.answers.remove(0).to_owned())
    }
}

const FORM: &str = "  - name: f
    description: d
    type: form
    properties:
      - {name: listen, description: 'Where, {{ .Arguments.name }}', required: true, default: '127.0.0.1:-1', help: such as x}
      - name: accounts
        description: Accounts
        type: object
        empty: absent
        properties:
          - name: users
            type: array
            required: true
            properties:
              - {name: user, required: true}
              - {name: password, type: password}
      - {name: port, type: integer, validation: value != '0', default: 80}
      - {name: share, type: float, default: 0.5}
      - {name: tls, type: bool, default: true}
      - {name: mode, enum: [fast, safe]}
      - {name: tags, type: array}
      - {name: note, empty: absent}
      - {name: thing, conditional: Input.tls && Input.mode == 'safe'}
      - name: nested
        properties:
          - {name: deep, empty: object, conditional: Input.port > 80}
";

fn answered(answers: &[&'static str]) -> (Result<Value, String>, Script) {
    let definition = definition(FORM);
    let Kind::Form(form) = &definition.commands[0].kind else { panic!("no form") };
    let state = state();
    let mut script = Script { answers: answers.to_vec(), shown: vec![], asked: vec![] };
    let answers = ask(form, &Scope { state: &state, world: &Still }, &mut script);
    (answers, script)
}

#[test]
fn forms_make_documents_of_answers() {
    let (made, script) = answered(&[
        "?", "", "y", "acme", "u1", "p1", "y", "", "u2", "", "n", "n", "x", "0", "8080", "", "maybe", "no",
        "9", "2", "y", "a", "y", "b", "n", "", "",
    ]);
    assert_eq!(
        made.unwrap_or_else(|e| panic!("{e}: {:?}", script.asked)),
        json!({
            "listen": "127.0.0.1:-1",
            "acme": {"users": [{"user": "u1", "password": "p1"}, {"user": "u2", "password": ""}]},
            "port": 8080, "share": 0.5, "tls": false, "mode": "safe", "tags": ["a", "b"],
            "nested": {"deep": {}},
        })
    );
    assert!(
        script.answers.is_empty() && script.asked.contains(&"!password".to_owned()),
        "{:?}",
        script.asked
    );
    for part in [
        "Where, it's",
        "such as x",
        "An answer is required.",
        "That will not do: it is no whole number.",
        "That will not do: it does not meet value != '0'.",
        "That will not do: it is yes or no.",
    ] {
        assert!(script.shown.iter().any(|shown| shown == part), "{part}: {:?}", script.shown);
    }
    let (made, script) = answered(&["", "n", "", "", "y", "safe", "n", "", "t"]);
    let made = made.unwrap_or_else(|e| panic!("{e}: {:?}", script.asked));
    assert_eq!((&made["thing"], &made["tags"], &made["nested"]), (&json!("t"), &json!([]), &json!({})));
    assert_eq!(answered(&["x"]).0, Err("nobody answers".to_owned()));
}

#[test]
fn entries_have_names_of_their_own() {
    let form = "  - name: f
    description: d
    type: form
    properties:
      - {name: listen, default: here}
      - name: accounts
        type: object
        properties:
          - {name: user}
";
    let parsed = definition(form);
    let answers = vec!["", "y", "one", "a", "y", "listen", "one", "two", "b", "n"];
    let (mut script, state) = (Script { answers, shown: vec![], asked: vec![] }, state());
    let Kind::Form(form) = &parsed.commands[0].kind else { panic!("a form") };
    let made = ask(form, &Scope { state: &state, world: &Still }, &mut script).unwrap();
    assert_eq!(made, json!({"listen": "here", "one": {"user": "a"}, "two": {"user": "b"}}));
    assert_eq!(script.shown.iter().filter(|shown| shown.contains("there is one of that name")).count(), 2);
}
