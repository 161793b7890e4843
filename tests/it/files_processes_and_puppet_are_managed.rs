//! The agents that manage a machine and need no machine of their own for it: files,
//! processes, command lines, the network, Puppet, services by scripts.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::network::{Caller, Network, Node, node};
use crate::process::until;

const N1: &str = "n1.example.net";

struct Asked {
    network: Network,
    node: Node,
    alice: Caller,
}

impl Asked {
    fn of(lines: impl Fn(&Path) -> String) -> Asked {
        let network = Network::start();
        let lines = lines(network.directory());
        let node = network.nodes([node("n1").lines(&lines)]).remove(0);
        let alice = network.alice();
        Asked { network, node, alice }
    }

    #[track_caller]
    fn good(&self, words: &[&str]) -> Value {
        self.alice.good(N1, words)
    }

    #[track_caller]
    fn bad(&self, code: i64, words: &[&str]) -> String {
        self.alice.bad(N1, code, words)
    }
}

#[test]
fn files_of_every_kind() {
    let asked = Asked::of(|dir| format!("plugin.filemgr.touch_file = {}/touched\n", dir.display()));
    let dir = asked.network.path("files");
    fs::create_dir(&dir).unwrap();
    let at = |name: &str| dir.join(name).display().to_string();
    let status = |name: &str| asked.good(&["filemgr", "status", &format!("file={}", at(name))]);
    fs::write(at("file"), "hello").unwrap();
    fs::set_permissions(at("file"), fs::Permissions::from_mode(0o640)).unwrap();
    let told = status("file");
    assert_eq!((&told["type"], &told["size"], &told["mode"]), (&json!("file"), &json!(5), &json!("100640")));
    assert_eq!(told["md5"], "5d41402abc4b2a76b9719d911017c592");
    assert_eq!((&told["present"], &told["output"]), (&json!(1), &json!("present")));
    assert!(told["mtime"].as_str().unwrap().ends_with(" +0000"), "{told:#}");
    symlink("file", at("link")).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
    for (name, kind) in [("link", "symlink"), ("socket", "socket"), ("fifo", "unknown")] {
        assert_eq!(status(name)["type"], kind, "{name}");
        assert_eq!(status(name)["md5"], 0);
    }
    let null = asked.good(&["filemgr", "status", "file=/dev/null"]);
    assert_eq!(null["type"], "chardev");
    let listed = asked.good(&["filemgr", "status", &format!("file={}", dir.display()), "dirlist=true"]);
    assert_eq!(
        (&listed["type"], &listed["dir_listing"]),
        (&json!("directory"), &json!(["fifo", "file", "link", "socket"]))
    );

    let missing = asked.alice.reply(N1, &["filemgr", "status", &format!("file={}", at("nosuch"))]);
    assert_eq!(missing["statusmsg"], format!("{} does not exist", at("nosuch")));
    assert_eq!(
        (&missing["data"]["output"], &missing["data"]["mode"]),
        (&json!("not present"), &json!("0000"))
    );
    asked.good(&["filemgr", "touch"]);
    assert!(asked.network.path("touched").exists());
    asked.good(&["filemgr", "touch", &format!("file={}", at("new"))]);
    assert_eq!(fs::metadata(at("new")).unwrap().len(), 0);
    asked.good(&["filemgr", "remove", &format!("file={}", at("link"))]);
    assert!(fs::symlink_metadata(at("link")).is_err() && fs::metadata(at("file")).is_ok());
    let gone = asked.bad(1, &["filemgr", "remove", &format!("file={}", at("link"))]);
    assert_eq!(gone, format!("Could not remove file '{}' - it is not present", at("link")));
    asked.bad(1, &["filemgr", "remove", &format!("file={}", dir.display())]);
    let nowhere = asked.bad(1, &["filemgr", "touch", &format!("file={}", at("no/such"))]);
    assert!(nowhere.starts_with("Could not touch file '"), "{nowhere}");
    for bad in ["/", "//", "/..", "etc/passwd", "../x"] {
        for action in ["remove", "touch", "status"] {
            asked.bad(4, &["filemgr", action, &format!("file={bad}")]);
        }
    }
    assert!(dir.exists());
    // a directory that somebody else linked there is not gone into
    symlink(".", at("elsewhere")).unwrap();
    asked.good(&["filemgr", "touch", &format!("file={}/new", at("elsewhere"))]);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::lchown(at("elsewhere"), Some(65534), Some(65534)).unwrap();
        for action in ["remove", "touch"] {
            let refused = asked.bad(1, &["filemgr", action, &format!("file={}/new", at("elsewhere"))]);
            assert!(refused.contains("laid by somebody else"), "{refused}");
        }
        assert!(Path::new(&at("new")).exists());
    }
}

