//! Addresses of networks.

use std::net::IpAddr;

use super::{Builtin, Call, plain};
use crate::evaluator::{Evaluator, Outcome, Raise};
use crate::value::Value;

pub(super) const FUNCTIONS: &[Builtin] = &[plain("ip_in_range", 2, 2, in_range)];

/// Whether an address, or a network, is within a network or one of several.
fn in_range(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let address = network(&call, 0, call.get(0))?;
    let ranges = match call.get(1) {
        Value::Array(items) => items.to_vec(),
        one => vec![one.clone()],
    };
    ev.work(ranges.len() as u64)?;
    let mut within = false;
    for range in &ranges {
        let range = network(&call, 1, range)?;
        within |= range.v4 == address.v4 && range.first <= address.first && address.last <= range.last;
    }
    Ok(Value::Boolean(within))
}

/// First and last address, as numbers.
struct Network {
    v4: bool,
    first: u128,
    last: u128,
}

fn network(call: &Call<'_>, at: usize, value: &Value) -> Outcome<Network> {
    let Value::String(text) = value else { return Err(call.mismatch(at, "Stdlib::IP::Address")) };
    let wrong = || {
        Raise::new(format!("ip_in_range(): '{text}' is neither an address nor a network, such as 10.0.0.0/8"))
    };
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text.as_str(), None),
    };
    let (number, bits, v4) = match address.parse::<IpAddr>().map_err(|_| wrong())? {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32u32, true),
        IpAddr::V6(v6) => (u128::from(v6), 128, false),
    };
    let length: u32 = match length {
        None => bits,
        Some(length) => length.parse().ok().filter(|length| *length <= bits).ok_or_else(wrong)?,
    };
    // the bits that are of a host
    let host = match bits - length {
        0 => 0,
        left => u128::MAX >> (128 - left),
    };
    Ok(Network { v4, first: number & !host, last: number | host })
}
