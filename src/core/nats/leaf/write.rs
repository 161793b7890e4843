//! The lines a leaf sends.

/// A message for a hub, without its payload's copy.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Subject.
    pub subject: &'a [u8],
    /// Where the answer goes.
    pub reply: Option<&'a [u8]>,
    /// Length of the header block at the front of `body`.
    pub headers: Option<usize>,
    /// Headers and payload.
    pub body: &'a [u8],
}

impl Outgoing<'_> {
    /// Appends LMSG or HMSG. `queues` are groups behind the hub that are to have it, too.
    pub fn lay<'q>(&self, queues: impl Iterator<Item = &'q [u8]> + Clone, out: &mut Vec<u8>) {
        let word = |word: &[u8], out: &mut Vec<u8>| {
            out.push(b' ');
            out.extend_from_slice(word);
        };
        out.extend_from_slice(if self.headers.is_some() { b"HMSG " } else { b"LMSG " });
        out.extend_from_slice(self.subject);
        if queues.clone().next().is_some() {
            out.extend_from_slice(if self.reply.is_some() { b" +" } else { b" |" });
        }
        self.reply.into_iter().for_each(|reply| word(reply, out));
        queues.for_each(|queue| word(queue, out));
        for size in self.headers.into_iter().chain([self.body.len()]) {
            out.extend_from_slice(format!(" {size}").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.body);
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends LS+: somebody here wants this; for a queue group with the number of its members.
pub fn wanted(subject: &[u8], queue: Option<(&[u8], u32)>, out: &mut Vec<u8>) {
    line(b"LS+ ", subject, queue.map(|(queue, _)| queue), out);
    if let Some((_, members)) = queue {
        out.extend_from_slice(format!(" {members}").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends LS-: nobody here wants it any more.
pub fn unwanted(subject: &[u8], queue: Option<&[u8]>, out: &mut Vec<u8>) {
    line(b"LS- ", subject, queue, out);
    out.extend_from_slice(b"\r\n");
}

fn line(verb: &[u8], subject: &[u8], queue: Option<&[u8]>, out: &mut Vec<u8>) {
    out.extend_from_slice(verb);
    out.extend_from_slice(subject);
    if let Some(queue) = queue {
        out.push(b' ');
        out.extend_from_slice(queue);
    }
}
