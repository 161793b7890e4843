use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::document::{Document, Reader, Unusable, of_line};
use super::queue::Queue;
#[cfg(feature = "kafka")]
use super::settings::Tls;
use super::settings::{AdapterError, Kind as Target, Settings};
use super::spool::Spool;
use crate::core::config::{Config, Fixed, Role};
use crate::core::pki::{Ca, Kind, Options};
use crate::core::protocol::v1::{Envelope, Request, Transport};
use crate::core::security::{NameList, Provider, RequestVerifier, SharedTrust};

const NOW: i64 = 1_795_317_040;

fn settings(lines: &str) -> Result<Vec<Settings>, AdapterError> {
    let text = format!("identity = b.example.net\nplugin.choria.adapters = a\n{lines}");
    Settings::all(&Config::from_text(Role::Broker, &text).unwrap())
}

fn adapter(lines: &str) -> Settings {
    let lines: String =
        lines.lines().map(|line| format!("plugin.choria.adapter.a.{}\n", line.trim())).collect();
    settings(&lines).unwrap().remove(0)
}

const REQUESTS: &str = "type = jetstream\ningest.topic = mcollective.broadcast.agent.registration\n\
                        ingest.protocol = request\nstream.topic = js.in.registration.%s";
const REPLIES: &str =
    "type = choria_streams\ningest.topic = mcollective.adapter.replies\nstream.topic = js.in.replies.%s.x.%s";

fn config(name: &str, ca: &Ca, certificate: &Path, key: &Path) -> Config {
    let text = format!(
        "identity = {name}\nplugin.security.provider = file\nplugin.security.file.ca = {}\n\
         plugin.security.file.certificate = {}\nplugin.security.file.key = {}\n",
        ca.certificate_file().display(),
        certificate.display(),
        key.display()
    );
    Config::from_text(Role::Server, &text).unwrap()
}

fn trust(ca: &Ca) -> Arc<SharedTrust> {
    let dir = tempfile::tempdir().unwrap();
    let issued = ca.issue(Kind::Node, "trust.example.net", &Options::default(), NOW).unwrap();
    let (certificate, key) = issued.write(dir.path()).unwrap();
    let config = config("trust.example.net", ca, &certificate, &key);
    Provider::new(&config, Role::Server, &Fixed::default()).unwrap().trust()
}

fn verifier() -> Arc<RequestVerifier> {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::create(dir.path(), "CA", NOW).unwrap();
    Arc::new(RequestVerifier::new(trust(&ca), NameList::new(["/./"]), NameList::default()))
}

