//! Commands of type `rpc`: an action on nodes, as `choria rpc` has it.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::bail;
use choria::core::builder::kinds::{Format, Rpc};
use choria::core::builder::line;
use choria::core::template::truth;

use super::app::{Running, confirmed, is_dry, would};
use super::filters;
use crate::cmd::exit::{AfterAsking, Exit};
use crate::cmd::out::out;
use crate::cmd::render::forms::{Asked, Flags, Form, Outcome, Timing, form};
use crate::cmd::render::text::clean;
use crate::cmd::request::{Request, RequestFlags};

/// The whole result, kept for transforms.
#[derive(Default)]
struct Kept(Mutex<Option<Vec<u8>>>);

impl Form for Kept {
    fn wanted(&self, _: Flags) -> bool {
        false
    }

    fn timing(&self) -> Timing {
        Timing::Together
    }

    fn finish(&self, _: &mut dyn Write, asked: &Asked<'_>, outcome: &Outcome<'_>) -> io::Result<()> {
        let mut document = vec![];
        form(Flags { json: true, ..Flags::default() }).finish(&mut document, asked, outcome)?;
        if let Ok(mut kept) = self.0.lock() {
            *kept = Some(document);
        }
        Ok(())
    }
}

pub fn run(rpc: &Rpc, running: &Running<'_>) -> anyhow::Result<ExitCode> {
    let run = running.run;
    let filter = rpc.filter.rendered(&running.scope()).map_err(anyhow::Error::msg)?;
    let words = filters::words(&filter, run);
    let selection = filters::selection(&words)?;
    let mut inputs = vec![];
    for (name, value) in &rpc.inputs {
        let value = running.render(value)?;
        if !value.is_empty() {
            inputs.push((name.clone(), value));
        }
    }
    let flags = flags(rpc, running)?;
    if is_dry() {
        let inputs: Vec<String> = inputs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let inputs = running.state.redacted(&inputs.join(" "));
        return would(format_args!("ask {}#{} {inputs} {}", rpc.agent, rpc.action, words.join(" ")));
    }
    if !rpc.all_nodes_confirm.is_empty() && selection.is_unfiltered() {
        confirmed(&rpc.all_nodes_confirm, "choose nodes, with -I for one")?;
    }
    let kept = Kept::default();
    let transforms = run.command.transform.is_some();
    let request = Request {
        agent: &rpc.agent,
        action: &rpc.action,
        inputs,
        undeclared: false,
        selection,
        flags,
        layout: if transforms { Some(&kept) } else { None },
        elsewhere: None,
        resumed: None,
        unkept: !running.state.secrets.is_empty(),
        until: None,
        exit: Exit::new(running.globals, false),
    };
    let code = request.run(running.globals)?;
    let document = kept.0.into_inner().ok().flatten();
    if let Some(document) = document {
        let text = running.transformed(String::from_utf8_lossy(&document).into_owned());
        let text = text.map_err(|e| AfterAsking(format!("{e:#}")))?;
        // what nodes say must not drive a terminal
        let text = clean(&text, true);
        out!("{text}{}", if text.ends_with('\n') || text.is_empty() { "" } else { "\n" });
    }
    Ok(code)
}

fn flags(rpc: &Rpc, running: &Running<'_>) -> anyhow::Result<RequestFlags> {
    let run = running.run;
    let asked =
        |name: &str, format: Format| rpc.format == Some(format) || rpc.format_flags && run.is_set(name);
    // transforms are given the whole result
    let form = match run.command.transform.is_some() {
        true => Flags::default(),
        false => Flags {
            json: asked("json", Format::Json),
            table: asked("table", Format::Table),
            senders: asked("senders", Format::Senders),
            jsonl: false,
        },
    };
    let own = |name: &str| run.own(name).map(str::to_owned);
    let batch = if rpc.batch_flags { own("batch") } else { rpc.batch.map(|size| size.to_string()) };
    let sleep = match rpc.batch_flags {
        true => own("batch-sleep").map(|text| text.parse::<f64>()).transpose(),
        false => Ok(rpc.batch_sleep.map(|seconds| seconds as f64).filter(|_| batch.is_some())),
    };
    let Ok(batch_sleep) = sleep else { bail!("--batch-sleep takes seconds") };
    let display = if rpc.display_flag { own("display") } else { Some(rpc.display.clone()) };
    Ok(RequestFlags {
        form,
        batch,
        batch_sleep,
        display: display.filter(|mode| !mode.is_empty()),
        no_progress: rpc.no_progress || run.command.transform.is_some(),
        filter_replies: reply_filter(running)?,
        ..RequestFlags::default()
    })
}

/// The filter of the flag that was given; more than one is too many.
fn reply_filter(running: &Running<'_>) -> anyhow::Result<Option<String>> {
    let line::Run { command, flags, .. } = running.run;
    let set = |name: &str| flags.get(name).is_some_and(truth);
    let mut filters = command
        .flags
        .iter()
        .filter(|flag| set(&flag.name))
        .filter_map(|flag| flag.reply_filter.as_ref().map(|filter| (&flag.name, filter)));
    let Some((name, filter)) = filters.next() else { return Ok(None) };
    if let Some((other, _)) = filters.next() {
        bail!("--{name} and --{other} exclude each other: each says which replies are shown");
    }
    running.render(filter).map(Some)
}
