#!/usr/bin/env python3
"""Two Choria programs in one network, compared word for word.

    matrix.py [--keep] [--report FILE] PROGRAM OTHER

For the broker of each, four nodes of each stand on one secured network with
pairwise equal facts, classes and policies; the client of each then asks the same
questions. Compared are

  * the nodes that filters find, and exit codes, between the clients, and the
    answers of the two nodes of a pair;
  * the answers to every action of rpcutil and choria_util, for a caller who may
    and one who mostly may not, between the clients and within each pair: codes,
    texts and data (the values too, where they do not name the node or a moment);
  * the answers of the nodes of a pair to requests no client would send, with
    inputs that are missing, of another type or too long;
  * the keys of audit lines and status files.

PROGRAM makes the certificates, with `tool ca`. Filters and facts are those of
tests/vectors/captured/filters.json. A difference that the list KNOWN below does
not explain ends the run with exit code 1. Loopback only; needs no package.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from speaker import Speaker

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = HERE.parent / "vectors" / "captured" / "filters.json"
PATIENCE = 60
SIDES = ("ours", "other")

# (what, regular expression on the difference, why it is meant)
KNOWN = [
    ("filter", r'"" \]', "empty filter values are errors that name the flag"),
    ("filter", r"'/[\[(]/' \]|'country=/\[/' \]", "regular expressions that are none are refused before anything is sent"),
    ("filter", r"'-S' .*\(1, \[\]\) \| \(0, \[\]\)$", "expressions that are none are refused, not a discovery of nobody"),
    ("reply of a pair", r"agents\.0\.timeout: 2 \| 10$", "choria_util says the time-out of its DDL"),
    ("reply to a bad body", r": \+refused$|code: 4 \| [01]$|: -(data|text)$", "a node checks what its interface declares"),
    ("reply to a bad body", r"Unknown agent nosuch", "a node that is asked by name for an agent it lacks says so"),
    ("reply of a pair", r"data\.agents: ", "agents that manage a machine are built in"),
    ("filter pairs", r"len\(agents\)", "agents that manage a machine are built in"),
    ("reply of a pair", r"inventory at .* data\.data_plugins: ", "data plugins of autonomous agents and scout are not here yet"),
    ("status keys", r"^[^:]*: \+stats\.(denied|dropped|overbudget|panicked|replayed|timedout) number$", "counters the other does not have"),
]


class Network:
    """Certificates, one broker and eight nodes."""

    def __init__(self, programs, side, root):
        self.programs, self.side, self.root = programs, side, root
        self.running, self.nodes = [], []
        self.port = None

    def ca(self, *words):
        subprocess.run([self.programs["ours"], "tool", "ca", *words], check=True, capture_output=True)

    def file(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def security(self, name):
        return (
            "plugin.choria.use_srv = false\n"
            "plugin.security.provider = file\n"
            f"plugin.security.file.certificate = {self.root}/ssl/{name}.pem\n"
            f"plugin.security.file.key = {self.root}/ssl/{name}-key.pem\n"
            f"plugin.security.file.ca = {self.root}/ca/ca.pem\n"
        )

    def start(self, name, side, *words):
        log = open(self.root / f"{name}.log", "wb")
        process = subprocess.Popen(
            [self.programs[side], *words], stdout=log, stderr=subprocess.STDOUT, env=environment(self.root, None)
        )
        self.running.append(process)
        return process

    def begin(self, nodes):
        self.ca("init", "--dir", f"{self.root}/ca")
        out = ["--dir", f"{self.root}/ca", "--out", f"{self.root}/ssl"]
        self.ca("issue", *out, "--broker", "broker.example.net", "--loopback")
        for name in ("alice", "bob"):
            self.ca("issue", *out, "--client", name)
        self.port = free_port()
        broker = (
            "identity = broker.example.net\nplugin.choria.broker_network = true\nloglevel = warn\n"
            f"plugin.choria.network.listen_address = 127.0.0.1\nplugin.choria.network.client_port = {self.port}\n"
        )
        if self.side == "ours":
            broker += "plugin.choria.network.x509_permissions = by-name\ncollectives = mcollective,de_collective\n"
        config = self.file("broker.conf", broker + self.security("broker.example.net"))
        self.start("broker", self.side, "broker", "run", "--config", str(config))
        until("the broker", lambda: listens(self.port))
        for node in nodes:
            for side in SIDES:
                self.node(node, side, out)
        for name in ("alice", "bob"):
            self.file(
                f"{name}.conf",
                f"identity = console.example.net\nplugin.choria.middleware_hosts = 127.0.0.1:{self.port}\n"
                f"collectives = mcollective,de_collective\nloglevel = fatal\n{self.security(f'{name}.mcollective')}",
            )
        names = sorted(self.nodes)
        until("all nodes", lambda: sorted(json.loads(self.ask("ours", "alice", "find", "--json").stdout or "[]")) == names)

    def node(self, node, side, out):
        name = f"{node['name'].split('.')[0]}.{side}.example.net"
        self.nodes.append(name)
        self.ca("issue", *out, "--node", name)
        at = f"nodes/{name}"
        self.file(f"{at}/facts.json", json.dumps(node["facts"]))
        self.file(f"{at}/classes.txt", "\n".join(node["classes"]))
        for agent, text in policies().items():
            self.file(f"{at}/policies/{agent}.policy", text)
        config = self.file(
            f"{at}/server.conf",
            f"identity = {name}\nplugin.choria.middleware_hosts = 127.0.0.1:{self.port}\nloglevel = warn\n"
            f"collectives = {','.join(node['collectives'])}\nmain_collective = mcollective\n"
            f"classesfile = {self.root}/{at}/classes.txt\nplugin.yaml = {self.root}/{at}/facts.json\n"
            f"rpcaudit = 1\nplugin.rpcaudit.logfile = {self.root}/{at}/audit.log\n"
            f"plugin.choria.status_file_path = {self.root}/{at}/status.json\n"
            "plugin.choria.status_update_interval = 1\n"
            f"plugin.choria.machine.store = {self.root}/{at}/machines\nplugin.scout.agent_disabled = true\n" + self.security(name),
        )
        self.start(name, side, "server", "run", "--config", str(config))

    def ask(self, side, caller, *words):
        command = [self.programs[side], *words, "--config", str(self.root / f"{caller}.conf")]
        try:
            return subprocess.run(
                command, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL,
                env=environment(self.root, f"{caller}.mcollective"),
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, "did not end", "", "")

    def end(self):
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        deadline = time.time() + 5
        for process in self.running:
            try:
                process.wait(max(0.1, deadline - time.time()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def environment(home, certname):
    kept = {"HOME": str(home), "PATH": "/usr/bin:/bin", "NO_COLOR": "1", "USER": "tester", "CHORIA_COMPAT_EXIT": "1"}
    return kept | ({"MCOLLECTIVE_CERTNAME": certname} if certname else {})


def policies():
    """Alice may everything but one action; bob little, and by fact and class."""
    rpcutil = [
        "deny\tchoria=alice.mcollective\tget_data\t*\t*",
        "allow\tchoria=alice.mcollective\t*\t*\t*",
        "allow\tchoria=bob.mcollective\tping get_fact\tcountry=uk\t*",
        "allow\tchoria=bob.mcollective\tagent_inventory\t*\tapache",
    ]
    util = ["allow\tchoria=alice.mcollective\t*\t*\t*"]
    text = lambda rules: "policy default deny\n" + "\n".join(rules) + "\n"
    return {"rpcutil": text(rpcutil), "choria_util": text(util)}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(what, ask):
    deadline = time.time() + PATIENCE
    while not ask():
        if time.time() > deadline:
            sys.exit(f"matrix: waited too long for {what}")
        time.sleep(0.2)


# === the questions ===


def filters(cases):
    """Those of the vectors, for these agents and names, and some about names."""
    for case in cases:
        args = [re.sub(r"\bdemo\b", "rpcutil", a).replace("/dem/", "/pcut/").replace("/DEM/", "/PCUT/") for a in case["args"]]
        yield [re.sub(r"^(dev\d)\.example", r"\1.ours.example", a).replace("Demo", "Rpcutil") for a in args]
    for more in (
        ["-I", "dev1.other.example.net"],
        ["-I", "dev1.ours.example.net", "-I", "dev1.other.example.net"],
        ["-I", "/ours/"],
        ["-I", "/^dev[13].*net$/"],
        ["-I", "/dev1/", "-I", "dev2.other.example.net"],
        ["-I", "/(/"],
        ["-C", "/web$/", "-F", "country=uk"],
        ["-C", "apache", "-A", "rpcutil", "-F", "cpus<4"],
        ["-W", "roles::web", "-W", "country=mt"],
        ["-S", 'identity == "dev2.other.example.net"'],
        ["-S", 'fact("os.release.major") >= 12 && with("/^roles::/")'],
        ["-S", 'fact("disks.#(size>100).name") == "sda"'],
        ["-S", 'none(classes, {# startsWith "roles::w"})'],
        ["-S", 'fact("tags") != nil && len(fact("tags")) == 0'],
        ["-T", "de_collective", "-F", "country=de"],
    ):
        yield more


ACTIONS = [
    ("rpcutil", "ping"),
    ("rpcutil", "agent_inventory"),
    ("rpcutil", "collective_info"),
    ("rpcutil", "daemon_stats"),
    ("rpcutil", "inventory"),
    ("rpcutil", "get_config_item", "item=identity"),
    ("rpcutil", "get_config_item", "item=collectives"),
    ("rpcutil", "get_config_item", "item=rpcaudit"),
    ("rpcutil", "get_config_item", "item=no.such"),
    ("rpcutil", "get_config_item", "item="),
    ("rpcutil", "get_config_item", "item=" + "x" * 121),
    ("rpcutil", "get_config_item"),
    ("rpcutil", "get_data", "source=choria"),
    ("rpcutil", "get_data", "source=bad source"),
    ("rpcutil", "get_data"),
    ("rpcutil", "get_fact", "fact=country"),
    ("rpcutil", "get_fact", "fact=os.release.major"),
    ("rpcutil", "get_fact", "fact=os"),
    ("rpcutil", "get_fact", "fact=tags"),
    ("rpcutil", "get_fact", "fact=disks.#(size>100).name"),
    ("rpcutil", "get_fact", "fact=load"),
    ("rpcutil", "get_fact", "fact=virtual"),
    ("rpcutil", "get_fact", "fact=nothing"),
    ("rpcutil", "get_fact", "fact=nosuch"),
    ("rpcutil", "get_fact", "fact=" + "x" * 513),
    ("rpcutil", "get_fact"),
    ("rpcutil", "get_fact", "nosuch=input"),
    ("rpcutil", "get_facts", "facts=country,cpus"),
    ("rpcutil", "get_facts", "facts=country, nosuch"),
    ("rpcutil", "get_facts", "facts=os.name,tags.0"),
    ("rpcutil", "get_facts", "facts=;rm"),
    ("rpcutil", "get_facts"),
    ("rpcutil", "nosuch"),
    ("choria_util", "info"),
    ("choria_util", "machine_states"),
    ("choria_util", "machine_state", "name=nosuch"),
    ("choria_util", "machine_state", "instance=1-2-3-4-5"),
    ("choria_util", "machine_state", "path=/no/such"),
    ("choria_util", "machine_state", "name=1bad"),
    ("choria_util", "machine_state"),
    ("choria_util", "machine_transition", "name=nosuch", "transition=go"),
    ("choria_util", "machine_transition", "transition=go"),
    ("choria_util", "machine_transition", "name=nosuch"),
    ("choria_util", "machine_transition", "name=nosuch", "transition=1"),
    ("choria_util", "nosuch"),
    ("nosuch", "ping"),
]

# Bodies that clients refuse to send: what the nodes make of them.
BODIES = [
    ("rpcutil", "get_fact", {}),
    ("rpcutil", "get_fact", {"fact": ""}),
    ("rpcutil", "get_fact", {"fact": 1}),
    ("rpcutil", "get_fact", {"fact": None}),
    ("rpcutil", "get_fact", {"fact": ["country"]}),
    ("rpcutil", "get_fact", {"fact": "x" * 600}),
    ("rpcutil", "get_fact", {"fact": "country", "more": True}),
    ("rpcutil", "get_facts", {}),
    ("rpcutil", "get_facts", {"facts": ""}),
    ("rpcutil", "get_facts", {"facts": ";rm"}),
    ("rpcutil", "get_facts", {"facts": ["country"]}),
    ("rpcutil", "get_config_item", {}),
    ("rpcutil", "get_config_item", {"item": ""}),
    ("rpcutil", "get_config_item", {"item": {"a": 1}}),
    ("rpcutil", "get_data", {}),
    ("rpcutil", "nosuch", {}),
    ("rpcutil", "", {}),
    ("choria_util", "machine_state", {"name": 7}),
    ("choria_util", "machine_state", {"name": "1 bad"}),
    ("choria_util", "machine_transition", {}),
    ("choria_util", "machine_transition", {"transition": "; rm"}),
    ("choria_util", "machine_transition", {"name": "x", "transition": ["go"]}),
    ("rpcutil", None, "no JSON"),
    ("rpcutil", None, "[]"),
    ("rpcutil", None, '{"agent":"choria_util","action":"info","data":{}}'),
    ("rpcutil", None, '{"agent":"rpcutil","action":"ping"}'),
    ("rpcutil", None, '{"agent":"rpcutil","action":"ping","data":[]}'),
    ("rpcutil", None, '{"agent":"rpcutil","action":"ping","data":null}'),
    ("nosuch", "ping", {}),
]

# Data that is of one process or moment: only its type is compared.
OF_ITS_OWN = re.compile(
    r"^(pong|events|pid|starttime|configfile|threads|version|times|go_version|security|connector|"
    r"validated|unvalidated|passed|filtered|total|replies|ttlexpired|utime|stime|cutime|cstime|"
    r"choria_version|path|client_flavour|connected_server|srv_domain|using_srv|"
    r"facts_file|collective_reply_subject|license|url|author|description|provider|timestamp|"
    r"security_provider|uptime|client_stats|client_version|servers|middleware_servers|identity|certname)$"
)


class Comparison:
    def __init__(self):
        self.differences = collections.defaultdict(list)
        self.explained = collections.Counter()
        self.counts = collections.Counter()

    def of(self, what, about, one, other):
        """Notes a difference of two answers to the same question."""
        self.counts[what] += 1
        for difference in differing(one, other, ""):
            text = f"{about}: {difference}"
            why = next((why for kind, pattern, why in KNOWN if kind == what and re.search(pattern, text)), None)
            if why:
                self.explained[why] += 1
            else:
                self.differences[what].append(text)


def differing(one, other, at):
    """The places where two values differ, `place: one | other`."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(set(one) | set(other)):
            if key in one and key in other:
                yield from differing(one[key], other[key], f"{at}.{key}" if at else key)
            else:
                yield f"{'+' if key in one else '-'}{at}.{key}" if at else f"{'+' if key in one else '-'}{key}"
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (a, b) in enumerate(zip(one, other)):
            yield from differing(a, b, f"{at}.{index}" if at else str(index))
    elif one != other:
        yield f"{at}: {one} | {other}" if at else f"{one} | {other}"


