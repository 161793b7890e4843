//! The members of one mapping of a definition, as types of commands read them.

use std::fmt::Display;
use std::time::Duration;

use super::Around;
use crate::core::builder::kinds::Kind;
use crate::core::builder::scope::Names;
use crate::core::machine::findings::Findings;
use crate::core::machine::properties::Properties;
use crate::core::protocol::filter::InputExpression;
use crate::core::template;
use crate::core::text::yaml::{At, Node, What};

/// The members of one mapping, and where complaints go.
pub struct Reading<'a, 'f> {
    of: Properties<'a, 'f>,
    at: At,
    pub(super) around: &'f dyn Around,
}

impl<'a, 'f> Reading<'a, 'f> {
    /// Of a mapping that is `what`.
    pub(super) fn new(
        node: &'a Node,
        what: String,
        findings: &'f mut Findings,
        around: &'f dyn Around,
    ) -> Reading<'a, 'f> {
        Reading { of: Properties::new(Some(node), node.at, what, findings), at: node.at, around }
    }

    /// Something that concerns all of it.
    pub(in crate::core::builder) fn error(&mut self, text: impl Display) {
        self.of.error(text);
    }

    /// Something that concerns one member.
    pub(in crate::core::builder) fn error_at(&mut self, name: &str, text: impl Display) {
        self.of.error_at(name, text);
    }

    /// What nobody has to know who only runs it.
    pub(super) fn incomplete(&mut self, text: impl Display) {
        let text = self.of.said(text);
        self.around.incomplete(self.at, text);
    }