fn vectors(name: &str) -> Vec<Value> {
    let path = format!("{}/tests/vectors/captured/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let vectors: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    vectors["messages"].as_array().unwrap().clone()
}

#[test]
fn captured_messages_become_the_documents_of_the_original() {
    let verifier = verifier();
    let mut readers = HashMap::from([
        ("mcollective.broadcast.agent.registration", Reader::of(&adapter(REQUESTS), &verifier)),
        ("mcollective.adapter.replies", Reader::of(&adapter(REPLIES), &verifier)),
        ("mcollective.reply.adapter.replies", Reader::of(&adapter(REPLIES), &verifier)),
    ]);
    for (file, outputs) in [("adapter-v1", 4), ("adapter-v2", 4)] {
        let messages = vectors(file);
        let mut seen = 0;
        for (at, message) in messages.iter().enumerate() {
            let text = |message: &Value, key: &str| message[key].as_str().unwrap().to_owned();
            let subject = text(message, "subject");
            let Some(reader) = readers.get_mut(subject.as_str()) else { continue };
            let document = reader.read(text(message, "payload").as_bytes(), NOW).unwrap();
            // A broker of one version does not adapt the other there.
            let Some(next) = messages.get(at + 1).filter(|next| text(next, "subject").starts_with("js.in."))
            else {
                assert!(document.sender == "dev2.example.net", "{file} {at}");
                continue;
            };
            let theirs: Value = serde_json::from_str(&text(next, "payload")).unwrap();
            let ours: Value = serde_json::from_str(&document.text).unwrap();
            assert_eq!(ours.to_string(), theirs.to_string(), "{file} {at}");
            assert!(text(next, "subject").contains(&document.sender));
            assert_eq!(of_line(&document.text), Some(document));
            seen += 1;
        }
        assert!(seen >= outputs, "{file}: {seen}");
    }
}

fn registration(ca: &Ca, signer: &str, sender: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let issued = ca.issue(Kind::Node, signer, &Options::default(), NOW).unwrap();
    let (certificate, key) = issued.write(dir.path()).unwrap();
    let caller = format!("choria={signer}");
    let request = Request {
        message: "{}".into(),
        envelope: Envelope {
            requestid: "0123456789abcdef0123456789abcdef".into(),
            senderid: sender.into(),
            callerid: caller.clone(),
            collective: "mcollective".into(),
            agent: "registration".into(),
            ttl: 60,
            time: NOW,
            filter: Default::default(),
        },
    };
    let config = config(signer, ca, &certificate, &key);
    let provider = Provider::new(&config, Role::Server, &Fixed::default()).unwrap();
    let secure = provider.signer().unwrap().sign(&request).unwrap();
    Transport { data: secure.encode().into_bytes(), ..Transport::default() }.encode().into_bytes()
}

#[test]
fn verified_means_signed_by_the_node_it_is_of() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::create(&dir.path().join("a"), "CA", NOW).unwrap();
    let stranger = Ca::create(&dir.path().join("b"), "CA", NOW).unwrap();
    let verifier = Arc::new(RequestVerifier::new(trust(&ca), NameList::new(["/./"]), NameList::default()));
    let strict = adapter(&format!("{REQUESTS}\ningest.verify = true"));
    let mut reader = Reader::of(&strict, &verifier);
    let good = reader.read(&registration(&ca, "n1.example.net", "n1.example.net"), NOW).unwrap();
    assert_eq!((good.sender.as_str(), &good.id[32..]), ("n1.example.net", ".n1.example.net"));
    let another = reader.read(&registration(&ca, "n1.example.net", "n2.example.net"), NOW);
    assert!(matches!(another, Err(Unusable::Another { .. })), "{another:?}");
    let strange = reader.read(&registration(&stranger, "n1.example.net", "n1.example.net"), NOW);
    assert!(matches!(strange, Err(Unusable::Unverified(_))), "{strange:?}");
    // What waits to be provisioned cannot sign, nor is there anything that verifies version 2 here.
    for message in vectors("adapter-v2").iter().take(1) {
        let payload = message["payload"].as_str().unwrap();
        assert!(matches!(reader.read(payload.as_bytes(), NOW), Err(Unusable::CannotVerify)));
    }
    // Without it, all of them are handed on.
    let mut lax = Reader::of(&adapter(REQUESTS), &verifier);
    assert!(lax.read(&registration(&stranger, "n1.example.net", "n2.example.net"), NOW).is_ok());
    for odd in ["a b", "a..b", "*", "", "a\r\nX: y"] {
        let odd = lax.read(&registration(&ca, "n1.example.net", odd), NOW);
        assert!(odd.is_err(), "{odd:?}");
    }
}

