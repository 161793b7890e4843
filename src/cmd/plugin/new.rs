//! `choria plugin new`: an agent that works, to begin with.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use argh::{ArgsInfo, FromArgs};
use choria::core::agents::library::RESERVED;
use choria::core::config::{Environment as _, System};
use choria::core::files::PUBLIC;
use choria::core::pki::{Kind, full_name};

use super::{is_name, write_new};
use crate::cmd::out::outln;

/// make an agent that works: its program, interface, policy and test
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "new")]
pub struct New {
    /// name of the agent: a-z, 0-9 and _
    #[argh(positional)]
    name: String,
    /// python, shell, ruby or rust
    #[argh(option, arg_name = "language")]
    language: String,
    /// directory to make, default the name
    #[argh(option, arg_name = "dir")]
    dir: Option<PathBuf>,
}

impl New {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let New { name, language, dir } = self;
        if !is_name(&name) {
            bail!("'{name}' is no name for an agent: use a-z, 0-9 and _, and begin with a letter");
        }
        // A program in Rust cannot be called test.
        if RESERVED.contains(&name.as_str()) || name == "test" {
            bail!("'{name}' is a name of Choria's own agents, or of Rust's own libraries");
        }
        let dir = dir.unwrap_or_else(|| PathBuf::from(&name));
        if dir.exists() {
            bail!("{} is there already, it stays as it is", dir.display());
        }
        let program = format!("mcollective/agent/{name}");
        let compiled = "\nBuild the program with `make`, which needs Rust.\n";
        let (files, build) = match language.as_str() {
            "python" => (vec![(program.as_str(), include_str!("templates/agent.py"), 0o755)], ""),
            "shell" => (vec![(program.as_str(), include_str!("templates/agent.sh"), 0o755)], ""),
            "ruby" => (vec![(program.as_str(), include_str!("templates/agent.rb"), 0o755)], ""),
            "rust" => (
                vec![
                    ("src/main.rs", include_str!("templates/agent.rs"), PUBLIC),
                    ("Cargo.toml", include_str!("templates/Cargo.manifest"), PUBLIC),
                    ("Makefile", include_str!("templates/Makefile.rust"), PUBLIC),
                    (".gitignore", "/target\n", PUBLIC),
                ],
                compiled,
            ),
            other => bail!("cannot make agents in '{other}': python, shell, ruby or rust"),
        };
        let user = System.user().map(|(user, _)| user).unwrap_or_default();
        // as `choria tool ca issue --client` names whoever logs in so
        let is_login = full_name(Kind::Client, &user).is_ok_and(|full| full == format!("{user}.mcollective"));
        let user = if is_login { user } else { "USER".to_owned() };
        let fill =
            |text: &str| text.replace("@NAME@", &name).replace("@BUILD@", build).replace("@USER@", &user);
        let (interface, policy) = (format!("{program}.json"), format!("policies/{name}.policy"));
        let common = [
            (interface.as_str(), include_str!("templates/agent.json"), PUBLIC),
            (policy.as_str(), include_str!("templates/agent.policy"), PUBLIC),
            ("test.json", include_str!("templates/test.json"), PUBLIC),
            ("README.md", include_str!("templates/README.md"), PUBLIC),
        ];
        for (file, text, mode) in files.into_iter().chain(common) {
            let file = dir.join(file);
            write_new(&file, &fill(text), mode)?;
            outln!("{}", file.display());
        }
        let shown = dir.display();
        let made = if build.is_empty() { String::new() } else { format!("make -C {shown} && ") };
        outln!("\nTry it:  {made}choria plugin test {shown} greet name=Ada\nThen:    {shown}/README.md");
        Ok(ExitCode::SUCCESS)
    }
}
