//! Names of nodes as people type them.

use anyhow::bail;
use choria::core::discovery::is_name;

use crate::cmd::render::text::clean;

/// Whether a node can be called so, or it is an expression. A name that none
/// has finds nobody, and says nothing.
pub(super) fn check(identity: &str) -> anyhow::Result<()> {
    let expression = identity.len() > 1 && identity.starts_with('/') && identity.ends_with('/');
    if expression || is_name(identity) || identity.is_empty() {
        return Ok(());
    }
    let shown = clean(identity, false);
    if identity.contains(',') {
        bail!("-I {shown} is not a list: give -I once for each node, or --nodes with a file of names");
    }
    if identity.contains(['*', '?', '[', '^', '$']) {
        let pattern = shown.trim_matches(['^', '$']).replace('.', "\\.").replace('*', ".*").replace('?', ".");
        bail!(
            "-I {shown} is not a pattern: write it as an expression between slashes, such as -I '/^{pattern}$/'"
        );
    }
    if let Some((method, _)) = identity.split_once(':') {
        bail!(
            "-I {shown}: no node is called so, and nodes are not found by {method} in this version; see --dm and -S"
        );
    }
    bail!("-I {shown}: no node is called so, names have letters, digits, '.', '_' and '-'")
}