#[test]
fn what_an_adapter_is_told_is_checked_when_it_starts() {
    let base = "plugin.choria.adapter.a.type = jetstream\nplugin.choria.adapter.a.ingest.topic = x.y\n";
    let good = settings(base).unwrap();
    assert_eq!((good[0].target.as_str(), good[0].queue, good[0].spool.is_none()), ("a", 1000, true));
    for (lines, says) in [
        ("", "plugin.choria.adapter.a.type is required"),
        ("plugin.choria.adapter.a.type = jetstream\n", "plugin.choria.adapter.a.ingest.topic is required"),
        ("plugin.choria.adapter.a.type = nats_stream\n", "gone since 2021"),
        (
            "plugin.choria.adapter.a.type = redis\n",
            "'redis'; there are jetstream (choria_streams), nats, http, kafka and kinesis",
        ),
        (&format!("{base}plugin.choria.adapter.a.spol = /x\n"), "did you mean spool?"),
        (&format!("{base}plugin.choria.adapter.a = /x\n"), "is no setting of an adapter"),
        (
            &format!("{base}plugin.choria.adapter.a.queue_len = 0\n"),
            "queue_len is '0', it is a number above 0",
        ),
        (&format!("{base}plugin.choria.adapter.a.queue_len = 9999999\n"), "use a spool"),
        (&format!("{base}plugin.choria.adapter.a.ingest.protocol = both\n"), "it is request or reply"),
        (&format!("{base}plugin.choria.adapter.a.ingest.verify = yes please\n"), "it is true or false"),
        (&format!("{base}plugin.choria.adapter.a.ingest.verify = true\n"), "replies carry no signature"),
        (&format!("{base}plugin.choria.adapter.a.stream.topic = a.>\n"), "no subject to publish to"),
        (&format!("{base}plugin.choria.adapter.a.stream.topic = a b\n"), "no subject to publish to"),
        (&format!("{base}plugin.choria.adapter.a.ingest.topic = a..b\n"), "which is no subject"),
        (&format!("{base}plugin.choria.adapter.a.format = xml\n"), "it is choria or cloudevents"),
        (&format!("{base}plugin.choria.adapter.a.spool = here\n"), "no path from the root"),
        (&format!("{base}plugin.choria.adapter.a.spool_size = 10\n"), "above a million"),
    ] {
        let error = settings(lines).unwrap_err().to_string();
        assert!(error.contains(says), "{lines}: {error}");
    }
    let text = "identity = b\nplugin.choria.adapters = a.b\n";
    let error = Settings::all(&Config::from_text(Role::Broker, text).unwrap()).unwrap_err().to_string();
    assert!(error.contains("'a.b'"), "{error}");
    let publishes = |target: &str| {
        adapter(&format!("type = nats\ningest.topic = x\nstream.topic = {target}")).publishes()
    };
    assert_eq!(publishes("js.in.%s").as_deref(), Some("js.in.>"));
    assert_eq!(publishes("js.in.%s.x").as_deref(), Some("js.in.>"));
    assert_eq!(publishes("js.in").as_deref(), Some("js.in"));
    assert_eq!(publishes("%s.in").as_deref(), Some(">"));
}

#[test]
#[cfg(feature = "kafka")]
fn what_an_adapter_is_told_of_kafka_is_checked() {
    let with = |lines: &str| {
        let base = "type = kafka\ningest.topic = x\n";
        let lines: String = format!("{base}{lines}")
            .lines()
            .map(|line| format!("plugin.choria.adapter.a.{}\n", line.trim().replace("K.", "kafka.")))
            .collect();
        settings(&lines).map(|mut all| match all.remove(0).kind {
            Target::Kafka(kafka) => kafka,
            other => panic!("{other:?}"),
        })
    };
    let far = "K.servers = k1.example.net:9092,[::1]:9093";
    let kafka = with(&format!("{far}\nK.tls = yes")).unwrap();
    assert_eq!(kafka.servers, [("k1.example.net".to_owned(), 9092), ("::1".to_owned(), 9093)]);
    assert_eq!(
        (kafka.topic.as_str(), kafka.tls, kafka.login),
        ("a", Tls::Yes { ca: None, certificate: None }, None)
    );
    let kafka = with("K.servers = localhost:1\nstream.topic = t").unwrap();
    assert_eq!((kafka.topic.as_str(), kafka.tls), ("t", Tls::Here));
    assert_eq!(with(&format!("{far}\nK.tls = no\nK.topic = u")).unwrap().tls, Tls::No);
    let login = "K.sasl.username = u\nK.sasl.password_file = /p";
    assert!(with(&format!("{far}\nK.tls = no\nK.sasl.mechanism = scram-sha-512\n{login}")).is_ok());
    for (lines, says) in [
        (String::new(), "kafka.servers is required"),
        ("K.servers = k1".into(), "'k1', which is no HOST:PORT"),
        ("K.servers = a@k1:1".into(), "which is no HOST:PORT"),
        (far.into(), "kafka.tls is not set, and k1.example.net is not on this machine"),
        (format!("{far}\nK.tls = maybe"), "it is true or false"),
        (format!("{far}\nK.tls = false\nK.ca = /c"), "is false, and there is a CA"),
        (format!("{far}\nK.certificate = /c"), "kafka.key is required"),
        (format!("{far}\nK.key = /c"), "kafka.certificate is required"),
        (format!("{far}\nK.tls = no\nK.sasl.mechanism = PLAIN\n{login}"), "shows the password"),
        (format!("{far}\nK.tls = yes\nK.sasl.mechanism = GSSAPI\n{login}"), "is 'GSSAPI'"),
        (format!("{far}\nK.tls = yes\n{login}"), "kafka.sasl.mechanism is required"),
        (format!("{far}\nK.tls = yes\nK.sasl.mechanism = PLAIN"), "kafka.sasl.username is required"),
        (
            format!("{far}\nK.tls = yes\nstream.topic = js.in.%s"),
            "stream.topic is 'js.in.%s', which is no topic",
        ),
        (format!("{far}\nK.tls = yes\nK.topic = .."), "kafka.topic is '..'"),
    ] {
        let error = with(&lines).unwrap_err().to_string();
        assert!(error.contains(says), "{lines}: {error}");
    }
}

