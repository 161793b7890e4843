//! What became of every node a request is for: each is counted in exactly one class.
//!
//! Pure. A class that cannot be told, such as those of a broker that does not say who is not
//! connected, is a coarser one (`no_answer`) and never another's.

use serde::{Deserialize, Serialize};

use super::RequestStats;
use crate::core::rpc::{NOT_AUTHORIZED, ReplyBody, StatusCode};

/// What became of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Answered well.
    Ok,
    /// Answered that something went wrong in the agent or the node.
    Failed,
    /// Answered that the action could not be completed.
    Aborted,
    /// The node does not let this caller.
    Denied,
    /// Inputs are missing, or the node does not take them.
    Invalid,
    /// The agent of the node has no such action.
    UnknownAction,
    /// Answered when nobody waited for it any more, and others were already asked.
    Late,
    /// The broker does not let this caller ask the node.
    DeniedByBroker,
    /// Not connected, by the broker's word: when it was asked, or when it had not answered in time.
    NotConnected,
    /// Asked, and not heard of.
    NoAnswer,
    /// Not asked: the request was ended before.
    NotAsked,
}

impl Class {
    /// Of a node that answered; late when it was no longer waited for.
    pub fn of(body: &ReplyBody, late: bool) -> Class {
        match body.statuscode {
            _ if late => Class::Late,
            StatusCode::Ok => Class::Ok,
            StatusCode::Aborted if body.statusmsg == NOT_AUTHORIZED => Class::Denied,
            StatusCode::Aborted => Class::Aborted,
            StatusCode::UnknownAction => Class::UnknownAction,
            StatusCode::MissingData | StatusCode::InvalidData => Class::Invalid,
            StatusCode::UnknownError | StatusCode::Other(_) => Class::Failed,
        }
    }

    /// As documents name it: the name of its field in [`Accounting`].
    pub fn name(self) -> &'static str {
        match self {
            Class::Ok => "ok",
            Class::Failed => "failed",
            Class::Aborted => "aborted",
            Class::Denied => "denied",
            Class::Invalid => "invalid",
            Class::UnknownAction => "unknown_action",
            Class::Late => "late",
            Class::DeniedByBroker => "denied_by_broker",
            Class::NotConnected => "not_connected",
            Class::NoAnswer => "no_answer",
            Class::NotAsked => "not_asked",
        }
    }
}

/// How many nodes ended in which class; together all that were to be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Accounting {
    /// Answered well.
    pub ok: usize,
    /// Answered that something went wrong in the agent or the node.
    pub failed: usize,
    /// Answered that the action could not be completed.
    pub aborted: usize,
    /// The node does not let this caller.
    pub denied: usize,
    /// Inputs are missing, or the node does not take them.
    pub invalid: usize,
    /// The agent of the node has no such action.
    pub unknown_action: usize,
    /// Answered when nobody waited for it any more, and others were already asked.
    pub late: usize,
    /// The broker does not let this caller ask the node.
    pub denied_by_broker: usize,
    /// Not connected, by the broker's word: when it was asked, or when it had not answered in time.
    pub not_connected: usize,
    /// Asked, and not heard of.
    pub no_answer: usize,
    /// Not asked: the request was ended before.
    pub not_asked: usize,
}

impl Accounting {
    /// One more node of this class.
    pub fn count(&mut self, class: Class) {
        *match class {
            Class::Ok => &mut self.ok,
            Class::Failed => &mut self.failed,
            Class::Aborted => &mut self.aborted,
            Class::Denied => &mut self.denied,
            Class::Invalid => &mut self.invalid,
            Class::UnknownAction => &mut self.unknown_action,
            Class::Late => &mut self.late,
            Class::DeniedByBroker => &mut self.denied_by_broker,
            Class::NotConnected => &mut self.not_connected,
            Class::NoAnswer => &mut self.no_answer,
            Class::NotAsked => &mut self.not_asked,
        } += 1;
    }

    /// With those that did not answer, of whom the statistics tell.
    pub fn with_silent(mut self, stats: &RequestStats) -> Accounting {
        self.denied_by_broker = stats.denied_by_broker.len();
        self.not_connected = stats.not_connected.len();
        let explained = self.denied_by_broker + self.not_connected;
        self.no_answer = stats.no_responses.len().saturating_sub(explained);
        self.not_asked = stats.not_asked.len();
        self
    }

