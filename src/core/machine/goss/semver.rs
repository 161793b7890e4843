//! Versions and what is asked of them: `>=1.2.0 <2.0.0 || 3.x`, as goss takes it.

use std::cmp::Ordering;

/// A version: three numbers, and what comes before a release.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    numbers: [u64; 3],
    before: String,
}

impl Version {
    /// `1`, `v1.2` and `1.2.3-rc1+build` as well.
    fn parse(text: &str) -> Option<Version> {
        let text = text.trim().trim_start_matches('v');
        let text = text.split('+').next()?;
        let (numbers, before) = text.split_once('-').unwrap_or((text, ""));
        let mut all = [0; 3];
        let mut parts = numbers.split('.');
        for (at, slot) in all.iter_mut().enumerate() {
            match parts.next() {
                Some(part) => *slot = part.parse().ok()?,
                None if at > 0 => {}
                None => return None,
            }
        }
        parts.next().is_none().then(|| Version { numbers: all, before: before.to_owned() })
    }

    fn compare(&self, other: &Version) -> Ordering {
        let parts = |text: &str| -> Vec<String> { text.split('.').map(str::to_owned).collect() };
        self.numbers.cmp(&other.numbers).then_with(|| {
            match (self.before.is_empty(), other.before.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => {
                    let (ours, theirs) = (parts(&self.before), parts(&other.before));
                    let each =
                        ours.iter().zip(&theirs).map(|(a, b)| match (a.parse::<u64>(), b.parse::<u64>()) {
                            (Ok(a), Ok(b)) => a.cmp(&b),
                            (Ok(_), Err(_)) => Ordering::Less,
                            (Err(_), Ok(_)) => Ordering::Greater,
                            _ => a.cmp(b),
                        });
                    each.fold(Ordering::Equal, Ordering::then).then(ours.len().cmp(&theirs.len()))
                }
            }
        })
    }
}

#[derive(Debug)]
struct Comparison {
    how: &'static str,
    version: Version,
}

/// What is asked of a version.
#[derive(Debug)]
pub(super) struct Constraint {
    text: String,
    /// One of these, in which all must hold.
    any: Vec<Vec<Comparison>>,
}

impl Constraint {
    /// Reads one.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Constraint, String> {
        let wrong = || format!("{text} is no constraint of versions such as >=1.2.0 <2.0.0");
        let mut any = Vec::new();
        for part in text.split("||") {
            let mut all = Vec::new();
            // a blank may stand between an operator and its version
            let joined = ["<=", ">=", "!=", "==", "<", ">", "=", "!"]
                .iter()
                .fold(part.to_owned(), |text, operator| text.replace(&format!("{operator} "), operator));
            for word in joined.split_whitespace() {
                all.extend(comparisons(word).ok_or_else(wrong)?);
            }
            if all.is_empty() {
                return Err(wrong());
            }
            any.push(all);
        }
        Ok(Constraint { text: text.to_owned(), any })
    }

    /// As it stands in the rules.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a version is as asked; what is no version is not.
    pub fn allows(&self, version: &str) -> bool {
        let Some(version) = Version::parse(version) else { return false };
        let holds = |comparison: &Comparison| {
            let order = version.compare(&comparison.version);
            match comparison.how {
                ">" => order.is_gt(),
                ">=" => order.is_ge(),
                "<" => order.is_lt(),
                "<=" => order.is_le(),
                "!=" => order.is_ne(),
                _ => order.is_eq(),
            }
        };
        self.any.iter().any(|all| all.iter().all(holds))
    }
}

fn comparisons(word: &str) -> Option<Vec<Comparison>> {
    let operators = [
        (">=", ">="),
        ("<=", "<="),
        ("!=", "!="),
        ("==", "="),
        (">", ">"),
        ("<", "<"),
        ("!", "!="),
        ("=", "="),
    ];
    let (how, text) = operators
        .into_iter()
        .find_map(|(operator, how)| word.strip_prefix(operator).map(|rest| (how, rest)))
        .unwrap_or(("=", word));
    let wild = text.split('.').position(|part| matches!(part, "x" | "X" | "*"));
    let Some(wild) = wild else {
        return Some(vec![Comparison { how, version: Version::parse(text)? }]);
    };
    if how != "=" || wild > 2 {
        return None;
    }
    let fixed: Vec<u64> = text.split('.').take(wild).map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let mut low = [0; 3];
    low.iter_mut().zip(&fixed).for_each(|(slot, number)| *slot = *number);
    let from = Comparison { how: ">=", version: Version { numbers: low, before: String::new() } };
    let Some(last) = wild.checked_sub(1) else { return Some(vec![from]) };
    let mut high = low;
    let slot = high.get_mut(last)?;
    *slot = slot.checked_add(1)?;
    Some(vec![from, Comparison { how: "<", version: Version { numbers: high, before: String::new() } }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_are_kept() {
        for (constraint, version, well) in [
            (">1.0.0", "1.0.1", true),
            (">1.0.0 <1.1.0 || >=2", "2.0.0", true),
            (">1.0.0 <1.1.0 || >=2", "1.5.0", false),
            (">= 1.0.0 < 2.0.0", "1.5", true),
            ("1.2.x", "1.2.9", true),
            ("1.2.x", "1.3.0", false),
            ("!1.2.3", "1.2.3", false),
            ("=1.2.3", "v1.2.3", true),
            (">1.0.0-rc.2", "1.0.0-rc.10", true),
            (">=1.0.0", "1.0.0-rc1", false),
            (">=1.0.0", "what", false),
        ] {
            assert_eq!(
                Constraint::parse(constraint).unwrap().allows(version),
                well,
                "{constraint} {version}"
            );
        }
        for wrong in ["", "about 3", ">x", "1.2.3.4", "1..2", "||"] {
            assert!(Constraint::parse(wrong).is_err(), "{wrong}");
        }
        bolero::check!().with_iterations(3000).with_type::<(String, String)>().for_each(|(a, b)| {
            if let Ok(constraint) = Constraint::parse(a) {
                constraint.allows(b);
            }
        });
    }
}
