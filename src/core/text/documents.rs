//! Documents that people write, and what is wrong with them in one sentence: the parsers'
//! own complaints are drawings of several lines.

use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use serde_saphyr::options;

/// A document in YAML. A number that begins with a zero is octal where it can be, as for Ruby and for
/// who writes modes of files, and text else.
///
/// # Errors
/// Where its first mistake is and what: `line 1 column 11: …`.
pub fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let octal = options! { legacy_octal_numbers: true };
    if has_other_zeros(text)
        && let Ok(mut document) = serde_saphyr::from_str_with_options::<Json>(text, octal.clone())
    {
        let options = options! { leading_zero_numbers_as_strings: true };
        if let Ok(texts) = serde_saphyr::from_str_with_options(text, options) {
            keep_zeros(&mut document, texts);
        }
        if let Ok(document) = serde_json::from_value(document) {
            return Ok(document);
        }
    }
    serde_saphyr::from_str_with_options(text, octal).map_err(|error| {
        let first = error.to_string().lines().next().unwrap_or_default().to_owned();
        in_words(first.strip_prefix("error: ").unwrap_or(&first))
    })
}

/// Whether there may be digits behind a zero that are no octal number.
fn has_other_zeros(text: &str) -> bool {
    let digits = text.split(|c: char| !c.is_ascii_digit());
    digits.filter(|digits| digits.starts_with('0')).any(|digits| digits.contains(['8', '9']))
}

/// Puts back what the parser takes for a float and is an integer with zeros in front, such as `08`.
fn keep_zeros(document: &mut Json, texts: Json) {
    match (document, texts) {
        (number @ Json::Number(_), Json::String(text)) if number.is_f64() => *number = Json::String(text),
        (Json::Array(items), Json::Array(texts)) => {
            items.iter_mut().zip(texts).for_each(|(item, text)| keep_zeros(item, text));
        }
        (Json::Object(entries), Json::Object(mut texts)) => {
            for (key, value) in entries {
                if let Some(text) = texts.get_mut(key) {
                    keep_zeros(value, text.take());
                }
            }
        }
        _ => {}
    }
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
    fn numbers_with_zeros_in_front_are_octal_or_text() {
        // what Ruby reads
        let numbers = [
            ("0644", "420"),
            ("-010", "-8"),
            ("+012", "10"),
            ("00", "0"),
            ("0", "0"),
            ("08", "\"08\""),
            ("-08", "\"-08\""),
            ("01239", "\"01239\""),
            ("'0644'", "\"0644\""),
            ("09.5", "9.5"),
            ("0123.5", "123.5"),
            ("0x1f", "31"),
            ("8", "8"),
            ("8.0", "8.0"),
        ];
        for (text, json) in numbers {
            assert_eq!(yaml::<Json>(text).unwrap().to_string(), json, "{text}");
            let document = yaml::<Json>(&format!("a: [{text}, 09]\nb:\n  c: {text}\n")).unwrap();
            assert_eq!(document.to_string(), format!("{{\"a\":[{json},\"09\"],\"b\":{{\"c\":{json}}}}}"));
        }
        #[derive(serde::Deserialize)]
        struct Typed {
            mode: u32,
            version: String,
            zip: Json,
        }
        let typed = yaml::<Typed>("mode: 0640\nversion: 1.10\nzip: 0644\n").unwrap();
        assert_eq!((typed.mode, typed.version.as_str(), typed.zip), (0o640, "1.10", 420.into()));
        assert_eq!(yaml::<Typed>("mode: 0\nversion: '1'\nzip: 08\n").unwrap().zip, "08");
        assert!(yaml::<Typed>("mode: 08\nversion: 1\nzip: 1\n").is_err());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let texts = [
            "0644",
            "08",
            "-010",
            "0o17",
            "0x1f",
            "1_000",
            "1e3",
            "8.0",
            "yes",
            "no",
            "~",
            "null",
            ".inf",
            "",
            "2020-01-01",
            "a: b",
            "- x",
            "#",
            "line\nother\n",
            "0",
        ];
        let document = serde_json::json!({"texts": texts, "numbers": [1, 420, 8.5, -8], "08": {"010": null}});
        let written = serde_saphyr::to_string(&document).unwrap();
        assert_eq!(yaml::<Json>(&written).unwrap(), document, "{written}");
    }

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
