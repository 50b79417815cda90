"""Grants: what a verdict gives to a session, takes away again, and when it ends the session or is asked for anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gatewayd.core.behaviour import Claim, Grant
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.protocol import Protocol
from gatewayd.hub import grants
from gatewayd.protocols import discodo, dmod, oxyl, rooms, utilbot
from tests.playbook import Person, Playbook, run
from tests.sixth import PROTOCOL as TICKER


class Judge:
    """Auth that says what it was told to say next; the last verdict stays."""

    def __init__(self, *verdicts: Grant) -> None:
        self.verdicts = list(verdicts)
        self.asked: list[Claim] = []
        self.meanwhile: Callable[[], object] = lambda: None

    async def verify(self, claim: Claim) -> Grant:
        self.asked.append(claim)
        self.meanwhile()
        return self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]


REFUSED = Grant(granted=False, reason="expired")


def yes(*channels: str, expires: float | None = None, again: bool = False, failure: str = "", **metadata: Any) -> Grant:
    return Grant(
        granted=True, channels=channels, metadata=metadata, expires=expires, ask_again=again, failure=failure
    )  # fmt: skip


def bots(*verdicts: Grant, **more: Any) -> tuple[Playbook, Judge]:
    judge = Judge(*verdicts)
    return Playbook(utilbot.PROTOCOL, auth=judge, **more), judge


def bot(talk: Playbook, name: str = "a") -> Person:
    person = talk.connect()
    person.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "k", "id": name}})
    return person


def as_utilbot(talk: Playbook) -> Person:
    return bot(talk)


def as_oxyl(talk: Playbook) -> Person:
    person = talk.connect()
    person.say({"op": 0, "d": {"type": "sharder", "compress": False, "secret": "k"}})
    return person


def as_room(talk: Playbook) -> Person:
    return talk.connect("/gateway", {"roomId": "1", "participantId": "2", "token": "k"})


def as_user(talk: Playbook) -> Person:
    person = talk.connect()
    person.say({"op": 1, "d": {"token": "k", "uid": "7"}})
    return person


def as_basic(talk: Playbook) -> Person:
    person = talk.connect()
    person.say({"op": 1, "d": {"token": "k", "uid": None}})
    return person


def as_audio(talk: Playbook) -> Person:
    person = talk.connect("/ws", headers={"authorization": "k"})
    talk.advance(5)  # the password is judged before hello; its time runs from there
    person.say({"op": "IDENTIFY", "d": {"user_id": "a", "shard_id": None}})
    return person


def as_ticker(talk: Playbook) -> Person:
    person = talk.connect()
    person.say({"type": "hi", "name": "a", "token": "k"})
    return person


EVERY = [
    (utilbot.PROTOCOL, as_utilbot, (4001, "the login has expired")),
    (oxyl.PROTOCOL, as_oxyl, (4001, "the login has expired")),
    (rooms.PROTOCOL, as_room, (1008, "the login has expired")),
    (dmod.PROTOCOL, as_user, (1000, "Invalid token")),
    (dmod.PROTOCOL, as_basic, (1000, "Invalid token")),
    (discodo.PROTOCOL, as_audio, (1008, "the login has expired")),
    (TICKER, as_ticker, (4401, "the login has expired")),
]


@pytest.mark.parametrize(("protocol", "enter", "closed"), EVERY, ids=[enter.__name__ for _, enter, _ in EVERY])
def test_every_protocol_passes_the_grant_on(
    protocol: Protocol, enter: Callable[[Playbook], Person], closed: tuple[int, str]
) -> None:
    options = {"ad_hoc": True} if protocol is rooms.PROTOCOL else {}
    metadata = {"plan": "gold", **dict.fromkeys(protocol.behaviour.own, "stolen")}
    granted = Grant(granted=True, channels=("user:granted",), expires=12.0, metadata=metadata)
    talk = Playbook(protocol, options=options, auth=Judge(granted))
    start = talk.now
    person = enter(talk)
    session = person.session
    assert "user:granted" in session.channels
    assert session.metadata["plan"] == "gold"
    assert "stolen" not in session.metadata.values()
    talk.advance(start + 11.9 - talk.now)
    assert session.state != "ended"
    talk.advance(0.1)
    assert person.closed == closed
    assert str(session.ended) == "auth_failed: the login has expired"
    assert session.grant is None


def test_a_grant_without_an_expiry_lasts() -> None:
    talk, _ = bots(yes())
    person = bot(talk)
    for _ in range(100):
        talk.advance(60)
        person.say({"op": 10})
    assert person.closed is None


def test_a_detached_session_expires_as_well() -> None:
    talk, _ = bots(yes(expires=10.0))
    person = bot(talk)
    person.leave()
    talk.advance(10)
    assert person.session.state == "ended"


def test_a_session_that_ends_before_its_grant_leaves_nothing_behind() -> None:
    talk, _ = bots(yes(expires=10.0), resume_window=0.0)
    bot(talk).leave()
    assert talk.hub.timers.next == float("inf")


def test_a_resumed_session_has_the_new_verdict_alone() -> None:
    talk, _ = bots(
        yes("user:old", "user:both", "user:a", expires=10.0, old=1, both=1), yes("user:both", "user:new", both=2)
    )
    person = bot(talk)
    person.leave()
    session = bot(talk).session
    assert session is person.session
    assert session.channels == {
        "user:both",
        "user:new",
        "user:a",
        "service:bot",
        f"session:{session.id}",
        "listener:main",
    }
    assert session.metadata == {"type": "bot", "both": 2}
    talk.advance(20)
    assert session.state == "resumed"


def test_what_the_protocol_subscribed_is_not_taken_with_a_grant() -> None:
    """A channel that a grant gave first becomes the session's own when its protocol subscribes it at a resume."""
    talk, judge = bots(yes("user:x", "service:cat"), yes("service:cat"), yes())
    person = bot(talk)
    person.leave()
    again = talk.connect()
    again.say({"op": 1, "t": "identify", "d": {"type": "cat", "key": "k", "id": "a"}})
    assert again.session is person.session
    assert again.session.granted == set()
    again.leave()
    assert bot(talk).session.channels >= {"user:a", "service:cat"}
    assert len(judge.asked) == 3


