//! Names of tokens: 20 bytes, the first four of which are a time, in base 62.
//! Brokers reject a trust chain whose names do not begin with the time of issue (spec 05 §8.3).

/// Seconds between the unix epoch and that of these names.
const EPOCH: i64 = 1_400_000_000;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Length of a name.
const LENGTH: usize = 27;

/// The name for `time` (unix seconds) with this random part.
pub fn ksuid(time: i64, random: [u8; 16]) -> String {
    let mut number = [0; 20];
    let seconds = u32::try_from((time - EPOCH).max(0)).unwrap_or(u32::MAX);
    number[..4].copy_from_slice(&seconds.to_be_bytes());
    number[4..].copy_from_slice(&random);
    let mut text = [b'0'; LENGTH];
    for place in text.iter_mut().rev() {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = rest * 256 + u32::from(*byte);
            *byte = (value / 62) as u8;
            rest = value % 62;
        }
        *place = DIGITS[rest as usize];
    }
    text.iter().map(|byte| char::from(*byte)).collect()
}

/// The time in a name; none if it is no such name.
pub fn time_of(name: &str) -> Option<i64> {
    if name.len() != LENGTH {
        return None;
    }
    let mut number = [0_u8; 20];
    for digit in name.bytes() {
        let mut carry = DIGITS.iter().position(|known| *known == digit)? as u32;
        for byte in number.iter_mut().rev() {
            let value = u32::from(*byte) * 62 + carry;
            *byte = value as u8;
            carry = value >> 8;
        }
        if carry > 0 {
            return None;
        }
    }
    let seconds = u32::from_be_bytes([number[0], number[1], number[2], number[3]]);
    Some(i64::from(seconds) + EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_original_hold_their_time() {
        // iat and jti of a token the original made
        assert_eq!(time_of("37d9ISyt9TtxgPUpjWbH0NyUQOa"), Some(1_767_222_000));
        assert_eq!(time_of(&ksuid(1_767_222_000, [255; 16])), Some(1_767_222_000));
        assert_eq!(ksuid(1_767_222_000, [0; 16]).len(), 27);
        assert_eq!(time_of("aWgEPTl1tmebfsQzFP4bxwgy80V"), Some(EPOCH + i64::from(u32::MAX)));
        for junk in
            ["", "37d9ISyt9TtxgPUpjWbH0NyUQO", "37d9ISyt9TtxgPUpjWbH0NyUQO-", "zzzzzzzzzzzzzzzzzzzzzzzzzzz"]
        {
            assert_eq!(time_of(junk), None, "{junk}");
        }
    }
}
