//! Versions and sets of them, as Puppet writes them: `>=1.2.3 <2`, `~1.0`, `1.x`.

use std::fmt;

/// A version by the rules of semver.org.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(semver::Version);

impl Version {
    /// Three numbers, and what may follow them.
    pub fn parse(text: &str) -> Option<Version> {
        if text.len() > 128 {
            return None;
        }
        semver::Version::parse(text).ok().map(Version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One bound: the versions on one side of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Bound {
    AtLeast(semver::Version),
    Above(semver::Version),
    AtMost(semver::Version),
    Below(semver::Version),
}

/// Versions between bounds; of several sets joined by `||`, those in any.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Range {
    text: String,
    any: Vec<Vec<Bound>>,
}

impl Range {
    /// The error says what is wrong.
    pub fn parse(text: &str) -> Result<Range, String> {
        if text.len() > 256 {
            return Err("a range of versions has more than 256 bytes".to_owned());
        }
        let any = text.split("||").map(all).collect::<Option<Vec<_>>>();
        match any {
            Some(any) => Ok(Range { text: text.trim().to_owned(), any }),
            None => {
                Err(format!("'{text}' is not a range of versions, as '>=1.2.3 <2', '~1.0' and '1.x' are"))
            }
        }
    }

    /// Whether a version is one of these. One before a release is so only when a bound
    /// names the same release.
    pub fn includes(&self, version: &Version) -> bool {
        let version = &version.0;
        self.any.iter().any(|bounds| {
            let within = bounds.iter().all(|bound| match bound {
                Bound::AtLeast(least) => version >= least,
                Bound::Above(limit) => version > limit,
                Bound::AtMost(most) => version <= most,
                Bound::Below(limit) => version < limit,
            });
            let same = |other: &semver::Version| {
                !other.pre.is_empty()
                    && (other.major, other.minor, other.patch)
                        == (version.major, version.minor, version.patch)
            };
            let named = || {
                bounds.iter().any(|bound| match bound {
                    Bound::AtLeast(v) | Bound::Above(v) | Bound::AtMost(v) | Bound::Below(v) => same(v),
                })
            };
            within && (version.pre.is_empty() || named())
        })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A version that may lack its end, as `1`, `1.2` and `1.x`: its numbers, and what follows.
struct Partial {
    numbers: Vec<u64>,
    rest: String,
}

impl Partial {
    fn parse(text: &str) -> Option<Partial> {
        let text = text.trim_start_matches('v');
        let end = text.find(['-', '+']).unwrap_or(text.len());
        let (numbers, rest) = text.split_at(end);
        let mut found = vec![];
        for (n, part) in numbers.split('.').enumerate() {
            if n > 2 {
                return None;
            }
            if matches!(part, "x" | "X" | "*") {
                break;
            }
            found.push(part.parse().ok().filter(|number| *number < 1 << 32)?);
        }
        let partial = Partial { numbers: found, rest: rest.to_owned() };
        (partial.rest.is_empty() || partial.numbers.len() == 3).then_some(partial)
    }

    fn lowest(&self) -> Option<semver::Version> {
        let number = |n: usize| self.numbers.get(n).copied().unwrap_or(0);
        semver::Version::parse(&format!("{}.{}.{}{}", number(0), number(1), number(2), self.rest)).ok()
    }

    /// The first version behind all that begin with the first numbers of this one.
    fn behind(&self, numbers: usize) -> semver::Version {
        let number = |n: usize| self.numbers.get(n).copied().unwrap_or(0);
        match numbers {
            1 => semver::Version::new(number(0) + 1, 0, 0),
            2 => semver::Version::new(number(0), number(1) + 1, 0),
            _ => semver::Version::new(number(0), number(1), number(2) + 1),
        }
    }

    fn is_whole(&self) -> bool {
        self.numbers.len() == 3
    }
}

/// Bounds that all hold.
fn all(text: &str) -> Option<Vec<Bound>> {
    if let Some((from, to)) = text.split_once(" - ") {
        let (from, to) = (Partial::parse(from.trim())?, Partial::parse(to.trim())?);
        let upper = match to.is_whole() {
            true => Bound::AtMost(to.lowest()?),
            false => Bound::Below(to.behind(to.numbers.len())),
        };
        return Some(vec![Bound::AtLeast(from.lowest()?), upper]);
    }
    // an operator may stand apart from its version
    let (mut words, mut held) = (vec![], String::new());
    for word in text.split_whitespace() {
        held.push_str(word);
        if word.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '*') {
            words.push(std::mem::take(&mut held));
        }
    }
    if !held.is_empty() {
        return None;
    }
    if words.is_empty() {
        return Some(vec![]);
    }
    let mut bounds = vec![];
    for word in &words {
        let at = word.find(|c: char| !"<>=~^".contains(c))?;
        let (operator, version) = word.split_at(at);
        let version = Partial::parse(version)?;
        let (lowest, given) = (version.lowest()?, version.numbers.len());
        if given == 0 && matches!(operator, "" | "=" | ">=" | "<=" | "~" | "^") {
            continue;
        }
        match operator {
            ">=" => bounds.push(Bound::AtLeast(lowest)),
            ">" if version.is_whole() => bounds.push(Bound::Above(lowest)),
            ">" => bounds.push(Bound::AtLeast(version.behind(given))),
            "<=" if version.is_whole() => bounds.push(Bound::AtMost(lowest)),
            "<=" => bounds.push(Bound::Below(version.behind(given))),
            "<" => bounds.push(Bound::Below(lowest)),
            "" | "=" if version.is_whole() => {
                bounds.extend([Bound::AtLeast(lowest.clone()), Bound::AtMost(lowest)])
            }
            "" | "=" => bounds.extend([Bound::AtLeast(lowest), Bound::Below(version.behind(given))]),
            "~" | "~>" => bounds.extend([Bound::AtLeast(lowest), Bound::Below(version.behind(given.min(2)))]),
            "^" => {
                let first = version.numbers.iter().position(|n| *n > 0).map_or(given, |n| n + 1);
                bounds.extend([Bound::AtLeast(lowest), Bound::Below(version.behind(first))]);
            }
            _ => return None,
        }
    }
    Some(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_what_they_say() {
        for (range, inside, outside) in [
            (">= 1.2.3", "1.2.3", "1.2.2"),
            (">=1 <2", "1.9.9", "2.0.0"),
            ("~ 1.0.0", "1.0.9", "1.1.0"),
            ("~1", "1.9.0", "2.0.0"),
            ("1.x", "1.5.0", "2.0.0"),
            ("^0.2.3", "0.2.9", "0.3.0"),
            ("1.0.0 - 1.2", "1.2.9", "1.3.0"),
            ("1.0.0 || 2.x", "2.4.0", "1.0.1"),
            (">1.2", "1.3.0", "1.2.9"),
            ("=1.2.3", "1.2.3", "1.2.4"),
            (">=1.0.0-rc1", "1.0.0-rc2", "1.0.0-beta"),
        ] {
            let set = Range::parse(range).expect(range);
            let version = |text| Version::parse(text).expect("a version");
            assert!(set.includes(&version(inside)), "{range} {inside}");
            assert!(!set.includes(&version(outside)), "{range} {outside}");
        }
        assert!(Range::parse("*").expect("a range").includes(&Version::parse("3.0.0").expect("a version")));
        assert!(
            !Range::parse(">=1.0.0")
                .expect("a range")
                .includes(&Version::parse("2.0.0-a").expect("a version"))
        );
        for wrong in [">= ", "one", "1.2.3.4", "=>1", "1.x-a", &"1".repeat(300)] {
            assert!(Range::parse(wrong).is_err(), "{wrong}");
        }
    }
}
