"""Every payload of dmod's document (linked in docs/protocols/dmod.md), as it stands there: ours byte for byte, a client's
understood."""

from __future__ import annotations

import json

import msgspec
import pytest

from gatewayd.core import events as e
from gatewayd.core.record import MissedNotifications
from gatewayd.protocols import dmod
from tests.playbook import OPEN
from tests.protocols.test_dmod import book, ready

NOTE = '{ "type": "APPLICATION_REVIWED", "proccessed_type": 0 }'
GUILD = (
    '{ "count": 100, "banner": null, "icon": "abcdef", "premium_tier": 1, "verification_level": 3, "emojis": [], '
    '"current_invite_valid": false, "vanity": null }'
)
USER = '{ "id": "1234", "tag": "name#disc", "permissions": "0" }'
CHANGE = '{ "id": "1234", "tag": "name#disc", "self": true, "permissions": "0" }'
CONNECT, LEAVE = e.Command(6, "CONNECT_GUILD"), e.Command(6, "DESCONNECT_GUILD")
NOTES = MissedNotifications([msgspec.Raw(json.dumps(json.loads(NOTE), separators=(",", ":")).encode())])


@pytest.mark.parametrize(
    ("said", "document"),
    [
        (e.Hello(30.0), '{ "op": 0, "t": null, "d": null }'),
        (e.Beat(), '{ "op": 3, "t": null, "d": null }'),
        (e.Ready(NOTES), '{ "op": 2, "t": null, "d": { "missed_notifications": [ ' + NOTE + " ] } }"),
        # In these the document has no `t`: it is null, or the name for clients of the original, which look for it there.
        (
            e.Reply(CONNECT, {"guild": json.loads(GUILD), "user": json.loads(USER)}),
            '{ "op": 7, "t": null, "d": { "for": "CONNECT_GUILD", '
            '"data": { "guild": ' + GUILD + ', "user": ' + USER + " } } }",
        ),
        (
            e.Reply(LEAVE, {"success": True}),
            '{ "op": 7, "t": null, "d": { "for": "DESCONNECT_GUILD", "data": { "success": true } } }',
        ),
        (
            e.Event("user:1234", "GUILD_PRIVILEGE_UPDATE", json.loads(CHANGE), 0.0),
            '{ "op": 5, "ev": "GUILD_PRIVILEGE_UPDATE", "t": "GUILD_PRIVILEGE_UPDATE", "d": ' + CHANGE + " }",
        ),
        # What has no data says so.
        (e.Event("guild:1", "X", None, 0.0), '{ "op": 5, "ev": "X", "t": "X", "d": null }'),
        (e.Reply(LEAVE), '{ "op": 7, "t": null, "d": { "for": "DESCONNECT_GUILD", "data": null } }'),
    ],
)
def test_what_the_daemon_says(said: e.ServerEvent, document: str) -> None:
    frame = dmod.WIRE.frame(said, "text") if isinstance(said, e.Event) else dmod.WIRE.encode(said, "text")
    assert frame is not None
    text = frame[4 if frame[1] == 126 else 2 :].decode()
    assert text == json.dumps(json.loads(document), separators=(",", ":"))


def test_what_a_client_says() -> None:
    person = ready(book(auth=OPEN))
    document = """
        { "op": 4, "t": null, "d": null }
        { "op": 6, "cmd": "CONNECT_GUILD", "d": { "token": "q937ue0hw09fyhe.0s98fhs98d0h", "gid": "123467" } }
        { "op": 6, "cmd": "DESCONNECT_GUILD", "d": { "gid": "123467" } }
        { "op": 7, "cmd": "APPLICATION_SESSION", "d": { "uid": "000", "gid": "0001", "utokh": "", "uhash": "" } }
        { "op": 7, "cmd": "APPLICATION_SESSION_REAUTH", "d": { "utokh": "", "uhash": "", "pm": "64" } }
        { "op": 7, "cmd": "APPLICATION_SESSION_HB_M", "t": null, "d": null }
        { "op": 7, "cmd": "APPLICATION_SESSION_END", "d": { "gid": "0001" } }
    """
    for line in document.strip().splitlines():
        person.say(line.strip())
    assert person.closed is None
    assert [payload["d"]["for"] for payload in person.heard() if payload["op"] == 7] == [
        "CONNECT_GUILD", "DESCONNECT_GUILD",
        "APPLICATION_SESSION", "APPLICATION_SESSION_REAUTH", "APPLICATION_SESSION_END",
    ]  # fmt: skip
