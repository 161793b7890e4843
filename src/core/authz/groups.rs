//! Groups of callers: lines `name member member…` (spec 02 §6.1).

use std::collections::HashMap;

/// Most groups of one file.
const MAX_GROUPS: usize = 10_000;

/// Named lists of caller ids. Members are exact texts: no expressions, no
/// groups in groups.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    members: HashMap<String, Vec<String>>,
}

impl Groups {
    /// Reads a groups file. Lines that are not one group are passed over; of
    /// two with the same name the later one counts.
    pub fn parse(text: &str) -> Groups {
        let mut groups = Groups::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, members)) = line.split_once(' ') else { continue };
            let is_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            if name.is_empty() || members.is_empty() || !name.chars().all(is_name) {
                continue;
            }
            if groups.members.len() >= MAX_GROUPS {
                break;
            }
            groups.members.insert(name.to_string(), members.split(' ').map(str::to_string).collect());
        }
        groups
    }

    /// Whether `caller` is a member of the group `name`.
    pub fn includes(&self, name: &str, caller: &str) -> bool {
        self.members.get(name).is_some_and(|members| members.iter().any(|member| member == caller))
    }
}
