//! How a run of Puppet is asked for.

use serde_json::Value;

use super::command;
use crate::core::agents::Call;
use crate::core::agents::system::{Tool, switch};
use crate::core::config::Config;

/// What every run is given. The original asks for differences of files, too, and shows them
/// to nobody; here what a run says is kept for its caller, who may have no right to them.
const ALWAYS: [&str; 5] = ["--onetime", "--no-daemonize", "--color=false", "--no-show_diff", "--verbose"];
/// Longest splay that is granted, in seconds.
const LONGEST_SPLAY: u64 = 1800;

/// What the caller's wishes are on Puppet's command line. When its daemon will be woken
/// instead, splay is its own business.
///
/// # Errors
/// A wish that cannot be granted, as a sentence.
pub(super) fn options(call: &Call, config: &Config, daemon: bool) -> Result<Vec<String>, String> {
    let mut options: Vec<String> = Vec::new();
    let wish = |name: &str| call.data.get(name).and_then(Value::as_bool);
    let mut add = |words: &[&str]| options.extend(words.iter().map(|word| (*word).to_owned()));
    for (input, flag) in [("tags", "--tags"), ("skip_tags", "--skip_tags")] {
        let tags: Vec<&str> = call.text(input).split(',').map(str::trim).filter(|t| !t.is_empty()).collect();
        let word = input.trim_end_matches('s');
        if let Some(bad) = tags.iter().find(|tag| !tag.split("::").all(is_name)) {
            return Err(format!("Invalid {word} '{bad}' specified"));
        }
        if !tags.is_empty() {
            add(&[flag, &tags.join(",")]);
        }
    }
    if !daemon {
        let splay = match wish("force") {
            Some(true) => false,
            _ => wish("splay").unwrap_or_else(|| switch(config.option("plugin.puppet.splay"), true)),
        };
        add(&[if splay { "--splay" } else { "--no-splay" }]);
        if splay {
            add(&["--splaylimit", &splay_limit(call, config)?.to_string()]);
        }
    }
    match wish("noop") {
        Some(true) => add(&["--noop"]),
        Some(false) => add(&["--no-noop"]),
        None => {}
    }
    let environment = call.text("environment");
    if !environment.is_empty() {
        if !is_name(environment) {
            return Err(format!("Invalid environment '{environment}' specified"));
        }
        add(&["--environment", environment]);
    }
    let server = call.text("server");
    if !server.is_empty() {
        if !switch(config.option("plugin.puppet.allow_server_override"), false) {
            return Err("Passing 'server' option is not allowed in module configuration".to_owned());
        }
        let (host, port) = server.split_once(':').map_or((server, None), |(h, p)| (h, Some(p)));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let bad_port = port.is_some_and(|port| port.parse::<u16>().is_err());
        if !host.chars().all(plain) || !host.starts_with(|c: char| c.is_ascii_alphanumeric()) || bad_port {
            return Err(format!("The server '{server}' is no host or host:port"));
        }
        add(&["--server", host]);
        if let Some(port) = port {
            add(&["--masterport", port]);
        }
    }
    match wish("use_cached_catalog") {
        Some(true) => add(&["--use_cached_catalog"]),
        Some(false) => add(&["--no-use_cached_catalog"]),
        None => {}
    }
    Ok(options)
}

fn splay_limit(call: &Call, config: &Config) -> Result<u64, String> {
    if let Some(asked) = call.data.get("splaylimit") {
        let granted = asked.as_u64().filter(|seconds| *seconds <= LONGEST_SPLAY);
        return granted.ok_or_else(|| format!("Invalid splaylimit '{asked}' specified"));
    }
    let set = config.option("plugin.puppet.splaylimit").unwrap_or("30");
    set.trim().parse().map_err(|_| format!("plugin.puppet.splaylimit = {set} is no number of seconds"))
}

/// A name of Puppet's: letters, digits and underscores; a single character is a letter.
fn is_name(name: &str) -> bool {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match name.len() {
        0 => false,
        1 => name.chars().all(|c| c.is_ascii_alphabetic()),
        _ => plain,
    }
}

/// A run with these options.
///
/// # Errors
/// As [`command`].
pub(super) fn tool(config: &Config, options: &[String]) -> Result<Tool, String> {
    let (program, words) = command(config)?;
    let always = ALWAYS.into_iter().map(str::to_owned);
    Ok(Tool::new(program, words.into_iter().chain(always).chain(options.iter().cloned())))
}
