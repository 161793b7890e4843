//! Where to listen, as people write it: an address, one in brackets, a name.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};

/// Why there is nowhere to listen.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Neither an address nor a name that anybody knows.
    #[error("'{text}' is neither an address nor a host name that can be found: {source}")]
    Unknown {
        /// As written.
        text: String,
        /// The resolver's reason.
        source: io::Error,
    },
    /// Of another machine, or of none.
    #[error(
        "'{text}' is no address of this machine ({addresses}); write one of its own, :: or 0.0.0.0 for all"
    )]
    Elsewhere {
        /// As written.
        text: String,
        /// What it stands for.
        addresses: String,
    },
}

/// All addresses that `text` stands for and that this machine has, each once.
///
/// # Errors
/// [`AddressError`] where there is none.
pub fn listen_addresses(text: &str) -> Result<Vec<IpAddr>, AddressError> {
    let bare = text.trim();
    let bare = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(bare);
    let mut addresses: Vec<IpAddr> = match bare.parse() {
        Ok(address) => vec![address],
        Err(_) => (bare, 0_u16)
            .to_socket_addrs()
            .map_err(|source| AddressError::Unknown { text: text.to_owned(), source })?
            .map(|address| address.ip())
            .collect(),
    };
    addresses.sort();
    addresses.dedup();
    // A machine without IPv6 still finds ::1 for localhost.
    let here = |address: &IpAddr| match TcpListener::bind(SocketAddr::new(*address, 0)) {
        Err(e) => e.kind() != io::ErrorKind::AddrNotAvailable && e.raw_os_error() != Some(AFNOSUPPORT),
        Ok(_) => true,
    };
    let own: Vec<IpAddr> = addresses.iter().copied().filter(|a| a.is_unspecified() || here(a)).collect();
    match own.is_empty() {
        false => Ok(own),
        true => {
            let addresses = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Err(AddressError::Elsewhere { text: text.to_owned(), addresses })
        }
    }
}

/// No such family of addresses.
const AFNOSUPPORT: i32 = rustix::io::Errno::AFNOSUPPORT.raw_os_error();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_write_it() {
        let of = |text: &str| listen_addresses(text).map_err(|e| e.to_string());
        assert_eq!(of("127.0.0.1").unwrap(), ["127.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(of("[::]").unwrap(), ["::".parse::<IpAddr>().unwrap()]);
        assert!(of("localhost").unwrap().contains(&"127.0.0.1".parse().unwrap()));
        assert!(of("192.0.2.1").unwrap_err().contains("is no address of this machine (192.0.2.1)"));
        assert!(of("no such name").unwrap_err().contains("neither an address nor a host name"));
    }
}
