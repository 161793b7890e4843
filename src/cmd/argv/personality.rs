//! argv[0] or the first word picks who `choria` is.

use std::path::Path;

/// Which program the person believes to be running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Personality {
    /// `choria`, with our exit codes.
    Choria,
    /// `mco` of the Ruby world: its words and its exit codes.
    Mco,
}

/// The personality, and the words that remain for it.
///
/// `choria-server run` is `choria server run`, `mc-ping` is `mco ping`, and
/// `choria mco ping` is `mco ping` too.
pub fn personality(argv: &[String]) -> (Personality, Vec<String>) {
    let program =
        argv.first().and_then(|p| Path::new(p).file_name()).and_then(|n| n.to_str()).unwrap_or("choria");
    let rest = argv.get(1..).unwrap_or_default().to_vec();
    let with = |first: &str| [vec![first.to_owned()], rest.clone()].concat();
    if program == "mco" {
        (Personality::Mco, rest)
    } else if let Some(application) = program.strip_prefix("mc-") {
        (Personality::Mco, with(application))
    } else if let Some(command) = program.strip_prefix("choria-") {
        (Personality::Choria, with(command))
    } else if rest.first().is_some_and(|word| word == "mco") {
        (Personality::Mco, rest[1..].to_vec())
    } else {
        (Personality::Choria, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_name_picks_the_personality() {
        for (argv, personality_, words) in [
            ("choria ping", Personality::Choria, "ping"),
            ("/usr/sbin/choria-server run", Personality::Choria, "server run"),
            ("choria-broker", Personality::Choria, "broker"),
            ("/usr/bin/mco ping -v", Personality::Mco, "ping -v"),
            ("mc-find", Personality::Mco, "find"),
            ("choria mco rpc", Personality::Mco, "rpc"),
            ("target/debug/it", Personality::Choria, ""),
        ] {
            let split = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(personality(&split(argv)), (personality_, split(words)), "{argv}");
        }
    }
}
