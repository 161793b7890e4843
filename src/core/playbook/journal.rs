//! What a run did, step by step, so that another run can go on where it ended: a step that was
//! done is not done again, what came of it is taken from the report.
//!
//! A step is what a plan asks of the world: a task, a node set, data, the metadata of a task. It
//! is known by its place and by a hash of what was asked. Where a plan asks for something else
//! than before, it does not go on: nobody knows what would be done twice.

use std::collections::{BTreeMap, VecDeque};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::core::client::Accounting;
use crate::core::puppet::host::{Outcome, Trouble};
use crate::core::puppet::value::Hash;
use crate::core::text::hex;

/// Bytes of results that a report keeps, and steps.
const MOST: usize = 64 << 20;
const MOST_STEPS: usize = 100_000;

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What kind: `task`, `discover`, `read`, `write` or `metadata`.
    pub step: String,
    /// Hash of what was asked.
    pub input: String,
    /// What came of it.
    #[serde(default)]
    pub result: Json,
    /// What went wrong instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How far a change in stages has come that did not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Json>,
}

/// Steps of this run, and those of an earlier one that are still to be taken.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    steps: Vec<Step>,
    before: VecDeque<Step>,
    /// The change in stages that the earlier run ended by.
    unfinished: Option<Step>,
    /// How many there were at the beginning.
    taken_over: usize,
    /// Steps that were done or taken over, and bytes of their results.
    done: usize,
    bytes: usize,
    /// It was too much at some time: what comes later is no journal either.
    overflowed: bool,
    /// Hashes of the texts of plans, functions and types, by their names.
    sources: BTreeMap<String, String>,
}

fn hash(text: &str) -> String {
    hex(digest(&SHA256, text.as_bytes()).as_ref())
}

impl Step {
    /// A step that is about to be done.
    pub(super) fn new(step: &str, name: &str, options: Option<&Hash>) -> Step {
        let options = options.map(|options| {
            let entries = options.entries().iter();
            entries.map(|(name, value)| (name.to_string(), value.to_json())).collect::<Map<_, _>>()
        });
        let input = hash(&json!([step, name, options]).to_string());
        Step { step: step.to_owned(), input, result: Json::Null, error: None, change: None }
    }

    /// Whether it does something, other than looking.
    pub(super) fn acts(&self) -> bool {
        matches!(self.step.as_str(), "task" | "write")
    }

    /// Whether a plan ends by it.
    fn ends(&self) -> bool {
        let is = |name: &str| self.result.get(name) == Some(&Json::Bool(true));
        self.error.is_some() || self.step == "task" && !is("success") && !is("fail_ok")
    }
}

impl Journal {
    /// To go on after the run of a report.
    ///
    /// # Errors
    /// It is no report that a run can go on from, as a sentence.
    pub fn after(report: &Json, playbook: &str) -> Result<Journal, String> {
        let of = report.pointer("/playbook/name").and_then(Json::as_str);
        match of {
            Some(of) if of == playbook => {}
            Some(of) => return Err(format!("it is of the playbook {of}")),
            None => return Err("it is no report of a playbook".to_owned()),
        }
        let steps = report.get("journal").filter(|steps| steps.is_array());
        let steps = steps.ok_or(
            "it does not say what was done: what came of it was too much, or it is of an earlier version",
        )?;
        let mut before: VecDeque<Step> = serde_json::from_value(steps.clone())
            .map_err(|e| format!("its journal is not understood: {e}"))?;
        // the one that it ended by is tried again
        let last = if before.back().is_some_and(Step::ends) { before.pop_back() } else { None };
        let sources = report.pointer("/playbook/sources").cloned().unwrap_or_default();
        let sources =
            serde_json::from_value(sources).map_err(|e| format!("its sources are not understood: {e}"))?;
        let unfinished = last.filter(|last| last.change.is_some());
        Ok(Journal { taken_over: before.len(), before, unfinished, sources, ..Journal::default() })
    }

    /// Steps that are taken over.
    pub fn taken_over(&self) -> usize {
        self.taken_over
    }

    /// Whether steps are still taken over.
    pub(super) fn is_replaying(&self) -> bool {
        !self.before.is_empty()
    }

    /// Names of what the earlier run read.
    pub fn sources(&self) -> Vec<String> {
        self.sources.keys().cloned().collect()
    }

