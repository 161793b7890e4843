"""A caller that asks what no client would: inputs that are missing, of another
type, too long. Protocol v1 by hand, signatures by the program openssl."""

import base64
import hashlib
import json
import socket
import ssl
import subprocess
import time
import uuid

COLLECTIVE = "mcollective"


class Speaker:
    """One connection, with a certificate and its signature."""

    def __init__(self, port, ssl_dir, ca, certname):
        self.caller = f"choria={certname}"
        self.certificate, self.key = ssl_dir / f"{certname}.pem", ssl_dir / f"{certname}-key.pem"
        context = ssl.create_default_context(cafile=str(ca))
        context.load_cert_chain(self.certificate, self.key)
        plain = socket.create_connection(("127.0.0.1", port), 10)
        # the broker says who it is before it asks for TLS
        while not plain.recv(1 << 16).endswith(b"\r\n"):
            pass
        self.socket = context.wrap_socket(plain, server_hostname="127.0.0.1")
        self.socket.settimeout(0.2)
        self.received = b""
        name = json.dumps({"verbose": False, "pedantic": False, "tls_required": True, "name": certname, "protocol": 1})
        self.say(f"CONNECT {name}")
        self.subject = f"{COLLECTIVE}.reply.{hashlib.md5(self.caller.encode()).hexdigest()}"
        self.say(f"SUB {self.subject}.> 1")

    def say(self, line, payload=None):
        self.socket.sendall(line.encode() + b"\r\n" + (b"" if payload is None else payload + b"\r\n"))

    def end(self):
        self.socket.close()

    def ask(self, nodes, agent, body, patience=10):
        """Sends `body` to the agent on each node; name to the body of the reply."""
        number = uuid.uuid4().hex
        message = self.signed(number, agent, body)
        for node in nodes:
            self.say(f"PUB {COLLECTIVE}.node.{node} {len(message)}", message)
        replies, deadline = {}, time.time() + patience
        while len(replies) < len(nodes) and time.time() < deadline:
            for payload in self.messages():
                reply = json.loads(json.loads(base64.b64decode(json.loads(payload)["data"]))["message"])
                if reply["envelope"]["requestid"] == number:
                    text = reply["message"]
                    text = text if text.lstrip().startswith("{") else base64.b64decode(text)
                    replies[reply["envelope"]["senderid"]] = json.loads(text)
        return replies

    def signed(self, number, agent, body):
        empty = {"fact": [], "cf_class": [], "agent": [agent], "identity": [], "compound": []}
        request = json.dumps({
            "protocol": "choria:request:1",
            "message": base64.b64encode(body.encode()).decode(),
            "envelope": {
                "requestid": number, "senderid": "console.example.net", "callerid": self.caller,
                "collective": COLLECTIVE, "agent": agent, "ttl": 60, "time": int(time.time()), "filter": empty,
            },
        })
        sign = ["openssl", "dgst", "-sha256", "-sign", str(self.key)]
        signature = subprocess.run(sign, input=request.encode(), capture_output=True, check=True).stdout
        secure = json.dumps({
            "protocol": "choria:secure:request:1", "message": request,
            "signature": base64.b64encode(signature).decode(), "pubcert": self.certificate.read_text(),
        })
        headers = {"reply-to": f"{self.subject}.{number}", "mc_sender": "console.example.net"}
        data = base64.b64encode(secure.encode()).decode()
        return json.dumps({"protocol": "choria:transport:1", "data": data, "headers": headers}).encode()

    def messages(self):
        """Payloads that have arrived."""
        try:
            self.received += self.socket.recv(1 << 20)
        except TimeoutError:
            return
        while b"\r\n" in self.received:
            line, rest = self.received.split(b"\r\n", 1)
            words = line.split()
            if words[:1] == [b"MSG"]:
                size = int(words[-1])
                if len(rest) < size + 2:
                    return
                yield rest[:size]
                rest = rest[size + 2:]
            elif words[:1] == [b"PING"]:
                self.say("PONG")
            elif words[:1] == [b"-ERR"]:
                raise RuntimeError(line.decode())
            self.received = rest
