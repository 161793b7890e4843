//! Times and durations in nats-server's words.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The time `ago` before `now`; times that cannot be are `now`.
pub fn before(now: Timestamp, ago: Duration) -> Timestamp {
    SignedDuration::try_from(ago).ok().and_then(|ago| now.checked_sub(ago).ok()).unwrap_or(now)
}

/// The time `later` than `start`; times that cannot be are `start`.
pub fn after(start: Timestamp, later: Duration) -> Timestamp {
    SignedDuration::try_from(later).ok().and_then(|later| start.checked_add(later).ok()).unwrap_or(start)
}

/// `1d2h3m4s`, leading units left out; years of 365 days.
pub fn uptime(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let years = days / 365;
    let small = |from: usize| {
        let parts = [format!("{}d", days % 365), format!("{}h", hours % 24), format!("{}m", minutes % 60)];
        format!("{}{}s", parts.get(from..).unwrap_or_default().concat(), seconds % 60)
    };
    match (years, days, hours, minutes) {
        (0, 0, 0, 0) => small(3),
        (0, 0, 0, _) => small(2),
        (0, 0, _, _) => small(1),
        (0, ..) => small(0),
        _ => format!("{years}y{}", small(0)),
    }
}

/// A round trip as Go writes durations: `538µs`, `2.136ms`, `1.5s`.
pub fn trip(duration: Duration) -> String {
    let micros = duration.as_micros();
    let (whole, part, unit) = match micros {
        0..1_000 => return format!("{micros}µs"),
        1_000..1_000_000 => (micros / 1_000, micros % 1_000 * 1_000, "ms"),
        _ => (micros / 1_000_000, micros % 1_000_000, "s"),
    };
    let minutes = if unit == "s" { whole / 60 } else { 0 };
    let front = if minutes > 0 { format!("{minutes}m{}", whole % 60) } else { whole.to_string() };
    match format!("{part:06}").trim_end_matches('0') {
        "" => format!("{front}{unit}"),
        part => format!("{front}.{part}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptimes() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (1965, "32m45s"),
            (3600, "1h0m0s"),
            (93_784, "1d2h3m4s"),
            (366 * 86_400, "1y1d0h0m0s"),
        ] {
            assert_eq!(uptime(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn trips() {
        for (micros, text) in [
            (0, "0µs"),
            (538, "538µs"),
            (1_000, "1ms"),
            (2_136, "2.136ms"),
            (20_500, "20.5ms"),
            (1_500_000, "1.5s"),
            (61_000_001, "1m1.000001s"),
        ] {
            assert_eq!(trip(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn times_before() {
        let now = Timestamp::from_second(100).unwrap();
        assert_eq!(before(now, Duration::from_secs(1)), Timestamp::from_second(99).unwrap());
        assert_eq!(before(now, Duration::MAX), now);
    }
}
