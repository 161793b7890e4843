"""What nats-py sees of a broker, as JSON: the same for every conforming one.

Run by tests/it with a file that says where the brokers are; prints one object
with a key a scenario.
"""

import asyncio
import json
import ssl
import sys

import nats
import nats.errors
from nats.aio.client import Client

SETTINGS = json.load(open(sys.argv[1]))
SCENARIOS = {}


def scenario(work):
    SCENARIOS[work.__name__] = work
    return work


class Peer:
    """A connection, and what it was told."""

    def __init__(self):
        self.errors = []
        self.events = []
        self.client = Client()

    async def connect(self, where="open", **options):
        async def on_error(error):
            self.errors.append(f"{type(error).__name__}: {error}")

        async def on_closed():
            self.events.append("closed")

        async def on_disconnected():
            self.events.append("disconnected")

        async def on_reconnected():
            self.events.append("reconnected")

        options.setdefault("allow_reconnect", False)
        options.setdefault("connect_timeout", 20)
        await self.client.connect(
            options.pop("url", None) or SETTINGS[where], error_cb=on_error, closed_cb=on_closed,
            disconnected_cb=on_disconnected, reconnected_cb=on_reconnected, **options)
        return self.client


async def connected(where="open", **options):
    return await Peer().connect(where, **options)


async def settled(client):
    """Everything asked for so far is in force at the broker.

    One flush is not enough: nats-py writes its PING past what still waits to be
    written, so that the PONG says nothing about a SUB just made.
    """
    await client.flush()
    await client.flush()


async def until(condition, limit=20.0):
    for _ in range(int(limit / 0.01)):
        if condition():
            return True
        await asyncio.sleep(0.01)
    return False


async def gather(subscription, count):
    return [(await subscription.next_msg(timeout=20)) for _ in range(count)]


async def left_over(subscription):
    try:
        return (await subscription.next_msg(timeout=0.2)).data.decode()
    except nats.errors.TimeoutError:
        return None


async def attempt(where, **options):
    """How an attempt to connect ends."""
    peer = Peer()
    try:
        client = await peer.connect(where, max_reconnect_attempts=0, **options)
        await settled(client)
        await client.close()
        return "connected"
    except Exception as error:  # noqa: BLE001 the kind of error is the result
        # not closed: this client waits for ever for the end of a TLS stream that failed
        return sorted({type(error).__name__, *[e for e in peer.errors if "uthorization" in e]})


@scenario
async def publish_and_subscribe():
    a, b = await connected(), await connected()
    subscription = await a.subscribe("ps.a")
    await settled(a)
    for number in range(100):
        await b.publish("ps.a", str(number).encode())
    got = [m.data.decode() for m in await gather(subscription, 100)]
    return {"in_order": got == [str(n) for n in range(100)], "more": await left_over(subscription)}


@scenario
async def payloads():
    a = await connected()
    subscription = await a.subscribe("payload.*")
    await a.publish("payload.empty", b"")
    await a.publish("payload.binary", bytes(range(256)) * 16)
    await a.publish("payload.lines", b"PUB a 1\r\nx\r\n", reply="answer.to")
    return [[m.subject, m.reply, len(m.data), sum(m.data)] for m in await gather(subscription, 3)]


@scenario
async def wildcards():
    a = await connected()
    patterns = ["w.*", "w.>", "w.*.c", "w.a.>", "*.a.*", "w.a"]
    subscriptions = {p: await a.subscribe(p) for p in patterns}
    subjects = ["w", "w.a", "w.b", "w.a.c", "w.b.c", "w.a.c.d", "x.a.b", "w.*", "W.a"]
    for subject in subjects:
        await a.publish(subject, subject.encode())
    await settled(a)
    result = {}
    for pattern, subscription in subscriptions.items():
        result[pattern] = []
        while (text := await left_over(subscription)) is not None:
            result[pattern].append(text)
    return result


@scenario
async def queues():
    clients = [await connected() for _ in range(3)]
    counts = [0, 0, 0]

    def count(number):
        async def on_message(_):
            counts[number] += 1
        return on_message

    for number, pattern in enumerate(["q.*", "q.>", "q.x"]):
        await clients[number].subscribe(pattern, queue="workers", cb=count(number))
    plain = await clients[0].subscribe("q.x")
    for client in clients:
        await settled(client)
    sender = await connected()
    for _ in range(300):
        await sender.publish("q.x", b"job")
    await settled(sender)
    await gather(plain, 300)
    await until(lambda: sum(counts) >= 300)
    await asyncio.sleep(0.1)
    return {"total": sum(counts), "all_work": all(c > 30 for c in counts)}


