//! The words of `choria tasks run`: the task, and its inputs.

use anyhow::{Context as _, bail};
use argh::ArgsInfo as _;
use choria::core::tasks::TaskName;
use choria::core::tasks::parameters::Parameters;
use choria::core::text;

use super::request::name_of;
use super::run::Run;
use crate::cmd::render::text::clean;

/// A task and what it is given.
#[derive(Debug)]
pub struct Words {
    pub name: TaskName,
    /// Names of inputs and their values, as they were typed.
    pub given: Vec<(String, String)>,
    /// Those that were flags. One that nobody knows may be a typing error of one that chooses nodes.
    pub flags: Vec<String>,
}

impl Words {
    /// Of words such as `module::name`, `input=value` and `--input=value`.
    pub fn of(words: &[String]) -> anyhow::Result<Words> {
        let mut words = words.to_vec();
        let Some(at) = words.iter().position(|word| !word.contains('=')) else {
            let taken = words.iter().find_map(|word| {
                let (flag, value) = word.split_once('=').filter(|(flag, _)| flag.starts_with("--"))?;
                let is_task = value.contains("::") && TaskName::parse(value).is_ok();
                is_task.then(|| format!("; {value} was taken for the value of {flag}: name the task first, or write {flag}=true"))
            });
            bail!(
                "name a task: choria tasks run MODULE::NAME, choria tasks list shows those there are{}",
                clean(&taken.unwrap_or_default(), false)
            );
        };
        let name = name_of(&words.remove(at))?;
        let (mut given, mut flags) = (vec![], vec![]);
        for word in &words {
            let (typed, value) = word.split_once('=').with_context(|| {
                format!("cannot use '{word}': parameters are --name VALUE, or name=value behind the task")
            })?;
            let name = typed.strip_prefix("--");
            flags.extend(name.map(str::to_owned));
            given.push((name.unwrap_or(typed).to_owned(), value.to_owned()));
        }
        Ok(Words { name, given, flags })
    }
}

/// Refuses flags that are neither of the command nor, by what the task says of itself, of the task.
pub fn check_flags(name: &TaskName, parameters: &Parameters, flags: &[String]) -> anyhow::Result<()> {
    let Some(flag) = flags.first().filter(|_| !parameters.declared()) else { return Ok(()) };
    let meant = meant(flag);
    let flag = clean(flag, false);
    bail!(
        "unknown flag '--{flag}'{meant}{} The task {name} does not say what it takes: give it an input as {flag}=VALUE \
         behind its name, or by --input",
        if meant.is_empty() { "." } else { "" }
    )
}

/// `, did you mean …?` where a flag of the command is much like it, or nothing.
pub fn meant(flag: &str) -> String {
    let command = Run::get_args_info();
    let known = command.flags.iter().filter(|flag| !flag.hidden).map(|flag| flag.long);
    text::meant(&format!("--{flag}"), known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(typed: &[&str]) -> anyhow::Result<Words> {
        Words::of(&typed.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn flags_of_nobody_are_refused_where_the_task_does_not_say_what_it_takes() {
        let parameters = |text: &str| Parameters::new(&serde_json::from_str(text).unwrap()).unwrap();
        let anything = parameters("{}");
        for (flag, told) in [
            ("--limt=1", "'--limt', did you mean --limit? The task demo does not say"),
            ("--wff=country=de", "'--wff', did you mean --wf?"),
            ("--bacground=true", "did you mean --background?"),
            ("--filter-replies=x", "unknown flag '--filter-replies'. The task"),
            ("--code=3", "code=VALUE"),
        ] {
            let words = words(&["demo", "a=b", flag]).unwrap();
            assert_eq!(words.given.len(), 2);
            let refused = check_flags(&words.name, &anything, &words.flags).unwrap_err().to_string();
            assert!(refused.contains(told), "{flag}: {refused}");
        }
        let typed = words(&["demo", "limt=1"]).unwrap();
        assert!(check_flags(&typed.name, &anything, &typed.flags).is_ok());
        // where it says so, it is asked
        let typed = words(&["demo", "--limt=1"]).unwrap();
        let some = parameters(r#"{"parameters": {"limt": {}}}"#);
        assert!(check_flags(&typed.name, &some, &typed.flags).is_ok());
    }

    #[test]
    fn a_flag_that_took_the_task_for_its_value_is_named() {
        let refused = words(&["--polite=demo::greet", "--name=Bob"]).unwrap_err().to_string();
        assert!(refused.contains("demo::greet was taken for the value of --polite"), "{refused}");
        assert!(!words(&["--name=Bob"]).unwrap_err().to_string().contains("taken"));
    }
}
