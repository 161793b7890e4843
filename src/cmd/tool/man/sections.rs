//! What pages say beside the metadata of commands: examples, files,
//! environment.

/// Examples of a command, by its words: what is typed, and what for.
pub const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    (
        "choria ping",
        &[
            ("choria ping", "who is there, and how fast"),
            ("choria ping -W 'apache country=mt' --names", "names of the web servers of a country"),
            ("choria ping --nodes list.txt", "whether all of a list answer; exit code 4 when some do not"),
        ],
    ),
    #[cfg(feature = "builder")]
    (
        "choria builder run",
        &[
            ("choria builder run demo --help", "what an application does"),
            ("choria builder run ./demo-app.yaml hello you", "one of a file"),
        ],
    ),
    (
        "choria find",
        &[
            ("choria find -F os.family=Debian -C /^role::/", "by fact and by class"),
            ("choria find -S 'fact(\"cpus\") > 4 && with(\"web\")' --json", "by an expression, as JSON"),
        ],
    ),
    (
        "choria rpc",
        &[
            ("choria rpc rpcutil get_fact fact=os.name -F country=mt", "one action on all that match"),
            ("choria rpc rpcutil ping --batch 100 --batch-sleep 5", "a hundred nodes at a time"),
            (
                "choria rpc package update package=curl --nodes list.txt --until 7d",
                "whoever is away does it when it comes",
            ),
            (
                "choria rpc rpcutil ping --json | choria rpc rpcutil inventory",
                "those that answered, asked again",
            ),
            ("choria rpc --retry missed last", "the last request again, on nodes that did not answer"),
            ("choria rpc rpcutil inventory --only ok 4f5e7add", "another action on those that answered well"),
            (
                "choria rpc rpcutil get_fact fact=os.name --filter-replies 'ok() && data(\"value\") != \"Debian\"'",
                "only replies an expression is true of; also msg, code, sender(), time()",
            ),
            ("choria rpc rpcutil get_fact --help", "what the action takes and gives"),
        ],
    ),
    (
        "choria history",
        &[
            ("choria history", "what was asked before; an id may be cut to what only it begins with"),
            ("choria history show last --display failed", "what went wrong the last time"),
            ("choria history show 4f5e7add --json", "as it was, for programs"),
        ],
    ),
    ("choria facts", &[("choria facts os.release.major --table", "how many nodes have which release")]),
    (
        "choria inventory",
        &[
            ("choria inventory n1.example.net", "all that one node tells"),
            ("choria inventory --collectives", "which collectives there are"),
        ],
    ),
    (
        "choria doc",
        &[
            ("choria doc", "all agents"),
            ("choria doc rpcutil", "the actions of one"),
            ("choria doc rpcutil get_fact", "inputs and outputs of an action"),
        ],
    ),
    (
        "choria setup",
        &[
            (
                "choria setup broker --node n1.example.net",
                "a broker, and a file that makes n1 a node (as root)",
            ),
            ("choria setup node n1.example.net.setup", "there, with that file (as root)"),
            ("choria setup operator", "who has said sudo may ask, on the broker's machine"),
        ],
    ),
    (
        "choria tool ca",
        &[
            ("choria tool ca init --dir ca", "a CA of one's own"),
            ("choria tool ca issue --dir ca --broker broker.example.net --out ssl", "its broker"),
            ("choria tool ca issue --dir ca --node n1.example.net --out ssl", "a node"),
            ("choria tool ca issue --dir ca --client alice --out ssl", "alice.mcollective, who calls"),
            ("choria tool ca revoke --dir ca alice", "no longer"),
        ],
    ),
    (
        "choria kv",
        &[
            ("choria kv add CFG --history 5", "a bucket (needs a privileged certificate)"),
            ("choria kv put CFG country.mt 7", "a value"),
            ("choria kv watch CFG", "values as they are, and as they change"),
        ],
    ),
    (
        "choria governor",
        &[
            ("choria governor add BACKUP 3 1h", "three at once, each for an hour at most"),
            ("choria governor run BACKUP /usr/local/bin/backup", "in a slot of it"),
            ("choria governor view BACKUP", "who is in"),
        ],
    ),
    (
        "choria election",
        &[
            (
                "choria election run NIGHTLY /usr/local/bin/scheduler",
                "told by USR1 and USR2 whether it leads",
            ),
            ("choria election info", "who leads"),
        ],
    ),
    ("choria tool event", &[("choria tool event --type startup --json", "nodes that start, as JSON lines")]),
    ("choria tool config", &[("choria tool config plugin.choria", "what is configured, and where")]),
    (
        "choria jwt view",
        &[("choria jwt view /etc/choria/provisioning.jwt", "what a token says, secrets aside")],
    ),
    (
        "choria policy check",
        &[("choria policy check ./package.policy", "what of it does not do what it seems to")],
    ),
    (
        "choria plugin new",
        &[("choria plugin new hello --language python", "a directory hello with an agent that works")],
    ),
    (
        "choria plugin test",
        &[
            ("choria plugin test hello greet name=Ada", "one call, as a node would make it"),
            ("choria plugin test hello --facts facts.json", "the cases of hello/test.json, with these facts"),
        ],
    ),
    (
        "choria plugin generate ddl",
        &[
            ("choria plugin generate ddl demo.json", "asks for what the interface is to say"),
            (
                "choria plugin generate ddl --name demo --action go:Goes --input go.where:string:required:20 demo.json",
                "the same by flags",
            ),
            ("choria plugin generate ddl --convert demo.json demo.ddl", "for clients and agents in Ruby"),
        ],
    ),
    (
        "choria plugin generate client",
        &[(
            "choria plugin generate client rpcutil --language python -o rpcutil.py",
            "a class with a method an action",
        )],
    ),
    (
        "choria package",
        &[
            ("choria package status puppet-agent -C base", "which version nodes have"),
            ("choria package puppet-agent install --version 7.1-1 -F os.family=Debian", "in any order"),
            ("choria package checkupdates -I n1.example.net -v", "what could be newer"),
        ],
    ),
    (
        "choria service",
        &[
            (
                "choria service restart httpd -C apache --batch 10",
                "ten at a time; only what went wrong is told",
            ),
            ("choria service httpd status", "on every node"),
        ],
    ),
    (
        "choria puppet",
        &[
            ("choria puppet status", "what the agents do"),
            ("choria puppet disable 'maintenance till six' -C db", "with a reason"),
            ("choria puppet runonce --tags web --noop", "what a run would change"),
            ("choria puppet runall 10 -C web", "all that are enabled, never more than ten at a time"),
            ("choria puppet resource service httpd ensure=running -I n1.example.net", "one resource"),
        ],
    ),
    (
        "choria shell",
        &[
            ("choria shell run 'uptime -p' -C web", "flags of the command are quoted with it"),
            (
                "choria shell run --tail 'vmstat 1' -I n1.example.net",
                "until it ends, or an interrupt ends it",
            ),
            ("choria shell start make -I n1.example.net", "tells a handle for watch and kill"),
        ],
    ),
    (
        "choria filemgr",
        &[
            ("choria filemgr -f /etc/motd status", "whether it is there"),
            ("choria filemgr -f /run/flag remove -C web", "no longer"),
        ],
    ),
    (
        "choria process",
        &[("choria process list '^nginx' -u root --fields pid,rss,command", "what runs where")],
    ),
    (
        "choria nettest",
        &[
            ("choria nettest ping gateway.example.net -C web", "how long it takes"),
            ("choria nettest connect db.example.net 5432 -C web", "whether it can be reached"),
        ],
    ),
    ("choria nrpe", &[("choria nrpe check_load -C web", "who is not well; -v for all")]),
    (
        "choria iptables",
        &[
            ("choria iptables isblocked 192.0.2.7 -C web", "who lets it in"),
            ("choria iptables block 192.0.2.7 -C web -s", "without waiting for answers"),
        ],
    ),
    ("choria server run", &[("choria server run --config /etc/choria/server.conf", "the daemon of a node")]),
    ("choria broker run", &[("choria broker run --config /etc/choria/broker.conf", "the broker")]),
];

