"""Others who speak Kinesis, in front of a server that keeps what it is told.

    peer.py ENDPOINT make STREAM SHARDS
    peer.py ENDPOINT read STREAM         one record a line: [shard, partition key, data]
    peer.py ENDPOINT between             a proxy that is as unkind as the service may be

The proxy holds each signature against that of the maker's own library. Every second batch
it refuses some records of, as a shard with too much to do; now and then all, or it fails.
"""

import http.client
import http.server
import json
import sys
from urllib.parse import urlparse

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEYS = Credentials("AKIDEXAMPLE", "secret/EXAMPLE+KEY", "token/EXAMPLE")
REGION = "eu-west-1"


def complaint(kind, message):
    return json.dumps({"__type": kind, "message": message}).encode()


class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behind = None
    count = 0

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.is_signed(body):
            self.answer(403, complaint("InvalidSignatureException", "it does not match"))
            return
        Proxy.count += 1
        if Proxy.count == 1:
            self.answer(500, complaint("InternalFailure", "not now"))
        elif Proxy.count % 7 == 0:
            self.answer(400, complaint("ProvisionedThroughputExceededException", "Rate exceeded"))
        elif Proxy.count % 2 == 0:
            self.refuse_some(json.loads(body))
        else:
            self.answer(*self.ask(body))

    def refuse_some(self, request):
        records = request["Records"]
        good = [record for number, record in enumerate(records) if number % 3]
        fates = []
        if good:
            status, answer = self.ask(json.dumps({**request, "Records": good}).encode())
            if status != 200:
                self.answer(status, answer)
                return
            fates = json.loads(answer)["Records"]
        refused = {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded"}
        merged = [fates.pop(0) if number % 3 else refused for number in range(len(records))]
        answer = {"FailedRecordCount": len(records) - len(good), "Records": merged}
        self.answer(200, json.dumps(answer).encode())

    def is_signed(self, body):
        given = self.headers["Authorization"]
        names = given.split("SignedHeaders=")[1].split(",")[0].split(";")
        request = AWSRequest("POST", f"http://{self.headers['Host']}/", data=body)
        for name in names:
            request.headers[name] = self.headers[name]
        request.context["timestamp"] = self.headers["X-Amz-Date"]
        signer = SigV4Auth(KEYS, "kinesis", REGION)
        text = signer.string_to_sign(request, signer.canonical_request(request))
        return given.endswith("Signature=" + signer.signature(text, request)) and "x-amz-security-token" in names

    def ask(self, body):
        address = urlparse(Proxy.behind)
        connection = http.client.HTTPConnection(address.hostname, address.port)
        names = ["Content-Type", "X-Amz-Date", "X-Amz-Target", "Authorization"]
        connection.request("POST", "/", body, {name: self.headers[name] for name in names})
        answer = connection.getresponse()
        return answer.status, answer.read()

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    endpoint, verb, *words = sys.argv[1:]
    if verb == "between":
        Proxy.behind = endpoint
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        print(f"listening on 127.0.0.1:{server.server_address[1]}", flush=True)
        server.serve_forever()
    client = boto3.client(
        "kinesis",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=KEYS.access_key,
        aws_secret_access_key=KEYS.secret_key,
    )
    if verb == "make":
        client.create_stream(StreamName=words[0], ShardCount=int(words[1]))
        return
    for shard in client.list_shards(StreamName=words[0])["Shards"]:
        number = shard["ShardId"]
        at = client.get_shard_iterator(StreamName=words[0], ShardId=number, ShardIteratorType="TRIM_HORIZON")
        at = at["ShardIterator"]
        while at:
            got = client.get_records(ShardIterator=at, Limit=1000)
            for record in got["Records"]:
                print(json.dumps([number, record["PartitionKey"], record["Data"].decode()]))
            at = got.get("NextShardIterator") if got["Records"] else None


main()
