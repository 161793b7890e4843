//! Tasks as they stand on a disk: modules with `tasks`, `files`, `lib` and `scripts`, by the
//! rules of a Puppet Server (spec 07 §A7).
//!
//! A root is either a directory of environments, `ROOT/ENVIRONMENT/modules/MODULE`, or one of
//! modules, which are of the environment `production`.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::{Map, Value, json};

use super::metadata::{Listed, Metadata, Task};
use super::names::is_segment;
use super::records::{Address, FileRecord, MOST_FILES, MOUNTS, is_inside};
use super::{TaskName, signing};
use crate::core::files::{Version, read_bounded};
use crate::core::security::tokens::SigningKey;
use crate::core::text::hex;

/// Environment of modules that are in none.
pub const USUAL: &str = "production";
/// Bytes of metadata.
const METADATA: u64 = 1 << 20;
/// Modules, and entries of a directory, that are looked at.
const MOST: usize = 10_000;
/// Hashes that are remembered.
const HASHES: usize = 20_000;
/// Files of `tasks` with these ends are never run.
const NO_PROGRAMS: [&str; 3] = ["json", "md", "conf"];
/// Deepest directory of files.
const DEEPEST: usize = 16;

/// The tasks below some roots.
#[derive(Debug)]
pub struct Library {
    roots: Vec<PathBuf>,
    signer: Option<SigningKey>,
    hashes: Mutex<HashMap<PathBuf, (Version, u64, String)>>,
}

/// Why there is no such task, or file.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// It is not there.
    #[error("there is no {0}")]
    Absent(String),
    /// It cannot be what it should.
    #[error("the task {task} {problem}")]
    Bad {
        /// Which.
        task: String,
        /// What is wrong.
        problem: String,
    },
    /// The disk.
    #[error(transparent)]
    Disk(#[from] io::Error),
}

impl Library {
    /// Of these roots; with a key every list of files is signed.
    pub fn new(roots: impl IntoIterator<Item = PathBuf>, signer: Option<SigningKey>) -> Library {
        Library { roots: roots.into_iter().collect(), signer, hashes: Mutex::default() }
    }

    /// The directories of modules of an environment.
    fn module_path(&self, environment: &str) -> Vec<PathBuf> {
        let named = is_environment(environment);
        let of_root = |root: &PathBuf| {
            let own = root.join(environment).join("modules");
            match () {
                () if named && own.is_dir() => Some(own),
                () if environment == USUAL && !root.join(USUAL).join("modules").is_dir() => {
                    Some(root.clone())
                }
                () => None,
            }
        };
        self.roots.iter().filter_map(of_root).collect()
    }

    /// Modules by name; of two with one name the first.
    fn modules(&self, environment: &str) -> BTreeMap<String, PathBuf> {
        let mut found = BTreeMap::new();
        for dir in self.module_path(environment) {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten().take(MOST) {
                let Ok(name) = entry.file_name().into_string() else { continue };
                if is_segment(&name) && entry.path().is_dir() {
                    found.entry(name).or_insert_with(|| entry.path());
                }
            }
        }
        found
    }

    fn module(&self, environment: &str, name: &str) -> Option<PathBuf> {
        let dirs = self.module_path(environment).into_iter();
        dirs.filter(|_| is_segment(name)).map(|dir| dir.join(name)).find(|dir| dir.is_dir())
    }

