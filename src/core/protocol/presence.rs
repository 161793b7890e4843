//! What a client asks a broker of ours about nodes that do not answer, and what it is told
//! (ours; other brokers have no such service). Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The service of a collective that the broker itself is.
pub const SERVICE: &str = "choria_presence";
/// Nodes in one question.
pub const MOST_NODES: usize = 1000;
/// Bytes of one question.
pub const MOST_BYTES: usize = 64 * 1024;

/// Which nodes it is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Identities.
    pub nodes: Vec<String>,
}

/// What the broker knows of them; of whom it cannot tell, nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// By identity.
    pub nodes: BTreeMap<String, Presence>,
    /// Why nothing is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Whether a node is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Whether it is.
    pub connected: bool,
    /// Since when, to the second; nothing where that is not remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

impl Question {
    /// Reads one, within [`MOST_NODES`] and [`MOST_BYTES`].
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn parse(text: &[u8]) -> Result<Question, String> {
        if text.len() > MOST_BYTES {
            return Err(format!("the question has more than {MOST_BYTES} bytes: ask in parts"));
        }
        let question: Question =
            serde_json::from_slice(text).map_err(|e| format!("the question cannot be read: {e}"))?;
        match question.nodes.len() > MOST_NODES {
            true => Err(format!("the question is about more than {MOST_NODES} nodes: ask in parts")),
            false => Ok(question),
        }
    }

    /// Its text.
    pub fn encode(&self) -> String {
        // maps with text keys and plain values: this cannot fail
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Questions about all of these nodes, each within what a broker takes. A name that is
    /// longer than any node's is in none.
    pub fn about(nodes: &[String]) -> Vec<Question> {
        let (mut questions, mut bytes) = (vec![], MOST_BYTES);
        for node in nodes.iter().filter(|node| node.len() <= 1024) {
            // as JSON, escapes included, with quotes and comma
            let size = node.len() * 6 + 3;
            bytes += size;
            let room = |question: &Question| question.nodes.len() < MOST_NODES && bytes < MOST_BYTES - 32;
            match questions.last_mut().filter(|question| room(question)) {
                Some(question) => question.nodes.push(node.clone()),
                None => {
                    questions.push(Question { nodes: vec![node.clone()] });
                    bytes = size;
                }
            }
        }
        questions
    }
}

impl Answer {
    /// Reads one; nothing where it is none.
    pub fn parse(text: &[u8]) -> Option<Answer> {
        serde_json::from_slice(text).ok()
    }

    /// Its text.
    pub fn encode(&self) -> String {
        // maps with text keys and plain values: this cannot fail
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_as_large_as_brokers_take() {
        let nodes: Vec<String> = (0..50_000).map(|number| format!("n{number}.\u{1}example.net")).collect();
        let questions = Question::about(&nodes);
        assert_eq!(questions.iter().flat_map(|question| &question.nodes).count(), nodes.len());
        for question in questions {
            assert_eq!(Question::parse(question.encode().as_bytes()), Ok(question));
        }
        assert!(Question::about(&["x".repeat(2000)]).is_empty());
        assert!(Question::about(&[]).is_empty());
    }

    #[test]
    fn what_is_too_much_is_said() {
        let many = Question { nodes: vec!["n".into(); MOST_NODES + 1] };
        assert!(Question::parse(many.encode().as_bytes()).unwrap_err().contains("more than 1000 nodes"));
        assert!(Question::parse(&vec![b' '; MOST_BYTES + 1]).unwrap_err().contains("bytes"));
        assert!(Question::parse(b"{").unwrap_err().contains("cannot be read"));
        assert_eq!(Answer::parse(b"{}"), Some(Answer::default()));
        assert_eq!(Answer::parse(b"hello"), None);
    }

    #[test]
    fn hostile_questions_and_answers_end() {
        bolero::check!().for_each(|text: &[u8]| {
            let _ = Question::parse(text);
            let _ = Answer::parse(text);
        });
    }
}
