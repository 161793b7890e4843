//! `client_hosts`: addresses and networks (spec 04 §3.3).

use std::net::IpAddr;

/// Exact host texts and CIDR networks, IPv4 and IPv6.
#[derive(Debug, Clone, Default)]
pub struct HostList {
    hosts: Vec<String>,
    networks: Vec<(IpAddr, u8)>,
}

impl HostList {
    /// Reads entries; one with `/` is a network, any other an exact host. Malformed networks match nothing.
    pub fn new<S: AsRef<str>>(entries: impl IntoIterator<Item = S>) -> Self {
        let mut list = Self::default();
        for entry in entries {
            let entry = entry.as_ref().trim();
            match entry.split_once('/') {
                Some((address, bits)) => {
                    if let (Ok(address), Ok(bits)) = (address.parse::<IpAddr>(), bits.parse::<u8>()) {
                        list.networks.push((address, bits));
                    }
                }
                None if entry.is_empty() => {}
                None => list.hosts.push(entry.to_owned()),
            }
        }
        list
    }

    /// Whether nothing was configured.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.networks.is_empty()
    }

    /// Whether an address is listed. IPv4 addresses mapped into IPv6 count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let text = address.to_string();
        self.hosts.contains(&text)
            || self.networks.iter().any(|(network, bits)| within(*network, *bits, address))
    }
}

fn within(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    let same = |a: u128, b: u128, width: u8| bits <= width && (bits == 0 || (a ^ b) >> (width - bits) == 0);
    match (network, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(u32::from(a).into(), u32::from(b).into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.into(), b.into(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks() {
        let list = HostList::new(["10.1.1.0/24", "192.168.1.5", "fe80::/10", "::1", "bad/99", "10.0.0.0/33"]);
        for (address, listed) in [
            ("10.1.1.1", true),
            ("::ffff:10.1.1.1", true),
            ("10.1.2.1", false),
            ("192.168.1.5", true),
            ("192.168.1.6", false),
            ("fe80::1", true),
            ("fd00::1", false),
            ("::1", true),
        ] {
            assert_eq!(list.contains(address.parse().unwrap()), listed, "{address}");
        }
        assert!(HostList::new(["", " "]).is_empty());
        assert!(HostList::new(["0.0.0.0/0"]).contains("8.8.8.8".parse().unwrap()));
    }
}
