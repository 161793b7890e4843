//! `semver(version, constraint)`: the rules of Masterminds' semver, version 3.

use std::cmp::Ordering;
use std::sync::LazyLock;

use regex::Regex;

/// Longest version and constraint, and most alternatives in one.
const MAX_TEXT: usize = 512;
const MAX_GROUPS: usize = 32;

/// A bar counts as a digit in the original; such text fails later on.
const VERSION: &str = r"v?([0-9|xX*]+)(\.[0-9|xX*]+)?(\.[0-9|xX*]+)?(-([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?(\+([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?";
const OPERATORS: &str = r"=||!=|>|<|>=|=>|<=|=<|~|~>|\^";

static LOOSE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^v?([0-9]+)(\.[0-9]+)?(\.[0-9]+)?(-([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?(\+([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?$").ok()
});
static RANGE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!(r"\s*({VERSION})\s+-\s+({VERSION})\s*")).ok());
static FIND: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!(r"({OPERATORS})\s*({VERSION})")).ok());
static ONE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!(r"^\s*({OPERATORS})\s*({VERSION})\s*$")).ok());
static VALID: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let one = format!(r"\s*({OPERATORS})\s*({VERSION})\s*");
    let more = format!(r"(?:\s+|,\s*)({OPERATORS})\s*({VERSION})\s*");
    Regex::new(&format!("^({one})({more})*$")).ok()
});

/// Whether a version satisfies a constraint; the error says which of the two
/// does not parse.
pub fn semver_matches(version: &str, constraint: &str) -> Result<bool, String> {
    if version.len() > MAX_TEXT || constraint.len() > MAX_TEXT {
        return Err(format!("a version or constraint is longer than {MAX_TEXT} bytes"));
    }
    let groups =
        parse_constraint(constraint).ok_or_else(|| format!("{constraint:?} is not a version constraint"))?;
    let version = Version::parse(version).ok_or_else(|| format!("{version:?} is not a version"))?;
    Ok(groups.iter().any(|group| {
        let with_pre = group.iter().any(|c| !c.version.pre.is_empty());
        group.iter().all(|c| (with_pre || version.pre.is_empty()) && c.allows(&version))
    }))
}

/// Parts of a version, by the names that Masterminds' semver has for them; nothing where it is none.
pub fn semver_parts(text: &str) -> Option<serde_json::Value> {
    let version = Version::parse(text)?;
    let [major, minor, patch] = version.numbers;
    let metadata = text.split_once('+').map_or("", |(_, metadata)| metadata);
    Some(serde_json::json!({
        "Major": major, "Minor": minor, "Patch": patch,
        "Prerelease": version.pre, "Metadata": metadata, "Original": text,
    }))
}

#[derive(Debug)]
struct Version {
    numbers: [u64; 3],
    pre: String,
}

impl Version {
    fn parse(text: &str) -> Option<Version> {
        let found = LOOSE.as_ref()?.captures(text).filter(|_| text.len() <= MAX_TEXT)?;
        let number = |group: usize| match found.get(group) {
            Some(digits) => digits.as_str().trim_start_matches('.').parse().ok(),
            None => Some(0),
        };
        let pre = found.get(5).map_or("", |pre| pre.as_str());
        let leading_zero =
            |part: &str| part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit());
        if pre.split('.').any(leading_zero) {
            return None;
        }
        Some(Version { numbers: [number(1)?, number(2)?, number(3)?], pre: pre.into() })
    }

    fn compare(&self, other: &Version) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => compare_pre(&self.pre, &other.pre),
        })
    }
}

fn compare_pre(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let ordering = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
}

/// One comparison of a constraint.
struct Constraint {
    operator: String,
    version: Version,
    /// Some part was left away or is a wildcard: any, the minor, the patch.
    dirty: bool,
    minor_dirty: bool,
    patch_dirty: bool,
}

fn parse_constraint(text: &str) -> Option<Vec<Vec<Constraint>>> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let text = rewrite_ranges(text)?;
    let groups: Vec<&str> = text.split("||").collect();
    if groups.len() > MAX_GROUPS {
        return None;
    }
    groups
        .into_iter()
        .map(|group| {
            if !VALID.as_ref()?.is_match(group) {
                return None;
            }
            FIND.as_ref()?.find_iter(group).map(|one| Constraint::parse(one.as_str())).collect()
        })
        .collect()
}

