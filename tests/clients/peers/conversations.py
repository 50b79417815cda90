"""oxyl, rooms and utilbot spoken by the `websockets` library, a client that nobody here wrote. Run by tests/clients.

There is no public client of oxyl's and utilbot's systems to run: these conversations follow their documents.
"""

import json
import os
import subprocess
import zlib

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

PORTS = json.loads(os.environ["PORTS"])
SECRET = os.environ["SECRET"]
CONFIGURED = os.environ["KIND"] == "configured"


class Client:
    def __init__(self, name, path="/"):
        self.socket = connect(f"ws://127.0.0.1:{PORTS[name]}{path}", proxy=None)

    def say(self, payload):
        self.socket.send(json.dumps(payload))

    def hear(self):
        data = self.socket.recv(timeout=5)
        return json.loads(zlib.decompress(data) if isinstance(data, bytes) else data)

    def until(self, key, value):
        """The next payload of a kind: an event of heartbeats may come before it."""
        while (payload := self.hear()).get(key) != value:
            pass
        return payload

    def close_code(self):
        try:
            while True:
                self.hear()
        except ConnectionClosed as closed:
            return closed.rcvd.code


def publish(channel, event, data):
    command = [*json.loads(os.environ["PUBLISH"]), channel, event, json.dumps(data)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def oxyl():
    sharder, service = Client("oxyl"), Client("oxyl")
    for client, kind in ((sharder, "sharder"), (service, "commands")):
        assert client.hear() == {"op": 3, "d": {"heartbeatInterval": 5000 if CONFIGURED else 30000}}
        client.say({"op": 0, "d": {"type": kind, "compress": kind == "sharder", "secret": SECRET}})
        shards = {"shards": [0, 1] if CONFIGURED else [0]} if kind == "sharder" else {}
        assert client.hear() == {"op": 2, "t": "IDENTIFIED", "d": shards}
    sharder.say({"op": 1, "d": {"heapUsed": 1, "guilds": 3}})
    assert sharder.until("op", 4)["op"] == 4
    ids = {"message": "1", "author": "2", "channel": "3", "guild": "4", "shard": 1}
    event = {"op": 2, "t": "EXECUTE_COMMAND", "d": {"command": "ban", "raw": "x", "ids": ids}}
    sharder.say(event)
    assert service.until("op", 2) == event
    sharder.say({"op": 5, "d": {"type": "user", "id": "9"}})
    service.say({"op": 2, "t": "EXECUTE_COMMAND", "d": event["d"]})
    assert service.close_code() == 4006
    wrong = Client("oxyl")
    wrong.say({"op": 0, "d": {"type": "feeds", "compress": False, "secret": "wrong"}})
    assert wrong.close_code() == 4001


def rooms():
    path = f"/gateway?roomId=7&participantId=1&token={SECRET}"
    one = Client("rooms", path)
    assert one.hear() == {"e": 0, "d": {"heartbeatInterval": 1000 if CONFIGURED else 30000}}
    one.say({"e": 1, "d": {}})
    publish("room:7", "message_create", {"authorId": "1", "content": "hello", "sentAt": 1})
    assert one.until("e", 3)["d"]["content"] == "hello"
    one.socket.socket.close()
    publish("room:7", "message_create", {"authorId": "1", "content": "missed", "sentAt": 2})
    again = Client("rooms", path)
    assert again.hear()["e"] == 0
    assert again.until("e", 3)["d"]["content"] == "missed"
    newer = Client("rooms", path)
    assert again.close_code() == 4005
    publish("room:7", "room_close", {})
    assert newer.until("e", 7) == {"e": 7, "d": {}}
    assert newer.close_code() == 4004
    for refused, status in ((path, 410), ("/gateway?roomId=8&participantId=1", 403), ("/gateway?roomId=8", 400)):
        try:
            Client("rooms", refused)
        except InvalidStatus as answer:
            assert answer.response.status_code == status
        else:
            raise AssertionError(f"{refused} was let in")


def utilbot():
    def enter(id_):
        bot = Client("utilbot", "/?v=1")
        assert bot.hear() == {"op": 5, "d": {"heartbeat": 5000 if CONFIGURED else 60000}}
        bot.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": SECRET, "id": id_}})
        return bot, bot.until("t", "bot_connect_success")["d"]

    bot, said = enter("w1")
    assert said == {"id": "w1", "resumed": False}
    bot.say({"op": 10})
    assert bot.until("op", 11) == {"op": 11}
    bot.say({"op": 1, "t": "send_servers", "d": {"guilds": 1, "guildMembers": 2, "cachedGuildMembers": 3}})
    while bot.until("t", "GLOBAL_GUILD_COUNT")["d"]["guilds"] < 1:
        pass
    bot.socket.socket.close()
    publish("user:w1", "NEWS", {"n": 1})
    bot, said = enter("w1")
    assert said == {"id": "w1", "resumed": True}
    assert bot.until("t", "NEWS")["d"] == {"n": 1}
    taken = Client("utilbot", "/?v=1")
    taken.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": SECRET, "id": "w1"}})
    assert taken.until("op", -1)["e"] == 4002
    old = Client("utilbot", "/?v=2")
    assert old.close_code() == 4000
    wrong = Client("utilbot", "/?v=1")
    wrong.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "wrong"}})
    assert wrong.until("op", -1)["e"] == 4001


for conversation in (oxyl, rooms, utilbot):
    conversation()
print("websockets: oxyl, rooms, utilbot")
