"""Cases in which a bot loses its connection, its daemon or its time, and has to be resumed."""

from __future__ import annotations

import random
import signal
import string
from typing import Any

import httpx
import trio
import trustme

from tests.clients.bots.bot import Bot
from tests.clients.bots.daemon import Daemon
from tests.clients.bots.payloads import event, messages
from tests.clients.bots.proxy import Proxy
from tests.clients.bots.stage import GUILD, Stage, detached, heard


async def cut(stage: Stage) -> None:
    """The connection ends without a close frame."""
    await _cut(stage)


async def reset(stage: Stage) -> None:
    """The same, with RST."""
    await _cut(stage, reset=True)


async def unread(stage: Stage) -> None:
    """It is cut when the daemon's kernel has taken what the bot will never read."""
    await _cut(stage, unread=True)


async def tls(stage: Stage) -> None:
    """The same over TLS: what the library is told to resume by is a wss URL."""
    authority = trustme.CA()
    stage.folder.mkdir()
    cert, key, ca = (stage.folder / name for name in ("cert.pem", "key.pem", "ca.pem"))
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    key.chmod(0o600)
    authority.cert_pem.write_to_path(ca)
    stage.environment |= {"SSL_CERT_FILE": str(ca), "NODE_EXTRA_CA_CERTS": str(ca)}
    await _cut(stage, unread=True, tls_cert=str(cert), tls_key=str(key))


async def _cut(stage: Stage, *, reset: bool = False, unread: bool = False, **settings: Any) -> None:
    daemon = await stage.daemon(**settings)
    proxy = await stage.proxy(daemon)
    bot = await stage.ready(daemon, proxy)
    await daemon.publish(messages(range(1, 6), GUILD))
    await heard(bot, 5)
    proxy.closed = trio.Event()
    if unread:
        proxy.mute()
        await daemon.publish(messages(range(6, 11), GUILD))
        await trio.sleep(0.1)
    proxy.cut(reset=reset)
    await detached(daemon)
    await daemon.publish(messages(range(11 if unread else 6, 16), GUILD))
    proxy.closed.set()
    await heard(bot, 15, resumed=1)
    await daemon.publish(messages(range(16, 18), GUILD))
    await heard(bot, 17, resumed=1)
    assert bot.count("t", "READY") == 1
    await bot.leave()
    with trio.fail_after(5):
        while proxy.live:
            await trio.sleep(0.02)
    assert bot.ready["resume_gateway_url"] == f"{'wss' if settings else 'ws'}://127.0.0.1:{proxy.port}", bot.ready
    if not settings:  # else they cannot be read
        asked = [line.split()[1].partition("compress=")[2] for line in proxy.requests if "encoding=json" in line]
        assert asked == [stage.compression or ""] * 2, proxy.requests


async def zombie(stage: Stage) -> None:
    """The daemon's frames no longer arrive: the library finds out by itself. discord.py takes a minute."""
    daemon = await stage.daemon(heartbeat_interval="1s")
    proxy = await stage.proxy(daemon)
    bot = await stage.ready(daemon, proxy)
    await daemon.publish(messages(range(1, 4), GUILD))
    await heard(bot, 3)
    proxy.mute()
    await daemon.publish(messages(range(4, 7), GUILD))
    await heard(bot, 6, resumed=1, seconds=100)
    assert bot.count("t", "READY") == 1


async def frozen(stage: Stage) -> None:
    """The daemon stands still for five seconds: who notices comes back, who does not goes on."""
    daemon = await stage.daemon(heartbeat_interval="1s")
    bot = await stage.ready(daemon)
    await daemon.publish(messages(range(1, 4), GUILD))
    await heard(bot, 3)
    daemon.send(signal.SIGSTOP)
    await trio.sleep(5)
    daemon.send(signal.SIGCONT)
    await daemon.publish(messages(range(4, 7), GUILD))
    await bot.until("event 6", lambda bot: 6 in bot.events)
    await trio.sleep(3)
    bot.check(range(1, 7))
    assert bot.count("t", "READY") == 1


async def asleep(stage: Stage) -> None:
    """The bot stands still until the daemon gives it up for its heartbeats, and goes on."""
    daemon = await stage.daemon(heartbeat_interval="1s")
    bot = await stage.ready(daemon)
    bot.process.send_signal(signal.SIGSTOP)
    await daemon.publish(messages(range(1, 11), GUILD))
    await detached(daemon)
    await daemon.publish(messages(range(11, 21), GUILD))
    bot.process.send_signal(signal.SIGCONT)
    await heard(bot, 20, resumed=1, seconds=40)
    assert bot.count("t", "READY") == 1


async def slow(stage: Stage) -> None:
    """The bot reads nothing until what waits for it is too much (4000); then it reads, and resumes for the rest."""
    daemon = await stage.daemon(resume_bytes=64 * 1024 * 1024)
    bot = await stage.ready(daemon)
    bot.process.send_signal(signal.SIGSTOP)
    noise = "".join(random.Random(1).choices(string.printable, k=400_000))
    for number in range(1, 41):
        await daemon.publish([event("bot:all", "BIG_AND_WILD", {"n": number, "text": noise})])
    await detached(daemon)
    bot.process.send_signal(signal.SIGCONT)
    await heard(bot, 40, resumed=1, seconds=40)
    assert bot.count("t", "READY") == 1


