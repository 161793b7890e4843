//! What tells the answers of one waiting machine from those of another by its name (ours).
//!
//! A fleet's provisioning token lets any machine wait by any name, and hear what is asked of it.
//! Answers go to the provisioner alone: whoever adds a text to its first one that nobody else
//! knows is known again by it. Machines of the original add none and are not told apart.

use serde_json::{Map, Value};

use crate::core::text::{Secret, hex};

/// Where it stands in the data of an answer.
const MEMBER: &str = "machine_mark";

/// The text; `Debug` does not show it.
#[derive(Debug, Clone)]
pub struct Mark(Secret);

impl Mark {
    /// A machine's own, for as long as its process runs; none where random numbers are not to be had.
    pub fn new() -> Option<Mark> {
        let mut random = [0; 16];
        aws_lc_rs::rand::fill(&mut random).ok()?;
        Some(Mark(Secret::new(hex(&random))))
    }

    /// Puts it into the data of an answer.
    pub fn add_to(&self, data: &mut Value) {
        if let Value::Object(members) = data {
            members.insert(MEMBER.to_owned(), Value::from(self.0.expose()));
        }
    }

    /// Takes it out of the data of an answer.
    pub fn take_from(data: &mut Map<String, Value>) -> Option<Mark> {
        match data.remove(MEMBER)? {
            Value::String(text) => Some(Mark(Secret::new(text))),
            _ => None,
        }
    }

    /// Whether both are of one machine; in constant time.
    pub fn is_same(&self, other: &Mark) -> bool {
        self.0.matches(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_known_again() {
        let (ours, theirs) = (Mark::new().unwrap(), Mark::new().unwrap());
        assert!(ours.is_same(&ours.clone()) && !ours.is_same(&theirs));
        let mut data = serde_json::json!({"csr": "x"});
        ours.add_to(&mut data);
        let mut data = data.as_object().unwrap().clone();
        assert!(Mark::take_from(&mut data).unwrap().is_same(&ours));
        assert_eq!(Value::Object(data), serde_json::json!({"csr": "x"}), "nobody else is shown it");
        for none in [serde_json::json!({}), serde_json::json!({MEMBER: 1})] {
            assert!(Mark::take_from(&mut none.as_object().unwrap().clone()).is_none());
        }
    }
}