def run_filters(network, comparison, asked, workers):
    def both(args):
        return {s: network.ask(s, "alice", "find", "--json", *args) for s in SIDES}

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for args, ran in zip(asked, pool.map(both, asked)):
            about = f"{network.side} broker [ {' '.join(map(repr, args))} ]".replace("''", '""')
            found = {s: found_by(ran[s]) for s in SIDES}
            comparison.of("filter", about, found["ours"], found["other"])
            for side in SIDES:
                names = found[side][1]
                if names is None or any(a == "-I" or "identity" in a for a in args):
                    continue
                pair = {s: [n.split(".")[0] for n in names if f".{s}." in n] for s in SIDES}
                comparison.of("filter pairs", f"{about} by {side} client", pair["ours"], pair["other"])


def found_by(ran):
    try:
        names = sorted(json.loads(ran.stdout or "null") or [])
    except ValueError:
        names = None if ran.returncode == 0 else []  # a text that says what is wrong
    return ran.returncode, names


def run_actions(network, comparison, workers):
    questions = [(caller, action) for caller in ("alice", "bob") for action in ACTIONS]

    def both(question):
        caller, (agent, action, *inputs) = question
        return {
            s: network.ask(s, caller, "req", agent, action, *inputs, "--json", "-A", "rpcutil") for s in SIDES
        }

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for (caller, action), ran in zip(questions, pool.map(both, questions)):
            about = f"{network.side} broker, {caller}: {' '.join(w[:40] for w in action)}"
            seen = {s: replies_of(ran[s]) for s in SIDES}
            codes = {s: ran[s].returncode for s in SIDES}
            comparison.of("exit code", about, codes["ours"], codes["other"])
            if seen["ours"] is None or seen["other"] is None:
                comparison.of("refused by the client", about, *(seen[s] is None for s in SIDES))
                continue
            for s in SIDES:
                comparison.of(f"answers seen by {s} client", about, len(seen[s]), len(network.nodes))
            for name in network.nodes:
                answers = [seen[s].get(name) for s in SIDES]
                comparison.of("reply between clients", f"{about} at {name}", *map(comparable, answers))
            for name in (n for n in network.nodes if ".ours." in n):
                for s in SIDES:
                    pair = [seen[s].get(name), seen[s].get(name.replace(".ours.", ".other."))]
                    where = f"{about} at {name.split('.')[0]} by {s} client"
                    comparison.of("reply of a pair", where, *map(comparable, pair))


