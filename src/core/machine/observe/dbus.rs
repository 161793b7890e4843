//! As much of D-Bus as a question to a service of the system takes: who asks is known by the
//! socket, a method is called with strings, and its answer read within bounds
//! (D-Bus specification 0.43, "Message Protocol").

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::UnixStream;

/// Bytes of an answer.
const MOST: usize = 4 << 20;
/// Messages that are passed over before the answer comes.
const MOST_OTHERS: usize = 256;
/// How long all of a call may take.
const LIMIT: Duration = Duration::from_secs(5);
/// Bytes of a line while it is agreed who asks.
const MOST_LINE: u64 = 4096;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Nobody is there.
    #[error("{0} cannot be connected to: {1}")]
    Connect(String, std::io::Error),
    /// It went away, or speaks otherwise.
    #[error("the answer of {0} cannot be read: {1}")]
    Broken(String, &'static str),
    /// It does not know who asks.
    #[error("{0} does not take who asks")]
    Refused(String),
    /// It answered with an error.
    #[error("{0}")]
    Said(String),
    /// It does not answer.
    #[error("{0} did not answer within 5 s")]
    Slow(String),
}

/// A method.
#[derive(Debug, Clone, Copy)]
pub struct Method<'a> {
    /// Whose; nobody is named where the socket is of one service.
    pub destination: &'a str,
    /// Of which object.
    pub path: &'a str,
    /// Of which interface of it.
    pub interface: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// What a method is given.
#[derive(Debug, Clone, Copy)]
pub enum Given<'a> {
    /// Nothing.
    Nothing,
    /// A string.
    Text(&'a str),
    /// A list of strings.
    List(&'a [&'a str]),
}

impl Given<'_> {
    fn signature(self) -> &'static str {
        match self {
            Given::Nothing => "",
            Given::Text(_) => "s",
            Given::List(_) => "as",
        }
    }
}

/// A connection.
pub struct Bus {
    stream: BufStream<UnixStream>,
    shown: String,
    serial: u32,
}

impl Bus {
    /// Connects, as whoever runs this process.
    ///
    /// # Errors
    /// Nobody is there, or takes who asks.
    pub async fn connect(socket: &Path) -> Result<Bus, BusError> {
        let shown = socket.display().to_string();
        let connected = tokio::time::timeout(LIMIT, Bus::agree(socket, shown.clone())).await;
        connected.unwrap_or(Err(BusError::Slow(shown)))
    }

    async fn agree(socket: &Path, shown: String) -> Result<Bus, BusError> {
        let stream = UnixStream::connect(socket).await.map_err(|e| BusError::Connect(shown.clone(), e))?;
        let mut stream = BufStream::new(stream);
        let gone = |_| BusError::Broken(shown.clone(), "it went away");
        // the user's number in decimal digits, those in hexadecimal ones
        let user: String = rustix::process::geteuid()
            .as_raw()
            .to_string()
            .bytes()
            .map(|digit| format!("{digit:02x}"))
            .collect();
        // All in one: systemd, which is no bus, looks at no message that comes along with BEGIN, and may
        // not see one that follows it closely.
        stream.write_all(format!("\0AUTH EXTERNAL {user}\r\nBEGIN\r\n").as_bytes()).await.map_err(gone)?;
        stream.flush().await.map_err(gone)?;
        let mut line = Vec::new();
        (&mut stream).take(MOST_LINE).read_until(b'\n', &mut line).await.map_err(gone)?;
        if !line.starts_with(b"OK ") {
            return Err(BusError::Refused(shown));
        }
        Ok(Bus { stream, shown, serial: 0 })
    }

    /// Calls a method; the answer's body.
    ///
    /// # Errors
    /// There is no answer, or it is an error.
    pub async fn call(&mut self, method: Method<'_>, given: Given<'_>) -> Result<Vec<u8>, BusError> {
        let called = tokio::time::timeout(LIMIT, self.exchange(method, given)).await;
        called.unwrap_or_else(|_| Err(BusError::Slow(self.shown.clone())))
    }

    async fn exchange(&mut self, method: Method<'_>, given: Given<'_>) -> Result<Vec<u8>, BusError> {
        self.serial += 1;
        let message = message(self.serial, method, given);
        let gone = |_| BusError::Broken(self.shown.clone(), "it went away");
        self.stream.write_all(&message).await.map_err(gone)?;
        self.stream.flush().await.map_err(gone)?;
        for _ in 0..MOST_OTHERS {
            let mut fixed = [0; 16];
            self.stream.read_exact(&mut fixed).await.map_err(gone)?;
            let broken = |why| BusError::Broken(self.shown.clone(), why);
            let lengths = lengths(&fixed).ok_or_else(|| broken("it is no message"))?;
            if lengths.fields.saturating_add(lengths.body) > MOST {
                return Err(broken("it is larger than 4 MiB"));
            }
            let mut rest = vec![0; lengths.fields.next_multiple_of(8) + lengths.body];
            self.stream.read_exact(&mut rest).await.map_err(gone)?;
            let (fields, body) = rest.split_at(lengths.fields.next_multiple_of(8));
            let fields = fields.get(..lengths.fields).unwrap_or_default();
            let about = fields_of(fields).ok_or_else(|| broken("its header is broken"))?;
            if about.answers != Some(self.serial) {
                continue;
            }
            return match fixed[1] {
                2 => Ok(body.to_vec()),
                _ => {
                    let text = Reader::new(body).string().unwrap_or_default();
                    let name = about.error.unwrap_or_else(|| "an error without a name".to_owned());
                    Err(BusError::Said(if text.is_empty() { name } else { text }))
                }
            };
        }
        Err(BusError::Broken(self.shown.clone(), "others are told of all the time"))
    }
}

