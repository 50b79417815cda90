"""Two tenants of all six protocols in one daemon, at random: to each it is as if the other were not there.

The same moves are made twice, by both in one hub and by one of them alone. What its clients hear, byte for byte, how
they are closed, what it is answered and what is kept for it must be the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewayd.backend.answer import Answer, Said
from gatewayd.core.behaviour import Unpublishable
from gatewayd.core.close import Cause, Disconnect, Refused
from gatewayd.core.counts import Counts
from gatewayd.core.events import Command
from gatewayd.core.ports import Resource
from gatewayd.core.session import Session, session_of
from gatewayd.hub.effects import apply
from gatewayd.hub.hub import Hub
from gatewayd.protocols.registry import PROTOCOLS
from tests.playbook import Person, Playbook

TENANTS = ("prod", "staging")
COMMAND = {
    "command": "ping", "raw": "!ping",
    "ids": {"message": "1", "author": "2", "channel": "3", "guild": "4", "shard": "0"},
}  # fmt: skip
OPTIONS: dict[str, dict[str, Any]] = {
    "oxyl": {"shards_total": 4, "shards_per_sharder": 2}, "rooms": {"ad_hoc": True}
}  # fmt: skip
CHANNELS = (
    "user:7",
    "user:a",
    "guild:123467",
    "room:r",
    "service:commands",
    "service:bot",
    "service:feeds",
    "listener:x",
    "bot:all",
)


class Tenant:
    """The listeners of one realm, and their clients by the order in which they came."""

    def __init__(self, name: str, beside: Playbook | None) -> None:
        self.name = name
        self.books: dict[str, Playbook] = {}
        for protocol in ("oxyl", "rooms", "dmod", "discodo", "utilbot", "discord"):
            book = self.books[protocol] = Playbook(
                PROTOCOLS[protocol], beside=beside, listener=f"{protocol}-{name}", realm=name,
                options=OPTIONS.get(protocol), outbox_events=20, resume_events=5,
            )  # fmt: skip
            book.ask = self.ask
            beside = beside or book
        self.book = self.books["oxyl"]
        self.hub: Hub = self.book.hub
        self.people: list[Person] = []
        self.seen: list[Any] = []
        """All that this tenant has got."""

    async def ask(self, session: Session, command: Command, reply: Callable[[Any], None]) -> None:
        """Its backend: says things wherever the caller's realm has ears, and lets it hear more."""
        said = [
            Said(channel=channel, event="ANSWERED", data=self.name) for channel in CHANNELS if "room" not in channel
        ]
        apply(self.hub, session, Answer(reply={"by": self.name}, events=tuple(said), subscribe=("user:a",)), reply)

    # --- moves ----------------------------------------------------------------------------------------------

    def connect(self, who: int, what: int) -> None:
        protocol, name = tuple(self.books)[who % 6], ("7", "a")[what % 2]
        book = self.books[protocol]
        try:
            match protocol:
                case "rooms":
                    path = {"roomId": ("r", "other")[what % 3 == 0], "participantId": name, "token": "s3cret"}
                    person = book.connect("/gateway", path)
                case "discodo":
                    person = book.connect("/ws", headers={"authorization": "s3cret"})
                    person.say({"op": "IDENTIFY", "d": {"user_id": name, "shard_id": None}})
                case _:
                    person = book.connect()
        except Refused as refused:
            self.seen.append(refused.status)
            return
        self.people.append(person)
        kind = ("sharder", "commands", "feeds")[what % 3]
        if protocol == "oxyl":
            person.say({"op": 0, "d": {"type": kind, "compress": what % 2 == 0, "secret": "s3cret"}})
        elif protocol == "dmod":
            person.say(
                {"op": 1, "d": {"token": "seven" if name == "7" else None, "uid": name if name == "7" else None}}
            )
        elif protocol == "utilbot":
            kind = ("bot", "bot", "commands")[what % 3]
            person.say({"op": 1, "t": "identify", "d": {"type": kind, "key": "s3cret", "id": name}})
        elif protocol == "discord":
            self.identify(person, what)

    def identify(self, person: Person, what: int) -> None:
        """A bot comes, or comes back to a session of its own, or tries one of the other tenant's."""
        token = {"token": "s3cret", "intents": 1 | what << 9, "properties": {}}
        known = [session for session in self.hub.sessions.values() if session.protocol == "discord"]
        own = [session for session in known if session.realm == self.name and session is not person.session]
        others = [session for session in known if session.realm != self.name]
        match what % 3:
            case 1 if own:
                seq = min(what, own[-1].backlog.given)
                person.say({"op": 6, "d": {**token, "session_id": own[-1].id, "seq": seq}})
            case 2:
                session = others[-1].id if others else "none"
                person.say({"op": 6, "d": {**token, "session_id": session, "seq": 1}})
            case _:
                person.say({"op": 2, "d": token})

    def say(self, who: int, what: int) -> None:
        person = self.person(who)
        if person is None or person.closed is not None:
            return
        text = f"{self.name} {what}"
        guild = {"gid": "123467", "token": "guild-token"}
        session = {"uid": "7", "gid": "123467", "utokh": "seven", "uhash": "h", "pm": "1"}
        figures = {"guilds": what + len(self.name), "guildMembers": what, "cachedGuildMembers": 0}
        voice = {"t": "VOICE_SERVER_UPDATE", "d": {"guild_id": text, "endpoint": text}}
        sayings: dict[str, tuple[Any, ...]] = {
            "oxyl": (
                {"op": 2, "t": "EXECUTE_COMMAND", "d": {**COMMAND, "raw": text}},
                {"op": 5, "d": {"type": "guild", "id": "123467", "name": text}},
                {"op": 1, "d": {"heapUsed": what, "guilds": what}},
            ),
            "rooms": ({"e": 1, "d": {}}, {"e": 2, "d": {}}),
            "dmod": (
                {"op": 6, "cmd": "CONNECT_GUILD", "d": guild},
                {"op": 6, "cmd": "APPLICATION_SESSION", "d": session},
                {"op": 6, "cmd": "APPLICATION_SESSION_END", "d": {"gid": "123467"}},
                {"op": 6, "cmd": "APPLICATION_SESSION_REAUTH", "d": session},
                {"op": 6, "cmd": "APPLICATION_SESSION_HB_M", "d": {}},
                {"op": 6, "cmd": "DESCONNECT_GUILD", "d": {"gid": "123467"}},
                {"op": 6, "cmd": "WHATEVER", "d": {"text": text}},
                {"op": 4},
            ),
            "discodo": (
                {"op": "DISCORD_EVENT", "d": voice},
                {"op": "VC_DESTROY", "d": {"guild_id": text}},
                {"op": "putSource", "d": {"guild_id": text}},
                {"op": "HEARTBEAT", "d": what},
            ),
            "utilbot": (
                {"op": 1, "t": "send_servers", "d": figures},
                {"op": 1, "t": "whatever", "d": {"text": text}},
                {"op": 10},
            ),
            "discord": (
                {"op": 1, "d": None},
                {"op": 3, "d": {"status": text}},
                {"op": 8, "d": {"guild_id": "123467", "query": text}},
                {"op": 1, "d": what},
            ),
        }  # fmt: skip
        known = sayings[person.book.protocol.name]
        person.say(known[what % len(known)])

    def publish(self, who: int, what: int) -> None:
        channel = CHANNELS[who % len(CHANNELS)]
        rooms: tuple[tuple[str, Any], ...] = (
            ("message_create", {"authorId": "x", "content": f"{self.name} {what}", "sentAt": what}),
            ("room_update", {"roomLocked": what % 2 == 0, "maxParticipants": what}),
            ("participant_update", {"userId": "a", "banned": what % 2 == 0}),
            ("participant_kick", {"userId": "7"}),
            ("room_close", {}),
        )
        others: tuple[tuple[str, Any], ...] = (
            ("EXECUTE_COMMAND", {**COMMAND, "raw": f"{self.name} {what}"}),
            ("GUILD_PRIVILEGE_UPDATE", {"id": "7", "by": self.name}),
            ("NEWS", f"{self.name} {what}"),
        )
        known = rooms if channel.startswith("room:") else others
        self.answered(lambda: self.hub.post(channel, *known[what % len(known)], realms=[self.name]))

    def notify(self, who: int, what: int) -> None:
        self.answered(lambda: self.hub.notify("7a"[who % 2], f"{self.name} {what}", [self.name]))

    def keep(self, who: int, what: int) -> None:
        realm = self.hub.realms.home(Resource.DOCUMENTS, [self.name])
        self.seen.append(realm.documents.get("guild:123467"))
        realm.documents.put(("guild:123467", "member:123467:7", "x")[who % 3], f"{self.name} {what}")

    def answered(self, act: Callable[[], Counts]) -> None:
        try:
            counts = act()
        except Unpublishable as refused:
            self.seen.append(str(refused))
        else:
            self.seen.append((counts.delivered, counts.buffered, counts.dropped, dict(counts.reasons)))

    def leave(self, who: int, what: int) -> None:
        person = self.person(who)
        if person is not None:
            person.leave((Cause.PEER_GONE, Cause.CLIENT_CLOSED, Cause.HEARTBEAT_MISSED)[what % 3])

    def kick(self, who: int, what: int) -> None:
        person = self.person(who)
        session = None if person is None else session_of(person.connection)
        if session is not None:
            self.hub.end(session, Disconnect(Cause.KICKED, "kicked"))

    def stop_reading(self, who: int, what: int) -> None:
        person = self.person(who)
        if person is not None:
            person.reads = what % 2 == 0

    def person(self, who: int) -> Person | None:
        return self.people[-1 - who % len(self.people)] if self.people else None

    # --- what came of it ------------------------------------------------------------------------------------

    def look(self) -> int:
        """Note all that came; how much that is."""
        before = len(self.seen)
        for number, person in enumerate(self.people):
            heard = person.heard_raw()
            for _, payload in heard:
                if payload.get("t") == "READY":
                    payload["d"]["session_id"] = "random"
            if heard:
                self.seen.append((number, heard))
        return len(self.seen) - before

    def end(self) -> Any:
        realm = self.hub.realms.make(self.name)
        waiting = [(event.channel, event.name, event.data) for event in realm.waiting]
        sessions = sorted(
            (
                s.protocol,
                "random" if s.protocol == "discord" else s.identity or "",
                s.state,
                len(s.backlog),
                s.backlog.lost,
                sorted(map(str, s.metadata.items())),
            )
            for s in self.hub.sessions.values()
            if s.realm == self.name
        )
        return self.seen, [person.closed for person in self.people], waiting, sessions, list(realm.rows())


