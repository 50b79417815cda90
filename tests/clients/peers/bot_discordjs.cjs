// A bot of discord.js, with its default settings but for the address, that tells what it hears. Run by tests/clients.
//
//     bot_discordjs.cjs http://HOST:PORT '{"token", "intents", "shard"?: [id, count], "auto"?, "talk"?}'
//
// Its lines are those of bot_discordpy.py.
const { Client, version } = require("discord.js");

const [base, given] = process.argv.slice(2);
const { token, intents, shard, auto, talk } = JSON.parse(given);
const tell = (what) => process.stdout.write(JSON.stringify(what) + "\n");

tell({ library: `discord.js ${version}` });
const shards = shard ? { shards: [shard[0]], shardCount: shard[1] } : auto ? { shards: "auto" } : {};
const bot = new Client({ intents, rest: { api: `${base}/api` }, ...shards });
bot.on("raw", ({ s, t, d }) => {
  tell({ s, t, d });
  if (t === "RESUMED") tell({ is: "resumed" });
});
bot.on("clientReady", () => {
  tell({ is: "connected", user: bot.user.id, application: bot.application.id });
  tell({ is: "ready" });
});
bot.on("messageCreate", async (message) => {
  tell({ is: "message", content: message.content });
  if (!talk) return;
  tell({ is: "sent", content: (await message.channel.send("an answer")).content });
  bot.user.setPresence({ status: "idle" });
  const members = await message.guild.members.fetch({ user: [message.author.id] });
  tell({ is: "told", members: members.map((member) => member.user.username) });
});
bot.on("shardReconnecting", () => tell({ is: "disconnected" }));
bot.on("shardDisconnect", ({ code }) => tell({ "gave up": "shardDisconnect", code }));
bot.on("shardError", (error) => console.error(error));
bot.on("debug", (text) => {
  if (text.includes("Told to reconnect by Discord")) tell({ op: 7 });
  if (text.includes("Heartbeat acknowledged")) tell({ op: 11 });
  console.error(text);
});
process.stdin.on("end", () => bot.destroy().then(() => process.exit(0)));
process.stdin.resume();
bot.login(token).catch((error) => {
  tell({ "gave up": error.code, words: error.message });
  process.exit(0);
});
