//! What async-nats sees.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, HeaderMap, Subscriber};
use futures::StreamExt;
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::servers::{Servers, TOKEN, pair};
use crate::process::PATIENCE;

type Told = Arc<Mutex<Vec<String>>>;
type Running<'a> = Pin<Box<dyn Future<Output = Value> + 'a>>;

/// How long nothing has to come to be sure that nothing does.
const QUIET: Duration = Duration::from_millis(200);

/// All scenarios, one after the other.
pub async fn scenarios(servers: &Servers) -> Value {
    let all: [(&str, Running<'_>); 13] = [
        ("publish_and_subscribe", Box::pin(publish_and_subscribe(servers))),
        ("wildcards", Box::pin(wildcards(servers))),
        ("queues", Box::pin(queues(servers))),
        ("requests", Box::pin(requests(servers))),
        ("headers", Box::pin(headers(servers))),
        ("unsubscribe_after", Box::pin(unsubscribe_after(servers))),
        ("drain", Box::pin(drain(servers))),
        ("reconnect", Box::pin(reconnect(servers))),
        ("too_large", Box::pin(too_large(servers))),
        ("no_echo", Box::pin(no_echo(servers))),
        ("permissions", Box::pin(permissions(servers))),
        ("credentials", Box::pin(credentials(servers))),
        ("mutual_tls", Box::pin(mutual_tls(servers))),
    ];
    let mut results = Map::new();
    for (name, scenario) in all {
        let result = tokio::time::timeout(PATIENCE, scenario).await;
        results.insert(name.to_owned(), result.unwrap_or_else(|_| json!({"failed": "took too long"})));
    }
    results.into()
}

fn options(told: &Told) -> ConnectOptions {
    let told = told.clone();
    ConnectOptions::new()
        .connection_timeout(PATIENCE)
        .reconnect_delay_callback(|_| Duration::from_millis(20))
        .event_callback(move |event| {
            let text = match event {
                Event::Connected => "connected".to_owned(),
                Event::Disconnected => "disconnected".to_owned(),
                Event::ServerError(error) => format!("server: {error}"),
                other => format!("{other:?}"),
            };
            told.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            async {}
        })
}

async fn connect(servers: &Servers) -> Client {
    let address = servers.address("open").to_string();
    options(&Told::default()).connect(address).await.expect("a connection")
}

/// Whether a connection comes about and can be used.
async fn attempt(options: ConnectOptions, address: SocketAddr) -> Value {
    match options.connect(address.to_string()).await {
        Ok(client) => json!(client.flush().await.is_ok()),
        Err(error) => json!(error.kind().to_string()),
    }
}

/// The barrier: nothing sent before can still be on its way into the broker.
async fn settled(client: &Client) {
    client.flush().await.expect("a connection");
    let inbox = client.new_inbox();
    let mut echo = client.subscribe(inbox.clone()).await.expect("a subscription");
    client.publish(inbox, "".into()).await.expect("a connection");
    tokio::time::timeout(PATIENCE, echo.next()).await.expect("an echo in time");
}

async fn hear(subscriber: &mut Subscriber, count: usize) -> Vec<String> {
    let mut heard = vec![];
    while heard.len() < count {
        match tokio::time::timeout(PATIENCE, subscriber.next()).await.expect("a message in time") {
            Some(message) => heard.push(String::from_utf8_lossy(&message.payload).into_owned()),
            None => break,
        }
    }
    heard
}

async fn more(subscriber: &mut Subscriber) -> Vec<String> {
    let mut heard = vec![];
    while let Ok(Some(message)) = tokio::time::timeout(QUIET, subscriber.next()).await {
        heard.push(format!("{}: {}", message.subject, String::from_utf8_lossy(&message.payload)));
    }
    heard
}

async fn publish(client: &Client, subject: &str, text: impl Into<String>) {
    client.publish(subject.to_owned(), text.into().into()).await.expect("a connection");
}

async fn publish_and_subscribe(servers: &Servers) -> Value {
    let (a, b) = (connect(servers).await, connect(servers).await);
    let mut subscriber = a.subscribe("rs.ps").await.expect("a subscription");
    settled(&a).await;
    for number in 0..100 {
        publish(&b, "rs.ps", number.to_string()).await;
    }
    let heard = hear(&mut subscriber, 100).await;
    json!((heard, more(&mut subscriber).await))
}

async fn wildcards(servers: &Servers) -> Value {
    let a = connect(servers).await;
    let mut all = vec![];
    for pattern in ["rs.w.*", "rs.w.>", "rs.*.b", "rs.w.a.>"] {
        all.push(a.subscribe(pattern).await.expect("a subscription"));
    }
    for subject in ["rs.w", "rs.w.a", "rs.w.a.b", "rs.x.b", "rs.w.a.b.c"] {
        publish(&a, subject, "").await;
    }
    settled(&a).await;
    let mut result = vec![];
    for subscriber in &mut all {
        result.push(more(subscriber).await);
    }
    json!(result)
}

async fn queues(servers: &Servers) -> Value {
    let mut workers = vec![];
    for _ in 0..3 {
        let client = connect(servers).await;
        let subscriber = client.queue_subscribe("rs.q", "g".to_owned()).await.expect("a subscription");
        settled(&client).await;
        workers.push((client, subscriber));
    }
    let sender = connect(servers).await;
    for _ in 0..300 {
        publish(&sender, "rs.q", "x").await;
    }
    settled(&sender).await;
    let mut counts = vec![];
    for (_, subscriber) in &mut workers {
        counts.push(more(subscriber).await.len());
    }
    json!({"total": counts.iter().sum::<usize>(), "all": counts.iter().all(|count| *count > 30)})
}

async fn requests(servers: &Servers) -> Value {
    let (a, b) = (connect(servers).await, connect(servers).await);
    let mut asked = a.subscribe("rs.ask").await.expect("a subscription");
    let _silent = a.subscribe("rs.silent").await.expect("a subscription");
    settled(&a).await;
    tokio::spawn(async move {
        while let Some(message) = asked.next().await {
            if let Some(reply) = message.reply {
                a.publish(reply, message.payload).await.expect("a connection");
            }
        }
    });
    let answer = b.request("rs.ask", "x".into()).await.expect("an answer");
    let nobody = b.request("rs.nobody", "".into()).await.expect_err("nobody is there");
    let request = async_nats::Request::new().timeout(Some(QUIET));
    let silent = b.send_request("rs.silent", request).await.expect_err("nobody answers");
    json!([answer.payload, nobody.kind().to_string(), silent.kind().to_string()])
}

async fn headers(servers: &Servers) -> Value {
    let a = connect(servers).await;
    let mut subscriber = a.subscribe("rs.h").await.expect("a subscription");
    let mut headers = HeaderMap::new();
    headers.append("A", "1");
    headers.append("A", "2");
    headers.insert("b-C", "x: y");
    a.publish_with_headers("rs.h", headers, "body".into()).await.expect("a connection");
    let message = subscriber.next().await.expect("a message");
    let headers = message.headers.expect("headers");
    let all = |name: &str| headers.get_all(name).map(|value| value.as_str().to_owned()).collect::<Vec<_>>();
    json!([all("A"), all("b-C"), message.payload])
}

async fn unsubscribe_after(servers: &Servers) -> Value {
    let a = connect(servers).await;
    let mut subscriber = a.subscribe("rs.max").await.expect("a subscription");
    subscriber.unsubscribe_after(3).await.expect("a connection");
    for number in 0..6 {
        publish(&a, "rs.max", number.to_string()).await;
    }
    settled(&a).await;
    json!(more(&mut subscriber).await)
}

async fn drain(servers: &Servers) -> Value {
    let told = Told::default();
    let a = options(&told).connect(servers.address("open").to_string()).await.expect("a connection");
    let b = connect(servers).await;
    let mut subscriber = a.subscribe("rs.drain").await.expect("a subscription");
    settled(&a).await;
    for number in 0..10 {
        publish(&b, "rs.drain", number.to_string()).await;
    }
    settled(&b).await;
    a.drain().await.expect("a connection");
    json!(hear(&mut subscriber, 11).await)
}

async fn reconnect(servers: &Servers) -> Value {
    let upstream = servers.address("open");
    let proxy = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = proxy.local_addr().expect("an address").to_string();
    let open: Arc<Mutex<JoinSet<()>>> = Arc::default();
    let pumps = open.clone();
    let serving = tokio::spawn(async move {
        while let Ok((mut client, _)) = proxy.accept().await {
            pumps.lock().unwrap_or_else(PoisonError::into_inner).spawn(async move {
                let mut server = TcpStream::connect(upstream).await.expect("the broker");
                // how it ends is for both ends to see
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    let told = Told::default();
    let a = options(&told).connect(address).await.expect("a connection");
    let mut subscriber = a.subscribe("rs.again").await.expect("a subscription");
    settled(&a).await;
    open.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    while told.lock().unwrap_or_else(PoisonError::into_inner).len() < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    settled(&a).await;
    let b = connect(servers).await;
    publish(&b, "rs.again", "after").await;
    let heard = hear(&mut subscriber, 1).await;
    serving.abort();
    let told = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
    json!((heard, told))
}

async fn too_large(servers: &Servers) -> Value {
    let a = connect(servers).await;
    let max = a.server_info().max_payload;
    let refused = a.publish("rs.large", vec![0; max + 1].into()).await.expect_err("too large");
    let mut subscriber = a.subscribe("rs.large").await.expect("a subscription");
    a.publish("rs.large", vec![b'x'; max].into()).await.expect("a connection");
    json!([max, refused.kind().to_string(), hear(&mut subscriber, 1).await[0].len()])
}

async fn no_echo(servers: &Servers) -> Value {
    let a = options(&Told::default()).no_echo().connect(servers.address("open").to_string()).await;
    let (a, b) = (a.expect("a connection"), connect(servers).await);
    let mut subscriber = a.subscribe("rs.echo").await.expect("a subscription");
    publish(&a, "rs.echo", "mine").await;
    a.flush().await.expect("a connection");
    // a ping of a client that hears no echo: the broker has taken what came before
    let _ = a.request("rs.nobody", "".into()).await;
    publish(&b, "rs.echo", "yours").await;
    json!((hear(&mut subscriber, 1).await, more(&mut subscriber).await))
}

async fn permissions(servers: &Servers) -> Value {
    let told = Told::default();
    let address = servers.address("users").to_string();
    let login = |name: &str, told: &Told| options(told).user_and_password(name.into(), format!("pw-{name}"));
    let boss = login("alice", &Told::default()).connect(&address).await.expect("a connection");
    let a = login("limited", &told).connect(&address).await.expect("a connection");
    let mut everything = boss.subscribe("*.ok").await.expect("a subscription");
    settled(&boss).await;
    publish(&a, "out.ok", "1").await;
    publish(&a, "other.ok", "2").await;
    let mut heard = a.subscribe("in.*").await.expect("a subscription");
    let _denied = a.subscribe("other").await.expect("a subscription");
    a.flush().await.expect("a connection");
    while told.lock().unwrap_or_else(PoisonError::into_inner).len() < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    publish(&boss, "in.secret", "no").await;
    publish(&boss, "in.a", "yes").await;
    let heard = hear(&mut heard, 1).await;
    let told = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
    json!((hear(&mut everything, 1).await, heard, told))
}

async fn credentials(servers: &Servers) -> Value {
    let told = Told::default();
    let (users, token) = (servers.address("users"), servers.address("token"));
    let password =
        |user: &str, password: &str| options(&told).user_and_password(user.into(), password.into());
    let nkey = |seed: [u8; 32], claimed: [u8; 32]| {
        ConnectOptions::with_auth_callback(move |nonce| {
            let mut auth = async_nats::Auth::new();
            auth.nkey = Some(pair(&claimed).1.to_string());
            auth.signature = Some(pair(&seed).0.sign(&nonce).as_ref().to_vec());
            async move { Ok(auth) }
        })
    };
    let [known, foreign] = servers.nkeys;
    json!({
        "password": attempt(password("alice", "pw-alice"), users).await,
        "wrong password": attempt(password("alice", "x"), users).await,
        "no password": attempt(options(&told), users).await,
        "token": attempt(options(&told).token(TOKEN.into()), token).await,
        "wrong token": attempt(options(&told).token("x".into()), token).await,
        "nkey": attempt(nkey(known, known), users).await,
        "foreign nkey": attempt(nkey(foreign, foreign), users).await,
        "wrong signature": attempt(nkey(foreign, known), users).await,
    })
}

async fn mutual_tls(servers: &Servers) -> Value {
    let file = |name: &str| servers.certificates.join(name);
    let trusting = || options(&Told::default()).require_tls(true).add_root_certificates(file("ca.pem"));
    let with = |name: &str| {
        trusting().add_client_certificate(file(&format!("{name}.pem")), file(&format!("{name}-key.pem")))
    };
    let address = servers.address("tls");
    let mut result = vec![attempt(with("client"), address).await];
    for options in [with("foreign"), trusting()] {
        // TLS 1.3 clients learn of it at their first read or write: how, is chance
        result.push(json!(attempt(options, address).await == json!(true)));
    }
    json!(result)
}