def test_the_same_claim_is_asked_again() -> None:
    talk, judge = bots(
        yes("user:old", expires=10.0, again=True, n=1), yes("user:new", expires=20.0, again=True, n=2), REFUSED
    )
    person = bot(talk)
    talk.advance(10)
    assert judge.asked[0].subject == "a"
    assert judge.asked == [judge.asked[0]] * 2
    assert person.closed is None
    assert person.session.granted == {"user:new"}
    assert person.session.metadata == {"type": "bot", "n": 2}
    talk.advance(19.9)
    assert person.closed is None
    talk.advance(0.1)
    assert person.closed == (4001, "the login has expired")


def test_a_login_that_nobody_can_judge_again_is_told_from_one_that_is_refused() -> None:
    away = Grant(granted=False, reason="failed", failure="timeout")
    talk, _ = bots(yes(expires=10.0, again=True), away)
    person = bot(talk)
    session = person.session
    talk.advance(10)
    assert person.closed == (4001, "the login has expired")  # this protocol does not tell them apart
    assert str(session.ended) == "not_judged: the login has expired"


def test_a_new_grant_may_have_no_end() -> None:
    talk, judge = bots(yes(expires=10.0, again=True), yes(again=True))
    person = bot(talk)
    talk.advance(10)
    assert person.session.grant is not None
    assert person.session.grant.claim is None, "a claim that will not be asked about again is not kept"
    talk.advance(40)
    assert (len(judge.asked), person.closed) == (2, None)


def test_nobody_is_asked_more_than_once_a_second() -> None:
    talk, judge = bots(yes(expires=0.001, again=True))
    bot(talk)
    talk.advance(10)
    assert len(judge.asked) == 11


def test_a_verdict_that_nobody_judged_leaves_what_was_granted() -> None:
    talk, _ = bots(
        yes("user:x", expires=10.0, again=True, plan="gold"),
        yes(expires=5.0, again=True, failure="timeout"),
        yes("user:y", expires=100.0, again=True),
    )
    person = bot(talk)
    talk.advance(10)
    assert person.session.granted == {"user:x"}
    assert person.session.metadata == {"type": "bot", "plan": "gold"}
    talk.advance(5)
    assert person.session.granted == {"user:y"}
    assert person.session.metadata == {"type": "bot"}


def test_whoever_comes_back_while_the_old_claim_is_judged_keeps_the_newer_verdict() -> None:
    talk, judge = bots(yes(expires=10.0, again=True), yes("user:newer"), REFUSED)
    person = bot(talk)
    talk.now += 10
    call = talk.hub.timers.pop_due(talk.now)
    assert call is not None
    pending = call()
    assert pending is not None

    def come_back() -> None:
        judge.meanwhile = lambda: None
        judge.verdicts = [yes("user:newer")]
        person.leave()
        bot(talk)
        judge.verdicts = [REFUSED]

    judge.meanwhile = come_back
    run(pending)
    assert person.session.state == "resumed"
    assert person.session.granted == {"user:newer"}


def test_a_session_that_is_gone_is_not_judged_again() -> None:
    talk, judge = bots(yes(expires=10.0, again=True))
    person = bot(talk)
    session = person.session
    judge.meanwhile = lambda: talk.hub.end(session, Disconnect(Cause.KICKED, "x"))
    talk.advance(10)
    assert str(session.ended) == "kicked: x"
    assert session.grant is None
    run(grants.judge_again(talk.hub, session))
    assert len(judge.asked) == 2


def test_a_fault_while_the_claim_is_judged_ends_the_session(caplog: pytest.LogCaptureFixture) -> None:
    talk, judge = bots(yes(expires=10.0, again=True))
    person = bot(talk)

    def fault() -> None:
        raise ZeroDivisionError

    judge.meanwhile = fault
    talk.advance(10)
    assert person.closed == (4001, "the login has expired")
    assert talk.hub.totals.faults == 1
    assert f"login of session {person.session.id}" in caplog.text


def test_a_client_that_was_ended_while_its_claim_was_judged_gets_no_session() -> None:
    talk, judge = bots(yes("user:x"))
    person = talk.connect()
    person.stay()  # its tasks have not run yet
    judge.meanwhile = lambda: talk.hub.end(person.session, Disconnect(Cause.KICKED, "kicked"))
    person.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "k", "id": "a"}})
    assert person.closed == (4008, "kicked")
    assert talk.realm.channels == {}
    assert talk.hub.sessions == {}


def test_a_refusal_is_the_protocols_own_and_tells_nothing() -> None:
    talk, _ = bots(Grant(granted=False, reason="wrong audience"))
    person = bot(talk)
    assert [payload.get("m") for payload in person.heard()] == [None, "The key is wrong or expired."]
    assert person.closed == (4001, "the key is wrong or expired")
