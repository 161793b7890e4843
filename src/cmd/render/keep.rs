//! `--filter-replies`: replies that are shown, and what is said of those that
//! could not be judged.

use choria::core::client::RpcReply;
use choria::core::ddl::Action;
use choria::core::protocol::filter::ReplyFilter;
use choria::core::text::meant;

use super::text::clean;
use crate::cmd::out::errln;

/// Says which outputs an expression asks for that no interface knows: agents may answer more than they declare, and
/// people mistype.
pub fn tell_undeclared(flag: &str, filter: &ReplyFilter, agent: &str, action: &Action) {
    let known = || action.output.keys().map(String::as_str);
    for name in filter.outputs().into_iter().filter(|name| !action.output.contains_key(*name)) {
        let meant = meant(name, known());
        let meant = if meant.is_empty() {
            format!(": it has {}", known().collect::<Vec<_>>().join(", "))
        } else {
            meant
        };
        errln!("choria: {flag}: {agent}#{} declares no output {name}{meant}", action.action);
    }
}

/// Keeps the replies a filter wants; all without one.
#[derive(Default)]
pub struct Keep {
    filter: Option<ReplyFilter>,
    unjudged: usize,
    why: String,
}

impl Keep {
    pub fn new(filter: Option<ReplyFilter>) -> Keep {
        Keep { filter, ..Keep::default() }
    }

    /// The same, after saying which outputs it asks for that the action does not declare.
    pub fn of(self, agent: &str, action: &Action) -> Keep {
        self.filter.iter().for_each(|filter| tell_undeclared("--filter-replies", filter, agent, action));
        self
    }

    /// Whether a reply is kept; one that cannot be judged is not.
    pub fn takes(&mut self, reply: &mut RpcReply) -> bool {
        let Some(filter) = &self.filter else { return true };
        match reply.kept_by(filter) {
            Ok(kept) => kept,
            Err(e) => {
                if self.unjudged == 0 {
                    self.why = format!("{}: {e}", reply.sender);
                }
                self.unjudged += 1;
                false
            }
        }
    }

    /// Says what could not be judged.
    pub fn tell(&self) {
        if self.unjudged > 0 {
            let why = clean(&self.why, false);
            errln!(
                "choria: --filter-replies could not judge {} replies and dropped them: {why}",
                self.unjudged
            );
        }
    }
}