    /// Takes note of a text; an error when it was another for the earlier run.
    pub(super) fn read(&mut self, name: &str, text: &str) -> Result<(), Trouble> {
        let now = hash(text);
        match self.sources.get(name) {
            Some(before) if *before != now => {
                Err(Trouble(format!("{name} has changed since the run that this one is to go on from")))
            }
            _ => {
                self.sources.insert(name.to_owned(), now);
                Ok(())
            }
        }
    }

    /// What came of a step in the earlier run; nothing of one that is to be done now. One that is
    /// something else is an error, and stays for a further run.
    pub(super) fn replayed(&mut self, wanted: &Step) -> Result<Option<Result<Json, Trouble>>, Trouble> {
        let Some(expected) = self.before.front().or(self.unfinished.as_ref()) else { return Ok(None) };
        if (&expected.step, &expected.input) != (&wanted.step, &wanted.input) {
            return Err(Trouble(format!(
                "step {} asks for something else than in the run that this one is to go on from (then: {}, now: {}): \
                 parameters or data are not what they were",
                self.done + 1,
                expected.step,
                wanted.step
            )));
        }
        let Some(before) = self.before.pop_front() else { return Ok(None) };
        let result = match &before.error {
            Some(error) => Err(Trouble(error.clone())),
            None => Ok(before.result.clone()),
        };
        self.push(before);
        Ok(Some(result))
    }

    /// How far the change came that is to be gone on with, for the step that was found to be the same.
    pub(super) fn taken_up(&mut self) -> Option<Json> {
        self.unfinished.take()?.change
    }

    /// Keeps what came of a step.
    pub(super) fn keep(&mut self, step: Step, result: Result<Json, &Trouble>) {
        let (result, error) = match result {
            Ok(result) => (result, None),
            Err(Trouble(error)) => (Json::Null, Some(error.clone())),
        };
        let mut step = Step { result, error, ..step };
        // a plan that went on after it does not come back to it
        step.change = step.change.take().filter(|_| step.ends());
        self.push(step);
    }

    fn push(&mut self, step: Step) {
        let change = step.change.as_ref().map_or(0, |change| change.to_string().len());
        let size = step.result.to_string().len() + change + 200;
        self.bytes = self.bytes.saturating_add(size);
        self.done += 1;
        self.overflowed |= self.bytes > MOST || self.done > MOST_STEPS;
        match self.overflowed {
            false => self.steps.push(step),
            // half of it is of no use
            true => self.steps = vec![],
        }
    }

    /// The steps for a report; null where they were too many. Those that were not taken over yet are
    /// among them: they were done, whatever became of this run.
    pub(super) fn to_json(&self) -> Json {
        let all: Vec<&Step> = self.steps.iter().chain(&self.before).chain(&self.unfinished).collect();
        if self.overflowed { Json::Null } else { json!(all) }
    }

    /// The hashes for a report.
    pub(super) fn sources_json(&self) -> Json {
        json!(self.sources)
    }
}

/// The outcome of a task, as it is kept.
pub(super) fn kept(outcome: &Outcome, accounting: Option<Accounting>) -> Json {
    let mut kept = json!({
        "message": outcome.message, "success": outcome.success, "fail_ok": outcome.fail_ok, "results": outcome.results,
    });
    if let Some(accounting) = accounting {
        kept["accounting"] = json!(accounting);
    }
    kept
}

