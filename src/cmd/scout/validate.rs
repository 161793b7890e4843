//! `choria scout validate`: rules of goss, tried on nodes or on this machine.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use choria::core::client::{Client, RpcReply};
use choria::core::files::read_bounded;
use choria::core::machine::goss::{self, Asked, Source};
use choria::core::rpc::StatusCode;
use choria::core::streams::Bucket;
use choria::core::streams::bucket::{check_bucket, check_key};
use serde_json::{Map, Value, json};

use super::document;
use crate::cmd::Globals;
use crate::cmd::ask::ask;
use crate::cmd::context::{self, block_on};
use crate::cmd::exit::Exit;
use crate::cmd::fleet::fleet_command;
use crate::cmd::out::{errln, out, outln};
use crate::cmd::render::table;
use crate::cmd::render::text::{clean, escaped};

/// Bytes that a request may carry of rules, and of variables.
const MOST: u64 = 5120;

fleet_command! {
    /// try rules of goss on nodes
    #[argh(subcommand, name = "validate")]
    pub struct Validate {
        /// the rules are a file of the nodes, not of this machine
        #[argh(switch)]
        remote_rules: bool,
        /// the variables are a file of the nodes, not of this machine
        #[argh(switch)]
        remote_variables: bool,
        /// the rules are BUCKET.KEY of the network's streams
        #[argh(switch)]
        kv_rules: bool,
        /// the variables are BUCKET.KEY of the network's streams
        #[argh(switch)]
        kv_variables: bool,
        /// try them on this machine, and ask nobody
        #[argh(switch)]
        local: bool,
        /// show a table
        #[argh(switch)]
        table: bool,
        /// which tests to show: ok, failed, all or none, default failed
        #[argh(option, arg_name = "which")]
        display: Option<String>,
        /// show JSON
        #[argh(switch, short = 'j')]
        json: bool,
        /// show every node
        #[argh(switch, short = 'v')]
        verbose: bool,
        /// file of rules, or what --kv-rules says
        #[argh(positional, arg_name = "rules")]
        rules: String,
        /// file of variables for them, or what --kv-variables says
        #[argh(positional, arg_name = "variables")]
        variables: Option<String>,
    }
}

/// Which tests are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Display {
    Ok,
    Failed,
    All,
    None,
}

impl Display {
    /// Of a flag.
    fn new(flag: Option<&str>) -> anyhow::Result<Display> {
        Ok(match flag {
            Some("ok") => Display::Ok,
            Some("failed") | None => Display::Failed,
            Some("all") => Display::All,
            Some("none") => Display::None,
            Some(word) => {
                bail!("--display must be one of ok, failed, all, none, got '{}'", clean(word, false))
            }
        })
    }

    fn shows(self, test: &Value) -> bool {
        match self {
            Display::All => true,
            Display::None => false,
            Display::Ok => result(test) == 0,
            Display::Failed => result(test) != 0,
        }
    }
}

/// 0 is well, 1 failed, 2 not tried.
fn result(test: &Value) -> u64 {
    test.get("result").and_then(Value::as_u64).unwrap_or(1)
}

fn mark(test: &Value) -> &'static str {
    match result(test) {
        0 => "✓",
        2 => "?",
        _ => "X",
    }
}

