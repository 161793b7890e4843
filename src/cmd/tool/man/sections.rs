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
                "choria rpc rpcutil ping --json | choria rpc rpcutil inventory",
                "those that answered, asked again",
            ),
            (
                "choria rpc rpcutil get_fact fact=os.name --filter-replies 'ok() && data(\"value\") != \"Debian\"'",
                "only replies an expression is true of; also msg, code, sender(), time()",
            ),
            ("choria rpc rpcutil get_fact --help", "what the action takes and gives"),
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
        "choria tool ca",
        &[
            ("choria tool ca init --dir ca", "a CA of one's own"),
            ("choria tool ca issue --dir ca --broker broker.example.net --out ssl", "its broker"),
            ("choria tool ca issue --dir ca --node n1.example.net --out ssl", "a node"),
            ("choria tool ca issue --dir ca --client alice --out ssl", "alice.mcollective, who calls"),
            ("choria tool ca revoke --dir ca alice", "no longer"),
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
    ("choria server run", &[("choria server run --config /etc/choria/server.conf", "the daemon of a node")]),
    ("choria broker run", &[("choria broker run --config /etc/choria/broker.conf", "the broker")]),
];

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
    ("plugin.d/NAME.cfg beside the configuration", "settings of plugin.NAME"),
    (
        "mcollective/agent/NAME.json and NAME below plugin.choria.agent_provider.mcorpc.libdir",
        "agents that are programs of yours, see choria-plugin-new(1)",
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
    ("NO_COLOR", "set: no colours; TERM=dumb has none either"),
    ("LC_ALL, LC_CTYPE, LANG", "tables are drawn in ASCII where the first that is set is not UTF-8"),
    ("VAULT_ADDR, VAULT_TOKEN, VAULT_CACERT", "of choria jwt provisioning --vault"),
];
