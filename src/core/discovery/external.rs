//! A program of somebody who knows the fleet (spec 03 §4.6).
//!
//! The command line, then the file of the request, the file its reply goes to and the
//! protocol. It sees four variables and nothing else of our environment; what it says
//! goes to the log, its last words into the error.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::is_name;
use crate::core::agents::external::{Files, last_words, tell};
use crate::core::programs::{CommandLine, NoProgram, ProgramError, how};
use crate::core::protocol::filter::Filter;
use crate::core::text::shortened;

const REQUEST: &str = "io.choria.choria.discovery.v1.external_request";
const REPLY: &str = "io.choria.choria.discovery.v1.external_reply";
const SCHEMA: &str = "https://choria.io/schemas/choria/discovery/v1/external_request.json";
/// Largest reply: a million names.
const MAX_REPLY: u64 = 64 * 1024 * 1024;
/// Least time a program gets.
const LEAST: Duration = Duration::from_secs(1);

/// What is asked of the program.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Sub collective.
    pub collective: &'a str,
    /// Which nodes.
    pub filter: &'a Filter,
    /// Federations, where there are some.
    pub federations: &'a [String],
    /// Options of the method, without those that are ours.
    pub options: BTreeMap<String, String>,
    /// How long it may take.
    pub timeout: Duration,
}

/// A program that found nothing out.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the texts say it
pub enum ExternalError {
    #[error("the external discovery command {0:?} {1}")]
    Command(String, NoProgram),
    #[error("external discovery failed: {0}")]
    Failed(String),
    #[error("external discovery failed: {0}")]
    Said(String),
    #[error("the reply of external discovery cannot be read: {0}")]
    Reply(String),
}

#[derive(Serialize)]
struct Request<'a> {
    protocol: &'static str,
    collective: &'a str,
    filter: &'a Filter,
    federations: Option<&'a [String]>,
    options: &'a BTreeMap<String, String>,
    #[serde(rename = "$schema")]
    schema: &'static str,
    timeout: f64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reply {
    protocol: String,
    nodes: Option<Vec<String>>,
    error: String,
}

/// The nodes the program of this command line names.
///
/// # Errors
/// [`ExternalError`].
pub async fn external(command: &str, wanted: &Wanted<'_>) -> Result<Vec<String>, ExternalError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let line = CommandLine::parse(command, Some(&path))
        .map_err(|problem| ExternalError::Command(command.to_owned(), problem))?;
    let failed = |problem: String| ExternalError::Failed(problem);
    let limit = wanted.timeout.max(LEAST);
    let request = Request {
        protocol: REQUEST,
        collective: wanted.collective,
        filter: wanted.filter,
        federations: Some(wanted.federations).filter(|federations| !federations.is_empty()),
        options: &wanted.options,
        schema: SCHEMA,
        timeout: limit.as_secs_f64(),
    };
    let request = serde_json::to_string(&request).map_err(|e| failed(e.to_string()))?;
    let files = Files::lay_out(&[("request", &request), ("reply", "")]).map_err(|e| failed(e.to_string()))?;
    let (asked, answered) = (files.path("request"), files.path("reply"));
    let program = line
        .to_program()
        .args([asked.as_os_str(), answered.as_os_str(), REQUEST.as_ref()])
        .bare()
        .env("CHORIA_EXTERNAL_REQUEST", &asked)
        .env("CHORIA_EXTERNAL_REPLY", &answered)
        .env("CHORIA_EXTERNAL_PROTOCOL", REQUEST)
        .env("PATH", path)
        .directory(files.directory())
        .limit(limit)
        .talks();
    let ran = program.run_heard(|stream, line| tell("discovery", stream, line)).await;
    let ended = ran.map_err(|e| match e {
        ProgramError::Start { .. } => failed(e.to_string()),
        e => failed(format!("{e}{}", last_words(e.errors()))),
    })?;
    if !ended.status.success() {
        return Err(failed(format!("{}{}", how(ended.status), last_words(&ended.errors))));
    }
    let unreadable =
        |problem: String| ExternalError::Reply(format!("{problem}{}", last_words(&ended.errors)));
    nodes(&files.reply(MAX_REPLY).map_err(|e| unreadable(e.to_string()))?).map_err(|problem| match problem {
        ExternalError::Reply(problem) => unreadable(problem),
        said => said,
    })
}

