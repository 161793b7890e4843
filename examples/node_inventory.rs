//! A node inventory: keeps what each node said of itself last, in SQLite.
//!
//! ```text
//! cargo run --example node_inventory -- --port 8765 --database nodes.db
//! ```
//!
//! Fed by a data adapter of type `http` on this machine (docs/adapters.md). Each line of a
//! POST is a document; registration data is unpacked, other documents are kept as they are.
//! An older document never replaces a newer one, so being told twice does no harm. The same
//! in Python is `node_inventory.py`.

use std::io::Read;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::Connection;
use serde_json::Value;

/// Bytes of a batch, and of one inventory when it is unpacked.
const MOST: usize = 64 * 1024 * 1024;

/// keep what nodes say of themselves
#[derive(argh::FromArgs)]
struct Options {
    /// port to listen at on this machine, default 8765
    #[argh(option, default = "8765")]
    port: u16,
    /// where to keep it, default nodes.db
    #[argh(option, default = "PathBuf::from(\"nodes.db\")")]
    database: PathBuf,
}

/// What one document says.
struct Row {
    name: String,
    seen: String,
    inventory: String,
}

impl Row {
    /// The row of a line, of the original's form or a CloudEvent around it.
    fn of(line: &[u8]) -> anyhow::Result<Row> {
        let mut document: Value = serde_json::from_slice(line)?;
        if document.get("specversion").is_some() {
            document = document["data"].take();
        }
        let text = |key| document[key].as_str().with_context(|| format!("it has no {key}"));
        let (name, seen) = (text("sender")?.to_owned(), text("time")?.to_owned());
        Ok(Row { name, seen, inventory: inventory(text("data")?)?.to_string() })
    }
}

/// What registration data holds; what is no JSON is a text.
fn inventory(data: &str) -> anyhow::Result<Value> {
    let Ok(document) = serde_json::from_str::<Value>(data) else { return Ok(data.into()) };
    let packed = document.get("zcontent").and_then(Value::as_str);
    let file =
        document["protocol"].as_str().is_some_and(|p| p.starts_with("choria:registration:filecontent"));
    let content = match (packed, document.get("content")) {
        (Some(packed), _) => {
            let mut content = vec![];
            let packed = STANDARD.decode(packed)?;
            let mut unpacked = flate2::read::GzDecoder::new(&packed[..]).take(MOST as u64 + 1);
            unpacked.read_to_end(&mut content)?;
            anyhow::ensure!(content.len() <= MOST, "it is larger than {MOST} bytes");
            content
        }
        (None, Some(Value::String(content))) if file => STANDARD.decode(content)?,
        (None, Some(content)) => return Ok(content.clone()),
        (None, None) => return Ok(document),
    };
    Ok(serde_json::from_slice(&content).unwrap_or_else(|_| String::from_utf8_lossy(&content).into()))
}

/// Keeps rows, all or none.
fn keep(database: &mut Connection, rows: &[Row]) -> rusqlite::Result<()> {
    let transaction = database.transaction()?;
    for Row { name, seen, inventory } in rows {
        transaction.execute(
            "insert into nodes (name, seen, inventory) values (?1, ?2, ?3) on conflict (name) do update \
             set seen = excluded.seen, inventory = excluded.inventory where excluded.seen >= nodes.seen",
            [name, seen, inventory],
        )?;
    }
    transaction.commit()
}

/// A batch: 2xx takes all of it, 422 means never, 503 means later.
async fn take(State(database): State<Arc<Mutex<Connection>>>, body: Bytes) -> StatusCode {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let Ok(rows) = lines.map(Row::of).collect::<anyhow::Result<Vec<Row>>>() else {
        return StatusCode::UNPROCESSABLE_ENTITY;
    };
    let keeping = move || keep(&mut database.lock().unwrap_or_else(PoisonError::into_inner), &rows);
    match tokio::task::spawn_blocking(keeping).await {
        Ok(Ok(())) => StatusCode::NO_CONTENT,
        Ok(Err(error)) => {
            eprintln!("the database: {error}");
            StatusCode::SERVICE_UNAVAILABLE
        }
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options: Options = argh::from_env();
    let database = Connection::open(&options.database)?;
    database.execute_batch(
        "create table if not exists nodes (name text primary key, seen text, inventory text)",
    )?;
    let service = Router::new()
        .route("/", post(take))
        .layer(DefaultBodyLimit::max(MOST))
        .with_state(Arc::new(Mutex::new(database)));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, service).await?;
    Ok(())
}
