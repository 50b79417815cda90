// The page of GoogleFeud/anonroom, whose document rooms follows, from the checkout named by ANONROOM: WebSocketClient.ts and
// handleSocketState.ts against a rooms listener. Run by tests/clients. Its address has no place for a secret, so the
// listener is one without `auth`. It knows room_close as 7 where its checkout is of the document's time; since
// 25 September 2020 its 7 is participant_join.
const assert = require("node:assert/strict");
const WebSocket = require("ws");
const { load, pause, ports, publish, until } = require("./common.cjs");

globalThis.WebSocket = WebSocket;
globalThis.location = { protocol: "http:" };
const folder = "src/client/scripts/websocket";

async function talk() {
  const { WebSocketClient, handleSocketState, EVENT_CODES } = await load(process.env.ANONROOM, [
    `${folder}/WebSocketClient.ts`,
    `${folder}/handleSocketState.ts`,
  ]);
  const enter = (participant) => {
    const address = `ws://127.0.0.1:${ports.page}/gateway?roomId=42&participantId=${participant}`;
    const client = new WebSocketClient(address, { push() {} });
    const seen = [];
    client.on("open", () => handleSocketState(client));
    for (let code = 0; code < 9; code++) client.on(code, (data) => seen.push([code, data]));
    return { client, seen, saw: (code) => seen.find(([one]) => one === code)?.[1] };
  };
  const one = enter("1");
  const two = enter("2");
  await until("both are greeted", () => one.client.isAlive && two.client.isAlive);
  assert.equal(one.saw(EVENT_CODES.HELLO).heartbeatInterval, process.env.KIND === "configured" ? 1000 : 30000);
  publish("room:42", "message_create", { authorId: "1", content: "hello", sentAt: 1 });
  await until("both hear a message", () => [one, two].every((each) => each.saw(EVENT_CODES.MESSAGE_CREATE)));
  publish("room:42", "room_update", { chatLocked: true });
  await until("both hear an update", () => [one, two].every((each) => each.saw(EVENT_CODES.ROOM_UPDATE)));
  if (process.env.KIND === "configured") {
    await pause(4000); // it answers heartbeats, and stays
    assert.equal(one.client._ws.readyState, WebSocket.OPEN);
  }
  one.client._ws.terminate();
  publish("room:42", "message_create", { authorId: "2", content: "missed", sentAt: 2 });
  const again = enter("1");
  await until("it hears what it missed", () => again.saw(EVENT_CODES.MESSAGE_CREATE)?.content === "missed");
  publish("room:42", "participant_kick", { userId: "2" });
  await until("the other is kicked", () => two.client._ws.readyState === WebSocket.CLOSED);
  assert.deepEqual([two, again].map((each) => each.saw(EVENT_CODES.PARTICIPANT_KICK)), [{ userId: "2" }, { userId: "2" }]);
  publish("room:42", "room_close", {});
  await until("the room is closed", () => again.saw(7) && again.client._ws.readyState === WebSocket.CLOSED);
  console.log("anonroom: hello, heartbeats, messages, update, cut off, what it missed, kick, close");
}

talk().then(() => process.exit(0));
