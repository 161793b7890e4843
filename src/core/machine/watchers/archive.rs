//! `archive`: keeps a directory as an archive has it (spec 06 §6.8).

mod unpack;
mod verify;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Uri;
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::exec::{governor, templated};
use super::{Kind, Watcher};
use crate::core::build;
use crate::core::files::{self, unless_it_hangs_long};
use crate::core::machine::definition::Common;
use crate::core::machine::event::Fields;
use crate::core::machine::governed::Governed;
use crate::core::machine::properties::Properties;
use crate::core::machine::template::{Lookup, is_template, render};
use crate::core::machine::turn::{Answer, Fire, Said, Setting, Turn, Work};
use crate::core::security::download::{self, Asking};
use crate::core::text::Secret;

pub(super) const KIND: Kind =
    Kind { name: "archive", interval: None, least: Duration::from_secs(10), compile };

const LEAST_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest archive, as it is sent.
const MAX_PACKED: u64 = 512 << 20;

/// Archives that are fetched at once, but for those that have a slot of a governor.
static DOWNLOADS: Semaphore = Semaphore::const_new(4);
/// How long it may take to check or unpack one, on a disk that is slow and busy.
const MOST_WORK: Duration = Duration::from_secs(600);

struct Archive {
    wanted: Arc<Wanted>,
    source: Box<str>,
    outcome: &'static str,
    took: Duration,
}

/// What is to be there; templates.
struct Wanted {
    source: Box<str>,
    checksum: Box<str>,
    creates: Box<str>,
    target: Box<str>,
    verify: Box<str>,
    verify_checksum: Box<str>,
    username: Box<str>,
    password: Secret,
    timeout: Duration,
    governed: Option<Governed>,
}

fn compile(of: &mut Properties<'_, '_>, _: &mut Common) -> Box<dyn Watcher> {
    let wanted = Wanted {
        source: of.required("source"),
        checksum: of.required("checksum"),
        creates: of.required("creates"),
        target: of.required("target"),
        verify: of.text("verify"),
        verify_checksum: of.text("verify_checksum"),
        username: of.text("username"),
        password: Secret::new(of.text("password")),
        timeout: of.positive("timeout").unwrap_or_default().max(LEAST_TIMEOUT),
        governed: governor(of),
    };
    for (name, text) in [
        ("source", &wanted.source),
        ("checksum", &wanted.checksum),
        ("verify_checksum", &wanted.verify_checksum),
        ("username", &wanted.username),
    ] {
        templated(of, name, text);
    }
    for (name, text) in [("checksum", &wanted.checksum), ("verify_checksum", &wanted.verify_checksum)] {
        let digits = text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !text.is_empty() && !is_template(text) && !digits {
            of.error_at(name, format_args!("is {text}, which is no SHA-256, 64 hex digits"));
        }
    }
    if !wanted.verify.is_empty() && wanted.verify_checksum.is_empty() {
        of.error("verify_checksum is required if verify is set");
    }
    if wanted.username.is_empty() != wanted.password.expose().is_empty() {
        let missing = if wanted.username.is_empty() { "username" } else { "password" };
        of.error(format_args!("{missing} is required too"));
    }
    if !wanted.source.is_empty() && !is_template(&wanted.source) && address(&wanted.source).is_err() {
        of.error_at("source", format_args!("is {}, which is no http or https URL", wanted.source));
    }
    for (name, path) in [("creates", &wanted.creates), ("verify", &wanted.verify)] {
        if !path.is_empty() && !unpack::is_inside(Path::new(&**path)) {
            of.error_at(name, format_args!("is {path}, which is no path below a directory"));
        }
    }
    if of.flag("insecure") {
        of.error_at(
            "insecure",
            "is not part of this version: add the CA of the web service to those of the system",
        );
    }
    let source = public(&wanted.source).into();
    Box::new(Archive { wanted: Arc::new(wanted), source, outcome: "unknown", took: Duration::ZERO })
}

/// An address an archive can be fetched from.
pub(in crate::core::machine) fn address(text: &str) -> Result<Uri, String> {
    let wrong = || format!("{text} is no http or https URL");
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let known = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    if known { Ok(uri) } else { Err(wrong()) }
}

/// What is to be there, templates filled.
struct Filled {
    source: String,
    checksum: String,
    target: PathBuf,
    creates: PathBuf,
    list: Option<(PathBuf, String)>,
    login: Option<(String, Secret)>,
    timeout: Duration,
}

