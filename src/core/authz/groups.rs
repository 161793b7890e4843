//! Groups of callers: lines `name member member…` (spec 02 §6.1).

use std::collections::HashMap;

use super::columns::is_caller;
use super::policy::Problem;

/// Most groups of one file.
const MAX_GROUPS: usize = 10_000;

/// Named lists of caller ids. Members are exact texts: no expressions, no
/// groups in groups.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    groups: HashMap<String, Group>,
    problems: Vec<Problem>,
}

#[derive(Debug, Clone, Default)]
struct Group {
    members: Vec<String>,
    /// Members of earlier lines of the same name: they are in no group, and
    /// still denied what the group is denied.
    earlier: Vec<String>,
    /// The first member that can be nobody: who it stands for is unknown.
    doubtful: Option<String>,
}

impl Groups {
    /// Reads a groups file. Lines that are not one group are passed over; of
    /// two with the same name the later one counts.
    pub fn parse(text: &str) -> Groups {
        let mut groups = Groups::default();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
            groups.read_line(index + 1, line);
            if groups.groups.len() > MAX_GROUPS {
                groups.problem(index + 1, format!("more than {MAX_GROUPS} groups, the rest is not read"));
                break;
            }
        }
        groups
    }

    fn read_line(&mut self, number: usize, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let group = line
            .split_once(' ')
            .filter(|(name, members)| !name.is_empty() && !members.is_empty() && name.chars().all(is_name));
        let Some((name, members)) = group else {
            let text = "is no group, skipped; write a name of letters, digits, _ . and -, then its members, \
                        parted by single spaces";
            return self.problem(number, text.to_owned());
        };
        let members: Vec<String> = members.split(' ').map(str::to_string).collect();
        let doubtful = members.iter().find(|member| !member.is_empty() && !is_caller(member)).cloned();
        if let Some(member) = &doubtful {
            let text = "is no caller id such as choria=bob.mcollective; \
                        groups hold no expressions and no groups: write caller ids";
            self.problem(number, format!("member {member:?} {text}"));
        }
        let mut group = Group { members, earlier: Vec::new(), doubtful };
        if let Some(mut before) = self.groups.remove(name) {
            group.earlier.append(&mut before.members);
            group.earlier.append(&mut before.earlier);
            self.problem(
                number,
                format!("group {name} has been there before: this line alone allows; join them"),
            );
        }
        self.groups.insert(name.to_string(), group);
    }

    fn problem(&mut self, line: usize, text: String) {
        self.problems.push(Problem { line, text });
    }

    /// Lines of the file that do not do what they seem to.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Whether `caller` is a member of the group `name`.
    pub fn includes(&self, name: &str, caller: &str) -> bool {
        self.groups.get(name).is_some_and(|group| group.members.iter().any(|member| member == caller))
    }

    /// Whether any line of the group `name` has `caller`.
    pub(super) fn may_include(&self, name: &str, caller: &str) -> bool {
        self.groups
            .get(name)
            .is_some_and(|group| group.members.iter().chain(&group.earlier).any(|member| member == caller))
    }

    /// Whether it can be told who is in the group `name`; an error has the
    /// member that can be nobody, none where there is no such group.
    pub(super) fn knows(&self, name: &str) -> Result<(), Option<&str>> {
        let group = self.groups.get(name).ok_or(None)?;
        group.doubtful.as_deref().map_or(Ok(()), |member| Err(Some(member)))
    }
}
