//! External data plugins (ours): small questions to programs of anybody, asked by
//! `rpcutil#get_data` and, within what a filter may cost, by compound filters.
//!
//! An interface lies at `mcollective/data/NAME.json` of a library directory, with the provider
//! `external` and the program `NAME` beside it. The program is handed its question as an
//! external agent its request, and answers with one JSON object of its outputs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::exchange::Exchange;
use super::{Surroundings, messages, program, runnable};
use crate::core::ddl::DataDdl;

/// What a program is told it is asked.
const DATA_REQUEST: &str = "io.choria.mcorpc.external.v1.data_request";
/// Largest answer, in bytes: values for filters, no documents.
const LARGEST: usize = 64 * 1024;

/// The external data plugins of a node, by name.
pub type DataSet = BTreeMap<String, Arc<DataPlugin>>;

/// A data plugin that is a program.
#[derive(Debug, Clone, PartialEq)]
pub struct DataPlugin {
    ddl: DataDdl,
    dir: PathBuf,
    config: PathBuf,
    memory: Option<u64>,
}

impl DataPlugin {
    /// The plugin of an interface that lies in `dir`.
    pub fn new(ddl: DataDdl, dir: &Path, around: &Surroundings) -> DataPlugin {
        let config = around.config_of(&ddl.metadata.name);
        DataPlugin { ddl, dir: dir.to_owned(), config, memory: around.memory }
    }

    /// Its interface.
    pub fn ddl(&self) -> &DataDdl {
        &self.ddl
    }

    /// Asks it, for `limit` and its own time at most; the program is killed then. `facts` are
    /// those of the node, as JSON.
    ///
    /// # Errors
    /// Why there is no answer, with the last words of the program.
    pub async fn ask(
        &self,
        query: Option<&str>,
        limit: Duration,
        facts: String,
    ) -> Result<Map<String, Value>, String> {
        let name = &self.ddl.metadata.name;
        self.ddl.validate(query).map_err(|e| e.to_string())?;
        let program = program(&self.dir, name).ok_or("its program was not found")?;
        runnable(&program)?;
        let request = json!({"protocol": DATA_REQUEST, "data": name, "query": query});
        let limit = limit.min(Duration::from_secs(self.ddl.timeout()));
        let exchange = Exchange {
            agent: name,
            program: &program,
            config: &self.config,
            memory: self.memory,
            protocol: DATA_REQUEST,
            limit,
        };
        let (answer, said) = exchange.run(&request, facts).await?;
        if answer.len() > LARGEST {
            return Err(format!("its answer has more than {LARGEST} bytes{said}"));
        }
        let answer = messages::read(&answer).map_err(|e| format!("{e}{said}"))?;
        Ok(self.ddl.outputs(answer))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn programs_answer_or_it_is_said_why_not() {
        let dir = tempfile::tempdir().unwrap();
        let ddl = json!({
            "metadata": {"name": "demo", "provider": "external", "timeout": 5},
            "query": {"prompt": "What", "type": "string", "validation": "shellsafe", "maxlength": 20},
            "output": {"asked": {}, "facts": {"default": "none"}},
        });
        let ddl = DataDdl::parse(ddl.to_string().as_bytes()).unwrap();
        let plugin = DataPlugin::new(ddl, dir.path(), &Surroundings::default());
        let ask = async |script: &str, query: &str, limit: u64| {
            let file = dir.path().join("demo");
            fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
            let answer = plugin.ask(Some(query), Duration::from_millis(limit), "{}".into()).await;
            answer.map(|answer| Value::Object(answer).to_string())
        };
        let echo = r#"printf '{"asked":%s,"extra":1}' "$(cat "$1" | tr -d '\n')" > "$2""#;
        let answer = ask(echo, "a b", 5000).await.unwrap();
        assert!(answer.contains(r#""query":"a b""#) && answer.contains(r#""facts":"none""#), "{answer}");
        assert!(!answer.contains("extra"), "{answer}");
        for (script, query, problem) in [
            ("exit 3", "x", "executing demo failed: exit status 3"),
            ("echo why >&2; exit 1", "x", "it said: why"),
            ("sleep 600 & sleep 600", "x", "took longer than 300ms and was killed"),
            ("echo '[1]' > $2", "x", "it is no object"),
            ("head -c 70000 /dev/zero > $2", "x", "more than 65536 bytes"),
            ("echo '{}' > $2", "$(reboot)", "invalid value for 'query'"),
            ("echo '{}' > $2", "a longer one than it may be", "invalid value for 'query'"),
        ] {
            let error = ask(script, query, 300).await.unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }
}
