"""dmod as its document has it: authentication, guilds, notifications, live application sessions."""

from __future__ import annotations

from typing import Any

import pytest

from gatewayd.auth.static import StaticAuth
from gatewayd.config.limits import NotificationLimits
from gatewayd.core.behaviour import Claim, Grant
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.counts import Counts
from gatewayd.core.events import Heartbeat
from gatewayd.core.ports import NO_REPLY, BackendFailed
from gatewayd.hub.stores import MemoryNotifications
from gatewayd.protocols import dmod
from gatewayd.protocols.dmod_applications import MAX_APPLICATIONS
from tests.playbook import OPEN, Person, Playbook, notes_for
from tests.protocols import bad

REQUEST = {"op": 0, "t": None, "d": None}
BEAT = {"op": 3, "t": None, "d": None}
UNKNOWN = (1000, "Unknown data")


def book(**more: Any) -> Playbook:
    return Playbook(dmod.PROTOCOL, **more)


def passed(*notifications: Any, **more: Any) -> dict[str, Any]:
    return {"op": 2, "t": None, "d": {"missed_notifications": list(notifications), **more}}


def page(talk: Playbook, uid: str | None = "000", token: str | None = "user-token") -> Person:
    person = talk.connect()
    assert person.heard() == [REQUEST]
    person.say({"op": 1, "d": {"token": token, "uid": uid}})
    return person


def ready(talk: Playbook, uid: str | None = "000", token: str | None = "user-token") -> Person:
    person = page(talk, uid, token)
    assert person.heard()[0]["op"] == 2
    return person


def command(name: str, op: int = 7, **data: Any) -> dict[str, Any]:
    return {"op": op, "cmd": name, "d": data}


def reply(name: str, data: Any) -> dict[str, Any]:
    return {"op": 7, "t": None, "d": {"for": name, "data": data}}


def event(name: str, data: Any) -> dict[str, Any]:
    return {"op": 5, "ev": name, "t": name, "d": data}


@pytest.mark.parametrize(
    ("data", "closed"),
    [
        ({"token": "user-token", "uid": "000"}, None),
        ({"token": None, "uid": None}, None),
        ({"token": "s3cret", "uid": None}, None),
        ({"token": "wrong", "uid": None}, (1000, "Invalid token")),
        ({"token": "wrong", "uid": "000"}, (1000, "Invalid token")),
        ({"token": "user-token", "uid": "nobody"}, (1000, "Invalid token")),
        ({"token": None, "uid": "000"}, (1000, "Invalid formating of authentication")),
        ({"token": 1, "uid": "000"}, (1000, "Invalid formating of authentication")),
        ({"token": "x", "uid": 0}, (1000, "Invalid formating of authentication")),
        ({"token": "x"}, (1000, "Missing authentication data")),
        ({"uid": "x"}, (1000, "Missing authentication data")),
        (None, (1000, "Missing authentication data")),
        ([], (1000, "Missing authentication data")),
    ],
)
def test_authentication(data: Any, closed: tuple[int, str] | None) -> None:
    person = book().connect()
    person.say({"op": 1, "d": data})
    assert person.closed == closed
    assert person.heard() == ([REQUEST, passed()] if closed is None else [REQUEST])


def test_twice_and_before_and_too_late() -> None:
    person = ready(book())
    person.say({"op": 1, "d": {"token": None, "uid": None}})
    assert person.closed == UNKNOWN
    person = book().connect()
    person.say(command("CONNECT_GUILD", token="guild-token", gid="123467"))
    assert person.closed == UNKNOWN
    talk = book()
    person = talk.connect()
    talk.advance(20)
    assert person.closed == (1000, "Authentication timeout")


def test_the_server_beats_and_the_client_owes_an_answer() -> None:
    talk = book()
    person = ready(talk)
    talk.advance(30)
    assert person.heard() == [BEAT]
    person.say({"op": 4, "t": None, "d": None})
    assert person.heard() == []
    talk.advance(34.9)
    assert person.heard() == [BEAT]
    assert person.closed is None
    talk.advance(0.1)
    assert person.closed == (1000, "No heartbeat")


@pytest.mark.parametrize(("message", "cause"), bad.cases("op"), ids=bad.name)
def test_bad_input(message: Any, cause: Cause) -> None:
    person = ready(book())
    person.say(message)
    if cause is Cause.INVALID_PAYLOAD:
        assert person.closed == (1000, "Missing authentication data")
    else:
        assert person.closed == UNKNOWN


