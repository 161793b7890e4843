//! Secrets in files that may be renewed while we run: read anew each time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Look, read_bounded, within_deadline};

/// A file that is read anew each time. One that hangs costs whoever wants it and a thread,
/// not the process.
#[derive(Debug)]
pub struct Anew {
    path: PathBuf,
    most: u64,
    look: Arc<Look>,
    turn: tokio::sync::Mutex<()>,
}

impl Anew {
    /// The file at `path`, of `most` bytes at most.
    pub fn new(path: PathBuf, most: u64) -> Anew {
        Anew { path, most, look: Arc::default(), turn: tokio::sync::Mutex::default() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it holds. May hang, for starts where nothing else waits.
    ///
    /// # Errors
    /// It cannot be read, or is longer.
    pub fn read_now(&self) -> io::Result<Zeroizing<Vec<u8>>> {
        read_bounded(&self.path, self.most).map(Zeroizing::new)
    }

    /// What it holds.
    ///
    /// # Errors
    /// As [`Anew::read_now`], or it does not answer.
    pub async fn read(&self) -> io::Result<Zeroizing<Vec<u8>>> {
        let _turn = self.turn.lock().await;
        let (look, path, most) = (self.look.clone(), self.path.clone(), self.most);
        let read = within_deadline(move || {
            let _looking = look.begin(&path)?;
            Some(read_bounded(&path, most).map(Zeroizing::new))
        });
        let hangs =
            || io::Error::new(io::ErrorKind::TimedOut, format!("{} does not answer", self.path.display()));
        read.await.flatten().ok_or_else(hangs)?
    }
}
