"""A client's messages on their way to its session."""

from __future__ import annotations

from tests.hub.test_hub import book, ready


def test_what_comes_after_the_end_is_ignored() -> None:
    person = ready(book())
    person.say({})
    assert person.closed is not None
    person.heard()
    person.say({"op": 10})
    assert person.heard() == []