async fn filled(wanted: &Wanted, setting: &Setting) -> Result<Filled, String> {
    let texts = [
        &*wanted.source,
        &wanted.checksum,
        &wanted.verify_checksum,
        &wanted.username,
        wanted.password.expose(),
    ];
    let scope = setting.scope(&*setting.facts_for(&texts).await);
    let made = |text: &str| render(text, &Lookup { scope: &scope }).map_err(|e| e.to_string());
    let (user, password) = (made(&wanted.username)?, made(wanted.password.expose())?);
    Ok(Filled {
        source: made(&wanted.source)?,
        checksum: made(&wanted.checksum)?,
        target: setting.directory.join(&*wanted.target),
        creates: PathBuf::from(&*wanted.creates),
        list: match &*wanted.verify {
            "" => None,
            name => Some((PathBuf::from(name), made(&wanted.verify_checksum)?)),
        },
        login: (!user.is_empty()).then(|| (user, Secret::new(password))),
        timeout: wanted.timeout,
    })
}

impl Filled {
    /// Whether a directory is what the archive has.
    fn verified(&self, directory: &Path) -> Result<(), String> {
        if !directory.is_dir() {
            return Err(format!("{} is no directory", directory.display()));
        }
        match &self.list {
            Some((list, checksum)) => verify::listed(directory, list, checksum),
            None => Ok(()),
        }
    }
}

async fn kept(wanted: Arc<Wanted>, setting: Setting) -> Result<(&'static str, String), (String, String)> {
    let filled = filled(&wanted, &setting).await.map_err(|e| (String::new(), e))?;
    let source = public(&filled.source);
    let shown = source.clone();
    let done = async {
        let filled = Arc::new(filled);
        let of = filled.clone();
        let verify = move || Ok(of.verified(&of.target.join(&of.creates)).is_ok());
        let there = at(&filled.target, verify).await?;
        if there {
            return Ok("verified");
        }
        // who has a slot of all machines needs no turn on this one
        let (_slot, _turn) = match &wanted.governed {
            Some(governed) => (Some(setting.slot(governed).await?), None),
            None => (None, DOWNLOADS.acquire().await.ok()),
        };
        let of = filled.clone();
        let room = Away(Some(at(&filled.target, move || room(&of.target)).await?));
        let Some((place, file)) = &room.0 else { return Err("there is no place for it".to_owned()) };
        let url = address(&filled.source)?;
        let agent = format!("Choria Archive Watcher {}", build::VERSION);
        let login = filled.login.as_ref().map(|(user, password)| (user.as_str(), password.expose()));
        let asking = Asking { ca: "", login, agent: Some(&agent) };
        let download = download::file(&url, asking, MAX_PACKED, file);
        match tokio::time::timeout(filled.timeout, download).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return Err(format!("{shown} was not downloaded: {e}")),
            Err(_) => {
                return Err(format!("{shown} was not downloaded within {:?}", filled.timeout));
            }
        }
        let of = filled.clone();
        let place = place.path().to_owned();
        at(&filled.target, move || put(&of, &place)).await?;
        Ok("downloaded")
    };
    match done.await {
        Ok(outcome) => Ok((outcome, source)),
        Err(problem) => Err((source, problem)),
    }
}

/// An address without who asks it.
fn public(source: &str) -> String {
    let Some((scheme, rest)) = source.split_once("://") else { return source.to_owned() };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// Works at a directory, unless it hangs.
async fn at<T: Send + 'static>(
    target: &Path,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let done = unless_it_hangs_long(target, MOST_WORK, work).await;
    done.unwrap_or_else(|| {
        Err(format!("{} does not answer, as on a file system that hangs", target.display()))
    })
}

/// What goes by a thread of its own: files are closed and removed, which may hang as well.
struct Away<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Drop for Away<T> {
    fn drop(&mut self) {
        let kept = self.0.take();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(kept));
        }
    }
}

const PACKED: &str = "archive.tgz";

/// A directory below the target's `tmp`, which goes with whoever holds it, and a file in it.
fn room(target: &Path) -> Result<(TempDir, fs::File), String> {
    let told = |e: std::io::Error| format!("there is no place to unpack below {}: {e}", target.display());
    let tmp = target.join("tmp");
    if !tmp.is_dir() {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&tmp).map_err(told)?;
    }
    // with what one that was killed has left there
    let place = files::scratch(&tmp, "choria-archive-").map_err(told)?;
    let file = fs::File::create_new(place.path().join(PACKED)).map_err(told)?;
    Ok((place, file))
}

