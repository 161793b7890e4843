//! Which machine has a name, where an operator says so.
//!
//! Whoever has a provisioning token may wait under any name, so two machines may
//! claim one; without a rule neither is configured. A [`Row`] describes the right
//! one by facts, by the id of its provisioning token, or both. Facts travel as the
//! filter of every request, which nodes of the original heed too: another machine
//! of that name stays silent, makes no key, and is given nothing. What answers is
//! held against the row again, because a machine may ignore filters. Where two
//! machines still answer nothing is decided, as without a rule.
//!
//! Serial numbers of certificate requests, registration data and the order of
//! arrival decide nothing: all of them are by the word of whoever claims the
//! name, and none of them says which machine the next request reaches.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use crate::core::nats::subject;
use crate::core::protocol::filter::{FactFilter, FactOperator, Facts, Filter};

/// Most rows: a list that people write.
const MOST: usize = 100_000;
/// Most facts of one: filters are evaluated by every machine of the name.
const MOST_FACTS: usize = 8;

/// A row of `machines` in the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Row {
    /// The name.
    pub identity: String,
    /// Facts the machine has, `NAME=VALUE`, all of them.
    pub facts: Vec<String>,
    /// Id (`jti`) of the provisioning token the machine shows.
    pub token_id: String,
}

/// The machine that has a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    facts: Vec<FactFilter>,
    token_id: String,
}

impl Machine {
    /// For whom requests are.
    pub fn filter(&self) -> Filter {
        Filter { fact: self.facts.clone(), ..Filter::default() }
    }

    /// Whether requests reach it and no other machine of its name.
    pub fn is_told_apart(&self) -> bool {
        !self.facts.is_empty()
    }

    /// Whether an inventory is of this machine.
    ///
    /// # Errors
    /// The fact that is another.
    pub fn check_inventory(&self, inventory: &serde_json::Map<String, Value>) -> Result<(), String> {
        let facts = inventory.get("facts").map(Value::to_string).unwrap_or_default();
        let facts = Facts::from_json(facts);
        match self.facts.iter().find(|fact| !fact.matches(&facts).unwrap_or_default()) {
            None => Ok(()),
            Some(fact) => Err(format!("its row in machines wants {fact}, which this machine is not")),
        }
    }

    /// Whether a token of this id, which has been verified, is of this machine.
    ///
    /// # Errors
    /// It is another one's.
    pub fn check_token(&self, id: &str) -> Result<(), String> {
        match self.token_id.is_empty() || self.token_id == id {
            true => Ok(()),
            false => Err("its provisioning token is not the one its row in machines names".to_owned()),
        }
    }
}

/// Reads the rows; `tokens` says whether provisioning tokens are looked at.
///
/// # Errors
/// Which row cannot be used, and why.
pub fn machines(rows: &[Row], tokens: bool) -> Result<HashMap<String, Machine>, String> {
    if rows.len() > MOST {
        return Err(format!("has more than {MOST} rows"));
    }
    let mut machines = HashMap::with_capacity(rows.len());
    for Row { identity, facts, token_id } in rows {
        let bad = |why: &str| Err(format!("has a row for {identity:?} that {why}"));
        if identity.is_empty() || !subject::valid_subject(identity) || !subject::is_literal(identity) {
            return bad("can be no node's name");
        }
        if facts.is_empty() && token_id.is_empty() {
            return bad("says neither facts nor token_id");
        }
        if facts.len() > MOST_FACTS {
            return bad("has too many facts");
        }
        if !token_id.is_empty() && !tokens {
            return bad("has a token_id, which needs features.jwt");
        }
        let mut wanted = vec![];
        for text in facts {
            match FactFilter::parse(text) {
                // other comparisons have corners, and one machine has one value
                Ok(fact) if fact.operator == FactOperator::Equal => wanted.push(fact),
                _ => return bad(&format!("has the fact {text:?}, write NAME=VALUE")),
            }
        }
        let machine = Machine { facts: wanted, token_id: token_id.clone() };
        if machines.insert(identity.clone(), machine).is_some() {
            return bad("is the second one");
        }
    }
    Ok(machines)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(identity: &str, facts: &[&str], token_id: &str) -> Row {
        let facts = facts.iter().map(|text| (*text).to_owned()).collect();
        Row { identity: identity.to_owned(), facts, token_id: token_id.to_owned() }
    }

    #[test]
    fn rows_that_decide_nothing_are_told() {
        for (rows, why) in [
            (vec![row("n1", &[], "")], "\"n1\" that says neither facts nor token_id"),
            (vec![row("", &["a=b"], "")], "can be no node's name"),
            (vec![row("n.*", &["a=b"], "")], "can be no node's name"),
            (vec![row("n1", &["a>=b"], "")], "write NAME=VALUE"),
            (vec![row("n1", &["a=/b/"], "")], "write NAME=VALUE"),
            (vec![row("n1", &["a"], "")], "write NAME=VALUE"),
            (vec![row("n1", &["a=b"; 9], "")], "too many facts"),
            (vec![row("n1", &["a=b"], ""), row("n1", &["a=c"], "")], "is the second one"),
            (vec![row("n1", &[], "x")], "needs features.jwt"),
        ] {
            let error = machines(&rows, false).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(machines(&[row("n1", &[], "x")], true).unwrap().len(), 1);
    }

    #[test]
    fn what_answers_is_held_against_its_row() {
        let rows = machines(&[row("n1", &["serial=C02X", "dmi.board=7"], "t1")], true).unwrap();
        let machine = &rows["n1"];
        assert_eq!(machine.filter().fact.len(), 2);
        let check = |inventory: Value| machine.check_inventory(inventory.as_object().unwrap());
        assert_eq!(check(json!({"facts": {"serial": "C02X", "dmi": {"board": 7}}})), Ok(()));
        for other in [
            json!({}),
            json!({"facts": null}),
            json!({"facts": {"serial": "C02X"}}),
            json!({"facts": {"serial": "C02Y", "dmi": {"board": 7}}}),
        ] {
            assert!(check(other).is_err());
        }
        assert!(machine.check_token("t1").is_ok() && machine.check_token("t2").is_err());
        assert!(machine.check_token("").is_err());
    }
}
