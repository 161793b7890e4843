//! Directories that machines live in (spec 06 §1.3).
//!
//! Looked at every ten seconds: a `stat` first, the text only where that differs. A text is
//! judged before anything is done about it: with a bad one, the machine that runs stays.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

use crate::core::files::{self, Version, read_plain};
use crate::core::machine::definition::{Definition, compile};
use crate::core::machine::engine::Id;
use crate::core::machine::findings::Finding;
use crate::core::machine::yaml;

/// Name of the file that is a machine.
pub const DEFINITION: &str = "machine.yaml";
/// Name of the file with what it keeps.
pub const DATA: &str = "machine_data.json";
/// Machines of one node.
pub const MAX_MACHINES: usize = 2000;
/// Bytes of what a machine keeps.
const MAX_DATA: u64 = 256 * 1024;
/// Mistakes of a definition that the log shows.
const SHOWN: usize = 5;

/// Why there is no machine in a directory.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no text to be had.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// It is not UTF-8.
    #[error("{0} is no text")]
    NoText(PathBuf),
    /// It is none that could run.
    #[error("{file} is not valid:{}", lines(findings))]
    Invalid {
        /// The file.
        file: String,
        /// What is wrong with it.
        findings: Vec<Finding>,
    },
}

fn lines(findings: &[Finding]) -> String {
    let mut text: String = findings.iter().take(SHOWN).map(|finding| format!(" {finding};")).collect();
    if findings.len() > SHOWN {
        text.push_str(&format!(" and {} more", findings.len() - SHOWN));
    }
    text.trim_end_matches(';').to_owned()
}

/// A machine, and what it kept.
pub struct Kept {
    /// The machine.
    pub definition: Definition,
    /// What it kept, JSON.
    pub data: Arc<str>,
}

/// Reads the machine of a directory.
///
/// # Errors
/// There is none that could run.
pub fn load(directory: &Path) -> Result<Kept, LoadError> {
    load_text(directory, read_plain(&directory.join(DEFINITION), yaml::MAX_TEXT as u64)?)
}

/// The same with the text of the machine.
fn load_text(directory: &Path, text: Vec<u8>) -> Result<Kept, LoadError> {
    let file = directory.join(DEFINITION);
    let text = String::from_utf8(text).map_err(|_| LoadError::NoText(file.clone()))?;
    let definition = compile(&text)
        .map_err(|findings| LoadError::Invalid { file: file.display().to_string(), findings })?;
    Ok(Kept { definition, data: read_data(directory)? })
}

/// What the machine of a directory kept; nothing where there is nothing to be read.
///
/// # Errors
/// It is there and cannot be read now: a machine without it would keep that it has nothing.
pub fn read_data(directory: &Path) -> std::io::Result<Arc<str>> {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    let file = directory.join(DATA);
    let nothing = || Arc::from("{}");
    let about = match fs::metadata(&file) {
        Ok(about) => about,
        Err(e) if matches!(e.kind(), NotFound | PermissionDenied) => return Ok(nothing()),
        Err(e) => return Err(std::io::Error::new(e.kind(), format!("cannot read {}: {e}", file.display()))),
    };
    let text = match read_plain(&file, MAX_DATA) {
        Err(e) if about.is_file() && about.len() <= MAX_DATA && e.kind() != PermissionDenied => {
            return Err(e);
        }
        text => text.map_err(|e| e.to_string()),
    };
    let judged = text.and_then(|text| match serde_json::from_slice::<Value>(&text) {
        Ok(Value::Object(_)) => String::from_utf8(text).map_err(|e| e.to_string()),
        Ok(_) => Err(format!("{} holds no object", file.display())),
        Err(e) => Err(format!("{} is no JSON: {e}", file.display())),
    });
    Ok(judged.map_or_else(
        |problem| {
            tracing::warn!("{problem}: its machine starts without data");
            nothing()
        },
        Arc::from,
    ))
}

