//! `choria requests`: what waits for absent nodes (`choria rpc --until`), and what came of it.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::client::Client;
use choria::core::deferred::{Answer, Head, Keeping, Kept, Place};
use choria::core::rpc::ReplyBody;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Globals;
use super::context;
use super::out::{errln, out, outln};
use super::render::table;
use super::render::text::clean;
use super::request::keeping;
use super::streams::{clock, show, sure};

/// look at requests that wait for absent nodes, and end them
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "requests")]
pub struct Requests {
    #[argh(subcommand)]
    command: Sub,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Sub {
    Cancel(Cancel),
    List(List),
    Show(Show),
}

/// end a request for the nodes that have not begun it
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "cancel")]
struct Cancel {
    /// do not ask
    #[argh(switch, short = 'f')]
    force: bool,
    /// of this caller, such as choria=alice.mcollective; default one's own, others take a privileged certificate
    #[argh(option, arg_name = "caller")]
    caller: Option<String>,
    /// as JSON
    #[argh(switch, short = 'j')]
    json: bool,
    /// id of the request, the beginning of it, or last
    #[argh(positional)]
    id: String,
}

/// list requests that are kept, the newest first
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "list")]
struct List {
    /// of this caller, such as choria=alice.mcollective; default one's own
    #[argh(option, arg_name = "caller")]
    caller: Option<String>,
    /// as JSON
    #[argh(switch, short = 'j')]
    json: bool,
}

/// show who has answered a request, what each said, and who is to come yet
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "show")]
struct Show {
    /// of this caller, such as choria=alice.mcollective; default one's own
    #[argh(option, arg_name = "caller")]
    caller: Option<String>,
    /// as JSON
    #[argh(switch, short = 'j')]
    json: bool,
    /// id of the request, the beginning of it, or last
    #[argh(positional)]
    id: String,
}

impl Requests {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        match self.command {
            Sub::Cancel(c) => c.run(globals),
            Sub::List(c) => c.run(globals),
            Sub::Show(c) => c.run(globals),
        }
    }
}

/// Connected, as somebody who looks at what `caller` keeps.
fn connected<T>(
    globals: &Globals,
    caller: Option<&str>,
    work: impl AsyncFnOnce(&Client, &Keeping) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    context::block_on(async {
        let client = context::connect(context::client_config(globals)?).await?;
        let keeping = keeping(&client, caller.unwrap_or(client.caller()));
        let done = work(&client, &keeping).await;
        client.session().close().await;
        done
    })?
}

/// The request a person means.
async fn find(keeping: &Keeping, wanted: &str) -> anyhow::Result<Kept> {
    let heads = keeping.heads().await?;
    let id = match wanted {
        "last" => heads.last().map(|(id, _)| id.clone()).context("no request is kept")?,
        wanted => {
            let mut ids = heads.iter().filter(|(id, _)| id.starts_with(wanted)).map(|(id, _)| id);
            match (ids.next(), ids.next()) {
                (Some(id), None) => id.clone(),
                (None, _) => {
                    bail!("no request {} is kept; choria requests list shows them", clean(wanted, false))
                }
                (Some(_), Some(_)) => {
                    bail!("several requests begin with {}: give more of the id", clean(wanted, false))
                }
            }
        }
    };
    keeping.find(&id).await?.with_context(|| format!("request {id} is kept no longer"))
}

/// One word for what has become of it for a node.
fn state(place: Option<&Place>, over: bool) -> &'static str {
    match place {
        None => "lost",
        Some(Place::Asked { .. }) if over => "expired",
        Some(Place::Asked { .. }) => "waiting",
        Some(Place::Begun { .. }) => "begun",
        Some(Place::Answered(Answer { refused: true, .. })) => "refused",
        Some(Place::Answered(_)) => "answered",
        Some(Place::Cancelled { .. }) => "cancelled",
    }
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or_default()
}

