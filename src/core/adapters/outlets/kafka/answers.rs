//! What brokers answer, which may be anything: the library takes a broker at its word and
//! makes room for as many entries as it announces. So the shape of an answer is walked
//! first, without making room for anything; only what has all the bytes it announces is
//! handed to the library. Asked for are versions without the later, variable encoding:
//! every broker since 2018 speaks them, and shapes are simple.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, InitProducerIdRequest, InitProducerIdResponse,
    MetadataRequest, MetadataResponse, ProduceRequest, ProduceResponse, SaslAuthenticateRequest,
    SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};

/// What an answer consists of.
pub(super) enum Shape {
    /// So many bytes.
    Fixed(usize),
    /// A text, or none, behind its length of two bytes.
    Text,
    /// Bytes, or none, behind their length of four.
    Blob,
    /// Any number of these, behind the number.
    Many(Vec<Shape>),
}

/// Why an answer cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("it ends too early")]
    Short,
    #[error("it announces more than it holds")]
    Count,
    #[error("its texts are none, or it is none at all")]
    Content,
}

/// A question.
pub(super) trait Question: Encodable + HeaderVersion {
    /// What it is to brokers.
    const KEY: ApiKey;
    /// What is answered.
    type Answer: Answer;
}

macro_rules! questions {
    ($($question:ident: $key:ident => $answer:ident),* $(,)?) => {
        $(impl Question for $question {
            const KEY: ApiKey = ApiKey::$key;
            type Answer = $answer;
        })*
    };
}

questions! {
    ApiVersionsRequest: ApiVersions => ApiVersionsResponse,
    SaslHandshakeRequest: SaslHandshake => SaslHandshakeResponse,
    SaslAuthenticateRequest: SaslAuthenticate => SaslAuthenticateResponse,
    MetadataRequest: Metadata => MetadataResponse,
    InitProducerIdRequest: InitProducerId => InitProducerIdResponse,
    ProduceRequest: Produce => ProduceResponse,
}

/// An answer that can be asked for.
pub(super) trait Answer: Decodable {
    /// Versions that are asked for.
    const SPOKEN: (i16, i16);
    /// Bytes it may have.
    const MOST: usize = 256 * 1024;
    /// What it consists of.
    fn shape(version: i16) -> Vec<Shape>;
}

use Shape::{Blob, Fixed, Many, Text};

impl Answer for ApiVersionsResponse {
    const SPOKEN: (i16, i16) = (0, 0);
    fn shape(_: i16) -> Vec<Shape> {
        vec![Fixed(2), Many(vec![Fixed(6)])]
    }
}

impl Answer for SaslHandshakeResponse {
    const SPOKEN: (i16, i16) = (1, 1);
    fn shape(_: i16) -> Vec<Shape> {
        vec![Fixed(2), Many(vec![Text])]
    }
}

impl Answer for SaslAuthenticateResponse {
    const SPOKEN: (i16, i16) = (0, 1);
    fn shape(version: i16) -> Vec<Shape> {
        vec![Fixed(2), Text, Blob, Fixed(if version >= 1 { 8 } else { 0 })]
    }
}

impl Answer for InitProducerIdResponse {
    const SPOKEN: (i16, i16) = (0, 1);
    fn shape(_: i16) -> Vec<Shape> {
        vec![Fixed(4 + 2 + 8 + 2)]
    }
}

impl Answer for MetadataResponse {
    /// From 4 on nobody makes a topic by asking for it.
    const SPOKEN: (i16, i16) = (4, 8);
    const MOST: usize = 8 * 1024 * 1024;
    fn shape(version: i16) -> Vec<Shape> {
        let nodes = || Many(vec![Fixed(4)]);
        let mut partition = vec![Fixed(2 + 4 + 4 + if version >= 7 { 4 } else { 0 }), nodes(), nodes()];
        if version >= 5 {
            partition.push(nodes());
        }
        let rights = || Fixed(if version >= 8 { 4 } else { 0 });
        let topic = vec![Fixed(2), Text, Fixed(1), Many(partition), rights()];
        let broker = vec![Fixed(4), Text, Fixed(4), Text];
        vec![Fixed(4), Many(broker), Text, Fixed(4), Many(topic), rights()]
    }
}

impl Answer for ProduceResponse {
    const SPOKEN: (i16, i16) = (3, 8);
    const MOST: usize = 8 * 1024 * 1024;
    fn shape(version: i16) -> Vec<Shape> {
        let mut partition = vec![Fixed(4 + 2 + 8 + 8 + if version >= 5 { 8 } else { 0 })];
        if version >= 8 {
            partition.extend([Many(vec![Fixed(4), Text]), Text]);
        }
        vec![Many(vec![Text, Many(partition)]), Fixed(4)]
    }
}

