"""Live application sessions: whose they are, whose options hold, patches, and who is told of their end."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from gatewayd.auth.static import StaticAuth
from gatewayd.core.behaviour import Claim, Grant
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.ports import NO_REPLY, BackendFailed
from gatewayd.protocols import dmod
from gatewayd.protocols.dmod_applications import merged
from tests.playbook import Person, Playbook
from tests.protocols.test_dmod import UNKNOWN, book, command, event, named, ready, reply

END = "APPLICATION_SESSION_END"
REAUTH = "APPLICATION_SESSION_REAUTH"
ASKED = event(REAUTH, {"gid": "1"})


def started(person: Person, uid: str = "000", gid: str = "1", token: str = "user-token") -> Person:
    person.say(command("APPLICATION_SESSION", uid=uid, gid=gid, utokh=token, uhash=""))
    assert person.heard() == [reply("APPLICATION_SESSION", {"success": True})]
    return person


def shown(token: str) -> dict[str, Any]:
    return command(REAUTH, utokh=token, uhash="", pm="64")


# --- whose they are -------------------------------------------------------------------------------------------


def test_it_may_be_of_another_user_than_the_connections() -> None:
    talk = book()
    for person in (ready(talk), ready(talk, None, None)):  # a user's page, and one of basic access
        talk.verified.clear()
        started(person, "7", token="seven")
        assert talk.verified == [Claim("user", "seven", "7", {"gid": "1", "uhash": ""})]
        person.say(command(END, gid="1"))
        assert person.heard()[0] == event(END, {"gid": "1", "uid": "7"})


def test_the_permissions_of_its_own_member_are_what_counts() -> None:
    talk = book()
    page, basic = started(ready(talk), "7", token="seven"), started(ready(talk, None, None), "7", token="seven")
    talk.publish("guild:1", "GUILD_PRIVILEGE_UPDATE", {"id": "000"})
    assert (page.heard(), basic.heard()) == ([], [])
    talk.publish("guild:1", "GUILD_PRIVILEGE_UPDATE", {"id": "7"})
    assert (page.heard(), basic.heard()) == ([ASKED], [ASKED])
    for person in (page, basic):
        person.say(shown("seven"))
        assert person.heard() == [reply(REAUTH, {"success": True})]
    page.say(shown("user-token"))  # nobody is asked: it is the page's own user who shows who it is
    assert page.heard() == [reply(REAUTH, {"success": False})]
    basic.say(shown("seven"))  # which basic access has none
    assert basic.closed == (1000, "Invalid token")


def test_each_member_shows_who_it_is_for_itself() -> None:
    talk = book()
    page = started(started(ready(talk)), "7", "2", "seven")
    for uid in ("000", "7"):
        talk.publish(f"user:{uid}", "GUILD_PRIVILEGE_UPDATE", {"id": uid})
    assert named(page).count(REAUTH) == 2
    page.say(shown("seven"))
    assert page.heard() == [reply(REAUTH, {"success": True})]
    talk.advance(30)
    assert list(page.session.data.applications) == ["2"]
    page.say(shown("wrong"))
    assert page.closed == (1000, "Invalid token")


def test_one_that_ends_while_its_member_is_verified_is_not_answered_for() -> None:
    class Slow:
        async def verify(self, claim: Claim) -> Grant:
            if claim.extra.get("pm"):
                talk.advance(30)
            return Grant(granted=True)

    talk = book(auth=Slow(), heartbeat="off", rate_limit=None)
    page = started(ready(talk))
    talk.publish("user:000", "GUILD_PRIVILEGE_UPDATE", {"id": "000"})
    page.say(shown("user-token"))
    assert reply(REAUTH, {"success": False}) in page.heard()


def test_another_member_of_the_same_guild_takes_its_place_and_the_first_is_told_to_have_ended() -> None:
    talk = book()
    page, watcher = started(ready(talk)), ready(talk, "7", "seven")
    talk.hub.subscribe(watcher.session, "guild:1")
    page.say(command("APPLICATION_SESSION", uid="7", gid="1", utokh="seven", uhash=""))
    ended = event(END, {"gid": "1", "uid": "000"})
    assert page.heard() == [ended, reply("APPLICATION_SESSION", {"success": True})]
    assert watcher.heard() == [ended]
    assert page.session.data.applications["1"].uid == "7"


def test_one_that_cannot_be_told_of_the_end_gets_no_new_one() -> None:
    talk = book(resume_window=0.0, outbox_events=1)
    page = started(ready(talk))
    session = page.session
    page.reads = False
    talk.publish("user:000", "X", 1)
    page.say(command("APPLICATION_SESSION", uid="7", gid="1", utokh="seven", uhash=""))
    assert page.closed == (1000, "Slow consumer")
    assert session.data.applications == {}
    assert talk.hub.timers.next == float("inf")


def test_it_is_kept_with_its_member() -> None:
    talk = book()
    page = started(started(ready(talk)), "7", "2", "seven")
    kept = json.loads(json.dumps(talk.behaviour.keep(page.session)))
    assert kept == {"guild": None, "applications": {"1": False, "2": False}, "users": {"2": "7"}}
    older = {"guild": None, "applications": {"1": True}}  # as a version before wrote it
    again = Playbook(dmod.PROTOCOL)
    for row, members in ((kept, {"1": "000", "2": "7"}), (older, {"1": "000"})):
        session = ready(again).session
        again.behaviour.restore(session, row)
        assert {gid: item.uid for gid, item in session.data.applications.items()} == members
        again.hub.end(session, Disconnect(Cause.KICKED, "over"))
    assert again.hub.timers.next == float("inf")


# --- who is told of the end -----------------------------------------------------------------------------------


def test_its_owner_is_told_of_the_end_whether_it_hears_the_guild_or_not() -> None:
    for hears in (False, True):
        talk = book()
        page = started(ready(talk))
        if hears:
            talk.hub.subscribe(page.session, "guild:1")
        talk.advance(30)
        talk.advance(30)
        assert [payload for payload in page.heard() if payload["op"] == 5 and payload["ev"] == END] == [
            event(END, {"gid": "1", "uid": "000"})
        ]


def test_where_the_session_is_gone_its_members_other_pages_are_told_once() -> None:
    talk = book()
    page, other, hearing, stranger = started(ready(talk)), ready(talk), ready(talk), ready(talk, "7", "seven")
    talk.hub.subscribe(hearing.session, "guild:1")
    page.leave(Cause.CLIENT_CLOSED)
    ended = event(END, {"gid": "1", "uid": "000"})
    assert [person.heard() for person in (other, hearing, stranger)] == [[ended], [ended], []]


def test_an_owner_that_is_away_is_told_when_it_is_back() -> None:
    talk = book(options={"reauth_timeout": 10.0})
    page = started(ready(talk))
    talk.publish("user:000", "GUILD_PRIVILEGE_UPDATE", {"id": "000"})
    page.leave()
    talk.advance(10)
    again = talk.connect()
    again.say({"op": 1, "d": {"token": "user-token", "uid": "000"}})
    assert again.heard()[-1] == event(END, {"gid": "1", "uid": "000"})


@pytest.mark.parametrize("mode", ["off", "lenient", "strict"])
def test_its_own_heartbeat_is_judged_whatever_the_listener_does_about_the_connections(mode: str) -> None:
    talk = book(heartbeat=mode)
    page = started(ready(talk))
    for _ in range(2):
        page.say({"op": 4})
        talk.advance(30)
    assert named(page) == ["APPLICATION_SESSION_HB_P", END]
    assert page.closed is None


@pytest.mark.parametrize("said", [{"d": None}, {}, {"d": {}}, {"d": {"gid": "1"}}])
def test_a_sign_of_life_may_have_no_data(said: dict[str, Any]) -> None:
    talk = book()
    page = started(ready(talk))
    for _ in range(3):
        talk.advance(30)
        page.say({"op": 7, "cmd": "APPLICATION_SESSION_HB_M", **said})
        page.say({"op": 4, "t": None, "d": None})
    assert page.session.data.applications


# --- patches --------------------------------------------------------------------------------------------------


def test_a_patch_goes_into_the_document() -> None:
    talk = book(options={"documents": "d:"})
    page = started(ready(talk))
    for patch in ({"name": "a", "sections": {"about": "x", "old": 1}}, {"sections": {"old": None}, "size": 2}):
        page.say(command("APPLICATION_SESSION_PATCH", gid="1", patch=patch))
        assert page.heard() == [reply("APPLICATION_SESSION_PATCH", {"success": True})]
    assert talk.realm.documents.get("d:application:1") == {"name": "a", "sections": {"about": "x"}, "size": 2}


def test_a_patch_goes_to_the_backend_where_there_is_one() -> None:
    asked = []

    async def ask(session: Any, told: Any, answer: Any) -> None:
        asked.append((told.name, told.data))
        answer(answers.pop(0))

    answers = [{"success": True, "version": 2}, NO_REPLY]
    talk = book()
    page = started(ready(talk), "7", token="seven")
    talk.ask = ask
    for answered in ({"success": True, "version": 2}, {"success": True}):
        page.say(command("APPLICATION_SESSION_PATCH", gid="1", patch={"a": 1}, uid="000"))
        assert page.heard() == [reply("APPLICATION_SESSION_PATCH", answered)]
    assert asked == [("APPLICATION_SESSION_PATCH", {"gid": "1", "patch": {"a": 1}, "uid": "7"})] * 2
    assert talk.realm.documents.get("application:1") is None


def test_a_backend_that_fails_to_patch_is_told_in_the_reply() -> None:
    talk = book(answers={"APPLICATION_SESSION_PATCH": BackendFailed("timeout", "no answer in time")})
    page = started(ready(talk))
    page.say(command("APPLICATION_SESSION_PATCH", gid="1", patch={}))
    failed = {"success": False, "error": "no answer in time"}
    assert page.heard() == [reply("APPLICATION_SESSION_PATCH", failed)]


def test_nobody_patches_without_a_live_session_that_has_shown_who_it_is() -> None:
    talk = book()
    page = ready(talk)
    refused = reply("APPLICATION_SESSION_PATCH", {"success": False})
    patch = command("APPLICATION_SESSION_PATCH", gid="1", patch={"a": 1})
    page.say(patch)
    assert page.heard() == [refused]
    started(page)
    talk.publish("user:000", "GUILD_PRIVILEGE_UPDATE", {"id": "000"})
    page.heard()
    page.say(patch)
    assert page.heard() == [refused]
    page.say(shown("user-token"))
    page.say(patch)
    assert page.heard()[-1] == reply("APPLICATION_SESSION_PATCH", {"success": True})


@pytest.mark.parametrize("name", ["application_bytes", "reauth_timeout"])
def test_a_bound_of_nothing_is_a_mistake(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' must be > 0"):
        book(options={name: 0})


def test_a_document_grows_by_patches_up_to_its_bound() -> None:
    talk = book(options={"application_bytes": 20})
    page = started(ready(talk))
    for patch, taken in (({"a": "x" * 9}, True), ({"b": "x" * 9}, False), ({"a": None}, True), ({"b": 1}, True)):
        page.say(command("APPLICATION_SESSION_PATCH", gid="1", patch=patch))
        assert page.heard() == [reply("APPLICATION_SESSION_PATCH", {"success": taken})]
    assert talk.realm.documents.get("application:1") == {"b": 1}


@pytest.mark.parametrize(
    ("value", "patch", "result"),  # of RFC 7396, appendix A
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_as_the_rfc_has_them(value: Any, patch: Any, result: Any) -> None:
    assert merged(value, patch) == result


# --- the options of two listeners -----------------------------------------------------------------------------


def two(first: dict[str, Any], second: dict[str, Any], **settings: Any) -> tuple[Playbook, Playbook]:
    """Two listeners of one realm with other options; `settings` are the second one's."""
    talk = book(options=first)
    return talk, Playbook(dmod.PROTOCOL, beside=talk, listener="other", options=second, **settings)