/// Writes what a machine keeps, whole or not at all.
///
/// # Errors
/// It was not written. Where the machine is gone there is nothing to be kept.
pub(super) fn write_data(directory: &Path, data: &str) -> std::io::Result<()> {
    match fs::metadata(directory) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        _ => files::write_atomic(&directory.join(DATA), data.as_bytes(), files::SECRET),
    }
}

/// What has changed in a store.
pub(super) enum Change {
    /// A machine came, or is another.
    Loaded { path: PathBuf, before: Option<Id>, definition: Box<Definition>, data: Arc<str> },
    /// It is the same, and what it kept is not in its directory.
    Unwritten(Id),
    /// Its directory went.
    Gone(PathBuf, Id),
    /// A machine cannot be had; a sentence.
    Broken(String),
}

/// What is known of a directory.
#[derive(Clone, Default)]
struct Known {
    /// Of the text that was read last.
    version: Option<Version>,
    /// It was told that this one cannot be read, which is tried again.
    unread: Option<Version>,
    digest: Option<[u8; 32]>,
    /// Text of the machine that runs.
    runs: Option<[u8; 32]>,
    id: Option<Id>,
}

impl Known {
    /// Text or data of that version cannot be read, which is tried at the next look; whether that is to be told.
    fn cannot_read(&mut self, version: Version) -> bool {
        self.unread.replace(version) != Some(version)
    }
}

/// A directory of machines; clones know the same.
#[derive(Clone)]
pub(super) struct Store {
    directory: PathBuf,
    known: BTreeMap<PathBuf, Known>,
    told: bool,
    /// There are more machines than run, which is told once.
    many: bool,
    /// Places that do not answer, which are passed over.
    hanging: BTreeSet<PathBuf>,
    /// The place that is looked at now.
    at: Arc<Mutex<PathBuf>>,
}

impl Store {
    /// That may be made first.
    pub fn new(directory: PathBuf) -> Store {
        Store {
            directory,
            known: BTreeMap::new(),
            told: false,
            many: false,
            hanging: BTreeSet::new(),
            at: Arc::default(),
        }
    }

    /// The machine that is now in a directory.
    pub fn is_now(&mut self, path: &Path, id: Id) {
        if let Some(known) = self.known.get_mut(path) {
            known.id = Some(id);
        }
    }

