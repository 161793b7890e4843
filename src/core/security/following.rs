//! A CA file and revocation lists that change under a daemon count from then on.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::Provider;
use crate::core::files::{self, Look};

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(5);

/// Reads keys, CA and revocation lists again whenever the CA file or a list has changed, for
/// ever. One that hangs is told, and costs a thread.
pub async fn follow_trust(provider: Arc<Provider>) {
    let look = Arc::new(Look::default());
    let mut seen = None;
    loop {
        let (of, look) = (provider.clone(), look.clone());
        let found = files::within_deadline(move || {
            let files = of.files();
            let _looking = look.begin(&files.ca)?;
            Some(files.trust_version())
        });
        if let Some(found) = found.await.flatten() {
            let before = seen.replace(found.clone());
            if before.is_some_and(|before| before != found) {
                tracing::info!("the CA file or the revocation list has changed");
                let of = provider.clone();
                // what hangs here is left behind
                let _ = spawn_blocking(move || of.reload_and_tell()).await;
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

impl Provider {
    /// [`Provider::reload`], with what came of it in the log.
    pub fn reload_and_tell(&self) {
        match self.reload() {
            Ok(()) => tracing::info!("read keys, CA and revocation lists again"),
            Err(e) => tracing::error!("keeping the previous keys and trust: {e}"),
        }
    }
}