/// The same as it was.
pub(super) fn outcome_of(kept: &Json) -> Result<(Outcome, Option<Accounting>), Trouble> {
    #[derive(Deserialize)]
    struct Kept {
        message: String,
        success: bool,
        fail_ok: bool,
        results: Vec<(String, Map<String, Json>)>,
        #[serde(default)]
        accounting: Option<Accounting>,
    }
    let Kept { message, success, fail_ok, results, accounting } = Kept::deserialize(kept)
        .map_err(|e| Trouble(format!("a step of the report is not understood: {e}")))?;
    Ok((Outcome { message, success, fail_ok, results }, accounting))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(steps: &[(&str, &str, Json)]) -> Json {
        let steps: Vec<Step> = steps
            .iter()
            .map(|(step, name, result)| Step { result: result.clone(), ..Step::new(step, name, None) })
            .collect();
        json!({"playbook": {"name": "demo::x", "sources": {"plan demo::x": hash("text")}}, "journal": steps})
    }

    #[test]
    fn what_was_done_is_taken_and_what_it_ended_by_is_not() {
        let done = json!({"message": "m", "success": true, "fail_ok": false, "results": []});
        let failed = json!({"message": "m", "success": false, "fail_ok": false, "results": []});
        let report = report(&[
            ("discover", "mcollective", json!(["n1"])),
            ("task", "shell", done.clone()),
            ("task", "webhook", failed),
        ]);
        let mut journal = Journal::after(&report, "demo::x").unwrap();
        assert_eq!(journal.taken_over(), 2);
        let found = journal.replayed(&Step::new("discover", "mcollective", None)).unwrap().unwrap().unwrap();
        assert_eq!(found, json!(["n1"]));
        let taken = journal.replayed(&Step::new("task", "shell", None)).unwrap().unwrap().unwrap();
        assert!(outcome_of(&taken).unwrap().0.success);
        assert!(journal.replayed(&Step::new("task", "webhook", None)).unwrap().is_none());
        journal.keep(Step::new("task", "webhook", None), Ok(done));
        // the report of this run is whole again
        assert_eq!(journal.to_json().as_array().map(Vec::len), Some(3));
        journal.read("plan demo::x", "text").unwrap();
        journal.read("plan demo::y", "new").unwrap();
        assert!(journal.read("plan demo::x", "other").is_err());
    }

    #[test]
    fn a_change_in_stages_is_gone_on_with_by_the_step_that_it_is_of() {
        let failed = json!({"message": "m", "success": false, "fail_ok": false, "results": []});
        let allowed = json!({"message": "m", "success": false, "fail_ok": true, "results": []});
        let mut first = Journal::default();
        for (name, result) in [("first", allowed), ("second", failed)] {
            let step = Step { change: Some(json!({"of": name})), ..Step::new("task", name, None) };
            first.keep(step, Ok(result));
        }
        let report = json!({"playbook": {"name": "demo::x", "sources": {}}, "journal": first.to_json()});
        let mut journal = Journal::after(&report, "demo::x").unwrap();
        assert_eq!(journal.taken_over(), 1);
        assert!(journal.clone().replayed(&Step::new("task", "second", None)).is_err());
        assert!(journal.replayed(&Step::new("task", "first", None)).unwrap().is_some());
        let other = journal.clone().replayed(&Step::new("task", "third", None)).unwrap_err();
        assert!(other.0.contains("step 2 asks for something else"), "{other}");
        assert!(journal.replayed(&Step::new("task", "second", None)).unwrap().is_none());
        assert_eq!(journal.taken_up(), Some(json!({"of": "second"})));
        assert!(journal.replayed(&Step::new("task", "third", None)).unwrap().is_none());
        assert_eq!(journal.taken_up(), None);
    }

    #[test]
    fn what_is_not_the_same_is_refused() {
        let report = report(&[
            ("task", "shell", json!({"success": true})),
            ("task", "shell", json!({"success": true, "fail_ok": false})),
        ]);
        let mut journal = Journal::after(&report, "demo::x").unwrap();
        let other = journal.replayed(&Step::new("task", "webhook", None)).unwrap_err();
        assert!(other.0.contains("step 1 asks for something else"), "{other}");
        // what was done is not forgotten by it
        assert_eq!(journal.to_json(), report["journal"]);
        assert!(journal.replayed(&Step::new("task", "shell", None)).unwrap().is_some());
        assert!(Journal::after(&report, "demo::y").is_err());
        for bad in [
            json!({}),
            json!({"playbook": {"name": "demo::x"}}),
            json!({"playbook": {"name": "demo::x"}, "journal": [1]}),
        ] {
            assert!(Journal::after(&bad, "demo::x").is_err(), "{bad}");
        }
        let error = Step { error: Some("no".into()), ..Step::new("read", "k", None) };
        let report = json!({"playbook": {"name": "demo::x", "sources": {}}, "journal": [error]});
        assert_eq!(Journal::after(&report, "demo::x").unwrap().taken_over(), 0);
    }

    #[test]
    fn too_much_is_no_journal() {
        let mut journal = Journal::default();
        for _ in 0..3 {
            journal.keep(Step::new("read", "k", None), Ok("x".repeat(MOST / 2).into()));
        }
        assert!(journal.to_json().is_null());
    }

    #[test]
    fn too_many_steps_are_no_journal_for_good() {
        let mut journal = Journal::default();
        for _ in 0..MOST_STEPS {
            journal.keep(Step::new("read", "k", None), Ok(Json::Null));
        }
        assert_eq!(journal.to_json().as_array().map(Vec::len), Some(MOST_STEPS));
        for _ in 0..5 {
            journal.keep(Step::new("task", "shell", None), Ok(Json::Null));
            assert!(journal.to_json().is_null());
        }
    }
}