/// Reads an answer, the bytes behind the header.
pub(super) fn read<A: Answer>(bytes: &Bytes, version: i16) -> Result<A, Malformed> {
    let mut rest = &bytes[..];
    for shape in A::shape(version) {
        walk(&shape, &mut rest)?;
    }
    let decoded = catch_unwind(AssertUnwindSafe(|| A::decode(&mut bytes.clone(), version)));
    decoded.ok().and_then(Result::ok).ok_or(Malformed::Content)
}

fn walk(shape: &Shape, rest: &mut &[u8]) -> Result<(), Malformed> {
    match shape {
        Fixed(bytes) => skip(rest, *bytes),
        Text => {
            let length = i16::from_be_bytes(front(rest)?);
            skip(rest, usize::try_from(length).unwrap_or(0))
        }
        Blob => {
            let length = i32::from_be_bytes(front(rest)?);
            skip(rest, usize::try_from(length).unwrap_or(0))
        }
        Many(shapes) => {
            let count = usize::try_from(i32::from_be_bytes(front(rest)?)).map_err(|_| Malformed::Count)?;
            if count > rest.len() / least(shapes).max(1) {
                return Err(Malformed::Count);
            }
            for _ in 0..count {
                for shape in shapes {
                    walk(shape, rest)?;
                }
            }
            Ok(())
        }
    }
}

/// Bytes that these have at least.
fn least(shapes: &[Shape]) -> usize {
    let of = |shape: &Shape| match shape {
        Fixed(bytes) => *bytes,
        Text => 2,
        Blob | Many(_) => 4,
    };
    shapes.iter().map(of).sum()
}

fn front<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (front, behind) = rest.split_first_chunk().ok_or(Malformed::Short)?;
    *rest = behind;
    Ok(*front)
}

fn skip(rest: &mut &[u8], bytes: usize) -> Result<(), Malformed> {
    *rest = rest.get(bytes..).ok_or(Malformed::Short)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All answers in all versions that are asked for.
    fn all(bytes: &Bytes) -> usize {
        fn of<A: Answer>(bytes: &Bytes) -> usize {
            (A::SPOKEN.0..=A::SPOKEN.1).filter(|version| read::<A>(bytes, *version).is_ok()).count()
        }
        of::<ApiVersionsResponse>(bytes)
            + of::<SaslHandshakeResponse>(bytes)
            + of::<SaslAuthenticateResponse>(bytes)
            + of::<InitProducerIdResponse>(bytes)
            + of::<MetadataResponse>(bytes)
            + of::<ProduceResponse>(bytes)
    }

    #[test]
    fn any_answer_is_read_or_refused() {
        bolero::check!().with_iterations(20_000).with_type::<Vec<u8>>().for_each(|bytes| {
            all(&Bytes::copy_from_slice(bytes));
        });
    }

    /// Shapes that random bytes never have: small numbers where numbers are.
    #[test]
    fn any_answer_that_looks_like_one_is_read_or_refused() {
        let mut read = 0;
        bolero::check!().with_iterations(20_000).with_type::<Vec<u8>>().for_each(|bytes| {
            let small: Vec<u8> = bytes.iter().flat_map(|byte| [0, 0, 0, byte % 4]).collect();
            all(&Bytes::from(small));
        });
        let zeros = Bytes::from(vec![0; 64]);
        read += all(&zeros);
        assert_eq!(read, 1 + 1 + 2 + 2 + 5 + 6);
    }

    #[test]
    fn what_is_announced_and_not_there_takes_no_room() {
        // A topic with two thousand million partitions.
        let mut bytes = vec![0; 4 + 4 + 2 + 4];
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 1, b't', 0, 0x7f, 0xff, 0xff, 0xff]);
        bytes.extend([0; 64]);
        assert_eq!(read::<MetadataResponse>(&Bytes::from(bytes), 8).unwrap_err(), Malformed::Count);
        let negative = Bytes::from_static(&[0, 0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(read::<ApiVersionsResponse>(&negative, 0).unwrap_err(), Malformed::Count);
        assert_eq!(read::<ProduceResponse>(&Bytes::new(), 8).unwrap_err(), Malformed::Short);
        let no_text = Bytes::from_static(&[0, 0, 0, 0, 0, 1, 0, 2, 0xff, 0xff]);
        assert_eq!(read::<SaslHandshakeResponse>(&no_text, 1).unwrap_err(), Malformed::Content);
    }
}
