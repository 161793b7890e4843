//! Header blocks of messages (spec 04 §6). Pure.
//!
//! nats-server hands them on unread, and client libraries end their connection at one they cannot
//! read, or worse: whoever may say anything to somebody could cut them off with it. So what goes
//! through here is something that every library reads.

/// Largest block, in bytes: a library makes ten times as much of it.
const MOST_BYTES: usize = 64 * 1024;
/// Most lines.
const MOST_LINES: usize = 256;
/// First line of a block, up to a status.
const VERSION: &str = "NATS/1.0";

/// Bytes of the block that names and values make.
pub fn length<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> usize {
    let lines = headers.into_iter().map(|(name, value)| name.len() + value.len() + ": \r\n".len());
    VERSION.len() + 2 * "\r\n".len() + lines.sum::<usize>()
}

/// Why libraries would not read a block; nothing where they do.
pub fn fault(block: &[u8]) -> Option<&'static str> {
    if block.len() > MOST_BYTES {
        return Some("it has more than 65536 bytes");
    }
    let Ok(text) = std::str::from_utf8(block) else { return Some("it is no UTF-8") };
    let Some(text) = text.strip_suffix("\r\n\r\n") else { return Some("it has no end") };
    let mut lines = text.split("\r\n");
    let Some(status) = lines.next().and_then(|line| line.strip_prefix(VERSION)) else {
        return Some("it does not begin with NATS/1.0");
    };
    if !is_status(status) || status.contains(['\r', '\n']) {
        return Some("its status is none");
    }
    let mut count = 0;
    for line in lines {
        count += 1;
        if line.contains(['\r', '\n']) {
            return Some("a line of it has an end within");
        }
        // the rest of the value of the line before
        if count > 1 && line.starts_with([' ', '\t']) {
            continue;
        }
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !line.split_once(':').is_some_and(|(name, _)| is_name(name)) {
            return Some("a line of it has no name and value");
        }
    }
    (count > MOST_LINES).then_some("it has more than 256 lines")
}

/// Longest id of a message: the engine of streams remembers each for minutes.
const MOST_ID: usize = 512;
/// What nats-server does at the word of whoever says something, as far as anybody may have it do so. It follows
/// messages wherever they are sent, empties streams, and says later what it was told now by headers, too.
const FOR_SERVERS: [&str; 8] = [
    "Nats-Expected-Last-Msg-Id",
    "Nats-Expected-Last-Sequence",
    "Nats-Expected-Last-Subject-Sequence",
    "Nats-Expected-Last-Subject-Sequence-Subject",
    "Nats-Expected-Stream",
    "Nats-TTL",
    "Nats-Required-Api-Level",
    "Nats-TTLSeconds",
];

/// Whether a block that libraries read has an id. `stores` is false of those who store nothing.
///
/// # Errors
/// Why it is not for everybody to send: nats-server, or whoever reads streams, would take words of it for more than they
/// are.
pub fn for_servers(block: &[u8], stores: bool) -> Result<bool, &'static str> {
    let lines = block.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let named = lines.filter(|line| line.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("Nats-")));
    let mut has_id = false;
    for (name, value) in named.filter_map(|line| line.split_once(':')) {
        let good = match name {
            "Nats-Msg-Id" => {
                has_id = true;
                value.len() <= MOST_ID
            }
            "Nats-Rollup" => value.trim() == "sub",
            name => FOR_SERVERS.contains(&name) || name.starts_with("Nats-Service-Error"),
        };
        if !good || !stores {
            return Err("one that begins with Nats- is a word of servers, or too long an id");
        }
    }
    Ok(has_id)
}

