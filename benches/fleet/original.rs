//! The program this one replaces, to be measured beside it where `CHORIA_ORIGINAL` says where it is.

use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::network::Network;
use crate::process::{Daemon, program};

/// Whose program is measured.
pub enum Program {
    Ours,
    Original(PathBuf),
}

impl Program {
    /// Ours, and the original where it is known.
    pub fn all() -> Vec<Program> {
        let original = std::env::var_os("CHORIA_ORIGINAL").map(|path| Program::Original(path.into()));
        std::iter::once(Program::Ours).chain(original).collect()
    }

    /// `broker run` of it, by this configuration.
    pub fn broker(&self, network: &Network, name: &str, config: &str) -> Daemon {
        let mut command = match self {
            Program::Ours => program(network.directory()),
            Program::Original(path) => {
                let mut command = Command::new(path);
                command.current_dir(network.directory()).env("HOME", network.directory());
                command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
                command
            }
        };
        command.args(["broker", "run", "--config"]).arg(network.file(&format!("{name}.conf"), config));
        Daemon::start(name, command)
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Program::Ours => "ours",
            Program::Original(_) => "the original",
        })
    }
}
