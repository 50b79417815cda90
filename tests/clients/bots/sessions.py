"""Cases about what a session hears, how it begins, and how it is refused."""

from __future__ import annotations

import random
import signal
import string
from typing import Any

import trio

from tests.clients.bots.application import application
from tests.clients.bots.bot import Bot
from tests.clients.bots.daemon import Daemon
from tests.clients.bots.payloads import AUTHOR, channel_of, event, guild, guild_of, message, messages
from tests.clients.bots.stage import GUILD, GUILDS, Stage, detached, heard


async def events(stage: Stage) -> None:
    """Identify, READY, events in order, goodbye: 1000 and 1001 end the session. discord.py says 4000, and may resume."""
    daemon = await stage.daemon()
    bot = await stage.ready(daemon)
    (row,) = await daemon.sessions()
    ready = bot.ready
    assert (ready["v"], ready["guilds"], ready["session_id"]) == (10, [], row["id"]), ready
    told = next(line for line in bot.told if line.get("is") == "connected")
    assert told["user"] == ready["user"]["id"], told
    assert told["application"] == ready["application"]["id"], told
    await daemon.publish([event("bot:all", "GUILD_CREATE", guild(GUILD))])
    await daemon.publish(messages(range(1, 31), GUILD))
    noise = "".join(random.Random(1).choices(string.printable, k=200_000))
    await daemon.publish(
        [
            event(f"session:{row['id']}", "NOBODY_KNOWS", {"n": 31}),
            event("bot:all", "BIG_AND_DULL", {"n": 32, "text": "dull " * 40_000}),
            event("bot:all", "BIG_AND_WILD", {"n": 33, "text": noise}),
        ]
    )
    for number in range(34, 41):
        await daemon.publish(messages(range(number, number + 1), GUILD))
    await heard(bot, 40)
    assert next(line for line in bot.told if line.get("t") == "BIG_AND_WILD")["d"]["text"] == noise
    said = [line["content"] for line in bot.told if line.get("is") == "message"]
    assert said == [f"message {number}" for number in (*range(1, 31), *range(34, 41))], f"{said}\n{bot}"
    await bot.leave()
    left = ["detached"] if bot.library.startswith("discord.py") else []
    with trio.fail_after(5):
        while [row["state"] for row in await daemon.sessions()] != left:
            await trio.sleep(0.05)


async def talk(stage: Stage) -> None:
    """A bot answers a message over REST, changes its presence, and asks for members: the application hears all of it."""
    with application() as behind:
        daemon = await stage.daemon(backend=f"{behind.url}/backend", options={"rest": behind.url})
        bot = await stage.ready(daemon, talk=True)
        await daemon.publish([event("bot:all", "GUILD_CREATE", guild(GUILD)), *messages(range(1, 2), GUILD)])
        await bot.until("it was told of members", lambda bot: bot.count("is", "told"))
        told = {line["is"]: line for line in bot.told if "is" in line}
        assert told["sent"]["content"] == "an answer", bot
        assert told["told"]["members"] == [AUTHOR["username"]], bot
        path, token, body = behind.calls[0]
        assert (path, token) == (f"/api/v10/channels/{channel_of(GUILD)}/messages", f"Bot {daemon.token}")
        assert body["content"] == "an answer", body
        presence, members = behind.commands
        assert (presence["command"], presence["data"]["status"]) == ("PRESENCE_UPDATE", "idle")
        assert (members["command"], str(members["data"]["guild_id"])) == ("REQUEST_GUILD_MEMBERS", GUILD)
        bot.check([1])


async def shards(stage: Stage) -> None:
    """Two processes, shards 0 and 1 of 2: a guild's events reach the one that has it."""
    daemon = await stage.daemon()
    guilds = [guild_of(0, 2), guild_of(1, 2)]
    assert [(int(id) >> 22) % 2 for id in guilds] == [0, 1]
    bots = [await stage.bot(daemon, shard=[number, 2]) for number in (0, 1)]
    for number, bot in enumerate(bots):
        await bot.until("it is ready", lambda bot: bot.count("is", "ready"), 40)
        assert bot.ready["shard"] == [number, 2], bot.ready
    for number in range(1, 21):
        await daemon.publish(messages(range(number, number + 1), guilds[number % 2]))
    await daemon.publish([event("bot:all", "FOR_BOTH", {"n": 21})])
    for number, bot in enumerate(bots):
        await bot.until("event 21", lambda bot: 21 in bot.events)
        bot.check([one for one in range(1, 22) if one % 2 == number or one == 21])


