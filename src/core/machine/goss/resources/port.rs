//! `port`: whether somebody listens, `22`, `tcp:22`, `tcp6:22`, `udp:53`, and at which address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use serde_json::{Value, json};

use super::{Kind, Look, Looking, Property};
use crate::core::files::read_bounded;

pub(in super::super) const KIND: Kind = Kind {
    key: "port",
    name: "Port",
    subject: "port",
    properties: &[Property::required("listening"), Property::new("ip")],
    gated: true,
    options: &[],
    look,
};

/// Bytes of a list of sockets.
const MOST: u64 = 64 << 20;

fn look<'a>(look: &'a mut Look<'_>, attribute: &'static str) -> Looking<'a> {
    Box::pin(async move {
        if look.kept.is_none() {
            let (network, port) =
                look.resource.subject.split_once(':').unwrap_or(("tcp", &look.resource.subject));
            let network = ["tcp", "tcp6", "udp", "udp6"].into_iter().find(|known| *known == network);
            let network = network.ok_or_else(|| format!("{} is of no network", look.resource.subject))?;
            let port: u16 = port.parse().map_err(|_| format!("{port} is no port"))?;
            let path = Path::new("/proc/net").join(network);
            let read = super::blocking(&path.clone(), move || read_bounded(&path, MOST)).await?;
            let text = read.map_err(|e| e.to_string())?;
            let found = listening(&String::from_utf8_lossy(&text), network.starts_with("tcp"), port);
            look.kept = Some(Ok(found.into_iter().map(|ip| ip.to_string()).collect::<Vec<_>>().into()));
        }
        let addresses = look.kept.clone().unwrap_or(Ok(Value::Null))?;
        Ok(match attribute {
            "listening" => json!(addresses.as_array().is_some_and(|all| !all.is_empty())),
            _ => addresses,
        })
    })
}

/// Addresses of sockets in a list of the kernel.
fn listening(text: &str, tcp: bool, port: u16) -> Vec<IpAddr> {
    let read = |line: &str| -> Option<IpAddr> {
        let mut words = line.split_whitespace().skip(1);
        let (address, at) = words.next()?.split_once(':')?;
        let state = words.nth(1)?;
        // 0A is one that listens; others of TCP are connections
        let ours = u16::from_str_radix(at, 16).ok()? == port && (!tcp || state == "0A");
        ours.then(|| ip(address)).flatten()
    };
    text.lines().skip(1).filter_map(read).collect()
}

/// Words of four bytes, each as this machine stores it.
fn ip(text: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (at, slot) in bytes.chunks_exact_mut(4).enumerate() {
                slot.copy_from_slice(&word(at * 8)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_the_kernel_are_read() {
        let text = "  sl  local_address rem_address   st tx_queue\n\
                    0: 0100007F:0016 00000000:0000 0A 0 0\n\
                    1: 0200007F:0016 0100007F:9999 01 0 0\n\
                    2: 00000000:0050 00000000:0000 0A 0 0\nbroken\n";
        if cfg!(target_endian = "little") {
            assert_eq!(listening(text, true, 22), [IpAddr::from([127, 0, 0, 1])]);
        }
        assert_eq!(listening(text, true, 80).len(), 1);
        assert_eq!(listening(text, false, 22).len(), 2);
        let six = "head\n0: 00000000000000000000000001000000:0016 0:0 0A\n";
        if cfg!(target_endian = "little") {
            assert_eq!(listening(six, true, 22), [IpAddr::from(Ipv6Addr::LOCALHOST)]);
        }
    }
}
