use proptest::prelude::*;

use super::*;
use crate::core::broker::ledger::Counter;
use crate::core::nats::frame::Frame;

/// A socket that takes only so much at each call.
struct Narrow {
    taken: Vec<u8>,
    steps: Vec<usize>,
}

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.steps.pop() {
            None => {
                self.taken.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            Some(0) => Err(ErrorKind::WouldBlock.into()),
            Some(step) => {
                let count = step.min(bytes.len());
                self.taken.extend_from_slice(&bytes[..count]);
                Ok(count)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// TLS in name only: each write becomes a length and the bytes.
struct Marked;

impl TlsSession for Marked {
    fn read(
        &mut self,
        _: &mut [u8],
        _: &mut Vec<u8>,
        _: &mut Vec<u8>,
    ) -> Result<super::super::tls::Progress, rustls::Error> {
        Ok(super::super::tls::Progress::default())
    }
    fn write(&mut self, _: &mut [u8], plain: &[u8], cipher: &mut Vec<u8>) -> Result<(), rustls::Error> {
        cipher.extend_from_slice(&(plain.len() as u32).to_be_bytes());
        cipher.extend_from_slice(plain);
        Ok(())
    }
    fn close(&mut self, _: &mut [u8], _: &mut Vec<u8>) {}
    fn is_resumed(&self) -> bool {
        false
    }

    fn is_handshaking(&self) -> bool {
        false
    }
    fn peer_certificates(&self) -> Option<&[rustls_pki_types::CertificateDer<'static>]> {
        None
    }
    fn summary(&self) -> String {
        String::new()
    }
}

fn unmark(mut bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        plain.extend_from_slice(&rest[..length]);
        bytes = &rest[length..];
    }
    plain
}

proptest! {
    #[test]
    fn all_bytes_leave_in_order_through_any_socket(
        sizes in proptest::collection::vec(0_usize..3000, 1..40),
        big in 0_usize..200_000,
        steps in proptest::collection::vec(0_usize..5000, 0..40),
        with_tls in any::<bool>(),
    ) {
        let ledger = Counter::default();
        let mut scratch = WriteScratch::default();
        let mut outbound = Outbound::default();
        let mut expected = Vec::new();
        for (number, size) in sizes.into_iter().chain([big]).enumerate() {
            let payload = vec![number as u8; size];
            let message = Message::new(Frame::message(b"a.b", None, &payload), &ledger);
            let sid = Sid::new(number.to_string().as_bytes());
            message.lay(sid.as_bytes(), &mut expected);
            if number % 3 == 0 {
                outbound.lay(&mut scratch, |out| message.lay(sid.as_bytes(), out));
            } else {
                outbound.share(message, sid);
            }
            outbound.lay(&mut scratch, |out| out.extend_from_slice(b"PONG\r\n"));
            expected.extend_from_slice(b"PONG\r\n");
        }
        prop_assert_eq!(outbound.pending(), expected.len());
        let mut socket = Narrow { taken: Vec::new(), steps };
        let mut session = Marked;
        loop {
            let tls = with_tls.then_some(&mut session as &mut (dyn TlsSession + 'static));
            if outbound.flush(&mut socket, tls, &mut [], &mut scratch).unwrap() == Flushed::All {
                break;
            }
            prop_assert!(outbound.pending() > 0);
        }
        prop_assert_eq!((outbound.pending(), outbound.own(), outbound.weight()), (0, 0, 0));
        prop_assert!(outbound.is_empty());
        let got = if with_tls { unmark(&socket.taken) } else { socket.taken };
        prop_assert_eq!(got, expected);
        prop_assert_eq!(ledger.load(std::sync::atomic::Ordering::Relaxed), 0);
    }
}
