#!/usr/bin/env python3
"""A node inventory: keeps what each node said of itself last, in SQLite.

    node_inventory.py [--port 8765] [--database nodes.db]

Fed by a data adapter of type http (docs/adapters.md) on this machine. Each line of a
POST is a document; registration data is unpacked, other documents are kept as they are.
An older document never replaces a newer one, so being told twice does no harm.
"""

import argparse
import base64
import gzip
import http.server
import json
import sqlite3

MOST = 64 * 1024 * 1024


def inventory(data):
    """What a registration document holds, as JSON text."""
    try:
        document = json.loads(data)
    except ValueError:
        return json.dumps(data)
    if not isinstance(document, dict):
        return json.dumps(document)
    if "zcontent" in document:
        content = gzip.decompress(base64.b64decode(document["zcontent"])).decode("utf-8", "replace")
    elif str(document.get("protocol", "")).startswith("choria:registration:filecontent"):
        content = base64.b64decode(document.get("content", "")).decode("utf-8", "replace")
    else:
        content = json.dumps(document.get("content", document))
    try:
        return json.dumps(json.loads(content))
    except ValueError:
        return json.dumps(content)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    database = None

    def do_POST(self):
        length = int(self.headers.get("Content-Length", "0"))
        if length > MOST:
            self.answer(413)
            return
        rows = []
        try:
            for line in self.rfile.read(length).splitlines():
                document = json.loads(line)
                if "specversion" in document:
                    document = document["data"]
                rows.append((document["sender"], document["time"], inventory(document["data"])))
        except (ValueError, KeyError, TypeError, EOFError, OSError):
            self.answer(422)
            return
        with self.database as open_database:
            open_database.executemany(
                "insert into nodes (name, seen, inventory) values (?, ?, ?) on conflict (name) do update "
                "set seen = excluded.seen, inventory = excluded.inventory where excluded.seen >= nodes.seen",
                rows,
            )
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--database", default="nodes.db")
    options = parser.parse_args()
    Handler.database = sqlite3.connect(options.database)
    Handler.database.execute("create table if not exists nodes (name text primary key, seen text, inventory text)")
    server = http.server.HTTPServer(("127.0.0.1", options.port), Handler)
    print(f"listening on 127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
