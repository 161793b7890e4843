//! The panes on a terminal.

use std::io::stdout;
use std::time::Duration;

use choria::core::client::Client;
use jiff::Timestamp;
use ratatui::Frame;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;
use ratatui::text::{Line as Text, Span};
use ratatui::widgets::{Block, Borders, Paragraph};
use tokio::sync::mpsc;

use super::board::{Board, Line, Mood, Pane, Tally};
use super::{Watch, follow};
use crate::cmd::machine::watch::clock;
use crate::cmd::render::terminal::is_ascii;
use crate::cmd::render::text::{clean, coloured, counted};

/// How often what has changed is drawn, at most.
const DRAWN: Duration = Duration::from_millis(250);
/// How often a key is waited for until it is looked whether all has ended.
const LOOK: Duration = Duration::from_millis(200);
/// Columns from which on counts stand beside what happens.
const WIDE: u16 = 120;
/// Columns of the counts beside it.
const COUNTS: u16 = 46;
/// Letters of borders where a terminal knows no others.
const ASCII: border::Set<'_> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// How it looks on this terminal.
#[derive(Debug, Clone, Copy)]
struct Looks {
    colours: bool,
    ascii: bool,
}

/// A terminal as it is while panes are on it; it is put back however this ends.
struct Taken;

impl Taken {
    fn take() -> std::io::Result<Taken> {
        enable_raw_mode()?;
        let taken = Taken;
        execute!(stdout(), EnterAlternateScreen)?;
        Ok(taken)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let _ = execute!(stdout(), LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

/// What a person types.
enum Key {
    End,
    Hold,
    /// Nothing, but all has to be drawn anew.
    Resized,
}

/// Shows it until a person ends it.
pub(super) async fn show(watch: &Watch, client: &Client, since: Option<Timestamp>) -> anyhow::Result<()> {
    let looks = Looks { colours: coloured(client.config().color), ascii: is_ascii() };
    let taken = Taken::take()?;
    let mut terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
    let (keys, mut typed) = mpsc::channel(16);
    let reader = std::thread::spawn(move || read(&keys));
    let (sink, mut heard) = mpsc::channel(1024);
    let following = follow(client, since, |data, at| {
        // what comes faster than it can be shown is not shown
        let _ = sink.try_send((data.clone(), at));
        true
    });
    tokio::pin!(following);
    let mut board = Board::default();
    let mut tick = tokio::time::interval(DRAWN);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let ended = loop {
        tokio::select! {
            done = &mut following => break done,
            Some((data, at)) = heard.recv() => {
                if watch.concerns(&data) {
                    let line = watch.line(&data);
                    board.take(&data, &clock(at), line.as_deref(), at.as_second());
                }
            }
            key = typed.recv() => match key {
                Some(Key::Hold) => board.hold(),
                Some(Key::Resized) => terminal.clear()?,
                Some(Key::End) | None => break Ok(()),
            },
            () = crate::cmd::scout::terminated() => break Ok(()),
            _ = tick.tick() => {
                terminal.draw(|frame| draw(frame, &board, looks, unix()))?;
            }
        }
    };
    drop(typed);
    let _ = tokio::task::spawn_blocking(move || reader.join()).await;
    drop(taken);
    ended
}

fn unix() -> i64 {
    Timestamp::now().as_second()
}

/// Reads keys until nobody wants them.
fn read(keys: &mpsc::Sender<Key>) {
    while !keys.is_closed() {
        let key = match event::poll(LOOK) {
            Ok(true) => event::read().ok().and_then(|event| meant(&event)),
            Ok(false) => None,
            Err(_) => Some(Key::End),
        };
        if let Some(key) = key
            && keys.blocking_send(key).is_err()
        {
            return;
        }
    }
}

fn meant(event: &Event) -> Option<Key> {
    match event {
        Event::Resize(..) => Some(Key::Resized),
        Event::Key(key) if key.kind == KeyEventKind::Press => match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Key::End),
            KeyCode::Char('q') | KeyCode::Esc => Some(Key::End),
            KeyCode::Char('p' | ' ') => Some(Key::Hold),
            _ => None,
        },
        _ => None,
    }
}

fn draw(frame: &mut Frame<'_>, board: &Board, looks: Looks, now: i64) {
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(frame.area());
    let tallies = board.tallies(now);
    let held = match board.held {
        true => format!(", held, {} more", board.waiting()),
        false => String::new(),
    };
    let nodes = counted(board.nodes(now) as u64, "node");
    let checks = counted(tallies.len() as u64, "check");
    let text = format!("Scout: {nodes}, {checks}{held}; q ends, p holds");
    frame.render_widget(Paragraph::new(text).style(Style::new().add_modifier(Modifier::BOLD)), head);
    let (happens, counts) = match body.width >= WIDE {
        true => {
            let [left, right] =
                Layout::horizontal([Constraint::Fill(1), Constraint::Length(COUNTS)]).areas(body);
            (left, right)
        }
        false => {
            let [upper, lower] = Layout::vertical([Constraint::Fill(3), Constraint::Fill(2)]).areas(body);
            (upper, lower)
        }
    };
    let [found, moved] = Layout::vertical([Constraint::Fill(3), Constraint::Fill(2)]).areas(happens);
    log(frame, found, "Checks", &board.checks, looks);
    log(frame, moved, "Transitions", &board.moves, looks);
    count(frame, counts, &tallies, looks);
}

fn pane(title: &str, looks: Looks) -> Block<'_> {
    let block = Block::default().borders(Borders::TOP).title(title);
    if looks.ascii { block.border_set(ASCII) } else { block }
}