def replies_of(ran):
    """Name to reply; nothing when the client refused to ask."""
    try:
        return {reply["sender"]: reply for reply in json.loads(ran.stdout)["replies"]}
    except (ValueError, KeyError, TypeError):
        return None


def comparable(reply):
    if reply is None:
        return None
    data = reply.get("data")
    return {"code": reply.get("statuscode"), "text": reply.get("statusmsg"), "data": shape(data, "")}


def shape(value, key):
    if OF_ITS_OWN.match(key):
        return type(value).__name__ if not isinstance(value, (int, float)) or isinstance(value, bool) else "number"
    if isinstance(value, dict):
        return {k: shape(v, k) for k, v in sorted(value.items())}
    if isinstance(value, list):
        return [shape(v, "") for v in value]
    if isinstance(value, str):
        return re.sub(r"\.(ours|other)\.example", ".X.example", re.sub(r"/\S+/nodes/", "/X/", value))
    return value


def run_bodies(network, comparison):
    for caller in ("alice", "bob"):
        speaker = Speaker(network.port, network.root / "ssl", network.root / "ca" / "ca.pem", f"{caller}.mcollective")
        for agent, action, data in BODIES:
            body = data if action is None else json.dumps({"agent": agent, "action": action, "data": data})
            # two pairs are enough, and nobody answers for an agent it has not
            names = [n for n in network.nodes if n.startswith(("dev1.", "dev2."))]
            replies = speaker.ask(names, agent, body, 1 if agent == "nosuch" else 5)
            for name in (n for n in names if ".ours." in n):
                pair = [replies.get(n) for n in (name, name.replace(".ours.", ".other."))]
                about = f"{network.side} broker, {caller}: {agent} {body[:70]} at {name.split('.')[0]}"
                comparison.of("reply to a bad body", about, *(judged(comparable(r)) for r in pair))
        speaker.end()


