//! The face: each command parses its flags, calls the core, renders.
//!
//! Reading order: [`argv`] rewrites the words for argh, [`Choria`] is the whole
//! command tree, [`run`] is the one `match` on it. Errors reach a person as one
//! line on stderr, whatever the log is set to.

mod apps;
mod argv;
mod ask;
mod audit;
mod broker;
#[cfg(feature = "builder")]
mod builder;
mod buildinfo;
mod completion;
mod context;
mod doc;
mod election;
mod emulate;
mod exit;
mod facts;
mod find;
mod fleet;
mod governor;
mod history;
mod interfaces;
mod inventory;
mod jwt;
mod kv;
mod lacking;
mod machine;
mod mco;
mod out;
mod pace;
mod ping;
#[cfg(feature = "puppet")]
mod playbook;
mod plugin;
mod policy;
mod provision;
mod render;
mod request;
mod requests;
mod result_file;
mod rpc;
mod scout;
mod server;
mod setup;
mod signals;
mod streams;
mod tasks;
mod tool;
mod trouble;

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};

pub use argv::Personality;
use choria::core::build;
use out::{errln, out, outln};

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
    Audit(audit::AuditCommand),
    Broker(broker::Broker),
    #[cfg(feature = "builder")]
    Builder(builder::Builder),
    Buildinfo(buildinfo::Buildinfo),
    Completion(completion::Completion),
    Doc(doc::Doc),
    Election(election::ElectionTool),
    Emulate(emulate::Emulate),
    Facts(facts::Facts),
    Filemgr(apps::filemgr::Filemgr),
    Find(find::Find),
    Governor(governor::GovernorTool),
    History(history::Past),
    Inventory(inventory::Inventory),
    Iptables(apps::iptables::Iptables),
    Jwt(jwt::Jwt),
    Kv(kv::Kv),
    Machine(machine::Machine),
    Nettest(apps::nettest::Nettest),
    Nrpe(apps::nrpe::Nrpe),
    Package(apps::package::Package),
    Ping(ping::Ping),
    #[cfg(feature = "puppet")]
    Playbook(playbook::Playbook),
    Plugin(plugin::Plugin),
    Policy(policy::Policy),
    Process(apps::process::Process),
    Provision(provision::Provision),
    Puppet(apps::puppet::Puppet),
    Requests(requests::Requests),
    Rpc(rpc::Rpc),
    Scout(scout::Scout),
    Server(server::Server),
    Service(apps::service::Service),
    Setup(setup::Setup),
    Shell(apps::shell::Shell),
    #[cfg(feature = "puppet")]
    Tasks(tasks::Tasks),
    Tool(tool::Tool),
    Version(Version),
}

/// show the version
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "version")]
struct Version {}