    /// All of them.
    pub fn nodes(&self) -> usize {
        self.answers() + self.silent() + self.not_asked
    }

    /// Those that answered.
    pub fn answers(&self) -> usize {
        let Accounting { ok, failed, aborted, denied, invalid, unknown_action, late, .. } = self;
        ok + failed + aborted + denied + invalid + unknown_action + late
    }

    /// All classes that have nodes, in words: `3 ok, 1 denied, 6 not asked`.
    pub fn in_words(&self) -> String {
        let classes = [
            (self.ok, "ok"),
            (self.failed, "failed"),
            (self.aborted, "aborted"),
            (self.denied, "denied"),
            (self.invalid, "invalid input"),
            (self.unknown_action, "without such an action"),
            (self.late, "answered too late"),
            (self.denied_by_broker, "denied by the broker"),
            (self.not_connected, "not connected"),
            (self.no_answer, "no answer"),
            (self.not_asked, "not asked"),
        ];
        let some = classes.iter().filter(|(count, _)| *count > 0);
        some.map(|(count, words)| format!("{count} {words}")).collect::<Vec<_>>().join(", ")
    }

    fn silent(&self) -> usize {
        self.denied_by_broker + self.not_connected + self.no_answer
    }

    /// Classes of nodes that answered and did not do well, in words, the plain ones left out.
    pub fn failures(&self) -> Vec<(usize, &'static str)> {
        let classes = [
            (self.denied, "denied"),
            (self.invalid, "invalid input"),
            (self.unknown_action, "without such an action"),
        ];
        classes.into_iter().filter(|(count, _)| *count > 0).collect()
    }

    /// Classes of nodes that did not answer, in words, the plain one left out.
    pub fn silences(&self) -> Vec<(usize, &'static str)> {
        let classes =
            [(self.not_connected, "not connected"), (self.denied_by_broker, "denied by the broker")];
        classes.into_iter().filter(|(count, _)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    #[test]
    fn every_node_is_in_one_class() {
        let body = |code: i64, message: &str| ReplyBody {
            action: "go".to_owned(),
            statuscode: code.into(),
            statusmsg: message.to_owned(),
            data: Map::new(),
        };
        let mut accounting = Accounting::default();
        for (code, message) in
            [(0, ""), (1, "no"), (1, NOT_AUTHORIZED), (2, ""), (3, ""), (4, ""), (5, ""), (77, ""), (-1, "")]
        {
            accounting.count(Class::of(&body(code, message), false));
        }
        accounting.count(Class::of(&body(0, ""), true));
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let stats = RequestStats {
            no_responses: names(&["a", "b", "c", "d"]),
            nobody_listens: names(&["a"]),
            not_connected: names(&["a", "b"]),
            denied_by_broker: names(&["c"]),
            not_asked: names(&["e", "f"]),
            ..RequestStats::default()
        };
        let accounting = accounting.with_silent(&stats);
        let expected = Accounting {
            ok: 1,
            failed: 3,
            aborted: 1,
            denied: 1,
            invalid: 2,
            unknown_action: 1,
            late: 1,
            denied_by_broker: 1,
            not_connected: 2,
            no_answer: 1,
            not_asked: 2,
        };
        assert_eq!((accounting, accounting.nodes()), (expected, 16));
        let each = |names: &[&str]| names.iter().map(|name| stats.silence(name)).collect::<Vec<_>>();
        let silent = [Class::NotConnected, Class::NotConnected, Class::DeniedByBroker, Class::NoAnswer];
        assert_eq!(each(&["a", "b", "c", "d"]), silent);
        assert_eq!(each(&["e", "f"]), [Class::NotAsked; 2]);
        assert_eq!(
            accounting.in_words(),
            "1 ok, 3 failed, 1 aborted, 1 denied, 2 invalid input, 1 without such an action, 1 answered too late, \
             1 denied by the broker, 2 not connected, 1 no answer, 2 not asked"
        );
        // a name is that of the field
        let document =
            serde_json::to_value(Accounting { unknown_action: 1, ..Accounting::default() }).unwrap();
        assert_eq!(document[Class::UnknownAction.name()], 1);
        assert_eq!(serde_json::to_value(Class::UnknownAction).unwrap(), Class::UnknownAction.name());
    }
}
