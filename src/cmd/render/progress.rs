//! A progress bar, on a terminal only, on standard error: results stay clean.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::terminal::{error_width, is_dumb};

/// How far a request is.
pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// A bar of `total` steps; none when `wanted` is false or nobody looks.
    pub fn new(total: usize, wanted: bool) -> Progress {
        if !wanted || !std::io::stderr().is_terminal() || is_dumb() {
            return Progress(None);
        }
        let total = u64::try_from(total).unwrap_or(u64::MAX);
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
        // What stands beside the bar takes some thirty columns.
        let width = error_width().unwrap_or(80).saturating_sub(32).clamp(8, 40);
        let template = format!("{{pos}} / {{len}}  {{elapsed:>4}} [{{bar:{width}.green}}] {{percent:>3}}%");
        let style = ProgressStyle::with_template(&template);
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=>-"));
        }
        Progress(Some(bar))
    }

    /// One more step.
    pub fn step(&self) {
        if let Some(bar) = &self.0 {
            bar.inc(1);
        }
    }

    /// Runs `print` with the bar out of the way.
    pub fn print(&self, print: impl FnOnce()) {
        match &self.0 {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Removes the bar.
    pub fn finish(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}