def test_every_option_has_its_test() -> None:
    """Below: each with two listeners that differ in it."""
    tested = {"reauth_timeout", "documents", "application_bytes", "unknown_guild"}
    assert {option.name for option in attrs.fields(dmod.PROTOCOL.options)} == tested


def test_each_listener_has_its_own_time_to_show_who_one_is() -> None:
    """The first listener's held for all of them."""
    quick, slow = two({"reauth_timeout": 10.0}, {"reauth_timeout": 100.0})
    one, other = started(ready(quick)), started(ready(slow))
    quick.publish("guild:1", "GUILD_PRIVILEGE_UPDATE", {"id": "000"})
    assert (named(one), named(other)) == ([REAUTH], [REAUTH])
    quick.advance(10)
    assert (list(one.session.data.applications), list(other.session.data.applications)) == ([], ["1"])
    quick.advance(19)
    assert list(other.session.data.applications) == ["1"]


def test_each_listener_asks_for_life_at_its_own_interval_and_a_session_that_moves_goes_by_the_new_ones() -> None:
    quick, slow = two({"reauth_timeout": 10.0}, {"reauth_timeout": 100.0}, interval=100.0)
    one, other = started(ready(quick)), started(ready(slow))
    quick.advance(30)
    assert (named(one), named(other)) == (["APPLICATION_SESSION_HB_P"], [])
    one.leave()
    moved = ready(slow)
    assert moved.session is one.session
    moved.say(command("APPLICATION_SESSION_HB_M"))
    quick.advance(30)  # begun at the first listener
    assert named(moved) == ["APPLICATION_SESSION_HB_P"]
    moved.say(command("APPLICATION_SESSION_HB_M"))
    quick.advance(99)
    assert named(moved) == []
    quick.publish("guild:1", "GUILD_PRIVILEGE_UPDATE", {"id": "000"})
    quick.advance(11)
    assert named(moved) == [REAUTH, "APPLICATION_SESSION_HB_P"]
    assert list(moved.session.data.applications) == ["1"]


