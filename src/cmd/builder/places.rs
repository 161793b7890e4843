//! Where definitions are.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use choria::core::config::{Environment as _, System};
use choria::core::text::meant;

use crate::cmd::out::errln;

/// What names of files of applications end with.
pub const DEFINITION: &str = "-app.yaml";
const SETTINGS: &str = "-cfg.yaml";
/// Files of tasks of a project, the first counts.
const TASKS: [&str; 5] =
    ["ABTaskFile.dist.yaml", "ABTaskFile.dist.yml", "ABTaskFile.yaml", "ABTaskFile.yml", "ABTaskFile"];
/// Settings of tasks.
const TASK_SETTINGS: &str = ".abtenv";

/// An application that is there.
#[derive(Debug)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its definition.
    pub file: PathBuf,
    /// Its settings, where there are some.
    pub settings: Option<PathBuf>,
    /// Whether it is a file of tasks.
    pub is_tasks: bool,
}

/// Directories with applications of everybody and of the person.
pub fn directories() -> Vec<PathBuf> {
    let own = System.var("XDG_CONFIG_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let own = own.or_else(|| System.home().map(|home| home.join(".config")));
    let of = |below: &str| own.as_ref().map(|own| own.join(below));
    let etc = |below: &str| Some(PathBuf::from("/etc").join(below));
    [of("choria/builder"), etc("choria/builder"), of("appbuilder"), etc("appbuilder")]
        .into_iter()
        .flatten()
        .collect()
}

/// Where a person's own are.
pub fn own() -> anyhow::Result<PathBuf> {
    directories()
        .into_iter()
        .next()
        .filter(|dir| !dir.starts_with("/etc"))
        .context("you have no home directory")
}

/// Whether a file may say what is run for somebody who only happens to be near it: it is theirs or
/// root's, and nobody else can write it.
fn trusted(file: &Path) -> bool {
    let euid = rustix::process::geteuid().as_raw();
    let safe = |path: &Path| {
        fs::metadata(path).is_ok_and(|about| [0, euid].contains(&about.uid()) && about.mode() & 0o002 == 0)
    };
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    safe(file) && safe(directory)
}

/// A file of the working directory or one above, unless it is somebody else's.
fn near(file: PathBuf) -> Option<PathBuf> {
    if !file.is_file() {
        return None;
    }
    if !trusted(&file) {
        errln!(
            "choria: {} is not used: it, or its directory, is somebody else's or can be written by everybody",
            file.display()
        );
        return None;
    }
    Some(file)
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "-_.+".contains(c);
    !name.is_empty() && !name.starts_with(['-', '.']) && name.chars().all(plain)
}

/// A variable with a path.
fn path_of(variable: &str) -> Option<PathBuf> {
    System.var(variable).map(PathBuf::from)
}

/// The file of an application or its settings: in the working directory, or where they usually are.
fn file_of(name: &str, ending: &str) -> Option<PathBuf> {
    let file = format!("{name}{ending}");
    let elsewhere = || directories().into_iter().map(|dir| dir.join(&file)).find(|path| path.is_file());
    near(PathBuf::from(&file)).or_else(elsewhere)
}

/// The settings of an application: what the environment names, or else what is beside it.
fn settings(name: &str, file: &Path) -> anyhow::Result<Option<PathBuf>> {
    let called = format!("{name}{SETTINGS}");
    if let Some(path) = path_of("BUILDER_CONFIG") {
        let path = if path.is_dir() { path.join(&called) } else { path };
        if !path.is_file() {
            bail!("BUILDER_CONFIG: there is no file {}", path.display());
        }
        return Ok(Some(path));
    }
    let beside = file.with_file_name(&called);
    Ok(if beside.is_file() { near(beside) } else { file_of(name, SETTINGS) })
}

/// The application of that name, where there is one.
pub fn named(name: &str) -> anyhow::Result<Option<Found>> {
    if !is_name(name) {
        return Ok(None);
    }
    let file = match path_of("BUILDER_APP") {
        Some(path) if !path.is_file() => bail!("BUILDER_APP: there is no file {}", path.display()),
        Some(path) => Some(path),
        None => file_of(name, DEFINITION),
    };
    let Some(file) = file else { return Ok(None) };
    Ok(Some(Found { name: name.to_owned(), settings: settings(name, &file)?, file, is_tasks: false }))
}

/// The application that a person names: by its name, or the path of its definition.
pub fn application(name: &str) -> anyhow::Result<Found> {
    if name.contains('/')
        || name.ends_with(".yaml")
        || name.ends_with(".yml")
        || is_task_file(Path::new(name))
    {
        let file = PathBuf::from(name);
        if !file.is_file() {
            bail!("there is no file {name}");
        }
        let called = file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let called = called.strip_suffix(DEFINITION).unwrap_or(&called).to_owned();
        let is_tasks = is_task_file(&file);
        let settings = if is_tasks { task_settings() } else { settings(&called, &file)? };
        return Ok(Found { name: called, settings, file, is_tasks });
    }
    if name == "abt" {
        return tasks();
    }
    if let Some(found) = named(name)? {
        return Ok(found);
    }
    let known: Vec<String> = all().into_iter().map(|(name, _)| name).collect();
    let meant = meant(name, known.iter().map(String::as_str));
    let directories: Vec<String> = directories().iter().map(|dir| dir.display().to_string()).collect();
    bail!(
        "there is no application '{name}'{meant}{} {name}{DEFINITION} is looked for here and in {}",
        if meant.is_empty() { ":" } else { "" },
        directories.join(", ")
    )
}

/// Whether a file is one of tasks, by its name.
pub fn is_task_file(file: &Path) -> bool {
    file.file_name().and_then(|name| name.to_str()).is_some_and(|name| TASKS.contains(&name))
}

fn task_settings() -> Option<PathBuf> {
    near(PathBuf::from(TASK_SETTINGS))
}

/// The file of tasks of the project the person is in.
pub fn tasks() -> anyhow::Result<Found> {
    let found =
        |file: PathBuf| Found { name: "abt".to_owned(), file, settings: task_settings(), is_tasks: true };
    if let Some(file) = path_of("ABTaskFile") {
        if !file.is_file() {
            bail!("ABTaskFile: there is no file {}", file.display());
        }
        return Ok(found(file));
    }
    let here = std::env::current_dir().context("the working directory")?;
    for directory in here.ancestors() {
        if let Some(file) = TASKS.iter().find_map(|name| near(directory.join(name))) {
            return Ok(found(file));
        }
    }
    bail!("there is no file of tasks here or above, called one of {}", TASKS.join(", "))
}

/// All applications: names and files, those first that are run of several with one name.
pub fn all() -> Vec<(String, PathBuf)> {
    let mut all: Vec<(String, PathBuf)> = vec![];
    for directory in std::iter::once(PathBuf::from(".")).chain(directories()) {
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        let mut here: Vec<(String, PathBuf)> = entries
            .filter_map(|entry| {
                let name = entry.file_name().to_str()?.strip_suffix(DEFINITION)?.to_owned();
                if !is_name(&name) {
                    return None;
                }
                let path = entry.path();
                (path.is_file() && (directory != Path::new(".") || trusted(&path))).then_some((name, path))
            })
            .collect();
        here.sort();
        all.extend(here);
    }
    all
}
