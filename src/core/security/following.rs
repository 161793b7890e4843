//! A CA file and revocation lists that change under a daemon count from then on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Provider, TrustVersion};
use crate::core::files::{self, Look};

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(5);

/// Looks whether the CA file or the revocation lists of a provider have changed.
#[derive(Debug)]
pub struct Following {
    provider: Arc<Provider>,
    /// What was there when it was read last.
    seen: Mutex<TrustVersion>,
    look: Look,
}

impl Following {
    /// From what is there now on. It looks at files.
    pub fn of(provider: Arc<Provider>) -> Arc<Following> {
        let seen = Mutex::new(provider.files().trust_version());
        Arc::new(Following { provider, seen, look: Look::default() })
    }

    /// Reads by `renew` whatever is there now, as on a signal.
    pub fn renew(&self, renew: impl FnOnce()) {
        let mut seen = self.seen();
        *seen = self.provider.files().trust_version();
        renew();
    }

    /// Reads by `renew` what has changed, for ever. Files that hang are told, and cost a thread.
    pub async fn follow(self: Arc<Self>, every: Duration, renew: impl Fn() + Send + Sync + 'static) {
        let renew = Arc::new(renew);
        loop {
            tokio::time::sleep(every).await;
            let (following, renew) = (self.clone(), renew.clone());
            let _ = files::within_deadline(move || following.look(&*renew)).await;
        }
    }

    fn look(&self, renew: &dyn Fn()) {
        let files = self.provider.files();
        let Some(_looking) = self.look.begin(&files.ca) else { return };
        let now = files.trust_version();
        let mut seen = self.seen();
        if now != *seen {
            *seen = now;
            tracing::info!("the CA file or the revocation list has changed");
            renew();
        }
    }

    fn seen(&self) -> MutexGuard<'_, TrustVersion> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads keys, CA and revocation lists again whenever the CA file or a list has changed from
/// what is there now, for ever.
pub fn follow_trust(provider: Arc<Provider>) -> impl Future<Output = ()> + Send + use<> {
    let of = provider.clone();
    Following::of(provider).follow(EVERY, move || of.reload_and_tell())
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