/// Checks what was downloaded, unpacks it, checks that, and puts it in its place.
fn put(filled: &Filled, place: &Path) -> Result<(), String> {
    let packed = place.join(PACKED);
    let found = verify::sha256(&packed)?;
    if !found.eq_ignore_ascii_case(&filled.checksum) {
        return Err(format!("the archive has checksum {found} and not {}", filled.checksum));
    }
    let unpacked = place.join("unpacked");
    fs::create_dir(&unpacked).map_err(|e| e.to_string())?;
    unpack::unpack(&packed, &unpacked)?;
    // a directory that is there counts as whole, so it is whole on the disk first
    fs::File::open(&unpacked).and_then(|all| Ok(rustix::fs::syncfs(&all)?)).map_err(|e| e.to_string())?;
    let made = unpacked.join(&filled.creates);
    filled.verified(&made).map_err(|e| format!("the archive is not what it is to be: {e}"))?;
    let final_place = filled.target.join(&filled.creates);
    let told = |e: std::io::Error| format!("{} cannot be put in its place: {e}", final_place.display());
    if let Some(parent) = final_place.parent() {
        fs::create_dir_all(parent).map_err(told)?;
    }
    // The old one goes only when the new one is there to take its place.
    let old = place.join("old");
    if final_place.symlink_metadata().is_ok() {
        fs::rename(&final_place, &old).map_err(told)?;
    }
    if let Err(e) = fs::rename(&made, &final_place) {
        let _ = fs::rename(&old, &final_place);
        return Err(told(e));
    }
    Ok(())
}

impl Archive {
    fn look(&mut self, turn: &mut Turn<'_>) {
        if !turn.eligible {
            self.outcome = "skipped";
            return;
        }
        let wanted = self.wanted.clone();
        // what is large, and what hangs, keeps none of the others waiting
        turn.work(Work::patient(move |setting| async move {
            let began = Instant::now();
            let said = match kept(wanted, setting).await {
                Ok((outcome, source)) => Said { outcome, detail: source.into(), ..Said::default() },
                Err((source, problem)) => {
                    Said { outcome: "error", detail: source.into(), problem, ..Said::default() }
                }
            };
            Answer::Said(Said { took: began.elapsed(), ..said })
        }));
    }
}

impl Watcher for Archive {
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
        if let Some(source) = said.detail.as_str().filter(|source| !source.is_empty()) {
            self.source = source.into();
        }
        (self.outcome, self.took) = (said.outcome, said.took);
        if !said.problem.is_empty() {
            turn.warn(said.problem);
        }
        turn.publish(self.fields());
        turn.fire(if said.outcome == "error" { Fire::Failure } else { Fire::Success });
    }

    fn fields(&self) -> Fields {
        vec![
            ("source", (*self.source).into()),
            ("creates", (*self.wanted.creates).into()),
            ("previous_outcome", self.outcome.into()),
            ("previous_run_time", (self.took.as_nanos() as u64).into()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::machine::definition::compile;

    #[test]
    fn what_one_that_was_killed_left_goes_with_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let (place, _) = room(dir.path()).unwrap();
        let name = place.path().file_name().unwrap().to_string_lossy().into_owned();
        let dead = name.replacen(&std::process::id().to_string(), &u32::MAX.to_string(), 1);
        let dead = dir.path().join("tmp").join(dead);
        fs::create_dir(&dead).unwrap();
        let (other, _) = room(dir.path()).unwrap();
        assert!(!dead.exists() && place.path().exists() && other.path().exists());
    }

    #[test]
    fn checksums_are_judged_at_load() {
        let of = |checksum: &str| {
            compile(&format!(
                "{{name: a, version: 1.0.0, initial_state: x, transitions: [{{name: go, from: [x], destination: y}}], \
                 watchers: [{{name: w, type: archive, interval: 1h, properties: {{source: 'http://h/a.tgz', checksum: \
                 '{checksum}', creates: a, target: /t}}}}]}}"
            ))
            .is_ok()
        };
        assert!(of(&"aB".repeat(32)) && of("{{ lookup \"facts.sum\" \"x\" }}"));
        assert!(!of("zz") && !of(&"zz".repeat(32)));
    }
}
