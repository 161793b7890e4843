//! Words of applications: `SUBJECT VERB` or `VERB SUBJECT`, as people have always
//! typed both.

use anyhow::{anyhow, bail};
use choria::core::text::meant;

use crate::cmd::render::text::clean;

/// Something that can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verb {
    /// The word, which is the action's name.
    pub name: &'static str,
    /// Whether it is done to something.
    pub to_something: bool,
    /// Whether it only looks: nobody is asked whether all nodes are meant.
    pub looks: bool,
}

impl Verb {
    /// Changes something that is named.
    pub const fn on(name: &'static str) -> Verb {
        Verb { name, to_something: true, looks: false }
    }

    /// Changes nodes as they are.
    pub const fn alone(name: &'static str) -> Verb {
        Verb { name, to_something: false, looks: false }
    }

    /// Changes nothing.
    pub const fn looking(self) -> Verb {
        Verb { looks: true, ..self }
    }
}

/// The verb of some words, and what it is done to; `command` and `subject` are for
/// people.
pub fn split<'v>(
    command: &str,
    subject: &str,
    verbs: &'v [Verb],
    words: &[String],
) -> anyhow::Result<(&'v Verb, Option<String>)> {
    let of = |word: &String| verbs.iter().find(|verb| verb.name == word);
    let names = || verbs.iter().map(|verb| verb.name).collect::<Vec<_>>().join(", ");
    let (verb, rest) = match words {
        [] => {
            let such = format!("{command} {} {subject}", verbs[0].name);
            bail!("say what to do, such as {}: {}", such.trim_end(), names())
        }
        [first, rest @ ..] => match (of(first), rest) {
            (Some(verb), rest) => (verb, rest.to_vec()),
            (None, [second, rest @ ..]) if of(second).is_some() => {
                let verb = of(second).unwrap_or(&verbs[0]);
                (verb, [std::slice::from_ref(first), rest].concat())
            }
            (None, rest) => {
                let likely = |word: &&String| !meant(word, verbs.iter().map(|verb| verb.name)).is_empty();
                let given = [rest.first(), Some(first)].into_iter().flatten();
                let word = given.clone().find(likely).or(given.clone().next()).unwrap_or(first);
                return Err(unknown(word, verbs));
            }
        },
    };
    match (verb.to_something, rest.as_slice()) {
        // Most often a variable of a shell that is not set.
        (true, [subject]) if subject.is_empty() => bail!("the name after {command} {} is empty", verb.name),
        (true, [subject]) => Ok((verb, Some(subject.clone()))),
        (false, []) => Ok((verb, None)),
        (true, []) => bail!("{} needs a name: {command} {} {subject}", verb.name, verb.name),
        (true, [_, more, ..]) | (false, [more, ..]) => {
            bail!("cannot use '{}' after {} {}", clean(more, false), command, verb.name)
        }
    }
}

/// What is said of a word that is no verb.
pub fn unknown(word: &str, verbs: &[Verb]) -> anyhow::Error {
    let names: Vec<&str> = verbs.iter().map(|verb| verb.name).collect();
    let word_shown = clean(word, false);
    match meant(word, names.iter().copied()).as_str() {
        "" => anyhow!("'{word_shown}' is nothing that can be done: it is one of {}", names.join(", ")),
        meant => {
            anyhow!("'{word_shown}' is nothing that can be done{meant} It is one of {}", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERBS: [Verb; 4] = [
        Verb::on("install"),
        Verb::on("status").looking(),
        Verb::alone("count").looking(),
        Verb::on("search"),
    ];

    #[test]
    fn both_orders_are_read() {
        let split = |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            split("choria package", "PACKAGE", &VERBS, &words)
                .map(|(verb, subject)| (verb.name, subject.unwrap_or_default()))
                .map_err(|e| e.to_string())
        };
        for (text, verb, subject) in [
            ("status puppet", "status", "puppet"),
            ("puppet status", "status", "puppet"),
            ("install status", "install", "status"),
            ("status install", "status", "install"),
            ("count", "count", ""),
        ] {
            assert_eq!(split(text), Ok((verb, subject.to_owned())), "{text}");
        }
        for (text, told) in [
            ("", "say what to do, such as choria package install PACKAGE: install, status, count, search"),
            ("status", "status needs a name: choria package status PACKAGE"),
            ("puppet", "'puppet' is nothing that can be done: it is one of"),
            (
                "puppet statsu",
                "'statsu' is nothing that can be done, did you mean status? It is one of install",
            ),
            ("stauts puppet", "'stauts' is nothing that can be done, did you mean status?"),
            ("instal puppet", "did you mean install?"),
            ("count puppet", "cannot use 'puppet' after choria package count"),
            ("status a b", "cannot use 'b' after choria package status"),
        ] {
            let problem = split(text).unwrap_err();
            assert!(problem.contains(told), "{text}: {problem}");
        }
    }
}
