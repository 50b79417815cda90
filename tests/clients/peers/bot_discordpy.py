"""A bot of discord.py, with its default settings but for the address, that tells what it hears. Run by tests/clients.

    bot_discordpy.py http://HOST:PORT '{"token", "intents", "shard"?: [id, count], "auto"?, "talk"?}'

One JSON line each on stdout: {"library"}, then {"s", "t", "d"} of a dispatch, {"op"} of another payload, {"is"} of what
the library makes of them, {"gave up"} when it does. It says goodbye at the end of stdin.
"""

import asyncio
import json
import sys

import discord
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

base, options = sys.argv[1], json.loads(sys.argv[2])
Route.BASE = f"{base}/api/v10"
DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(base.replace("http", "ws", 1))


def tell(**what):
    print(json.dumps(what), flush=True)


class Bot(discord.AutoShardedClient if options.get("auto") else discord.Client):
    async def setup_hook(self):
        loop = asyncio.get_running_loop()
        loop.add_reader(0, lambda: loop.remove_reader(0) and loop.create_task(self.close()))

    async def on_socket_raw_receive(self, text):
        payload = json.loads(text)
        if payload["op"] == 0:
            tell(s=payload["s"], t=payload["t"], d=payload["d"])
        else:
            tell(op=payload["op"])

    async def on_connect(self):
        tell(**{"is": "connected", "user": str(self.user.id), "application": str(self.application_id)})

    async def on_ready(self):
        tell(**{"is": "ready"})

    async def on_resumed(self):
        tell(**{"is": "resumed"})

    async def on_disconnect(self):
        tell(**{"is": "disconnected"})

    async def on_message(self, message):
        tell(**{"is": "message", "content": message.content})
        if options.get("talk"):
            sent = await message.channel.send("an answer")
            tell(**{"is": "sent", "content": sent.content})
            await self.change_presence(status=discord.Status.idle)
            members = await message.guild.query_members(user_ids=[message.author.id])
            tell(**{"is": "told", "members": [member.name for member in members]})


tell(library=f"discord.py {discord.__version__}")
# Which shard it is and what it wants to hear is the bot's own business; `enable_debug_events` shows each payload.
shard = dict(zip(("shard_id", "shard_count"), options.get("shard", ()), strict=False))
intents = discord.Intents.none()
intents.value = options["intents"]
bot = Bot(intents=intents, enable_debug_events=True, **shard)
discord.utils.setup_logging(root=True)
try:
    asyncio.run(bot.start(options["token"]))
except Exception as wrong:  # noqa: BLE001  # by whatever it gives up
    tell(**{"gave up": type(wrong).__name__, "words": str(wrong), "code": getattr(wrong, "code", None)})
