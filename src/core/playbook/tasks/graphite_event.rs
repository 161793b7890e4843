//! An event for Graphite.

use serde_json::json;

use super::{TaskType, webhook};
use crate::core::playbook::http::{Address, Question};
use crate::core::playbook::options::Options;
use crate::core::playbook::world::World;
use crate::core::puppet::host::{Outcome, Trouble};

pub(super) const TYPE: TaskType = TaskType {
    name: "graphite_event",
    options: &["what", "data", "graphite", "tags", "headers", "verify_ssl", "ca", "timeout"],
    run,
};

pub(super) fn question(options: &Options<'_>, id: &str, now: i64) -> Result<Question, Trouble> {
    let address = Address::parse(options.required("graphite")?).map_err(|e| options.wrong(e))?;
    let tags = options.texts("tags")?.unwrap_or_else(|| vec!["choria".to_owned()]);
    let data = options.data("data")?.ok_or_else(|| options.wrong("the option 'data' is missing"))?;
    let body = json!({"what": options.required("what")?, "tags": tags.join(","), "when": now, "data": data});
    let mut headers = vec![
        ("Content-Type".to_owned(), "application/json".to_owned()),
        ("User-Agent".to_owned(), "Choria Playbooks http://choria.io".to_owned()),
        ("X-Choria-Request-ID".to_owned(), id.to_owned()),
    ];
    headers.extend(options.words("headers")?);
    webhook::finished(options, "POST".to_owned(), address, headers, body.to_string().into_bytes())
}

fn run(world: &mut World, options: &Options<'_>) -> Result<Outcome, Trouble> {
    let id = uuid::Uuid::new_v4().to_string();
    let question = question(options, &id, jiff::Timestamp::now().as_second())?;
    webhook::send(world, options, "graphite_event", question)
}
