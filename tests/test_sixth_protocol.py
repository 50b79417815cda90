"""A protocol in one small file gets sessions, resume, limits and visibility for nothing."""

from __future__ import annotations

from pathlib import Path

from gatewayd.admin import views
from gatewayd.protocols.describe import describe
from tests import sixth
from tests.playbook import Person, Playbook
from tests.server import client, hear, say, serving


def ready(talk: Playbook) -> Person:
    person = talk.connect()
    person.say({"type": "hi", "name": "ann", "token": "s3cret"})
    return person


def test_it_is_small() -> None:
    assert len(Path(sixth.__file__).read_text().splitlines()) <= 150


def test_it_resumes_and_is_seen() -> None:
    talk = Playbook(sixth.PROTOCOL)
    person = ready(talk)
    person.say({"type": "watch", "symbol": "X"})
    assert person.heard() == [
        {"type": "hello", "every": 10.0},
        {"type": "welcome", "back": False},
        {"type": "watching", "symbol": "X"},
    ]
    person.leave()
    assert talk.publish("symbol:X", "price", 5) == (0, 1, 0)
    again = ready(talk)
    assert again.heard()[1:] == [{"type": "welcome", "back": True}, {"type": "price", "d": 5}]
    shown = views.session(again.session, talk.now, whole=True)
    assert (shown["identity"], shown["state"], shown["resumes"]) == ("ann", "resumed", 1)
    assert "symbol:X" in shown["channels"]


def test_it_is_limited_and_dies_of_silence() -> None:
    talk = Playbook(sixth.PROTOCOL)
    silent, flooding, greedy = ready(talk), ready(Playbook(sixth.PROTOCOL)), ready(Playbook(sixth.PROTOCOL))
    for _ in range(21):
        flooding.say({"type": "beat"})
    assert flooding.closed == (4404, "more than 20 messages in 10 s")
    for symbol in "abcd":
        greedy.say({"type": "watch", "symbol": symbol})
    assert greedy.closed is not None
    assert greedy.closed[0] == 4400
    talk.advance(30)
    assert silent.closed == (4402, "no heartbeat in 30 s")


def test_it_describes_itself() -> None:
    assert "welcome" in describe(sixth.PROTOCOL)


async def test_over_a_real_socket() -> None:
    async with serving(sixth.PROTOCOL) as served, client(served) as ann:
        assert (await hear(ann))["type"] == "hello"
        await say(ann, {"type": "hi", "name": "ann", "token": "s3cret"})
        assert await hear(ann) == {"type": "welcome", "back": False}
        await say(ann, {"type": "beat"})
        assert await hear(ann) == {"type": "beaten"}
