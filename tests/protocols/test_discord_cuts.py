"""discord: whatever cuts a client off, wherever in a frame, it has every event once and in order by its own count."""

from __future__ import annotations

import json
import random
import zlib
from typing import Any

import pytest
import zstandard

from gatewayd.core.behaviour import Handshake
from gatewayd.core.close import Cause
from gatewayd.core.pace import Pace
from tests.playbook import Person, Playbook
from tests.protocols.test_discord import ANEW, book, identify, resume

LEAVES = (Cause.PEER_GONE, Cause.CLIENT_LEFT, Cause.HEARTBEAT_MISSED, Cause.SLOW_CONSUMER, Cause.SHUTDOWN)
UNBOUND: dict[str, Any] = {
    "rate_limit": None, "identify_timeout": None, "heartbeat": "off", "resume_window": 1e6, "outbox_age": 1e6,
    "outbox_events": 10**6, "outbox_bytes": 10**8, "resume_bytes": 10**8,
}  # fmt: skip
ALL = 10**9


class Client:
    """One connection whose socket takes what chance says. `unread` is what has come out of it."""

    def __init__(self, talk: Playbook, chance: random.Random) -> None:
        self._chance = chance
        self._pace = Pace()
        compress = chance.choice(("", "zlib-stream", "zstd-stream"))
        self._inner: Any = zlib.decompressobj() if compress == "zlib-stream" else None
        if compress == "zstd-stream":
            self._inner = zstandard.ZstdDecompressor().decompressobj()
        self.unread = b""
        self.person = Person(talk)
        self.person.reads = False
        self.outbox = self.person.connection.outbox
        self._most = chance.choice((0.0, 0.5, 1.0))  # how often its socket takes all at once
        if self._most:
            self._pace.held = False
            self.outbox.pace, self.outbox.send = self._pace, self._take
        self.person._open(Handshake(query={"compress": compress} if compress else {}))

    def _take(self, data: bytes) -> int:
        self._pace.number += self._chance.random() < 0.8
        taken = len(data) if self._chance.random() < self._most else self._chance.randrange(len(data))
        self.unread += data[:taken]
        return taken

    def write(self, count: int) -> None:
        """The socket takes so many bytes of what waits."""
        while count and (data := self.outbox.batch()):
            self.unread += data[:count]
            self.outbox.advance(len(data[:count]))
            count -= len(data[:count])

    def read(self) -> list[Any]:
        """The payloads of the frames that are complete. Raises where they cannot be read."""
        said = []
        while len(self.unread) > 1:
            size, start = self.unread[1], 2
            if size > 125:
                start = 4 if size == 126 else 10
                size = int.from_bytes(self.unread[2:start], "big")
            if len(self.unread) < start + size:
                break
            payload, self.unread = self.unread[start : start + size], self.unread[start + size :]
            said.append(json.loads(payload if self._inner is None else self._inner.decompress(payload)))
        return said


@pytest.mark.parametrize("seed", range(60))
def test_every_event_once_and_in_order(seed: int) -> None:
    chance = random.Random(seed)
    few = seed % 4 == 0  # of these the bounds may lose events: then it is told so
    talk = book(resume_events=30 if few else 10**6, **UNBOUND)
    client = Client(talk, chance)
    client.person.say(identify())
    session, published, got, seq = client.person.session.id, 0, list[int](), 0

    def publish(most: int) -> None:
        nonlocal published
        for _ in range(chance.choice((1, 1, 5, most))):
            talk.publish("bot:all", "E", published)
            published += 1

    def read() -> bool:
        """False where it has to begin anew."""
        nonlocal seq
        said = client.read()
        if ANEW in said:
            return False
        for payload in said:
            if payload["op"] == 0 and payload["t"] == "RESUMED":
                assert (payload["s"], payload["d"]) == (seq, {})
            elif payload["op"] == 0:
                assert payload["s"] == seq + 1
                seq += 1
                got.extend([payload["d"]] if payload["t"] == "E" else ())
        return True

    for _ in range(chance.randrange(20, 120)):
        what = chance.random()
        if what < 0.5:
            publish(70)
        elif what < 0.7:
            client.write(chance.choice((1, 10, 100, ALL)))
            assert read()
        elif what < 0.8:
            client.person.say({"op": 1, "d": seq})
        else:
            if chance.random() < 0.6:  # else it lives while the next one comes
                client.person.leave(chance.choice(LEAVES))
            if chance.random() < 0.3:
                publish(70)
            older, client = client, Client(talk, chance)
            client.person.say(resume(session, seq))
            older.write(ALL)
            older.read()
            if few or chance.random() < 0.5:
                client.write(ALL)
            if not read():
                assert few
                return
    client.write(ALL)
    assert read()
    assert got == list(range(published))
