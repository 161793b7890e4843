use proptest::prelude::*;

use super::*;

fn one(bytes: &[u8]) -> Result<Step<'_>, ProtocolError> {
    next(bytes, &Bounds::default())
}

#[test]
fn events() {
    let publish =
        |subject: &'static str, reply: Option<&'static str>, size: &'static str, body: &'static str| {
            Event::Publish(Publish {
                subject: subject.as_bytes(),
                reply: reply.map(str::as_bytes),
                headers: None,
                size_text: size.as_bytes(),
                body: body.as_bytes(),
            })
        };
    for (bytes, expected) in [
        ("PING\r\n", Event::Ping),
        ("ping\n", Event::Ping),
        ("PONG\r\n", Event::Pong),
        ("+OK\r\n", Event::Ignored),
        ("INFO {}\r\n", Event::Ignored),
        ("CONNECT {}\r\n", Event::Connect(b"{}")),
        ("CONNECT\r\n", Event::Connect(b"")),
        ("SUB a 1\r\n", Event::Subscribe { subject: b"a", queue: None, sid: b"1" }),
        ("sub\ta \t q   5  \r\n", Event::Subscribe { subject: b"a", queue: Some(b"q"), sid: b"5" }),
        ("UNSUB 1\r\n", Event::Unsubscribe { sid: b"1", max: None }),
        ("UNSUB 1 2\r\n", Event::Unsubscribe { sid: b"1", max: Some(2) }),
        ("UNSUB 1 -1\r\n", Event::Unsubscribe { sid: b"1", max: None }),
        ("PUB a 2\r\nhi\r\n", publish("a", None, "2", "hi")),
        ("PUB a r 0\r\n\r\n", publish("a", Some("r"), "0", "")),
        ("PuB a 0001 \nx\r\n", publish("a", None, "0001", "x")),
    ] {
        assert_eq!(one(bytes.as_bytes()), Ok(Step::Event(expected, bytes.len())), "{bytes:?}");
    }
    let bytes = b"HPUB a r 5 7\r\nabcdehi\r\n";
    let Ok(Step::Event(Event::Publish(message), _)) = one(bytes) else { panic!("not a message") };
    assert_eq!((message.headers, message.body), (Some((5, &b"5"[..])), &b"abcdehi"[..]));
}

#[test]
fn errors() {
    use ProtocolError::*;
    for (bytes, expected) in [
        ("FOO bar\r\n", UnknownOperation),
        ("GET / HTTP/1.1", UnknownOperation),
        ("\r\n", UnknownOperation),
        ("UNSUB\r\n", UnknownOperation),
        ("SUB\r\n", UnknownOperation),
        ("PUB a 2\r\nhi\nPING\r\n", UnknownOperation),
        ("PUB a 2\r\nabcde\r\n", UnknownOperation),
        ("PUB a 5\r\nabc\r\nPING\r\n", UnknownOperation),
        ("-ERR 'x'\r\n", ClientError),
        ("SUB a\r\n", Arguments("SUB")),
        ("SUB a b c d 1\r\n", Arguments("SUB")),
        ("UNSUB 1 2 3\r\n", Arguments("UNSUB")),
        ("PUB a\r\n", Arguments("PUB")),
        ("PUB a -1\r\n", Arguments("PUB")),
        ("PUB a 1234567890\r\n", Arguments("PUB")),
        ("PUB a b c 1\r\n", Arguments("PUB")),
        ("HPUB a 20 10\r\n", Arguments("HPUB")),
        ("HPUB a 10\r\n", Arguments("HPUB")),
        ("PUB a 1048577\r\n", Payload),
        ("HPUB a 10 1048577\r\n", Payload),
    ] {
        assert_eq!(one(bytes.as_bytes()), Err(expected), "{bytes:?}");
    }
}