def test_causes_from_outside() -> None:
    reasons = {
        Cause.RATE_LIMITED: (1000, "Rate Limited"),
        Cause.SLOW_CONSUMER: (1000, "Slow consumer"),
        Cause.ORIGIN_REFUSED: (1000, "CORS"),
        Cause.SHUTDOWN: (1001, "server is shutting down"),
        Cause.TOO_BIG: (1009, "message too big"),
    }
    for cause, closed in reasons.items():
        person = ready(book())
        person.connection.end(Disconnect(cause))
        assert person.closed == closed
    person = ready(book())
    person.book.hub.end(person.session, Disconnect(Cause.KICKED, "why"))
    assert person.closed == (1000, "Kicked")


def test_fifty_messages_in_five_seconds() -> None:
    talk = book()
    person = ready(talk)
    for _ in range(49):  # authenticate was the first
        person.say(command("DESCONNECT_GUILD", gid="1"))
    assert person.closed is None
    person.say(command("DESCONNECT_GUILD", gid="1"))
    assert person.closed == (1000, "Rate Limited")


def test_connect_guild_answers_from_documents() -> None:
    talk = book(options={"documents": "d:"})
    talk.realm.documents.put("d:guild:123467", {"count": 100})
    talk.realm.documents.put("d:member:123467:000", {"id": "000"})
    for op in (6, 7):
        person = ready(talk)
        person.say(command("CONNECT_GUILD", op, token="guild-token", gid="123467"))
        assert person.heard() == [reply("CONNECT_GUILD", {"guild": {"count": 100}, "user": {"id": "000"}})]
    basic = ready(talk, None, None)
    basic.say(command("CONNECT_GUILD", token="guild-token", gid="123467"))
    assert basic.heard() == [reply("CONNECT_GUILD", {"guild": {"count": 100}, "user": None})]


def test_the_guild_of_the_document() -> None:
    guild: dict[str, Any] = {
        "count": 100, "banner": None, "icon": "abcdef", "premium_tier": 1, "verification_level": 3, "emojis": [],
        "current_invite_valid": False, "vanity": None,
    }  # fmt: skip
    user = {"id": "1234", "tag": "name#disc", "permissions": "0"}
    token = "q937ue0hw09fyhe.0s98fhs98d0h"
    talk = book(auth=StaticAuth(users={"1234": "hash"}, guilds={"123467": token}))
    talk.realm.documents.put("guild:123467", guild)
    talk.realm.documents.put("member:123467:1234", user)
    person = ready(talk, "1234", "hash")
    person.say({"op": 6, "cmd": "CONNECT_GUILD", "d": {"token": token, "gid": "123467"}})
    assert person.heard() == [
        {"op": 7, "t": None, "d": {"for": "CONNECT_GUILD", "data": {"guild": guild, "user": user}}}
    ]
    person.say({"op": 6, "cmd": "DESCONNECT_GUILD", "d": {"gid": "123467"}})
    assert person.heard() == [{"op": 7, "t": None, "d": {"for": "DESCONNECT_GUILD", "data": {"success": True}}}]


def test_connect_guild_answers_from_the_backend_where_there_is_one() -> None:
    person = ready(book(answers={"CONNECT_GUILD": {"guild": 1, "user": 2}}))
    person.say(command("CONNECT_GUILD", token="guild-token", gid="123467"))
    assert person.heard() == [reply("CONNECT_GUILD", {"guild": 1, "user": 2})]


def connected(talk: Playbook, uid: str = "000", token: str = "user-token") -> Person:
    person = ready(talk, uid, token)
    person.say(command("CONNECT_GUILD", token="guild-token", gid="123467"))
    assert person.heard()[0]["op"] == 7
    return person


def test_one_guild_at_a_time_and_disconnect() -> None:
    talk = book()
    person = connected(talk)
    assert talk.publish("guild:123467", "GUILD_MEMBER_COUNT_CHANGE", {"count": 5}) == (1, 0, 0)
    assert person.heard() == [event("GUILD_MEMBER_COUNT_CHANGE", {"count": 5})]
    person.say(command("CONNECT_GUILD", token="guild-token", gid="123467"))
    person.say(command("DESCONNECT_GUILD", gid="other"))
    person.say(command("DESCONNECT_GUILD", gid="123467"))
    person.say(command("DESCONNECT_GUILD", gid="123467"))
    assert person.heard()[1:] == [reply("DESCONNECT_GUILD", {"success": x}) for x in (False, True, False)]
    assert talk.publish("guild:123467", "X", {}) == (0, 0, 0)