def judged(reply):
    """What matters of the reply to a bad body: the words for what is wrong with it are each program's own."""
    if not reply:
        return reply
    for text, why in (
        ("Validation failed: ", "an input is refused"),
        ("Could not parse request data for ", "an input is refused"),
        ("Could not process request: ", "the body is refused"),
    ):
        if reply["text"].startswith(text):
            return {"code": reply["code"], "refused": why}
    return reply


def run_files(network, comparison):
    for name in (n for n in network.nodes if ".ours." in n):
        pair = [network.root / "nodes" / n for n in (name, name.replace(".ours.", ".other."))]
        audits = [[json.loads(line) for line in (p / "audit.log").read_text().splitlines()] for p in pair]
        keys = [sorted({(k, type(v).__name__) for line in lines for k, v in line.items()}) for lines in audits]
        about = f"{network.side} broker, {name.split('.')[0]}"
        comparison.of("audit keys", about, *keys)
        tally = [collections.Counter((a["caller"], a["agent"], a["action"]) for a in lines) for lines in audits]
        comparison.of("audited calls", about, *map(lambda t: sorted(t.items()), tally))
        status = [json.loads((p / "status.json").read_text()) for p in pair]
        comparison.of("status keys", about, *(dict.fromkeys(flat(s)) for s in status))


