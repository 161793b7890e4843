use argh::ArgsInfo;

use super::*;
use crate::cmd::Choria;

fn split(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn rewritten(text: &str) -> Vec<String> {
    rewrite(&Choria::get_args_info(), &split(text)).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn people_write_flags_in_many_ways() {
    for (typed, spaced) in [
        ("buildinfo --json", "buildinfo --json"),
        ("buildinfo -j --config=/etc/c.conf", "--config /etc/c.conf buildinfo -j"),
        ("--debug buildinfo", "--debug buildinfo"),
        ("buildinfo --json --no-json", "buildinfo"),
        ("--version", "--version"),
        ("buildinfo --help", "buildinfo --help"),
        ("buildinfo -h", "buildinfo --help"),
        ("help buildinfo", "buildinfo --help"),
        ("help", "--help"),
    ] {
        assert_eq!(rewritten(typed), split(spaced), "{typed}");
    }
}

#[test]
fn what_fits_nothing_is_named() {
    for (typed, text) in [
        ("frobnicate", "unknown command 'frobnicate', see 'choria --help'"),
        ("buildinfo --frob", "unknown flag '--frob' for 'choria buildinfo', see 'choria buildinfo --help'"),
        ("buildinfo -x", "unknown flag '-x' for 'choria buildinfo', see 'choria buildinfo --help'"),
        ("buildinfo --json=true", "flag '--json' is a switch and takes no value"),
    ] {
        let error = rewrite(&Choria::get_args_info(), &split(typed)).unwrap_err();
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn mco_has_other_names_for_flags() {
    let rewritten = |text: &str| rewrite_as(Personality::Mco, &Choria::get_args_info(), &split(text));
    for (typed, spaced) in [
        ("find --with-fact a=b -q", "find --wf a=b"),
        ("rpc -t5 -1 a b", "rpc --timeout 5 --limit 1 -- a b"),
        ("rpc -a a --action b --arg c=d e=f", "rpc -- a b e=f c=d"),
        ("rpc --agent a b c=d", "rpc -- a b c=d"),
        ("facts -t x", "facts -t -- x"),
        ("find -cFILE --publish_timeout=3 --threaded", "--config FILE find"),
        ("puppet --tag x --skip_tag y runonce", "puppet --tags x --skip-tags y -- runonce"),
    ] {
        assert_eq!(rewritten(typed).map(|r| r.words), Ok(split(spaced)), "{typed}");
    }
    let settings = rewritten("find --ttl 90 --connection-timeout=3").map(|r| r.settings);
    let wanted = [("ttl", "90".to_owned()), ("plugin.choria.network.connect_limit", "3".to_owned())];
    assert_eq!(settings, Ok(wanted.to_vec()));
    for (typed, told) in [
        ("find --ttl", "flag '--ttl' needs a value"),
        ("find --threaded=1", "flag '--threaded' is a switch"),
        ("find --agent x", "unknown flag '--agent'"),
    ] {
        let problem = rewritten(typed).unwrap_err().to_string();
        assert!(problem.contains(told), "{typed}: {problem}");
    }
}

#[test]
fn flags_of_a_task_are_its_parameters() {
    for (typed, words) in [
        ("tasks", "tasks list"),
        ("tasks --detail", "tasks list --detail"),
        ("tasks demo::x", "tasks describe -- demo::x"),
        ("tasks run demo --force -I n1", "tasks run -I n1 -- demo --force=true"),
        (
            "tasks run demo --version 1.2 --count -3 --no-quick",
            "tasks run -- demo --version=1.2 --count=-3 --quick=false",
        ),
        ("tasks run demo --name=-x a=b --debug", "--debug tasks run -- demo --name=-x a=b"),
        ("tasks run demo --limit 1 --only ok last", "tasks run --limit 1 --only ok:last -- demo"),
        ("tasks run demo --json --no-json", "tasks run -- demo"),
        ("tasks list --version", "--version tasks list"),
    ] {
        let typed: Vec<String> = typed.split(' ').map(str::to_owned).collect();
        let rewritten = rewrite(&crate::cmd::Choria::get_args_info(), &typed).unwrap().join(" ");
        assert_eq!(rewritten, words, "{typed:?}");
    }
}

/// Filters of `mco` choose nodes, whatever is run there.
#[test]
fn flags_of_mco_are_no_inputs_of_a_task() {
    let rewritten = |personality, text: &str| rewrite_as(personality, &Choria::get_args_info(), &split(text));
    for (typed, spaced) in [
        ("--with-fact a=b", "--wf a=b"),
        ("--with-class=x", "--wc x"),
        ("--with-agent x", "--wa x"),
        ("--with_identity n1", "--wi n1"),
        ("--dt 3", "--discovery-timeout 3"),
        ("--disc-method mc --disc-option a=b", "--dm mc --do a=b"),
        ("--one", "--limit 1"),
        ("-1", "--limit 1"),
        ("--ln 2", "--limit 2"),
        ("--limit-nodes 2", "--limit 2"),
        ("--np", ""),
        ("--no-progress", ""),
        ("--quiet -q --sort --threaded --publish-timeout 3 --ttl 60 --connection-timeout 3", ""),
    ] {
        let typed = format!("tasks run demo {typed}");
        let spaced = split(&format!("tasks run {spaced} -- demo"));
        assert_eq!(rewritten(Personality::Mco, &typed).map(|r| r.words), Ok(spaced), "{typed}");
    }
    // they are its inputs where choria is asked, and those of a plan, which had none of these flags
    for (personality, typed, words) in [
        (Personality::Choria, "tasks run demo --one --ttl 1", "tasks run -- demo --one=true --ttl=1"),
        (Personality::Mco, "tasks run demo --action x", "tasks run -- demo --action=x"),
        (Personality::Mco, "playbook run demo --ttl 1", "playbook run -- demo --ttl=1"),
    ] {
        assert_eq!(rewritten(personality, typed).map(|r| r.words), Ok(split(words)), "{typed}");
    }
}

#[test]
fn fleet_commands_take_what_scripts_write() {
    for (typed, spaced) in [
        ("rpc rpcutil ping -Fcountry=mt -vj", "rpc -F country=mt -v -j -- rpcutil ping"),
        ("req rpcutil ping --limit=5", "rpc --limit 5 -- rpcutil ping"),
        ("rpc --np rpcutil ping msg=hello", "rpc --np -- rpcutil ping msg=hello"),
        ("discover -I help", "find -I help"),
        ("inventory help", "inventory -- help"),
        ("rpc help ping", "rpc -- help ping"),
        ("ping -vI n1", "ping -I n1"),
        ("server run --pid x --debug", "--debug server run --pid x"),
        ("t config --list", "tool config --list"),
        ("find -S fact('a')>1", "find -S fact('a')>1"),
        ("rpc a b -- --not-a-flag", "rpc -- a b --not-a-flag"),
        ("find --with=a=b=c", "find --with a=b=c"),
        ("rpc --retry missed last", "rpc --retry missed:last"),
        ("rpc a b --only=ok abc123 --sort", "rpc --only ok:abc123 --sort -- a b"),
        ("history", "history list"),
        ("history -j", "history list -j"),
    ] {
        // ping has no -v: the pre-pass says so instead of guessing.
        if typed == "ping -vI n1" {
            assert!(rewrite(&Choria::get_args_info(), &split(typed)).is_err());
            continue;
        }
        assert_eq!(rewritten(typed), split(spaced), "{typed}");
    }
}

mod property {
    use argh::{CommandInfoWithArgs, FlagInfoKind, FromArgs, Optionality};
    use proptest::prelude::*;

    use super::*;

    /// Every command that takes flags, with the words that lead to it.
    fn commands() -> Vec<(Vec<String>, CommandInfoWithArgs)> {
        fn collect(
            path: &[String],
            command: CommandInfoWithArgs,
            all: &mut Vec<(Vec<String>, CommandInfoWithArgs)>,
        ) {
            for sub in &command.commands {
                let path = [path, &[sub.name.to_owned()]].concat();
                collect(&path, sub.command.clone(), all);
            }
            if command.commands.is_empty() {
                all.push((path.to_vec(), command));
            }
        }
        let mut all = vec![];
        collect(&[], Choria::get_args_info(), &mut all);
        all
    }

    /// A flag in one of its spellings, and spaced.
    #[derive(Debug, Clone)]
    struct Written {
        typed: Vec<String>,
        spaced: Vec<String>,
        global: bool,
    }

    fn written(long: &str, short: Option<char>, takes: bool, value: &str, how: u8, global: bool) -> Written {
        let long = format!("--{}", long.trim_start_matches('-'));
        let short = short.map(|c| format!("-{c}"));
        let with = |flag: &str| vec![flag.to_owned(), value.to_owned()];
        let (typed, spaced) = match (takes, how % 4, short) {
            (false, 0, Some(short)) => (vec![short.clone()], vec![short]),
            (false, ..) => (vec![long.clone()], vec![long]),
            (true, 0, Some(short)) => (vec![format!("{short}{value}")], with(&short)),
            (true, 1, Some(short)) => (with(&short), with(&short)),
            (true, 2, _) => (vec![format!("{long}={value}")], with(&long)),
            (true, ..) => (with(&long), with(&long)),
        };
        Written { typed, spaced, global }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// However its flags are spelled and wherever they stand, a command is
        /// rewritten to the same words, and argh takes them.
        #[test]
        fn every_spelling_becomes_the_spaced_form(
            which in any::<prop::sample::Index>(),
            picks in prop::collection::vec((any::<prop::sample::Index>(), 0u8..4, "[1-9][0-9]{0,2}"), 0..6),
            globals in prop::collection::vec((any::<prop::sample::Index>(), 2u8..4), 0..2),
            words in prop::collection::vec("(help|[a-z]{1,8})", 4),
            early in any::<bool>(),
        ) {
            let commands = commands();
            let (path, command) = &commands[which.index(commands.len())];
            // what stands behind their words is not theirs
            prop_assume!(!RUNNERS.iter().chain(&APPLICATIONS).any(|words| path == words));
            let mut flags: Vec<Written> = vec![];
            let mut used = std::collections::HashSet::new();
            for (pick, how, value) in picks {
                if command.flags.is_empty() { break }
                let flag = &command.flags[pick.index(command.flags.len())];
                if flag.long == "--help" || IN_TWO_WORDS.contains(&flag.long) || !used.insert(flag.long) { continue }
                let takes = matches!(flag.kind, FlagInfoKind::Option { .. });
                flags.push(written(flag.long, flag.short, takes, &value, how, false));
            }
            for (pick, how) in globals {
                let top = Choria::get_args_info();
                let flag = &top.flags[pick.index(top.flags.len())];
                if ["--version", "--help"].contains(&flag.long) || !used.insert(flag.long) { continue }
                let takes = matches!(flag.kind, FlagInfoKind::Option { .. });
                flags.push(written(flag.long, flag.short, takes, "file", how, true));
            }
            let count = command.positionals.len().min(words.len());
            let words = &words[..count];

            let mut typed = vec![];
            let (before, after) = flags.split_at(if early { flags.len() / 2 } else { 0 });
            // Globals may stand before the command, its own flags may not.
            typed.extend(before.iter().filter(|f| f.global).flat_map(|f| f.typed.clone()));
            typed.extend(path.iter().cloned());
            typed.extend(before.iter().filter(|f| !f.global).flat_map(|f| f.typed.clone()));
            typed.extend(words.iter().cloned());
            typed.extend(after.iter().flat_map(|f| f.typed.clone()));

            let of = |global: bool| flags.iter().filter(move |f| f.global == global).flat_map(|f| f.spaced.clone());
            let mut expected: Vec<String> = of(true).collect();
            expected.extend(path.iter().cloned());
            expected.extend(of(false));
            if !words.is_empty() {
                expected.push("--".to_owned());
                expected.extend(words.iter().cloned());
            }
            let top = Choria::get_args_info();
            let sorted = |mut words: Vec<String>| { words.sort(); words };
            let rewritten = rewrite(&top, &typed).unwrap();
            // Globals keep their order among themselves, which depends on where they stood.
            prop_assert_eq!(sorted(rewritten.clone()), sorted(expected));

            let required = command.flags.iter().any(|f| f.optionality == Optionality::Required
                && matches!(f.kind, FlagInfoKind::Option { .. }) && !used.contains(f.long));
            // of words that are numbers
            let numbers = [["kv", "update"], ["governor", "add"], ["governor", "evict"]];
            if !required && !numbers.iter().any(|words| path == words) {
                let refs: Vec<&str> = rewritten.iter().map(String::as_str).collect();
                let parsed = Choria::from_args(&["choria"], &refs);
                prop_assert!(parsed.is_ok(), "{:?}: {:?}", rewritten, parsed.err().map(|e| e.output));
            }
        }
    }
}

#[test]
fn commands_below_one_have_other_names_too() {
    for (typed, spaced) in [
        ("gov ls", "governor list"),
        ("governor show G", "governor view -- G"),
        ("elec i", "election info"),
        ("kv rm B k -f", "kv del -f -- B k"),
        ("kv info B", "kv status -- B"),
        ("kv ls -j", "kv list -j"),
    ] {
        assert_eq!(rewritten(typed), split(spaced), "{typed}");
    }
    // and only there
    assert!(rewrite(&Choria::get_args_info(), &split("machine ls")).is_err());
}

#[test]
fn what_is_run_has_flags_of_its_own() {
    for (typed, spaced) in [
        ("governor run --interval 2s G ls -l --help", "governor run --interval 2s -- G ls -l --help"),
        ("tool builder validate x", "builder validate -- x"),
        ("governor run G -- ls -l", "governor run -- G ls -l"),
        ("governor run G ls -- -l", "governor run -- G ls -- -l"),
        ("election run --terminate E a --terminate", "election run --terminate -- E a --terminate"),
        (
            "--debug builder run demo say --debug -F x --help -- -y",
            "--debug builder run -- demo say --debug -F x --help -- -y",
        ),
    ] {
        assert_eq!(rewritten(typed), split(spaced), "{typed}");
    }
    // a whole line in one word is followed by ours
    let typed = ["governor", "run", "G", "ls -l", "--max-wait", "1m"].map(str::to_owned);
    let words = rewrite(&Choria::get_args_info(), &typed).unwrap();
    assert_eq!(words, ["governor", "run", "--max-wait", "1m", "--", "G", "ls -l"]);
}
