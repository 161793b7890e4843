//! The word that was probably meant.

/// The word of `known` that is a typing error or three away from `word`.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Long words share long parts; what counts is how much of the word is wrong.
    let limit = (word.chars().count() / 5).clamp(1, 3);
    let best = known.into_iter().map(|name| (distance(word, name, limit), name)).min_by_key(|(d, _)| *d)?;
    (best.0 <= limit).then_some(best.1)
}

/// `, did you mean NAME?`, or nothing.
pub fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |name| format!(", did you mean {name}?"))
}

/// The word of `known` that is one typing error away from `word`. Another number is none:
/// there are names that differ by it.
pub fn slip<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = |word: &str| -> String { word.chars().filter(|c| !c.is_ascii_digit()).collect() };
    let bare = letters(word);
    known.into_iter().find(|name| distance(word, name, 1) == 1 && letters(name) != bare)
}

/// Edit distance with neighbouring letters exchanged counting once; more than
/// `limit` is not worked out exactly.
fn distance(a: &str, b: &str, limit: usize) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(128).collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_is_recognised_and_another_word_is_not() {
        let known = ["ping", "find", "facts", "inventory", "completion"];
        for (word, meant) in [
            ("pnig", Some("ping")),
            ("fnd", Some("find")),
            ("inventori", Some("inventory")),
            ("compeltoin", Some("completion")),
            ("frobnicate", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
        for (word, meant) in [
            ("pign", Some("ping")),
            ("fidn", Some("find")),
            ("fact", Some("facts")),
            ("inventori", Some("inventory")),
            ("inventroi", None),
            ("ping", None),
            ("ping2", None),
        ] {
            assert_eq!(slip(word, known), meant, "{word}");
        }
        assert_eq!(meant("fct", ["facts"]), "");
        assert_eq!(meant("fact", ["facts"]), ", did you mean facts?");
    }
}