    /// All tasks of an environment, sorted.
    pub fn list(&self, environment: &str) -> Vec<Listed> {
        let mut all = vec![];
        for (module, dir) in self.modules(environment) {
            for task in tasks_of(&dir) {
                let Ok(name) = TaskName::parse(&format!("{module}::{task}")) else { continue };
                let about = metadata(&dir, &name).unwrap_or_default();
                all.push(Listed {
                    name: name.to_string(),
                    private: about.private,
                    description: about.description,
                    environment: json!([{"name": environment, "code_id": null}]),
                });
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// A task with all its files.
    ///
    /// # Errors
    /// It is not there, or not whole.
    pub fn task(&self, environment: &str, name: &TaskName) -> Result<Task, LibraryError> {
        let absent = || LibraryError::Absent(format!("task {name}"));
        let bad = |problem: String| LibraryError::Bad { task: name.to_string(), problem };
        let dir = self.module(environment, name.module()).ok_or_else(absent)?;
        let about = metadata(&dir, name)?;
        let mut programs: Vec<String> = about.implementations.iter().map(|one| one.name.clone()).collect();
        if programs.is_empty() {
            programs = programs_of(&dir, name.task());
            match programs.len() {
                0 => return Err(absent()),
                1 => {}
                _ => {
                    return Err(bad(format!(
                        "has several programs, {}, and no implementations in its metadata",
                        programs.join(", ")
                    )));
                }
            }
        }
        let mut files = vec![];
        for program in &programs {
            if !is_inside(program) || program.contains('/') {
                return Err(bad(format!("has an implementation '{program}' that is no file of tasks")));
            }
            files.push(self.record(environment, &dir, program, &["tasks", program])?);
        }
        let extra = about.files.iter().chain(about.implementations.iter().flat_map(|one| &one.files));
        for path in extra {
            let is_directory = path.ends_with('/');
            let plain = path.trim_end_matches('/');
            let parts: Vec<&str> = plain.splitn(3, '/').collect();
            let (module, mount, below) = match parts[..] {
                [module, mount] if is_directory => (module, mount, ""),
                [module, mount, below] => (module, mount, below),
                _ => return Err(bad(format!("wants a file '{path}', which is not MODULE/MOUNT/PATH"))),
            };
            if !is_inside(plain) || !MOUNTS.contains(&mount) {
                return Err(bad(format!(
                    "wants a file '{path}', which is not MODULE/files|lib|scripts|tasks/PATH"
                )));
            }
            let dir = self
                .module(environment, module)
                .ok_or_else(|| bad(format!("wants files of a module {module}, which is not there")))?;
            let names = match is_directory {
                true => below_directory(&dir.join(mount).join(below))?
                    .into_iter()
                    .map(|file| joined(&[below, &file]))
                    .collect(),
                false => vec![below.to_owned()],
            };
            for file in names {
                let name = format!("{module}/{mount}/{file}");
                files.push(self.record(environment, &dir, &name, &[mount, &file])?);
            }
        }
        let mut seen = std::collections::HashSet::new();
        // a program of it may be listed once more, by its path
        files.retain(|file| seen.insert(file.path(name)));
        if files.len() > MOST_FILES {
            return Err(bad(format!("has more than {MOST_FILES} files")));
        }
        if let Some(signer) = &self.signer {
            signing::sign(signer, name, &mut files);
        }
        Ok(Task { name: name.to_string(), metadata: about, files })
    }

    fn record(
        &self,
        environment: &str,
        module: &Path,
        name: &str,
        place: &[&str; 2],
    ) -> Result<FileRecord, LibraryError> {
        let file = inside(module, &module.join(place[0]).join(place[1]))?;
        let (size_bytes, sha256) = self.hash(&file)?;
        let of = module.file_name().unwrap_or_default().to_string_lossy();
        let below = place[1];
        let path = match place[0] {
            "files" => format!("/puppet/v3/file_content/modules/{of}/{below}"),
            "lib" => format!("/puppet/v3/file_content/plugins/{below}"),
            mount => format!("/puppet/v3/file_content/{mount}/{of}/{below}"),
        };
        let mut params = Map::new();
        params.insert("environment".into(), environment.into());
        Ok(FileRecord {
            filename: name.to_owned(),
            sha256,
            size_bytes,
            uri: Address { path, params },
            signatures: vec![],
        })
    }

    /// Size and hash of a file, remembered for as long as it is the same.
    fn hash(&self, file: &Path) -> io::Result<(u64, String)> {
        let lock = || self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        let version = Version::of(file)?;
        if let Some((known, size, hash)) = lock().get(file).filter(|(known, ..)| *known == version) {
            debug_assert_eq!(*known, version);
            return Ok((*size, hash.clone()));
        }
        let (mut content, mut context, mut size) = (File::open(file)?, Context::new(&SHA256), 0);
        let mut piece = vec![0; 64 * 1024];
        loop {
            let read = content.read(&mut piece)?;
            let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else { break };
            context.update(piece);
            size += piece.len() as u64;
        }
        let hash = hex(context.finish().as_ref());
        let mut hashes = lock();
        if hashes.len() >= HASHES {
            hashes.clear();
        }
        hashes.insert(file.to_owned(), (version, size, hash.clone()));
        Ok((size, hash))
    }

    /// The file that an address below `/puppet/v3/file_content/` means.
    ///
    /// # Errors
    /// There is none.
    pub fn file(&self, environment: &str, path: &str) -> Result<PathBuf, LibraryError> {
        let absent = || LibraryError::Absent(format!("file {}", path.chars().take(200).collect::<String>()));
        let (mount, rest) = path.split_once('/').filter(|_| is_inside(path)).ok_or_else(absent)?;
        if mount == "plugins" {
            let modules = self.modules(environment).into_values();
            let found = modules.filter_map(|module| inside(&module, &module.join("lib").join(rest)).ok());
            return found.into_iter().next().ok_or_else(absent);
        }
        let mount = match mount {
            "modules" => "files",
            "tasks" | "scripts" => mount,
            _ => return Err(absent()),
        };
        let (module, below) = rest.split_once('/').ok_or_else(absent)?;
        let module = self.module(environment, module).ok_or_else(absent)?;
        inside(&module, &module.join(mount).join(below)).map_err(|_| absent())
    }
}

/// Letters, digits and `_`, as environments of Puppet.
fn is_environment(name: &str) -> bool {
    !name.is_empty() && name.len() <= 100 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn joined(parts: &[&str]) -> String {
    parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/")
}

/// A plain file of a module; a link that leads out of it is none.
fn inside(module: &Path, file: &Path) -> io::Result<PathBuf> {
    let real = file.canonicalize()?;
    match real.starts_with(module.canonicalize()?) && real.is_file() {
        true => Ok(real),
        false => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("{} is no file of its module", file.display()),
        )),
    }
}

/// Names of the files of `tasks`.
fn entries(module: &Path) -> Vec<String> {
    let entries = fs::read_dir(module.join("tasks")).into_iter().flatten().flatten().take(MOST);
    let files = entries.filter(|entry| entry.path().is_file());
    let mut names: Vec<String> = files.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn split(file: &str) -> (&str, &str) {
    file.split_once('.').unwrap_or((file, ""))
}

/// Tasks of a module.
fn tasks_of(module: &Path) -> Vec<String> {
    let names = entries(module);
    let mut tasks: Vec<String> = names
        .iter()
        .map(|file| split(file))
        // metadata alone may name programs of other tasks
        .filter(|(stem, end)| is_segment(stem) && !["md", "conf"].contains(end))
        .map(|(stem, _)| stem.to_owned())
        .collect();
    tasks.dedup();
    tasks
}

/// Programs of a task by its name.
fn programs_of(module: &Path, task: &str) -> Vec<String> {
    let of_task = |file: &String| {
        let (stem, end) = split(file);
        stem == task && !NO_PROGRAMS.contains(&end)
    };
    entries(module).into_iter().filter(of_task).collect()
}

fn metadata(module: &Path, name: &TaskName) -> Result<Metadata, LibraryError> {
    let file = module.join("tasks").join(format!("{}.json", name.task()));
    let text = match read_bounded(&file, METADATA) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Metadata::default()),
        Err(e) => return Err(e.into()),
    };
    // of a member that stands there twice, as in some of the Forge, the last counts
    let read = serde_json::from_slice(&text).and_then(serde_json::from_value::<Metadata>);
    read.map_err(|e| LibraryError::Bad {
        task: name.to_string(),
        problem: format!("has metadata that is not understood: {e}"),
    })
}

/// Files below a directory, sorted, by their paths from there; links are not followed.
fn below_directory(dir: &Path) -> io::Result<Vec<String>> {
    let mut found = vec![];
    let mut open = vec![(dir.to_owned(), String::new(), 0)];
    while let Some((dir, prefix, depth)) = open.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let (name, kind) = (joined(&[&prefix, &name]), entry.file_type()?);
            match () {
                () if kind.is_dir() && depth < DEEPEST => open.push((entry.path(), name, depth + 1)),
                () if kind.is_file() => found.push(name),
                () => {}
            }
            if found.len() > MOST_FILES {
                return Err(io::Error::other(format!("a directory has more than {MOST_FILES} files")));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What a server says of a task that it does not have.
pub fn refusal(e: &LibraryError) -> (u16, Value) {
    match e {
        LibraryError::Absent(_) => {
            (404, json!({"kind": "puppet.tasks/task-not-found", "msg": e.to_string(), "details": {}}))
        }
        LibraryError::Bad { .. } => {
            (500, json!({"kind": "puppet.tasks/invalid-task", "msg": e.to_string(), "details": {}}))
        }
        // the disk's words are for the log
        LibraryError::Disk(_) => {
            (500, json!({"kind": "puppet.tasks/unreadable", "msg": "the task cannot be read", "details": {}}))
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn modules(files: &[(&str, &str)]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = dir.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        dir
    }

    #[test]
    fn tasks_are_programs_with_what_is_said_of_them() {
        let dir = modules(&[
            ("demo/tasks/init.sh", "#!/bin/sh\n"),
            (
                "demo/tasks/init.json",
                r#"{"description": "Does it", "files": ["demo/files/all/", "other/lib/puppet_x/h.rb"]}"#,
            ),
            ("demo/tasks/README.md", "#"),
            ("demo/tasks/twice.sh", ""),
            ("demo/tasks/twice.json", r#"{"input_method": "stdin", "input_method": "both"}"#),
            ("demo/tasks/two.rb", ""),
            ("demo/tasks/two.py", ""),
            (
                "demo/tasks/many.json",
                r#"{"implementations": [{"name": "many_win.ps1", "requirements": ["powershell"]},
                {"name": "many_nix.sh", "requirements": ["shell"], "files": ["demo/scripts/s"]}], "private": true}"#,
            ),
            ("demo/tasks/many_win.ps1", ""),
            ("demo/tasks/many_nix.sh", ""),
            ("demo/tasks/broken.sh", ""),
            ("demo/tasks/broken.json", "{"),
            ("demo/scripts/s", "1"),
            ("demo/files/all/a", "1"),
            ("demo/files/all/deep/b", "2"),
            ("other/lib/puppet_x/h.rb", "3"),
            ("Bad-name/tasks/x.sh", ""),
        ]);
        let library = Library::new([dir.path().to_owned()], None);
        let names: Vec<String> = library.list(USUAL).into_iter().map(|task| task.name).collect();
        assert_eq!(
            names,
            [
                "demo",
                "demo::broken",
                "demo::many",
                "demo::many_nix",
                "demo::many_win",
                "demo::twice",
                "demo::two"
            ]
        );
        assert!(library.list("test").is_empty());
        let task = |name: &str| library.task(USUAL, &TaskName::parse(name).unwrap());
        assert_eq!(task("demo::twice").unwrap().metadata.input_method.as_deref(), Some("both"));
        let demo = task("demo").unwrap();
        let files: Vec<&str> = demo.files.iter().map(|file| file.filename.as_str()).collect();
        assert_eq!(
            files,
            ["init.sh", "demo/files/all/a", "demo/files/all/deep/b", "other/lib/puppet_x/h.rb"]
        );
        let targets: Vec<String> = demo.files.iter().map(FileRecord::target).collect();
        assert_eq!(targets[0], "/puppet/v3/file_content/tasks/demo/init.sh?environment=production");
        assert_eq!(targets[2], "/puppet/v3/file_content/modules/demo/all/deep/b?environment=production");
        assert_eq!(targets[3], "/puppet/v3/file_content/plugins/puppet_x/h.rb?environment=production");
        for file in &demo.files {
            let path = file.uri.path.strip_prefix("/puppet/v3/file_content/").unwrap();
            let found = library.file(USUAL, path).unwrap();
            assert_eq!(fs::metadata(found).unwrap().len(), file.size_bytes);
        }
        let many: Vec<String> =
            task("demo::many").unwrap().files.into_iter().map(|file| file.filename).collect();
        assert_eq!(many, ["many_win.ps1", "many_nix.sh", "demo/scripts/s"]);
        assert!(task("demo::two").unwrap_err().to_string().contains("several programs"));
        assert!(task("demo::broken").unwrap_err().to_string().contains("not understood"));
        assert!(matches!(task("demo::absent"), Err(LibraryError::Absent(_))));
        assert!(matches!(task("absent"), Err(LibraryError::Absent(_))));
    }

    #[test]
    fn nothing_leads_out_of_a_module() {
        let dir = modules(&[("demo/tasks/init.sh", "x"), ("secret", "s"), ("demo/files/a", "1")]);
        std::os::unix::fs::symlink(dir.path().join("secret"), dir.path().join("demo/files/link")).unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("demo/files/own")).unwrap();
        let library = Library::new([dir.path().to_owned()], None);
        for path in [
            "tasks/demo/../../secret",
            "modules/demo/link",
            "modules/../secret",
            "tasks/demo/",
            "tasks/demo",
            "plugins/../../secret",
            "etc/passwd",
            "modules//etc/passwd",
            "",
            "tasks/demo/\0",
            "tasks/demo/tasks",
        ] {
            assert!(library.file(USUAL, path).is_err(), "{path}");
        }
        assert!(library.file(USUAL, "modules/demo/own").is_ok(), "a link within the module");
        assert!(library.file("../..", "tasks/demo/init.sh").is_err());
    }

    #[test]
    fn environments_have_modules_of_their_own() {
        let dir = modules(&[
            ("production/modules/demo/tasks/init.sh", "x"),
            ("test/modules/other/tasks/init.sh", "y"),
        ]);
        let library = Library::new([dir.path().to_owned()], None);
        let names = |of: &str| library.list(of).into_iter().map(|task| task.name).collect::<Vec<_>>();
        assert_eq!(
            (names("production"), names("test"), names("none")),
            (vec!["demo".to_owned()], vec!["other".to_owned()], vec![])
        );
    }
}