async def sharded(stage: Stage) -> None:
    """One process that shards itself: `/gateway/bot` says two."""
    daemon = await stage.daemon()
    await daemon.ask("PUT", f"/v1/documents/{daemon.documents}gateway", {"shards": 2})
    bot = await stage.ready(daemon, auto=True)
    assert sorted(line["d"]["shard"] for line in bot.told if line.get("t") == "READY") == [[0, 2], [1, 2]], bot
    for number in range(1, 21):
        await daemon.publish(messages(range(number, number + 1), guild_of(number % 2, 2)))
    await bot.until("20 events", lambda bot: len(bot.events) >= 20)
    assert [one for one in bot.events if one % 2] == [*range(1, 21, 2)], bot
    assert [one for one in bot.events if not one % 2] == [*range(2, 21, 2)], bot


async def intents(stage: Stage) -> None:
    """What a bot has not asked for does not come, and takes no number."""
    daemon = await stage.daemon()
    bot = await stage.ready(daemon, intents=GUILDS)
    hears_guild = f"guild:{GUILD}"
    role = {"n": 1, "guild_id": GUILD, "role": guild(GUILD)["roles"][0]}
    await daemon.publish(
        [
            event(hears_guild, "GUILD_CREATE", guild(GUILD)),
            event(hears_guild, "MESSAGE_CREATE", message(GUILD, 100)),
            event(hears_guild, "GUILD_ROLE_UPDATE", role),
            event(hears_guild, "TYPING_START", {"n": 101, "guild_id": GUILD, "channel_id": "1", "user_id": "2", "timestamp": 1}),
            event("bot:all", "NOBODY_KNOWS", {"n": 2}),
            event(hears_guild, "MESSAGE_CREATE", message(GUILD, 102)),
            event(hears_guild, "GUILD_ROLE_UPDATE", role | {"n": 3}),
        ]
    )  # fmt: skip
    await heard(bot, 3)


async def starts(stage: Stage) -> None:
    """Two bots identify at once where one may: the other is told so by op 9, and tries again by itself."""
    daemon = await stage.daemon(options={"max_concurrency": 1})
    bots = [await stage.bot(daemon) for _ in range(2)]
    for bot in bots:
        await bot.until("it is ready", lambda bot: bot.count("is", "ready"), 60)
    await daemon.publish(messages(range(1, 4), GUILD))
    for bot in bots:
        await heard(bot, 3)


async def token(stage: Stage) -> None:
    """A wrong token: the library says so and gives up."""
    daemon = await stage.daemon()
    bot = await stage.bot(daemon, token=daemon.token + "wrong")
    await _gives_up(bot, {"LoginFailure", "UnauthorizedError", "TokenInvalid"})


async def revoked(stage: Stage) -> None:
    """After a restart the token is not good any more: the resume is answered with 4004."""
    daemon = await stage.daemon(kept=True)
    bot = await stage.ready(daemon)
    daemon.send(signal.SIGTERM)
    await daemon.gone()
    daemon.change(daemon.token, daemon.token + "new")
    await daemon.start()
    await _gives_up(bot, {4004})


async def disallowed(stage: Stage) -> None:
    """An intent that the listener does not allow: 4014."""
    daemon = await stage.daemon(options={"disallowed_intents": ["GUILD_MESSAGES"]})
    bot = await stage.bot(daemon)
    await _gives_up(bot, {4014, "PrivilegedIntentsRequired"})


async def _gives_up(bot: Bot, words: set[Any]) -> None:
    """Its library ends with one of these: an error's name, or a close code."""
    await bot.until("it gives up", lambda bot: any("gave up" in line for line in bot.told), 40)
    said = next(line for line in bot.told if "gave up" in line)
    assert words & {said["gave up"], said.get("code")}, bot


async def expired(stage: Stage) -> None:
    """It comes back when its session is gone: op 9, and a new one."""
    daemon = await stage.daemon(resume_window="1s")
    proxy = await stage.proxy(daemon)
    bot = await stage.ready(daemon, proxy)
    proxy.closed = trio.Event()
    proxy.cut()
    await detached(daemon)
    with trio.fail_after(10):
        while await daemon.sessions():
            await trio.sleep(0.05)
    proxy.closed.set()
    await _anew(bot, daemon)


async def kicked(stage: Stage) -> None:
    """An operator ends the session: its resume is refused with op 9, and the library identifies anew."""
    daemon = await stage.daemon()
    bot = await stage.ready(daemon)
    (row,) = await daemon.sessions()
    await daemon.ask("DELETE", f"/v1/sessions/{row['id']}")
    await _anew(bot, daemon)


async def _anew(bot: Bot, daemon: Daemon) -> None:
    """It identifies again, and counts from 1."""
    await bot.until("a second READY", lambda bot: bot.count("t", "READY") == 2, 40)
    await daemon.publish(messages(range(1, 4), GUILD))
    await bot.until("event 3", lambda bot: bot.events == [1, 2, 3])
    assert [line["s"] for line in bot.told if "t" in line] == [1, 1, 2, 3, 4], bot
