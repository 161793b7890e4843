//! `matching`: a value that stands in the rules themselves.

use super::super::matcher::text_of;
use super::{Kind, Look, Looking, Property};

pub(in super::super) const KIND: Kind = Kind {
    key: "matching",
    name: "Matching",
    subject: "content",
    properties: &[Property::required("matches")],
    gated: false,
    options: &["as-reader"],
    look,
};

fn look<'a>(look: &'a mut Look<'_>, _: &'static str) -> Looking<'a> {
    let content = look.resource.attributes.get("content").cloned().unwrap_or_default();
    let text = look.flag("as-reader");
    Box::pin(std::future::ready(Ok(if text { text_of(&content).into() } else { content })))
}
