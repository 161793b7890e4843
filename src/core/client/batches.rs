//! Part of the fleet instead of all of it: limits and batches (spec 03 §6.4).

use std::str::FromStr;

/// How many of the discovered nodes are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// So many; more than there are means all.
    Nodes(usize),
    /// So many percent, rounded up: of a few nodes, too, some are meant.
    Percent(usize),
}

/// How the limited nodes are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitMethod {
    /// The first in order of discovery.
    First,
    /// A random choice; the same seed gives the same choice among the same
    /// nodes, in whatever order they answered.
    Random {
        /// `None` for a new choice each time.
        seed: Option<u64>,
    },
}

/// A limit that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// Neither `5` nor `10%`.
    #[error("could not parse limit '{0}' as either number or percent, write 5 or 10%")]
    Malformed(String),
    /// Nothing is left to ask.
    #[error("no targets left after applying target limits of '{0}'")]
    Nothing(String),
}

impl FromStr for Limit {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Limit, LimitError> {
        let (digits, percent) = match text.strip_suffix('%') {
            Some(digits) => (digits, true),
            None => (text, false),
        };
        let malformed = || LimitError::Malformed(text.to_owned());
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(malformed());
        }
        let number = digits.parse().map_err(|_| malformed())?;
        if number == 0 {
            return Err(LimitError::Nothing(text.to_owned()));
        }
        Ok(if percent { Limit::Percent(number) } else { Limit::Nodes(number) })
    }
}

impl Limit {
    /// The nodes to ask.
    pub fn apply(self, mut nodes: Vec<String>, method: LimitMethod) -> Result<Vec<String>, LimitError> {
        let (count, text) = match self {
            Limit::Nodes(count) => (count, count.to_string()),
            Limit::Percent(percent) => {
                (nodes.len().saturating_mul(percent).div_ceil(100), format!("{percent}%"))
            }
        };
        if count == 0 {
            return Err(LimitError::Nothing(text));
        }
        if let LimitMethod::Random { seed } = method {
            nodes.sort();
            seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed).shuffle(&mut nodes);
        }
        nodes.truncate(count);
        Ok(nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("n{i}")).collect()
    }

    #[test]
    fn limits_take_a_number_or_a_share() {
        let apply = |text: &str, n| text.parse::<Limit>().and_then(|l| l.apply(nodes(n), LimitMethod::First));
        assert_eq!(apply("2", 5).unwrap(), ["n0", "n1"]);
        assert_eq!(apply("9", 5).unwrap().len(), 5, "more than there are means all");
        assert_eq!(apply("50%", 5).unwrap().len(), 3);
        assert_eq!(apply("10%", 5).unwrap(), ["n0"], "a share of nobody is none");
        assert_eq!(
            apply("0%", 5).unwrap_err().to_string(),
            "no targets left after applying target limits of '0%'"
        );
        for bad in ["", "%", "-1", "x", "1.5", "5 %", "99999999999999999999999"] {
            assert!(matches!(apply(bad, 5), Err(LimitError::Malformed(_))), "{bad}");
        }
        assert!(matches!(apply("0", 5), Err(LimitError::Nothing(_))));
    }

    #[test]
    fn a_seed_makes_the_choice_repeatable() {
        let pick =
            |order: Vec<String>| Limit::Nodes(3).apply(order, LimitMethod::Random { seed: Some(7) }).unwrap();
        let mut reversed = nodes(20);
        reversed.reverse();
        assert_eq!(pick(nodes(20)), pick(reversed));
    }
}