/// What the name `mco` changes.
pub const MCO: &str = "Called as mco, as mc-COMMAND or as choria mco COMMAND, the program takes the flags of the Ruby \
     world beside its own: --with-fact, --with-class, --with-agent, --with-identity, --dt, --disc-method, \
     --disc-option, -t, -q, -1, --ln, --limit-nodes, --no-progress, --ttl, --connection-timeout, and for rpc --agent, \
     --action, --arg and --no-results; --publish_timeout and --threaded mean nothing. Flags in MCOLLECTIVE_EXTRA_OPTS \
     come before those that are typed. Applications have its layouts: summaries as 'value = count', milliseconds, \
     and with -j a bare list. ping shows hundredths of milliseconds.";

/// Files of the program: name, and what is in it.
pub const FILES: &[(&str, &str)] = &[
    (
        "~/.choriarc, ~/.mcollective, /etc/choria/client.conf, /usr/local/etc/choria/client.conf, \
         /etc/puppetlabs/mcollective/client.cfg",
        "configuration of commands: the first that exists; then choria.conf of the working directory and those above it",
    ),
    (
        "/etc/choria/server.conf, /etc/choria/broker.conf",
        "configuration of node and broker, as the units name them",
    ),
    (
        "NAME-app.yaml and NAME-cfg.yaml in the working directory, ~/.config/choria/builder, /etc/choria/builder, \
         ~/.config/appbuilder, /etc/appbuilder",
        "applications and their settings, see choria-builder(1)",
    ),
    ("plugin.d/NAME.cfg beside the configuration", "settings of plugin.NAME"),
    (
        "mcollective/agent/NAME.json and NAME below plugin.choria.agent_provider.mcorpc.libdir",
        "agents that are programs of yours, see choria-plugin-new(1)",
    ),
    (
        "~/.local/state/choria/history, or below XDG_STATE_HOME",
        "what requests of this user came to, without secrets; see plugin.choria.history in choria.conf(5)",
    ),
    ("~/.cache/choria/interfaces", "interfaces of agents that nodes or the registry gave"),
    ("policies/AGENT.policy beside the server's configuration", "who may do what on a node"),
];

/// Variables of the environment that no key of the configuration has.
pub const ENVIRONMENT: &[(&str, &str)] = &[
    ("MCOLLECTIVE_CERTNAME", "name of the certificate, and so of the caller"),
    ("USER, LOGNAME", "without it a caller is USER.mcollective, else LOGNAME, else by the user database"),
    ("HOME", "where ~ is"),
    ("CHORIA_COMPAT_EXIT", "1: exit codes of the original"),
    ("MCOLLECTIVE_EXTRA_OPTS", "of mco: flags before those that are typed"),
    ("XDG_STATE_HOME, XDG_CACHE_HOME", "where a user's history and interfaces are kept"),
    (
        "BUILDER_APP, BUILDER_CONFIG, BUILDER_DRY_RUN, BUILDER_DEBUG, ABTaskFile",
        "of applications, see choria-builder(1)",
    ),
    ("NO_COLOR", "set: no colours; TERM=dumb has none either"),
    ("LC_ALL, LC_CTYPE, LANG", "tables are drawn in ASCII where the first that is set is not UTF-8"),
    ("VAULT_ADDR, VAULT_TOKEN, VAULT_CACERT", "of choria jwt provisioning --vault"),
];
