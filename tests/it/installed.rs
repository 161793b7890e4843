//! Programs of others, installed once below the target directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex};

pub const INSTALLED: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/conformance");

/// The interpreter of an environment called `name` with the packages of a list.
pub fn python_with(name: &str, requirements: &Path) -> PathBuf {
    static DONE: LazyLock<Mutex<BTreeMap<String, PathBuf>>> = LazyLock::new(Mutex::default);
    let mut done = DONE.lock().expect("nobody failed here");
    let interpreter = done.entry(name.to_owned()).or_insert_with(|| {
        let dir = Path::new(INSTALLED).join(name);
        let python = dir.join("bin/python");
        install(&dir, &[requirements.to_owned()], || {
            let install = "install it with: apt-get install -y python3 python3-venv";
            must(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir), install);
            let network = "it needs the Python package index once";
            let mut pip = Command::new(&python);
            must(pip.args(["-m", "pip", "install", "--quiet", "-r"]).arg(requirements), network);
        });
        python
    });
    interpreter.clone()
}

/// An example of ours, built if it is not: cargo builds examples with all tests, not with one.
pub fn example(name: &str) -> PathBuf {
    static DONE: LazyLock<Mutex<BTreeMap<String, PathBuf>>> = LazyLock::new(Mutex::default);
    let mut done = DONE.lock().expect("nobody failed here");
    let program = done.entry(name.to_owned()).or_insert_with(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--locked", "--example", name]);
        must(cargo.current_dir(env!("CARGO_MANIFEST_DIR")), "it is built like everything else");
        Path::new(env!("CARGO_BIN_EXE_choria")).with_file_name("examples").join(name)
    });
    program.clone()
}

/// Installs again when what is wanted has changed. Other test binaries may be
/// at it in the same directory: one at a time.
pub fn install(dir: &Path, wanted: &[PathBuf], work: impl FnOnce()) {
    fs::create_dir_all(INSTALLED).expect("a directory");
    let lock = fs::File::create(Path::new(INSTALLED).join("lock")).expect("a lock file");
    lock.lock().expect("the lock");
    let wanted: String = wanted.iter().map(|path| fs::read_to_string(path).expect("a file")).collect();
    let stamp = dir.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|text| text == wanted) {
        return;
    }
    work();
    fs::write(stamp, wanted).expect("a stamp");
}

/// Runs a command that has to succeed; `otherwise` is what to do if it does not.
pub fn must(command: &mut Command, otherwise: &str) {
    let words = format!("{command:?}");
    let output = command.output().unwrap_or_else(|error| panic!("{words}: {error}; {otherwise}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words} failed: {text}; {otherwise}");
}

/// The class path of what a list of Maven's says, copied to a directory called `name`; sums of
/// the files stand beside the list.
#[cfg(feature = "kafka")]
pub fn classes(name: &str, list: &Path, sums: &Path) -> String {
    let dir = Path::new(INSTALLED).join(name);
    let jars = dir.join("jars");
    install(&dir, &[list.to_owned(), sums.to_owned()], || {
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&jars).expect("a directory");
        let mut maven = Command::new("mvn");
        maven.args(["-q", "-B", "-f"]).arg(list).arg("dependency:copy-dependencies");
        maven.arg("-DincludeScope=runtime").arg(format!("-DoutputDirectory={}", jars.display()));
        must(&mut maven, "install it with: apt-get install -y maven; it needs Maven Central once");
        let mut check = Command::new("sha256sum");
        check.args(["--quiet", "--strict", "--check"]).arg(sums).current_dir(&jars);
        must(&mut check, "these are not the files that the tests were written with");
    });
    // Those that were looked at, and no others.
    let sums = fs::read_to_string(sums).expect("a file");
    let files = sums.lines().filter_map(|line| line.split_whitespace().nth(1));
    files.map(|file| jars.join(file).display().to_string()).collect::<Vec<_>>().join(":")
}