@scenario
async def requests():
    a, b = await connected(), await connected()

    async def answer(message):
        await message.respond(b"re: " + message.data)

    async def silence(_):
        pass

    await a.subscribe("ask.echo", cb=answer)
    await a.subscribe("ask.silence", cb=silence)
    await settled(a)
    result = {"answers": [(await b.request("ask.echo", str(n).encode(), timeout=20)).data.decode() for n in range(5)]}
    result["old_style"] = (await b.request("ask.echo", b"x", timeout=20, old_style=True)).data.decode()
    for subject, timeout in (("ask.nobody", 20), ("ask.silence", 0.2)):
        try:
            await b.request(subject, b"", timeout=timeout)
            result[subject] = "answered"
        except Exception as error:  # noqa: BLE001
            result[subject] = type(error).__name__
    return result


@scenario
async def headers():
    a = await connected()
    subscription = await a.subscribe("h")
    await a.publish("h", b"body", headers={"Key": "value", "Other-Key": "a, b: c"})
    await a.publish("h", b"", headers={"only": "headers"})
    await a.publish("h", b"none")
    return [[m.headers, m.data.decode()] for m in await gather(subscription, 3)]


@scenario
async def limited_subscription():
    a = await connected()
    subscription = await a.subscribe("limited")
    await subscription.unsubscribe(limit=3)
    for number in range(6):
        await a.publish("limited", str(number).encode())
    await settled(a)
    return [m.data.decode() for m in await gather(subscription, 3)]


@scenario
async def unsubscribed():
    a = await connected()
    heard = []

    async def hear(message):
        heard.append(message.data.decode())

    subscription = await a.subscribe("un", cb=hear)
    await a.publish("un", b"1")
    await settled(a)
    await until(lambda: heard)
    await subscription.unsubscribe()
    await a.publish("un", b"2")
    await settled(a)
    await asyncio.sleep(0.1)
    return heard


@scenario
async def drain():
    peer, b = Peer(), await connected()
    a = await peer.connect()
    heard = []

    async def hear(message):
        heard.append(message.data.decode())

    subscription = await a.subscribe("drain.one", cb=hear)
    await a.subscribe("drain.two", cb=hear)
    await settled(a)
    for number in range(10):
        await b.publish("drain.one", str(number).encode())
    await settled(b)
    await subscription.drain()
    await b.publish("drain.one", b"late")
    await b.publish("drain.two", b"two")
    await settled(b)
    await until(lambda: len(heard) == 11)
    await a.drain()
    return {"heard": heard, "closed": a.is_closed, "errors": peer.errors, "events": peer.events}


@scenario
async def reconnect():
    """Through a proxy that cuts the connection."""
    host, port = SETTINGS["open"].removeprefix("nats://").split(":")
    writers = []

    async def pump(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader, writer):
        upstream_reader, upstream_writer = await asyncio.open_connection(host, int(port))
        writers.extend([writer, upstream_writer])
        await asyncio.gather(pump(reader, upstream_writer), pump(upstream_reader, writer))

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = proxy.sockets[0].getsockname()
    peer = Peer()
    a = await peer.connect(url=f"nats://127.0.0.1:{address[1]}", allow_reconnect=True, reconnect_time_wait=0.05)
    subscription = await a.subscribe("again")
    await settled(a)
    await a.publish("again", b"before")
    first = (await gather(subscription, 1))[0].data.decode()
    for writer in writers:
        writer.close()
    back = await until(lambda: "reconnected" in peer.events)
    await settled(a)
    await (await connected()).publish("again", b"after")
    second = (await gather(subscription, 1))[0].data.decode()
    await a.close()
    proxy.close()
    return {"back": back, "heard": [first, second], "events": peer.events}


@scenario
async def too_large():
    a = await connected()
    result = {"max_payload": a.max_payload}
    try:
        await a.publish("large", b"x" * (a.max_payload + 1))
        result["publish"] = "taken"
    except Exception as error:  # noqa: BLE001
        result["publish"] = type(error).__name__
    await a.publish("large", b"x" * a.max_payload)
    await settled(a)
    # a client that does not look
    a._max_payload = 1 << 30
    a._server_info["max_payload"] = 1 << 30
    peer = Peer()
    b = await peer.connect()
    b._max_payload = 1 << 30
    b._server_info["max_payload"] = 1 << 30
    await b.publish("large", b"x" * (result["max_payload"] + 1))
    result["closed"] = await until(lambda: "closed" in peer.events or b.is_closed)
    result["errors"] = sorted(set(e for e in peer.errors if "ayload" in e))
    return result


@scenario
async def no_echo():
    a, b = await connected(no_echo=True), await connected()
    own = await a.subscribe("echo")
    await settled(a)
    await a.publish("echo", b"mine")
    await settled(a)
    await b.publish("echo", b"yours")
    return [(await own.next_msg(timeout=20)).data.decode(), await left_over(own)]


@scenario
async def verbose_and_pedantic():
    a = await connected(verbose=True, pedantic=True)
    subscription = await a.subscribe("loud")
    await a.publish("loud", b"1")
    await a.publish("loud", b"2", headers={"a": "b"})
    await settled(a)
    return [m.data.decode() for m in await gather(subscription, 2)]


