"""Who hears what: the channels that sessions have subscribed to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import define

from gatewayd.core.observer import Observer
from gatewayd.core.session import Session
from gatewayd.hub.realm import Realm


@define(eq=False)
class Channels:
    """Subscriptions; each realm, by its name, holds its own."""

    _realms: Mapping[str, Realm]
    _observers: Observer

    def subscribe(self, session: Session, channel: str) -> None:
        """Let a session hear a channel of its realm."""
        session.channels.add(channel)
        self._realms[session.realm].hearing.subscribe(session, channel)
        self._observers.changed(session)

    def unsubscribe(self, session: Session, channel: str) -> None:
        """Let it hear that channel no more."""
        session.channels.discard(channel)
        if session.connection is None:
            session.backlog.source.let_go()  # else it would go on with those that hear the channel
        self._observers.changed(session)
        self._realms[session.realm].hearing.unsubscribe(session, channel)

    def claim(self, session: Session, own: Iterable[str]) -> None:
        """Its protocol says what an identified session hears: of its last login it hears nothing else of that kind."""
        channels = (*own, f"session:{session.id}", f"listener:{session.listener}")
        if session.channels:
            kinds = {channel.partition(":")[0] for channel in channels if channel not in session.channels}
            for channel in session.channels.difference(channels, session.granted):
                if channel.partition(":")[0] in kinds:
                    self.unsubscribe(session, channel)
        for channel in channels:
            self.subscribe(session, channel)
        if session.granted:
            session.granted = session.granted.difference(channels)  # heard by its own right now

    def leave(self, session: Session) -> None:
        """The session is over."""
        for channel in tuple(session.channels):
            self.unsubscribe(session, channel)
