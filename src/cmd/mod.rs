//! The face: each command parses its flags, calls the core, renders.
//!
//! Reading order: [`argv`] rewrites the words for argh, [`Choria`] is the whole
//! command tree, [`run`] is the one `match` on it. Errors reach a person as one
//! line on stderr, whatever the log is set to.

mod argv;
mod buildinfo;

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};

use argv::Personality;
use choria::core::build;

/// Exit code of usage, configuration and start-up errors.
const EXIT_ERROR: u8 = 1;

/// talk to one or to fifty thousand machines at once, securely, over middleware
#[derive(FromArgs, ArgsInfo)]
#[argh(name = "choria")]
struct Choria {
    /// configuration file; the usual places are searched when absent
    #[argh(option, arg_name = "file")]
    config: Option<String>,

    /// log at debug level
    #[argh(switch)]
    debug: bool,

    /// show the version
    #[argh(switch)]
    version: bool,

    #[argh(subcommand)]
    command: Option<Command>,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Command {
    Buildinfo(buildinfo::Buildinfo),
}

/// What every command is given beside its own flags.
struct Globals {
    /// `--config`
    config: Option<std::path::PathBuf>,
    /// `--debug`
    debug: bool,
    /// who the person believes to be running
    personality: Personality,
}

/// Runs the program; all errors end here, as one line on stderr.
pub fn run(argv: &[String]) -> ExitCode {
    let (personality, words) = argv::personality(argv);
    let rewritten = match argv::rewrite(&Choria::get_args_info(), &words) {
        Ok(rewritten) => rewritten,
        Err(e) => return usage(&e.to_string()),
    };
    let rewritten: Vec<&str> = rewritten.iter().map(String::as_str).collect();
    let choria = match Choria::from_args(&["choria"], &rewritten) {
        Ok(choria) => choria,
        Err(early) if early.status.is_ok() => {
            print!("{}", early.output);
            return ExitCode::SUCCESS;
        }
        Err(early) => return usage(early.output.trim()),
    };
    if choria.version {
        println!("{}", build::VERSION);
        return ExitCode::SUCCESS;
    }
    let globals = Globals { config: choria.config.map(Into::into), debug: choria.debug, personality };
    let Some(command) = choria.command else {
        return usage("no command given, see 'choria --help'");
    };
    match dispatch(command, &globals) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("choria: {e:#}");
            ExitCode::from(EXIT_ERROR)
        }
    }
}

fn dispatch(command: Command, globals: &Globals) -> anyhow::Result<ExitCode> {
    match command {
        Command::Buildinfo(c) => c.run(),
    }
}

fn usage(message: &str) -> ExitCode {
    eprintln!("choria: {message}");
    ExitCode::from(EXIT_ERROR)
}
