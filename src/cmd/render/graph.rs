//! A plot of when answers came.

use std::time::Duration;

/// Answers per bucket of 50 ms.
const BUCKET_MS: u128 = 50;
const HEIGHT: usize = 15;
const WIDTH: usize = 60;

/// Answers over time as columns; the last column holds everything later.
pub fn responses(times: &[Duration]) -> String {
    let mut buckets = vec![0_usize; WIDTH];
    let mut last = 0;
    for time in times {
        let bucket = usize::try_from(time.as_millis() / BUCKET_MS).unwrap_or(WIDTH).min(WIDTH - 1);
        buckets[bucket] += 1;
        last = last.max(bucket);
    }
    buckets.truncate(last + 1);
    let most = buckets.iter().copied().max().unwrap_or(0).max(1);
    let mut out = String::new();
    for row in (1..=HEIGHT.min(most)).rev() {
        let threshold = (most * row).div_ceil(HEIGHT.min(most));
        let line: String = buckets.iter().map(|n| if *n >= threshold { '█' } else { ' ' }).collect();
        out.push_str(&format!("{threshold:>7} ┤{}\n", line.trim_end()));
    }
    out.push_str(&format!("        └{}\n", "─".repeat(buckets.len().max(1))));
    out.push_str("         answers per 50 ms\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_grow_with_answers() {
        let times: Vec<Duration> = [10, 20, 60].map(Duration::from_millis).to_vec();
        assert_eq!(responses(&times), "      2 ┤█\n      1 ┤██\n        └──\n         answers per 50 ms\n");
        assert!(responses(&[Duration::from_secs(100)]).lines().all(|l| l.chars().count() <= WIDTH + 9));
    }
}
