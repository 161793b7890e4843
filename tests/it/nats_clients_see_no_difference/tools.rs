//! Clients and nats-server, installed once below the target directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::installed::{INSTALLED, example, install, must, python_with};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance");

/// A file beside the scripts.
pub fn source(name: &str) -> PathBuf {
    Path::new(SOURCES).join(name)
}

/// The interpreter that has nats-py.
pub fn python() -> PathBuf {
    python_with("python", &source("requirements.txt"))
}

/// nats-server, which comes as a Python package too.
pub fn nats_server() -> PathBuf {
    python().with_file_name("nats-server")
}

/// The oldest release that leafs and engines work with, the same way.
pub fn older_nats_server() -> PathBuf {
    python_with("older", &source("older-nats-server.txt")).with_file_name("nats-server")
}

/// The directory from which scripts find nats.js.
pub fn node_scripts() -> PathBuf {
    static DONE: OnceLock<PathBuf> = OnceLock::new();
    DONE.get_or_init(|| {
        let dir = Path::new(INSTALLED).join("node");
        install(&dir, &[source("package.json"), source("package-lock.json")], || {
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

/// Our broker.
pub fn plain_broker() -> PathBuf {
    example("plain_broker")
}