fn words(head: &Head) -> String {
    let word = |(name, value): (&String, &Value)| {
        format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    let inputs = head.inputs.iter().map(word);
    [head.agent.clone(), head.action.clone()].into_iter().chain(inputs).collect::<Vec<_>>().join(" ")
}

/// What a node said in the end.
fn said(place: &Place) -> Option<(i64, Option<ReplyBody>, &str)> {
    let Place::Answered(answer) = place else { return None };
    let reply = answer.reply.as_ref().and_then(|reply| ReplyBody::decode(reply.get().as_bytes()).ok());
    Some((answer.at, reply, &answer.reason))
}

fn document(kept: &Kept, now: i64) -> Value {
    let head = &kept.head;
    let over = now >= head.until;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let nodes: Vec<Value> = kept
        .places
        .iter()
        .map(|(node, place)| {
            let place = place.as_ref().map(|(_, place)| place);
            let state = state(place, over);
            *counts.entry(state).or_default() += 1;
            let mut document = json!({"node": node, "state": state});
            match place {
                Some(Place::Begun { at, .. } | Place::Cancelled { at }) => {
                    document["time"] = time(*at).to_string().into();
                }
                Some(place) => {
                    if let Some((at, reply, reason)) = said(place) {
                        document["time"] = time(at).to_string().into();
                        if let Some(reply) = reply {
                            document["statuscode"] = reply.statuscode.code().into();
                            document["statusmsg"] = reply.statusmsg.into();
                            document["data"] = reply.data.into();
                        }
                        if !reason.is_empty() {
                            document["reason"] = reason.into();
                        }
                    }
                }
                None => {}
            }
            document
        })
        .collect();
    json!({
        "id": kept.id, "caller": head.caller, "agent": head.agent, "action": head.action, "inputs": head.inputs,
        "made": time(head.made).to_string(), "until": time(head.until).to_string(), "states": counts, "nodes": nodes,
    })
}

fn describe(kept: &Kept, now: i64) {
    let (head, over) = (&kept.head, now >= kept.head.until);
    outln!("Request: {}", kept.id);
    outln!(" Caller: {}", clean(&head.caller, false));
    outln!("  Asked: {}", clean(&words(head), false));
    outln!("   Made: {}", clock(time(head.made)));
    outln!("  Until: {}{}", clock(time(head.until)), if over { ", which is over" } else { "" });
    outln!("");
    let rows: Vec<Vec<String>> = kept
        .places
        .iter()
        .map(|(node, place)| {
            let place = place.as_ref().map(|(_, place)| place);
            let (mut when, mut text) = (String::new(), String::new());
            match place {
                Some(Place::Begun { at, .. } | Place::Cancelled { at }) => when = clock(time(*at)),
                Some(place) => {
                    if let Some((at, reply, reason)) = said(place) {
                        when = clock(time(at));
                        text = match reply {
                            Some(reply) if reply.data.is_empty() => reply.statusmsg,
                            Some(reply) => format!("{} {}", reply.statusmsg, Value::from(reply.data)),
                            None => reason.to_owned(),
                        };
                    }
                }
                None => {}
            }
            vec![node.clone(), state(place, over).to_owned(), when, text]
        })
        .collect();
    let header = ["Node", "State", "Time", "What it said"].map(str::to_owned);
    out!("{}", table::render(&header, &rows));
}

impl List {
    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let mut all =
            connected(globals, self.caller.as_deref(), async |_, keeping| Ok(keeping.all().await?))?;
        all.reverse();
        let now = Timestamp::now().as_second();
        if self.json {
            let all: Vec<Value> = all
                .iter()
                .map(|kept| {
                    let mut document = document(kept, now);
                    if let Some(document) = document.as_object_mut() {
                        document.remove("nodes");
                    }
                    document
                })
                .collect();
            show(&all.into());
            return Ok(ExitCode::SUCCESS);
        }
        if all.is_empty() {
            errln!(
                "choria: no request is kept for absent nodes; choria rpc AGENT ACTION --until 7d keeps one"
            );
            return Ok(ExitCode::SUCCESS);
        }
        let rows: Vec<Vec<String>> = all
            .iter()
            .map(|kept| {
                let over = now >= kept.head.until;
                let count = |states: &[&str]| {
                    let of = kept.places.values();
                    let of = of.filter(|p| states.contains(&state(p.as_ref().map(|(_, p)| p), over)));
                    of.count().to_string()
                };
                vec![
                    kept.id.get(..8).unwrap_or_default().to_owned(),
                    clock(time(kept.head.made)),
                    clock(time(kept.head.until)),
                    words(&kept.head),
                    kept.places.len().to_string(),
                    count(&["waiting"]),
                    count(&["answered"]),
                    count(&["begun", "refused", "cancelled", "expired", "lost"]),
                ]
            })
            .collect();
        let header =
            ["Id", "Made", "Until", "Request", "Nodes", "Waiting", "Answered", "Other"].map(str::to_owned);
        out!("{}", table::render(&header, &rows));
        Ok(ExitCode::SUCCESS)
    }
}

impl Show {
    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let kept =
            connected(globals, self.caller.as_deref(), async |_, keeping| find(keeping, &self.id).await)?;
        let now = Timestamp::now().as_second();
        match self.json {
            true => show(&document(&kept, now)),
            false => describe(&kept, now),
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Cancel {
    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let now = Timestamp::now().as_second();
        let kept = connected(globals, self.caller.as_deref(), async |_, keeping| {
            let kept = find(keeping, &self.id).await?;
            let waiting = kept.count(|place| matches!(place, Place::Asked { .. }));
            if waiting > 0 {
                sure(self.force, &format!("end request {} for {waiting} nodes", kept.id))?;
            }
            keeping.cancel(&kept, now).await;
            keeping.find(&kept.id).await?.context("it is kept no longer")
        })?;
        let waiting = kept.count(|place| matches!(place, Place::Asked { .. }));
        match self.json {
            true => show(&document(&kept, now)),
            false => {
                let count = |of: &dyn Fn(&Place) -> bool| kept.count(of);
                outln!(
                    "{}: {} cancelled, {} had begun or were over",
                    kept.id,
                    count(&|place| matches!(place, Place::Cancelled { .. })),
                    count(&|place| matches!(place, Place::Begun { .. } | Place::Answered(_))),
                );
            }
        }
        match waiting {
            0 => Ok(ExitCode::SUCCESS),
            waiting => bail!(
                "it still waits for {waiting} nodes: only its caller and privileged certificates may end it"
            ),
        }
    }
}
