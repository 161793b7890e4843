//! `plugin.choria.adapter.NAME.kinesis.*`: which stream of AWS Kinesis.

use std::path::PathBuf;

use super::{AdapterError, Lines};

/// Longest name of a stream.
const STREAM: usize = 128;

/// A stream of Kinesis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kinesis {
    /// Its name.
    pub stream: String,
    /// Region it is in.
    pub region: String,
    /// Where it is reached, where that is not the region's address.
    pub endpoint: Option<String>,
    /// File of the keys; the environment has them where unset.
    pub credentials: Option<PathBuf>,
}

pub(super) fn of(lines: &Lines<'_>) -> Result<Kinesis, AdapterError> {
    let stream = ["kinesis.stream", "stream.topic"].into_iter().find_map(|key| Some((key, lines.some(key)?)));
    let (key, stream) = stream.unwrap_or(("kinesis.stream", lines.name));
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if !stream.bytes().all(letter) || stream.len() > STREAM {
        let problem = format!(
            "is '{stream}', which is no stream of Kinesis: letters, digits, '.', '_' and '-', {STREAM} at most"
        );
        return Err(lines.wrong(key, &problem));
    }
    let region = lines.needed("kinesis.region")?;
    if !region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Err(
            lines.wrong("kinesis.region", &format!("is '{region}', which is no region, as eu-west-1 is"))
        );
    }
    Ok(Kinesis {
        stream: stream.to_owned(),
        region: region.to_owned(),
        endpoint: lines.some("kinesis.endpoint").map(str::to_owned),
        credentials: lines.some("kinesis.credentials_file").map(PathBuf::from),
    })
}
