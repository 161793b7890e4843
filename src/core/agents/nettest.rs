//! The `nettest` agent (spec 02 §15.6): tries the network from where a node is.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::system::input::{Refused, word};
use super::system::{Outputs, Places, Tool, turn};
use super::{Agent, Call, Node, Outcome, Running};
use crate::core::ddl::{self, AgentDdl};
use crate::core::rpc::StatusCode;

/// How long a name server, a connection and an echo may take.
const LOOKUP: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(2);
const ECHO: Duration = Duration::from_secs(7);

/// Names looked up at once: a name server that does not answer keeps a thread each.
const AT_ONCE: usize = 8;

/// The agent.
pub struct NetTest {
    places: Places,
}

impl Default for NetTest {
    fn default() -> NetTest {
        NetTest { places: Places::new(AT_ONCE) }
    }
}

impl Agent for NetTest {
    fn ddl(&self) -> &AgentDdl {
        // Compiled in; a test loads every built-in DDL.
        ddl::builtin("nettest").expect("compiled in")
    }

    fn run<'a>(&'a self, call: &'a Call, _: &'a dyn Node) -> Running<'a> {
        Box::pin(async move {
            let outputs = Outputs::of(self.ddl(), call);
            let host = call.text("fqdn");
            if let Err(refused) = checked(host) {
                return refused.answer(outputs);
            }
            let _turn = turn(call).await;
            let address = match self.resolve(host).await {
                Ok(Some(address)) => address,
                Ok(None) => return outputs.aborted("Cannot resolve hostname"),
                Err(problem) => return outputs.broken(problem),
            };
            match call.action.as_str() {
                "ping" => ping(address, outputs).await,
                "connect" => connect(call, address, outputs).await,
                other => {
                    let message = format!("Unknown action {other} for agent nettest");
                    outputs.failed(StatusCode::UnknownAction, message)
                }
            }
        })
    }
}

fn checked(host: &str) -> Result<(), Refused> {
    if host.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    if host.len() > 253 {
        return Err(Refused::new("fqdn", host, "is longer than any host name"));
    }
    word("fqdn", host, ".-_")
}

impl NetTest {
    /// The first address of a host; none when it has none, or nobody says so in time.
    async fn resolve(&self, host: &str) -> Result<Option<IpAddr>, String> {
        if let Ok(address) = host.parse() {
            return Ok(Some(address));
        }
        let name = host.to_owned();
        let first = move || (name.as_str(), 0).to_socket_addrs().ok()?.next();
        let found = timeout(LOOKUP, self.places.block(first)).await.unwrap_or(Ok(None))?;
        Ok(found.map(|address| address.ip()))
    }
}

/// Sockets for echoes are a privilege, so the system's own program sends it.
async fn ping(address: IpAddr, mut outputs: Outputs) -> Outcome {
    let tool = Tool::new("ping", ["-n", "-c", "1", "-W", "5"]).arg(address.to_string());
    match tool.ask(ECHO).await {
        Err(problem) => outputs.broken(problem),
        Ok(told) => match milliseconds(&told.output).filter(|_| told.well()) {
            Some(rtt) => {
                outputs.set("rtt", rtt);
                outputs.done()
            }
            None => outputs.aborted("Cannot reach host"),
        },
    }
}

/// The time in what `ping` says of an echo, by iputils, busybox and BSD alike.
fn milliseconds(said: &str) -> Option<f64> {
    let (_, after) = said.split_once("time=").or_else(|| said.split_once("time<"))?;
    let digits: String = after.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    digits.parse().ok()
}

async fn connect(call: &Call, address: IpAddr, mut outputs: Outputs) -> Outcome {
    let port = call.data.get("port").and_then(|port| port.as_u64().or_else(|| port.as_str()?.parse().ok()));
    let Some(port) = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0) else {
        let port = call.data.get("port").map(ToString::to_string).unwrap_or_default();
        return Refused::new("port", &port, "is no port, give 1 to 65535").answer(outputs);
    };
    let begun = Instant::now();
    let tried = timeout(CONNECT, TcpStream::connect(SocketAddr::new(address, port))).await;
    let status = match tried {
        Ok(Ok(_)) => "Connected",
        Ok(Err(_)) => "Connection Refused",
        Err(_) => "Connection Timeout",
    };
    let connected = status == "Connected";
    outputs.set("connect", connected).set("connect_status", status);
    if connected {
        outputs.set("connect_time", begun.elapsed().as_secs_f64());
    }
    outputs.done()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_from_every_ping() {
        for (said, time) in [
            ("64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=0.034 ms\n", Some(0.034)),
            ("64 bytes from 10.0.0.1: seq=0 ttl=42 time=12.125 ms\n", Some(12.125)),
            ("Reply from 10.0.0.1: bytes=32 time<1ms TTL=64", Some(1.0)),
            ("1 packets transmitted, 0 received", None),
        ] {
            assert_eq!(milliseconds(said), time, "{said}");
        }
    }

    #[test]
    fn hosts_that_are_none() {
        for good in ["127.0.0.1", "::1", "n1.example.net", "a_b-c"] {
            assert!(checked(good).is_ok(), "{good}");
        }
        for bad in ["", "-c", "a b", "a;b", "a/b", "a\n", &"x".repeat(254)] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }
}
