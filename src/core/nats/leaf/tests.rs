use super::hello::{Connect, HelloError, HubInfo};
use super::read::{Event, LeafError, Message, Step, next};
use super::write::{Outgoing, unwanted, wanted};
use crate::core::nats::codec::Bounds;

fn one(bytes: &[u8]) -> Result<Step<'_>, LeafError> {
    next(bytes, &Bounds::default())
}

fn event(bytes: &[u8]) -> Event<'_> {
    match one(bytes) {
        Ok(Step::Event(event, used)) if used == bytes.len() => event,
        other => panic!("{}: {other:?}", String::from_utf8_lossy(bytes)),
    }
}

#[test]
fn lines() {
    for (bytes, expected) in [
        ("PING\r\n", Event::Ping),
        ("PONG\r\n", Event::Pong),
        ("+OK\r\n", Event::Ignored),
        ("INFO {\"a\":1} \r\n", Event::Info(b"{\"a\":1}")),
        ("-ERR 'Loop detected'\r\n", Event::Error(b"Loop detected")),
        ("LS+ a.>\r\n", Event::Wanted { subject: b"a.>", queue: None }),
        ("LS+ a q 3\r\n", Event::Wanted { subject: b"a", queue: Some((b"q", 3)) }),
        ("LS- a\r\n", Event::Unwanted { subject: b"a", queue: None }),
        ("LS- a q\r\n", Event::Unwanted { subject: b"a", queue: Some(b"q") }),
    ] {
        assert_eq!(event(bytes.as_bytes()), expected, "{bytes:?}");
    }
}

#[test]
fn messages_in_all_forms() {
    for (line, reply, queues, headers, body) in [
        ("LMSG a 2\r\nhi", None, vec![], None, "hi"),
        ("LMSG a 0\r\n", None, vec![], None, ""),
        ("LMSG a r.1 2\r\nhi", Some("r.1"), vec![], None, "hi"),
        ("LMSG a + r.1 q 2\r\nhi", Some("r.1"), vec!["q"], None, "hi"),
        ("LMSG a + r.1 q1 q2  q3 2\r\nhi", Some("r.1"), vec!["q1", "q2", "q3"], None, "hi"),
        ("LMSG a | q1 q2 2\r\nhi", None, vec!["q1", "q2"], None, "hi"),
        ("HMSG a 5 7\r\nabcdehi", None, vec![], Some((5, &b"5"[..])), "abcdehi"),
        ("HMSG a r.1 5 7\r\nabcdehi", Some("r.1"), vec![], Some((5, b"5")), "abcdehi"),
        ("HMSG a + r.1 q 5 7\r\nabcdehi", Some("r.1"), vec!["q"], Some((5, b"5")), "abcdehi"),
        ("HMSG a | q 5 7\r\nabcdehi", None, vec!["q"], Some((5, b"5")), "abcdehi"),
    ] {
        let bytes = format!("{line}\r\n");
        let Event::Message(message) = event(bytes.as_bytes()) else { panic!("{line}") };
        let publish = message.publish;
        assert_eq!(publish.subject, b"a", "{line}");
        assert_eq!(publish.reply, reply.map(str::as_bytes), "{line}");
        assert_eq!(names(&message), queues, "{line}");
        assert_eq!((publish.headers, publish.body), (headers, body.as_bytes()), "{line}");
        // and back
        let mut out = Vec::new();
        let outgoing = Outgoing {
            subject: publish.subject,
            reply: publish.reply,
            headers: publish.headers.map(|(length, _)| length),
            body: publish.body,
        };
        outgoing.lay(message.queues(), &mut out);
        assert_eq!(event(&out), event(bytes.replace("  ", " ").as_bytes()), "{line}");
    }
}

fn names<'a>(message: &Message<'a>) -> Vec<&'a str> {
    message.queues().map(|queue| std::str::from_utf8(queue).unwrap()).collect()
}

#[test]
fn interest_is_told_in_lines_the_other_side_reads() {
    let mut out = Vec::new();
    wanted(b"a.*", None, &mut out);
    wanted(b"a", Some((b"q", 2)), &mut out);
    unwanted(b"a.*", None, &mut out);
    unwanted(b"a", Some(b"q"), &mut out);
    assert_eq!(out, b"LS+ a.*\r\nLS+ a q 2\r\nLS- a.*\r\nLS- a q\r\n");
}