#[test]
fn processes_and_the_network() {
    let asked = Asked::of(|_| String::new());
    let pid = asked.node.log().pid();
    let listed = asked.good(&["process", "list", "pattern=server run --config"]);
    let own = listed["pslist"].as_array().unwrap().iter().find(|about| about["pid"] == pid);
    let own = own.expect("the node itself");
    assert!(own["cmdline"].as_str().unwrap().contains("server run --config"), "{own:#}");
    for member in ["ppid", "uid", "username", "state", "rss", "vsize"] {
        assert!(!own[member].is_null(), "{member}: {own:#}");
    }
    let none = asked.good(&["process", "list", "pattern=^no-such-process-anywhere"]);
    assert_eq!(none["pslist"], json!([]));
    assert!(asked.bad(4, &["process", "list", "pattern=("]).contains("no regular expression"));

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = |port: u16| asked.good(&["nettest", "connect", "fqdn=localhost", &format!("port={port}")]);
    let told = connect(port);
    assert_eq!((&told["connect"], &told["connect_status"]), (&json!(true), &json!("Connected")));
    assert!(told["connect_time"].as_f64().is_some_and(|seconds| seconds < 2.0));
    drop(listener);
    let told = connect(port);
    assert_eq!((&told["connect"], &told["connect_status"]), (&json!(false), &json!("Connection Refused")));
    assert!(told["connect_time"].is_null());
    for bad in ["port=0", "port=65536", "port=-1"] {
        asked.bad(4, &["nettest", "connect", "fqdn=localhost", bad]);
    }
    assert!(asked.good(&["nettest", "ping", "fqdn=127.0.0.1"])["rtt"].is_number());
    asked.bad(1, &["nettest", "ping", "fqdn=no-such-host.invalid"]);
}

#[test]
fn command_lines_run_only_where_somebody_said_so() {
    let asked = Asked::of(|_| String::new());
    asked.alice.run(&["rpc", "shell", "run", "command=id", "-I", N1]).says(&["Unknown agent shell"]);
    drop(asked);

    let asked = Asked::of(|_| "plugin.shell.activate_agent = true\n".to_owned());
    let ran = asked.good(&["shell", "run", "command=echo out; echo err >&2; exit 3"]);
    assert_eq!(ran, json!({"stdout": "out\n", "stderr": "err\n", "success": true, "exitcode": 3}));
    let begun = Instant::now();
    let ran = asked.good(&["shell", "run", "command=echo first; exec sleep 600", "timeout=1"]);
    assert_eq!((&ran["success"], &ran["stdout"]), (&json!(false), &json!("first\n")));
    assert!(begun.elapsed() < Duration::from_secs(30));
    // and one that does not want to end is ended all the same, and gives its place back
    let stubborn = "command=trap '' TERM; while :; do sleep 0.4243; done";
    for _ in 0..5 {
        let ran = asked.good(&["shell", "run", stubborn, "timeout=1"]);
        assert_eq!(ran["success"], false);
    }
    // who asks later is told what the caller was
    for command in ["command=echo first; exec sleep 600", stubborn] {
        let ran = asked.alice.run(&["rpc", "shell", "run", command, "timeout=1", "-I", N1, "--json"]).json();
        let request = ran["request_stats"]["requestid"].as_str().expect("an id");
        let kept = asked.good(&["choria_util", "result", &format!("request={request}")]);
        let told = &ran["replies"][0];
        assert_eq!((&kept["statuscode"], &kept["data"]), (&told["statuscode"], &told["data"]), "{kept:#}");
        assert_eq!(kept["data"]["success"], false, "{kept:#}");
    }
    until("it to be gone", || {
        let left = asked.good(&["process", "list", "pattern=sleep 0[.]4243"]);
        (left["pslist"] == json!([])).then_some(())
    });

    let handle = asked.good(&["shell", "start", "command=echo begun; exec sleep 600"])["handle"].clone();
    let handle = format!("handle={}", handle.as_str().unwrap());
    let told = until("the command line to say something", || {
        let told = asked.good(&["shell", "status", &handle]);
        (told["stdout"] == "begun\n").then_some(told)
    });
    assert_eq!((&told["status"], &told["exitcode"]), (&json!("running"), &Value::Null));
    assert_eq!(asked.good(&["shell", "status", &handle, "stdout_offset=3"])["stdout"], "un\n");
    let jobs = asked.good(&["shell", "list"])["jobs"].clone();
    let (_, job) = jobs.as_object().unwrap().iter().next().expect("one");
    assert_eq!((&job["command"], &job["status"]), (&json!("echo begun; exec sleep 600"), &json!("running")));
    asked.good(&["shell", "kill", &handle]);
    let told = until("it to have ended", || {
        let told = asked.good(&["shell", "status", &handle]);
        (told["status"] == "stopped").then_some(told)
    });
    assert_eq!(told["exitcode"], 143);
    asked.bad(1, &["shell", "kill", &handle]);
    asked.bad(1, &["shell", "status", "handle=00000000-0000-0000-0000-000000000000"]);
    floods_and_forks_stay_within_bounds(&asked);
}

