"""Verdicts and their words."""

from __future__ import annotations

from gatewayd.core.close import NEVER_SENT, Cause, Disconnect, Ending


def test_a_reason_is_cut_between_characters() -> None:
    assert Ending(4000, "ü" * 100).reason_for(Disconnect(Cause.KICKED)) == "ü" * 61
    assert Ending(4000, "short").reason_for(Disconnect(Cause.KICKED)) == "short"


def test_a_verdict_says_what_it_is() -> None:
    assert str(Disconnect(Cause.KICKED)) == "kicked: kicked"
    assert str(Disconnect(Cause.KICKED, "why")) == "kicked: why"


def test_slugs_are_unique_and_what_is_never_sent_is_known() -> None:
    assert len({cause.value for cause in Cause}) == len(Cause)
    assert Cause.PEER_GONE in NEVER_SENT