def test_a_second_guild_removes_the_first() -> None:
    talk = book(auth=OPEN)
    person = ready(talk)
    for gid in ("1", "2"):
        person.say(command("CONNECT_GUILD", token="any", gid=gid))
    assert talk.publish("guild:1", "X", {}) == (0, 0, 0)
    assert talk.publish("guild:2", "X", {}) == (1, 0, 0)
    person.say(command("DESCONNECT_GUILD", gid="1"))
    assert person.heard()[-1] == reply("DESCONNECT_GUILD", {"success": False})


def test_what_the_listener_is_told_of_times_and_sizes() -> None:
    timing = dmod.PROTOCOL.timing
    assert (timing.interval, timing.resume_window, timing.max_message_bytes) == (30.0, 60.0, 1000)
    assert dmod.WIRE.decode({"op": 4, "t": None, "d": None}) == Heartbeat(acked=False)


@pytest.mark.parametrize(
    ("payload", "closed"),
    [
        (command("CONNECT_GUILD", token="wrong", gid="123467"), (1000, "Invalid token")),
        (command("CONNECT_GUILD", token="guild-token", gid="other"), (1000, "Invalid token")),
        (command("CONNECT_GUILD", token=None, gid="123467"), UNKNOWN),
        (command("CONNECT_GUILD"), UNKNOWN),
        (command("APPLICATION_SESSION", uid="7", gid="1", utokh="user-token", uhash=""), (1000, "Invalid token")),
        (command("APPLICATION_SESSION_PATCH", gid="1", patch=[]), UNKNOWN),
        (command("APPLICATION_SESSION_PATCH", patch={}), UNKNOWN),
        ({"op": 6, "cmd": "CONNECT_GUILD", "d": None}, UNKNOWN),
        (command("APPLICATION_SESSION", uid="000", gid="1", utokh="wrong", uhash=""), (1000, "Invalid token")),
        (command("APPLICATION_SESSION", uid="000"), UNKNOWN),
        (command("APPLICATION_SESSION_REAUTH", utokh="wrong", uhash="", pm="64"), (1000, "Invalid token")),
        (command("APPLICATION_SESSION_HB_M", gid=5), UNKNOWN),
        (command("NO_SUCH_COMMAND"), UNKNOWN),
        ({"op": 6}, UNKNOWN),
        ({"op": 6, "cmd": 1}, UNKNOWN),
        ({"op": 6, "cmd": "CONNECT_GUILD", "d": []}, UNKNOWN),
        ({"op": 2}, UNKNOWN),
    ],
)
def test_bad_commands(payload: Any, closed: tuple[int, str]) -> None:
    person = ready(book())
    person.say(payload)
    assert person.closed == closed


def test_another_command_is_the_backends() -> None:
    person = ready(book(answers={"SOMETHING": [1]}))
    person.say(command("SOMETHING", 6))
    assert person.heard() == [reply("SOMETHING", [1])]


def test_every_command_is_answered_even_where_the_backend_says_nothing() -> None:
    person = ready(book(answers={"SOMETHING": NO_REPLY}))
    person.say(command("SOMETHING", 6))
    assert person.heard() == [reply("SOMETHING", None)]


def test_a_failing_backend_is_told_in_the_reply() -> None:
    failed = BackendFailed("timeout", "no answer in time")
    talk = book(answers={"SOMETHING": failed, "CONNECT_GUILD": failed})
    person = ready(talk)
    person.say(command("SOMETHING", 6))
    person.say(command("CONNECT_GUILD", token="guild-token", gid="123467"))
    data = {"success": False, "error": "no answer in time"}
    assert person.heard() == [reply("SOMETHING", data), reply("CONNECT_GUILD", data)]
    assert talk.publish("guild:123467", "E", 1) == (0, 0, 0)
    person.say(command("DESCONNECT_GUILD", gid="123467"))
    assert person.heard() == [reply("DESCONNECT_GUILD", {"success": False})]


