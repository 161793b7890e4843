//! The status of a running provisioner, by a socket in its state directory
//! that only its own user (and root) can open.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::daemon::Daemon;
use super::status::Status;
use crate::core::files::SECRET;

/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer, in bytes.
const MAX_STATUS: u64 = 4 * 1024 * 1024;

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("status.sock")
}

/// Answers everybody who connects with one JSON document, for ever.
///
/// # Errors
/// The socket could not be made.
pub async fn serve(daemon: Arc<Daemon>, state_dir: &Path) -> io::Result<()> {
    let path = path(state_dir);
    // of an earlier run; the journal's lock says that nobody uses it
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, Permissions::from_mode(SECRET))?;
    loop {
        match listener.accept().await {
            Ok((mut stream, _)) => {
                let text = serde_json::to_vec(&daemon.status()).unwrap_or_default();
                let answer = async move { stream.write_all(&text).await };
                tokio::spawn(tokio::time::timeout(PATIENCE, answer));
            }
            // too many open files, most likely: it passes
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Asks the provisioner that uses this state directory.
///
/// # Errors
/// None runs, it may not be asked by this user, or it does not answer.
pub async fn ask(state_dir: &Path) -> io::Result<Status> {
    let path = path(state_dir);
    let named = |e: io::Error| {
        let text = match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                format!("no provisioner runs with state_dir {}", state_dir.display())
            }
            _ => format!("{}: {e}", path.display()),
        };
        io::Error::new(e.kind(), text)
    };
    let asking = async {
        let mut text = Vec::new();
        UnixStream::connect(&path).await?.take(MAX_STATUS).read_to_end(&mut text).await?;
        Ok(serde_json::from_slice(&text)?)
    };
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answer) => answer.map_err(named),
        Err(_) => Err(named(io::Error::new(io::ErrorKind::TimedOut, "it does not answer"))),
    }
}