fn style(mood: Mood, looks: Looks) -> Style {
    match mood {
        _ if !looks.colours => Style::new(),
        Mood::Good => Style::new().fg(Color::Green),
        Mood::Warning => Style::new().fg(Color::Yellow),
        Mood::Bad => Style::new().fg(Color::Red),
        Mood::Other => Style::new(),
    }
}

/// A word as this terminal shows it: nothing in it drives the terminal.
fn shown(text: &str, looks: Looks) -> String {
    let text = clean(text, false);
    match looks.ascii {
        true => text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect(),
        false => text.into_owned(),
    }
}

/// The newest lines that there is room for.
fn log(frame: &mut Frame<'_>, area: Rect, title: &str, lines: &Pane, looks: Looks) {
    let block = pane(title, looks);
    let room = usize::from(block.inner(area).height);
    let line = |line: &Line| Text::styled(shown(&line.text, looks), style(line.mood, looks));
    let text: Vec<Text<'_>> = lines.last(room).map(line).collect();
    frame.render_widget(Paragraph::new(text).block(block), area);
}

fn count(frame: &mut Frame<'_>, area: Rect, tallies: &[(&str, Tally)], looks: Looks) {
    let block = pane("Observed status", looks);
    let room = usize::from(block.inner(area).height);
    let width = usize::from(area.width).saturating_sub(5 * 6).clamp(8, 40);
    let mut text = vec![Text::from(format!("{:width$}    OK  WARN  CRIT  UNKN  REST", "Check"))];
    for (check, tally) in tallies {
        let name: String = shown(check, looks).chars().take(width).collect();
        let mut line = Text::styled(format!("{name:width$}"), style(tally.mood(), looks));
        for number in tally.0 {
            line.push_span(Span::from(format!(" {number:>5}")));
        }
        text.push(line);
    }
    if text.len() > room && room > 1 {
        let more = text.len() + 1 - room;
        text.truncate(room - 1);
        text.push(Text::from(format!("and {}", counted(more as u64, "more check"))));
    }
    frame.render_widget(Paragraph::new(text).block(block), area);
}

#[cfg(test)]
mod tests {
    use ratatui::backend::TestBackend;

    use super::super::board::tests::{checked, moved};
    use super::*;

    fn drawn(board: &Board, width: u16, height: u16, ascii: bool) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let looks = Looks { colours: false, ascii };
        terminal.draw(|frame| draw(frame, board, looks, 100)).unwrap();
        terminal.backend().to_string()
    }

    fn board() -> Board {
        let mut board = Board::default();
        for number in 0..30 {
            let check = format!("check{number:02}");
            let data = checked("n1.example.net", &check, number % 4, "CRITICAL: \u{1b}]0;x\u{7} caf\u{e9}");
            board.take(
                &data,
                "10:00:00",
                Some(&format!("n1.example.net {check}#check \u{1b}]0;x\u{7} caf\u{e9}")),
                100,
            );
        }
        board.take(
            &moved("n1.example.net", "check01", "OK"),
            "10:00:01",
            Some("n1.example.net check01 moved"),
            100,
        );
        board
    }

    #[test]
    fn all_sizes_show_what_there_is_room_for_and_nothing_drives_the_terminal() {
        let board = board();
        for (width, height) in [(200, 60), (120, 30), (80, 24), (40, 10), (20, 5), (5, 3), (1, 1)] {
            let text = drawn(&board, width, height, true);
            assert!(text.is_ascii() && !text.contains('\u{1b}') && !text.contains('\u{7}'), "{text}");
        }
        let text = drawn(&board, 80, 24, false);
        for part in [
            "Scout: 1 node, 30 checks; q ends",
            "Checks",
            "check29#check",
            "caf\u{e9}",
            "Transitions",
            "moved",
            "more check",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        // the worst is what there is room for
        assert!(text.contains("check02 ") && !text.contains("check00 "), "{text}");
        let text = drawn(&board, 160, 40, false);
        assert!(
            text.lines().any(|line| line.contains("Checks") && line.contains("Observed status")),
            "{text}"
        );
    }

    #[test]
    fn keys_that_end_it_and_keys_that_hold_it() {
        let key = |code, with| Event::Key(event::KeyEvent::new(code, with));
        let none = KeyModifiers::NONE;
        assert!(matches!(meant(&key(KeyCode::Char('q'), none)), Some(Key::End)));
        assert!(matches!(meant(&key(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Key::End)));
        assert!(matches!(meant(&key(KeyCode::Char(' '), none)), Some(Key::Hold)));
        assert!(meant(&key(KeyCode::Char('c'), none)).is_none());
    }
}
