//! What nodes publish reaches a real Kafka, each node's at one place and in order.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use choria::core::pki::{Kind, Options};
use serde_json::Value;

use crate::adapter_stage::{
    BY_NAME, TOPIC, adapter, all_in_order, free_port, hears, publish, registration_of,
};
use crate::installed::{classes, python_with};
use crate::network::Network;
use crate::process::{Daemon, PATIENCE, Ran, parameter, run, run_within, until};
use crate::raw::Raw;

const PASSWORD: &str = "correct horse battery staple";

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/kafka").join(name)
}

/// A broker, which is a cluster of its own.
pub struct Kafka {
    classes: String,
    config: PathBuf,
    pub port: u16,
    secure: u16,
    control: u16,
    daemon: Option<Daemon>,
}

impl Kafka {
    /// It listens without TLS, and with it to whoever has a certificate and logs in as `reg`.
    pub fn start(network: &Network) -> Kafka {
        let classes = classes("kafka", &source("pom.xml"), &source("jars.sha256"));
        let loopback = Options { loopback: true, ..Options::default() };
        let issued = network.ca.issue(Kind::Broker, "kafka.example.net", &loopback, crate::network::now());
        let (certificate, key) = issued.and_then(|issued| issued.write(&network.path("ssl"))).expect("files");
        let text = |path: &Path| fs::read_to_string(path).expect("a file");
        let both = network.file("kafka.pem", &format!("{}{}", text(&key), text(&certificate)));
        let (port, secure, control) = (free_port(), free_port(), free_port());
        let login = "listener.name.secure";
        let module = "org.apache.kafka.common.security";
        let config = network.file(
            "kafka.properties",
            &format!(
                "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{control}\n\
                 listeners=OPEN://127.0.0.1:{port},SECURE://127.0.0.1:{secure},CONTROL://127.0.0.1:{control}\n\
                 advertised.listeners=OPEN://127.0.0.1:{port},SECURE://localhost:{secure}\n\
                 listener.security.protocol.map=OPEN:PLAINTEXT,SECURE:SASL_SSL,CONTROL:PLAINTEXT\n\
                 controller.listener.names=CONTROL\ninter.broker.listener.name=OPEN\n\
                 offsets.topic.replication.factor=1\nauto.create.topics.enable=false\nbroker.session.timeout.ms=3000\nmessage.max.bytes=200000\nlog.dirs={data}\n\
                 {login}.ssl.keystore.type=PEM\n{login}.ssl.keystore.location={both}\n\
                 {login}.ssl.truststore.type=PEM\n{login}.ssl.truststore.location={ca}\n\
                 {login}.ssl.client.auth=required\n{login}.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN\n\
                 {login}.scram-sha-256.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
                 {login}.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
                 {login}.plain.sasl.jaas.config={module}.plain.PlainLoginModule required user_reg=\"{PASSWORD}\";\n",
                data = network.path("kafka").display(),
                both = both.display(),
                ca = network.ca_file().display(),
            ),
        );
        let mut kafka = Kafka { classes, config, port, secure, control, daemon: None };
        let mut format = kafka.format();
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            format.arg("--add-scram").arg(format!("{mechanism}=[name=reg,password=\"{PASSWORD}\"]"));
        }
        run(format, None).code(0);
        kafka.again();
        kafka
    }

    fn java(&self, class: &str) -> Command {
        let mut command = Command::new("java");
        // The second compiler takes longer than the tests.
        command.args(["-Xmx256m", "-XX:TieredStopAtLevel=1", class]).env("CLASSPATH", &self.classes);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn format(&self) -> Command {
        let mut format = self.java("kafka.tools.StorageTool");
        format.args(["format", "--cluster-id", "AAAAAAAAAAAAAAAAAAAAAA", "--config"]).arg(&self.config);
        format
    }

    /// A second broker of the cluster, which whoever asks the first is told of.
    fn second(&self, network: &Network) -> Kafka {
        let (port, control) = (free_port(), self.control);
        let config = network.file(
            "kafka-2.properties",
            &format!(
                "process.roles=broker\nnode.id=2\ncontroller.quorum.voters=1@127.0.0.1:{control}\n\
                 listeners=OPEN://127.0.0.1:{port}\nadvertised.listeners=OPEN://127.0.0.1:{port}\n\
                 listener.security.protocol.map=OPEN:PLAINTEXT,CONTROL:PLAINTEXT\n\
                 controller.listener.names=CONTROL\ninter.broker.listener.name=OPEN\nlog.dirs={}\n",
                network.path("kafka-2").display()
            ),
        );
        let mut second = Kafka { classes: self.classes.clone(), config, port, daemon: None, ..*self };
        run(second.format(), None).code(0);
        second.again();
        second
    }

    pub fn again(&mut self) {
        let mut command = self.java("kafka.Kafka");
        command.arg(&self.config);
        self.daemon = Some(Daemon::start("kafka", command));
        until("Kafka to listen", || TcpStream::connect(("127.0.0.1", self.port)).ok());
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.daemon = None;
    }

    fn peer(&self, words: &[&str]) -> Ran {
        let python = python_with("kafka-python", &source("requirements.txt"));
        let mut command = Command::new(python);
        command.arg(source("peer.py")).arg(format!("127.0.0.1:{}", self.port)).args(words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // of what was told for hours there is much to read
        let told = Duration::from_secs(2 * parameter("CHORIA_TEST_SECONDS", 0));
        run_within(command, None, PATIENCE.max(told))
    }

    pub fn make(&self, topic: &str, partitions: &str, brokers: &str) {
        until("a topic", || (self.peer(&["make", topic, partitions, brokers]).code == 0).then_some(()));
    }

    /// Partition, key and value of all records.
    pub fn records(&self, topic: &str) -> Vec<(u64, String, String)> {
        until("a cluster that can be read", || self.try_records(topic))
    }

    /// The same, where the other client finds its way at once.
    fn try_records(&self, topic: &str) -> Option<Vec<(u64, String, String)>> {
        let read = self.peer(&["read", topic]);
        let of = |line: &str| {
            let record: Value = serde_json::from_str(line).expect("JSON");
            let text = |at: usize| record[at].as_str().expect("a text").to_owned();
            (record[0].as_u64().expect("a number"), text(1), text(2))
        };
        (read.code == 0).then(|| read.stdout.lines().map(of).collect())
    }
}

/// Sender and number of each document; all of a sender are in the partition where others look.
#[track_caller]
fn arrived(records: &[(u64, String, String)]) -> Vec<(String, usize)> {
    let mut places = std::collections::BTreeMap::new();
    let mut arrived = vec![];
    for (partition, key, value) in records {
        let place = *places.entry(key.clone()).or_insert(*partition);
        assert_eq!(place, *partition, "{key} is at two places");
        if value == "other" {
            continue;
        }
        let document: Value = serde_json::from_str(value).expect("JSON");
        assert_eq!(document["sender"], key.as_str());
        let number = document["data"].as_str().and_then(|data| data.parse().ok());
        arrived.push((key.clone(), number.expect("a number")));
    }
    arrived
}

#[test]
fn into_a_topic_through_the_end_of_its_broker() {
    let network = Network::start_with(BY_NAME);
    let mut kafka = Kafka::start(&network);
    // The first of the servers is nobody.
    let lines = format!(
        "plugin.choria.adapter.reg.type = kafka\n\
         plugin.choria.adapter.reg.kafka.servers = 127.0.0.1:1, 127.0.0.1:{}\n\
         plugin.choria.adapter.reg.kafka.topic = registration\nplugin.choria.adapter.reg.queue_len = 10000\n",
        kafka.port
    );
    let daemon = adapter(&network, &lines);
    hears(&daemon, 1);
    let mut node = Raw::connect(&network, &network.caller("n0.example.net"));
    publish(&mut node, 0..300);
    daemon.says(&[
        "documents wait: Kafka has no topic registration",
        "kafka-topics.sh --bootstrap-server",
        "--create",
    ]);
    kafka.make("registration", "4", "1");
    daemon.says(&["documents are taken again"]);
    publish(&mut node, 300..900);
    kafka.kill();
    publish(&mut node, 900..1500);
    daemon.says(&["documents wait: 127.0.0.1:1"]);
    kafka.again();
    // One that is larger than brokers take is given up, and holds nothing up.
    let large = registration_of("n0.example.net", 7, "x".repeat(250_000));
    node.send(format!("PUB {TOPIC} {}\r\n{large}\r\n", large.len()));
    publish(&mut node, 1500..1800);
    daemon.says(&["a document is given up: Kafka answers: message too large"]);
    let records = until("all of them", || {
        let records = kafka.records("registration");
        (records.len() >= 1800).then_some(records)
    });
    let got = arrived(&records);
    all_in_order(&got, 1800);
    // What was told twice is written once.
    assert_eq!(got.len(), 1800);
    // Somebody else's client puts the same keys at the same places.
    kafka.peer(&["write", "registration", "n0.example.net", "n1.example.net", "n2.example.net"]).code(0);
    let records = kafka.records("registration");
    assert_eq!((records.len(), arrived(&records).len()), (1803, 1800));
}

#[test]
fn whose_leaders_change() {
    let network = Network::start_with(BY_NAME);
    let kafka = Kafka::start(&network);
    let mut second = kafka.second(&network);
    // n1 is in the last partition, which the second leads, n2 in the first.
    kafka.make("reg", "4", "2");
    let lines = format!(
        "plugin.choria.adapter.reg.type = kafka\nplugin.choria.adapter.reg.kafka.servers = 127.0.0.1:{}\n\
         plugin.choria.adapter.reg.kafka.topic = reg\nplugin.choria.adapter.reg.queue_len = 10000\n",
        kafka.port
    );
    let daemon = adapter(&network, &lines);
    hears(&daemon, 1);
    let mut node = Raw::connect(&network, &network.caller("n0.example.net"));
    let all_there =
        |count: usize| until("all of them", || (kafka.records("reg").len() >= count).then_some(()));
    publish(&mut node, 0..300);
    all_there(300);
    publish(&mut node, 300..600);
    second.kill();
    publish(&mut node, 600..900);
    all_there(900);
    second.again();
    publish(&mut node, 900..1200);
    all_there(1200);
    let got = arrived(&kafka.records("reg"));
    all_in_order(&got, 1200);
    assert_eq!(got.len(), 1200);
}

#[test]
fn to_who_is_let_in() {
    let network = Network::start_with(BY_NAME);
    let kafka = Kafka::start(&network);
    kafka.make("reg", "2", "1");
    network.certify(Kind::Node, "adapter.example.net");
    let ssl = |name: &str| network.path(&format!("ssl/adapter.example.net{name}")).display().to_string();
    let password = network.file("password", "wrong\n");
    let lines = |mechanism: &str| {
        let key = "plugin.choria.adapter.reg.kafka";
        format!(
            "plugin.choria.adapter.reg.type = kafka\n{key}.servers = localhost:{}\n{key}.topic = reg\n\
             {key}.ca = {}\n{key}.certificate = {}\n{key}.key = {}\n{key}.sasl.mechanism = {mechanism}\n\
             {key}.sasl.username = reg\n{key}.sasl.password_file = {}\n",
            kafka.secure,
            network.ca_file().display(),
            ssl(".pem"),
            ssl("-key.pem"),
            password.display()
        )
    };
    let mut node = Raw::connect(&network, &network.caller("n0.example.net"));
    let mut count = 0;
    for mechanism in ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] {
        network.file("password", "wrong horse\n");
        let daemon = adapter(&network, &lines(mechanism));
        hears(&daemon, 1);
        publish(&mut node, count..count + 30);
        count += 30;
        daemon.says(&["documents wait: ", "does not let reg in"]);
        // The file is read anew each time.
        network.file("password", &format!("{PASSWORD}\n"));
        daemon.says(&["documents are taken again"]);
        until("all of them", || (kafka.records("reg").len() == count).then_some(()));
        let shown = daemon.matching(0, &["horse"]);
        assert!(shown.is_empty(), "{shown:?}");
    }
    all_in_order(&arrived(&kafka.records("reg")), count);
    // Whoever does not speak TLS is told so, and so is whoever does not log in.
    for (line, says) in [("", "kafka.tls"), ("kafka.ca", "kafka.sasl")] {
        let key = "plugin.choria.adapter.reg";
        let mut lines = format!(
            "{key}.type = kafka\n{key}.kafka.servers = localhost:{}\n{key}.kafka.topic = reg\n",
            kafka.secure
        );
        if !line.is_empty() {
            lines.push_str(&format!(
                "{key}.kafka.ca = {}\n{key}.kafka.certificate = {}\n{key}.kafka.key = {}\n",
                network.ca_file().display(),
                ssl(".pem"),
                ssl("-key.pem")
            ));
        }
        let daemon = adapter(&network, &lines);
        hears(&daemon, 1);
        publish(&mut node, 0..3);
        daemon.says(&["documents wait: ", says]);
    }
}
