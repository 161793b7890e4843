//! Commands of type `form`: questions to a person, or answers a line each where there is none.

use std::io::{BufRead, IsTerminal as _, Write as _};
use std::process::ExitCode;

use choria::core::builder::form::{Asker, Question, QuestionKind, ask};
use choria::core::builder::kinds::Form;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

use super::app::{Running, is_dry, would};
use crate::cmd::exit::INTERRUPTED;
use crate::cmd::out::{Stdout, complain};
use crate::cmd::render::text::clean;

pub fn run(form: &Form, running: &Running<'_>) -> anyhow::Result<ExitCode> {
    let description = running.render(&running.run.command.description)?;
    if is_dry() {
        return would(format_args!("ask {} questions", form.properties.len()));
    }
    watch_interrupts()?;
    let mut person = Person;
    person.show(&description);
    if std::io::stdin().is_terminal() {
        let start = Question {
            message: "Press enter to start".to_owned(),
            help: String::new(),
            default: String::new(),
            kind: QuestionKind::Line,
        };
        person.ask(&start).map_err(anyhow::Error::msg)?;
    }
    let answers = ask(form, &running.scope(), &mut person).map_err(anyhow::Error::msg)?;
    let text = running.transformed(format!("{answers:#}"))?;
    let mut out = Stdout;
    out.write_all(text.as_bytes())?;
    if !text.is_empty() && !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Longest answer.
const MOST: usize = 64 << 10;

/// Whoever is at standard input; what is asked is on standard error, so that the document is alone
/// on standard output.
struct Person;

impl Asker for Person {
    fn show(&mut self, text: &str) {
        complain(format_args!("{}\n", clean(text, true)));
    }

    fn ask(&mut self, question: &Question) -> Result<String, String> {
        if let QuestionKind::Choice(choices) = &question.kind {
            for (at, choice) in choices.iter().enumerate() {
                complain(format_args!("  {}) {}\n", at + 1, clean(choice, false)));
            }
        }
        let help = if question.help.is_empty() { "" } else { " [? for help]" };
        let default = match (&question.kind, question.default.as_str()) {
            (QuestionKind::Confirm, "y" | "yes" | "true") => " (Y/n)".to_owned(),
            (QuestionKind::Confirm, _) => " (y/N)".to_owned(),
            (QuestionKind::Secret, _) | (_, "") => String::new(),
            (_, default) => format!(" ({})", clean(default, false)),
        };
        // before it is asked for: whoever types fast is seen otherwise
        let _hidden = (question.kind == QuestionKind::Secret).then(Hidden::begin);
        complain(format_args!("? {}{help}{default}: ", clean(&question.message, false)));
        line()
    }
}

fn line() -> Result<String, String> {
    let mut bytes = vec![];
    let mut input = std::io::stdin().lock();
    let read = std::io::Read::take(&mut input, MOST as u64 + 1).read_until(b'\n', &mut bytes);
    match read {
        Ok(0) => return Err("standard input ended before all questions were answered".to_owned()),
        Ok(_) if bytes.len() > MOST => return Err(format!("an answer is longer than {MOST} bytes")),
        Ok(_) => {}
        Err(e) => return Err(format!("standard input: {e}")),
    }
    let text = String::from_utf8(bytes).map_err(|_| "an answer is no text".to_owned())?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// A terminal that does not show what is typed, until it is dropped.
struct Hidden(Option<Termios>);

impl Hidden {
    fn begin() -> Hidden {
        let stdin = std::io::stdin();
        let Ok(before) = tcgetattr(&stdin) else { return Hidden(None) };
        let mut without = before.clone();
        without.local_modes.remove(LocalModes::ECHO);
        Hidden(tcsetattr(&stdin, OptionalActions::Drain, &without).ok().map(|()| before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, before);
            complain(format_args!("\n"));
        }
    }
}

/// From here on an interrupt leaves the terminal as it was before anything was hidden.
fn watch_interrupts() -> anyhow::Result<()> {
    let before = tcgetattr(std::io::stdin()).ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let mut interrupt = {
        let _guard = runtime.enter();
        signal(SignalKind::interrupt())?
    };
    std::thread::spawn(move || {
        runtime.block_on(interrupt.recv());
        if let Some(before) = &before {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
        complain(format_args!("\n"));
        std::process::exit(i32::from(INTERRUPTED));
    });
    Ok(())
}
