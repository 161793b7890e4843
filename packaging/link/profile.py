#!/usr/bin/env python3
"""Writes node.ld: the functions that an idle node runs, so that they lie together.

    profile.py PROGRAM [FILE]

PROGRAM is a release build with symbols. A node is run under callgrind (valgrind), by a
broker of the same program on this machine; it starts, registers, writes its status, and
answers the requests of everyday. Names are written without what changes with each build;
one that is gone or new is no error, it lies among the rest.
"""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

HEAD = """/* The functions that an idle node runs, recorded by packaging/link/profile.py.
 * See cold.ld for why. Only the order of sections changes; a name that matches nothing
 * any more does no harm.
 */
SECTIONS
{
  .text.node :
  {
    /* what is written in assembler has no section for each function */
    *curve25519_x25519.o(.text .text.*)
    *curve25519_x25519_alt.o(.text .text.*)
    *curve25519_x25519base.o(.text .text.*)
    *curve25519_x25519base_alt.o(.text .text.*)
    *aesni-x86_64.o(.text .text.*)
    *aesni-gcm-x86_64.o(.text .text.*)
    *ghash-x86_64.o(.text .text.*)
    *p256-x86_64-asm.o(.text .text.*)
    *p256_beeu-x86_64-asm.o(.text .text.*)
    *rsaz-avx2.o(.text .text.*)
    *sha256-x86_64.o(.text .text.*)
    *sha512-x86_64.o(.text .text.*)
    *x86_64-mont.o(.text .text.*)
    *x86_64-mont5.o(.text .text.*)
"""
TAIL = """  }
}
INSERT BEFORE .text;
"""


def general(name):
    """A mangled name without what each build and each version of a crate changes."""
    name = re.sub(r"(\.llvm)?\.\d+$", "*", name)
    return re.sub(r"Cs[0-9a-zA-Z]+_", "Cs*_", name) if name.startswith("_R") else name


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def recorded(program, root):
    """What callgrind saw of a node."""

    def call(*words, **more):
        return subprocess.run([program, *words], capture_output=True, text=True, **more)

    def security(name):
        return (
            "plugin.security.provider = file\nplugin.choria.use_srv = false\nloglevel = info\n"
            f"plugin.security.file.ca = {root}/ca/ca.pem\n"
            f"plugin.security.file.certificate = {root}/ssl/{name}.pem\n"
            f"plugin.security.file.key = {root}/ssl/{name}-key.pem\n"
        )

    def file(name, text):
        (root / name).write_text(text)
        return str(root / name)

    call("tool", "ca", "init", "--dir", f"{root}/ca")
    for words in (["--broker", "broker", "--loopback"], ["--node", "node"], ["--client", "root.mcollective"]):
        done = call("tool", "ca", "issue", "--dir", f"{root}/ca", "--out", f"{root}/ssl", *words)
        assert done.returncode == 0, done.stderr
    port = free_port()
    broker = file(
        "broker.conf",
        "identity = broker\nplugin.choria.broker_network = true\nplugin.choria.network.listen_address = 127.0.0.1\n"
        f"plugin.choria.network.client_port = {port}\nplugin.choria.network.x509_permissions = by-name\n"
        + security("broker"),
    )
    hosts = f"plugin.choria.middleware_hosts = 127.0.0.1:{port}\n"
    (root / "policies").mkdir()
    file("policies/default.policy", "policy default deny\nallow\tchoria=root.mcollective\t*\t*\t*\n")
    file("facts.yaml", "os:\n  name: Debian\nrole: web\n")
    node = file(
        "server.conf",
        f"identity = node\n{hosts}rpcaudit = 1\nplugin.rpcaudit.logfile = {root}/audit.log\n"
        f"plugin.yaml = {root}/facts.yaml\nregistration = inventory_content\nregisterinterval = 3\n"
        f"plugin.choria.status_file_path = {root}/status.json\nplugin.choria.status_update_interval = 2\n"
        "plugin.actionpolicy.enable_default = 1\n" + security("node"),
    )
    client = file("client.conf", f"identity = console\n{hosts}" + security("root.mcollective"))
    log = open(root / "log", "wb")
    running = [subprocess.Popen([program, "broker", "run", "--config", broker], stdout=log, stderr=log)]
    time.sleep(1)
    out = root / "callgrind.out"
    record = ["valgrind", "--tool=callgrind", "--demangle=no", f"--callgrind-out-file={out}"]
    running.append(subprocess.Popen([*record, program, "server", "run", "--config", node], stdout=log, stderr=log))
    ask = {"env": {"HOME": str(root), "PATH": "/usr/bin:/bin", "USER": "root", "MCOLLECTIVE_CERTNAME": "root.mcollective"}}
    for _ in range(60):
        if "node" in call("ping", "--names", "--config", client, **ask).stdout:
            break
        time.sleep(1)
    for words in (
        ["ping"],
        ["rpc", "rpcutil", "ping"],
        ["rpc", "rpcutil", "ping", "-F", "role=web"],
        ["rpc", "rpcutil", "get_fact", "fact=os.name"],
        ["rpc", "rpcutil", "inventory"],
    ):
        call(*words, "--config", client, **ask)
    time.sleep(7)
    for process in reversed(running):
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    return out.read_text()


def main():
    program, target = sys.argv[1], pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else pathlib.Path(__file__).with_name("node.ld"))
    with tempfile.TemporaryDirectory() as root:
        text = recorded(os.path.abspath(program), pathlib.Path(root))
    ran = {re.sub(r"'\d+$", "", name) for name in re.findall(r"^c?fn=\(\d+\) (.+)$", text, re.M)}
    names = {general(name) for name in ran}
    # Those of C lie in sections of their own too, but for what is written in assembler.
    patterns = sorted(name for name in names if re.fullmatch(r"[\w.$*]+", name) and not name.startswith("0x") and len(name) > 3)
    assert len(patterns) > 1000, f"only {len(patterns)} functions were seen"
    # What is said to be cold lies in a section of another name, though a node runs it now and then.
    lines = "".join(f"    *(.text.{name} .text.unlikely.{name})\n" for name in patterns)
    target.write_text(HEAD + lines + TAIL)
    print(f"{target}: {len(patterns)} functions")


if __name__ == "__main__":
    main()
