//! How many want a message: counts by size. Pure.

/// Upper bounds of the sizes told apart; what is larger comes last.
pub const BOUNDS: [u64; 6] = [0, 1, 10, 100, 1_000, 10_000];

/// Messages by the number of subscriptions and queue groups that got them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FanOut {
    /// Those that 0, 1, at most 10, 100, 1,000 and 10,000 got, and more; not cumulative.
    pub messages: [u64; BOUNDS.len() + 1],
    /// Deliveries, all together.
    pub deliveries: u64,
}

impl FanOut {
    /// Counts a message.
    pub fn count(&mut self, size: usize) {
        let size = size as u64;
        let place = BOUNDS.partition_point(|bound| *bound < size);
        if let Some(messages) = self.messages.get_mut(place) {
            *messages += 1;
        }
        self.deliveries += size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_go_where_they_belong() {
        for (size, place) in [(0, 0), (1, 1), (2, 2), (10, 2), (11, 3), (10_000, 5), (10_001, 6)] {
            let mut fan_out = FanOut::default();
            fan_out.count(size);
            assert_eq!(fan_out.messages.iter().position(|count| *count == 1), Some(place), "{size}");
            assert_eq!(fan_out.deliveries, size as u64);
        }
    }
}
