//! One connection to one broker, from async-nats.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use async_nats::{Client, ConnectOptions, Event, Message, ReconnectToServer};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::failure::Failure;
use super::options::SessionOptions;
use super::session::{Shared, Wanted, lock};
use super::{ByteBudget, ServerUrl, flood};
use crate::core::text::shortened;

/// Different error lines of the broker that are kept for whoever wants to
/// explain a failure; more are only logged.
const KEPT_ERRORS: usize = 64;
/// Longest of them, in characters.
const MAX_ERROR: usize = 512;
/// How long a name is asked for that may have been what took too long.
const LOOKED_UP: Duration = Duration::from_millis(200);

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
) -> Result<Client, Failure> {
    let started = Instant::now();
    let address: async_nats::ServerAddr =
        url.to_string().parse().map_err(|e| Failure::passing(format!("{e}")))?;
    let nowhere: async_nats::ServerAddr =
        "nats://127.0.0.1:0".parse().map_err(|e| Failure::passing(format!("{e}")))?;
    // A person is told by the command what matters of it.
    let person = options.first_failure.is_some();
    let first = Arc::new(AtomicU64::new(0));
    let pool = vec![address.clone(), nowhere.clone()];
    let mut connect = ConnectOptions::new()
        .name(&options.name)
        .custom_inbox_prefix(&options.inbox_prefix)
        .ping_interval(options.ping_interval)
        .connection_timeout(options.connect_timeout)
        .subscription_capacity(options.subscription_capacity)
        .read_buffer_capacity(options.read_buffer)
        .ignore_discovered_servers()
        .max_reconnects(1)
        .reconnect_to_server_callback(move |_, _| {
            let again = first.fetch_add(1, Ordering::Relaxed) > 0;
            let addr = if again { nowhere.clone() } else { address.clone() };
            async move { Some(ReconnectToServer { addr, delay: Some(Duration::ZERO) }) }
        })
        .event_callback(move |event| {
            note(&shared, &event, person);
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
    match flood::bounded(connect.connect(pool)).await? {
        Ok(client) => Ok(client),
        Err(e) if e.kind() == async_nats::ConnectErrorKind::TimedOut => {
            let ms = started.elapsed().as_millis();
            Err(Failure::passing(match unresolved(&url).await {
                true => {
                    format!("the name server does not say within {ms} ms which address {} has", url.host())
                }
                false => format!("no answer within {ms} ms"),
            }))
        }
        Err(e) => Err(Failure::of(&e)),
    }
}

/// Whether it is the name of the broker that is waited for. It was asked for
/// before: an answer that there is comes at once.
async fn unresolved(url: &ServerUrl) -> bool {
    let looking_up = tokio::net::lookup_host((url.host(), url.port()));
    url.host().parse::<IpAddr>().is_err() && tokio::time::timeout(LOOKED_UP, looking_up).await.is_err()
}

fn note(shared: &Shared, event: &Event, person: bool) {
    let text = match event {
        Event::ServerError(error) => error.to_string(),
        Event::ClientError(async_nats::ClientError::MaxReconnects) => return,
        Event::ClientError(error) => {
            // Not the broker's words: a connection that broke, mostly.
            shared.stats.errors.fetch_add(1, Ordering::Relaxed);
            tracing::info!("broker connection: {error}");
            return;
        }
        Event::SlowConsumer(_) => {
            "messages were dropped, they arrived faster than they were taken".to_owned()
        }
        _ => return,
    };
    shared.stats.errors.fetch_add(1, Ordering::Relaxed);
    match person {
        true => tracing::info!("broker: {text}"),
        // one who floods a node, or a broker that complains of all it does, fills no log
        false => shared.complaints_log.note("broker", || tracing::warn!("broker: {text}")),
    }
    let text = shortened(&text, MAX_ERROR);
    let listeners = lock(&shared.listeners).clone();
    for listener in listeners.iter().filter_map(Weak::upgrade) {
        listener.complained(&text);
    }
    if text.contains("Permissions Violation") {
        return;
    }
    let mut errors = lock(&shared.broker_errors);
    if errors.len() < KEPT_ERRORS && !errors.contains(&text) {
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
    let budget = wanted.budget.clone();
    Some(tokio::spawn(async move {
        while let Some(message) = subscriber.next().await {
            let gone = match &budget {
                None => sink.send(message).await.is_err(),
                Some(budget) => !offer(&sink, budget, message),
            };
            if gone {
                return;
            }
        }
    }))
}

/// Puts a message into `sink` if the budget has room for it; false when nobody
/// takes messages out any more.
fn offer(sink: &mpsc::Sender<Message>, budget: &ByteBudget, message: Message) -> bool {
    if sink.is_closed() {
        return false;
    }
    if budget.take(&message)
        && let Err(mpsc::error::TrySendError::Full(message)) = sink.try_send(message)
    {
        budget.give_back(&message);
        budget.drop_one();
    }
    true
}
