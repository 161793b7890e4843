//! `--filter-replies`: replies that are shown, and what is said of those that
//! could not be judged.

use choria::core::client::RpcReply;
use choria::core::protocol::filter::ReplyFilter;

use super::text::clean;
use crate::cmd::out::errln;

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
