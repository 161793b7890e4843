use std::io::Cursor;

use rustls::{ClientConfig, ClientConnection};
use rustls_pki_types::ServerName;

use super::super::tests::kit::{Ca, ca};
use super::*;

/// A client and a server that meet in memory.
struct Meeting {
    client: ClientConnection,
    server: Box<dyn TlsSession>,
    /// Ciphertext the server has not used yet.
    rest: Vec<u8>,
    heard: Vec<u8>,
    closed: bool,
}

impl Meeting {
    fn new(config: Arc<ClientConfig>, buffered: bool) -> Self {
        let client = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
        let server = accept(ca().server(), buffered).unwrap();
        Self { client, server, rest: Vec::new(), heard: Vec::new(), closed: false }
    }

    /// Gives the server bytes in pieces, as a socket would.
    fn feed(&mut self, bytes: &[u8], piece: usize) -> Result<Vec<u8>, rustls::Error> {
        let mut reply = Vec::new();
        for piece in bytes.chunks(piece) {
            self.rest.extend_from_slice(piece);
            let progress = self.server.read(&mut self.rest, &mut self.heard, &mut reply)?;
            self.rest.drain(..progress.used);
            self.closed |= progress.closed;
        }
        Ok(reply)
    }

    fn client_output(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut out).unwrap();
        }
        out
    }

    fn client_input(&mut self, bytes: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let mut cursor = Cursor::new(bytes);
        let mut plain = Vec::new();
        while (cursor.position() as usize) < bytes.len() {
            self.client.read_tls(&mut cursor).unwrap();
            self.client.process_new_packets()?;
            let _ = self.client.reader().read_to_end(&mut plain);
        }
        Ok(plain)
    }

    fn shake(&mut self, piece: usize) -> Result<(), rustls::Error> {
        for _ in 0..10 {
            let out = self.client_output();
            let reply = self.feed(&out, piece)?;
            self.client_input(&reply)?;
            if !self.client.is_handshaking() && !self.client.wants_write() && !self.server.is_handshaking() {
                return Ok(());
            }
        }
        panic!("the handshake does not end");
    }
}

fn known() -> Arc<ClientConfig> {
    ca().client(Some(ca().issue("dev1.example.net")))
}

fn tls12() -> Arc<ClientConfig> {
    let (chain, key) = ca().issue("dev1.example.net");
    Arc::new(
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(ca().roots())
            .with_client_auth_cert(chain, key)
            .unwrap(),
    )
}

#[test]
fn both_implementations_talk_in_any_pieces() {
    for buffered in [false, true] {
        for config in [known(), tls12()] {
            for piece in [1, 7, 100, 100_000] {
                let mut meeting = Meeting::new(config.clone(), buffered);
                assert!(meeting.server.is_handshaking());
                meeting.shake(piece).unwrap();
                assert_eq!(meeting.server.peer_certificates().unwrap().len(), 1);
                assert!(meeting.server.summary().starts_with("TLSv1_"));

                let upwards: Vec<u8> = (0..50_000_u32).map(|at| at as u8).collect();
                meeting.client.writer().write_all(&upwards).unwrap();
                let out = meeting.client_output();
                meeting.feed(&out, piece.max(50)).unwrap();
                assert!(meeting.heard == upwards);
                assert!(meeting.rest.is_empty());

                for size in [0, 1, 16_384, 16_385, 200_000] {
                    let downwards: Vec<u8> = (0..size).map(|at| at as u8).collect();
                    let mut cipher = b"kept".to_vec();
                    meeting.server.write(&mut [], &downwards, &mut cipher).unwrap();
                    assert!(cipher.starts_with(b"kept"));
                    assert!(meeting.client_input(&cipher[4..]).unwrap() == downwards);
                }

                meeting.client.refresh_traffic_keys().ok();
                meeting.client.writer().write_all(b"after").unwrap();
                let out = meeting.client_output();
                let reply = meeting.feed(&out, piece).unwrap();
                meeting.client_input(&reply).unwrap();
                assert!(meeting.heard.ends_with(b"after"));
                let mut cipher = Vec::new();
                meeting.server.write(&mut [], b"answer", &mut cipher).unwrap();
                assert_eq!(meeting.client_input(&cipher).unwrap(), b"answer");

                meeting.client.send_close_notify();
                let out = meeting.client_output();
                meeting.feed(&out, piece).unwrap();
                assert!(meeting.closed);
                let mut goodbye = Vec::new();
                meeting.server.close(&mut [], &mut goodbye);
                assert!(!goodbye.is_empty());
            }
        }
    }
}

#[test]
fn nobody_without_certificate_has_one() {
    for buffered in [false, true] {
        let mut meeting = Meeting::new(ca().client(None), buffered);
        meeting.shake(1000).unwrap();
        assert!(meeting.server.peer_certificates().is_none());
    }
}

#[test]
fn a_foreign_certificate_ends_in_an_alert() {
    for buffered in [false, true] {
        let mut meeting = Meeting::new(ca().client(Some(Ca::new().issue("dev1"))), buffered);
        let out = meeting.client_output();
        let reply = meeting.feed(&out, 100_000).unwrap();
        meeting.client_input(&reply).unwrap();
        let out = meeting.client_output();
        let mut alert = Vec::new();
        meeting.rest.extend_from_slice(&out);
        let mut rest = std::mem::take(&mut meeting.rest);
        let error = meeting.server.read(&mut rest, &mut Vec::new(), &mut alert).unwrap_err();
        assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error:?}");
        let told = meeting.client_input(&alert).unwrap_err();
        assert!(matches!(told, rustls::Error::AlertReceived(_)), "{told:?}");
    }
}

/// rustls keeps positions of half a handshake message in the unread bytes.
#[test]
fn half_a_handshake_message_does_not_disturb_writing() {
    for buffered in [false, true] {
        let mut meeting = Meeting::new(known(), buffered);
        let hello = meeting.client_output();
        // the same message in two records
        let body = &hello[5..];
        let record = |part: &[u8]| [&hello[..3], &(part.len() as u16).to_be_bytes()[..], part].concat();
        let (first, second) = (record(&body[..60]), record(&body[60..]));
        let mut reply = meeting.feed(&first, 100_000).unwrap();
        let mut cipher = Vec::new();
        let mut rest = std::mem::take(&mut meeting.rest);
        assert!(meeting.server.write(&mut rest, b"too early", &mut cipher).is_err());
        meeting.server.close(&mut rest, &mut cipher);
        assert!(cipher.is_empty());
        meeting.rest = rest;
        reply.extend(meeting.feed(&second, 100_000).unwrap());
        meeting.client_input(&reply).unwrap();
        meeting.shake(100_000).unwrap();
    }
}

#[test]
fn no_bytes_make_a_session_panic() {
    bolero::check!().with_iterations(3000).for_each(|bytes: &[u8]| {
        for buffered in [false, true] {
            let mut meeting = Meeting::new(ca().client(None), buffered);
            let hello = meeting.client_output();
            let _ = meeting.feed(&[&hello[..hello.len().min(40)], bytes].concat(), 64);
            let mut meeting = Meeting::new(ca().client(None), buffered);
            let framed = [&[22, 3, 1, 0, bytes.len() as u8][..], bytes].concat();
            let _ = meeting.feed(&framed, 16);
            let mut rest = std::mem::take(&mut meeting.rest);
            let _ = meeting.server.write(&mut rest, b"x", &mut Vec::new());
        }
    });
}