MOVES = (
    "connect",
    "connect",
    "say",
    "say",
    "say",
    "publish",
    "notify",
    "keep",
    "leave",
    "kick",
    "stop_reading",
    "wait",
)
Move = tuple[str, str, int, int]


def played(names: tuple[str, ...], moves: list[Move]) -> dict[str, Any]:
    """What each of these tenants has got by the moves that are its own."""
    tenants: dict[str, Tenant] = {}
    for name in names:
        tenants[name] = Tenant(name, next((tenant.book for tenant in tenants.values()), None))
    for name, move, who, what in moves:
        if move == "wait":
            next(iter(tenants.values())).book.advance((0.5, 1.0, 10.0, 31.0, 70.0)[what % 5])
        elif name in tenants:
            getattr(tenants[name], move)(who, what)
            tenants[name].book.advance(0)  # what is due at once: the next move may be the other's
            for tenant in tenants.values():
                came = tenant.look()
                assert not came or tenant is tenants[name], f"{tenant.name} has heard what {name} did"
        for tenant in tenants.values():
            tenant.look()
    return {name: tenant.end() for name, tenant in tenants.items()}


def check(moves: list[Move]) -> dict[str, Any]:
    together = played(TENANTS, moves)
    for name in TENANTS:
        assert together[name] == played((name,), moves)[name]
        other = TENANTS[name == "prod"]
        assert other not in repr(together[name])
    return together


EVERYBODY: list[Move] = [(name, "connect", who, what) for name in TENANTS for who in range(6) for what in (0, 1)]


@given(
    st.lists(
        st.tuples(st.sampled_from(TENANTS), st.sampled_from(MOVES), st.integers(0, 9), st.integers(0, 11)), max_size=40
    )
)
@settings(max_examples=60, deadline=None)
def test_no_tenant_hears_the_other(moves: list[Move]) -> None:
    check(EVERYBODY + moves)


@pytest.mark.parametrize("seed", range(3))
def test_nor_in_a_long_time(seed: int) -> None:
    chance = random.Random(seed)
    moves = [
        (chance.choice(TENANTS), chance.choice(MOVES), chance.randrange(10), chance.randrange(12)) for _ in range(400)
    ]
    ends = check(EVERYBODY + moves)
    for name in TENANTS:  # and it is not for want of anything to hear
        assert f"{name} " in repr(ends[name])
        assert len(ends[name][0]) > 100