#[test]
fn errors() {
    use LeafError::*;
    for (bytes, expected) in [
        ("HTTP/1.1 400 Bad Request\r\n", UnknownOperation),
        ("MSG a 1 2\r\nhi\r\n", UnknownOperation),
        ("PUB a 2\r\n", UnknownOperation),
        ("LMSGa 2\r\n", UnknownOperation),
        ("LMSG a 2\r\nhix\r\n", UnknownOperation),
        ("LS+\r\n", Arguments("LS+")),
        ("LS+ a q\r\n", Arguments("LS+")),
        ("LS+ a q x\r\n", Arguments("LS+")),
        ("LS+ a q 9999999999\r\n", Arguments("LS+")),
        ("LS+ a q 1 2\r\n", Arguments("LS+")),
        ("LS-\r\n", Arguments("LS-")),
        ("LS- a b c\r\n", Arguments("LS-")),
        ("LMSG a\r\n", Arguments("LMSG")),
        ("LMSG a -1\r\n", Arguments("LMSG")),
        ("LMSG a r x 2\r\nhi\r\n", Arguments("LMSG")),
        ("LMSG a + 2\r\nhi\r\n", Arguments("LMSG")),
        ("HMSG a 2\r\nhi\r\n", Arguments("HMSG")),
        ("HMSG a 3 2\r\nhi\r\n", Arguments("HMSG")),
        ("LMSG a 1048577\r\n", Payload(1024 * 1024)),
    ] {
        assert_eq!(one(bytes.as_bytes()), Err(expected), "{bytes:?}");
    }
    let endless = [b"LS+ ".to_vec(), vec![b'a'; 65 * 1024]].concat();
    assert_eq!(one(&endless), Err(Line(64 * 1024)));
}

#[test]
fn what_is_not_whole_is_waited_for() {
    for whole in ["LS+ a q 3\r\n", "HMSG a + r.1 q 5 7\r\nabcdehi\r\n", "INFO {}\r\n", "-ERR 'x'\r\n"] {
        for length in 0..whole.len() {
            let step = one(&whole.as_bytes()[..length]);
            assert!(matches!(step, Ok(Step::Need(need)) if need > length), "{whole:?} {length}: {step:?}");
        }
    }
}

#[test]
fn any_bytes_are_read_or_refused() {
    bolero::check!().with_iterations(20_000).with_type::<Vec<u8>>().for_each(|bytes| {
        for front in ["", "LMSG a + ", "HMSG a | ", "LS+ ", "LS- ", "INFO "] {
            let bytes = [front.as_bytes(), bytes].concat();
            match one(&bytes) {
                Ok(Step::Event(_, used)) => assert!(used > 0 && used <= bytes.len()),
                Ok(Step::Need(need)) => assert!(need > bytes.len()),
                Err(_) => {}
            }
            let _ = HubInfo::decode(&bytes);
        }
    });
}

#[test]
fn hello() {
    let info = HubInfo::decode(
        br#"{"server_id":"N1","client_id":7,"leafnode_urls":["h:1"],"import":{"deny":["x.>"]},"tls_required":true,"xkey":"X"}"#,
    )
    .unwrap();
    assert!(info.tls_required && !info.connect_info);
    assert_eq!((info.client_id, info.leafnode_urls), (7, Some(vec!["h:1".to_owned()])));
    assert_eq!(info.import.and_then(|import| import.deny), Some(vec!["x.>".to_owned()]));
    assert!(matches!(HubInfo::decode(b"7"), Err(HelloError::Json(_))));
    let many = serde_json::json!({"leafnode_urls": vec!["h:1"; 300]}).to_string();
    assert!(matches!(HubInfo::decode(many.as_bytes()), Err(HelloError::Large)));
    let long = serde_json::json!({"export": {"allow": ["x".repeat(300)]}}).to_string();
    assert!(matches!(HubInfo::decode(long.as_bytes()), Err(HelloError::Large)));
    let connect = Connect {
        version: "2.10.0",
        name: "b1",
        cluster: "SITE",
        headers: true,
        protocol: 1,
        ..Default::default()
    };
    let line = String::from_utf8(connect.line()).unwrap();
    assert_eq!(
        line,
        "CONNECT {\"version\":\"2.10.0\",\"server_id\":\"\",\"name\":\"b1\",\"cluster\":\"SITE\",\"headers\":true,\"protocol\":1}\r\n"
    );
}
