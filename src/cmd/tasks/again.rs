//! A run that is made again, or goes on: its secret inputs were not kept and are given once more,
//! the others are those it had.

use std::path::Path;

use anyhow::{Context as _, bail};
use choria::core::client::history::{HIDDEN, Record, secrets_of_task};
use choria::core::files::read_bounded;
use serde_json::{Map, Value};

use crate::cmd::render::text::clean;

/// Bytes of inputs.
const MOST: u64 = 1 << 20;

/// What is said where they are not given.
pub fn wanted(record: &Record) -> String {
    let missing = kept(record).map(|kept| clean(&secret(record, &kept).join(", "), false).into_owned());
    let (which, what) = match missing {
        Some(names) if !names.is_empty() => {
            (format!("the parameters {names} of that task were not kept, they are secrets"), "them")
        }
        _ => (
            "the parameters of that task were not kept, there are secrets among them".to_owned(),
            "all of them",
        ),
    };
    format!("{which}: give {what} again as JSON, input='{{\"NAME\": VALUE}}', or input=@FILE that has it")
}

/// The inputs of a run that was kept, with those that are given. Others than the secrets are only
/// replaced where it is a run of its own.
pub fn inputs(record: &Record, given: &str, replaces: bool) -> anyhow::Result<String> {
    let text = match given.strip_prefix('@') {
        None => given.to_owned(),
        Some(file) => {
            let content = read_bounded(Path::new(file), MOST).with_context(|| format!("input=@{file}"))?;
            String::from_utf8(content).with_context(|| format!("input=@{file} is not UTF-8"))?
        }
    };
    let given: Map<String, Value> = serde_json::from_str(&text)
        .context("input is the JSON object of the parameters of the task, such as {\"NAME\": VALUE}")?;
    // an older record has none
    let Some(mut all) = kept(record) else { return Ok(Value::Object(given).to_string()) };
    let secrets = secret(record, &all);
    if let Some(other) = given.keys().find(|name| !replaces && !secrets.contains(name)) {
        bail!(
            "--resume goes on with what was asked: cannot use the parameter '{}' there, only {}",
            clean(other, false),
            clean(&secrets.join(", "), false)
        );
    }
    all.extend(given.clone());
    if let Some(missing) = secrets.iter().find(|name| !given.contains_key(*name)) {
        bail!("the parameter {} is a secret, too: {}", clean(missing, false), wanted(record));
    }
    Ok(Value::Object(all).to_string())
}

fn kept(record: &Record) -> Option<Map<String, Value>> {
    serde_json::from_str(record.inputs.get("input")?.as_str()?).ok()
}

/// The parameters that were given and not kept.
fn secret(record: &Record, kept: &Map<String, Value>) -> Vec<String> {
    let hidden = |name: &String| kept.get(name).is_some_and(|value| value == HIDDEN);
    secrets_of_task(&record.inputs).into_iter().filter(hidden).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(kept: Option<&str>) -> Record {
        let mut inputs = Map::from_iter([("sensitive".to_owned(), json!(r#"["password","pin"]"#))]);
        inputs.extend(kept.map(|kept| ("input".to_owned(), kept.into())));
        Record { inputs, withheld: vec!["input".to_owned()], ..Record::default() }
    }

    #[test]
    fn what_was_kept_goes_with_the_secrets() {
        let whole = record(Some(r#"{"user":"u","password":"*****"}"#));
        let secret = r#"{"password":"s3"}"#;
        assert_eq!(inputs(&whole, secret, false).unwrap(), r#"{"user":"u","password":"s3"}"#);
        let other = r#"{"password":"s3","user":"v"}"#;
        assert!(
            inputs(&whole, other, false)
                .unwrap_err()
                .to_string()
                .contains("parameter 'user' there, only password")
        );
        assert_eq!(inputs(&whole, other, true).unwrap(), r#"{"user":"v","password":"s3"}"#);
        assert!(inputs(&whole, "{}", false).unwrap_err().to_string().contains("password is a secret"));
        assert!(inputs(&whole, "s3", false).is_err());
        assert!(wanted(&whole).contains("the parameters password of that task"));
        let older = record(None);
        assert_eq!(inputs(&older, other, false).unwrap(), r#"{"password":"s3","user":"v"}"#);
        assert!(wanted(&older).contains("give all of them again"));
    }
}
