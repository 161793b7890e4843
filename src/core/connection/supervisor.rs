//! The task that keeps a session connected.
//!
//! It owns the current async-nats client and the wanted subscriptions. When a
//! connection ends it asks DNS again, waits as the back-off says, connects to
//! the next broker and subscribes anew; holders of the session notice only that
//! publishing waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Client;
use tokio::sync::{mpsc, watch};

use super::failure::Failure;
use super::life::{forward, one_life};
use super::options::SessionOptions;
use super::session::{CLOSE_WAIT, Command, Connected, Shared, SubscriptionId, Wanted, lock};
use super::{Backoff, ServerUrl, SrvError};

/// How long DNS is waited for without a word.
const SLOW_DNS: Duration = Duration::from_secs(2);

pub(super) struct Supervisor {
    pub(super) options: Arc<SessionOptions>,
    pub(super) inbox: mpsc::UnboundedReceiver<Command>,
    pub(super) current: watch::Sender<Option<Connected>>,
    pub(super) shared: Arc<Shared>,
    pub(super) wanted: BTreeMap<SubscriptionId, Wanted>,
    pub(super) ever_connected: bool,
}

impl Supervisor {
    pub(super) async fn run(mut self) {
        loop {
            // On the heap, and gone once connected: it is by far the largest part of this task, which stays.
            let Some((connected, mut ended)) = Box::pin(self.connect()).await else { return };
            self.subscribe_all(&connected.client).await;
            let reconnected = std::mem::replace(&mut self.ever_connected, true);
            if reconnected {
                self.shared.stats.reconnections.fetch_add(1, Ordering::Relaxed);
            }
            tracing::info!(broker = %connected.url, name = self.options.name, "connected");
            let client = connected.client.clone();
            self.current.send_replace(Some(connected));
            let closing = self.serve(&client, &mut ended).await;
            self.current.send_replace(None);
            for wanted in self.wanted.values_mut() {
                if let Some(forwarder) = wanted.forwarder.take() {
                    forwarder.abort();
                }
            }
            self.shared.stats.closed.fetch_add(1, Ordering::Relaxed);
            if closing {
                return;
            }
            tracing::warn!(name = self.options.name, "the broker connection ended, reconnecting");
        }
    }

    /// Commands while connected; true when the session is to end.
    async fn serve(&mut self, client: &Client, ended: &mut mpsc::Receiver<()>) -> bool {
        loop {
            tokio::select! {
                // An event, or the end of whoever sends events: async-nats drops
                // some when many come at once, the one that tells of the end
                // among them.
                _ = ended.recv() => return false,
                command = self.inbox.recv() => match command {
                    None => {
                        let _ = tokio::time::timeout(CLOSE_WAIT, client.flush()).await;
                        return true;
                    }
                    Some(Command::Close(done)) => {
                        let _ = tokio::time::timeout(CLOSE_WAIT, client.flush()).await;
                        let _ = done.send(());
                        return true;
                    }
                    Some(Command::Unsubscribe(id)) => self.forget(id),
                    Some(Command::Subscribe(id, mut wanted, done)) => {
                        wanted.forwarder = forward(client, &wanted).await;
                        self.wanted.insert(id, wanted);
                        let _ = done.send(());
                    }
                }
            }
        }
    }

    fn forget(&mut self, id: SubscriptionId) {
        // Dropping the forwarder drops its subscriber, which unsubscribes.
        if let Some(Wanted { forwarder: Some(task), .. }) = self.wanted.remove(&id) {
            task.abort();
        }
    }

    async fn subscribe_all(&mut self, client: &Client) {
        self.wanted.retain(|_, wanted| !wanted.sink.is_closed());
        for wanted in self.wanted.values_mut() {
            wanted.forwarder = forward(client, wanted).await;
        }
    }

