//! A whole stream in a file, and back: the chunks that the server makes of it and takes again.
//!
//! The layout is that of the `nats` tool and of the original: `backup.json` says what it is of,
//! `stream.tar.s2` is what the server sent.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::asking::Streams;
use super::error::{Refusal, StreamError};

/// What a backup is of.
pub const DESCRIPTION: &str = "backup.json";
/// What it holds.
pub const CONTENTS: &str = "stream.tar.s2";
/// Bytes of a chunk.
const CHUNK: usize = 128 * 1024;
/// How long the next chunk is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Chunks on their way; the server waits for acknowledgements of its own.
const WAITING: usize = 256;

/// A stream could not be carried away, or back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Asking did not work.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The file.
    #[error("the file of the backup: {0}")]
    File(#[from] std::io::Error),
    /// The server stopped.
    #[error("the server sent nothing for {} s, the backup is not complete", PATIENCE.as_secs())]
    Silent,
    /// It says why.
    #[error("the server ended the backup: {0}")]
    Ended(String),
    /// Not what it is to be.
    #[error("the description of the backup has no {0}")]
    Description(&'static str),
}

/// Writes what `stream` holds, and returns its description and how many bytes there were.
///
/// # Errors
/// [`BackupError`]; what was written then is nothing.
pub async fn save(
    streams: &Streams,
    stream: &str,
    file: &mut (impl AsyncWrite + Unpin),
) -> Result<(Value, u64), BackupError> {
    let deliver = streams.inbox();
    let (sink, mut chunks) = mpsc::channel(WAITING);
    let session = streams.session();
    let id = session.subscribe_into(deliver.clone(), None, sink).await;
    let _subscription = session.ending(id);
    let body = json!({"deliver_subject": deliver, "chunk_size": CHUNK, "no_consumers": true});
    let answer = streams.api(&format!("STREAM.SNAPSHOT.{stream}"), &body).await?;
    let mut size = 0;
    loop {
        let chunk = tokio::time::timeout(PATIENCE, chunks.recv()).await;
        let Ok(Some(chunk)) = chunk else { return Err(BackupError::Silent) };
        if chunk.payload.is_empty() {
            match chunk.status.map(|status| status.as_u16()) {
                None | Some(204) => break,
                Some(code) => {
                    let said = chunk.description.unwrap_or_default().to_string();
                    return Err(BackupError::Ended(format!("{said} ({code})")));
                }
            }
        }
        file.write_all(&chunk.payload).await?;
        size += chunk.payload.len() as u64;
        if let Some(back) = chunk.reply {
            let sent = session.publish(back.to_string(), Bytes::new()).await;
            sent.map_err(|error| StreamError::Publish(back.to_string(), error))?;
        }
    }
    file.flush().await?;
    Ok((json!({"config": answer["config"], "state": answer["state"]}), size))
}

/// Makes the stream of a backup again.
///
/// # Errors
/// [`BackupError`]: where there is one of that name, too.
pub async fn restore(
    streams: &Streams,
    description: &Value,
    file: &mut (impl AsyncRead + Unpin),
) -> Result<Value, BackupError> {
    let stream =
        description["config"]["name"].as_str().ok_or(BackupError::Description("name of a stream"))?;
    let body = json!({"config": description["config"], "state": description["state"]});
    let answer = streams.api(&format!("STREAM.RESTORE.{stream}"), &body).await?;
    let deliver =
        answer["deliver_subject"].as_str().ok_or(BackupError::Description("place to restore to"))?;
    let streams = streams.within(PATIENCE);
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = file.read(&mut chunk).await?;
        let said = streams.ask(deliver, &[], Bytes::copy_from_slice(&chunk[..read])).await?;
        let said: Value = match said.payload.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&said.payload)
                .map_err(|error| StreamError::Odd(deliver.to_owned(), error.to_string()))?,
        };
        if let Some(error) = said.get("error").filter(|error| !error.is_null()) {
            let refusal = serde_json::from_value::<Refusal>(error.clone())
                .map_err(|_| BackupError::Ended(error.to_string()))?;
            return Err(StreamError::Refused { what: format!("STREAM.RESTORE.{stream}"), refusal }.into());
        }
        if read == 0 {
            return Ok(said);
        }
    }
}