struct Lengths {
    fields: usize,
    body: usize,
}

/// Lengths of what follows the fixed part of a message; none where it is none of ours.
fn lengths(fixed: &[u8; 16]) -> Option<Lengths> {
    // little-endian, as we ask; a bus answers so on every machine we are built for
    if fixed[0] != b'l' || fixed[3] != 1 {
        return None;
    }
    let number = |at: usize| -> Option<usize> {
        let bytes: [u8; 4] = fixed.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    Some(Lengths { body: number(4)?, fields: number(12)? })
}

#[derive(Debug, Default, PartialEq, Eq)]
struct About {
    answers: Option<u32>,
    error: Option<String>,
}

fn fields_of(bytes: &[u8]) -> Option<About> {
    let mut about = About::default();
    let mut reader = Reader::new(bytes);
    while reader.align(8).is_some() && !reader.is_done() {
        let code = reader.byte()?;
        let kind = reader.signature()?;
        match (code, kind.as_str()) {
            (5, "u") => about.answers = Some(reader.number()?),
            (4, "s") => about.error = Some(reader.string()?),
            (_, "u") => drop(reader.number()?),
            (_, "s" | "o") => drop(reader.string()?),
            (_, "g") => drop(reader.signature()?),
            _ => return None,
        }
    }
    Some(about)
}

/// Reads values of an answer.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Of a body.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// Whether nothing is left.
    pub fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Passes over what fills up to a multiple of `to`.
    pub fn align(&mut self, to: usize) -> Option<()> {
        self.at = self.at.checked_next_multiple_of(to)?;
        Some(())
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// A number of four bytes.
    pub fn number(&mut self) -> Option<u32> {
        self.align(4)?;
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    /// A string, or the path of an object.
    pub fn string(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok()?;
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Some(text)
    }

    fn signature(&mut self) -> Option<String> {
        let length = usize::from(self.byte()?);
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Some(text)
    }

    /// Where a list of structures ends.
    pub fn list(&mut self) -> Option<usize> {
        let length = usize::try_from(self.number()?).ok()?;
        self.align(8)?;
        self.at.checked_add(length).filter(|end| *end <= self.bytes.len())
    }

    /// How far it is.
    pub fn place(&self) -> usize {
        self.at
    }
}

/// A call, as it is sent.
fn message(serial: u32, method: Method<'_>, given: Given<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    match given {
        Given::Nothing => {}
        Given::Text(text) => string(&mut body, text),
        Given::List(list) => {
            let mut items = Vec::new();
            for item in list {
                // the list begins at 4 of the body, which is a multiple as well
                string(&mut items, item);
            }
            body.extend((items.len() as u32).to_le_bytes());
            body.extend(items);
        }
    }
    let mut fields = Vec::new();
    let mut field = |code: u8, kind: &str, text: &str| {
        if text.is_empty() {
            return;
        }
        fields.resize(fields.len().next_multiple_of(8), 0);
        fields.push(code);
        signature(&mut fields, kind);
        if kind == "g" { signature(&mut fields, text) } else { string(&mut fields, text) }
    };
    field(1, "o", method.path);
    field(2, "s", method.interface);
    field(3, "s", method.name);
    field(6, "s", method.destination);
    field(8, "g", given.signature());
    // a call, without flags, of version 1
    let mut bytes = vec![b'l', 1, 0, 1];
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(serial.to_le_bytes());
    bytes.extend((fields.len() as u32).to_le_bytes());
    bytes.extend(fields);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend(body);
    bytes
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
    out.push(0);
}

fn signature(out: &mut Vec<u8>, text: &str) {
    out.push(text.len() as u8);
    out.extend(text.as_bytes());
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message is laid out as the specification says, and reads back.
    #[test]
    fn a_call_is_laid_out_by_the_specification() {
        let method = Method { destination: "a.b", path: "/a", interface: "a.c", name: "M" };
        let bytes = message(7, method, Given::List(&["x", "yy"]));
        let fixed: [u8; 16] = bytes[..16].try_into().unwrap();
        let lengths = lengths(&fixed).unwrap();
        assert_eq!(lengths.body, 4 + (4 + 2 + 2) + (4 + 3));
        let body = &bytes[bytes.len() - lengths.body..];
        let mut reader = Reader::new(body);
        assert_eq!(reader.number(), Some(15));
        assert_eq!((reader.string(), reader.string()), (Some("x".into()), Some("yy".into())));
        assert!(reader.is_done());
        assert_eq!(fields_of(&bytes[16..16 + lengths.fields]), Some(About::default()));
        assert_eq!(message(1, Method { destination: "", ..method }, Given::Nothing).len() % 8, 0);
    }

    #[test]
    fn no_bytes_end_the_reader() {
        bolero::check!().with_iterations(5000).with_type::<Vec<u8>>().for_each(|bytes: &Vec<u8>| {
            fields_of(bytes);
            let mut reader = Reader::new(bytes);
            reader.list();
            while reader.string().is_some() {}
            if let Some(Ok(fixed)) = bytes.get(..16).map(<[u8; 16]>::try_from) {
                lengths(&fixed);
            }
        });
    }
}