/// `1.2 - 1.4` to `>= 1.2, <= 1.4`.
fn rewrite_ranges(text: &str) -> Option<String> {
    let rewritten = RANGE.as_ref()?.replace_all(text, |found: &regex::Captures<'_>| {
        let part = |group: usize| found.get(group).map_or("", |m| m.as_str());
        format!(">= {}, <= {} ", part(1), part(11))
    });
    Some(rewritten.into_owned())
}

fn is_wild(part: Option<&str>) -> bool {
    matches!(part.unwrap_or("").trim_start_matches('.'), "" | "x" | "X" | "*")
}

impl Constraint {
    fn parse(text: &str) -> Option<Constraint> {
        let found = ONE.as_ref()?.captures(text)?;
        let part = |group: usize| found.get(group).map(|m| m.as_str());
        let (major, minor, patch) = (part(3), part(4), part(5));
        let pre = part(6).unwrap_or("");
        let (mut dirty, mut minor_dirty, mut patch_dirty) = (true, false, false);
        let version = if is_wild(major) {
            format!("0.0.0{pre}")
        } else if is_wild(minor) {
            minor_dirty = true;
            format!("{}.0.0{pre}", major?)
        } else if is_wild(patch) {
            patch_dirty = true;
            format!("{}{}.0{pre}", major?, minor?)
        } else {
            dirty = false;
            part(2)?.to_owned()
        };
        let version = Version::parse(&version)?;
        Some(Constraint { operator: part(1)?.into(), version, dirty, minor_dirty, patch_dirty })
    }

    fn allows(&self, v: &Version) -> bool {
        let ordering = v.compare(&self.version);
        match self.operator.as_str() {
            "" | "=" if self.dirty => self.tilde(v),
            "" | "=" => ordering.is_eq(),
            "!=" => self.differs(v),
            ">" => self.greater(v),
            "<" => ordering.is_lt(),
            ">=" | "=>" => ordering.is_ge(),
            "<=" | "=<" => self.at_most(v),
            "~" | "~>" => self.tilde(v),
            _ => self.caret(v),
        }
    }

    fn differs(&self, v: &Version) -> bool {
        let ([major, minor, _], [c_major, c_minor, _]) = (v.numbers, self.version.numbers);
        if !self.dirty {
            return v.compare(&self.version).is_ne();
        }
        if major != c_major {
            return true;
        }
        if self.minor_dirty {
            return false;
        }
        if minor != c_minor {
            return true;
        }
        if self.patch_dirty {
            let pre = !v.pre.is_empty() || !self.version.pre.is_empty();
            return pre && compare_pre(&v.pre, &self.version.pre).is_ne();
        }
        v.compare(&self.version).is_ne()
    }

    fn greater(&self, v: &Version) -> bool {
        let ([major, minor, _], [c_major, c_minor, _]) = (v.numbers, self.version.numbers);
        if !self.dirty {
            return v.compare(&self.version).is_gt();
        }
        match major.cmp(&c_major) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal if self.minor_dirty => false,
            Ordering::Equal if self.patch_dirty => minor > c_minor,
            Ordering::Equal => v.compare(&self.version).is_gt(),
        }
    }

    fn at_most(&self, v: &Version) -> bool {
        let ([major, minor, _], [c_major, c_minor, _]) = (v.numbers, self.version.numbers);
        if !self.dirty {
            return v.compare(&self.version).is_le();
        }
        major < c_major || major == c_major && (minor <= c_minor || self.minor_dirty)
    }

    fn tilde(&self, v: &Version) -> bool {
        if v.compare(&self.version).is_lt() {
            return false;
        }
        if self.version.numbers == [0; 3] && !self.minor_dirty && !self.patch_dirty {
            return true;
        }
        let ([major, minor, _], [c_major, c_minor, _]) = (v.numbers, self.version.numbers);
        major == c_major && (minor == c_minor || self.minor_dirty)
    }

    fn caret(&self, v: &Version) -> bool {
        if v.compare(&self.version).is_lt() {
            return false;
        }
        let ([major, minor, patch], [c_major, c_minor, c_patch]) = (v.numbers, self.version.numbers);
        if c_major > 0 || self.minor_dirty {
            return major == c_major;
        }
        if major > 0 {
            return false;
        }
        if c_minor > 0 || self.patch_dirty {
            return minor == c_minor;
        }
        minor == 0 && patch == c_patch
    }
}
