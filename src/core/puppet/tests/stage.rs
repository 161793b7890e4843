//! A host for tests: modules in memory, tasks that answer what their options say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::{Map, Value as Json, json};

use crate::host::{Host, Kind, Level, Outcome, Trouble};
use crate::source::Source;
use crate::value::Hash;
use crate::{Error, Evaluator, Limits, Value};

#[derive(Default)]
pub(crate) struct Stage {
    /// Path below the module `demo`, and text.
    pub files: BTreeMap<String, String>,
    pub said: Vec<(Level, String)>,
    pub slept: Vec<u64>,
    pub locked: Vec<String>,
    pub data: BTreeMap<String, String>,
}

impl Stage {
    pub(crate) fn with(files: &[(&str, &str)]) -> Stage {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Stage { files, ..Stage::default() }
    }

    pub(crate) fn run(&mut self, code: &str) -> Result<Value, Error> {
        self.run_within(code, Limits::default())
    }

    pub(crate) fn run_within(&mut self, code: &str, limits: Limits) -> Result<Value, Error> {
        let mut evaluator = Evaluator::new(self, limits, Arc::new(AtomicBool::new(false)));
        evaluator.set_facts(&json!({"choria": {"playbook": "demo::x"}}))?;
        evaluator.script(Source::new("main.pp", code))
    }
}

impl Host for Stage {
    fn log(&mut self, level: Level, message: &str) {
        self.said.push((level, message.to_owned()));
    }

    fn source(&mut self, kind: Kind, name: &str) -> Result<Option<Source>, Trouble> {
        let directory = match kind {
            Kind::Plan => "plans",
            Kind::Function => "functions",
            Kind::Type => "types",
        };
        let name = name.to_lowercase();
        let Some(rest) = name.strip_prefix("demo") else { return Ok(None) };
        let file = match rest.strip_prefix("::") {
            None => format!("{directory}/init.pp"),
            Some(rest) => format!("{directory}/{}.pp", rest.replace("::", "/")),
        };
        let path = format!("<modules>/demo/{file}");
        Ok(self.files.get(&file).map(|text| Source::new(&path, text.clone())))
    }

    fn ruby(&mut self, function: &str) -> Option<String> {
        (function == "demo::in_ruby").then(|| "demo/lib/puppet/functions/demo/in_ruby.rb".to_owned())
    }

    fn now(&mut self) -> i64 {
        1_700_000_000_000_000_000
    }

    fn task(&mut self, kind: &str, options: &Hash) -> Result<Outcome, Trouble> {
        let Some(stub) = options.at("stub").map(Value::to_json) else {
            return Err(Trouble("the property stub holds the replies".to_owned()));
        };
        let fail_ok = options.at("fail_ok").is_some_and(Value::is_true);
        let (mut results, mut failed) = (vec![], 0);
        for (host, reply) in stub.as_object().into_iter().flatten() {
            let mut result = Map::new();
            result.insert("value".into(), reply.clone());
            result.insert("type".into(), kind.into());
            result.insert("fail_ok".into(), fail_ok.into());
            if reply["statuscode"] != 0 {
                failed += 1;
                let details = json!({"agent": "a", "action": "b", "issue_code": reply["statuscode"]});
                let kind = "choria.playbook/taskerror";
                result.insert(
                    "error".into(),
                    json!({"msg": reply["statusmsg"], "kind": kind, "details": details}),
                );
            }
            results.push((host.clone(), result));
        }
        let message = match failed {
            0 => "fine".to_owned(),
            n => format!("Failed request X for a#b on {n} failed node(s)"),
        };
        Ok(Outcome { message, success: failed == 0, fail_ok, results })
    }

    fn discover(&mut self, _: &str, options: &Hash) -> Result<Vec<String>, Trouble> {
        let count = options.at("count").map(Value::to_json).and_then(|n| n.as_u64()).unwrap_or(2);
        Ok((1..=count).map(|n| format!("n{n}")).collect())
    }

    fn read(&mut self, key: &str, _: &Hash) -> Result<Json, Trouble> {
        let value = self.data.get(key).cloned().map(Json::String);
        value.ok_or_else(|| Trouble(format!("Could not read key plan_store/{key}: No such key {key}")))
    }

    fn write(&mut self, key: &str, value: &str, _: &Hash) -> Result<(), Trouble> {
        self.data.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    fn lock(&mut self, key: &str, _: &Hash) -> Result<(), Trouble> {
        self.locked.push(format!("+{key}"));
        Ok(())
    }

    fn unlock(&mut self, key: &str, _: &Hash) -> Result<(), Trouble> {
        self.locked.push(format!("-{key}"));
        Ok(())
    }

    fn sleep(&mut self, seconds: u64) -> Result<(), Trouble> {
        self.slept.push(seconds);
        Ok(())
    }
}