def test_a_backend_that_says_nothing_of_a_guild_leaves_that_to_the_documents() -> None:
    talk = book(answers={"CONNECT_GUILD": NO_REPLY})
    talk.realm.documents.put("guild:123467", {"count": 100})
    person = ready(talk)
    person.say(command("CONNECT_GUILD", token="guild-token", gid="123467"))
    assert person.heard() == [reply("CONNECT_GUILD", {"guild": {"count": 100}, "user": None})]


def test_privileges_are_told_to_their_owner_alone() -> None:
    talk = book()
    mine, other = connected(talk), connected(talk, "7", "seven")
    change = {"id": "000", "tag": "name#disc", "self": True, "permissions": "0"}
    assert talk.publish("guild:123467", "GUILD_PRIVILEGE_UPDATE", change) == (1, 0, 0)
    assert mine.heard() == [event("GUILD_PRIVILEGE_UPDATE", change)]
    assert other.heard() == []
    basic = ready(talk, None, None)
    basic.say(command("CONNECT_GUILD", token="guild-token", gid="123467"))
    for nobody in (None, {}, {"id": None}):
        assert talk.publish("guild:123467", "GUILD_PRIVILEGE_UPDATE", nobody) == (0, 0, 0)


def test_missed_notifications_are_kept_until_the_client_has_shown_that_it_lives() -> None:
    talk = book()
    note = {"type": "APPLICATION_REVIWED", "proccessed_type": 0}
    talk.hub.notify("000", note)
    first = page(talk)
    assert first.heard() == [passed(note)]
    first.leave(Cause.CLIENT_CLOSED)
    second = page(talk)
    assert second.heard() == [passed(note)]
    second.say({"op": 4})
    second.say({"op": 4})
    second.leave(Cause.CLIENT_CLOSED)
    assert page(talk).heard() == [passed()]


def test_a_notification_that_comes_meanwhile_is_not_dropped_with_the_shown_ones() -> None:
    talk = book()
    for n in range(3):
        talk.hub.notify("000", n)
    person = ready(talk)
    talk.realm.notifications.keep("000", 3)
    talk.realm.notifications.drop("000", 1, 0)
    person.say({"op": 4})
    assert notes_for(talk.hub, "000") == [3]


def test_what_was_dropped_is_not_dropped_again() -> None:
    talk = book()
    talk.hub.notify("000", 1)
    person = ready(talk)
    person.say({"op": 4})
    talk.realm.notifications.keep("000", 1)
    person.say({"op": 4})
    assert notes_for(talk.hub, "000") == [1]


def test_two_pages_that_were_shown_the_same_drop_it_once() -> None:
    talk = book()
    talk.hub.notify("000", 1)
    one, two = ready(talk), ready(talk)
    one.say({"op": 4})
    talk.realm.notifications.keep("000", 2)
    two.say({"op": 4})
    assert notes_for(talk.hub, "000") == [2]


def test_a_live_notification_and_one_that_waits_with_a_detached_page() -> None:
    talk = book()
    person = ready(talk)
    talk.hub.notify("000", {"n": 1})
    assert person.heard() == [event("NOTIFICATION", {"n": 1})]
    person.leave()
    talk.hub.notify("000", {"n": 2})
    talk.advance(60)  # nobody came back for it: it waits as a notification
    assert page(talk).heard() == [passed({"n": 2})]


def beating(talk: Playbook) -> Person:
    """A page that has answered a heartbeat."""
    person = ready(talk)
    talk.advance(30)
    person.say({"op": 4})
    return person


def test_a_notification_that_was_not_acknowledged_is_said_again_when_the_page_comes_back() -> None:
    talk = book()
    person = beating(talk)
    talk.hub.notify("000", 1)
    talk.publish("user:000", "X", 1)
    talk.hub.notify("000", 2)
    assert len(person.heard()) == 4
    person.leave()
    talk.hub.notify("000", 3)
    again = page(talk)
    assert again.session is person.session
    assert again.heard() == [passed(), *(event("NOTIFICATION", n) for n in (1, 2, 3))]
    again.leave()  # it has answered no heartbeat on this connection: it may be one that never does
    assert page(talk).heard() == [passed()]


def test_a_page_that_has_acknowledged_before_need_not_beat_on_each_connection() -> None:
    talk = book()
    person = beating(talk)
    talk.hub.notify("000", 1)
    talk.advance(30)
    person.say({"op": 4})
    talk.hub.notify("000", 2)
    person.leave()
    for _ in range(2):  # and each is lost at once
        again = page(talk)
        assert again.heard() == [passed(), event("NOTIFICATION", 2)]
        again.leave()


