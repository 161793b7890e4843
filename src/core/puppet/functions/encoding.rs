//! Bytes as text, and digests.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};

use super::{Builtin, Call, plain};
use crate::evaluator::{Evaluator, Outcome, Raise};
use crate::value::Value;

pub(super) const FUNCTIONS: &[Builtin] = &[
    plain("base64", 2, 3, base64),
    plain("sha256", 1, 1, |ev, call| {
        let text = text_of(ev, &call)?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        ev.text(hex(digest.as_ref()))
    }),
    plain("md5", 1, 1, |ev, call| {
        let text = text_of(ev, &call)?;
        ev.text(hex(&md5(text.as_bytes())))
    }),
    plain("seeded_rand", 2, 2, |_, call| {
        let (max, seed) = (call.integer(0)?, call.text(1)?);
        if max < 1 {
            return Err(Raise::new("seeded_rand() parameter 1 expects an Integer[1] value"));
        }
        Ok(Value::Integer(seeded(max, &seed)))
    }),
    plain("binary_file", 1, 1, |ev, call| match super::files::content(ev, &call)? {
        Some(bytes) => Ok(Value::binary(bytes, &ev.budget)?),
        None => Err(super::files::missing(&call)),
    }),
];

fn text_of(ev: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome<crate::value::Text> {
    let text = match call.get(0) {
        Value::Sensitive(inner) => ev.shown(inner.reveal())?,
        other => ev.shown(other)?,
    };
    ev.work(1 + text.len() as u64 / 32)?;
    Ok(text)
}

fn md5(bytes: &[u8]) -> [u8; 16] {
    use md5::Digest;
    md5::Md5::digest(bytes).into()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The same for the same seed, and below the bound; not the number that Ruby draws.
fn seeded(max: i64, seed: &str) -> i64 {
    let digest = md5(seed.as_bytes());
    let number = u128::from_be_bytes(digest) % u128::from(max.unsigned_abs());
    i64::try_from(number).unwrap_or(0)
}

/// Base64 with or without line ends.
pub(super) fn decoded(text: &str) -> Result<Vec<u8>, String> {
    let dense: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = STANDARD
        .decode(&dense)
        .or_else(|_| STANDARD_NO_PAD.decode(&dense))
        .or_else(|_| URL_SAFE.decode(&dense));
    bytes.map_err(|e| format!("this is not base64: {e}"))
}

fn base64(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let (action, text) = (call.text(0)?, call.text(1)?);
    let method = if call.has(2) { call.text(2)?.to_string() } else { "default".to_owned() };
    ev.work(1 + text.len() as u64 / 16)?;
    match action.as_str() {
        "encode" => {
            let encoded = match method.as_str() {
                // lines of sixty, as Ruby has them
                "default" => {
                    let dense = STANDARD.encode(text.as_bytes());
                    let lines = dense.as_bytes().chunks(60).map(|line| String::from_utf8_lossy(line) + "\n");
                    lines.collect()
                }
                "strict" => STANDARD.encode(text.as_bytes()),
                "urlsafe" => URL_SAFE.encode(text.as_bytes()),
                other => {
                    return Err(Raise::new(format!(
                        "base64(): the method is default, strict or urlsafe, not '{other}'"
                    )));
                }
            };
            ev.text(encoded)
        }
        "decode" => {
            let bytes = decoded(&text).map_err(|e| Raise::new(format!("base64(): {e}")))?;
            ev.text(String::from_utf8_lossy(&bytes).into_owned())
        }
        other => Err(Raise::new(format!("base64(): the action is encode or decode, not '{other}'"))),
    }
}
