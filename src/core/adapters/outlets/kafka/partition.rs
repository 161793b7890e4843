//! Which partition a key belongs to, as Kafka's own clients say: MurmurHash2 of the key,
//! by the number of partitions. Whoever else writes the topic finds a node at the same place.

/// The partition of `key` of `count`; 0 where there is none.
pub(super) fn partition(key: &[u8], count: i32) -> i32 {
    let positive = murmur2(key) & 0x7fff_ffff;
    i32::try_from(positive).ok().and_then(|hash| hash.checked_rem(count)).unwrap_or(0)
}

/// MurmurHash2 of 32 bits, with Kafka's seed.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const MIX: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ (data.len() as u32);
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let word = u32::from_le_bytes(*word).wrapping_mul(MIX);
        hash = hash.wrapping_mul(MIX) ^ (word ^ (word >> 24)).wrapping_mul(MIX);
    }
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(MIX);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Kafka's own client of version 3.9.1 gives: hashes, and partitions of 6 and of 50.
    const HASHES: [(&str, i32); 10] = [
        ("", 275646681),
        ("a", -1563381124),
        ("ab", 316155434),
        ("abc", 479470107),
        ("abcd", -1323649548),
        ("n1.example.net", -817256529),
        ("n2.example.net", -861440724),
        ("web-17.prod.example.com", 525122355),
        ("ä-ö.example.net", -1588791554),
        ("0123456789abcdef0123456789abcdef", 81657833),
    ];
    const PARTITIONS: [(&str, i32, i32); 10] = [
        ("", 3, 31),
        ("a", 4, 24),
        ("ab", 2, 34),
        ("abc", 3, 7),
        ("abcd", 2, 0),
        ("n1.example.net", 5, 19),
        ("n2.example.net", 2, 24),
        ("web-17.prod.example.com", 3, 5),
        ("ä-ö.example.net", 0, 44),
        ("0123456789abcdef0123456789abcdef", 5, 33),
    ];

    #[test]
    fn keys_have_the_partitions_of_other_clients() {
        for (key, hash) in HASHES {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
        for (key, of_six, of_fifty) in PARTITIONS {
            assert_eq!(
                (partition(key.as_bytes(), 6), partition(key.as_bytes(), 50)),
                (of_six, of_fifty),
                "{key}"
            );
        }
        assert_eq!((partition(b"x", 0), partition(b"x", 1)), (0, 0));
    }
}
