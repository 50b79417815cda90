"""A client's messages on their way to its session."""

from __future__ import annotations

from tests.hub.test_hub import book, ready, ready_again


def test_what_comes_after_the_end_is_ignored() -> None:
    person = ready(book())
    person.say({})
    assert person.closed is not None
    person.heard()
    person.say({"op": 10})
    assert person.heard() == []


def test_whose_identity_is_too_long_for_a_channel_is_not_let_in() -> None:
    talk = book()
    assert ready(talk, "i" * 507).closed is None
    person = ready_again(talk, "i" * 508)
    assert person.closed == (4005, "the name of its user has more than 512 characters")
    assert len(talk.hub.sessions) == 1
