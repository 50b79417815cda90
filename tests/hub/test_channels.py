"""Who hears what: subscriptions, what a login claims, and what of the last login it gives up."""

from __future__ import annotations

from gatewayd.core.observer import Observer
from gatewayd.core.session import Session
from gatewayd.hub.channels import Channels
from tests.hub.test_hub import book, ready


class Ear(Observer):
    """Counts how often a session has changed."""

    def __init__(self) -> None:
        self.told: list[Session] = []

    def changed(self, session: Session) -> None:
        self.told.append(session)


def channels_of() -> tuple[Channels, Ear, Session, dict[str, dict[Session, None]]]:
    talk, ear = book(), Ear()
    session = ready(talk).session
    return Channels(talk.hub.realms.by_name, ear), ear, session, talk.realm.channels


def test_to_subscribe_twice_is_to_subscribe() -> None:
    channels, ear, session, table = channels_of()
    for _ in range(2):
        channels.subscribe(session, "news")
    assert table["news"] == {session: None}
    assert ear.told == [session, session]
    channels.unsubscribe(session, "news")
    assert ("news" in table, "news" in session.channels) == (False, False)
    channels.unsubscribe(session, "news")
    assert ear.told == [session] * 4


def test_a_channel_is_there_as_long_as_somebody_hears_it() -> None:
    talk = book()
    one, two = ready(talk, "a").session, ready(talk, "b").session
    for session in (one, two):
        talk.hub.subscribe(session, "news")
    talk.hub.unsubscribe(one, "news")
    assert talk.realm.channels["news"] == {two: None}
    talk.hub.channels.leave(two)
    assert "news" not in talk.realm.channels
    assert two.channels == set()


def test_a_login_hears_its_own_and_of_the_last_one_nothing_of_that_kind() -> None:
    channels, _, session, _ = channels_of()
    own = {f"session:{session.id}", "listener:main"}
    for channel in ("guild:1", "user:granted"):
        channels.subscribe(session, channel)
    session.granted |= {"user:granted"}
    channels.claim(session, ("user:other", "service:bot"))
    assert session.channels == {"user:other", "service:bot", "guild:1", "user:granted", *own}
    assert session.granted == {"user:granted"}
    channels.claim(session, ("user:granted",))
    assert session.granted == set(), "heard by its own right now"
    assert "user:granted" in session.channels


def test_each_realm_has_its_own() -> None:
    talk = book()
    other = type(talk)(talk.protocol, beside=talk, listener="other", realm="other")
    one, two = ready(talk).session, ready(other).session
    for session in (one, two):
        talk.hub.subscribe(session, "news")
    assert talk.realm.subscribers("news") == [one]
    assert other.realm.subscribers("news") == [two]