def test_a_notification_that_was_never_acknowledged_waits_for_the_user_when_the_session_ends() -> None:
    talk = book()
    person = beating(talk)
    talk.hub.notify("000", 1)
    talk.advance(30)
    person.say({"op": 4})
    talk.hub.notify("000", 2)
    person.leave()
    talk.advance(61)
    assert person.session.ended is not None
    assert page(talk).heard() == [passed(2)]


def test_a_page_that_came_beside_a_dead_one_is_given_what_that_one_never_acknowledged() -> None:
    """The network changes, and the browser is back before anybody has noticed that the older connection is dead."""
    talk = book()
    dead = beating(talk)
    beside = ready(talk)
    talk.hub.notify("000", 1)
    assert beside.heard() == [event("NOTIFICATION", 1)]
    talk.advance(1)
    later = ready(talk)
    dead.leave()
    talk.advance(61)
    assert dead.session.ended is not None
    assert [said for said in later.heard() if said != BEAT] == [event("NOTIFICATION", 1)]
    assert [said for said in beside.heard() if said != BEAT] == []
    beside.leave()
    later.leave()
    talk.advance(61)
    assert page(talk).heard() == [passed()]


def test_what_all_other_pages_have_heard_is_not_said_to_them_again() -> None:
    talk = book()
    dead = beating(talk)
    beside = ready(talk)
    talk.hub.notify("000", 1)
    assert beside.heard() == [event("NOTIFICATION", 1)]
    dead.leave()
    talk.advance(61)
    assert dead.session.ended is not None
    assert [said for said in beside.heard() if said != BEAT] == []
    assert notes_for(talk.hub, "000") == []


def test_what_a_guild_is_told_is_no_users_notification() -> None:
    talk = book()
    person = ready(talk)
    person.say(command("CONNECT_GUILD", token="guild-token", gid="123467"))
    person.leave()
    talk.publish("guild:123467", "NOTIFICATION", 1)
    talk.advance(61)
    assert talk.hub.totals.reasons == {"lost_with_session": 1}
    assert notes_for(talk.hub, "123467") == []


def test_a_notification_that_was_acknowledged_is_not_said_again() -> None:
    talk = book()
    person = beating(talk)
    talk.hub.notify("000", 1)
    talk.advance(30)
    person.say({"op": 4})
    talk.hub.notify("000", 2)
    person.leave()
    assert page(talk).heard() == [passed(), event("NOTIFICATION", 2)]


def test_a_notification_for_a_page_that_answers_no_heartbeat_is_not_said_again() -> None:
    talk = book()
    person = ready(talk)
    talk.hub.notify("000", 1)
    talk.advance(30)
    assert person.heard() == [event("NOTIFICATION", 1), BEAT]
    person.leave()
    again = page(talk)
    assert again.session is person.session
    assert again.heard() == [passed()]


def test_a_page_that_never_beats_is_said_nothing_twice_however_often_it_comes_back() -> None:
    talk = book()
    for number in range(3):
        person = page(talk)
        assert person.heard() == [passed()]
        talk.hub.notify("000", number)
        assert person.heard() == [event("NOTIFICATION", number)]
        person.leave()
    talk.advance(61)
    assert page(talk).heard() == [passed()]


@pytest.mark.parametrize("beats", [True, False])
def test_without_a_resume_window_what_was_not_acknowledged_waits_for_the_user_at_once(beats: bool) -> None:
    talk = book(resume_window=0.0)
    person = beating(talk) if beats else ready(talk)
    talk.hub.notify("000", 1)
    person.leave()
    assert page(talk).heard() == [passed(*[1] * beats)]


def test_notifications_that_wait_to_be_acknowledged_are_bounded_and_a_gap_is_said() -> None:
    talk = book(resume_events=2)
    person = beating(talk)
    for number in range(4):
        talk.hub.notify("000", number)
    assert person.closed is None
    person.leave()
    assert page(talk).heard() == [passed(lost=2), event("NOTIFICATION", 2), event("NOTIFICATION", 3)]


def test_a_client_that_never_beats_shows_by_a_pong_or_any_message_that_it_has_read_its_notifications() -> None:
    talk = book()
    for signs in ("pong", "message", None):
        talk.hub.notify("000", signs)
        person = ready(talk)
        assert len(person.pings) == 1
        match signs:
            case "pong":
                person.pings.pong()
            case "message":
                person.say(command("DESCONNECT_GUILD", gid="1"))
        assert notes_for(talk.hub, "000") == ([] if signs else [None])
        person.leave(Cause.CLIENT_CLOSED)
    assert page(talk).heard() == [passed(None)]