#[test]
fn control_line_limits() {
    let sub = |length: usize| format!("SUB {} 1\r\n", "x".repeat(length));
    assert!(matches!(one(sub(4094).as_bytes()), Ok(Step::Event(..))));
    assert_eq!(one(sub(4095).as_bytes()), Err(ProtocolError::ControlLine));
    assert_eq!(one(format!("PUB {}", "x".repeat(4100)).as_bytes()), Err(ProtocolError::ControlLine));
    assert_eq!(one(format!("PUB {}", " ".repeat(5000)).as_bytes()), Err(ProtocolError::ControlLine));
    let connect = |length: usize| format!("CONNECT {{\"name\":\"{}\"}}\r\n", "x".repeat(length));
    assert!(matches!(one(connect(60_000).as_bytes()), Ok(Step::Event(..))));
    assert_eq!(one(connect(70_000).as_bytes()), Err(ProtocolError::ControlLine));
    assert_eq!(one(&connect(70_000).as_bytes()[..66_000]), Err(ProtocolError::ControlLine));
}

/// Runs a whole conversation through a buffer that grows by the given cuts.
fn replay(bytes: &[u8], cuts: impl Iterator<Item = usize>) -> (Vec<String>, Option<ProtocolError>) {
    let (mut seen, mut start, mut need) = (Vec::new(), 0, 0);
    for end in cuts.chain([bytes.len()]) {
        loop {
            let buffer = &bytes[start..end];
            if buffer.is_empty() || buffer.len() < need {
                break;
            }
            match next(buffer, &Bounds::default()) {
                Ok(Step::Event(event, used)) => {
                    seen.push(format!("{event:?}"));
                    start += used;
                    need = 0;
                }
                Ok(Step::Need(more)) => {
                    assert!(more > buffer.len(), "a demand must ask for more than there is");
                    need = more;
                }
                Err(error) => return (seen, Some(error)),
            }
        }
    }
    (seen, None)
}

const TALK: &[u8] = b"CONNECT {\"verbose\":false}\r\nSUB a.* q 1\r\nping\nPUB a.b r 5\r\nhe\r\nl\r\nHPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\nUNSUB 1 3\r\n+OK\r\nPONG\r\nPUB x 0\r\n\r\n";

#[test]
fn split_at_every_byte_gives_the_same_events() {
    let whole = replay(TALK, std::iter::empty());
    assert_eq!(whole.0.len(), 9);
    assert_eq!(whole, replay(TALK, 0..TALK.len()));
    for at in 0..TALK.len() {
        assert_eq!(whole, replay(TALK, std::iter::once(at)), "cut at {at}");
    }
}

proptest! {
    #[test]
    fn split_input_ends_alike(
        parts in proptest::collection::vec(prop_oneof![
            Just(&b"PUB a 3\r\nabc\r\n"[..]), Just(&b"PING\r\n"[..]), Just(&b"SUB a b c d e\r\n"[..]),
            Just(&b"SUB a 1\r\n"[..]), Just(&b"\r\n"[..]), Just(&b"UNSUB 1"[..]), Just(&b" 2\n"[..]),
            Just(&b"HPUB a 1 2\r\nab"[..]), Just(&b"-ERR"[..]), Just(&b"x"[..]),
        ], 0..12),
        cuts in proptest::collection::vec(0_usize..200, 0..6),
    ) {
        let bytes = parts.concat();
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= bytes.len()).collect();
        cuts.sort_unstable();
        prop_assert_eq!(replay(&bytes, std::iter::empty()), replay(&bytes, cuts.into_iter()));
    }
}

#[test]
fn no_bytes_make_it_panic() {
    bolero::check!().with_iterations(20_000).for_each(|bytes: &[u8]| {
        let _ = replay(bytes, std::iter::empty());
        for verb in ["PUB ", "HPUB ", "SUB ", "UNSUB ", "CONNECT "] {
            let mut line = verb.as_bytes().to_vec();
            line.extend_from_slice(bytes);
            let _ = replay(&line, std::iter::empty());
        }
    });
}