impl Validate {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let display = Display::new(self.display.as_deref())?;
        let rules = Given::new("rules", &self.rules, (self.remote_rules, self.kv_rules), self.local)?;
        let flags = (self.remote_variables, self.kv_variables);
        let variables = match &self.variables {
            Some(name) => Some(Given::new("variables", name, flags, self.local)?),
            None if flags == (false, false) => None,
            None => bail!(
                "--{}-variables says where variables are, and none are named: choria scout validate RULES VARIABLES",
                if self.kv_variables { "kv" } else { "remote" }
            ),
        };
        if self.local {
            return self.here(globals, display, rules, variables);
        }
        let selection = self.selection();
        selection.filter()?;
        let config = context::client_config(globals)?;
        block_on(async {
            let began = Instant::now();
            let client = context::connect(config).await?;
            let mut data = Map::new();
            tell(rules.source(&client).await?, &self.rules, &mut data, ["file", "yaml_rules"])?;
            if let (Some(given), Some(name)) = (variables, &self.variables) {
                tell(given.source(&client).await?, name, &mut data, ["vars", "yaml_vars"])?;
            }
            let collective = client.collective(selection.target.as_deref())?;
            let found = selection.discover(&client, Some("scout")).await?;
            let mut asked = ask(&client, "scout", "goss_validate", data, collective.clone(), found).await?;
            asked.report(&client, &collective);
            client.session().close().await;
            asked.replies.sort_by(|a, b| a.sender.cmp(&b.sender));
            let answers: Vec<Answer<'_>> = asked.replies.iter().map(Answer::of).collect();
            if answers.is_empty() {
                errln!("choria: no responses received");
            } else if self.json {
                let document = document("goss_validate", &asked.replies);
                outln!("{}", escaped(&serde_json::to_string_pretty(&document)?));
            } else {
                out!("{}", self.page(display, &answers, began.elapsed()));
            }
            Ok(asked.code(Exit::new(globals, false), answers.iter().all(Answer::is_well)))
        })?
    }

    fn here(
        &self,
        globals: &Globals,
        display: Display,
        rules: Given,
        variables: Option<Given>,
    ) -> anyhow::Result<ExitCode> {
        let began = Instant::now();
        let directory = std::env::current_dir().context("there is no current directory")?;
        let report = block_on(async {
            let (rules, variables) = match (rules, variables) {
                (Given::Known(rules), None) => (rules, None),
                (Given::Known(rules), Some(Given::Known(variables))) => (rules, Some(variables)),
                (rules, variables) => {
                    let client = context::connect(context::client_config(globals)?).await?;
                    let rules = rules.source(&client).await?;
                    let variables = match variables {
                        Some(given) => Some(given.source(&client).await?),
                        None => None,
                    };
                    client.session().close().await;
                    (rules, variables)
                }
            };
            let variables = match variables {
                Some(source) => goss::variables(source).await?,
                None => json!({}),
            };
            let asked = Asked { rules, variables, denied: vec![], directory, limit: goss::LIMIT };
            anyhow::Ok(goss::validate(asked).await?)
        })??;
        let data = report.to_data();
        let answer = Answer { name: "localhost", problem: None, data: &data };
        if self.json {
            outln!("{}", escaped(&serde_json::to_string_pretty(&Value::Object(data.clone()))?));
        } else {
            out!("{}", self.page(display, std::slice::from_ref(&answer), began.elapsed()));
        }
        Ok(if answer.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn page(&self, display: Display, answers: &[Answer<'_>], took: Duration) -> String {
        let mut page = String::new();
        let mut rows: Vec<Vec<String>> = Vec::new();
        for answer in answers {
            let tests: Vec<&Value> = answer.tests().filter(|test| display.shows(test)).collect();
            let state = if answer.is_well() { "✓" } else { "X" };
            let summary = answer.summary();
            let hidden = tests.is_empty() && answer.problem.is_none() && !self.verbose;
            if hidden || (display == Display::None && answer.problem.is_none()) {
                continue;
            }
            if self.table {
                rows.push(vec![
                    state.to_owned(),
                    answer.name.to_owned(),
                    String::new(),
                    String::new(),
                    summary,
                ]);
                rows.extend(tests.iter().map(|test| row(test)));
                continue;
            }
            page.push_str(&format!("{}: {summary}\n\n", answer.name));
            for test in &tests {
                let lines = text(test, "summary-line");
                let lines: Vec<String> = lines.lines().map(|line| clean(line, false).into_owned()).collect();
                page.push_str(&format!("   {} {}\n", mark(test), lines.join("\n   ")));
                if result(test) == 1 {
                    page.push('\n');
                }
            }
            if tests.last().is_some_and(|test| result(test) != 1) {
                page.push('\n');
            }
        }
        if !rows.is_empty() {
            let head = ["", "Node", "Resource", "ID", "State"].map(str::to_owned);
            page.push_str(&format!("Goss check results\n{}\n", table::render(&head, &rows)));
        }
        let total = |name: &str| answers.iter().map(|answer| answer.count(name)).sum::<u64>();
        let broken = answers.iter().filter(|answer| answer.problem.is_some()).count();
        let refused = if broken > 0 { format!(", Refused: {broken}") } else { String::new() };
        page.push_str(&format!(
            "Nodes: {}, Failed: {}, Skipped: {}, Success: {}{refused}, Duration: {}ms\n",
            answers.len(),
            total("failures"),
            total("skipped"),
            total("success"),
            took.as_millis()
        ));
        page
    }
}

fn row(test: &Value) -> Vec<String> {
    let word = |name: &str| clean(&text(test, name), false).into_owned();
    vec![
        mark(test).to_owned(),
        String::new(),
        word("resource-type"),
        word("resource-id"),
        word("summary-line-compact"),
    ]
}

fn text(of: &Value, name: &str) -> String {
    of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What a node answered.
struct Answer<'a> {
    name: &'a str,
    /// Why it tried nothing.
    problem: Option<&'a str>,
    data: &'a Map<String, Value>,
}

impl Answer<'_> {
    fn of(reply: &RpcReply) -> Answer<'_> {
        let refused = reply.body.statuscode != StatusCode::Ok;
        Answer {
            name: &reply.sender,
            problem: refused.then_some(reply.body.statusmsg.as_str()),
            data: &reply.body.data,
        }
    }

    fn count(&self, name: &str) -> u64 {
        self.data.get(name).and_then(Value::as_u64).unwrap_or_default()
    }

    fn is_well(&self) -> bool {
        self.problem.is_none() && self.count("failures") == 0
    }

    fn summary(&self) -> String {
        let said = self.data.get("summary").and_then(Value::as_str).unwrap_or_default();
        clean(self.problem.unwrap_or(said), false).into_owned()
    }

    fn tests(&self) -> impl Iterator<Item = &Value> {
        self.data.get("results").and_then(Value::as_array).into_iter().flatten()
    }
}

