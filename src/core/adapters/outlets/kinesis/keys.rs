//! Keys of AWS: of a file as its own tools write it, read anew each time, or of the
//! environment.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::core::files::Anew;
use crate::core::text::Secret;

/// Longest file, in bytes.
const FILE: u64 = 64 * 1024;

/// An access key.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: Secret,
    /// Of keys that are good for some hours.
    pub(super) token: Option<Secret>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Where keys are.
pub(super) enum Place {
    File(Anew),
    Environment,
}

impl Place {
    pub(super) fn of(file: Option<&PathBuf>) -> Place {
        file.map_or(Place::Environment, |path| Place::File(Anew::new(path.clone(), FILE)))
    }

    /// The keys as they are now. May hang, for starts where nothing else waits.
    pub(super) fn look_now(&self) -> Result<Keys, String> {
        match self {
            Place::File(file) => read(file, file.read_now()),
            Place::Environment => environment(),
        }
    }

    /// The keys as they are now.
    pub(super) async fn look(&self) -> Result<Keys, String> {
        match self {
            Place::File(file) => read(file, file.read().await),
            Place::Environment => environment(),
        }
    }
}

fn read(file: &Anew, text: std::io::Result<Zeroizing<Vec<u8>>>) -> Result<Keys, String> {
    let text = text.map_err(|e| e.to_string())?;
    let named = |what: String| format!("{}: {what}", file.path().display());
    let text = std::str::from_utf8(&text).map_err(|_| named("it is no text".to_owned()))?;
    of_profile(text, "default").map_err(named)
}

/// The keys of a profile.
fn of_profile(text: &str, profile: &str) -> Result<Keys, String> {
    let mut within = false;
    let mut found = [None, None, None];
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            within = name.trim_end_matches(']').trim() == profile;
        } else if within && let Some((key, value)) = line.split_once('=') {
            let place = match key.trim() {
                "aws_access_key_id" => &mut found[0],
                "aws_secret_access_key" => &mut found[1],
                "aws_session_token" => &mut found[2],
                _ => continue,
            };
            *place = Some(value.trim()).filter(|value| !value.is_empty());
        }
    }
    let missing = |key| format!("there is no {key} in [{profile}]");
    let [id, secret, token] = found;
    keys(
        id.ok_or_else(|| missing("aws_access_key_id"))?,
        secret.ok_or_else(|| missing("aws_secret_access_key"))?,
        token,
    )
}

fn environment() -> Result<Keys, String> {
    let given = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let missing = |name| format!("the environment has no {name}, and no kinesis.credentials_file is set");
    let id = given("AWS_ACCESS_KEY_ID").ok_or_else(|| missing("AWS_ACCESS_KEY_ID"))?;
    let secret = given("AWS_SECRET_ACCESS_KEY").ok_or_else(|| missing("AWS_SECRET_ACCESS_KEY"))?;
    keys(&id, &secret, given("AWS_SESSION_TOKEN").as_deref())
}

/// Keys that headers can hold.
fn keys(id: &str, secret: &str, token: Option<&str>) -> Result<Keys, String> {
    let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    match visible(id) && token.is_none_or(visible) {
        true => Ok(Keys { id: id.to_owned(), secret: Secret::new(secret), token: token.map(Secret::new) }),
        false => Err("its access key or session token is none".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_tools_are_read() {
        let text = "# mine\n[other]\naws_access_key_id = X\n[ default ]\naws_access_key_id=AKID\n\
                    aws_secret_access_key = a=b/c+d\nregion = eu-west-1\n\n[last]\naws_session_token = t\n";
        let keys = of_profile(text, "default").unwrap();
        assert_eq!((keys.id.as_str(), keys.secret.expose(), keys.token.is_none()), ("AKID", "a=b/c+d", true));
        assert!(!format!("{keys:?}").contains("a=b"));
        let with = text.replace("region = eu-west-1", "aws_session_token = tok");
        assert_eq!(of_profile(&with, "default").unwrap().token.unwrap().expose(), "tok");
        for (text, says) in [
            ("", "no aws_access_key_id in [default]"),
            ("[default]\naws_access_key_id = a\n", "no aws_secret_access_key in [default]"),
            ("[default]\naws_access_key_id = a b\naws_secret_access_key = c\n", "is none"),
        ] {
            let error = of_profile(text, "default").unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
