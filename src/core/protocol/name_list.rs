//! Lists of regular expressions that name certificates (spec 01 §9).

use std::sync::Arc;

use regex::Regex;

use super::filter::search;

/// Most entries of one list; more are left out with a warning.
const MAX_ENTRIES: usize = 1_000;

/// Which certificate names belong to a group, such as the callers a server
/// accepts.
///
/// Entries are regular expressions, unanchored, case-sensitive. Slashes around
/// one are taken off, any number of them. An empty entry matches everything;
/// an entry that does not compile matches nothing and is told by
/// [`NameList::problems`].
#[derive(Debug, Clone, Default)]
pub struct NameList {
    /// Shared by clones: a copy of an expression has working memory of its own.
    entries: Arc<[Regex]>,
    problems: Vec<String>,
}

impl NameList {
    /// Compiles `entries`.
    pub fn new<S: AsRef<str>>(entries: impl IntoIterator<Item = S>) -> NameList {
        let (mut regexes, mut problems) = (Vec::new(), Vec::new());
        for (index, entry) in entries.into_iter().enumerate() {
            let entry = entry.as_ref();
            if index == MAX_ENTRIES {
                problems.push(format!("more than {MAX_ENTRIES} entries, the rest is ignored"));
                break;
            }
            match NameList::entry(entry) {
                Some(regex) => regexes.push(regex),
                None => problems.push(format!("{entry:?} is not a regular expression, ignored")),
            }
        }
        NameList { entries: regexes.into(), problems }
    }

    /// The expression of one entry; `None` where this version cannot use it.
    pub fn entry(entry: &str) -> Option<Regex> {
        search(without_slashes(entry))
    }

    /// Whether any entry matches `name`.
    pub fn matches(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.is_match(name))
    }

    /// What was ignored and why.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

/// `/x/` and `//x//` are `x`; `/`, `//`, `/x` and `x/` are themselves.
fn without_slashes(entry: &str) -> &str {
    if entry.len() >= 3 && entry.starts_with('/') && entry.ends_with('/') {
        entry.trim_matches('/')
    } else {
        entry
    }
}
