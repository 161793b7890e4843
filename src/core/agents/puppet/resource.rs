//! Sets one resource right, of types and names the node's owner has allowed.

use serde_json::Value;

use super::settings::Paths;
use super::{ASKED, puppet, summary};
use crate::core::agents::system::input::{Refused, word};
use crate::core::agents::system::{Outputs, Places, Told, switch};
use crate::core::agents::{Call, Outcome};
use crate::core::config::Config;

/// Inputs that are no properties of the resource.
const OWN: [&str; 4] = ["type", "name", "environment", "process_results"];

/// Properties that say which resource it is, or run what the caller likes.
const NEVER: [&str; 13] = [
    "path",
    "command",
    "provider",
    "source",
    "start",
    "stop",
    "status",
    "restart",
    "binary",
    "onlyif",
    "unless",
    "creates",
    "validate_cmd",
];

/// Sets it right by `puppet resource`.
pub(super) async fn set(
    call: &Call,
    config: &Config,
    paths: &Paths,
    places: &Places,
    mut outputs: Outputs,
) -> Outcome {
    let (kind, name) = (call.text("type").to_lowercase(), call.text("name"));
    if let Err(reason) = allowed(config, &kind, name) {
        return outputs.aborted(reason);
    }
    let arguments = match arguments(call, &kind, name) {
        Ok(arguments) => arguments,
        Err(refused) => return refused.answer(outputs),
    };
    let (paths, about) = (paths.clone(), (kind.clone(), name.to_owned()));
    let managed = places.block(move || summary::manages(&paths, &about.0, &about.1));
    let may = switch(config.option("plugin.puppet.resource_allow_managed_resources"), false);
    let shown = format!("{}[{name}]", summary::capitalized(&kind));
    if !may && managed.await.unwrap_or(true) {
        return outputs.aborted(format!(
            "Puppet is managing the resource '{shown}', refusing to create conflicting states"
        ));
    }
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let told = match puppet(config, &words) {
        Ok(tool) => tool.ask(ASKED).await,
        Err(problem) => Err(problem),
    };
    let told = match told {
        Ok(told) => told,
        Err(problem) => return outputs.broken(problem),
    };
    let logged = logged(&told);
    let result = if logged.is_empty() { "no output produced".to_owned() } else { logged.join("\n") };
    outputs.set("result", result.as_str());
    outputs.set("changed", logged.iter().any(|line| line.starts_with("Notice: /")));
    if !told.well() || logged.iter().any(|line| line.starts_with("Error: ")) {
        return outputs.aborted(format!("Failed to apply {shown}: {result}"));
    }
    outputs.done()
}

/// Whether the lists of this node allow it; without any, nothing is.
pub(super) fn allowed(config: &Config, kind: &str, name: &str) -> Result<(), String> {
    let list = |what: &str| config.option(&format!("plugin.puppet.resource_{what}"));
    let has = |list: &str, word: &str| list != "none" && list.split(',').any(|item| item.trim() == word);
    match (list("type_whitelist"), list("type_blacklist")) {
        (Some(_), Some(_)) => {
            return Err("You cannot specify both puppet.resource_type_whitelist and \
                        puppet.resource_type_blacklist in the config file"
                .to_owned());
        }
        (None, Some(black)) if has(black, kind) => {
            return Err(format!("The {kind} type is listed in the type blacklist"));
        }
        (None, Some(_)) => {}
        (white, None) if !white.is_some_and(|white| has(white, kind)) => {
            return Err(format!("The {kind} type is not listed in the type whitelist"));
        }
        (_, None) => {}
    }
    match (list(&format!("name_whitelist.{kind}")), list(&format!("name_blacklist.{kind}"))) {
        (Some(_), Some(_)) => Err(format!(
            "You cannot specify both puppet.resource_name_whitelist.{kind} and \
             puppet.resource_name_blacklist.{kind} in the config file"
        )),
        (None, Some(black)) if has(black, name) => {
            Err(format!("The {name} name is listed in the name blacklist"))
        }
        (Some(white), None) if !has(white, name) => {
            Err(format!("The {name} name is not listed in the name whitelist"))
        }
        _ => Ok(()),
    }
}

fn arguments(call: &Call, kind: &str, name: &str) -> Result<Vec<String>, Refused> {
    word("type", kind, "_")?;
    // lists of names are compared as they are written
    let odd = name.starts_with('/')
        && (name.ends_with('/') || name.split('/').skip(1).any(|p| ["", ".", ".."].contains(&p)));
    if odd || name.starts_with('-') || name.chars().any(char::is_control) || name.is_empty() {
        return Err(Refused::new("name", name, "is no name of a resource"));
    }
    let mut arguments = vec!["resource".to_owned(), "--color=false".to_owned()];
    let environment = call.text("environment");
    if !environment.is_empty() {
        word("environment", environment, "_")?;
        arguments.push(format!("--environment={environment}"));
    }
    arguments.extend([kind.to_owned(), name.to_owned()]);
    for (property, value) in call.data.iter().filter(|(key, _)| !OWN.contains(&key.as_str())) {
        if NEVER.contains(&property.as_str()) {
            return Err(Refused::new("property", property, "may not be set from afar"));
        }
        let plain = property.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        if !plain || !property.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(Refused::new("property", property, "is no name of a property"));
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            _ => return Err(Refused::new("property", property, "is neither a text, a number nor a boolean")),
        };
        arguments.push(format!("{property}={text}"));
    }
    Ok(arguments)
}

/// What Puppet logged of it, without how things are now.
fn logged(told: &Told) -> Vec<String> {
    let levels = ["Notice: ", "Warning: ", "Error: ", "Info: "];
    let lines = told.output.lines().chain(told.errors.lines()).map(str::trim);
    let about = |line: &&str| levels.iter().any(|level| line.starts_with(level)) && !line.contains("Facter");
    lines.filter(about).map(str::to_owned).collect()
}
