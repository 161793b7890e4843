//! From the request to its last reply: whoever asks goes this way.

use std::io;
use std::task::Poll;

use choria::core::client::history::Recorder;
use choria::core::client::{Client, RpcCall, RpcReply};
use tokio::signal::unix::{SignalKind, signal};

use super::staged::Staged;
use crate::cmd::render::view::View;

/// Who gets replies as they come.
pub trait Sink {
    /// Takes one.
    fn reply(&mut self, reply: RpcReply) -> io::Result<()>;
    /// Takes what a node says in the end, for what it said before.
    fn again(&mut self, reply: RpcReply);
    /// Nothing comes for a while.
    fn flush(&mut self) -> io::Result<()>;
}

impl Sink for View<'_> {
    fn reply(&mut self, reply: RpcReply) -> io::Result<()> {
        View::reply(self, reply)
    }

    fn again(&mut self, reply: RpcReply) {
        View::again(self, reply);
    }

    fn flush(&mut self) -> io::Result<()> {
        View::flush(self)
    }
}

impl Sink for Vec<RpcReply> {
    fn reply(&mut self, reply: RpcReply) -> io::Result<()> {
        self.push(reply);
        Ok(())
    }

    fn again(&mut self, reply: RpcReply) {
        self.retain(|before| before.sender != reply.sender);
        self.push(reply);
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How a request ended.
pub enum Followed {
    /// Nobody is waited for any more.
    ToTheEnd,
    /// By a person.
    Interrupted,
    /// Too many did badly for the next stage.
    Stopped,
}

/// Hands on replies until all are there, or a person has waited enough.
pub async fn follow(
    client: &Client,
    call: &mut RpcCall<'_>,
    sink: &mut impl Sink,
    mut recorder: Option<&mut Recorder>,
    mut staged: Option<&mut Staged>,
) -> anyhow::Result<Followed> {
    // Listened to from here on: an interrupt while a reply is being shown must
    // count too.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut waited_for = staged.is_none();
    loop {
        if let Some(staged) = staged.as_mut().filter(|_| !waited_for) {
            sink.flush()?;
            let mut told = |reply: RpcReply| {
                if let Some(recorder) = recorder.as_mut() {
                    recorder.replace(&reply);
                }
                sink.again(reply);
            };
            tokio::select! {
                biased;
                _ = interrupt.recv() => return Ok(Followed::Interrupted),
                ended = staged.ends(client, &mut told) => ended?,
            }
            let going_on = tokio::select! {
                biased;
                _ = interrupt.recv() => return Ok(Followed::Interrupted),
                going_on = staged.go_on(client, call.upcoming()) => going_on?,
            };
            match (going_on, call.upcoming().is_some()) {
                (false, _) => {
                    call.conclude().await;
                    return Ok(Followed::Stopped);
                }
                (true, false) => return Ok(Followed::ToTheEnd),
                (true, true) => call.go_on(),
            }
            waited_for = true;
        }
        let mut next = std::pin::pin!(call.next());
        let reply = match futures::poll!(&mut next) {
            Poll::Ready(reply) => reply?,
            Poll::Pending => {
                sink.flush()?;
                tokio::select! {
                    biased;
                    _ = interrupt.recv() => return Ok(Followed::Interrupted),
                    reply = next => reply?,
                }
            }
        };
        match reply {
            Some(reply) => {
                if let Some(recorder) = recorder.as_mut() {
                    recorder.add(&reply);
                }
                if let Some(staged) = staged.as_mut() {
                    staged.reply(&reply)?;
                }
                sink.reply(reply)?;
            }
            None if staged.is_some() => waited_for = false,
            None => return Ok(Followed::ToTheEnd),
        }
    }
}
