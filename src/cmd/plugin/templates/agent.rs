//! The agent @NAME@. Its interface is @NAME@.json: what is not declared there never
//! reaches this program, and inputs have been checked when they do.
//!
//! Run for each request, it finds the request in a file and leaves its reply in another.
//! With "persistent": true in the interface's metadata it stays up instead, and reads a
//! request from each line of its standard input; the same functions answer.

use std::error::Error;
use std::io::{BufRead, Write};
use std::{env, fs, io};

use serde_json::{Value, json};

/// An action: gets the inputs, returns outputs. Errors tell the caller.
fn greet(data: &Value) -> Result<Value, Box<dyn Error>> {
    let name = data["name"].as_str().unwrap_or("world");
    Ok(json!({"greeting": format!("Hello {name}"), "from": "@NAME@"}))
}

fn answer(request: &Value) -> Value {
    let protocol = request["protocol"].as_str().unwrap_or_default();
    if protocol.ends_with(".activation_request") {
        // false where this agent cannot work
        return json!({"activate": true});
    }
    let done = match request["action"].as_str().unwrap_or_default() {
        "greet" => greet(&request["data"]),
        other => return json!({"statuscode": 2, "statusmsg": format!("unknown action {other}")}),
    };
    match done {
        Ok(data) => json!({"statuscode": 0, "statusmsg": "OK", "data": data}),
        Err(error) => json!({"statuscode": 1, "statusmsg": error.to_string(), "data": {}}),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    if env::var("CHORIA_EXTERNAL_PROTOCOL").is_ok_and(|protocol| protocol.ends_with(".lines")) {
        let mut out = io::stdout().lock();
        for line in io::stdin().lock().lines() {
            let asked: Value = serde_json::from_str(&line?)?;
            let reply = json!({"id": asked["id"], "reply": answer(&asked["request"])});
            writeln!(out, "{reply}")?;
            out.flush()?;
        }
        return Ok(());
    }
    let request = fs::read_to_string(env::var("CHORIA_EXTERNAL_REQUEST")?)?;
    let reply = answer(&serde_json::from_str(&request)?);
    fs::write(env::var("CHORIA_EXTERNAL_REPLY")?, reply.to_string())?;
    Ok(())
}
