//! Documents that a place was told and that it may take one by one: of a batch some are
//! there and others not. What is told again begins with the first that is not, so those
//! behind it that are there are remembered, and not told twice.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Sent, Trouble};
use crate::core::adapters::document::Document;

/// The documents, by number.
#[derive(Debug, Default)]
pub(super) struct Window {
    first: u64,
    entries: VecDeque<(Document, Fate)>,
}

/// What became of a document.
#[derive(Debug)]
enum Fate {
    Open,
    Taken,
    Never(String),
}

/// What was told anew.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// What was told before, and more behind it.
    More,
    /// Something else: nothing of what was told before counts any more.
    Else,
}

impl Window {
    /// Takes in what is told.
    pub(super) fn tell(&mut self, documents: &[Document]) -> Told {
        let known = self.entries.len();
        let before = self.entries.iter().map(|(document, _)| document);
        let told = match documents.len() >= known && before.eq(&documents[..known]) {
            true => Told::More,
            false => Told::Else,
        };
        if told == Told::Else {
            self.first += known as u64;
            self.entries.clear();
        }
        let new = documents[self.entries.len()..].iter();
        self.entries.extend(new.map(|document| (document.clone(), Fate::Open)));
        told
    }

    /// What is nowhere yet, in order.
    pub(super) fn open(&self) -> impl Iterator<Item = (u64, &Document)> {
        let numbered = (self.first..).zip(&self.entries);
        numbered
            .filter_map(|(number, (document, fate))| matches!(fate, Fate::Open).then_some((number, document)))
    }

    /// A document that was told.
    pub(super) fn get(&self, number: u64) -> Option<&Document> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.entries.get(at).map(|(document, _)| document)
    }

    /// It is somebody else's.
    pub(super) fn take(&mut self, number: u64) {
        self.decide(number, Fate::Taken);
    }

    /// It never will be.
    pub(super) fn refuse(&mut self, number: u64, reason: String) {
        self.decide(number, Fate::Never(reason));
    }

    fn decide(&mut self, number: u64, decided: Fate) {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some((_, fate)) = at.and_then(|at| self.entries.get_mut(at)) {
            *fate = decided;
        }
    }

    /// What became of all of them, the first that is open aside: `trouble` says why it is.
    pub(super) fn sent(&mut self, trouble: Option<(String, Option<Duration>)>) -> Sent {
        let mut taken = 0;
        while self.entries.front().is_some_and(|(_, fate)| matches!(fate, Fate::Taken)) {
            self.entries.pop_front();
            taken += 1;
        }
        self.first += taken as u64;
        match self.entries.front_mut() {
            None => Sent { taken, trouble: None },
            Some((_, Fate::Never(reason))) => {
                let reason = std::mem::take(reason);
                self.entries.pop_front();
                self.first += 1;
                Sent::never(taken, reason)
            }
            Some(_) => {
                let (reason, asked) = trouble.unwrap_or_else(|| ("there is more".to_owned(), None));
                Sent { taken, trouble: Some(Trouble::Later(reason, asked)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(numbers: std::ops::Range<usize>) -> Vec<Document> {
        let of = |n| Document { text: format!("{n}").into(), sender: "n".into(), id: format!("{n}.n") };
        numbers.map(of).collect()
    }

    fn open(window: &Window) -> Vec<String> {
        window.open().map(|(_, document)| document.text.to_string()).collect()
    }

    #[test]
    fn what_is_there_is_not_told_again() {
        let mut window = Window::default();
        assert_eq!(window.tell(&documents(0..4)), Told::More);
        let numbers: Vec<u64> = window.open().map(|(number, _)| number).collect();
        for at in [0, 2] {
            window.take(numbers[at]);
        }
        let sent = window.sent(Some(("busy".into(), None)));
        assert!(
            sent.taken == 1 && matches!(sent.trouble, Some(Trouble::Later(reason, None)) if reason == "busy")
        );
        assert_eq!(window.tell(&documents(1..6)), Told::More);
        assert_eq!(open(&window), ["1", "3", "4", "5"]);
        // One that nobody wants is told of when it is the first.
        window.refuse(numbers[3], "bad".into());
        assert_eq!(open(&window), ["1", "4", "5"]);
        window.take(numbers[1]);
        let sent = window.sent(None);
        assert!(sent.taken == 2 && matches!(sent.trouble, Some(Trouble::Never(reason)) if reason == "bad"));
        assert_eq!(window.tell(&documents(4..6)), Told::More);
        assert_eq!(open(&window), ["4", "5"]);
        // Something else is a new beginning, and old numbers mean nothing there.
        let old: Vec<u64> = window.open().map(|(number, _)| number).collect();
        assert_eq!(window.tell(&documents(9..11)), Told::Else);
        window.take(old[0]);
        assert_eq!(open(&window), ["9", "10"]);
        assert!(window.get(old[0]).is_none());
        let all: Vec<u64> = window.open().map(|(number, _)| number).collect();
        for number in all {
            window.take(number);
        }
        assert!(matches!(window.sent(None), Sent { taken: 2, trouble: None }));
        assert_eq!(window.tell(&documents(11..12)), Told::More);
    }
}
