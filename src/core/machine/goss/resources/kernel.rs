//! `kernel-param`: a parameter of the kernel, as `sysctl` names it.

use std::path::{Component, Path};

use serde_json::json;

use super::{Kind, Look, Looking, Property};
use crate::core::files::read_bounded;

pub(in super::super) const KIND: Kind = Kind {
    key: "kernel-param",
    name: "KernelParam",
    subject: "name",
    properties: &[Property::required("value")],
    gated: false,
    options: &[],
    look,
};

fn look<'a>(look: &'a mut Look<'_>, _: &'static str) -> Looking<'a> {
    Box::pin(async move {
        let name = &look.resource.subject;
        // a part with a point in it is written with slashes instead
        let relative = if name.contains('/') { name.clone() } else { name.replace('.', "/") };
        let plain = Path::new(&relative).components().all(|part| matches!(part, Component::Normal(_)));
        if !plain || relative.is_empty() {
            return Err(format!("{name} is no parameter"));
        }
        let path = Path::new("/proc/sys").join(relative);
        let read = super::blocking(&path.clone(), move || read_bounded(&path, 64 * 1024)).await?;
        let text = read.map_err(|e| e.to_string())?;
        Ok(json!(String::from_utf8_lossy(&text).trim_end_matches('\n')))
    })
}
