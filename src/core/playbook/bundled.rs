//! Plans that are there without a module: those that run Puppet Tasks (spec 07 §B10). One of the
//! same name on the module path comes first.

use crate::core::puppet::Source;

const PLANS: [(&str, &str); 4] = [
    ("choria::tasks::download_files", include_str!("bundled/download_files.pp")),
    ("choria::tasks::run", include_str!("bundled/run.pp")),
    ("choria::tasks::status", include_str!("bundled/status.pp")),
    ("choria::tasks::wait", include_str!("bundled/wait.pp")),
];

/// What they are called.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    PLANS.iter().map(|(name, _)| *name)
}

/// The text of such a plan.
pub(super) fn plan(name: &str) -> Option<Source> {
    let (name, text) = PLANS.iter().find(|(known, _)| *known == name)?;
    Some(Source::new(&format!("{name} of this program"), *text))
}
