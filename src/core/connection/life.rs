//! One connection to one broker, from async-nats.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::{Client, ConnectOptions, Event, ReconnectToServer};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::ServerUrl;
use super::session::{SessionOptions, Shared, Wanted, lock};

/// Error lines of the broker that are kept for whoever wants to explain a
/// failure; more are only logged.
const KEPT_ERRORS: usize = 16;
/// Messages that async-nats holds per subscription before it drops some.
const SUBSCRIPTION_CAPACITY: usize = 16_384;

/// One connection to one broker.
///
/// async-nats would reconnect by itself. It is made to stop instead: a second
/// pool entry is a port nobody can listen on, the callback sends every
/// reconnect there, and one failed try is the limit.
pub(super) async fn one_life(
    options: Arc<SessionOptions>,
    url: ServerUrl,
    shared: Arc<Shared>,
    ended: mpsc::Sender<()>,
) -> Result<Client, String> {
    let started = Instant::now();
    let address: async_nats::ServerAddr = url.to_string().parse().map_err(|e| format!("{e}"))?;
    let nowhere: async_nats::ServerAddr = "nats://127.0.0.1:0".parse().map_err(|e| format!("{e}"))?;
    let first = Arc::new(AtomicU64::new(0));
    let pool = vec![address.clone(), nowhere.clone()];
    let mut connect = ConnectOptions::new()
        .name(&options.name)
        .custom_inbox_prefix(&options.inbox_prefix)
        .ping_interval(options.ping_interval)
        .connection_timeout(options.connect_timeout)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .ignore_discovered_servers()
        .max_reconnects(1)
        .reconnect_to_server_callback(move |_, _| {
            let again = first.fetch_add(1, Ordering::Relaxed) > 0;
            let addr = if again { nowhere.clone() } else { address.clone() };
            async move { Some(ReconnectToServer { addr, delay: Some(Duration::ZERO) }) }
        })
        .event_callback(move |event| {
            note(&shared, &event);
            if matches!(event, Event::Disconnected | Event::Closed) {
                let _ = ended.try_send(());
            }
            async {}
        });
    if let Some(tls) = &options.tls {
        connect = connect.require_tls(true).tls_client_config((**tls).clone());
    }
    if let Some(address) = options.local_address {
        connect = connect.local_address(SocketAddr::new(address, 0));
    }
    if let Some(token) = &options.token {
        connect = connect.token(token().to_string());
    }
    if let Some((user, password)) = &options.user {
        connect = connect.user_and_password(user.clone(), password.to_string());
    }
    match connect.connect(pool).await {
        Ok(client) => Ok(client),
        Err(e) => {
            // The outer texts only repeat that it failed; the innermost cause
            // is what a person can act on.
            let mut text = e.to_string();
            let mut cause = e.source();
            while let Some(inner) = cause {
                text = inner.to_string();
                cause = inner.source();
            }
            if e.kind() == async_nats::ConnectErrorKind::TimedOut {
                text = format!("no answer within {} ms", started.elapsed().as_millis());
            }
            Err(text)
        }
    }
}

fn note(shared: &Shared, event: &Event) {
    let text = match event {
        Event::ServerError(error) => error.to_string(),
        Event::ClientError(async_nats::ClientError::MaxReconnects) => return,
        Event::ClientError(error) => error.to_string(),
        Event::SlowConsumer(_) => {
            "messages were dropped, they arrived faster than they were taken".to_owned()
        }
        _ => return,
    };
    shared.stats.errors.fetch_add(1, Ordering::Relaxed);
    tracing::warn!("broker: {text}");
    let mut errors = lock(&shared.broker_errors);
    if errors.len() < KEPT_ERRORS {
        errors.push(text);
    }
}

pub(super) async fn forward(client: &Client, wanted: &Wanted) -> Option<JoinHandle<()>> {
    let subject = wanted.subject.clone();
    let subscribed = match &wanted.queue {
        Some(queue) => client.queue_subscribe(subject, queue.clone()).await,
        None => client.subscribe(subject).await,
    };
    let mut subscriber = match subscribed {
        Ok(subscriber) => subscriber,
        Err(e) => {
            tracing::error!(subject = wanted.subject, "cannot subscribe: {e}");
            return None;
        }
    };
    let sink = wanted.sink.clone();
    Some(tokio::spawn(async move {
        while let Some(message) = subscriber.next().await {
            if sink.send(message).await.is_err() {
                return;
            }
        }
    }))
}
