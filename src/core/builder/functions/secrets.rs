//! Functions of sums, of what nobody can guess, and of passwords as web servers keep them. Keys and
//! certificates are not made in templates.

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Arguments, Given};
use crate::core::text::hex;

pub(super) const NAMES: [&str; 10] = [
    "bcrypt",
    "htpasswd",
    "randAlpha",
    "randAlphaNum",
    "randAscii",
    "randBytes",
    "randNumeric",
    "sha1sum",
    "sha256sum",
    "sha512sum",
];

/// As the original has it.
const COST: u32 = 10;
/// Longest random text; far more than any secret has.
const MOST: usize = 64 << 10;

pub(super) fn call(of: &Arguments<'_>) -> Given {
    if !NAMES.contains(&of.name) {
        return None;
    }
    Some(given(of))
}

fn given(of: &Arguments<'_>) -> Result<Value, String> {
    let sum = |by: &'static Algorithm| Ok(hex(digest(by, of.text(0)?.as_bytes()).as_ref()).into());
    match of.name {
        "sha1sum" => sum(&SHA1_FOR_LEGACY_USE_ONLY),
        "sha256sum" => sum(&SHA256),
        "sha512sum" => sum(&SHA512),
        "bcrypt" => hashed(&of.text(0)?).map(Value::from),
        "htpasswd" => {
            let user = of.text(0)?;
            if user.contains(':') {
                return Err(format!("htpasswd takes no user with a colon: {user}"));
            }
            Ok(format!("{user}:{}", hashed(&of.text(1)?)?).into())
        }
        "randBytes" => {
            let mut bytes = vec![0; length(of)?];
            fill(&mut bytes)?;
            Ok(STANDARD.encode(bytes).into())
        }
        name => {
            let signs: Vec<char> = (' '..='~')
                .filter(|c| match name {
                    "randAlpha" => c.is_ascii_alphabetic(),
                    "randAlphaNum" => c.is_ascii_alphanumeric(),
                    "randNumeric" => c.is_ascii_digit(),
                    _ => true,
                })
                .collect();
            random(&signs, length(of)?).map(Value::from)
        }
    }
}

fn length(of: &Arguments<'_>) -> Result<usize, String> {
    let length = of.size(0)?;
    if length > MOST {
        return Err(format!("{} makes {MOST} signs at most", of.name));
    }
    Ok(length)
}

fn hashed(password: &str) -> Result<String, String> {
    let mut salt = [0; 16];
    fill(&mut salt)?;
    // the original refuses what would be cut, too
    if password.len() > 72 {
        return Err("bcrypt takes a password of 72 bytes at most".to_owned());
    }
    let parts = bcrypt::hash_with_salt(password, COST, salt).map_err(|e| format!("bcrypt: {e}"))?;
    Ok(parts.format_for_version(bcrypt::Version::TwoA))
}

/// Such a text of signs that are all as likely.
fn random(signs: &[char], length: usize) -> Result<String, String> {
    // what is beyond the last whole number of rounds would make some signs likelier than others
    let whole = 256 / signs.len() * signs.len();
    let (mut out, mut bytes) = (String::with_capacity(length), [0; 256]);
    let mut made = 0;
    while made < length {
        fill(&mut bytes)?;
        let good = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < whole);
        for byte in good.take(length - made) {
            out.push(signs[byte % signs.len()]);
            made += 1;
        }
    }
    Ok(out)
}

fn fill(bytes: &mut [u8]) -> Result<(), String> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| "this machine has no random numbers".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str, arguments: &[Value]) -> Result<String, String> {
        let given = call(&Arguments { name, all: arguments }).expect("one of these");
        given.map(|value| value.as_str().expect("a text").to_owned())
    }

    #[test]
    fn what_nobody_can_guess_has_its_signs_and_length() {
        type Is = fn(char) -> bool;
        let kinds: [(&str, Is); 4] = [
            ("randAlpha", |c| c.is_ascii_alphabetic()),
            ("randAlphaNum", |c| c.is_ascii_alphanumeric()),
            ("randNumeric", |c| c.is_ascii_digit()),
            ("randAscii", |c| (' '..='~').contains(&c)),
        ];
        for (name, is) in kinds {
            let text = made(name, &[Value::from(4000)]).unwrap();
            assert!(text.len() == 4000 && text.chars().all(is), "{name}: {text}");
            let all = (' '..='~').filter(|c| is(*c));
            assert!(all.into_iter().all(|c| text.contains(c)), "{name}: some sign never comes");
            assert_ne!(made(name, &[Value::from(40)]), made(name, &[Value::from(40)]));
            assert_eq!(made(name, &[Value::from(0)]).as_deref(), Ok(""));
            assert!(made(name, &[Value::from(1 << 20)]).unwrap_err().contains("at most"));
        }
        let bytes = STANDARD.decode(made("randBytes", &[Value::from(33)]).unwrap()).unwrap();
        assert_eq!(bytes.len(), 33);
    }

    #[test]
    fn passwords_are_as_web_servers_keep_them() {
        let line = made("htpasswd", &["eve".into(), "s3cret".into()]).unwrap();
        let hash = line.strip_prefix("eve:").unwrap();
        assert!(hash.starts_with("$2a$10$") && bcrypt::verify("s3cret", hash).unwrap(), "{line}");
        assert!(bcrypt::verify("x", &made("bcrypt", &["x".into()]).unwrap()).unwrap());
        assert!(made("htpasswd", &["a:b".into(), "x".into()]).is_err());
        assert!(made("bcrypt", &["x".repeat(73).into()]).is_err());
        assert!(made("htpasswd", &["a".into()]).is_err());
    }
}