    /// A type of command that is understood and not done here, with keys of its own.
    pub(in crate::core::builder) fn refuse(
        &mut self,
        name: &'static str,
        keys: &'static [&'static str],
    ) -> Kind {
        for key in keys {
            let _ = self.of.get(key);
        }
        let text =
            self.of.said(format_args!("commands of type {name} are not done here, running it is refused"));
        self.around.refused(self.at, text);
        Kind::Refused(name)
    }

    /// A member that is understood and not done here.
    pub(in crate::core::builder) fn refuse_member(&mut self, name: &'static str, what: &str) {
        let at = self.of.get(name).map_or(self.at, |node| node.at);
        let text = self.of.said(format_args!("{what} are not done here, running it is refused"));
        self.around.refused(at, text);
    }

    /// A member as it stands.
    pub(in crate::core::builder) fn get(&mut self, name: &'static str) -> Option<&'a Node> {
        self.of.get(name)
    }

    /// Whether a member is there, be it null.
    pub(in crate::core::builder) fn has(&mut self, name: &'static str) -> bool {
        let _ = self.of.get(name);
        self.of.has(name)
    }

    /// A text; empty where there is none.
    pub(in crate::core::builder) fn text(&mut self, name: &'static str) -> String {
        self.of.text(name).into()
    }

    /// A text that must be there.
    pub(in crate::core::builder) fn required(&mut self, name: &'static str) -> String {
        self.of.required(name).into()
    }

    /// A template; empty where there is none.
    pub(in crate::core::builder) fn template(&mut self, name: &'static str) -> String {
        let text = self.text(name);
        self.check(name, &text);
        text
    }

    /// A template that must be there.
    pub(in crate::core::builder) fn required_template(&mut self, name: &'static str) -> String {
        let text = self.required(name);
        self.check(name, &text);
        text
    }

    /// Templates; a single one is a list of one.
    pub(in crate::core::builder) fn templates(&mut self, name: &'static str) -> Vec<String> {
        let texts = self.list(name);
        texts.iter().for_each(|text| self.check(name, text));
        texts
    }

    /// Names and templates, in the order of the names.
    pub(in crate::core::builder) fn template_labels(&mut self, name: &'static str) -> Vec<(String, String)> {
        let labels = self.of.labels(name);
        let labels: Vec<(String, String)> =
            labels.into_iter().map(|(name, text)| (name.into(), text.into())).collect();
        labels.iter().for_each(|(_, text)| self.check(name, text));
        labels
    }

    fn check(&mut self, name: &str, text: &str) {
        if let Err(e) = template::check(text, &Names) {
            self.of.error_at(name, format_args!("cannot be used: {e}"));
        }
    }

    /// Texts; a single one is a list of one.
    pub(in crate::core::builder) fn list(&mut self, name: &'static str) -> Vec<String> {
        self.of.list(name).into_iter().map(String::from).collect()
    }

    /// Yes or no; no where there is none.
    pub(in crate::core::builder) fn flag(&mut self, name: &'static str) -> bool {
        self.of.flag(name)
    }

    /// A whole number within bounds.
    pub(in crate::core::builder) fn number(&mut self, name: &'static str, most: u64) -> Option<u64> {
        self.of.number(name, most)
    }

    /// A length of time.
    pub(in crate::core::builder) fn positive(&mut self, name: &'static str) -> Option<Duration> {
        self.of.positive(name)
    }

    /// An expression and how it is written.
    pub(in crate::core::builder) fn expression(
        &mut self,
        name: &'static str,
        compile: fn(&str) -> Result<InputExpression, String>,
    ) -> Option<(String, InputExpression)> {
        let text = self.text(name);
        if text.is_empty() {
            return None;
        }
        match compile(&text) {
            Ok(expression) => Some((text, expression)),
            Err(e) => {
                self.of.error_at(name, format_args!("{text} is not valid: {e}"));
                None
            }
        }
    }

    /// The members of one of its members; `null` has none.
    pub(in crate::core::builder) fn inner(&mut self, name: &'static str) -> Option<Reading<'a, '_>> {
        let _ = self.of.get(name);
        let node = self.of.whole(name)?;
        let around = self.around;
        Some(Reading { of: self.of.inner(name, node), at: node.at, around })
    }

    /// What is made of each mapping of a list.
    pub(in crate::core::builder) fn each<T>(
        &mut self,
        name: &'static str,
        most: usize,
        mut read: impl FnMut(&mut Reading<'_, '_>) -> T,
    ) -> Vec<T> {
        let Some(node) = self.of.get(name) else { return vec![] };
        let What::List(items) = &node.what else {
            self.of.error_at(name, format_args!("is {} where a list is expected", node.kind()));
            return vec![];
        };
        if items.len() > most {
            self.of.error_at(name, format_args!("has more than {most} entries"));
            return vec![];
        }
        let around = self.around;
        let mut made = Vec::with_capacity(items.len());
        for item in items {
            if !matches!(item.what, What::Map(_)) {
                self.of.error_at(name, format_args!("holds {} where a mapping is expected", item.kind()));
                continue;
            }
            let title = match item.member("name").map(|node| &node.what) {
                Some(What::Scalar { text, .. }) => format!("{name} {text}"),
                _ => name.to_owned(),
            };
            let mut inner = Reading { of: self.of.inner(&title, item), at: item.at, around };
            made.push(read(&mut inner));
            inner.finish(&[]);
        }
        made
    }

    /// The mappings of a list, to be read by somebody else.
    pub(super) fn nodes(&mut self, name: &'static str) -> Vec<&'a Node> {
        let Some(node) = self.of.get(name) else { return vec![] };
        match &node.what {
            What::List(items) => items.iter().collect(),
            _ => {
                self.of.error_at(name, format_args!("is {} where a list is expected", node.kind()));
                vec![]
            }
        }
    }

    /// The members of another mapping, whose complaints go where those of this one go.
    pub(super) fn beside<'b>(&mut self, what: &str, node: &'b Node) -> Reading<'b, '_> {
        let around = self.around;
        Reading { of: self.of.inner(what, node), at: node.at, around }
    }

    /// A member is read elsewhere.
    pub(super) fn asked(&mut self, name: &str) {
        self.of.known(name);
    }

    /// All members are read elsewhere, or mean nothing yet.
    pub(super) fn all_asked(&mut self) {
        self.of.all_known();
    }

    /// Warns of what nobody asked for.
    pub(in crate::core::builder) fn finish(self, also: &[(&str, &str)]) {
        self.of.finish(also);
    }
}