def flat(value, at=""):
    if isinstance(value, dict) and value:
        return [key for k, v in value.items() for key in flat(v, f"{at}.{k}" if at else k)]
    return [f"{at} {'number' if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__}"]


def main():
    arguments = argparse.ArgumentParser(description="Two Choria programs in one network, compared word for word.")
    arguments.add_argument("program", type=pathlib.Path, help="the program under test, makes the certificates")
    arguments.add_argument("other", type=pathlib.Path, help="the program it is compared with")
    arguments.add_argument("--workers", type=int, default=4, help="questions at a time")
    arguments.add_argument("--report", type=pathlib.Path, help="write all differences here, as JSON")
    arguments.add_argument("--keep", action="store_true", help="keep the directory of files and logs")
    options = arguments.parse_args()
    programs = {"ours": str(options.program.resolve()), "other": str(options.other.resolve())}
    vectors = json.loads(VECTORS.read_text())
    nodes = sorted(vectors["inventory_nodes"], key=lambda n: n["name"])[:4]
    asked = list(filters(vectors["cases"]))
    comparison = Comparison()
    for side in SIDES:
        root = pathlib.Path(tempfile.mkdtemp(prefix=f"matrix-{side}-"))
        network = Network(programs, side, root)
        try:
            network.begin(nodes)
            print(f"{side} broker: {len(network.nodes)} nodes, {len(asked)} filters, {len(ACTIONS)} actions, 2 clients, 2 callers", flush=True)
            run_filters(network, comparison, asked, options.workers)
            run_actions(network, comparison, options.workers)
            time.sleep(2)  # status files are written each second
            run_files(network, comparison)
            run_bodies(network, comparison)
        finally:
            network.end()
            if options.keep:
                print(f"files are in {root}")
            else:
                shutil.rmtree(root, ignore_errors=True)
    for what, count in comparison.counts.items():
        print(f"{what}: {count} compared, {len(comparison.differences[what])} unexplained differences")
    for why, count in comparison.explained.items():
        print(f"explained {count}: {why}")
    for what, texts in comparison.differences.items():
        for text in texts[:10]:
            print(f"  {what}: {text[:1000]}")
        if len(texts) > 10:
            print(f"  {what}: {len(texts) - 10} more")
    if options.report:
        options.report.write_text(json.dumps(comparison.differences, indent=1))
    sys.exit(1 if any(comparison.differences.values()) else 0)


if __name__ == "__main__":
    main()
