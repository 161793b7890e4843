//! `--senders`: the names of nodes that answered well.

use std::io::{self, Write};

use choria::core::client::RpcReply;
use choria::core::rpc::StatusCode;

use super::{Asked, Flags, Form, Outcome};
use crate::cmd::render::text::clean;

/// A name a line.
pub struct Senders;

impl Form for Senders {
    fn wanted(&self, flags: Flags) -> bool {
        flags.senders
    }

    fn reply(&self, out: &mut dyn Write, _: &Asked<'_>, reply: &RpcReply) -> io::Result<()> {
        match reply.body.statuscode {
            StatusCode::Ok => writeln!(out, "{}", clean(&reply.sender, false)),
            _ => Ok(()),
        }
    }

    fn finish(&self, _: &mut dyn Write, _: &Asked<'_>, _: &Outcome<'_>) -> io::Result<()> {
        Ok(())
    }
}
