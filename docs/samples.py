"""One example of every payload of every protocol, for the pages: what a client sends, and what the daemon sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from attrs import frozen

from gatewayd.core import events as e
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.record import MissedNotifications
from gatewayd.protocols.discord import Own
from gatewayd.protocols.registry import PROTOCOLS


@frozen(kw_only=True)
class Samples:
    """Pairs of words and an example. `client` holds payloads; `daemon` the events that the protocol encodes, and the
    verdicts that it tells in a payload."""

    client: tuple[tuple[str, dict[str, Any]], ...]
    daemon: tuple[tuple[str, e.ServerEvent | Disconnect], ...]


def _hello(name: str) -> e.Hello:
    return e.Hello(PROTOCOLS[name].timing.interval)


def _event(name: str, data: Any) -> e.Event:
    return e.Event("", name, data, at=0.0)


def _refused(cause: Cause, reason: str, said: Mapping[str, Any], **more: Any) -> Disconnect:
    verdict = Disconnect(cause, reason, **more)
    verdict.said = said
    return verdict


EXECUTE = {
    "command": "ban",
    "raw": "minemidnight#0001 spamming -t 5h",
    "ids": {
        "message": "479455578708639755",
        "author": "155112606661607425",
        "channel": "254770965018443776",
        "guild": "254768930223161344",
        "shard": 1,
    },
}

OXYL = Samples(
    client=(
        ("identify", {"op": 0, "d": {"type": "sharder", "compress": False, "secret": "…"}}),
        ("heartbeat", {"op": 1, "d": {"heapUsed": 102400000, "guilds": 3}}),
        ("event for another service", {"op": 2, "t": "EXECUTE_COMMAND", "d": EXECUTE}),
        ("object for the cache", {"op": 5, "d": {"type": "channel", "id": "254770965018443776", "name": "general"}}),
    ),
    daemon=(
        ("heartbeat wanted", e.BeatRequest()),
        ("identified, a sharder", e.Ready({"shards": [0]})),
        ("identified, any other service", e.Ready({})),
        (
            "identified, a sharder that resumed and lost three events",
            e.Ready({"shards": [0]}, resumed=True, gaps={"resume_buffer_full": 3}),
        ),
        ("event", _event("EXECUTE_COMMAND", EXECUTE)),
        ("hello", _hello("oxyl")),
        ("heartbeat acknowledged", e.BeatAck()),
    ),
)

ROOMS = Samples(
    client=(("heartbeat", {"e": 1, "d": {}}), ("are you alive?", {"e": 2, "d": {}})),
    daemon=(
        ("hello", e.Ready(round(PROTOCOLS["rooms"].timing.interval * 1000))),
        ("hello, resumed with two events lost", e.Ready(30000, resumed=True, gaps={"resume_buffer_full": 2})),
        ("heartbeat", e.Beat()),
        ("are you alive?", e.BeatRequest()),
        ("message_create", _event("message_create", {"authorId": "ann", "content": "hi", "sentAt": 1767225600000})),
        ("room_update", _event("room_update", {"chatLocked": True, "maxParticipants": 20})),
        ("participant_kick", _event("participant_kick", {"userId": "bob"})),
        ("participant_update", _event("participant_update", {"userId": "ann", "admin": True})),
        ("room_close", _event("room_close", {})),
    ),
)

GUILD = {"count": 100, "icon": "abcdef", "vanity": None}
CONNECT = e.Command(6, "CONNECT_GUILD")

DMOD = Samples(
    client=(
        ("authenticate as a user", {"op": 1, "d": {"token": "…", "uid": "1234"}}),
        ("authenticate for basic access", {"op": 1, "d": {"token": None, "uid": None}}),
        ("heartbeat response", {"op": 4, "t": None, "d": None}),
        ("follow a guild", {"op": 6, "cmd": "CONNECT_GUILD", "d": {"token": "…", "gid": "123467"}}),
        ("stop following it", {"op": 6, "cmd": "DESCONNECT_GUILD", "d": {"gid": "123467"}}),
        (
            "start an application session",
            {"op": 7, "cmd": "APPLICATION_SESSION", "d": {"uid": "1234", "gid": "0001", "utokh": "…", "uhash": "…"}},
        ),
        (
            "answer its request to re-authenticate",
            {"op": 7, "cmd": "APPLICATION_SESSION_REAUTH", "d": {"utokh": "…", "uhash": "…", "pm": "64"}},
        ),
        (
            "change the application",
            {"op": 6, "cmd": "APPLICATION_SESSION_PATCH", "d": {"gid": "0001", "patch": {"name": "new"}}},
        ),
        ("answer its heartbeat", {"op": 6, "cmd": "APPLICATION_SESSION_HB_M", "d": {"gid": "0001"}}),
        ("end it", {"op": 7, "cmd": "APPLICATION_SESSION_END", "d": {"gid": "0001"}}),
    ),
    daemon=(
        ("authentication wanted", e.Hello(30.0)),
        (
            "authenticated",
            e.Ready(
                MissedNotifications(
                    [msgspec.Raw(msgspec.json.encode({"type": "APPLICATION_REVIWED", "proccessed_type": 0}))]
                )
            ),
        ),
        ("authenticated, three notifications lost", e.Ready(MissedNotifications(lost=3))),
        ("heartbeat", e.Beat()),
        (
            "event",
            _event("GUILD_PRIVILEGE_UPDATE", {"id": "1234", "tag": "name#disc", "self": True, "permissions": "0"}),
        ),
        ("answer to a command", e.Reply(CONNECT, {"guild": GUILD, "user": {"id": "1234", "permissions": "0"}})),
        (
            "the backend did not answer",
            _refused(Cause.BACKEND_FAILED, "no complete answer within 5 s", {"op": 6, "cmd": "CONNECT_GUILD"}),
        ),
    ),
)

STATUS = {
    "UsedMemory": 71,
    "TotalMemory": 8323,
    "ProcessLoad": 3,
    "TotalLoad": 12,
    "Cores": 2,
    "Threads": 4,
    "NetworkInbound": 51,
    "NetworkOutbound": 90,
}

DISCODO = Samples(
    client=(
        ("heartbeat; any data comes back", {"op": "HEARTBEAT", "d": 1767225600000}),
        ("identify", {"op": "IDENTIFY", "d": {"user_id": "my bot id", "shard_id": None}}),
        (
            "an event of the bot's own Discord session",
            {
                "op": "DISCORD_EVENT",
                "d": {"t": "VOICE_STATE_UPDATE", "d": {"user_id": "my bot id", "guild_id": 3, "channel_id": 4}},
            },
        ),
        ("destroy a voice client", {"op": "VC_DESTROY", "d": {"guild_id": 3}}),
        ("ask for the status of the machine", {"op": "GET_STATUS"}),
        ("any other operation goes to the backend", {"op": "putSource", "d": {"guild_id": 3, "source": "…"}}),
    ),
    daemon=(
        ("hello", _hello("discodo")),
        ("hello of a listener with `version`", e.Hello(15.0, {"version": "3.0.5"})),
        ("a wrong password", Disconnect(Cause.AUTH_FAILED, "Authorization header is wrong")),
        ("heartbeat acknowledged", e.BeatAck(1767225600000)),
        ("identified", e.Ready()),
        ("resumed", e.Ready([[3, 4], [5, None]], resumed=True)),
        (
            "resumed, of a listener with `version`",
            e.Ready({"3": {"id": 1, "channel": 4}}, resumed=True),
        ),
        ("resumed, two events lost", e.Ready([], resumed=True, gaps={"resume_buffer_full": 2})),
        ("voice client created", _event("VC_CREATED", {"id": 1, "guild_id": 3})),
        ("voice client moved", _event("VC_CHANNEL_EDITED", {"guild_id": 3, "channel_id": 5})),
        ("voice client destroyed", _event("VC_DESTROYED", {"guild_id": 3})),
        ("status of the machine", e.Reply(e.Query("GET_STATUS", "GET_STATUS"), STATUS)),
        ("answer of the backend", e.Reply(e.Command("putSource", "putSource"), {"guild_id": 3, "index": 0})),
        ("event of the backend", _event("SOURCE_START", {"guild_id": 3})),
        (
            "error reply",
            _refused(Cause.ALREADY_IDENTIFIED, "already identified", {"op": "IDENTIFY", "d": {"user_id": 1}}),
        ),
        (
            "error reply about a guild",
            _refused(Cause.INVALID_PAYLOAD, "no voice client in this guild", {"op": "skip", "d": {"guild_id": 3}}),
        ),
    ),
)

SUM = {"guilds": 1000, "guildMembers": 55555, "cachedGuildMembers": 32000}

UTILBOT = Samples(
    client=(
        ("identify", {"op": 1, "t": "identify", "d": {"type": "bot", "key": "…", "id": "my-bot"}}),
        ("report the bot's servers", {"op": 1, "t": "send_servers", "d": SUM}),
        ("any other event goes to the backend", {"op": 1, "t": "whoami", "d": {}}),
        ("heartbeat", {"op": 10}),
    ),
    daemon=(
        (
            "error, before the connection closes with the same code",
            Disconnect(
                Cause.INVALID_PAYLOAD,
                errors=("Type not provided.", "Key not provided."),
                data=(None, None),
            ),
        ),
        ("identified", e.Ready("my-bot")),
        ("resumed, two events lost", e.Ready("my-bot", resumed=True, gaps={"resume_buffer_full": 2})),
        ("the sum of all reports", _event("GLOBAL_GUILD_COUNT", SUM)),
        ("answer of the backend", e.Reply(e.Command(1, "whoami"), {"id": "my-bot"})),
        ("hello", _hello("utilbot")),
        ("heartbeat acknowledged", e.BeatAck()),
    ),
)

MESSAGE = {"id": "111", "channel_id": "42", "guild_id": "41", "author": {"id": "7", "username": "ann"}, "content": "hi"}
READY = {
    "v": 10, "user": {"id": "100", "username": "bot", "bot": True}, "guilds": [], "session_id": "…",
    "resume_gateway_url": "ws://127.0.0.1:7106", "application": {"id": "100", "flags": 0},
}  # fmt: skip
INTENTS = {"intents": 33281, "properties": {"os": "linux", "browser": "my-bot", "device": "my-bot"}}

DISCORD = Samples(
    client=(
        ("heartbeat; `d` is the last `s`, or null", {"op": 1, "d": 2}),
        ("identify", {"op": 2, "d": {"token": "…", **INTENTS}}),
        ("identify as a shard", {"op": 2, "d": {"token": "…", **INTENTS, "shard": [0, 2]}}),
        ("resume", {"op": 6, "d": {"token": "…", "session_id": "…", "seq": 2}}),
        (
            "own presence; the backend's",
            {"op": 3, "d": {"since": None, "activities": [], "status": "online", "afk": False}},
        ),
        (
            "own voice state; the backend's",
            {"op": 4, "d": {"guild_id": "41", "channel_id": "42", "self_mute": False, "self_deaf": False}},
        ),
        ("ask for members; the backend's", {"op": 8, "d": {"guild_id": "41", "query": "", "limit": 0}}),
        ("ask for soundboard sounds; the backend's", {"op": 31, "d": {"guild_ids": ["41"]}}),
    ),
    daemon=(
        ("hello", _hello("discord")),
        ("heartbeat acknowledged", e.BeatAck()),
        ("heartbeat wanted", e.BeatRequest()),
        ("identified; the user is longer", _event("READY", READY)),
        ("event", _event("MESSAGE_CREATE", MESSAGE)),
        ("resumed; `s` is the last one again", e.Resumed(2)),
        ("the daemon stops: reconnect, and resume", Disconnect(Cause.SHUTDOWN)),
        ("there is nothing to resume: identify anew", Disconnect(Own.INVALID_SESSION)),
    ),
)

SAMPLES: Mapping[str, Samples] = {
    "oxyl": OXYL,
    "rooms": ROOMS,
    "dmod": DMOD,
    "discodo": DISCODO,
    "utilbot": UTILBOT,
    "discord": DISCORD,
}
