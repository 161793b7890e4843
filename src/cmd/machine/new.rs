//! `choria machine new`: a machine to begin with, which runs as it is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::files::{self, PUBLIC};
use choria::core::machine::definition::compile;
use choria::core::machine::host::DEFINITION;
use choria::core::text::meant;

use crate::cmd::out::outln;

/// write a machine to begin with: a check, or a control loop
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "new")]
pub struct New {
    /// a check of that name, with what remedies it
    #[argh(option, arg_name = "name")]
    check: Option<String>,
    /// a control loop of that name: looks whether something is as it should be, and makes it so
    #[argh(option, arg_name = "name")]
    control_loop: Option<String>,
    /// a check that is built in and needs no script: certificate, disk, http, load, memory, ntp, puppet, status,
    /// swap or systemd
    #[argh(option, arg_name = "check")]
    builtin: Option<String>,
    /// where its directory is made, default here; plugin.choria.machine.store to have it run
    #[argh(option, arg_name = "dir")]
    dir: Option<PathBuf>,
}

const CHECK: &str = include_str!("new/check.yaml");
const CHECK_SCRIPT: &str = include_str!("new/check.sh");
const REMEDY_SCRIPT: &str = include_str!("new/remedy.sh");
/// The starter set, as packages have it.
const BUILTIN: [(&str, &str); 10] = [
    ("certificate", include_str!("../../../packaging/machines/certificate/machine.yaml")),
    ("disk", include_str!("../../../packaging/machines/disk/machine.yaml")),
    ("http", include_str!("../../../packaging/machines/http/machine.yaml")),
    ("load", include_str!("../../../packaging/machines/load/machine.yaml")),
    ("memory", include_str!("../../../packaging/machines/memory/machine.yaml")),
    ("ntp", include_str!("../../../packaging/machines/ntp/machine.yaml")),
    ("puppet", include_str!("../../../packaging/machines/puppet/machine.yaml")),
    ("status", include_str!("../../../packaging/machines/status/machine.yaml")),
    ("swap", include_str!("../../../packaging/machines/swap/machine.yaml")),
    ("systemd", include_str!("../../../packaging/machines/systemd/machine.yaml")),
];
const LOOP: &str = include_str!("new/loop.yaml");
const LOOK_SCRIPT: &str = include_str!("new/look.sh");
const MAKE_SCRIPT: &str = include_str!("new/make.sh");

impl New {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let check: &[(&str, &str)] = &[("check.sh", CHECK_SCRIPT), ("remedy.sh", REMEDY_SCRIPT)];
        let control: &[(&str, &str)] = &[("look.sh", LOOK_SCRIPT), ("make.sh", MAKE_SCRIPT)];
        let (name, machine, scripts) = match (&self.check, &self.control_loop, &self.builtin) {
            (Some(name), None, None) => (name, CHECK, check),
            (None, Some(name), None) => (name, LOOP, control),
            (None, None, Some(name)) => (name, builtin(name)?, &[][..]),
            _ => bail!(
                "say what it is to be: choria machine new --builtin disk, --check NAME, or --control-loop NAME"
            ),
        };
        let mut letters = name.chars();
        let plain = letters.next().is_some_and(|c| c.is_ascii_alphabetic())
            && letters.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !plain || name.len() < 2 {
            bail!("{name} is no name of a machine: letters, digits, _ and - are allowed, a letter first");
        }
        if name == "tmp" || name.ends_with("-temp") {
            bail!("{name} is no name of a machine: nodes pass over tmp, and over what ends in -temp");
        }
        let directory = self.dir.unwrap_or_else(|| ".".into()).join(name);
        if directory.exists() {
            bail!("{} is there already, nothing was written", directory.display());
        }
        let text = machine.replace("NAME", name);
        // what we hand out runs: the test holds it, and so does this
        compile(&text).map_err(|findings| {
            let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("the machine would not run: {}", lines.join("; "))
        })?;
        write(&directory, &text, scripts)?;
        let shown = directory.display();
        match scripts {
            [] => outln!("{shown}/machine.yaml is there, and runs as it is:"),
            _ => outln!("{shown}/machine.yaml and the scripts it runs are there, and run as they are:"),
        }
        outln!("  choria machine validate {shown}");
        outln!("  choria machine run {shown}");
        Ok(ExitCode::SUCCESS)
    }
}

fn builtin(name: &str) -> anyhow::Result<&'static str> {
    let known = || BUILTIN.iter().map(|(known, _)| *known);
    let name = if name == "choria_status" { "status" } else { name };
    let alone = ["goss", "heartbeat"].contains(&name);
    let found = BUILTIN.iter().find(|(known, _)| *known == name);
    found.map(|(_, machine)| *machine).with_context(|| {
        let all: Vec<&str> = known().collect();
        match alone {
            true => format!(
                "there is no machine of {name} to begin with: --check NAME makes one, and 'builtin: {name}' in its \
                 machine.yaml stands for plugin; there are {}",
                all.join(", ")
            ),
            false => format!("{name} is not built in{}, there are {}", meant(name, known()), all.join(", ")),
        }
    })
}

fn write(directory: &Path, text: &str, scripts: &[(&str, &str)]) -> anyhow::Result<()> {
    // beside it first, under a name that no server looks at
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temp = tempfile::Builder::new().prefix(".choria-").tempdir_in(parent);
    let temp =
        temp.map_err(files::plain).with_context(|| format!("{} cannot be written to", parent.display()))?;
    for (name, script) in scripts {
        files::write_new(&temp.path().join(name), script.as_bytes(), 0o755)?;
    }
    files::write_new(&temp.path().join(DEFINITION), text.as_bytes(), PUBLIC)?;
    fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o755))?;
    fs::rename(temp.path(), directory).with_context(|| format!("{} cannot be made", directory.display()))?;
    let _ = temp.keep();
    Ok(())
}