def test_who_was_shown_nothing_is_not_asked() -> None:
    talk = book()
    assert len(ready(talk).pings) == 0
    assert len(ready(talk, None, None).pings) == 0


def test_a_pong_shows_that_what_was_said_before_the_ping_was_read_and_no_more() -> None:
    talk = book()
    talk.hub.notify("000", 1)
    person = ready(talk)
    talk.realm.notifications.keep("000", 2)  # it came behind the answer to this login
    person.pings.pong()
    assert notes_for(talk.hub, "000") == [2]
    person.say({"op": 4})
    assert notes_for(talk.hub, "000") == [2]


def test_the_pong_of_a_client_that_is_gone_speaks_for_nobody() -> None:
    talk = book()
    talk.hub.notify("000", 1)
    first = ready(talk)
    first.leave()
    again = ready(talk)
    first.pings.pong()
    assert notes_for(talk.hub, "000") == [1]
    again.pings.pong()
    assert notes_for(talk.hub, "000") == []


def test_a_login_whose_client_is_gone_before_it_is_answered_asks_nobody() -> None:
    talk = book(resume_window=0.0, outbox_events=1)
    talk.hub.notify("000", 1)
    person = ready(talk)
    talk.hub.end(person.session, Disconnect(Cause.KICKED, "kicked"))
    talk.behaviour.entered(person.session, resumed=False)
    assert len(person.pings) == 1


def test_what_was_missed_does_not_count_against_the_outbox() -> None:
    talk = book(outbox_bytes=65536)
    for _ in range(60):
        talk.hub.notify("000", "x" * 20_000)
    person = page(talk)
    assert person.closed is None
    assert person.heard() == [passed(*["x" * 20_000] * 60)]
    person.reads = False
    for _ in range(2):
        talk.publish("user:000", "X", "y" * 40_000)  # whatever comes later does
    assert person.closed == (1000, "Slow consumer")


def test_a_user_is_told_how_many_notifications_gave_way() -> None:
    limits = NotificationLimits(bytes_per_user=3 * 1000, bytes=4 * 1000)
    talk = Playbook(dmod.PROTOCOL, resume_events=1)
    talk.realm.notifications = MemoryNotifications(limits)
    talk.behaviour.port.notifications = talk.realm.notifications
    for n in range(5):
        assert talk.hub.notify("000", [n, "x" * 790]).dropped == (n > 2)
    assert talk.hub.notify("000", "x" * 3000) == Counts(0, 0, 1, {"notifications_full": 1})
    first = page(talk)
    assert first.heard() == [passed(*([n, "x" * 790] for n in (2, 3, 4)), lost=3)]
    first.leave()
    for n in range(2):
        talk.publish("user:000", "X", n)
    second = page(talk)  # what the session has lost is added to that
    assert second.heard() == [passed(*([n, "x" * 790] for n in (2, 3, 4)), lost=4), event("X", 1)]
    second.say({"op": 4})
    second.leave(Cause.CLIENT_CLOSED)
    assert page(talk).heard() == [passed()]


def test_a_user_who_has_only_lost_is_told_so_until_it_knows() -> None:
    talk = book()
    talk.hub.notify("000", "x" * 5_000_000)
    for _ in range(2):
        person = page(talk)
        assert person.heard() == [passed(lost=1)]
        person.leave(Cause.CLIENT_CLOSED)
    person = page(talk)
    person.say({"op": 4})
    person.leave(Cause.CLIENT_CLOSED)
    assert page(talk).heard() == [REQUEST, passed()][1:]


def test_a_notification_that_no_outbox_could_hold_waits_for_the_next_login() -> None:
    """It cut off every page of its user, and was lost."""
    talk = book(outbox_bytes=65536)
    person = ready(talk)
    assert talk.hub.notify("000", "x" * 70_000) == Counts(0, 1)
    person.say({"op": 4})
    assert (person.closed, person.heard()) == (None, [])
    assert page(talk).heard() == [passed("x" * 70_000)]


def test_basic_access_hears_no_user_and_never_resumes() -> None:
    talk = book()
    person = ready(talk, None, None)
    person.say({"op": 4})
    person.leave()
    assert not talk.hub.sessions


