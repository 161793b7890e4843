//! `expression`: decides by data and facts (spec 06 §6.10).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Kind, Watcher};
use crate::core::machine::definition::Common;
use crate::core::machine::event::Fields;
use crate::core::machine::properties::Properties;
use crate::core::machine::turn::{Answer, Fire, Said, Setting, Turn, Work};
use crate::core::protocol::filter::{Facts, MachineExpression, MachineView};

pub(super) const KIND: Kind = Kind {
    name: "expression",
    interval: Some(Duration::from_secs(10)),
    least: Duration::from_millis(500),
    compile,
};

struct Decide {
    texts: Arc<Texts>,
    outcome: &'static str,
}

/// Compiled at each use: microseconds, and nothing is kept between.
struct Texts {
    success: Box<str>,
    failure: Box<str>,
}

fn compile(of: &mut Properties<'_, '_>, _: &mut Common) -> Box<dyn Watcher> {
    let texts = Texts { success: of.text("success_when"), failure: of.text("fail_when") };
    for (name, text) in [("success_when", &texts.success), ("fail_when", &texts.failure)] {
        if !text.is_empty()
            && let Err(e) = MachineExpression::compile(text)
        {
            of.error_at(name, format_args!("is no expression: {e}"));
        }
    }
    if texts.success.is_empty() && texts.failure.is_empty() {
        of.error("success_when or fail_when is required");
    }
    Box::new(Decide { texts: Arc::new(texts), outcome: "" })
}

/// Which of both is so.
fn decided(texts: &Texts, setting: &Setting, facts: &Facts) -> Result<&'static str, String> {
    let data =
        serde_json::from_str(&setting.data).unwrap_or_else(|_| serde_json::Value::Object(Default::default()));
    let view = MachineView { identity: &setting.identity, facts, data: &data };
    for (text, outcome) in [(&texts.success, "success_when"), (&texts.failure, "failed_when")] {
        if !text.is_empty() {
            let said = MachineExpression::compile(text)?.evaluate(&view);
            if said.map_err(|e| format!("{text}: {e}"))? {
                return Ok(outcome);
            }
        }
    }
    Ok("no_match")
}

impl Decide {
    fn look(&mut self, turn: &mut Turn<'_>) {
        if !turn.eligible {
            self.outcome = "skipped";
            return;
        }
        let texts = self.texts.clone();
        turn.work(Work::other(move |setting| async move {
            let began = Instant::now();
            let facts = setting.facts().await;
            // Bounded work, and yet more than a thread that serves others should be kept with.
            let done = tokio::task::spawn_blocking(move || decided(&texts, &setting, &facts)).await;
            let said = match done.unwrap_or_else(|e| Err(e.to_string())) {
                Ok(outcome) => Said { outcome, ..Said::default() },
                Err(problem) => Said { outcome: "error", problem, ..Said::default() },
            };
            Answer::Said(Said { took: began.elapsed(), ..said })
        }));
    }
}

impl Watcher for Decide {
    fn begin(&mut self, turn: &mut Turn<'_>) {
        if let Some(interval) = turn.common.interval {
            turn.again(interval);
        }
    }

    fn due(&mut self, turn: &mut Turn<'_>) {
        if let Some(interval) = turn.common.interval {
            turn.again(interval);
        }
        if !turn.busy {
            self.look(turn);
        }
    }

    fn moved(&mut self, turn: &mut Turn<'_>) {
        self.look(turn);
    }

    fn answered(&mut self, answer: Answer, turn: &mut Turn<'_>) {
        let Answer::Said(said) = answer else { return };
        let before = std::mem::replace(&mut self.outcome, said.outcome);
        match said.outcome {
            "error" => {
                turn.warn(said.problem);
                turn.publish(self.fields());
            }
            "no_match" => {}
            outcome => {
                turn.publish(self.fields());
                if before != outcome {
                    turn.fire(if outcome == "success_when" { Fire::Success } else { Fire::Failure });
                }
            }
        }
    }

    fn fields(&self) -> Fields {
        vec![("previous_outcome", self.outcome.into())]
    }
}