def test_each_listener_serves_and_patches_its_own_documents() -> None:
    first, second = two({"documents": "a:"}, {"documents": "b:", "application_bytes": 20})
    first.hub.realms.make("main").documents.put("a:guild:123467", {"count": 1})
    first.hub.realms.make("main").documents.put("b:guild:123467", {"count": 2})
    for talk, count, taken in ((first, 1, True), (second, 2, False)):
        page = started(ready(talk))
        page.say(command("CONNECT_GUILD", token="guild-token", gid="123467"))
        assert page.heard() == [reply("CONNECT_GUILD", {"guild": {"count": count}, "user": None})]
        page.say(command("APPLICATION_SESSION_PATCH", gid="1", patch={"a": "x" * 20}))
        assert page.heard() == [reply("APPLICATION_SESSION_PATCH", {"success": taken})]
    assert first.hub.realms.make("main").documents.get("a:application:1") == {"a": "x" * 20}
    assert first.hub.realms.make("main").documents.get("b:application:1") is None


def test_each_listener_has_its_own_answer_for_a_guild_that_nobody_knows() -> None:
    first, second = two({}, {"unknown_guild": "close"})
    connect = command("CONNECT_GUILD", token="guild-token", gid="123467")
    one, other = ready(first), ready(second)
    one.say(connect)
    other.say(connect)
    assert one.heard() == [reply("CONNECT_GUILD", {"guild": None, "user": None})]
    assert other.closed == (1000, "Guild not found")
    assert other.heard() == []
    assert first.publish("guild:123467", "E", 1) == (1, 0, 0)


