//! Subscription ids: short texts chosen by clients, kept without allocation.

/// Longest id kept inline.
const INLINE: usize = 22;

/// A subscription id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sid {
    /// Up to 22 bytes, as every known client chooses.
    Inline(u8, [u8; INLINE]),
    /// Longer ones.
    Heap(Box<[u8]>),
}

impl Sid {
    /// Keeps an id.
    pub fn new(text: &[u8]) -> Self {
        let mut bytes = [0; INLINE];
        match bytes.get_mut(..text.len()) {
            Some(front) => {
                front.copy_from_slice(text);
                Self::Inline(text.len() as u8, bytes)
            }
            None => Self::Heap(text.into()),
        }
    }

    /// The id as the client wrote it.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Heap(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long() {
        for length in [0, 1, 22, 23, 4000] {
            let text = vec![b'7'; length];
            let sid = Sid::new(&text);
            assert_eq!(sid.as_bytes(), text);
            assert_eq!(matches!(sid, Sid::Inline(..)), length <= INLINE);
        }
        assert_eq!(size_of::<Sid>(), 24);
    }
}
