//! The builtin `goss`: rules of goss, with all overrides of the node as their variables (spec 06
//! §6.5).

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::core::machine::goss::{self, Asked, GossError, Report, Source};
use crate::core::machine::overrides;
use crate::core::machine::turn::{Answer, Said, Setting};

/// Tries the rules.
pub(super) async fn look(gossfile: Arc<Path>, limit: Duration, setting: Setting) -> Answer {
    let began = Instant::now();
    let slow = || format!("UNKNOWN: no answer within {} s", limit.as_secs_f64());
    let (outcome, text) = match tokio::time::timeout(limit, tried(&gossfile, limit, &setting)).await {
        Err(_) => ("UNKNOWN", slow()),
        Ok(Ok(report)) => said(&report, began),
        Ok(Err(e)) => ("UNKNOWN", format!("UNKNOWN: {e}").replace('|', "/")),
    };
    Answer::Said(Said { outcome, detail: text.into(), problem: String::new(), took: began.elapsed() })
}

async fn tried(gossfile: &Path, limit: Duration, setting: &Setting) -> Result<Report, GossError> {
    let variables = match setting.overrides.clone() {
        None => Value::Null,
        Some(file) => Value::clone(&*overrides::read_in_time(file).await),
    };
    let asked = Asked {
        rules: Source::File(setting.directory.join(gossfile)),
        variables: if variables.is_null() { Value::Object(Default::default()) } else { variables },
        denied: setting.denied.to_vec(),
        directory: setting.directory.clone(),
        limit,
    };
    goss::validate(asked).await
}

fn said(report: &Report, began: Instant) -> (&'static str, String) {
    let failed = report.failures();
    let state = if failed > 0 { "CRITICAL" } else { "OK" };
    let text = format!(
        "{state}: {}|checks={};; failed={failed};; runtime={:.6}s",
        report.summary(),
        report.verdicts.len(),
        began.elapsed().as_secs_f64()
    );
    (state, text)
}
