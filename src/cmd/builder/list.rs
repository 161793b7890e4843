//! `choria builder list`

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use super::app::load;
use super::places::{self, Found};
use crate::cmd::out::{errln, out, outln};
use crate::cmd::render::table;
use crate::cmd::render::text::{clean, escaped};

/// list applications
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "list")]
pub struct List {
    /// show JSON
    #[argh(switch, short = 'j')]
    json: bool,
}

impl List {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut rows: Vec<Vec<String>> = vec![];
        for (name, file) in places::all() {
            let found = Found { name: name.clone(), file, settings: None, is_tasks: false };
            let about = match load(&found) {
                Ok(compiled) => compiled.definition.description.lines().next().unwrap_or_default().to_owned(),
                Err(_) => "(it is not valid, see above)".to_owned(),
            };
            rows.push(vec![name, found.file.display().to_string(), about]);
        }
        if self.json {
            let document = |row: &Vec<String>| json!({"name": row[0], "file": row[1], "description": row[2]});
            let all: Vec<Value> = rows.iter().map(document).collect();
            outln!("{}", escaped(&format!("{:#}", Value::from(all))));
        } else if rows.is_empty() {
            errln!("There are no applications: choria builder new NAME makes one");
        } else {
            let titles = ["Name", "Location", "Description"].map(str::to_owned);
            out!("{}", clean(&table::render(&titles, &rows), true));
        }
        Ok(ExitCode::SUCCESS)
    }
}