@scenario
async def too_many_subscriptions():
    peer = Peer()
    a = await peer.connect()
    for number in range(51):
        await a.subscribe(f"many.{number}")
    # this client gives up on errors it does not know
    closed = await until(lambda: a.is_closed)
    return {"errors": sorted(set(peer.errors)), "closed": closed}


@scenario
async def permissions():
    peer, boss = Peer(), await connected("users", user="alice", password="pw-alice")
    a = await peer.connect("users", user="limited", password="pw-limited")
    everything = await boss.subscribe(">")
    await settled(boss)
    for subject in ("out.ok", "out.secret", "other"):
        await a.publish(subject, subject.encode())
    allowed = await a.subscribe("in.*")
    # Not "in.>": nats-server takes it for "in.*", which we refuse on purpose.
    for subject, queue in (("other", ""), ("in.secret", ""), ("jobs.a", "workers"), ("jobs.b", "others"),
                           ("jobs.c", "")):
        await a.subscribe(subject, queue=queue)
    await settled(a)
    for subject in ("in.a", "in.secret"):
        await boss.publish(subject, subject.encode())
    await settled(boss)
    await until(lambda: len(peer.errors) >= 6)
    return {
        "published": (await gather(everything, 1))[0].subject,
        "heard": [(await gather(allowed, 1))[0].subject, await left_over(allowed)],
        "errors": sorted(peer.errors), "closed": a.is_closed,
    }


@scenario
async def answers_only():
    peer, boss = Peer(), await connected("users", user="alice", password="pw-alice")
    a = await peer.connect("users", user="service", password="pw-service")

    async def answer(message):
        await message.respond(b"one")
        await message.respond(b"two")

    await a.subscribe("serve.me", cb=answer)
    await a.publish("anywhere", b"x")
    await settled(a)
    replies = await boss.subscribe("reply.box")
    await settled(boss)
    await boss.publish("serve.me", b"", reply="reply.box")
    got = [(await gather(replies, 1))[0].data.decode(), await left_over(replies)]
    await until(lambda: len(peer.errors) >= 2)
    return {"got": got, "errors": sorted(peer.errors)}


@scenario
async def accounts():
    red, other = [await connected("users", user="alice", password="pw-alice") for _ in range(2)]
    blue = await connected("users", user="bob", password="pw-bob")
    red_hears, blue_hears = await red.subscribe("acc.>"), await blue.subscribe("acc.>")
    await settled(red)
    await settled(blue)
    await blue.publish("acc.blue", b"blue")
    await settled(blue)
    await other.publish("acc.red", b"red")
    await settled(other)
    return {
        "red": [(await gather(red_hears, 1))[0].subject, await left_over(red_hears)],
        "blue": [(await gather(blue_hears, 1))[0].subject, await left_over(blue_hears)],
    }


@scenario
async def passwords():
    return {
        "right": await attempt("users", user="alice", password="pw-alice"),
        "wrong": await attempt("users", user="alice", password="pw-bob"),
        "unknown": await attempt("users", user="carol", password="pw-alice"),
        "none": await attempt("users"),
    }


@scenario
async def tokens():
    return {
        "right": await attempt("token", token=SETTINGS["token_text"]),
        "wrong": await attempt("token", token="x"),
        "none": await attempt("token"),
    }


@scenario
async def nkeys():
    return {
        "right": await attempt("users", nkeys_seed_str=SETTINGS["nkey_seed"]),
        "foreign": await attempt("users", nkeys_seed_str=SETTINGS["foreign_seed"]),
    }


@scenario
async def mutual_tls():
    def context(name):
        context = ssl.create_default_context(cafile=SETTINGS["ca"])
        if name:
            context.load_cert_chain(SETTINGS[name + "_cert"], SETTINGS[name + "_key"])
        return context

    good = await connected("tls", tls=context("client"), tls_hostname="127.0.0.1")
    subscription = await good.subscribe("tls")
    await good.publish("tls", b"x" * 4000)
    result = {"right": len((await gather(subscription, 1))[0].data)}
    for kind in ("foreign", None):
        outcome = await attempt("tls", tls=context(kind), tls_hostname="127.0.0.1")
        result[str(kind)] = "connected" if outcome == "connected" else "refused"
    outcome = await attempt("tls")
    result["clear"] = "connected" if outcome == "connected" else "refused"
    return result


async def main():
    async def run(work):
        try:
            return await asyncio.wait_for(work(), 50)
        except Exception as error:  # noqa: BLE001
            return {"failed": f"{type(error).__name__}: {error}"}

    results = await asyncio.gather(*[run(work) for work in SCENARIOS.values()])
    print(json.dumps(dict(zip(SCENARIOS, results)), indent=1))


asyncio.run(main())
