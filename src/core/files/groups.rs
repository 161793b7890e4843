//! Users and groups of this machine.

use std::path::Path;

use super::read_bounded;

/// Longest list of groups that is read, in bytes.
const MAX: u64 = 4 << 20;

/// A group by name or number. `/etc/group` is all there is without a C
/// library; groups of a directory service are given by number.
pub fn group_id(name: &str) -> Option<u32> {
    listed("/etc/group", name)
}

/// A user by name or number, of `/etc/passwd`.
pub fn user_id(name: &str) -> Option<u32> {
    listed("/etc/passwd", name)
}

/// The groups of a user: its own, and those that list it.
pub(super) fn groups_of(user: &str) -> Vec<u32> {
    let lines = |file: &str| {
        let text = read_bounded(Path::new(file), MAX).unwrap_or_default();
        String::from_utf8_lossy(&text)
            .lines()
            .map(|line| line.split(':').map(str::to_owned).collect())
            .collect::<Vec<Vec<String>>>()
    };
    let (people, groups) = (lines("/etc/passwd"), lines("/etc/group"));
    let own = people.iter().filter(|fields| fields[0] == user).filter_map(|fields| fields.get(3));
    let listed = groups.iter().filter(|fields| {
        fields.get(3).is_some_and(|members| members.split(',').any(|member| member == user))
    });
    own.chain(listed.filter_map(|fields| fields.get(2))).filter_map(|id| id.parse().ok()).collect()
}

/// Both files have the number in the third place.
fn listed(file: &str, name: &str) -> Option<u32> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let text = read_bounded(Path::new(file), MAX).ok()?;
    let text = String::from_utf8_lossy(&text);
    let mut fields = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    fields.find(|fields| fields.first() == Some(&name))?.get(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_name_and_number() {
        assert_eq!((group_id("root"), group_id("4711")), (Some(0), Some(4711)));
        assert_eq!(group_id("no-such-group"), None);
        assert_eq!((user_id("root"), user_id("4711"), user_id("no-such-user")), (Some(0), Some(4711), None));
    }
}
