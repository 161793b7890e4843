//! `plugins`: has machines of a signed manifest on this node (spec 06 §10.2).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Kind, Watcher};
use crate::core::files::unless_it_hangs_long;
use crate::core::machine::definition::Common;
use crate::core::machine::event::Fields;
use crate::core::machine::plugins::managed::Place;
use crate::core::machine::plugins::{Manifest, ManifestError, manifest};
use crate::core::machine::properties::Properties;
use crate::core::machine::turn::{Answer, Fire, Said, Setting, Turn, Work};
use crate::core::protocol::filter::Facts;
use crate::core::security::tokens::VerifyKey;

pub(super) const KIND: Kind =
    Kind { name: "plugins", interval: None, least: Duration::from_secs(2), compile };

/// How often each plugin is looked at where nothing is said, and at least.
const LOOKED_AT: Duration = Duration::from_secs(120);
const LEAST_LOOKED_AT: Duration = Duration::from_secs(10);

/// How long it may take to look whether machines are as a list has them, and to write them.
const MOST_WORK: Duration = Duration::from_secs(60);

struct Wanted {
    data_item: Box<str>,
    purge: bool,
    interval: Duration,
    key: Option<VerifyKey>,
    directory: Option<PathBuf>,
    prefix: Box<str>,
}

struct Plugins {
    wanted: Arc<Wanted>,
    outcome: &'static str,
    took: Duration,
    plugins: Vec<String>,
}

fn compile(of: &mut Properties<'_, '_>, common: &mut Common) -> Box<dyn Watcher> {
    let interval = of.positive("plugin_manage_interval").filter(|time| !time.is_zero()).unwrap_or(LOOKED_AT);
    if interval < LEAST_LOOKED_AT {
        // by that nothing would ever be fetched
        of.error_at("plugin_manage_interval", format_args!("is too small, {LEAST_LOOKED_AT:?} is the least"));
    }
    let public_key = of.text("public_key");
    let key = VerifyKey::from_hex(&public_key);
    if !public_key.is_empty() && key.is_none() {
        of.error_at("public_key", "is wrong: it has to be the 64 hex digits of an ed25519 key");
    }
    let prefix = Some(of.text("manager_machine_prefix")).filter(|prefix| !prefix.is_empty());
    let prefix = prefix.unwrap_or_else(|| "mm".into());
    if !manifest::is_name(&prefix) || prefix.contains('_') {
        of.error_at("manager_machine_prefix", "is wrong: letters and digits make one, and no _");
    }
    if common.interval.is_none() {
        of.error("an interval is required");
    }
    let directory = of.text("plugins_directory");
    let wanted = Wanted {
        data_item: of.required("data_item"),
        purge: of.flag("purge_unknown"),
        interval,
        key,
        directory: (!directory.is_empty()).then(|| PathBuf::from(&*directory)),
        prefix,
    };
    Box::new(Plugins { wanted: Arc::new(wanted), outcome: "unknown", took: Duration::ZERO, plugins: vec![] })
}

impl Wanted {
    fn managed(&self, setting: &Setting, facts: &Facts) -> Said {
        let error = |problem: String, forget: bool| Said {
            outcome: "error",
            detail: json!({"forget": forget}),
            problem,
            ..Said::default()
        };
        let data: Value = serde_json::from_str(&setting.data).unwrap_or_default();
        let Some(document) = data.get(&*self.data_item) else {
            return error(format!("there is no data item {}", self.data_item), false);
        };
        let Some(store) = setting.plugins.store.clone() else {
            return error("there is no plugin.choria.machine.store to put machines into".to_owned(), false);
        };
        let key = match &setting.plugins.key {
            Some(Ok(key)) => Some(key),
            Some(Err(problem)) => return error(problem.clone(), false),
            None => self.key.as_ref(),
        };
        let manifest = match Manifest::unpack(document, key) {
            Ok(manifest) => manifest,
            Err(e) => {
                let forged = matches!(e, ManifestError::Unsigned | ManifestError::Signature);
                return error(format!("data item {} is left aside: {e}", self.data_item), forged);
            }
        };
        let plugins =
            self.directory.as_ref().map_or_else(|| store.clone(), |path| setting.directory.join(path));
        let place = Place {
            store,
            plugins,
            prefix: self.prefix.to_string(),
            interval: self.interval,
            purge: self.purge,
        };
        if key.is_some()
            && let Err(problem) = place.follow(&manifest, jiff::Timestamp::now().as_millisecond())
        {
            return error(format!("data item {} is left aside: {problem}", self.data_item), false);
        }
        match place.manage(&manifest, &setting.identity, facts) {
            Err(problem) => error(problem, false),
            Ok(done) => Said {
                outcome: if done.changed > 0 { "updated" } else { "unchanged" },
                detail: json!({"plugins": done.plugins}),
                problem: done.problems.join("; "),
                ..Said::default()
            },
        }
    }
}

impl Plugins {
    fn look(&mut self, turn: &mut Turn<'_>) {
        if !turn.eligible {
            self.outcome = "skipped";
            return;
        }
        let wanted = self.wanted.clone();
        // matchers look at files anywhere: who waits for them takes nobody's place
        turn.work(Work::patient(move |setting| async move {
            let began = Instant::now();
            let facts = setting.facts().await;
            let place = setting.plugins.store.clone().unwrap_or_else(|| setting.directory.clone());
            let work = move || wanted.managed(&setting, &facts);
            let said = unless_it_hangs_long(&place, MOST_WORK, work).await.unwrap_or_else(|| Said {
                outcome: "error",
                problem: format!(
                    "{} or a file that a matcher asks for does not answer, as on a file system that hangs",
                    place.display()
                ),
                ..Said::default()
            });
            Answer::Said(Said { took: began.elapsed(), ..said })
        }));
    }
}

impl Watcher for Plugins {
    fn begin(&mut self, turn: &mut Turn<'_>) {
        self.due(turn);
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
        (self.outcome, self.took) = (said.outcome, said.took);
        if let Some(plugins) = said.detail["plugins"].as_array() {
            self.plugins = plugins.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
        }
        if said.detail["forget"] == true {
            turn.forget(&*self.wanted.data_item);
        }
        if !said.problem.is_empty() {
            turn.warn(said.problem);
        }
        match said.outcome {
            "updated" => {
                turn.publish(self.fields());
                turn.fire(Fire::Success);
            }
            "error" => {
                turn.publish(self.fields());
                turn.fire(Fire::Failure);
            }
            _ => {}
        }
    }

    fn fields(&self) -> Fields {
        vec![
            ("plugins", self.plugins.clone().into()),
            ("previous_outcome", self.outcome.into()),
            ("previous_run_time", (self.took.as_nanos() as u64).into()),
        ]
    }
}