/// Rules or variables, as far as is known of them.
enum Given {
    /// What they are, or the file that says it.
    Known(Source),
    /// A key of a bucket.
    Kept { bucket: String, key: String },
}

impl Given {
    /// By the flags that say where they are: on nodes, in a bucket. Files of this machine that nodes are sent
    /// are read.
    fn new(what: &str, name: &str, flags: (bool, bool), local: bool) -> anyhow::Result<Given> {
        let (remote, kept) = flags;
        Ok(match (remote, kept, local) {
            (true, true, _) => bail!("--remote-{what} and --kv-{what} are two places, give one"),
            (true, false, true) => bail!("{name} is a file of the nodes, and --local asks none of them"),
            (true, false, false) | (false, false, true) => Given::Known(Source::File(PathBuf::from(name))),
            (false, true, _) => {
                let (bucket, key) = name
                    .split_once('.')
                    .ok_or_else(|| anyhow!("'{}' is no BUCKET.KEY", clean(name, false)))?;
                check_bucket(bucket)?;
                check_key(key)?;
                Given::Kept { bucket: bucket.to_owned(), key: key.to_owned() }
            }
            (false, false, false) => {
                let bytes = read_bounded(Path::new(name), MOST).map_err(|e| match e.kind() {
                    ErrorKind::FileTooLarge => too_long(name),
                    _ => e.into(),
                })?;
                Given::Known(text_of(name, bytes)?)
            }
        })
    }

    /// With what a bucket holds.
    async fn source(self, client: &Client) -> anyhow::Result<Source> {
        let (name, key) = match self {
            Given::Known(source) => return Ok(source),
            Given::Kept { bucket, key } => (bucket, key),
        };
        let bucket = Bucket::find(&client.streams(), &name).await?;
        let entry = bucket.with_context(|| format!("there is no bucket {name}"))?.get(&key).await?;
        let entry = entry.with_context(|| format!("bucket {name} has no key {key}"))?;
        text_of(&format!("{name}.{key}"), entry.value.to_vec())
    }
}

fn text_of(name: &str, bytes: Vec<u8>) -> anyhow::Result<Source> {
    Ok(Source::Text(String::from_utf8(bytes).with_context(|| format!("{name} is no text"))?))
}

/// Tells nodes: a file by its name there, all else by what it holds.
fn tell(source: Source, name: &str, data: &mut Map<String, Value>, inputs: [&str; 2]) -> anyhow::Result<()> {
    match source {
        Source::File(_) => data.insert(inputs[0].to_owned(), json!(name)),
        Source::Text(text) if text.len() as u64 > MOST => return Err(too_long(name)),
        Source::Text(text) => data.insert(inputs[1].to_owned(), json!(text)),
    };
    Ok(())
}

fn too_long(name: &str) -> anyhow::Error {
    anyhow!(
        "{name} is longer than {MOST} bytes and cannot be sent, it has to be on the nodes: --remote-rules, --remote-variables"
    )
}

#[cfg(test)]
mod tests {
    use argh::FromArgs;

    use super::*;

    #[test]
    fn pages_are_those_of_the_original() {
        let test = |result: u64, line: &str| {
            json!({"result": result, "resource-type": "File", "resource-id": "/a", "summary-line": line,
                   "summary-line-compact": line.replace('\n', " ")})
        };
        let data = json!({
            "failures": 1, "skipped": 1, "success": 1, "summary": "Count: 3, Failed: 1, Duration: 0.000s",
            "results": [test(1, "File: /a: exists:\nExpected\n    false"), test(0, "File: /b: fine"), test(2, "File: /c: skipped")],
        });
        let data = data.as_object().unwrap();
        let answers = [
            Answer { name: "n2", problem: None, data },
            Answer { name: "n3", problem: Some("no\u{1b} rules"), data: &Map::new() },
        ];
        let page = |words: &[&str]| {
            let validate = Validate::from_args(&["validate"], &[words, &["r"]].concat()).unwrap();
            let display = Display::new(validate.display.as_deref()).unwrap();
            validate.page(display, &answers, Duration::from_millis(30))
        };
        let end = "n3: no rules\n\nNodes: 2, Failed: 1, Skipped: 1, Success: 1, Refused: 1, Duration: 30ms\n";
        let failed = "n2: Count: 3, Failed: 1, Duration: 0.000s\n\n   X File: /a: exists:\n   Expected\n       false\n\n   ? \
                      File: /c: skipped\n\n";
        assert_eq!(page(&[]).replace("no\u{fffd} rules", "no rules"), format!("{failed}{end}"));
        assert!(page(&["--display", "ok"]).contains("   ✓ File: /b: fine\n\n"));
        let none = page(&["--display", "none"]);
        assert!(none.starts_with("n3: ") && !none.contains("n2"), "{none}");
        let table = page(&["--table", "--display", "all"]);
        assert!(
            table.contains("Resource") && table.contains("File: /a: exists: Expected     false"),
            "{table}"
        );
    }
}
