//! What a hub has been told of the wishes here, and what it is to be told next. Pure.

use hashbrown::HashMap;

use crate::core::admission::Permission;
use crate::core::broker::hubs::Wish;
use crate::core::nats::leaf::write;

/// What a hub believes.
#[derive(Debug, Default)]
pub struct Told {
    wishes: HashMap<Wish, u32>,
    bytes: usize,
}

impl Told {
    /// Appends the line a change makes necessary, if any: a plain wish is told when it is there and when it
    /// is not, a queue group with each new number of members. What `import` does not let in is not told.
    pub fn update(&mut self, wish: Wish, count: u32, import: &Permission, out: &mut Vec<u8>) {
        let queue = wish.queue.as_deref();
        if count == 0 {
            if self.wishes.remove(&wish).is_some() {
                self.bytes -= cost(&wish);
                write::unwanted(&wish.subject, queue, out);
            }
            return;
        }
        if !(import.is_unrestricted() || import.may_subscribe(&wish.subject, queue)) {
            return;
        }
        let count = if queue.is_some() { count } else { 1 };
        match self.wishes.get_mut(&wish) {
            Some(told) if *told == count => return,
            Some(told) => *told = count,
            None => {
                self.bytes += cost(&wish);
                self.wishes.insert(wish.clone(), count);
            }
        }
        write::wanted(&wish.subject, queue.map(|queue| (queue, count)), out);
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

fn cost(wish: &Wish) -> usize {
    2 * wish.size() + 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::admission::SubjectList;

    fn told(told: &mut Told, import: &Permission, changes: &[(&str, Option<&str>, u32)]) -> String {
        let mut out = Vec::new();
        for (subject, queue, count) in changes {
            told.update(Wish::new(subject.as_bytes(), queue.map(str::as_bytes)), *count, import, &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_hub_is_told_of_first_and_last_and_of_each_member_of_a_group() {
        let (mut state, import) = (Told::default(), Permission::unrestricted());
        for (changes, expected) in [
            (&[("a", None, 1), ("a", None, 2), ("a", None, 0)][..], "LS+ a\r\nLS- a\r\n"),
            (&[("a", None, 0)], ""),
            (&[("a", Some("q"), 1), ("a", Some("q"), 1), ("a", Some("q"), 3)], "LS+ a q 1\r\nLS+ a q 3\r\n"),
            // one and the same subject, with a group and without one
            (&[("a", None, 5), ("a", Some("q"), 0)], "LS+ a\r\nLS- a q\r\n"),
        ] {
            assert_eq!(told(&mut state, &import, changes), expected);
        }
        assert!(state.bytes() > 0);
        told(&mut state, &import, &[("a", None, 0)]);
        assert_eq!(state.bytes(), 0);
    }

    #[test]
    fn what_may_not_come_in_is_not_asked_for() {
        let import = Permission { deny: SubjectList::new(["secret.>"]), ..Default::default() };
        let mut state = Told::default();
        assert_eq!(told(&mut state, &import, &[("secret.a", None, 1), ("b", None, 1)]), "LS+ b\r\n");
        assert_eq!(told(&mut state, &import, &[("secret.a", None, 0), ("b", None, 0)]), "LS- b\r\n");
    }
}