/// What a caller with every right runs may be as bad as it likes: the node stays small and
/// answers others.
fn floods_and_forks_stay_within_bounds(asked: &Asked) {
    let before = asked.node.peak_memory();
    let flood = "command=yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx | head -c 200000000";
    let ran = asked.good(&["shell", "run", flood, "timeout=60"]);
    assert!(ran["stdout"].as_str().unwrap().len() <= 256 * 1024);
    let forks =
        asked.good(&["shell", "run", "command=sleep 4242 & sleep 4242 & echo done; sleep 4242", "timeout=1"]);
    assert_eq!(forks["success"], false);
    until("its children to be gone", || {
        let left = asked.good(&["process", "list", "pattern=^sleep 4242$"]);
        (left["pslist"] == json!([])).then_some(())
    });
    let after = asked.node.peak_memory();
    assert!(after < before + 24 * 1024 * 1024, "{before} {after}");
}

#[test]
fn services_by_scripts() {
    let asked = Asked::of(|dir| {
        format!(
            "plugin.service.provider = service\nplugin.service.service.servicecmd = {}/service\n",
            dir.display()
        )
    });
    let dir = asked.network.directory().display();
    let script = format!("#!/bin/sh\n# as /usr/sbin/service does\ncd {dir}/init.d && exec \"./$1\" \"$2\"\n");
    let init = format!(
        "#!/bin/sh\npid={dir}/sleeper.pid\ncase $1 in\nstart) sleep 6000 & echo $! >$pid ;;\n\
         stop) kill $(cat $pid); rm $pid ;;\nrestart) $0 stop; $0 start ;;\n\
         status) test -e $pid && kill -0 $(cat $pid) ;;\n*) exit 2 ;;\nesac\n"
    );
    for (file, text) in [("service", script), ("init.d/sleeper", init)] {
        let file = asked.network.file(file, &text);
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let act = |action: &str| asked.good(&["service", action, "service=sleeper"])["status"].clone();
    assert_eq!(act("status"), "stopped");
    assert_eq!(act("start"), "running");
    assert_eq!(act("restart"), "running");
    assert_eq!(act("status"), "running");
    assert_eq!(act("stop"), "stopped");
    for bad in ["-h", "--now", ".sleeper"] {
        asked.bad(4, &["service", "status", &format!("service={bad}")]);
    }
}

/// A Puppet that needs no server, and keeps its files where the test is.
fn puppet(dir: &Path) -> String {
    let at = dir.join("puppet");
    fs::create_dir_all(&at).unwrap();
    let conf = at.join("puppet.conf");
    let text = format!(
        "[main]\nvardir = {0}/var\nstatedir = {0}/state\npublicdir = {0}/public\nrundir = {0}/run\n\
         confdir = {0}\nlogdir = {0}/log\nreports = none\n",
        at.display()
    );
    fs::write(&conf, text).unwrap();
    let manifest = format!("file {{ '{}/made': content => 'by puppet' }}\n", at.display());
    fs::write(at.join("site.pp"), manifest).unwrap();
    format!(
        "plugin.puppet.config = {0}\n\
         plugin.puppet.command = puppet apply --config={0} {1}/site.pp\n\
         plugin.puppet.splay = false\nplugin.puppet.resource_type_whitelist = file\n",
        conf.display(),
        at.display()
    )
}

#[test]
fn puppet_is_run_held_back_and_asked() {
    let asked = Asked::of(puppet);
    let at = asked.network.path("puppet");
    let told = asked.good(&["puppet", "status"]);
    assert_eq!(
        (&told["status"], &told["enabled"], &told["lastrun"]),
        (&json!("stopped"), &json!(true), &json!(0))
    );
    assert_eq!(told["message"], "Currently stopped; no run is known");

    let disabled = asked.good(&["puppet", "disable", "message=for a test"]);
    assert_eq!(disabled["status"], "Succesfully locked the Puppet agent: for a test");
    assert_eq!(asked.bad(1, &["puppet", "disable"]), "Could not disable Puppet: Already disabled");
    let told = asked.good(&["puppet", "status"]);
    assert_eq!((&told["status"], &told["disable_message"]), (&json!("disabled"), &json!("for a test")));
    assert_eq!(asked.bad(1, &["puppet", "runonce"]), "Puppet is disabled: 'for a test'");
    assert_eq!(asked.good(&["puppet", "enable"])["enabled"], true);
    assert_eq!(asked.bad(1, &["puppet", "enable"]), "Could not enable Puppet: Already enabled");

    let begun = asked.good(&["puppet", "runonce", "force=true"]);
    assert!(begun["summary"].as_str().unwrap().starts_with("Started a Puppet run using the 'puppet apply "));
    until("Puppet to have run", || (asked.good(&["puppet", "status"])["lastrun"] != 0).then_some(()));
    assert_eq!(fs::read_to_string(at.join("made")).unwrap(), "by puppet");
    // `puppet agent` leaves this, `puppet apply` does not
    fs::write(at.join("state/resources.txt"), format!("file[{}]\n", at.join("made").display())).unwrap();
    let told = asked.good(&["puppet", "last_run_summary", "logs=true"]);
    assert!(told["total_resources"].as_u64().is_some_and(|total| total > 0), "{told:#}");
    assert_eq!((&told["changed_resources"], &told["failed_resources"]), (&json!(1), &json!(0)));
    assert!(
        told["logs"]
            .as_array()
            .unwrap()
            .iter()
            .any(|line| line["source"].as_str().unwrap().contains("/made"))
    );
    assert_eq!(told["type_distribution"]["File"], 1, "{told:#}");

    let file = at.join("resource");
    let name = format!("name={}", file.display());
    let set = asked.good(&["puppet", "resource", "type=file", &name, "ensure=present", "content=hi"]);
    assert_eq!(set["changed"], true, "{set:#}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "hi");
    let managed = format!("name={}", at.join("made").display());
    let refused = asked.bad(1, &["puppet", "resource", "type=file", &managed, "ensure=absent"]);
    assert!(refused.starts_with("Puppet is managing the resource 'File["), "{refused}");
    let refused = asked.bad(1, &["puppet", "resource", "type=exec", "name=/bin/true"]);
    assert_eq!(refused, "The exec type is not listed in the type whitelist");
    for bad in ["tags=1", "environment=1", "server=x"] {
        let reply = asked.alice.reply(N1, &["puppet", "runonce", bad]);
        assert_ne!(reply["statuscode"], 0, "{bad}: {reply:#}");
    }
}