def test_pages_of_one_user_live_side_by_side_and_a_detached_one_is_taken_over() -> None:
    talk = Playbook(dmod.PROTOCOL, resume_events=1)
    one, two = ready(talk), ready(talk)
    assert talk.publish("user:000", "X", 1) == (2, 0, 0)
    one.leave()
    talk.publish("user:000", "X", 2)
    talk.publish("user:000", "X", 3)
    three = page(talk)
    assert three.heard() == [passed(lost=1), event("X", 3)]
    assert three.session is one.session
    assert two.closed is None


def live(talk: Playbook, gid: str = "0001") -> Person:
    person = ready(talk)
    person.say(command("APPLICATION_SESSION", uid="000", gid=gid, utokh="user-token", uhash=""))
    assert person.heard() == [reply("APPLICATION_SESSION", {"success": True})]
    return person


def beats(talk: Playbook, *people: Person, seconds: float = 30) -> None:
    talk.advance(seconds)
    for person in people:
        person.say({"op": 4})


def named(person: Person) -> list[str]:
    return [payload["ev"] for payload in person.heard() if payload["op"] == 5]


def test_an_application_session_beats_and_ends_unanswered() -> None:
    talk = book()
    person = live(talk)
    watcher = ready(talk, "7", "seven")
    talk.hub.subscribe(watcher.session, "guild:0001")
    beats(talk, person, watcher)
    heard = person.heard()
    assert BEAT in heard
    assert event("APPLICATION_SESSION_HB_P", {"gid": "0001"}) in heard
    person.say(command("APPLICATION_SESSION_HB_M", gid="other"))
    person.say(command("APPLICATION_SESSION_HB_M", gid="0001"))
    beats(talk, person, watcher)
    assert named(person) == ["APPLICATION_SESSION_HB_P"]
    assert named(watcher) == []
    beats(talk, person, watcher)
    assert event("APPLICATION_SESSION_END", {"gid": "0001", "uid": "000"}) in watcher.heard()
    assert named(person) == ["APPLICATION_SESSION_END"]
    beats(talk, person, watcher)
    assert named(person) == []


def test_it_may_be_started_again_and_ended_by_its_client() -> None:
    talk = book()
    person = live(talk)
    person.say(command("APPLICATION_SESSION", uid="000", gid="0001", utokh="user-token", uhash=""))
    beats(talk, person)
    assert named(person) == ["APPLICATION_SESSION_HB_P"]  # of the second one alone
    person.say(command("APPLICATION_SESSION_END", gid="0001"))
    person.say(command("APPLICATION_SESSION_END", gid="0001"))
    assert person.heard() == [
        event("APPLICATION_SESSION_END", {"gid": "0001", "uid": "000"}),
        reply("APPLICATION_SESSION_END", {"success": True}),
        reply("APPLICATION_SESSION_END", {"success": False}),
    ]


def test_it_waits_while_its_page_is_detached_and_ends_with_the_window() -> None:
    talk = book()
    person = live(talk)
    watcher = ready(talk, "7", "seven")
    talk.hub.subscribe(watcher.session, "guild:0001")
    person.leave()
    beats(talk, watcher)
    assert named(watcher) == []
    again = ready(talk)
    assert again.session is person.session
    again.leave()
    beats(talk, watcher)
    beats(talk, watcher)
    assert named(watcher) == ["APPLICATION_SESSION_END"]


def test_a_detached_page_is_not_asked_for_signs_of_life() -> None:
    talk = book(resume_window=300.0)
    person = live(talk)
    person.leave()
    talk.advance(200)
    again = page(talk)
    assert again.heard() == [passed()]
    assert again.session.data.applications


def test_changed_permissions_ask_for_reauth() -> None:
    talk = book(options={"reauth_timeout": 10.0})
    person = live(talk)
    change = {"id": "000", "permissions": "0"}
    talk.publish("guild:other", "GUILD_PRIVILEGE_UPDATE", change)
    assert named(person) == []
    talk.publish("guild:0001", "GUILD_PRIVILEGE_UPDATE", change)
    talk.publish("guild:0001", "GUILD_PRIVILEGE_UPDATE", change)  # asked already
    assert named(person) == ["APPLICATION_SESSION_REAUTH"]
    person.say(command("APPLICATION_SESSION_REAUTH", utokh="user-token", uhash="", pm="64"))
    person.say(command("APPLICATION_SESSION_REAUTH", utokh="user-token", uhash="", pm="64"))
    assert person.heard() == [reply("APPLICATION_SESSION_REAUTH", {"success": x}) for x in (True, False)]
    talk.advance(10)
    assert person.session.data.applications
    talk.publish("user:000", "GUILD_PRIVILEGE_UPDATE", change)
    talk.advance(10)
    assert not person.session.data.applications


