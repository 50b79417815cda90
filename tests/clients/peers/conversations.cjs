// The five protocols spoken by Node's `ws`, a client that nobody here wrote. Run by tests/clients.
const assert = require("node:assert/strict");
const zlib = require("node:zlib");
const WebSocket = require("ws");
const { ports } = require("./common.cjs");

const secret = process.env.SECRET;
const configured = process.env.KIND === "configured";
const at = (name, path) => `ws://127.0.0.1:${ports[name]}${path}`;

class Client {
  constructor(url, options) {
    this.queue = [];
    this.waiting = [];
    this.socket = new WebSocket(url, options);
    this.closed = new Promise((resolve) => this.socket.on("close", (code, reason) => resolve([code, String(reason)])));
    this.socket.on("error", (error) => this.waiting.shift()?.reject(error));
    this.socket.on("message", (data, binary) => {
      const payload = JSON.parse(binary ? zlib.inflateSync(data) : data);
      const next = this.waiting.shift();
      next ? next.resolve(payload) : this.queue.push(payload);
    });
  }
  hear() {
    if (this.queue.length) return Promise.resolve(this.queue.shift());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("nothing was heard for 5 s")), 5000);
      const settle = (then) => (value) => (clearTimeout(timer), then(value));
      this.waiting.push({ resolve: settle(resolve), reject: settle(reject) });
    });
  }
  say(payload) {
    this.socket.send(JSON.stringify(payload));
  }
  async until(test) {
    for (;;) {
      const payload = await this.hear();
      if (test(payload)) return payload;
    }
  }
  drop() {
    this.socket.terminate();
  }
}

const conversations = {
  async oxyl() {
    const c = new Client(at("oxyl", "/"));
    assert.deepEqual(await c.hear(), { op: 3, d: { heartbeatInterval: configured ? 5000 : 30000 } });
    c.say({ op: 0, d: { type: "sharder", compress: true, secret: secret } });
    const identified = await c.until((p) => p.op === 2);
    assert.equal(identified.t, "IDENTIFIED");
    assert.ok(Array.isArray(identified.d.shards));
    c.say({ op: 1, d: {} });
    await c.until((p) => p.op === 4);
    const worker = new Client(at("oxyl", "/"));
    await worker.hear();
    worker.say({ op: 0, d: { type: "commands", compress: false, secret: secret } });
    assert.deepEqual(await worker.hear(), { op: 2, t: "IDENTIFIED", d: {} });
    const d = { command: "ban", raw: "x", ids: { message: "1", author: "2", channel: "3", guild: "4", shard: 1 } };
    c.say({ op: 2, t: "EXECUTE_COMMAND", d });
    assert.deepEqual(await worker.until((p) => p.op === 2), { op: 2, t: "EXECUTE_COMMAND", d });
    worker.say({ op: 9 });
    assert.equal((await worker.closed)[0], 4003);
  },
  async rooms() {
    const url = at("rooms", `/gateway?roomId=42&participantId=7&token=${secret}`);
    const c = new Client(url);
    assert.deepEqual(await c.hear(), { e: 0, d: { heartbeatInterval: configured ? 1000 : 30000 } });
    c.say({ e: 2, d: {} });
    assert.deepEqual(await c.hear(), { e: 1, d: {} });
    const newer = new Client(url);
    assert.equal((await newer.hear()).e, 0);
    assert.equal((await c.closed)[0], 4005);
    const refused = new Client(at("rooms", "/gateway?roomId=42&participantId=8&token=wrong"));
    await assert.rejects(refused.hear(), /403/);
  },
  async dmod() {
    const c = new Client(at("dmod", "/"));
    assert.deepEqual(await c.hear(), { op: 0, t: null, d: null });
    c.say({ op: 1, d: { token: secret, uid: "1" } });
    assert.deepEqual(await c.hear(), { op: 2, t: null, d: { missed_notifications: [] } });
    c.say({ op: 6, cmd: "CONNECT_GUILD", d: { token: secret, gid: "1" } });
    const reply = await c.until((p) => p.op === 7);
    assert.equal(reply.d.for, "CONNECT_GUILD");
    c.say({ op: 6, cmd: "DESCONNECT_GUILD", d: { gid: "1" } });
    assert.deepEqual((await c.until((p) => p.op === 7)).d, { for: "DESCONNECT_GUILD", data: { success: true } });
    c.say({ op: 99 });
    assert.deepEqual(await c.closed, [1000, "Unknown data"]);
  },
  async discodo() {
    const wrong = new Client(at("discodo", "/ws"));
    assert.equal((await wrong.hear()).op, "FORBIDDEN");
    assert.equal((await wrong.closed)[0], 1008);
    const headers = { Authorization: secret };
    const c = new Client(at("discodo", "/ws"), { headers });
    assert.deepEqual(await c.hear(), { op: "HELLO", d: { heartbeat_interval: configured ? 2 : 15, version: "3.0.5" } });
    c.say({ op: "HEARTBEAT", d: 12 });
    assert.deepEqual(await c.hear(), { op: "HEARTBEAT_ACK", d: 12 });
    c.say({ op: "IDENTIFY", d: { user_id: "bot", shard_id: null } });
    assert.equal((await c.hear()).op, "IDENTIFIED");
    c.drop();
    await c.closed;
    const again = new Client(at("discodo", "/ws"), { headers });
    await again.hear();
    again.say({ op: "IDENTIFY", d: { user_id: "bot", shard_id: null } });
    assert.deepEqual(await again.hear(), { op: "RESUMED", d: { voice_clients: {} } });
  },
  async utilbot() {
    const c = new Client(at("utilbot", "/?v=1&compression=zlib"));
    assert.deepEqual(await c.hear(), { op: 5, d: { heartbeat: configured ? 5000 : 60000 } });
    c.say({ op: 10 });
    assert.deepEqual(await c.hear(), { op: 11 });
    c.say({ op: 1, t: "identify", d: { type: "bot", key: secret, id: "b1" } });
    assert.deepEqual((await c.hear()).d, { id: "b1", resumed: false });
    c.say({ op: 1, t: "send_servers", d: { guilds: 1, guildMembers: 2, cachedGuildMembers: 3 } });
    await c.until((p) => p.t === "GLOBAL_GUILD_COUNT");
    c.say({ op: 5 });
    assert.equal((await c.until((p) => p.op === -1)).e, 4004);
    assert.equal((await c.closed)[0], 4004);
  },
};

async function talk() {
  for (const conversation of Object.values(conversations)) await conversation();
  console.log(`ws: ${Object.keys(conversations).join(", ")}`);
}

talk().then(() => process.exit(0));
