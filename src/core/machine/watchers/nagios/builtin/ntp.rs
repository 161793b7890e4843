//! `ntp`: how far this clock is from that of a server, asked once over SNTP (RFC 4330).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::UdpSocket;

use super::limits::{Limits, Measure};
use super::{Around, Builtin, Finding, Looking, Probe};
use crate::core::machine::properties::Properties;

pub(super) const BUILTIN: Builtin = Builtin { name: "ntp", compile };

/// Seconds between 1900 and 1970.
const ERA: u64 = 2_208_988_800;
/// An answer is asked for again after this.
const PATIENCE: Duration = Duration::from_secs(2);

struct Ntp {
    server: Box<str>,
    port: u16,
    limits: Limits,
}

fn compile(of: &mut Properties<'_, '_>) -> Box<dyn Probe> {
    let port = of.number("port", u64::from(u16::MAX)).and_then(|port| u16::try_from(port).ok());
    Box::new(Ntp {
        server: of.required("server"),
        port: port.unwrap_or(123),
        // of the absolute value
        limits: Limits::new(of, Measure::Seconds, ["0.5", "5"]),
    })
}

impl Probe for Ntp {
    fn look<'a>(&'a self, around: &'a Around) -> Looking<'a> {
        Box::pin(async move { self.found(around).await.unwrap_or_else(|finding| finding) })
    }
}

impl Ntp {
    async fn found(&self, around: &Around) -> Result<Finding, Finding> {
        let bounds = self.limits.here(around)?;
        let server = &self.server;
        let told = |e: std::io::Error| Finding::unknown(format!("{server} cannot be asked: {e}"));
        let mut addresses = tokio::net::lookup_host((&**server, self.port)).await.map_err(told)?;
        let address = addresses.next().ok_or_else(|| Finding::unknown(format!("{server} has no address")))?;
        let local = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(local).await.map_err(told)?;
        // others cannot answer for it then
        socket.connect(address).await.map_err(told)?;
        loop {
            // what nobody guesses, and a server gives back
            let token: [u8; 8] = *uuid::Uuid::new_v4().as_bytes().first_chunk().unwrap_or(&[7; 8]);
            let sent = seconds(SystemTime::now());
            socket.send(&question(token)).await.map_err(told)?;
            // one that is lost is asked for again
            let Ok(answer) = tokio::time::timeout(PATIENCE, heard(&socket, token, sent)).await else {
                continue;
            };
            let answer = match answer.map_err(told)? {
                Ok(answer) => answer,
                Err(why) => return Err(Finding::unknown(format!("{server} {why}"))),
            };
            let said = format!(
                "this clock is {:.3} s {} {server}, stratum {}",
                answer.offset.abs(),
                if answer.offset > 0.0 { "behind" } else { "ahead of" },
                answer.stratum
            );
            return Ok(Finding::ok()
                .judged("offset", answer.offset.abs(), "s", bounds, said)
                .number("delay", answer.delay, "s")
                .number("stratum", f64::from(answer.stratum), ""));
        }
    }
}

/// The answer to one question; what is of another, or of somebody else, is passed over.
async fn heard(socket: &UdpSocket, token: [u8; 8], sent: f64) -> std::io::Result<Result<Told, &'static str>> {
    let mut buffer = [0; 512];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let received = seconds(SystemTime::now());
        match answer(buffer.get(..length).unwrap_or_default(), token, sent, received) {
            Ok(None) => {}
            Ok(Some(told)) => return Ok(Ok(told)),
            Err(why) => return Ok(Err(why)),
        }
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Version 4, a client, with the token where the time of sending is.
fn question(token: [u8; 8]) -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[0] = 0x23;
    bytes[40..].copy_from_slice(&token);
    bytes
}

#[derive(Debug, PartialEq)]
struct Told {
    /// Seconds this clock has to be put forward.
    offset: f64,
    delay: f64,
    stratum: u8,
}

/// What a server says; nothing when it is no answer to this question.
fn answer(bytes: &[u8], token: [u8; 8], sent: f64, received: f64) -> Result<Option<Told>, &'static str> {
    let Some(bytes) = bytes.first_chunk::<48>() else { return Ok(None) };
    // a server, of version 3 or 4
    if bytes[0] & 7 != 4 || bytes[24..32] != token {
        return Ok(None);
    }
    let stratum = bytes[1];
    if stratum == 0 {
        return Err("does not want to be asked");
    }
    if bytes[0] >> 6 == 3 || stratum > 15 {
        return Err("does not know the time itself");
    }
    let time = |at: usize| -> f64 {
        let part = |at: usize| {
            let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
            u32::from_be_bytes(four.unwrap_or_default())
        };
        // the second era begins in 2036
        let whole = u64::from(part(at));
        let whole = if whole < 1 << 31 { whole + (1 << 32) } else { whole };
        whole.saturating_sub(ERA) as f64 + f64::from(part(at + 4)) / f64::from(u32::MAX)
    };
    let (arrived, left) = (time(32), time(40));
    let offset = ((arrived - sent) + (left - received)) / 2.0;
    let delay = ((received - sent) - (left - arrived)).max(0.0);
    Ok(Some(Told { offset, delay, stratum }))
}

#[cfg(test)]
mod tests {
    use super::super::tests::look;
    use super::*;

    /// An answer of a server whose clock is `ahead` of this one.
    fn told(question: &[u8], first: u8, stratum: u8, ahead: f64) -> [u8; 48] {
        let mut bytes = [0; 48];
        (bytes[0], bytes[1]) = (first, stratum);
        bytes[24..32].copy_from_slice(&question[40..48]);
        let now = seconds(SystemTime::now()) + ahead;
        let stamp = [(now as u64 + ERA) as u32, (now.fract() * f64::from(u32::MAX)) as u32];
        for at in [32, 40] {
            bytes[at..at + 4].copy_from_slice(&stamp[0].to_be_bytes());
            bytes[at + 4..at + 8].copy_from_slice(&stamp[1].to_be_bytes());
        }
        bytes
    }

    async fn server(first: u8, stratum: u8, ahead: f64) -> u16 {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                // somebody else's answer first
                let _ = socket.send_to(&[0; 48], from).await;
                let _ = socket.send_to(&told(&buffer[..length], first, stratum, ahead), from).await;
            }
        });
        port
    }

    #[tokio::test]
    async fn clocks_are_compared() {
        for (first, stratum, ahead, expected) in [
            (0x24, 2, 0.0, "OK: this clock is 0.0"),
            (0x24, 2, 1.5, "WARNING: this clock is 1.5"),
            (0x24, 2, -60.0, "CRITICAL: this clock is "),
            (0xe4, 2, 0.0, "UNKNOWN: 127.0.0.1 does not know the time itself"),
            (0x24, 16, 0.0, "UNKNOWN: 127.0.0.1 does not know the time itself"),
            (0x24, 0, 0.0, "UNKNOWN: 127.0.0.1 does not want to be asked"),
        ] {
            let port = server(first, stratum, ahead).await;
            let found = look("ntp", &format!("{{server: 127.0.0.1, port: {port}}}"), "null").await;
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn no_bytes_end_the_reader() {
        bolero::check!().with_iterations(2000).with_type::<(Vec<u8>, [u8; 8])>().for_each(
            |(bytes, token)| {
                let _ = answer(bytes, *token, 1.0, 2.0);
                let mut own = bytes.clone();
                own.resize(48, 0);
                (own[0], own[1]) = (0x24, 1);
                own[24..32].copy_from_slice(token);
                assert!(matches!(answer(&own, *token, 1.0, 2.0), Ok(Some(_))));
            },
        );
    }
}
