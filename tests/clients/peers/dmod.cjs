// The page of TeamDmod/dmod, websocket/index.ts from the checkout named by DMOD, against a dmod listener. Run by
// tests/clients.
//
// Only the browser is not real: `window`, `fetch` (the page asks its own server for the gateway's address) and WebSocket,
// which sends the page's Origin as a browser does.
const assert = require("node:assert/strict");
const WebSocket = require("ws");
const { load, notify, pause, ports, publish, until } = require("./common.cjs");

const url = `ws://127.0.0.1:${ports.dmod}/`;
const origin = process.env.ORIGIN || `http://127.0.0.1:${ports.dmod}`; // without `origins`: a page of the same host
const heard = [];

globalThis.window = { origin };
globalThis.fetch = async () => ({ json: async () => ({ url }) });
globalThis.WebSocket = class extends WebSocket {
  constructor(address) {
    super(address, { origin });
  }
};
const write = console.log;
console.log = (...said) => said[2] === "<-" && heard.push(said[3]); // the page logs what it hears

async function talk() {
  const { DmodWebSocket } = await load(process.env.DMOD, ["websocket/index.ts"]);
  const page = new DmodWebSocket();
  const seen = [];
  for (const name of ["ready", "CONNECT_GUILD", "DESCONNECT_GUILD", "GUILD_MEMBER_COUNT_CHANGE", "MISSED"])
    page.on(name, (data) => seen.push([name, data]));
  const saw = (name) => seen.find(([one]) => one === name)?.[1];

  const waited = { type: "APPLICATION_REVIWED", proccessed_type: 0 };
  const missed = () => heard.find(({ op }) => op === 2).d.missed_notifications;
  notify("1", waited);
  page.connect({ token: process.env.SECRET, uid: "1" });
  await until("it is ready", () => page.ready);
  assert.deepEqual(missed(), [waited]);
  page.requestConnect("1", process.env.SECRET);
  await until("it is connected to a guild", () => saw("CONNECT_GUILD"));
  assert.deepEqual(Object.keys(saw("CONNECT_GUILD")).sort(), ["guild", "user"]);
  publish("guild:1", "GUILD_MEMBER_COUNT_CHANGE", { count: 5 });
  await until("an event came", () => saw("GUILD_MEMBER_COUNT_CHANGE"));
  if (process.env.KIND === "configured") {
    await pause(4000); // two intervals and more: it never answers a heartbeat, and may stay
    assert.ok(heard.some(({ op }) => op === 3));
  }
  assert.equal(page._socket.readyState, WebSocket.OPEN);

  heard.length = seen.length = 0;
  page._socket.terminate();
  await until("it knows that it is cut off", () => page._socket.readyState === WebSocket.CLOSED);
  publish("guild:1", "MISSED", {});
  await until("it comes back by itself", () => seen.some(([name]) => name === "ready"));
  assert.deepEqual(missed(), []); // told once, not for ever
  await until("what it missed came", () => saw("MISSED"));
  page.requestDisconnect("1");
  await until("it has left the guild", () => saw("DESCONNECT_GUILD")?.success);
  write("dmod: passed, CONNECT_GUILD, events, no heartbeats, notifications once, cut off, back, what it missed, DESCONNECT_GUILD");
}

talk().then(() => process.exit(0));
