//! A real PuppetDB of one's own, with the database it keeps its knowledge in.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use serde_json::{Value, json};

use crate::a_broker_shows_itself::free_port;
use crate::installed::must;
use crate::network::Network;
use crate::wire::provider;

/// A Java program that starts, beside others that compile.
const STARTS: Duration = Duration::from_secs(300);
const INSTALL: &str = "install it with: apt-get install -y puppetdb postgresql";

pub struct PuppetDb {
    pub port: u16,
    java: Child,
    tls: Arc<rustls::ClientConfig>,
    /// Ends when Java has.
    store: Store,
}

/// The database below it, and the directory of both.
struct Store {
    dir: PathBuf,
}

impl Drop for Store {
    fn drop(&mut self) {
        let mut stop = postgres("pg_ctl");
        stop.args(["-m", "immediate", "-w", "-D"]).arg(self.dir.join("data")).arg("stop");
        let _ = stop.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A program of PostgreSQL's, which does not run as root.
fn postgres(program: &str) -> Command {
    let versions = fs::read_dir("/usr/lib/postgresql").expect(INSTALL).flatten();
    let newest = versions.map(|entry| entry.path()).max().expect(INSTALL);
    let program = newest.join("bin").join(program);
    if !geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

impl PuppetDb {
    /// One that is known by the CA of this network, for its callers.
    pub fn start(network: &Network) -> PuppetDb {
        // a place that the user of PostgreSQL can reach
        let dir = tempfile::Builder::new().prefix("choria-puppetdb-").tempdir().expect("a directory").keep();
        let below = Store { dir: dir.clone() };
        let data = dir.join("data");
        fs::create_dir(&data).expect("a directory");
        if geteuid().is_root() {
            must(Command::new("chown").arg("postgres").arg(&data), INSTALL);
            must(Command::new("chmod").arg("755").arg(&dir), INSTALL);
        }
        must(
            postgres("initdb").args(["-A", "trust", "-U", "puppetdb", "--no-sync", "-D"]).arg(&data),
            INSTALL,
        );
        let (port, store) = (free_port(), free_port());
        let options = format!("-c listen_addresses=127.0.0.1 -p {store} -k {} -c fsync=off", data.display());
        let log = data.join("log");
        let mut start = postgres("pg_ctl");
        start.args(["-w", "-t", "120", "-o", &options, "-l"]).arg(&log).arg("-D").arg(&data).arg("start");
        // who waits for its output would wait for the server
        start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(start.status().expect(INSTALL).success(), "{}", fs::read_to_string(&log).unwrap_or_default());
        let at = ["-h", "127.0.0.1", "-p", &store.to_string(), "-U", "puppetdb"].map(str::to_owned);
        must(postgres("createdb").args(&at).arg("puppetdb"), INSTALL);
        let extension = ["puppetdb", "-c", "create extension pg_trgm"];
        must(postgres("psql").args(&at).args(extension), INSTALL);
        let java = java(&dir, network, port, store);
        let alice = network.alice();
        let tls = provider(&alice.config, &alice.name).client_tls().expect("TLS");
        let mut database = PuppetDb { port, java, tls, store: below };
        database.is_ready();
        database
    }

    fn is_ready(&mut self) {
        let begun = Instant::now();
        while !fs::read(self.store.dir.join("restart")).is_ok_and(|text| text.first() == Some(&b'1')) {
            let said = || fs::read_to_string(self.store.dir.join("log")).unwrap_or_default();
            assert!(self.java.try_wait().expect("a child").is_none(), "PuppetDB ended: {}", said());
            assert!(begun.elapsed() < STARTS, "PuppetDB is not ready: {}", said());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Tells it of a node, its facts and its classes.
    pub fn knows(&self, name: &str, mut facts: Value, classes: &[&str]) {
        facts["mcollective"] = json!({"server": {"collectives": ["mcollective"]}});
        let about = |more: Value| {
            let mut about = json!({"certname": name, "environment": "production", "producer": "test",
                "producer_timestamp": "2026-01-01T00:00:00Z"});
            about.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            about
        };
        self.command("replace_facts", 5, name, &about(json!({"values": facts})));
        let resource = |kind: &str, title: &str, tags: &[&str]| {
            json!({"type": kind, "title": title, "aliases": [], "exported": false, "file": null, "line": null,
                "tags": tags, "parameters": {}})
        };
        let mut resources = vec![
            resource("Class", "Choria::Service", &[]),
            resource("File", "/package.json", &["mcollective_agent_package_server"]),
        ];
        resources.extend(classes.iter().map(|class| resource("Class", class, &[])));
        let id = choria::core::protocol::v1::new_request_id();
        let id = format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..32]);
        let catalog = json!({"version": "1", "transaction_uuid": id, "catalog_uuid": id, "code_id": null,
            "job_id": null, "edges": [], "resources": resources});
        self.command("replace_catalog", 9, name, &about(catalog));
    }

    /// Tells it of a node that is no more.
    pub fn forgets(&self, name: &str) {
        self.knows(name, json!({}), &[]);
        let body = json!({"certname": name, "producer_timestamp": "2026-01-02T00:00:00Z"});
        self.command("deactivate_node", 3, name, &body);
    }

    fn command(&self, command: &str, version: u8, name: &str, body: &Value) {
        let body = body.to_string();
        let request = format!(
            "POST /pdb/cmd/v1?command={command}&version={version}&certname={name}&secondsToWaitForCompletion=60 \
             HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let socket = TcpStream::connect(("127.0.0.1", self.port)).expect("PuppetDB");
        let name = std::net::IpAddr::from([127, 0, 0, 1]).into();
        let session = rustls::ClientConnection::new(self.tls.clone(), name).expect("TLS");
        let mut stream = rustls::StreamOwned::new(session, socket);
        stream.write_all(request.as_bytes()).expect("a connection");
        let mut answer = Vec::new();
        // Java closes without a goodbye
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.contains("\"processed\" : true"), "{command} of {body}: {answer}");
    }
}

/// Starts it with a configuration of its own.
fn java(dir: &Path, network: &Network, port: u16, store: u16) -> Child {
    let (conf, shown) = (dir.join("conf"), dir.display());
    fs::create_dir_all(dir.join("var")).expect("a directory");
    fs::create_dir(&conf).expect("a directory");
    let file = |name: &str, text: String| fs::write(conf.join(name), text).expect("a file");
    file(
        "config.ini",
        format!(
            "[global]\nvardir = {shown}/var\nlogging-config = {shown}/logback.xml\n\
             [puppetdb]\ndisable-update-checking = true\n[command-processing]\nthreads = 1\n"
        ),
    );
    let database = format!(
        "subname = //127.0.0.1:{store}/puppetdb\nusername = puppetdb\npassword = x\nmaximum-pool-size = 4\n"
    );
    file("database.ini", format!("[database]\ngc-interval = 0\n{database}[read-database]\n{database}"));
    // that of the broker is valid here, too
    let ssl = network.path("ssl/broker.example.net");
    let (ssl, ca) = (ssl.display(), network.ca_file());
    let ca = ca.display();
    file(
        "jetty.ini",
        format!(
            "[jetty]\nssl-host = 127.0.0.1\nssl-port = {port}\nssl-key = {ssl}-key.pem\nssl-cert = {ssl}.pem\n\
             ssl-ca-cert = {ca}\nclient-auth = need\n"
        ),
    );
    file("auth.conf", "authorization: { version: 1, rules: [] }\n".to_owned());
    let logback = "<configuration><appender name=\"O\" class=\"ch.qos.logback.core.ConsoleAppender\"><encoder>\
        <pattern>%-5p [%c{2}] %m%n</pattern></encoder></appender><root level=\"warn\"><appender-ref ref=\"O\"/>\
        </root></configuration>";
    fs::write(dir.join("logback.xml"), logback).expect("a file");
    fs::write(dir.join("restart"), "0").expect("a file");
    let log = fs::File::create(dir.join("log")).expect("a file");
    use std::os::unix::process::CommandExt;
    Command::new("java")
        .args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", "/usr/share/puppetdb/puppetdb.jar"])
        .args(["clojure.main", "-m", "puppetlabs.puppetdb.core", "services", "--config"])
        .arg(&conf)
        .args(["--bootstrap-config", "/etc/puppetdb/bootstrap.cfg", "--restart-file"])
        .arg(dir.join("restart"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file"))
        .stderr(log)
        .process_group(0)
        .spawn()
        .expect(INSTALL)
}

impl Drop for PuppetDb {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.java.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.java.wait();
    }
}
