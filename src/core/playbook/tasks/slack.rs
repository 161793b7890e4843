//! A message for a channel of Slack.

use serde_json::{Value as Json, json};

use super::{TaskType, webhook};
use crate::core::playbook::http::{Address, Question, ask};
use crate::core::playbook::options::Options;
use crate::core::playbook::world::{World, result};
use crate::core::puppet::host::{Outcome, Trouble};

pub(super) const TYPE: TaskType =
    TaskType { name: "slack", options: &["token", "channel", "text", "color", "username", "timeout"], run };

pub(super) fn question(options: &Options<'_>, caller: &str, playbook: &str) -> Result<Question, Trouble> {
    let address = Address::parse("https://slack.com/api/chat.postMessage").map_err(Trouble)?;
    let text = options.required("text")?;
    let description = options.text("description")?.unwrap_or("slack task");
    let field = |title: &str, value: &str| json!({"title": title, "value": value, "short": true});
    let body = json!({
        "username": options.text("username")?.unwrap_or("Choria"),
        "channel": options.required("channel")?,
        "icon_url": "https://choria.io/img/slack-48x48.png",
        "attachments": [{
            "fallback": text,
            "color": options.text("color")?.unwrap_or("#ffa449"),
            "text": text,
            "pretext": format!("Task: {description}"),
            "mrkdwn_in": ["text"],
            "footer": "Choria Playbooks",
            "fields": [field("user", caller), field("playbook", playbook)],
        }],
    });
    let token = options.required("token")?;
    if hyper::header::HeaderValue::try_from(token).is_err() {
        return Err(options.wrong("the option 'token' has signs that no token has"));
    }
    let headers = vec![
        ("Content-type".to_owned(), "application/json; charset=utf-8".to_owned()),
        ("Authorization".to_owned(), format!("Bearer {token}")),
    ];
    webhook::finished(options, "POST".to_owned(), address, headers, body.to_string().into_bytes())
}

fn run(world: &mut World, options: &Options<'_>) -> Result<Outcome, Trouble> {
    let fail_ok = options.flag("fail_ok", false)?;
    let question = question(options, &world.caller, &world.playbook)?;
    let (value, failure) = match world.wait(ask(question))? {
        Ok((status, body)) => {
            let json: Json = serde_json::from_str(&body).unwrap_or(Json::String(body));
            match status.as_u16() == 200 && json["ok"] == true {
                true => (json["message"].clone(), None),
                false => {
                    let why =
                        json["error"].as_str().map_or_else(|| format!("it answered {status}"), str::to_owned);
                    (json, Some(why))
                }
            }
        }
        Err(e) => (Json::Null, Some(e)),
    };
    let message = match &failure {
        None => "Message submitted to slack channel".to_owned(),
        Some(why) => format!("Failed to send message to slack: {why}"),
    };
    let error = failure.map(|_| (message.clone(), json!({})));
    let success = error.is_none();
    let results = vec![("slack.com".to_owned(), result("slack", value, fail_ok, error))];
    Ok(Outcome { message, success, fail_ok, results })
}