@pytest.mark.parametrize(
    ("answer", "known"),
    [
        (NO_REPLY, False), (None, False), ({"guild": None}, False), ({}, False),
        ({"guild": {}}, True), ({"guild": 1, "user": None}, True), ([], True),
    ],
)  # fmt: skip
def test_what_a_backend_says_of_a_guild_that_it_does_not_know(answer: Any, known: bool) -> None:
    talk = book(options={"unknown_guild": "close"}, answers={"CONNECT_GUILD": answer})
    page = ready(talk)
    page.say(command("CONNECT_GUILD", token="guild-token", gid="123467"))
    assert page.closed == (None if known else (1000, "Guild not found"))
    talk = book(answers={"CONNECT_GUILD": answer})
    page = ready(talk)
    page.say(command("CONNECT_GUILD", token="guild-token", gid="123467"))
    assert page.closed is None


def test_a_wrong_token_does_not_tell_whether_there_is_such_a_guild() -> None:
    talk = book(options={"unknown_guild": "close"}, auth=StaticAuth(users={"000": "user-token"}))
    page = ready(talk)
    page.say(command("CONNECT_GUILD", token="x", gid="nobody's"))
    assert page.closed == (1000, "Invalid token")


def test_the_other_faults_of_a_command_close_as_they_did() -> None:
    page = ready(book(options={"unknown_guild": "close"}))
    page.say(command("NO_SUCH_COMMAND"))
    assert page.closed == UNKNOWN