#[test]
fn what_an_adapter_is_told_of_kinesis_is_checked() {
    let base = "type = kinesis\ningest.topic = x\n";
    let with = |lines: &str| {
        let lines = format!("{base}{lines}");
        let lines: String = lines.lines().map(|line| format!("plugin.choria.adapter.a.{line}\n")).collect();
        settings(&lines)
    };
    let good = with("kinesis.region = eu-west-1\nstream.topic = s").unwrap().remove(0);
    let Target::Kinesis(kinesis) = &good.kind else { panic!("{good:?}") };
    assert_eq!(
        (kinesis.stream.as_str(), kinesis.region.as_str(), good.publishes()),
        ("s", "eu-west-1", None)
    );
    for (lines, says) in [
        ("", "kinesis.region is required"),
        ("kinesis.region = Europe", "which is no region"),
        ("kinesis.region = eu-west-1\nkinesis.stream = a b", "which is no stream of Kinesis"),
        ("kinesis.region = eu-west-1\nkinesis.steam = a", "did you mean kinesis.stream?"),
    ] {
        let error = with(lines).unwrap_err().to_string();
        assert!(error.contains(says), "{lines}: {error}");
    }
}

fn document(number: usize) -> Document {
    document_of(&format!("n{}", number % 7), number)
}

fn document_of(sender: &str, number: usize) -> Document {
    let text = format!(
        r#"{{"protocol":"choria:adapters:choria_streams:output:1","data":"{number}","sender":"{sender}","time":"2026-01-02T03:04:05Z","requestid":"{number}"}}"#
    );
    of_line(&text).unwrap()
}

fn numbers(documents: &[Document]) -> Vec<usize> {
    documents.iter().map(|d| d.id.split('.').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn a_spool_gives_back_what_was_put_in_in_order_and_after_any_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool");
    let mut spool = Spool::open(&path, 1 << 30).unwrap();
    assert!(Spool::open(&path, 1 << 30).unwrap_err().to_string().contains("in use"));
    let documents: Vec<_> = (0..50_000).map(document).collect();
    for chunk in documents.chunks(97) {
        assert!(matches!(spool.put(chunk), (0, None)));
    }
    assert_eq!(spool.waiting(), 50_000);
    let first = spool.look(100).unwrap();
    assert_eq!(numbers(&first), (0..100).collect::<Vec<_>>());
    spool.advance(60);
    assert_eq!(numbers(&spool.look(3).unwrap()), [60, 61, 62]);
    spool.settle();
    drop(spool);
    // As after kill -9: the last line is torn, and how far it was is old.
    let mut files: Vec<_> = std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let last = files.iter().rfind(|path| path.extension().is_some_and(|e| e == "ndjson")).unwrap();
    let mut text = std::fs::read(last).unwrap();
    text.truncate(text.len() - 10);
    std::fs::write(last, text).unwrap();
    let mut spool = Spool::open(&path, 1 << 30).unwrap();
    assert_eq!(spool.waiting(), 49_939);
    assert!(matches!(spool.put(&[document(70_000)]), (0, None)));
    let mut seen = vec![];
    loop {
        let found = spool.look(256).unwrap();
        if found.is_empty() {
            break;
        }
        seen.extend(numbers(&found));
        spool.advance(found.len());
    }
    let wanted: Vec<usize> = (60..49_999).chain([70_000]).collect();
    assert!(seen == wanted, "{} {:?} {:?}", seen.len(), &seen[..3], &seen[seen.len() - 3..]);
    assert_eq!(spool.waiting(), 0);
    // Files that were handed on are gone.
    let left = std::fs::read_dir(&path).unwrap().filter(|e| e.as_ref().unwrap().path().extension().is_some());
    assert_eq!(left.count(), 1);
}

#[test]
fn a_spool_is_bounded_and_passes_over_what_is_no_document() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool");
    let mut spool = Spool::open(&path, 1_000_000).unwrap();
    let documents: Vec<_> = (0..20_000).map(document).collect();
    let (lost, error) = spool.put(&documents);
    assert!(error.is_none() && lost > 10_000 && lost < 15_000, "{lost}");
    let size: u64 = std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert!(size <= 1_000_000);
    drop(spool);
    let file = path.join("000000000001.ndjson");
    let text = std::fs::read_to_string(&file).unwrap();
    let broken: String = text
        .lines()
        .take(10)
        .enumerate()
        .map(|(at, line)| match at {
            3 => "{broken\n".to_owned(),
            5 => "\n".to_owned(),
            _ => format!("{line}\n"),
        })
        .collect();
    std::fs::write(&file, broken).unwrap();
    let mut spool = Spool::open(&path, 1_000_000).unwrap();
    assert_eq!(numbers(&spool.look(100).unwrap()), [0, 1, 2, 4, 6, 7, 8, 9]);
    spool.advance(3);
    assert_eq!(numbers(&spool.look(1).unwrap()), [4]);
    spool.advance(1);
    assert_eq!(numbers(&spool.look(100).unwrap()), [6, 7, 8, 9]);
    spool.advance(4);
    assert!(spool.look(1).unwrap().is_empty() && spool.waiting() == 0);
}