    /// Where somebody is who looks.
    pub fn at(&self) -> PathBuf {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Leaves somebody behind at that place, and passes over it. What they come back with is nobody's.
    pub fn leave(&mut self, place: &Path) {
        self.hanging.insert(place.to_owned());
        self.at = Arc::default();
    }

    /// A place answers again.
    pub fn answers(&mut self, place: &Path) {
        self.hanging.remove(place);
    }

    /// Where it looks now; false where nobody is to go.
    fn goes_to(&self, place: &Path) -> bool {
        let goes = !self.hanging.contains(place);
        if goes {
            *self.at.lock().unwrap_or_else(PoisonError::into_inner) = place.to_owned();
        }
        goes
    }

    /// What has changed since the last look.
    pub fn look(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        if !self.goes_to(&self.directory) {
            return changes;
        }
        if !self.directory.exists() {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
            if let Err(e) = made.as_ref().map_err(|e| e.to_string())
                && !std::mem::replace(&mut self.told, true)
            {
                changes.push(Change::Broken(format!(
                    "plugin.choria.machine.store: {} cannot be made: {e}; no machines run",
                    self.directory.display()
                )));
            }
        }
        let found = match self.directories() {
            Ok(found) => found,
            Err(e) => {
                if !std::mem::replace(&mut self.told, true) {
                    let told = format!("machines cannot be looked for in {}: {e}", self.directory.display());
                    changes.push(Change::Broken(told));
                }
                return changes;
            }
        };
        self.told = false;
        let there: BTreeSet<&OsStr> = found.iter().map(|path| path.as_os_str()).collect();
        let is_gone = |path: &&PathBuf| !there.contains(path.as_os_str());
        let gone: Vec<PathBuf> = self.known.keys().filter(is_gone).cloned().collect();
        for path in gone {
            if let Some(id) = self.known.remove(&path).and_then(|known| known.id) {
                changes.push(Change::Gone(path, id));
            }
        }
        for path in found {
            if self.known.len() >= MAX_MACHINES && !self.known.contains_key(&path) {
                continue;
            }
            if self.goes_to(&path) {
                changes.extend(self.look_at(path));
            }
        }
        changes
    }

    fn directories(&mut self) -> std::io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory)?.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let ignored = name == "tmp" || name.starts_with('.') || name.ends_with("-temp");
            let path = entry.path();
            // one that does not answer is there as long as nobody knows better
            let hangs = self.hanging.contains(&path);
            if !ignored && (hangs || self.goes_to(&path) && path.is_dir()) {
                found.push(path);
            }
        }
        found.sort();
        let many = found.len() > MAX_MACHINES;
        if many && !std::mem::replace(&mut self.many, many) {
            tracing::warn!(
                "{} has more than {MAX_MACHINES} machines, the others do not run",
                self.directory.display()
            );
        }
        self.many = many;
        Ok(found)
    }

    fn look_at(&mut self, path: PathBuf) -> Option<Change> {
        let file = path.join(DEFINITION);
        let known = self.known.entry(path.clone()).or_default();
        let running = known.id;
        let stays = |problem: String| match running {
            Some(_) => Change::Broken(format!("{problem}; the machine that runs stays as it was")),
            None => Change::Broken(problem),
        };
        let version = match Version::of(&file) {
            Ok(version) => version,
            // told once, and again when it comes and goes
            Err(_) if known.version.is_none() && known.digest == Some([0; 32]) => return None,
            Err(e) => {
                (known.version, known.digest) = (None, Some([0; 32]));
                return Some(stays(format!(
                    "there is no machine in {}: cannot read {}: {e}",
                    path.display(),
                    file.display()
                )));
            }
        };
        if known.version.as_ref() == Some(&version) {
            return None;
        }
        let text = match read_plain(&file, yaml::MAX_TEXT as u64) {
            Ok(text) => text,
            Err(e) => return known.cannot_read(version).then(|| stays(e.to_string())),
        };
        let mut sum = [0; 32];
        sum.copy_from_slice(digest(&SHA256, &text).as_ref());
        // also after it was another one for a while that could not run
        if let Some(id) = running.filter(|_| known.runs == Some(sum)) {
            (known.version, known.unread, known.digest) = (Some(version), None, Some(sum));
            return (!path.join(DATA).exists()).then_some(Change::Unwritten(id));
        }
        if known.digest == Some(sum) {
            known.version = Some(version);
            return None;
        }
        let loaded = load_text(&path, text);
        if let Err(LoadError::File(e)) = loaded {
            return known.cannot_read(version).then(|| stays(e.to_string()));
        }
        (known.version, known.unread, known.digest) = (Some(version), None, Some(sum));
        match loaded {
            Ok(Kept { definition, data }) => {
                known.runs = Some(sum);
                Some(Change::Loaded { path, before: running, definition: Box::new(definition), data })
            }
            Err(e) => Some(stays(e.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str = "{name: a, version: 1.0.0, initial_state: x, transitions: [{name: go, from: [x], destination: \
                           y}], watchers: [{name: w, type: exec, interval: 1h, properties: {command: /bin/true}}]}";

    fn told(changes: &[Change]) -> Vec<String> {
        let text = |change: &Change| match change {
            Change::Loaded { definition, before, .. } => format!("{} {}", definition.name, before.is_some()),
            Change::Gone(..) => "gone".to_owned(),
            Change::Unwritten(_) => "unwritten".to_owned(),
            Change::Broken(problem) => problem.clone(),
        };
        changes.iter().map(text).collect()
    }

    fn id() -> Id {
        let mut engine = crate::core::machine::engine::Engine::new("n", jiff::tz::TimeZone::UTC, 1);
        let now =
            crate::core::machine::turn::Moment { at: Default::default(), wall: jiff::Timestamp::UNIX_EPOCH };
        engine.add(compile(MACHINE).ok().unwrap(), "/".into(), "{}".into(), now)
    }

    #[test]
    fn machines_come_and_change_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::new(dir.path().join("store"));
        assert!(store.look().is_empty());
        let at = dir.path().join("store/a");
        for ignored in ["tmp", ".git", "x-temp"] {
            fs::create_dir_all(dir.path().join("store").join(ignored)).unwrap();
        }
        fs::create_dir(&at).unwrap();
        let none = told(&store.look());
        assert!(none[0].contains("there is no machine in") && none.len() == 1, "{none:?}");
        assert!(store.look().is_empty(), "told once");
        fs::write(at.join(DEFINITION), MACHINE).unwrap();
        assert_eq!(told(&store.look()), ["a false"]);
        store.is_now(&at, id());
        assert!(store.look().is_empty());
        // another time and the same text is no change, but what it kept may be gone
        fs::write(at.join(DEFINITION), MACHINE).unwrap();
        assert_eq!(told(&store.look()), ["unwritten"]);
        fs::write(at.join(DATA), "{}").unwrap();
        fs::write(at.join(DEFINITION), MACHINE).unwrap();
        assert!(store.look().is_empty());
        fs::write(at.join(DEFINITION), "name: [unclosed").unwrap();
        let broken = told(&store.look());
        assert!(
            broken[0].contains("line 1") && broken[0].ends_with("the machine that runs stays as it was"),
            "{broken:?}"
        );
        assert!(store.look().is_empty(), "told once");
        // nor is the text of the machine that runs one, when it comes back
        fs::write(at.join(DEFINITION), MACHINE).unwrap();
        assert!(store.look().is_empty());
        fs::remove_file(at.join(DEFINITION)).unwrap();
        assert_eq!(store.look().len(), 1);
        fs::write(at.join(DEFINITION), MACHINE).unwrap();
        assert!(store.look().is_empty());
        fs::write(at.join(DEFINITION), MACHINE.replace("name: a", "name: b")).unwrap();
        assert_eq!(told(&store.look()), ["b true"]);
        fs::remove_dir_all(&at).unwrap();
        assert_eq!(told(&store.look()), ["gone"]);
    }

    #[test]
    fn a_place_that_does_not_answer_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::new(dir.path().to_owned());
        for name in ["a", "b"] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join(DEFINITION), MACHINE).unwrap();
        }
        assert!(store.goes_to(&dir.path().join("a")));
        let place = store.at();
        assert_eq!(place, dir.path().join("a"));
        store.leave(&place);
        assert_eq!(store.look().len(), 1, "the other one");
        // who is passed over is not gone
        assert!(store.look().is_empty());
        store.answers(&place);
        assert_eq!(store.look().len(), 1);
        // a pipe is no machine, and nobody waits for one
        fs::create_dir(dir.path().join("c")).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("c").join(DEFINITION), mode).unwrap();
        assert!(told(&store.look())[0].contains(DEFINITION));
    }

    #[test]
    fn what_a_machine_kept_is_read_or_left() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(DEFINITION), MACHINE).unwrap();
        assert_eq!(&*load(dir.path()).ok().unwrap().data, "{}");
        write_data(dir.path(), "{\"a\":1}").unwrap();
        assert_eq!(&*load(dir.path()).ok().unwrap().data, "{\"a\":1}");
        for broken in ["[1]", "{", ""] {
            fs::write(dir.path().join(DATA), broken).unwrap();
            assert_eq!(&*load(dir.path()).ok().unwrap().data, "{}", "{broken}");
        }
    }
}
