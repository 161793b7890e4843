//! zypper.

use super::update::Update;
use crate::core::agents::system::Tool;

/// Installs a package.
pub(super) fn install(name: &str, version: Option<&str>) -> Tool {
    let wanted = version.map_or_else(|| name.to_owned(), |version| format!("{name}={version}"));
    Tool::new("zypper", ["--non-interactive", "--quiet", "install", "--oldpackage", &wanted])
}

/// Changes a package.
pub(super) fn change(verb: &str, name: &str) -> Tool {
    Tool::new("zypper", ["--non-interactive", "--quiet", verb, name])
}

/// Whether an exit code says that it went well: some above 100 tell what else is to do, such
/// as to start the machine again; 104 is a package that nobody has.
pub(super) fn well(code: i32) -> bool {
    [0, 100, 101, 102, 103, 106].contains(&code)
}

/// Packages in the table of list-updates.
pub(super) fn updates(said: &str) -> Vec<Update> {
    let update = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [state, repo, name, _, version, ..] = cells.as_slice() else { return None };
        let header = *state == "S" || state.starts_with("--");
        (!header && !name.is_empty()).then(|| Update::new(name, version, repo))
    };
    said.lines().filter_map(update).collect()
}

/// Names in the table of search: state, name, summary, kind.
pub(super) fn names(said: &str) -> Vec<String> {
    let name = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [state, name, ..] = cells.as_slice() else { return None };
        (*state != "S" && !state.starts_with("--") && !name.is_empty()).then(|| (*name).to_owned())
    };
    said.lines().filter_map(name).collect()
}