/// Nothing, or three digits and a text.
fn is_status(rest: &str) -> bool {
    let status = rest.trim().split(' ').next().unwrap_or_default();
    let is_code = status.len() == 3 && !status.starts_with('0') && status.bytes().all(|b| b.is_ascii_digit());
    // blanks alone are cut by some libraries before they count what is left
    rest.is_empty() || rest.starts_with([' ', '\t']) && is_code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libraries_read_passes() {
        for good in [
            "NATS/1.0\r\n\r\n",
            "NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n",
            "NATS/1.0\r\na:b\r\nA: \r\na:b:c\r\n\r\n",
            "NATS/1.0\r\na: one\r\n two\r\n\tthree\r\n\r\n",
            "NATS/1.0 503\r\n\r\n",
            "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\n\r\n",
            "NATS/1.0   404  No Messages \r\n\r\n",
            "NATS/1.0\r\n\u{fc}: x\r\n\r\n".replace('\u{fc}', "u").as_str(),
            "NATS/1.0\r\nname: \u{fc}\u{1f600}\r\n\r\n",
        ] {
            assert_eq!(fault(good.as_bytes()), None, "{good:?}");
        }
    }

    #[test]
    fn few_words_are_for_servers() {
        let long = format!("Nats-Msg-Id: {}", "x".repeat(MOST_ID));
        for (line, expected) in [
            ("a: Nats-Subject", Some(false)),
            ("Natsy: 1", Some(false)),
            ("Nats-Msg-Id: 1", Some(true)),
            (&long, None),
            ("Nats-Expected-Last-Subject-Sequence: 7", Some(false)),
            ("Nats-Rollup: sub", Some(false)),
            ("Nats-Rollup: all", None),
            ("nats-rollup: all", None),
            ("Nats-Subject: x", None),
            ("Nats-Sequence: 1", None),
            ("Nats-Trace-Dest: x", None),
            ("Nats-Schedule: @at 1", None),
            ("Nats-Service-Error-Code: 400", Some(false)),
        ] {
            let block = format!("NATS/1.0\r\nx: y\r\n{line}\r\n\r\n");
            assert_eq!(fault(block.as_bytes()), None, "{line}");
            assert_eq!(for_servers(block.as_bytes(), true).ok(), expected, "{line}");
            let of_servers = line.to_lowercase().starts_with("nats-");
            assert_eq!(for_servers(block.as_bytes(), false).is_err(), of_servers, "{line}");
        }
        assert_eq!(for_servers(b"NATS/1.0\r\n\r\n", false), Ok(false));
    }

    #[test]
    fn what_ends_a_connection_does_not() {
        let many = format!("NATS/1.0\r\n{}\r\n", "a:\r\n".repeat(MOST_LINES + 1));
        let large = format!("NATS/1.0\r\na:{}\r\n\r\n", "x".repeat(MOST_BYTES));
        for bad in [
            "",
            "NATS/1.0 \r\n\r\n",
            "NATS/1.0\t\r\na: b\r\n\r\n",
            "XXXXX",
            "\r\n\r\n",
            "NATS/1.0",
            "NATS/1.0\r\n",
            "NATS/2.0\r\n\r\n",
            "NATS/1.0\r\na\r\n\r\n",
            "NATS/1.0\r\n:b\r\n\r\n",
            "NATS/1.0\r\na b:c\r\n\r\n",
            "NATS/1.0\r\na\u{1}:c\r\n\r\n",
            "NATS/1.0\r\n\u{fc}:c\r\n\r\n",
            "NATS/1.0\r\n a:c\r\n\r\n",
            "NATS/1.0\r\na:b\rc\r\n\r\n",
            "NATS/1.0\r\na:b\nc\r\n\r\n",
            "NATS/1.0\r\na:b\n\r\n\r\n",
            "NATS/1.0\r\na:b\r\n\r\n\r\n\r\n",
            "NATS/1.0 99999\r\n\r\n",
            "NATS/1.0 099\r\n\r\n",
            "NATS/1.0 5\r\n\r\n",
            "NATS/1.0x\r\n\r\n",
            "NATS/1.0503\r\n\r\n",
            "NATS/1.0 503\rx\r\n\r\n",
            &many,
            &large,
        ] {
            assert!(fault(bad.as_bytes()).is_some(), "{bad:?}");
        }
        assert!(fault(b"NATS/1.0\r\na:\xff\r\n\r\n").is_some());
    }

    /// As the library does that we are read by.
    #[test]
    fn what_passes_is_read_line_by_line() {
        bolero::check!().with_type::<Vec<u8>>().for_each(|bytes| {
            let block = [b"NATS/1.0\r\n", bytes.as_slice(), b"\r\n\r\n"].concat();
            if fault(&block).is_some() {
                return;
            }
            let text = std::str::from_utf8(&block).unwrap();
            assert!(text.lines().all(|line| !line.contains('\r')));
            for line in text.lines().skip(1).filter(|line| !line.is_empty() && !line.starts_with([' ', '\t']))
            {
                assert!(line.split_once(':').is_some_and(|(name, _)| !name.is_empty()), "{line:?}");
            }
        });
    }
}
