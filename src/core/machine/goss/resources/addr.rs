//! `addr`: whether somebody answers at an address, `tcp://host:port` or `udp://…`.

use std::net::IpAddr;

use serde_json::json;
use tokio::net::{TcpSocket, UdpSocket, lookup_host};

use super::{Kind, Look, Looking, Property};

pub(in super::super) const KIND: Kind = Kind {
    key: "addr",
    name: "Addr",
    subject: "address",
    properties: &[Property::required("reachable")],
    gated: false,
    options: &["timeout", "local-address"],
    look,
};

fn look<'a>(look: &'a mut Look<'_>, _: &'static str) -> Looking<'a> {
    Box::pin(async move {
        let connecting = connected(look);
        Ok(json!(matches!(tokio::time::timeout(look.timeout(500), connecting).await, Ok(Ok(())))))
    })
}

async fn connected(look: &Look<'_>) -> Result<(), String> {
    let (network, address) =
        look.resource.subject.split_once("://").unwrap_or(("tcp", &look.resource.subject));
    let told = |e: std::io::Error| e.to_string();
    let local: Option<IpAddr> = match look.option("local-address") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| format!("{text} is no address"))?),
    };
    let addresses: Vec<_> = lookup_host(address).await.map_err(told)?.collect();
    let mut last = Err(format!("{address} has no address"));
    for address in addresses {
        let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let local = (local.unwrap_or(any), 0).into();
        last = match network {
            "udp" | "udp4" | "udp6" => match UdpSocket::bind(local).await {
                Ok(socket) => socket.connect(address).await.map_err(told),
                Err(e) => Err(told(e)),
            },
            "tcp" | "tcp4" | "tcp6" => {
                let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
                let socket = socket.map_err(told)?;
                match socket.bind(local) {
                    Ok(()) => socket.connect(address).await.map(drop).map_err(told),
                    Err(e) => Err(told(e)),
                }
            }
            other => return Err(format!("{other} is no network")),
        };
        if last.is_ok() {
            break;
        }
    }
    last
}
