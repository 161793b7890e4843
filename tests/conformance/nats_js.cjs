// What nats.js sees of a broker, as JSON: the same for every conforming one.
//
// Run by tests/it with a file that says where the brokers are; prints one
// object with a key a scenario.
"use strict";
const fs = require("fs");
const net = require("net");
const { connect, nkeyAuthenticator, StringCodec, headers: newHeaders, Events, createInbox } = require("nats");

const settings = JSON.parse(fs.readFileSync(process.argv[2]));
const text = StringCodec();
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const open = [];

async function peer(where = "open", options = {}) {
  const servers = (options.servers ?? settings[where]).replace("nats://", "");
  const nc = await connect({ reconnect: false, timeout: 20000, ...options, servers });
  open.push(nc);
  nc.told = [];
  (async () => {
    for await (const status of nc.status()) nc.told.push([status.type, String(status.data)]);
  })();
  return nc;
}

async function until(condition, limit = 20000) {
  for (const end = Date.now() + limit; Date.now() < end; await sleep(10)) if (condition()) return true;
  return false;
}

function heard(nc, subject, options = {}) {
  const messages = [];
  const subscription = nc.subscribe(subject, {
    ...options,
    callback: (error, message) => messages.push(error ? `error: ${error.message}` : message),
  });
  return { messages, subscription };
}

const strings = (list) => list.map((m) => (typeof m === "string" ? m : m.string()));

async function attempt(where, options) {
  try {
    const nc = await peer(where, options);
    await nc.flush();
    await nc.close();
    return "connected";
  } catch (error) {
    return error.code ?? error.message;
  }
}

