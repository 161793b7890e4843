//! `file`: watches a file, or keeps one as it is to be (spec 06 §6.2).

mod content;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::exec::templated;
use super::{Kind, Watcher};
use crate::core::files::unless_it_hangs;
use crate::core::machine::definition::Common;
use crate::core::machine::event::Fields;
use crate::core::machine::properties::Properties;
use crate::core::machine::template::{Lookup, render};
use crate::core::machine::turn::{Answer, Fire, Said, Setting, Turn, Work};
use content::Content;

pub(super) const KIND: Kind =
    Kind { name: "file", interval: Some(Duration::from_secs(5)), least: Duration::from_millis(500), compile };

struct File {
    path: Arc<str>,
    content: Option<Arc<Managed>>,
    gathers: bool,
    /// When it was changed last, as far as is known, in nanoseconds of Unix time.
    changed: i64,
    outcome: &'static str,
    shown: Box<str>,
}

/// What it is to be; templates.
struct Managed {
    contents: Box<str>,
    owner: Box<str>,
    group: Box<str>,
    mode: u32,
}

fn compile(of: &mut Properties<'_, '_>, _: &mut Common) -> Box<dyn Watcher> {
    let path = of.required("path");
    let (contents, owner, group, mode) =
        (of.text("contents"), of.text("owner"), of.text("group"), of.text("mode"));
    let content = if contents.is_empty() {
        for name in ["owner", "group", "mode"] {
            if of.has(name) {
                of.warn_at(name, "means nothing without contents");
            }
        }
        None
    } else {
        for (name, text) in [("owner", &owner), ("group", &group), ("mode", &mode)] {
            if text.is_empty() {
                of.error(format_args!("{name} is required when contents are managed"));
            }
        }
        for (name, text) in [("contents", &contents), ("owner", &owner), ("group", &group)] {
            templated(of, name, text);
        }
        let mode = octal(of, &mode);
        Some(Arc::new(Managed { contents, owner, group, mode }))
    };
    Box::new(File {
        shown: path.clone(),
        path: path.into(),
        content,
        gathers: of.flag("gather_initial_state"),
        changed: 0,
        outcome: "unknown",
    })
}

/// Bits of a mode: digits are octal, however they begin.
fn octal(of: &mut Properties<'_, '_>, text: &str) -> u32 {
    if text.is_empty() {
        return 0;
    }
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o7777 && !digits.starts_with('+')) {
        Some(mode) => {
            if !text.starts_with('0') {
                of.warn_at(
                    "mode",
                    format_args!(
                        "{text} is read as octal, write \"0{text}\": the original takes it as decimal"
                    ),
                );
            }
            mode
        }
        None => {
            of.error_at("mode", format_args!("is {text}, which is no octal mode such as \"0644\""));
            0
        }
    }
}

impl File {
    fn look(&mut self, turn: &mut Turn<'_>) {
        if !turn.eligible {
            self.outcome = "skipped";
            return;
        }
        let path = self.absolute(turn.directory);
        let (changed, content) = (self.changed, self.content.clone());
        turn.work(Work::other(move |setting| looked(path, changed, content, setting)));
    }

    fn absolute(&mut self, directory: &Path) -> PathBuf {
        // `join` of an absolute path is that path
        let path = directory.join(&*self.path);
        self.shown = path.display().to_string().into();
        path
    }
}

async fn looked(path: PathBuf, changed: i64, content: Option<Arc<Managed>>, setting: Setting) -> Answer {
    let began = Instant::now();
    let (place, shown) = (path.clone(), path.display().to_string());
    let texts = content.as_ref().map(|managed| [&*managed.contents, &managed.owner, &managed.group]);
    let facts = setting.facts_for(texts.as_ref().map_or(&[], |texts| texts)).await;
    let done = unless_it_hangs(&place, move || match content {
        None => watched(&path, changed),
        Some(managed) => {
            let scope = setting.scope(&facts);
            let made = |text: &str| render(text, &Lookup { scope: &scope }).map_err(|e| e.to_string());
            let content = Content {
                text: made(&managed.contents)?,
                owner: made(&managed.owner)?,
                group: made(&managed.group)?,
                mode: managed.mode,
            };
            content::kept(&path, changed, &content)
        }
    });
    let done =
        done.await.unwrap_or_else(|| Err("it does not answer, as on a file system that hangs".to_owned()));
    let said = match done {
        Ok((outcome, changed)) => Said { outcome, detail: changed.into(), ..Said::default() },
        Err(e) => Said { outcome: "error", problem: format!("{shown}: {e}"), ..Said::default() },
    };
    Answer::Said(Said { took: began.elapsed(), ..said })
}

/// What became of it, and when it was changed.
type Looked = Result<(&'static str, i64), String>;

fn watched(path: &Path, known: i64) -> Looked {
    let changed = mtime(&fs::metadata(path).map_err(|e| e.to_string())?);
    Ok((if changed > known { "changed" } else { "unchanged" }, changed))
}

fn mtime(about: &fs::Metadata) -> i64 {
    about.mtime().saturating_mul(1_000_000_000).saturating_add(about.mtime_nsec())
}

impl Watcher for File {
    fn begin(&mut self, turn: &mut Turn<'_>) {
        self.absolute(turn.directory);
        if let Some(interval) = turn.common.interval {
            turn.again(interval);
        }
        if self.gathers && self.content.is_none() {
            let path = self.absolute(turn.directory);
            turn.work(Work::other(move |_| async move {
                let place = path.clone();
                let known = unless_it_hangs(&place, move || {
                    fs::metadata(path).map(|about| mtime(&about)).unwrap_or(0)
                });
                let known = known.await;
                Answer::Said(Said {
                    outcome: "gathered",
                    detail: known.unwrap_or(0).into(),
                    ..Said::default()
                })
            }));
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
        let changed = said.detail.as_i64().unwrap_or(0);
        if said.outcome == "gathered" {
            self.changed = changed;
            return;
        }
        self.outcome = said.outcome;
        match said.outcome {
            "error" => {
                if self.content.is_none() {
                    self.changed = 0;
                }
                turn.warn(said.problem);
                turn.publish(self.fields());
                turn.fire(Fire::Failure);
            }
            "changed" => {
                self.changed = changed;
                turn.publish(self.fields());
                turn.fire(Fire::Success);
            }
            _ => self.changed = changed,
        }
    }

    fn fields(&self) -> Fields {
        vec![("path", Value::from(&*self.shown)), ("previous_outcome", self.outcome.into())]
    }
}