def test_reauth_is_for_identified_users() -> None:
    person = ready(book(auth=OPEN), None, None)
    person.say(command("APPLICATION_SESSION_REAUTH", utokh="user-token", uhash="", pm="64"))
    assert person.closed == (1000, "Invalid token")


def test_application_sessions_are_bounded() -> None:
    talk = Playbook(dmod.PROTOCOL, rate_limit=None)
    person = ready(talk)
    for n in range(MAX_APPLICATIONS + 1):
        assert person.closed is None
        person.say(command("APPLICATION_SESSION", uid="000", gid=str(n), utokh="user-token", uhash=""))
    assert person.closed == UNKNOWN


def test_a_change_that_says_not_whose_asks_nobody() -> None:
    talk = book()
    person = live(talk)
    for data in ({"id": 1}, {}, [1]):
        talk.publish("guild:0001", "GUILD_PRIVILEGE_UPDATE", data)
    talk.publish("guild:0001", "OTHER", {"id": "000"})
    assert named(person) == []


def test_a_heartbeat_that_was_lost_with_the_connection_is_not_held_against_the_one_that_resumes() -> None:
    talk = book()
    person = live(talk)
    beats(talk, person)  # asked at 30 s; the connection is lost before the answer
    person.leave()
    talk.advance(29.9)
    again = ready(talk)
    beats(talk, again, seconds=0.1)
    assert named(again) == ["APPLICATION_SESSION_HB_P"]
    assert again.session.data.applications
    beats(talk, again)
    assert not again.session.data.applications


def test_an_answer_may_speak_for_all() -> None:
    talk = book()
    person = live(talk)
    for _ in range(3):
        beats(talk, person)
        person.say({"op": 7, "cmd": "APPLICATION_SESSION_HB_M"})
    assert person.session.data.applications
    assert all(payload["op"] != 7 for payload in person.heard())


def no_room(talk: Playbook, *gids: str) -> Person:
    """A page with application sessions that stops reading; one event still has room."""
    person = ready(talk)
    for gid in gids:
        person.say(command("APPLICATION_SESSION", uid="000", gid=gid, utokh="user-token", uhash=""))
    person.reads = False
    return person


def test_nothing_is_due_for_a_page_that_ended_because_it_did_not_read() -> None:
    talk = book(resume_window=0.0, outbox_events=1)
    person = no_room(talk, "1", "2")
    session = person.session
    talk.publish("user:000", "X", 1)
    talk.advance(30)
    assert session.ended is not None
    assert session.data.applications == {}
    assert talk.hub.timers.next == float("inf")


def test_a_page_that_ends_when_it_is_asked_to_reauth_is_asked_once() -> None:
    talk = book(resume_window=0.0, outbox_events=1)
    person = no_room(talk, "1", "2")
    session = person.session
    talk.publish("user:000", "GUILD_PRIVILEGE_UPDATE", {"id": "000"})
    assert session.ended is not None
    assert talk.hub.timers.next == float("inf")


@pytest.mark.parametrize(
    "payload",
    [
        command("CONNECT_GUILD", token="guild-token", gid="123467"),
        command("APPLICATION_SESSION", uid="000", gid="1", utokh="user-token", uhash=""),
        command("APPLICATION_SESSION_REAUTH", utokh="user-token", uhash="", pm="64"),
    ],
)
def test_a_session_that_ended_while_its_claim_was_verified_is_given_nothing(payload: Any) -> None:
    class Slow:
        person: Person | None = None

        async def verify(self, claim: Claim) -> Grant:
            if self.person is not None:
                talk.hub.end(self.person.session, Disconnect(Cause.KICKED, "kicked"))
            return Grant(granted=True)

    auth = Slow()
    talk = book(auth=auth)
    person = ready(talk)
    auth.person = person
    session = person.session
    person.say(payload)
    assert person.closed == (1000, "Kicked")
    assert person.heard() == []
    assert talk.realm.channels == {}
    assert session.data.applications == {}
    assert talk.hub.timers.next == float("inf")