const scenarios = {
  async publish_and_subscribe() {
    const [a, b] = [await peer(), await peer()];
    const { messages } = heard(a, "js.ps");
    await a.flush();
    for (let n = 0; n < 100; n++) b.publish("js.ps", String(n));
    await until(() => messages.length === 100);
    return strings(messages).every((m, n) => m === String(n));
  },
  async wildcards() {
    const a = await peer();
    const all = ["js.w.*", "js.w.>", "js.*.c", "js.w.a.>"].map((p) => [p, heard(a, p)]);
    for (const s of ["js.w", "js.w.a", "js.w.a.b", "js.x.c", "js.w.a.b.c"]) a.publish(s, s);
    await a.flush();
    return all.map(([p, h]) => [p, strings(h.messages)]);
  },
  async queues() {
    const workers = [await peer(), await peer(), await peer()];
    const all = workers.map((nc) => heard(nc, "js.q", { queue: "g" }));
    for (const nc of workers) await nc.flush();
    const sender = await peer();
    for (let n = 0; n < 300; n++) sender.publish("js.q", "x");
    await sender.flush();
    const total = () => all.reduce((sum, h) => sum + h.messages.length, 0);
    await until(() => total() >= 300);
    await sleep(100);
    return { total: total(), all: all.every((h) => h.messages.length > 30) };
  },
  async requests() {
    const [a, b] = [await peer(), await peer()];
    a.subscribe("js.ask", { callback: (_, m) => m.respond(`re: ${m.string()}`) });
    a.subscribe("js.silent", { callback: () => {} });
    await a.flush();
    const result = { answer: (await b.request("js.ask", "x", { timeout: 20000 })).string() };
    result.noMux = (await b.request("js.ask", "y", { timeout: 20000, noMux: true, reply: createInbox() })).string();
    for (const [subject, timeout] of [["js.nobody", 20000], ["js.silent", 200]]) {
      result[subject] = await b.request(subject, "", { timeout }).then(() => "answered", (e) => e.code);
    }
    return result;
  },
  async headers() {
    const a = await peer();
    const { messages } = heard(a, "js.h");
    const h = newHeaders();
    h.append("a", "1");
    h.append("a", "2");
    h.set("B-c", "x: y");
    a.publish("js.h", "body", { headers: h });
    a.publish("js.h", "");
    await a.flush();
    return messages.map((m) => [m.headers ? [m.headers.values("a"), m.headers.get("B-c")] : null, m.string()]);
  },
  async limited_subscription() {
    const a = await peer();
    const { messages } = heard(a, "js.max", { max: 3 });
    for (let n = 0; n < 6; n++) a.publish("js.max", String(n));
    await a.flush();
    return strings(messages);
  },
  async drain() {
    const [a, b] = [await peer(), await peer()];
    const { messages, subscription } = heard(a, "js.drain");
    await a.flush();
    for (let n = 0; n < 10; n++) b.publish("js.drain", String(n));
    await b.flush();
    await subscription.drain();
    b.publish("js.drain", "late");
    await b.flush();
    await a.drain();
    return { heard: strings(messages), closed: a.isClosed() };
  },
  async reconnect() {
    const [host, port] = settings.open.replace("nats://", "").split(":");
    const sockets = [];
    const proxy = net.createServer((socket) => {
      const upstream = net.connect(Number(port), host);
      for (const one of [socket, upstream]) one.on("error", () => {});
      sockets.push(socket, upstream);
      socket.pipe(upstream).pipe(socket);
    });
    await new Promise((done) => proxy.listen(0, "127.0.0.1", done));
    const servers = `127.0.0.1:${proxy.address().port}`;
    const a = await peer("open", { servers, reconnect: true, reconnectTimeWait: 50 });
    const { messages } = heard(a, "js.again");
    await a.flush();
    sockets.splice(0).forEach((s) => s.destroy());
    await until(() => a.told.some(([type]) => type === Events.Reconnect));
    await a.flush();
    (await peer()).publish("js.again", "after");
    await until(() => messages.length > 0);
    const told = a.told.map(([type]) => type).filter((t) => [Events.Disconnect, Events.Reconnect].includes(t));
    await a.close();
    proxy.close();
    return { heard: strings(messages), told };
  },
  async too_large() {
    const a = await peer();
    const result = { max: a.info.max_payload };
    try {
      a.publish("js.large", new Uint8Array(result.max + 1));
      result.publish = "taken";
    } catch (error) {
      result.publish = error.code;
    }
    a.info.max_payload = 1 << 30;
    a.publish("js.large", new Uint8Array(result.max + 1));
    // the reset of the socket may overtake the words
    result.closed = (await a.closed()) instanceof Error;
    return result;
  },
  async no_echo() {
    const [a, b] = [await peer("open", { noEcho: true }), await peer()];
    const { messages } = heard(a, "js.echo");
    await a.flush();
    a.publish("js.echo", "mine");
    await a.flush();
    b.publish("js.echo", "yours");
    await b.flush();
    await until(() => messages.length > 0);
    return strings(messages);
  },
  async verbose_and_pedantic() {
    const a = await peer("open", { verbose: true, pedantic: true });
    const { messages } = heard(a, "js.loud");
    a.publish("js.loud", "1");
    await a.flush();
    return strings(messages);
  },
  async permissions() {
    const boss = await peer("users", { user: "alice", pass: "pw-alice" });
    const a = await peer("users", { user: "limited", pass: "pw-limited" });
    const everything = heard(boss, "*.ok");
    await boss.flush();
    a.publish("out.ok", "1");
    a.publish("other.ok", "2");
    const all = [["in.a"], ["other"], ["jobs.a", "workers"], ["jobs.b", "others"]].map(([s, queue]) =>
      heard(a, s, queue ? { queue } : {}));
    await a.flush();
    boss.publish("in.a", "in");
    boss.publish("jobs.a", "job");
    await boss.flush();
    await until(() => all.every((h) => h.messages.length > 0));
    await until(() => a.told.some(([type]) => type === Events.Error));
    return { published: strings(everything.messages), heard: all.map((h) => strings(h.messages)), closed: a.isClosed() };
  },
  async passwords() {
    return [
      await attempt("users", { user: "alice", pass: "pw-alice" }),
      await attempt("users", { user: "alice", pass: "x" }),
      await attempt("users", {}),
    ];
  },
  async tokens() {
    return [await attempt("token", { token: settings.token_text }), await attempt("token", { token: "x" })];
  },
  async nkeys() {
    const seed = (s) => ({ authenticator: nkeyAuthenticator(new TextEncoder().encode(s)) });
    return [await attempt("users", seed(settings.nkey_seed)), await attempt("users", seed(settings.foreign_seed))];
  },
  async mutual_tls() {
    const tls = (name) => ({
      tls: { caFile: settings.ca, ...(name && { certFile: settings[name + "_cert"], keyFile: settings[name + "_key"] }) },
    });
    const result = {};
    for (const name of ["client", "foreign", undefined]) {
      result[String(name)] = (await attempt("tls", tls(name))) === "connected";
    }
    return result;
  },
};

(async () => {
  const run = async ([name, work]) => {
    const late = sleep(50000).then(() => ({ failed: "took too long" }));
    return [name, await Promise.race([work().catch((e) => ({ failed: String(e.stack) })), late])];
  };
  const results = Object.fromEntries(await Promise.all(Object.entries(scenarios).map(run)));
  console.log(JSON.stringify(results, null, 1));
  process.exit(0);
})();