/// The names of a reply.
fn nodes(content: &[u8]) -> Result<Vec<String>, ExternalError> {
    let odd = |problem: String| ExternalError::Reply(problem);
    if content.trim_ascii().is_empty() {
        return Err(odd("it is empty".to_owned()));
    }
    let document: Value = serde_json::from_slice(content).map_err(|e| odd(e.to_string()))?;
    let reply = Reply::deserialize(&document).map_err(|e| odd(e.to_string()))?;
    if !reply.error.is_empty() {
        return Err(ExternalError::Said(shortened(&reply.error, 500)));
    }
    if reply.protocol != REPLY {
        return Err(odd(format!("its protocol is {:?}, not {REPLY:?}", shortened(&reply.protocol, 100))));
    }
    let nodes = reply.nodes.ok_or_else(|| odd("it names no nodes, not even an empty list".to_owned()))?;
    match nodes.iter().find(|name| !is_name(name)) {
        Some(name) => Err(odd(format!("{:?} is no name of a node", shortened(name, 100)))),
        None => Ok(nodes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        nodes(text.as_bytes()).map_err(|e| e.to_string())
    }

    #[test]
    fn replies_name_nodes_or_say_why_not() {
        let reply = |rest: &str| format!(r#"{{"protocol":"{REPLY}",{rest}}}"#);
        assert_eq!(read(&reply(r#""nodes":["n1","n2.example.net"]"#)).unwrap(), ["n1", "n2.example.net"]);
        assert_eq!(read(&reply(r#""nodes":[]"#)).unwrap(), Vec::<String>::new());
        for (text, why) in [
            (r#"{"error":"no such site"}"#.to_owned(), "external discovery failed: no such site"),
            (reply(r#""nodes":["n1"],"error":"x""#), "failed: x"),
            (String::new(), "it is empty"),
            ("<html>".to_owned(), "expected value"),
            (r#"{"nodes":["n1"]}"#.to_owned(), "its protocol is \"\""),
            (reply(r#""x":1"#), "names no nodes"),
            (reply(r#""nodes":["n1","a b"]"#), "\"a b\" is no name of a node"),
            (reply(r#""nodes":["n1",""]"#), "\"\" is no name of a node"),
            (reply(r#""nodes":[1]"#), "invalid type"),
        ] {
            let problem = read(&text).unwrap_err();
            assert!(problem.contains(why), "{text}: {problem}");
        }
    }

    async fn ask(script: &str) -> Result<Vec<String>, String> {
        run(&format!("/bin/sh -c {} x", shlex::try_quote(script).unwrap())).await
    }

    async fn run(command: &str) -> Result<Vec<String>, String> {
        let mut filter = Filter::default();
        filter.add_fact("country=mt").unwrap();
        let wanted = Wanted {
            collective: "mcollective",
            filter: &filter,
            federations: &[],
            options: BTreeMap::from([("site".to_owned(), "one".to_owned())]),
            timeout: Duration::from_secs(1),
        };
        external(command, &wanted).await.map_err(|e| e.to_string())
    }

    #[tokio::test]
    async fn a_program_sees_what_it_is_promised() {
        let found = ask(r#"
            test "$1 $2 $3" = "$CHORIA_EXTERNAL_REQUEST $CHORIA_EXTERNAL_REPLY $CHORIA_EXTERNAL_PROTOCOL" || exit 3
            test -z "$HOME$USER" || exit 4
            grep -q '"fact":"country"' "$1" && grep -q '"site":"one"' "$1" && grep -q '"federations":null' "$1" || exit 5
            echo '{"protocol":"io.choria.choria.discovery.v1.external_reply","nodes":["n7"]}' >"$2""#);
        assert_eq!(found.await.unwrap(), ["n7"]);
    }

    #[tokio::test]
    async fn whatever_a_program_does_there_is_one_sentence() {
        for (script, why) in [
            ("echo no such site >&2; exit 2", "exit status 2; it said: no such site"),
            ("kill -9 $$", "signal 9"),
            ("exec sleep 60", "took longer than 1s"),
            ("true", "it is empty"),
            ("rm \"$2\"; ln -s /etc/passwd \"$2\"", "the reply is a link"),
            ("rm \"$2\"; mkfifo \"$2\"", "no regular file"),
        ] {
            let problem = ask(script).await.unwrap_err();
            assert!(problem.contains(why), "{script}: {problem}");
        }
        let problem = run("/nonexistent/x").await.unwrap_err();
        assert!(problem.contains("is not there"), "{problem}");
    }
}
