//! A real Puppet Server of one's own.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process_group};

use crate::a_broker_shows_itself::free_port;
use crate::installed::must;
use crate::network::Network;

/// A Java program that starts, beside others that compile.
const STARTS: Duration = Duration::from_secs(100);
const INSTALL: &str = "install it with: apt-get install -y puppetserver";
const PROGRAM: &str = "/usr/share/puppetserver/puppetserver.jar";
/// Whom it runs as where this is root.
const USER: &str = "puppet";

/// What it is made of: all but a CA, and what tells its makers of it.
const SERVICES: [&str; 15] = [
    "services.request-handler.request-handler-service/request-handler-service",
    "services.jruby.jruby-puppet-service/jruby-puppet-pooled-service",
    "services.jruby-pool-manager.jruby-pool-manager-service/jruby-pool-manager-service",
    "services.puppet-profiler.puppet-profiler-service/puppet-profiler-service",
    "trapperkeeper.services.webserver.jetty9-service/jetty9-service",
    "trapperkeeper.services.webrouting.webrouting-service/webrouting-service",
    "services.config.puppet-server-config-service/puppet-server-config-service",
    "services.master.master-service/master-service",
    "trapperkeeper.services.authorization.authorization-service/authorization-service",
    "services.versioned-code-service.versioned-code-service/versioned-code-service",
    "trapperkeeper.services.scheduler.scheduler-service/scheduler-service",
    "trapperkeeper.services.status.status-service/status-service",
    "trapperkeeper.services.metrics.metrics-service/metrics-service",
    "services.jruby.jruby-metrics-service/jruby-metrics-service",
    "services.ca.certificate-authority-disabled-service/certificate-authority-disabled-service",
];

pub struct PuppetServer {
    pub port: u16,
    java: Child,
    /// Goes when Java has ended.
    dir: tempfile::TempDir,
}

impl PuppetServer {
    /// One that is known by the CA of this network, with these files below the modules of environment
    /// `production`. `rules` say who may have what: paths and names.
    pub fn start(network: &Network, files: &[(&str, &str)], rules: &[(&str, &[&str])]) -> PuppetServer {
        let dir = tempfile::Builder::new().prefix("choria-puppetserver-").tempdir().expect("a directory");
        let put = |name: &str, text: &str| {
            let file = dir.path().join(name);
            fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
            fs::write(file, text).expect("a file");
        };
        for (name, text) in files {
            put(&format!("code/environments/production/modules/{name}"), text);
        }
        // that of the broker is valid here, too
        for (from, to) in [("broker.example.net-key.pem", "key.pem"), ("broker.example.net.pem", "cert.pem")]
        {
            put(&format!("ssl/{to}"), &fs::read_to_string(network.path("ssl").join(from)).expect("a file"));
        }
        put("ssl/ca.pem", &fs::read_to_string(network.ca_file()).expect("a file"));
        let port = free_port();
        configure(dir.path(), port, rules, &put);
        if geteuid().is_root() {
            must(Command::new("chown").arg("-R").arg(USER).arg(dir.path()), INSTALL);
        }
        let mut server = PuppetServer { port, java: java(dir.path()), dir };
        server.is_ready();
        server
    }

    fn is_ready(&mut self) {
        let begun = Instant::now();
        let said = |dir: &Path| fs::read_to_string(dir.join("log")).unwrap_or_default();
        while !fs::read(self.dir.path().join("run/restart")).is_ok_and(|text| text.first() == Some(&b'1')) {
            let ended = self.java.try_wait().expect("a child");
            assert!(ended.is_none(), "Puppet Server ended: {}", said(self.dir.path()));
            assert!(begun.elapsed() < STARTS, "Puppet Server is not ready: {}", said(self.dir.path()));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A file of a module.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("code/environments/production/modules").join(name)
    }
}

fn configure(dir: &Path, port: u16, rules: &[(&str, &[&str])], put: &dyn Fn(&str, &str)) {
    let shown = dir.display();
    for name in ["var", "run", "logs"] {
        put(&format!("{name}/.keep"), "");
    }
    put(
        "puppet/puppet.conf",
        &format!("[main]\ncertname = broker.example.net\nenvironmentpath = {shown}/code/environments\n"),
    );
    put("bootstrap.cfg", &SERVICES.map(|service| format!("puppetlabs.{service}\n")).concat());
    put(
        "logback.xml",
        "<configuration><appender name=\"O\" class=\"ch.qos.logback.core.ConsoleAppender\"><encoder>\
         <pattern>%-5p [%c{2}] %m%n</pattern></encoder></appender><root level=\"warn\"><appender-ref ref=\"O\"/>\
         </root></configuration>",
    );
    put(
        "conf.d/all.conf",
        &format!(
            r#"
global: {{ logging-config: "{shown}/logback.xml" }}
metrics: {{ server-id: localhost }}
product: {{ check-for-updates: false }}
http-client: {{}}
profiler: {{ enabled: false }}
jruby-puppet: {{
    ruby-load-path: ["/usr/lib/puppetserver/ruby/vendor_ruby"]
    gem-home: "{shown}/var/gems"
    gem-path: ["{shown}/var/gems", "/usr/lib/puppetserver/vendored-jruby-gems"]
    server-conf-dir: "{shown}/puppet"
    server-code-dir: "{shown}/code"
    server-var-dir: "{shown}/var"
    server-run-dir: "{shown}/run"
    server-log-dir: "{shown}/logs"
    max-active-instances: 1
    compile-mode: off
}}
webserver: {{
    client-auth: need
    ssl-host: 127.0.0.1
    ssl-port: {port}
    ssl-cert: "{shown}/ssl/cert.pem"
    ssl-key: "{shown}/ssl/key.pem"
    ssl-ca-cert: "{shown}/ssl/ca.pem"
}}
web-router-service: {{
    "puppetlabs.services.master.master-service/master-service": "/puppet"
    "puppetlabs.trapperkeeper.services.status.status-service/status-service": "/status"
}}
"#
        ),
    );
    let rule = |(number, (path, names)): (usize, &(&str, &[&str]))| {
        format!(
            "{{ match-request: {{ path: \"{path}\", type: path }}, allow: {names:?}, sort-order: {}, name: \"rule {number}\" }}",
            500 + number
        )
    };
    let rules: Vec<String> = rules.iter().enumerate().map(rule).collect();
    put("conf.d/auth.conf", &format!("authorization: {{ version: 1, rules: [\n{}\n] }}\n", rules.join("\n")));
}

/// Starts it; it ends with whoever starts it, however that ends.
fn java(dir: &Path) -> Child {
    let log = fs::File::create(dir.join("log")).expect("a file");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if geteuid().is_root() {
        command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]);
    }
    command
        .args(["java", "-Xms256m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
        .args(["-Djruby.lib=/usr/share/jruby/lib"])
        .arg("-Djruby.logger.class=com.puppetlabs.jruby_utils.jruby.Slf4jLogger")
        .arg(format!("-Djava.io.tmpdir={}/var", dir.display()))
        .args(["-jar", PROGRAM, "--config"])
        .arg(dir.join("conf.d"))
        .arg("--bootstrap-config")
        .arg(dir.join("bootstrap.cfg"))
        .arg("--restart-file")
        .arg(dir.join("run/restart"))
        .env("HOME", dir)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file"))
        .stderr(log)
        .process_group(0)
        .spawn()
        .expect(INSTALL)
}

impl Drop for PuppetServer {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.java.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.java.wait();
    }
}
