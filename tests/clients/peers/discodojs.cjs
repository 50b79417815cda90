// discodo.js 1.0.2, from the checkout named by DISCODOJS, as a bot uses it: DJSClient and Node against a gatewayd
// listener. Run by tests/clients. An unhandled rejection ends the process, as it ends a bot's.
//
// Only Discord is not real: `bot` stands in for the client of discord.js, and says what Discord says when a bot moves.
const assert = require("node:assert/strict");
const { EventEmitter } = require("node:events");
const path = require("node:path");
const { ports, publish, until } = require("./common.cjs");
const { DJSClient, version } = require(path.resolve(process.env.DISCODOJS));
const Node = require(path.resolve(process.env.DISCODOJS, "src/node.js"));

const options = { host: "127.0.0.1", port: ports.discodo, password: process.env.SECRET };
const [BOT, GUILD, CHANNEL] = ["2000", "7000", "8000"];

const bot = new EventEmitter();
const moves = [];
const guild = { id: GUILD, shard: { send: move } };
const channel = { id: CHANNEL, type: "voice", guild, leave() {} };
guild.channels = { cache: new Map([[CHANNEL, channel]]) };
bot.user = { id: BOT };
bot.guilds = { cache: new Map([[GUILD, guild]]) };
bot.channels = { cache: new Map([[CHANNEL, channel]]), resolve: (one) => one };

async function move({ d: { guild_id, channel_id } }) {
  moves.push(channel_id);
  bot.emit("raw", { t: "VOICE_STATE_UPDATE", d: { guild_id, user_id: BOT, channel_id } });
  if (channel_id) bot.emit("raw", { t: "VOICE_SERVER_UPDATE", d: { guild_id, token: "t", endpoint: "voice.example.org" } });
}

async function talk() {
  const client = new DJSClient(bot);
  const seen = [];
  client.on("*", (event, vc, data) => seen.push([event, data]));
  const words = [];
  client.on("debug", ({ op }) => words.push(op));
  const node = await client.registerNode(options);
  await node.send("GET_STATUS"); // its getStatus() never hears the answer, whatever the server is
  await until("the status came", () => words.includes("STATUS"));

  let vc = await client.connect(channel);
  assert.equal(vc.guildID, GUILD);
  await vc.fetchState();
  assert.equal(vc.channelID, CHANNEL);
  await vc.fetchQueue();
  publish(`user:${BOT}`, "SOURCE_START", { guild_id: GUILD, source: { _type: "AudioData", tag: "t1", title: "a song" } });
  await until("an event came", () => seen.some(([event]) => event === "SOURCE_START"));

  node.ws.ws.terminate();
  await until("the client knows that it is cut off", () => !node.isConnected);
  publish(`user:${BOT}`, "SOURCE_STOP", { guild_id: GUILD, source: { _type: "AudioData", tag: "t1" } });
  moves.length = words.length = 0;
  await node.destroy(); // a second connect() of a registered node is a TypeError of its own: it is registered anew
  await client.registerNode(options);
  await until("it was resumed", () => words.includes("RESUMED"));
  await until("it went back to its channel", () => moves.length === 1 && moves[0] === CHANNEL);
  await until("what it missed came", () => words.includes("SOURCE_STOP"));
  vc = client.getVC(GUILD);
  await vc.fetchState();

  if (process.env.REST) {
    assert.equal((await vc.getSource("a song")).title, "a song");
    assert.equal((await vc.loadSource("another song")).title, "another song");
    assert.deepEqual(await vc.setVolume(0.5), { volume: 0.5 });
  } else {
    await assert.rejects(vc.getSource("a song"), /options\.rest/);
  }
  await client.destroy(guild);
  await until("the voice client is gone", () => words.includes("VC_DESTROYED"));

  const wrong = new Node({ client, ...options, userID: BOT, password: "wrong" });
  let forbidden = false;
  wrong.on("FORBIDDEN", () => (forbidden = true));
  await wrong.connect();
  await until("a wrong password is forbidden", () => forbidden && !wrong.isConnected);
  console.log(`discodo.js ${version}: identified, VC_CREATED, cut off, RESUMED, events, VC_DESTROYED, FORBIDDEN`);
}

talk().then(() => process.exit(0));
