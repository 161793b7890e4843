//! `interface`: whether it is there, its addresses and the size of its packets.

use std::net::IpAddr;
use std::path::{Component, Path};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use super::{Kind, Look, Looking, Property};
use crate::core::files::read_bounded;

pub(in super::super) const KIND: Kind = Kind {
    key: "interface",
    name: "Interface",
    subject: "name",
    properties: &[Property::required("exists"), Property::new("addrs"), Property::new("mtu")],
    gated: true,
    options: &[],
    look,
};

fn look<'a>(look: &'a mut Look<'_>, attribute: &'static str) -> Looking<'a> {
    let name = look.resource.subject.clone();
    Box::pin(async move {
        if !matches!(Path::new(&name).components().collect::<Vec<_>>()[..], [Component::Normal(_)]) {
            return Err(format!("{name} is no name of an interface"));
        }
        let place = Path::new("/sys/class/net").join(&name);
        super::blocking(&place.clone(), move || {
            let number = |file: &str| -> Result<u32, String> {
                let text = read_bounded(&place.join(file), 64).map_err(|e| e.to_string())?;
                String::from_utf8_lossy(&text).trim().parse().map_err(|_| format!("{name} has no {file}"))
            };
            Ok(match attribute {
                "exists" => json!(place.exists()),
                "mtu" => json!(number("mtu")?),
                _ => addresses(number("ifindex")?).map_err(|e| e.to_string())?.into(),
            })
        })
        .await?
    })
}

/// Kinds and lengths of rtnetlink(7).
const NETLINK: i32 = 16;
const GET_ADDRESS: u16 = 22;
const NEW_ADDRESS: u16 = 20;
const DONE: u16 = 3;
const ERROR: u16 = 2;
/// A request, and a dump of all.
const FLAGS: u16 = 0x301;
/// Answers that are read.
const MOST: usize = 1024;

/// Addresses of an interface as the kernel tells them, `127.0.0.1/8`.
fn addresses(index: u32) -> std::io::Result<Vec<Value>> {
    use std::io::Read;
    // the protocol of routes is 0
    let socket = Socket::new(Domain::from(NETLINK), Type::RAW, None)?;
    socket.set_read_timeout(Some(std::time::Duration::from_secs(1)))?;
    let mut request = Vec::with_capacity(24);
    request.extend(24u32.to_ne_bytes());
    request.extend(GET_ADDRESS.to_ne_bytes());
    request.extend(FLAGS.to_ne_bytes());
    // number and sender, then a message about addresses of any family
    request.extend([0; 16]);
    socket.send(&request)?;
    let mut found = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    for _ in 0..MOST {
        let length = (&socket).read(&mut buffer)?;
        let (more, some) = told(buffer.get(..length).unwrap_or_default(), index);
        found.extend(some);
        if !more {
            break;
        }
    }
    Ok(found)
}

/// Addresses in one answer, and whether there is another.
fn told(mut bytes: &[u8], index: u32) -> (bool, Vec<Value>) {
    let mut found = Vec::new();
    while let Some(length) = word(bytes, 0).map(|length| length as usize) {
        let Some(message) = bytes.get(..length).filter(|message| message.len() >= 16) else { break };
        match half(message, 4) {
            Some(DONE | ERROR) => return (false, found),
            Some(NEW_ADDRESS) if word(message, 20) == Some(index) => found.extend(address(message)),
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    (!found.is_empty() || bytes.is_empty(), found)
}

/// The address of a message: its own end where a line has two.
fn address(message: &[u8]) -> Option<Value> {
    let prefix = message.get(17)?;
    let mut rest = message.get(24..)?;
    let (mut own, mut any) = (None, None);
    while let Some(length) = half(rest, 0).map(usize::from).filter(|length| *length >= 4) {
        let value = rest.get(4..length)?;
        let read = match value.len() {
            4 => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
            16 => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
            _ => None,
        };
        match half(rest, 2) {
            Some(1) => any = read,
            Some(2) => own = read,
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    own.or(any).map(|address| format!("{address}/{prefix}").into())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_has_its_address() {
        let index = std::fs::read_to_string("/sys/class/net/lo/ifindex").unwrap().trim().parse().unwrap();
        assert!(addresses(index).unwrap().contains(&json!("127.0.0.1/8")));
        assert_eq!(addresses(u32::MAX).unwrap(), Vec::<Value>::new());
    }

    #[test]
    fn no_answer_ends_the_reader() {
        bolero::check!().with_iterations(3000).with_type::<Vec<u8>>().for_each(|bytes: &Vec<u8>| {
            told(bytes, 1);
            address(bytes);
        });
    }
}
