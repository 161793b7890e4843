//! `playbook`: a plan over the fleet; ours, the original has none.

use super::Kind;
use crate::core::builder::compile::Reading;

/// Runs a plan.
#[derive(Debug)]
pub struct Playbook {
    /// Its name; a template.
    pub playbook: String,
    /// Its parameters, whose values are templates; one that is empty is not given.
    pub inputs: Vec<(String, String)>,
    /// Directories with modules, separated by colons; a template, and the usual ones where it is
    /// empty.
    pub modulepath: String,
    /// What is told while it runs, as `--loglevel`.
    pub loglevel: String,
}

pub(super) fn read(of: &mut Reading<'_, '_>) -> Kind {
    Kind::Playbook(Playbook {
        playbook: of.required_template("playbook"),
        inputs: of.template_labels("inputs"),
        modulepath: of.template("modulepath"),
        loglevel: of.text("loglevel"),
    })
}
