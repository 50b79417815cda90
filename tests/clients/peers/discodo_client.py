"""discodo 3.0.5 from PyPI as a bot uses it: DPYClient and Node against a gatewayd listener. Run by tests/clients.

Only Discord is not real: `Bot` stands in for the connection of discord.py, and says what Discord says when a bot moves.
It hands that to `Node.discordDispatch`: DPYClient's own way there is an `asyncio.wait` of coroutines, which Python has
refused since 3.11, whatever the server is.
"""

import asyncio
import json
import os
import subprocess
import warnings

import discodo
import discord.ext.commands  # discodo expects that the bot has imported it
import websockets

URL = ("127.0.0.1", json.loads(os.environ["PORTS"])["discodo"])
SECRET = os.environ["SECRET"]
PUBLISH = json.loads(os.environ["PUBLISH"])
BOT, GUILD, CHANNEL = 1000, 7000, 8000


class Channel:
    def __init__(self, guild):
        self.id = CHANNEL
        self.guild = guild


class Guild(discord.Guild):
    """A guild that discodo takes for one; it looks no further than this."""

    shard_id = None

    def __init__(self):
        self.id = GUILD

    def get_channel(self, number):
        return Channel(self) if number == CHANNEL else None


class Bot:
    """What discodo asks of a discord.py client."""

    shard_id = None

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.user = type("User", (), {"id": BOT})
        self.guild = Guild()
        self.ws = self
        self.moves = []

    def event(self, function):
        """A decorator, for what is to hear Discord's events."""

    async def wait_until_ready(self):
        pass

    def get_guild(self, number):
        return self.guild if number == GUILD else None

    async def voice_state(self, guild_id, channel_id):
        """The bot asks to be moved; Discord says that it was, and which voice server to use."""
        self.moves.append(channel_id)
        moved = {"guild_id": str(guild_id), "user_id": str(BOT), "channel_id": channel_id and str(channel_id)}
        server = {"guild_id": str(guild_id), "token": "t", "endpoint": "voice.example.org"}
        for node in self.audio.Nodes:
            if node.is_connected:
                await node.discordDispatch({"t": "VOICE_STATE_UPDATE", "d": moved})
                if channel_id:
                    await node.discordDispatch({"t": "VOICE_SERVER_UPDATE", "d": server})


def publish(event, **data):
    subprocess.run([*PUBLISH, f"user:{BOT}", event, json.dumps(data)], check=True, stdout=subprocess.DEVNULL)


async def until(what, true):
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"never: {what}")


async def talk():
    faults = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    bot = Bot()
    client = bot.audio = discodo.DPYClient(bot)
    seen = []
    client.dispatcher.onAny(lambda event, vc, data: seen.append((event, data)))

    await client.registerNode(*URL, password=SECRET)
    (node,) = client.Nodes
    words = []
    node.dispatcher.onAny(lambda event, data: words.append((event, data)))
    assert (await node.getStatus())["Cores"] > 0
    await until("a heartbeat was answered", lambda: node.ws.latency is not None)

    vc = await client.connect(Channel(bot.guild))
    assert (vc.guild_id, client.getVC(bot.guild)) == (GUILD, vc)
    await vc.fetchState()
    assert vc.state in (discodo.PlayerState.STOPPED, discodo.PlayerState.PLAYING), vc.state
    await vc.fetchQueue()
    publish("SOURCE_START", guild_id=str(GUILD), source={"_type": "AudioData", "tag": "t1", "title": "a song"})
    await until("an event came", lambda: any(event == "SOURCE_START" for event, _ in seen))

    node.ws.transport.abort()
    await until("the client knows that it is cut off", lambda: not node.is_connected)
    publish("SOURCE_STOP", guild_id=str(GUILD), source={"_type": "AudioData", "tag": "t1"})
    bot.moves.clear()
    await node.connect()
    await until("it was resumed", lambda: any(event == "RESUMED" for event, _ in words))
    await until("its voice client is back", lambda: client.getVC(bot.guild, safe=True) is not None)
    await until("it went back to its channel", lambda: bot.moves == [CHANNEL])
    await until("what it missed came", lambda: any(event == "SOURCE_STOP" for event, _ in words))

    vc = client.getVC(bot.guild)
    if os.environ["REST"]:
        source = await vc.getSource("a song")
        assert (type(source).__name__, source.title) == ("AudioData", "a song"), source
        assert (await vc.loadSource("another song")).title == "another song"
        assert await vc.setOptions(volume=0.5) == {"volume": 0.5}
    else:
        try:
            await vc.getSource("a song")
        except discodo.HTTPException as refused:
            assert "options.rest" in str(refused), refused
        else:
            raise AssertionError("a REST call was answered, and there is nobody to answer it")
    await client.destroy(bot.guild)
    await until("the voice client is gone", lambda: any(event == "VC_DESTROYED" for event, _ in words))

    wrong = discodo.Node(client, *URL, user_id=BOT, password="wrong")
    forbidden = []
    wrong.dispatcher.on("FORBIDDEN", forbidden.append)
    try:
        await wrong.connect()  # it identifies without waiting for HELLO
        await until("a wrong password is forbidden", lambda: forbidden)
        await until("and the connection is closed", lambda: not wrong.is_connected)
    except websockets.ConnectionClosed as closed:
        assert closed.code == 1008, closed
    await node.destroy()
    assert not faults, faults
    print(f"discodo {discodo.__version__}: identified, VC_CREATED, cut off, RESUMED, events, VC_DESTROYED, FORBIDDEN")


warnings.simplefilter("error", UserWarning)  # it warns of a version that is not its own
asyncio.run(asyncio.wait_for(talk(), 40))
