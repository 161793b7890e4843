//! What the original says about text that is no JSON. Pure.
//!
//! Its words reach the caller of an external agent, who may know them; nothing is read
//! here, and nothing is decided.

/// What a scanner expects next.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    /// A value, or the end of an empty array.
    ValueOrEnd,
    Value,
    /// A key, or the end of an empty object.
    KeyOrEnd,
    Key,
    Colon,
    /// What follows a value.
    Rest,
}

/// The first thing wrong with a document, as the original words it; none when its
/// grammar is right.
pub fn syntax_error(document: &[u8]) -> Option<String> {
    let end = || Some("unexpected end of JSON input".to_owned());
    let mut bytes = document.iter().copied().peekable();
    let mut open: Vec<u8> = Vec::new();
    let mut next = Next::Value;
    loop {
        let Some(byte) = bytes.next() else {
            return if open.is_empty() && next == Next::Rest { None } else { end() };
        };
        if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            continue;
        }
        let wrong = |context: &str| Some(invalid(byte, context));
        next = match (next, byte) {
            (Next::ValueOrEnd, b']') | (Next::KeyOrEnd, b'}') => {
                open.pop();
                Next::Rest
            }
            (Next::KeyOrEnd | Next::Key, b'"') => match string(&mut bytes) {
                Ok(()) => Next::Colon,
                Err(problem) => return Some(problem),
            },
            (Next::KeyOrEnd | Next::Key, _) => return wrong("looking for beginning of object key string"),
            (Next::Colon, b':') => Next::Value,
            (Next::Colon, _) => return wrong("after object key"),
            (Next::Value | Next::ValueOrEnd, b'{') => {
                open.push(b'{');
                Next::KeyOrEnd
            }
            (Next::Value | Next::ValueOrEnd, b'[') => {
                open.push(b'[');
                Next::ValueOrEnd
            }
            (Next::Value | Next::ValueOrEnd, _) => {
                let scalar = match byte {
                    b'"' => string(&mut bytes),
                    b'-' | b'0'..=b'9' => number(byte, &mut bytes),
                    b't' => literal("true", &mut bytes),
                    b'f' => literal("false", &mut bytes),
                    b'n' => literal("null", &mut bytes),
                    _ => return wrong("looking for beginning of value"),
                };
                match scalar {
                    Ok(()) => Next::Rest,
                    Err(problem) => return Some(problem),
                }
            }
            (Next::Rest, _) => match (open.last(), byte) {
                (Some(b'{'), b',') => Next::Key,
                (Some(b'['), b',') => Next::Value,
                (Some(b'{'), b'}') | (Some(b'['), b']') => {
                    open.pop();
                    Next::Rest
                }
                (Some(b'{'), _) => return wrong("after object key:value pair"),
                (Some(_), _) => return wrong("after array element"),
                (None, _) => return wrong("after top-level value"),
            },
        };
    }
}

type Bytes<'a> = std::iter::Peekable<std::iter::Copied<std::slice::Iter<'a, u8>>>;

fn ended() -> String {
    "unexpected end of JSON input".to_owned()
}

fn invalid(byte: u8, context: &str) -> String {
    let shown = match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        7 => r"'\a'".to_owned(),
        8 => r"'\b'".to_owned(),
        11 => r"'\v'".to_owned(),
        12 => r"'\f'".to_owned(),
        0x20..0x7f | 0xa1..=0xac | 0xae..=0xff => format!("'{}'", char::from(byte)),
        0x7f.. => format!(r"'\u{byte:04x}'"),
        _ => format!(r"'\x{byte:02x}'"),
    };
    format!("invalid character {shown} {context}")
}

/// After the opening quote.
fn string(bytes: &mut Bytes<'_>) -> Result<(), String> {
    loop {
        match bytes.next().ok_or_else(ended)? {
            b'"' => return Ok(()),
            b'\\' => match bytes.next().ok_or_else(ended)? {
                b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                b'u' => {
                    for _ in 0..4 {
                        let digit = bytes.next().ok_or_else(ended)?;
                        if !digit.is_ascii_hexdigit() {
                            return Err(invalid(digit, r"in \u hexadecimal character escape"));
                        }
                    }
                }
                other => return Err(invalid(other, "in string escape code")),
            },
            control @ 0..0x20 => return Err(invalid(control, "in string literal")),
            _ => {}
        }
    }
}

fn digits(bytes: &mut Bytes<'_>) {
    while bytes.next_if(u8::is_ascii_digit).is_some() {}
}

fn number(first: u8, bytes: &mut Bytes<'_>) -> Result<(), String> {
    let need = |context: &str, bytes: &mut Bytes<'_>| match bytes.next().ok_or_else(ended)? {
        digit @ b'0'..=b'9' => Ok(digit),
        other => Err(invalid(other, context)),
    };
    let first = if first == b'-' { need("in numeric literal", bytes)? } else { first };
    if first != b'0' {
        digits(bytes);
    }
    if bytes.next_if(|byte| *byte == b'.').is_some() {
        need("after decimal point in numeric literal", bytes)?;
        digits(bytes);
    }
    if bytes.next_if(|byte| matches!(byte, b'e' | b'E')).is_some() {
        let _ = bytes.next_if(|byte| matches!(byte, b'+' | b'-'));
        need("in exponent of numeric literal", bytes)?;
        digits(bytes);
    }
    Ok(())
}

/// After its first letter.
fn literal(word: &str, bytes: &mut Bytes<'_>) -> Result<(), String> {
    for expected in word.bytes().skip(1) {
        let byte = bytes.next().ok_or_else(ended)?;
        if byte != expected {
            let context = format!("in literal {word} (expecting '{}')", char::from(expected));
            return Err(invalid(byte, &context));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_worded_as_in_the_original() {
        for (document, problem) in [
            ("", "unexpected end of JSON input"),
            (" \n", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            (r#"{"a"#, "unexpected end of JSON input"),
            (r#"{"a":"#, "unexpected end of JSON input"),
            ("nul", "unexpected end of JSON input"),
            ("{not", "invalid character 'n' looking for beginning of object key string"),
            (r#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string"),
            ("hello", "invalid character 'h' looking for beginning of value"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            (r#"{"a" 1}"#, "invalid character '1' after object key"),
            (r#"{"a":1 "b"}"#, "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("{} x", "invalid character 'x' after top-level value"),
            ("\"a\nb\"", r"invalid character '\n' in string literal"),
            (r#""\q""#, "invalid character 'q' in string escape code"),
            (r#""\u00g0""#, r"invalid character 'g' in \u hexadecimal character escape"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1ex", "invalid character 'x' in exponent of numeric literal"),
            ("troe", "invalid character 'o' in literal true (expecting 'u')"),
            ("'", r"invalid character '\'' looking for beginning of value"),
            ("\u{1}", r"invalid character '\x01' looking for beginning of value"),
        ] {
            assert_eq!(syntax_error(document.as_bytes()).as_deref(), Some(problem), "{document:?}");
        }
        for good in ["{}", " [] ", r#"{"a":[1,-0.5e+3,"x\u00e9\n",true,false,null,{}]}"#, "0"] {
            assert_eq!(syntax_error(good.as_bytes()), None, "{good}");
        }
    }
}