/// What every command is given beside its own flags.
struct Globals {
    /// `--config`
    config: Option<std::path::PathBuf>,
    /// `--debug`
    debug: bool,
    /// who the person believes to be running
    personality: Personality,
    /// keys of the configuration that flags of `mco` set
    settings: Vec<(&'static str, String)>,
}

/// Runs the program; all errors end here, as one line on stderr.
pub fn run(argv: &[String]) -> ExitCode {
    if let Some(code) = broker::guard() {
        return code;
    }
    if let Some(code) = tasks::runner() {
        return code;
    }
    #[cfg(feature = "builder")]
    if let Some(code) = apart(|| builder::by_name(argv)) {
        return code;
    }
    let (personality, mut words) = argv::personality(argv);
    let top = Choria::get_args_info();
    if personality == Personality::Mco {
        words = match mco::with_extra(words) {
            Ok(words) if words.is_empty() => return mco::list(&top),
            Ok(words) => words,
            Err(e) => return usage(&sentence(&e)),
        };
    }
    let argv::Rewritten { words: rewritten, settings } = match argv::rewrite_as(personality, &top, &words) {
        Ok(rewritten) => rewritten,
        Err(argv::ArgvError::UnknownCommand { word, command, .. })
            if personality == Personality::Mco && command == "choria" =>
        {
            return mco::unknown(&top, &word);
        }
        Err(e) => return usage(&misnamed(argv, &words, &e).unwrap_or_else(|| e.to_string())),
    };
    let rewritten: Vec<&str> = rewritten.iter().map(String::as_str).collect();
    let choria = match Choria::from_args(&["choria"], &rewritten) {
        Ok(choria) => choria,
        Err(early) if early.status.is_ok() => {
            match personality {
                Personality::Choria => out!("{}", early.output),
                Personality::Mco => out!("{}", mco::help(&early.output)),
            }
            return ExitCode::SUCCESS;
        }
        Err(early) => return usage(&argv::with_meaning(&top, &rewritten, early.output.trim())),
    };
    if choria.version {
        outln!("{}", build::VERSION);
        return ExitCode::SUCCESS;
    }
    let globals =
        Globals { config: choria.config.map(Into::into), debug: choria.debug, personality, settings };
    let Some(command) = choria.command else {
        return usage("no command given, see 'choria --help'");
    };
    match dispatch(command, &globals) {
        Ok(code) => {
            out::finish();
            code
        }
        Err(e) => {
            errln!("choria: {}", render::text::clean(&sentence(&e), false));
            failed(&e)
        }
    }
}

/// What a command that failed ends with.
fn failed(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<fleet::Interrupted>() {
        // What is known is shown, whatever form was asked for.
        Some(interrupted) => {
            interrupted.known.iter().for_each(|n| errln!("{}", render::text::clean(n, false)));
            ExitCode::from(exit::INTERRUPTED)
        }
        None if error.is::<exit::AfterAsking>() => ExitCode::from(exit::LOST),
        None => ExitCode::from(EXIT_ERROR),
    }
}

/// The problem of a program that was given a name of its own, such as
/// `choria-0.2`: that names a command.
fn misnamed(argv: &[String], words: &[String], error: &argv::ArgvError) -> Option<String> {
    let program = std::path::Path::new(argv.first()?).file_name()?.to_str()?;
    let command = ["choria-", "mc-"].iter().find_map(|prefix| program.strip_prefix(prefix));
    #[cfg(feature = "builder")]
    if command.is_none() && program != "choria" && program != "mco" {
        let argv::ArgvError::UnknownCommand { word, .. } = error else { return None };
        return Some(format!(
            "this program is called '{program}', and {}; without one it is choria, which has no command '{word}'",
            builder::missing(program)
        ));
    }
    let command = command?;
    let argv::ArgvError::UnknownCommand { word, .. } = error else { return None };
    (word == command && words.first() == Some(word)).then(|| {
        format!(
            "this program is called '{program}', which stands for 'choria {command}', and there is no command \
             '{command}': call it choria, or choria-COMMAND after one of its commands"
        )
    })
}

fn dispatch(command: Command, globals: &Globals) -> anyhow::Result<ExitCode> {
    match command {
        Command::Audit(c) => apart(|| c.run(globals)),
        Command::Broker(c) => apart(|| c.run(globals)),
        #[cfg(feature = "builder")]
        Command::Builder(c) => apart(|| c.run(globals)),
        Command::Buildinfo(c) => apart(|| c.run()),
        Command::Completion(c) => apart(|| c.run(globals)),
        Command::Doc(c) => apart(|| c.run(globals)),
        Command::Election(c) => apart(|| c.run(globals)),
        Command::Emulate(c) => apart(|| c.run(globals)),
        Command::Facts(c) => apart(|| c.run(globals)),
        Command::Filemgr(c) => apart(|| c.run(globals)),
        Command::Find(c) => apart(|| c.run(globals)),
        Command::Governor(c) => apart(|| c.run(globals)),
        Command::History(c) => apart(|| c.run(globals)),
        Command::Inventory(c) => apart(|| c.run(globals)),
        Command::Iptables(c) => apart(|| c.run(globals)),
        Command::Jwt(c) => apart(|| c.run()),
        Command::Kv(c) => apart(|| c.run(globals)),
        Command::Machine(c) => apart(|| c.run(globals)),
        Command::Nettest(c) => apart(|| c.run(globals)),
        Command::Nrpe(c) => apart(|| c.run(globals)),
        Command::Package(c) => apart(|| c.run(globals)),
        Command::Ping(c) => apart(|| c.run(globals)),
        #[cfg(feature = "puppet")]
        Command::Playbook(c) => apart(|| c.run(globals)),
        Command::Plugin(c) => apart(|| c.run(globals)),
        Command::Policy(c) => apart(|| c.run(globals)),
        Command::Process(c) => apart(|| c.run(globals)),
        Command::Puppet(c) => apart(|| c.run(globals)),
        Command::Requests(c) => apart(|| c.run(globals)),
        Command::Rpc(c) => apart(|| c.run(globals)),
        Command::Provision(c) => apart(|| c.run(globals)),
        Command::Scout(c) => apart(|| c.run(globals)),
        Command::Server(c) => apart(|| c.run(globals)),
        Command::Service(c) => apart(|| c.run(globals)),
        Command::Setup(c) => apart(|| c.run()),
        Command::Shell(c) => apart(|| c.run(globals)),
        #[cfg(feature = "puppet")]
        Command::Tasks(c) => apart(|| c.run(globals)),
        Command::Tool(c) => apart(|| c.run(globals)),
        Command::Version(Version {}) => {
            outln!("{}", build::VERSION);
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Runs a command in a frame of its own. Inlined into one function they would all
/// share the frame of the greediest, some 90 KiB of stack that a daemon keeps.
#[inline(never)]
fn apart<T>(run: impl FnOnce() -> T) -> T {
    run()
}

/// `--federations` replaces what is configured, unless the environment says
/// which federations there are.
fn set_federations(config: &mut choria::core::config::Config, list: Option<&str>) -> anyhow::Result<()> {
    if let Some(list) = list
        && std::env::var_os("CHORIA_FED_COLLECTIVE").is_none()
    {
        config.set("plugin.choria.federation.collectives", list)?;
    }
    Ok(())
}

/// An error and its causes as one line; a cause that an outer text already
/// quotes is not said again.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    // Parsers draw their errors on several lines.
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(" ")
}

fn usage(message: &str) -> ExitCode {
    // argh lists what is missing on lines of their own.
    let words: Vec<&str> = message.split_whitespace().collect();
    errln!("choria: {}", words.join(" "));
    ExitCode::from(EXIT_ERROR)
}
