//! Subjects and patterns: dot separated tokens, `*` for one token, `>` for the rest (spec 04 §6.6).
//!
//! All functions take bytes or text alike and are case-sensitive. A wildcard
//! counts only as a whole token: `fo*` is literal. Published subjects are
//! never interpreted, so that a literal `*` in one matches like any other text.

/// The one-token wildcard.
const ONE: &[u8] = b"*";
/// The rest-of-subject wildcard, at least one token.
const REST: &[u8] = b">";

/// Dot separated tokens of a subject, without allocation.
pub fn tokens(subject: &[u8]) -> impl Iterator<Item = &[u8]> {
    subject.split(|byte| *byte == b'.')
}

/// Whether a message can be routed by this subject: UTF-8, no empty token, no white space of any
/// alphabet. Client libraries take a line apart at such, and end their connection at what is no text.
///
/// Wildcard characters are allowed: in a published subject they are text.
pub fn valid_subject(subject: impl AsRef<[u8]>) -> bool {
    let subject = subject.as_ref();
    tokens(subject).all(|token| !token.is_empty()) && is_word(subject)
}

/// Whether it is text without white space, as [`valid_subject`]s are: nats-server takes reply
/// subjects with empty tokens, too.
pub fn is_word(subject: &[u8]) -> bool {
    if subject.is_ascii() {
        return !subject.iter().any(|byte| matches!(byte, b' ' | b'\t'..=b'\r'));
    }
    std::str::from_utf8(subject).is_ok_and(|text| !text.contains(char::is_whitespace))
}

/// Whether a subscription may name this pattern: as [`valid_subject`], and `>` only at the end.
pub fn valid_pattern(pattern: impl AsRef<[u8]>) -> bool {
    let pattern = pattern.as_ref();
    if !valid_subject(pattern) {
        return false;
    }
    let mut open = false;
    for token in tokens(pattern) {
        if open {
            return false;
        }
        open = token == REST;
    }
    true
}

/// Whether a subject has no wildcard token, so that only itself matches it.
pub fn is_literal(pattern: impl AsRef<[u8]>) -> bool {
    tokens(pattern.as_ref()).all(|token| token != ONE && token != REST)
}

/// Whether `subject`, taken as literal text, is matched by `pattern`.
pub fn matches(pattern: impl AsRef<[u8]>, subject: impl AsRef<[u8]>) -> bool {
    let mut subject = tokens(subject.as_ref());
    for wanted in tokens(pattern.as_ref()) {
        match (wanted, subject.next()) {
            (_, None) => return false,
            (REST, Some(_)) => return true,
            (ONE, Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    subject.next().is_none()
}

/// Whether everything `inner` can match is matched by `outer` as well.
///
/// Stricter than nats-server, which takes the inner wildcard text literally
/// and so lets `a.*` admit `a.>` (spec 04 §6.9).
pub fn covers(outer: impl AsRef<[u8]>, inner: impl AsRef<[u8]>) -> bool {
    let mut inner = tokens(inner.as_ref());
    for wanted in tokens(outer.as_ref()) {
        match (wanted, inner.next()) {
            (_, None) => return false,
            (REST, Some(_)) => return true,
            (_, Some(REST)) => return false,
            (ONE, Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    inner.next().is_none()
}

/// Whether some subject is matched by both patterns.
pub fn overlaps(a: impl AsRef<[u8]>, b: impl AsRef<[u8]>) -> bool {
    let (mut a, mut b) = (tokens(a.as_ref()), tokens(b.as_ref()));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (None, Some(_)) | (Some(_), None) => return false,
            (Some(REST), Some(_)) | (Some(_), Some(REST)) => return true,
            (Some(ONE), Some(_)) | (Some(_), Some(ONE)) => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn validity() {
        for (text, subject, pattern) in [
            ("a", true, true),
            ("a.b", true, true),
            ("a.*", true, true),
            (">", true, true),
            ("a.>", true, true),
            ("a.>.b", true, false),
            ("fo*", true, true),
            ("a.*.*b", true, true),
            ("", false, false),
            (".a", false, false),
            ("a.", false, false),
            ("a..b", false, false),
            ("a b", false, false),
            ("a\u{b}b", false, false),
            ("a\u{c}", false, false),
            ("a.\u{a0}", false, false),
            ("a.\u{2028}b", false, false),
            ("a.\u{fc}.\u{1f600}", true, true),
            ("a.\u{1}", true, true),
            ("ä.☃", true, true),
        ] {
            assert_eq!(valid_subject(text), subject, "{text}");
            assert_eq!(valid_pattern(text), pattern, "{text}");
        }
    }

    #[test]
    fn matching_table() {
        for (pattern, subject, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("*.b.>", "a.b.c", true),
            ("fo*", "foo", false),
            ("fo*", "fo*", true),
            (">", "a.*", true),
            ("A", "a", false),
        ] {
            assert_eq!(matches(pattern, subject), expected, "{pattern} {subject}");
        }
    }

    #[test]
    fn covering_and_overlap_tables() {
        for (outer, inner, covered, overlap) in [
            ("a.>", "a.*", true, true),
            ("a.*", "a.>", false, true),
            ("*.reply.>", ">", false, true),
            ("*.reply.>", "c.reply.x.>", true, true),
            ("a.b", "a.*", false, true),
            ("a.*", "a.b", true, true),
            ("a.*.c", "a.b.*", false, true),
            ("a.b", "c.b", false, false),
            ("a", "a.b", false, false),
            ("a.>", "a", false, false),
        ] {
            assert_eq!(covers(outer, inner), covered, "{outer} covers {inner}");
            assert_eq!(overlaps(outer, inner), overlap, "{outer} overlaps {inner}");
            assert_eq!(overlaps(inner, outer), overlap, "{inner} overlaps {outer}");
        }
    }

    fn pattern() -> impl Strategy<Value = String> {
        proptest::collection::vec(prop_oneof!["[ab]", Just("*".to_owned())], 1..5).prop_flat_map(|tokens| {
            any::<bool>().prop_map(move |rest| {
                let mut text = tokens.join(".");
                if rest {
                    text.push_str(".>");
                }
                text
            })
        })
    }

    fn subject() -> impl Strategy<Value = String> {
        proptest::collection::vec("[ab]", 1..6).prop_map(|tokens| tokens.join("."))
    }

    proptest! {
        #[test]
        fn what_is_covered_is_matched(outer in pattern(), inner in pattern(), text in subject()) {
            if covers(&outer, &inner) && matches(&inner, &text) {
                prop_assert!(matches(&outer, &text));
            }
        }

        #[test]
        fn a_common_subject_means_overlap(a in pattern(), b in pattern(), text in subject()) {
            if matches(&a, &text) && matches(&b, &text) {
                prop_assert!(overlaps(&a, &b));
                prop_assert!(overlaps(&b, &a));
            }
        }

        #[test]
        fn covering_is_reflexive_and_implies_overlap(a in pattern(), b in pattern()) {
            prop_assert!(covers(&a, &a));
            if covers(&a, &b) {
                prop_assert!(overlaps(&a, &b));
            }
        }

        #[test]
        fn never_panics(a in proptest::collection::vec(any::<u8>(), 0..40), b in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (valid_pattern(&a), matches(&a, &b), covers(&a, &b), overlaps(&a, &b), is_literal(&b));
        }
    }
}
