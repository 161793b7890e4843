//! Rules of goss: what a machine is to be like, as YAML, and whether it is (spec 06 §6.5,
//! §11.3; results as those of goss 0.4.9).
//!
//! Rules are a template that becomes a list of resources; each is looked at by one
//! file of `resources`, and what is found is held against `matcher`s. A resource or a matcher
//! that is not here is refused by name, before anything is looked at.

mod bounds;
mod matcher;
mod patterns;
mod report;
mod resources;
mod rules;
mod semver;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

pub use report::{Report, Verdict};
pub use resources::names;

use bounds::{Bounds, worked};

/// What all rules may take together, where nothing else is said.
pub const LIMIT: Duration = Duration::from_secs(60);
/// Resources that are looked at in one go.
const AT_ONCE: usize = 8;

/// Why rules are not tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GossError {
    /// A file cannot be read.
    #[error("{0}")]
    Read(String),
    /// Of the rules, or of variables for them.
    #[error("{place}: {why}")]
    Invalid {
        /// Which.
        place: String,
        /// What is wrong with them.
        why: String,
    },
    /// They cost more than any should.
    #[error("{0}")]
    Costly(String),
    /// They take too long.
    #[error("the rules took more than {} s", .0.as_secs_f64())]
    Slow(Duration),
}

/// Rules, or where they are.
#[derive(Debug, Clone)]
pub enum Source {
    /// In a file of this machine.
    File(PathBuf),
    /// Given by whoever asks.
    Text(String),
}

/// Rules to be tried.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The rules.
    pub rules: Source,
    /// `.Vars` of them.
    pub variables: Value,
    /// Types that are passed over.
    pub denied: Vec<String>,
    /// Where files are that are named without a directory.
    pub directory: PathBuf,
    /// What they may take together.
    pub limit: Duration,
}

/// Rules that somebody elsewhere asks to be tried.
#[derive(Debug, Clone)]
pub struct Called {
    /// The rules.
    pub rules: Source,
    /// Their variables.
    pub variables: Option<Source>,
    /// Where files are that are named without a directory.
    pub directory: PathBuf,
    /// Types that are passed over where only root and this user can have written all of it,
    pub denied_local: Vec<String>,
    /// and where others can.
    pub denied_remote: Vec<String>,
}

/// One resource, being tried.
type Tried<'a> = Pin<Box<dyn Future<Output = Vec<Verdict>> + Send + 'a>>;

/// Variables, YAML or JSON.
///
/// # Errors
/// They cannot be read.
pub async fn variables(source: Source) -> Result<Value, GossError> {
    read_variables(&source).await.map(|(value, _)| value)
}

/// Variables, and whether only root and this user can have written them.
async fn read_variables(source: &Source) -> Result<(Value, bool), GossError> {
    let rules::Text { place, text, ours } = rules::text(source).await?;
    let read = worked(move || rules::value_of(&text)).await.flatten();
    let value = read.map_err(|why| GossError::Invalid { place, why })?;
    Ok((if value.is_null() { Value::Object(Default::default()) } else { value }, ours))
}

/// Tries rules of this machine.
///
/// # Errors
/// They are none, or take too long.
pub async fn validate(asked: Asked) -> Result<Report, GossError> {
    let bounds = Arc::new(Bounds::local());
    let Asked { rules: source, variables, denied, directory, limit } = asked;
    let all = async {
        let rules = rules::load(&source, variables, &directory, &bounds).await?;
        tried(rules, &denied, directory.clone(), &bounds).await
    };
    tokio::time::timeout(limit, all).await.map_err(|_| GossError::Slow(limit))?
}

/// Tries rules that somebody elsewhere gives, or names: what others than root and this user
/// can have written counts as if it came with the request.
///
/// # Errors
/// They are none, or take too long.
pub async fn validate_called(called: Called) -> Result<Report, GossError> {
    let bounds = Arc::new(Bounds::remote());
    let all = async {
        let (variables, ours) = match &called.variables {
            Some(source) => read_variables(source).await?,
            None => (Value::Object(Default::default()), true),
        };
        let rules = rules::load(&called.rules, variables, &called.directory, &bounds).await?;
        let denied = if ours && rules.ours { &called.denied_local } else { &called.denied_remote };
        tried(rules, denied, called.directory.clone(), &bounds).await
    };
    tokio::time::timeout(LIMIT, all).await.map_err(|_| GossError::Slow(LIMIT))?
}

async fn tried(
    rules::Rules { mut resources, place, .. }: rules::Rules,
    denied: &[String],
    directory: PathBuf,
    bounds: &Arc<Bounds>,
) -> Result<Report, GossError> {
    use futures::StreamExt;

    for resource in &mut resources {
        resource.skip |= denied.iter().any(|name| name == resource.kind.key);
    }
    let ground = resources::Ground::new(directory, bounds.clone());
    // boxed: the compiler does not see else that it lives long enough
    let mut looking: Vec<Tried<'_>> = Vec::with_capacity(resources.len());
    for resource in &resources {
        looking.push(Box::pin(ground.tried(resource)));
    }
    let tried = futures::stream::iter(looking).buffered(AT_ONCE).collect::<Vec<Vec<Verdict>>>().await;
    let verdicts: Vec<Verdict> = tried.into_iter().flatten().collect();
    match bounds.over() {
        Some(why) => Err(GossError::Costly(why.to_owned())),
        // nothing that failed is no sign that anything is well
        None if verdicts.is_empty() => Err(GossError::Invalid { place, why: "it holds no test".to_owned() }),
        None => Ok(Report::new(verdicts)),
    }
}

#[cfg(test)]
mod tests;