#[test]
fn a_spool_that_lost_its_end_is_told_again_from_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool");
    for written_down in ["1 60000\n", "1 7\n"] {
        let _ = std::fs::remove_dir_all(&path);
        let mut spool = Spool::open(&path, 1 << 20).unwrap();
        assert!(matches!(spool.put(&[document(0), document(1)]), (0, None)));
        drop(spool);
        std::fs::write(path.join("position"), written_down).unwrap();
        drop(Spool::open(&path, 1 << 20).unwrap());
        let mut spool = Spool::open(&path, 1 << 20).unwrap();
        assert!(matches!(spool.put(&[document(2)]), (0, None)));
        assert_eq!((spool.waiting(), numbers(&spool.look(10).unwrap())), (3, vec![0, 1, 2]));
    }
}

/// Each may be 8 MiB.
#[tokio::test]
async fn documents_in_memory_are_bounded_by_their_bytes_too() {
    let queue = Queue::of(&adapter("type = choria_streams\nstream.topic = a\ningest.topic = x\n")).unwrap();
    let large =
        |number| Document { text: "x".repeat(1 << 20).into(), ..document_of(&format!("n{number}"), number) };
    let mut lost = 0;
    for number in 0..100 {
        lost += queue.put(vec![large(number)]).await.lost;
    }
    assert!((30..45).contains(&lost), "{lost}");
    assert_eq!(queue.first(256).await.unwrap().len(), 4);
    assert_eq!(queue.put(vec![document(1)]).await.lost, 0, "small ones fit in");
}

#[tokio::test]
async fn a_sender_that_floods_shuts_nobody_out_of_a_queue() {
    let dir = tempfile::tempdir().unwrap();
    let base = "type = choria_streams\nstream.topic = a\ningest.topic = x\n";
    let spool = format!("spool = {}\nspool_size = 2000000\n", dir.path().display());
    for lines in [format!("{base}queue_len = 10000"), format!("{base}{spool}")] {
        let queue = Queue::of(&adapter(&lines)).unwrap();
        let mut lost = 0;
        for number in 0..40_000 {
            lost += queue.put(vec![document_of("flood", number)]).await.lost;
        }
        assert!(lost > 30_000, "{lost}");
        let half = queue.waiting();
        // one in 4,096 falls into its place
        let mut unlucky = 0;
        for number in 0..1_000 {
            unlucky += queue.put(vec![document_of(&format!("n{number}"), number)]).await.lost;
        }
        assert!(unlucky < 10, "{unlucky}: {lines}");
        assert_eq!(queue.put(vec![document_of("flood", 1)]).await.lost, 1);
        // When others have taken it, there is room again.
        while !queue.first(256).await.unwrap().is_empty() {
            queue.advance(200).await;
        }
        assert_eq!((queue.waiting(), half > 2_000), (0, true));
        assert_eq!(queue.put((0..500).map(|number| document_of("flood", number)).collect()).await.lost, 0);
    }
}