    /// Tries brokers until one accepts; `None` when the session is to end.
    async fn connect(&mut self) -> Option<(Connected, mpsc::Receiver<()>)> {
        let backoff = if self.ever_connected { Backoff::TwentySeconds } else { Backoff::FiveSeconds };
        let mut pass = 0;
        if self.ever_connected {
            // A broker that went away took everybody along: spread the return.
            self.wait(backoff.wait(0, fastrand::f64())).await?;
        }
        loop {
            pass += 1;
            let mut failures = vec![];
            let mut refusals = 0;
            let servers = match self.resolve(pass).await? {
                Ok(servers) => servers,
                Err(e) => {
                    let setting = self.options.servers.setting();
                    failures.push(match e {
                        SrvError::Lookup { .. } => format!("{e}; {setting} names brokers without them"),
                        e => e.to_string(),
                    });
                    vec![]
                }
            };
            if servers.is_empty() && failures.is_empty() {
                failures.push("no broker is configured and DNS names none".to_owned());
            }
            for url in servers {
                self.shared.stats.attempts.fetch_add(1, Ordering::Relaxed);
                match self.attempt(&url).await? {
                    Ok(connected) => return Some(connected),
                    Err(failure) => {
                        refusals += usize::from(failure.refused);
                        failures.push(format!("{url}: {}", failure.text));
                    }
                }
            }
            let impatient = self.options.give_up_after.is_some() && !self.ever_connected;
            if impatient && refusals > 0 && refusals == failures.len() {
                // Every broker has said no to who we are: asking again for the
                // rest of the limit would only keep a person waiting.
                *lock(&self.shared.last_failures) = failures;
                self.shared.refused.store(true, Ordering::Relaxed);
                return None;
            }
            let wait = backoff.wait(pass, fastrand::f64());
            self.tell(pass, wait, &failures);
            *lock(&self.shared.last_failures) = failures;
            self.wait(wait).await?;
        }
    }

    /// Says why there is no connection: to a person once, else to the log.
    fn tell(&self, pass: u32, wait: Duration, failures: &[String]) {
        match &self.options.first_failure {
            Some(tell) if pass == 1 && !self.ever_connected => tell(failures),
            // a person hears the rest at the end
            Some(_) if !self.ever_connected => {
                tracing::debug!(try = pass, "cannot connect: {}", failures.join("; "));
            }
            _ => tracing::warn!(
                try = pass,
                wait_ms = wait.as_millis(),
                "cannot connect: {}",
                failures.join("; ")
            ),
        }
    }

    /// The brokers to try. A name server that says nothing is waited for, and
    /// whoever waits is told what for.
    async fn resolve(&mut self, pass: u32) -> Option<Result<Vec<ServerUrl>, SrvError>> {
        let options = self.options.clone();
        let resolving = options.servers.resolve();
        tokio::pin!(resolving);
        if let Ok(done) = self.or_closed(tokio::time::timeout(SLOW_DNS, &mut resolving)).await? {
            return Some(done);
        }
        let slow = format!(
            "looking up {} in DNS has no answer after {} s: the name servers of this machine (/etc/resolv.conf) do not \
             answer; {} names brokers without it",
            options.servers.looked_up().join(" and "),
            SLOW_DNS.as_secs(),
            options.servers.setting()
        );
        self.tell(pass, Duration::ZERO, std::slice::from_ref(&slow));
        *lock(&self.shared.last_failures) = vec![slow];
        self.or_closed(resolving).await
    }

    async fn wait(&mut self, duration: Duration) -> Option<()> {
        self.or_closed(tokio::time::sleep(duration)).await
    }

    async fn attempt(&mut self, url: &ServerUrl) -> Option<Result<(Connected, mpsc::Receiver<()>), Failure>> {
        let (ended_tx, ended) = mpsc::channel(1);
        let (options, shared) = (self.options.clone(), self.shared.clone());
        let attempt = async {
            // Nobody closes the semaphore.
            let _turn = match &options.turns {
                Some(turns) => turns.acquire().await.ok(),
                None => None,
            };
            one_life(options.clone(), url.clone(), shared, ended_tx).await
        };
        let outcome = self.or_closed(attempt).await?;
        Some(outcome.map(|client| (Connected { client, unwritten: Arc::default(), url: url.clone() }, ended)))
    }

    /// Runs `work`, taking commands meanwhile; `None` when the session is to
    /// end first.
    async fn or_closed<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                command = self.inbox.recv() => match command? {
                    Command::Close(done) => {
                        let _ = done.send(());
                        return None;
                    }
                    Command::Unsubscribe(id) => self.forget(id),
                    Command::Subscribe(id, wanted, done) => {
                        self.wanted.insert(id, wanted);
                        let _ = done.send(());
                    }
                }
            }
        }
    }
}