async def drained(stage: Stage) -> None:
    """SIGTERM says op 7. One bot comes back at once, and is sent away while another holds the stop up; then both resume."""
    daemon = await stage.daemon(kept=True)
    proxy = await stage.proxy(daemon)
    bot, deaf = await stage.ready(daemon), await stage.ready(daemon, proxy)
    await daemon.publish(messages(range(1, 4), GUILD))
    await heard(bot, 3)
    await heard(deaf, 3)
    proxy.mute()
    await daemon.publish(messages(range(4, 14), GUILD))
    daemon.send(signal.SIGTERM)
    assert await daemon.gone() == 0
    assert (bot.count("op", 7), deaf.count("op", 7)) == (1, 0), bot
    await daemon.start()
    await daemon.publish(messages(range(14, 20), GUILD))
    for one in (bot, deaf):
        await heard(one, 19, resumed=1, seconds=60)
        assert one.count("t", "READY") == 1


async def killed(stage: Stage) -> None:
    """SIGKILL right after a publish was answered; the journal is of durability `always`."""
    daemon = await stage.daemon(kept=True, durability="always")
    await _killed(stage, daemon)


async def killed_port_closed(stage: Stage) -> None:
    """The same, while nobody keeps the port: discord.js gives its session up when a connect is refused."""
    daemon = await stage.daemon(durability="always")
    await _killed(stage, daemon)


async def _killed(stage: Stage, daemon: Daemon) -> None:
    bot = await stage.ready(daemon)
    last = 0
    for resumed in range(3):
        await daemon.publish(messages(range(last + 1, last + 21), GUILD))
        if resumed:
            await trio.sleep(0.1)
        daemon.send(signal.SIGKILL)
        await daemon.gone()
        await daemon.start()
        await daemon.publish(messages(range(last + 21, last + 31), GUILD))
        last += 30
        await heard(bot, last, resumed=resumed + 1, seconds=60)
    assert bot.count("t", "READY") == 1


async def storm(stage: Stage) -> None:
    """All of it, one after the other, while events are published all the time."""
    daemon = await stage.daemon(kept=True, durability="always", heartbeat_interval="2s")
    proxy = await stage.proxy(daemon)
    bot = await stage.ready(daemon, proxy)
    answered: list[int] = []

    async def publish() -> None:
        number = 0
        while True:
            number += 1
            try:
                await daemon.publish(messages(range(number, number + 1), GUILD))
                answered.append(number)
            except httpx.TransportError:  # the daemon is away: nobody was promised this one
                await trio.sleep(0.1)

    faults = ["cut", "reset", "unread", "kill", "stop", "freeze"]
    random.Random(stage.compression).shuffle(faults)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(publish)
        for fault in faults:
            await trio.sleep(0.5)
            resumed = bot.count("is", "resumed")
            await _strike(fault, daemon, proxy)
            if fault != "freeze":  # that may be over before anybody notices
                await _resumes(bot, resumed, fault)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    await bot.until("the last event", lambda bot: answered[-1] in bot.events)
    assert bot.count("t", "READY") == 1
    assert bot.events == sorted(set(bot.events)), f"not in order, or twice: {bot.events}"
    missing = set(answered) - set(bot.events)
    assert not missing, f"of {len(answered)} events that were answered, these never came: {sorted(missing)}\n{bot}"
    bot.check_count()


async def flood(stage: Stage) -> None:
    """Thousands of events at once, and the connection is reset in the middle of them, three times."""
    daemon = await stage.daemon(resume_events=10_000, resume_bytes=16 * 1024 * 1024)
    proxy = await stage.proxy(daemon)
    bot = await stage.ready(daemon, proxy)
    for resumed in range(3):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(daemon.publish, messages(range(resumed * 1500 + 1, resumed * 1500 + 1501), GUILD))
            await _hears_more(bot, resumed * 1500)
            proxy.cut(reset=True)
        await _resumes(bot, resumed, "a reset")
    await heard(bot, 4500, resumed=3)


async def _hears_more(bot: Bot, than: int) -> None:
    await bot.until(f"more than {than} events", lambda bot: len(bot.events) > than)


async def _resumes(bot: Bot, before: int, fault: str) -> None:
    await bot.until(f"resumed after {fault}", lambda bot: bot.count("is", "resumed") > before, 60)


async def _strike(fault: str, daemon: Daemon, proxy: Proxy) -> None:
    """Break something, and mend it again."""
    if fault in ("cut", "reset"):
        proxy.cut(reset=fault == "reset")
    elif fault == "unread":
        proxy.mute()
        await trio.sleep(0.5)
        proxy.cut()
    elif fault == "freeze":
        daemon.send(signal.SIGSTOP)
        await trio.sleep(5)
        daemon.send(signal.SIGCONT)
    else:
        daemon.send(signal.SIGKILL if fault == "kill" else signal.SIGTERM)
        await daemon.gone()
        await daemon.start()
