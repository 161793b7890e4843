//! Documents that people write, and what is wrong with them in one sentence: the parsers'
//! own complaints are drawings of several lines.

use serde::de::DeserializeOwned;

/// A document in YAML.
///
/// # Errors
/// Where its first mistake is and what: `line 1 column 11: …`.
pub fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_saphyr::from_str(text).map_err(|error| {
        let first = error.to_string().lines().next().unwrap_or_default().to_owned();
        in_words(first.strip_prefix("error: ").unwrap_or(&first))
    })
}

/// The parser's words for who writes documents and no programs.
fn in_words(told: &str) -> String {
    if let Some((place, rest)) = told.split_once(": duplicate mapping key: ") {
        let key = rest.split(", set ").next().unwrap_or(rest);
        return format!("{place}: {key} is there a second time, one of them has to go");
    }
    told.replace("did not find expected <document start>", "it is indented less than what is above it")
}

/// A document in TOML.
///
/// # Errors
/// As those of [`yaml`].
pub fn toml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    ::toml::from_str(text).map_err(|error: ::toml::de::Error| {
        let told = error.message().trim().replace('\n', ", ");
        let before = error.span().and_then(|span| text.get(..span.start));
        match before {
            Some(before) => {
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
                format!("line {line} column {column}: {told}")
            }
            None => told,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_one_sentence_with_a_place() {
        let told = yaml::<serde_json::Value>("interval: 1m\n\thelper: x\n").unwrap_err();
        assert_eq!(told, "line 1 column 11: while scanning a plain scalar, found a tab");
        let told = yaml::<serde_json::Value>("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!(told, "line 3 column 1: a is there a second time, one of them has to go");
        let told = yaml::<serde_json::Value>("  a: 1\nb: 2\n").unwrap_err();
        assert!(told.ends_with(": it is indented less than what is above it"), "{told}");
        let told = toml::<serde_json::Value>("a = 1\nb = [\nc = 2\n").unwrap_err();
        assert!(told.starts_with("line 3 column ") && !told.contains('\n'), "{told}");
        let told = toml::<std::collections::BTreeMap<String, u8>>("a = 1\nb = \"é\"\n").unwrap_err();
        assert!(told.starts_with("line 2 column 5: invalid type"), "{told}");
    }
}
