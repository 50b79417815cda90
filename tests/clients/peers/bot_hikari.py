"""A bot of hikari, with its default settings but for the address, that tells what it hears. Run by tests/clients.

    bot_hikari.py http://HOST:PORT '{"token", "intents", "shard"?: [id, count], "auto"?, "talk"?}'

Its lines are those of bot_discordpy.py.
"""

import asyncio
import json
import logging
import sys

import hikari

base, options = sys.argv[1], json.loads(sys.argv[2])


def tell(**what):
    print(json.dumps(what), flush=True)


logging.basicConfig(level=logging.INFO)  # to stderr: hikari's own goes where our lines go
tell(library=f"hikari {hikari.__version__}")


def loads(data):
    """hikari's own decoder of JSON may be replaced: this one shows each payload, and the answers of REST, which have no op."""
    payload = json.loads(data)
    if "op" not in payload:
        return payload
    if payload["op"] == 0:
        tell(s=payload["s"], t=payload["t"], d=payload["d"])
    else:
        tell(op=payload["op"])
    return payload


try:
    bot = hikari.GatewayBot(
        options["token"], rest_url=f"{base}/api/v10", intents=hikari.Intents(options["intents"]),
        loads=loads, logs=None, banner=None,
    )  # fmt: skip
except ValueError as wrong:
    tell(**{"gave up": type(wrong).__name__, "words": str(wrong)})
    sys.exit()


@bot.listen()
async def ready(event: hikari.ShardReadyEvent) -> None:
    tell(**{"is": "connected", "user": str(event.my_user.id), "application": str(event.application_id)})


@bot.listen()
async def started(event: hikari.StartedEvent) -> None:
    tell(**{"is": "ready"})


@bot.listen()
async def resumed(event: hikari.ShardResumedEvent) -> None:
    tell(**{"is": "resumed"})


@bot.listen()
async def disconnected(event: hikari.ShardDisconnectedEvent) -> None:
    tell(**{"is": "disconnected"})


@bot.listen()
async def message(event: hikari.MessageCreateEvent) -> None:
    tell(**{"is": "message", "content": event.message.content})
    if options.get("talk"):
        sent = await event.message.respond("an answer")
        tell(**{"is": "sent", "content": sent.content})
        await bot.update_presence(status=hikari.Status.IDLE)
        await bot.request_guild_members(event.message.guild_id, query="somebody", limit=1)


@bot.listen()
async def members(event: hikari.MemberChunkEvent) -> None:
    tell(**{"is": "told", "members": [member.username for member in event.members.values()]})


async def live():
    shard = options.get("shard")
    # Without these it asks how many shards there should be: "auto" is what it does by itself.
    shards = {} if shard is None else {"shard_ids": [shard[0]], "shard_count": shard[1]}
    await bot.start(check_for_updates=False, **shards)  # a package index is not asked while it is tested
    loop = asyncio.get_running_loop()
    loop.add_reader(0, lambda: loop.remove_reader(0) and loop.create_task(bot.close()))
    await bot.join()


try:
    asyncio.run(live())
except Exception as wrong:  # noqa: BLE001  # by whatever it gives up
    tell(**{"gave up": type(wrong).__name__, "words": str(wrong), "code": getattr(wrong, "code", None)})
