//! When to stop waiting for answers.
//!
//! A window that follows the answers must not close on nodes that answered in
//! time and are not heard yet. Under load that is what happens: the first few
//! answers are quick, the others wait in the broker's queues, in the socket or
//! in this program. Two things keep the window open then. The broker's own
//! answer to a probe sent behind the request counts as an answer: a broker that
//! is slow to us is slow to the nodes. And before the window closes another
//! probe has to come back, behind everything the broker had for us.

use std::time::{Duration, Instant};

/// A sliding window closes this long after the last answer at the soonest.
const QUIET: Duration = Duration::from_millis(300);

/// When to stop waiting for answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// After this long.
    Fixed(Duration),
    /// When no answer came for max(300 ms, 3 × the slowest answer so far), or
    /// after this long.
    Sliding(Duration),
}

impl Window {
    fn limit(self) -> Duration {
        match self {
            Window::Fixed(limit) | Window::Sliding(limit) => limit,
        }
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Wait for an answer until then.
    Wait(Instant),
    /// Send this probe.
    Probe(u64),
    /// Stop.
    Close,
}

/// A window that is open.
#[derive(Debug)]
pub(super) struct OpenWindow {
    window: Window,
    begun: Instant,
    last: Option<Instant>,
    slowest: Duration,
    probes: u64,
    sent: Option<Instant>,
    /// Whether probes come back at all.
    probing: bool,
    /// The probe that has to come back before the window closes.
    closing: Option<u64>,
}

impl OpenWindow {
    /// Opens when the request is out, at `begun`.
    pub(super) fn new(window: Window, begun: Instant) -> OpenWindow {
        OpenWindow {
            window,
            begun,
            last: None,
            slowest: Duration::ZERO,
            probes: 0,
            sent: None,
            probing: false,
            closing: None,
        }
    }

    /// The broker took so long over the connection's first question: one that is
    /// slow to us is slow to the nodes.
    pub(super) fn slow_as(&mut self, round_trip: Duration) {
        self.slowest = self.slowest.max(round_trip);
    }

    /// A node answered.
    pub(super) fn answered(&mut self, now: Instant) {
        self.last = Some(now);
        self.slowest = self.slowest.max(now.duration_since(self.begun));
        // What was to close the window was older than this answer.
        self.closing = None;
    }

    /// The broker answered a probe.
    pub(super) fn probed(&mut self, number: u64, now: Instant) -> Step {
        self.probing = true;
        if number == self.probes
            && let Some(sent) = self.sent.take()
        {
            self.slowest = self.slowest.max(now.duration_since(sent));
        }
        if self.closing == Some(number) {
            self.closing = None;
            // The round trip itself may have shown that this is too soon.
            return if now >= self.deadline() { Step::Close } else { Step::Wait(self.deadline()) };
        }
        self.step(now)
    }

    /// What to do at `now`, when nothing more has arrived.
    pub(super) fn step(&mut self, now: Instant) -> Step {
        let limit = self.begun + self.window.limit();
        if now >= limit {
            return Step::Close;
        }
        if matches!(self.window, Window::Fixed(_)) {
            return Step::Wait(limit);
        }
        if self.probes == 0 {
            return self.probe(now);
        }
        match self.deadline() {
            deadline if now < deadline => Step::Wait(deadline),
            _ if self.closing.is_some() => Step::Wait(limit),
            // Somebody swallows the probes: the rule alone has to do.
            _ if !self.probing => Step::Close,
            _ => {
                self.closing = Some(self.probes + 1);
                self.probe(now)
            }
        }
    }

    fn probe(&mut self, now: Instant) -> Step {
        self.probes += 1;
        self.sent = Some(now);
        Step::Probe(self.probes)
    }

    fn deadline(&self) -> Instant {
        let limit = self.begun + self.window.limit();
        match (self.window, self.last) {
            (Window::Sliding(_), Some(last)) => limit.min(last + QUIET.max(self.slowest * 3)),
            _ => limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A window of two seconds whose first probe has come back after `rtt`.
    fn open(window: Window, rtt: u64) -> (OpenWindow, impl Fn(u64) -> Instant) {
        let begun = Instant::now();
        let mut open = OpenWindow::new(window, begun);
        if let Step::Probe(number) = open.step(begun) {
            open.probed(number, begun + ms(rtt));
        }
        (open, move |at| begun + ms(at))
    }

    #[test]
    fn a_sliding_window_follows_the_slowest_answer() {
        let sliding = Window::Sliding(ms(2000));
        for (window, rtt, answers, closes) in [
            (sliding, 1, &[][..], 2000),
            (sliding, 1, &[10], 310),
            (sliding, 1, &[200], 800),
            (sliding, 1, &[200, 250], 1000),
            (sliding, 1, &[900], 2000),
            (sliding, 200, &[210], 840),
            (sliding, 200, &[20], 620),
            (Window::Fixed(ms(2000)), 1, &[10], 2000),
        ] {
            let (mut open, at) = open(window, rtt);
            answers.iter().for_each(|answer| open.answered(at(*answer)));
            let step = open.step(at(answers.last().copied().unwrap_or(1)));
            assert_eq!(step, Step::Wait(at(closes)), "{answers:?}, {rtt} ms to the broker");
        }
    }

    #[test]
    fn the_window_closes_when_the_broker_has_nothing_left_for_us() {
        let (mut open, at) = open(Window::Sliding(ms(2000)), 1);
        open.answered(at(10));
        let Step::Probe(probe) = open.step(at(310)) else { panic!("closes without asking") };
        assert_eq!(open.step(at(320)), Step::Wait(at(2000)), "until the probe is back");
        assert_eq!(open.probed(probe, at(321)), Step::Close);
    }

    #[test]
    fn an_answer_behind_which_the_probe_comes_keeps_the_window_open() {
        let (mut open, at) = open(Window::Sliding(ms(2000)), 1);
        open.answered(at(10));
        let Step::Probe(probe) = open.step(at(310)) else { panic!("closes without asking") };
        open.answered(at(350));
        assert_eq!(open.probed(probe, at(351)), Step::Wait(at(1400)));
        // A probe that took long says that the broker is behind.
        let Step::Probe(probe) = open.step(at(1400)) else { panic!("closes without asking") };
        assert_eq!(open.probed(probe, at(1999)), Step::Wait(at(2000)));
        assert_eq!(open.step(at(2000)), Step::Close);
    }

    #[test]
    fn a_timer_that_fires_late_does_not_close_the_window_on_what_has_arrived() {
        let (mut open, at) = open(Window::Sliding(ms(2000)), 1);
        open.answered(at(10));
        // The program was held up for a second: it asks before it closes.
        assert!(matches!(open.step(at(1010)), Step::Probe(_)));
        open.answered(at(1011));
        assert_eq!(open.step(at(1011)), Step::Wait(at(2000)));
    }

    #[test]
    fn where_probes_do_not_come_back_the_rule_stands_alone() {
        let begun = Instant::now();
        let mut open = OpenWindow::new(Window::Sliding(ms(2000)), begun);
        assert_eq!(open.step(begun), Step::Probe(1));
        open.answered(begun + ms(10));
        assert_eq!(open.step(begun + ms(310)), Step::Close);
    }
}
