"""Who hears what in one realm: subscriptions, wide channels, what protocols filter, and who is written to in one go.

Law: an event is heard once by each session, whether through its channel or a wide one, in a set or alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from attrs import define, field

from gatewayd.core.away import AwayLog
from gatewayd.core.behaviour import Behaviour
from gatewayd.core.insync import InSync
from gatewayd.core.session import Session
from gatewayd.hub.sets import Sets

Passes = Callable[[Session], bool]


@define(eq=False)
class Hearers:
    """Who hears one event: members of `sets` are written to in one go, for those in away `logs` it is kept once, and
    `sessions` are given it one by one; nobody is in two of these.
    """

    sets: list[InSync] = field(factory=list)
    sessions: list[Session] = field(factory=list)
    logs: list[AwayLog] = field(factory=list)

    def __len__(self) -> int:
        count = len(self.sessions)
        for found in self.sets:
            count += len(found.members)
        for log in self.logs:
            count += len(log.members)
        return count

    def __iter__(self) -> Iterator[Session]:
        yield from self.sessions
        for found in self.sets:
            for place in found.members:
                yield place.connection.session
        for log in self.logs:
            yield from log.members

    def __iadd__(self, other: Hearers) -> Hearers:
        self.sets += other.sets
        self.sessions += other.sessions
        self.logs += other.logs
        return self


@define(eq=False)
class Hearing:
    """Of one realm. From `in_sync` subscribers on, a channel has sets."""

    _in_sync: int
    channels: dict[str, dict[Session, None]] = field(factory=dict, init=False)
    _sets: dict[str, Sets] = field(factory=dict, init=False)  # of a channel, from the first event to so many on
    logs: dict[str, list[AwayLog]] = field(factory=dict, init=False)
    """By channel; whoever is in one of these does not stand aside there."""
    _says: dict[str, Callable[[str], bool]] = field(factory=dict, init=False)  # by protocol
    _filters: dict[str, Callable[[str, str, Any], Passes | None]] = field(factory=dict, init=False)  # by listener
    _wide: dict[str, dict[str, str]] = field(factory=dict, init=False)  # by kind of channel and protocol

    def serve(self, behaviour: Behaviour[Any]) -> None:
        """Register the behaviour that serves a listener of this realm."""
        for kind, wide in behaviour.hears_all.items():
            self._wide.setdefault(kind, {})[behaviour.port.protocol] = wide
        if type(behaviour).hears is not Behaviour.hears:  # most protocols never filter: spare them the call
            self._filters[behaviour.listener] = behaviour.hears
        if type(behaviour).says is not Behaviour.says:
            self._says[behaviour.port.protocol] = behaviour.says

    # --- subscriptions --------------------------------------------------------------------------------------

    def subscribe(self, session: Session, channel: str) -> None:
        """Let a session hear a channel."""
        subscribers = self.channels.setdefault(channel, {})
        if session not in subscribers:
            subscribers[session] = None
            if channel in self._sets:
                self._sets[channel].take(session)

    def unsubscribe(self, session: Session, channel: str) -> None:
        """Let it hear that channel no more."""
        subscribers = self.channels.get(channel, {})
        if session in subscribers:
            del subscribers[session]
            if channel in self._sets:
                self._sets[channel].part(session)
            if not subscribers:
                del self.channels[channel]
                self._sets.pop(channel, None)

    def joined_log(self, session: Session, channel: str) -> None:
        """An away log of the channel gives it its events from here on."""
        if channel in self._sets:
            self._sets[channel].aside.pop(session, None)

    def left_log(self, session: Session, channel: str) -> None:
        """It is given them by itself again."""
        if channel in self._sets and channel in session.channels:
            self._sets[channel].take(session)

    def subscribers(self, channel: str) -> list[Session]:
        """The sessions that hear a channel, detached ones included, oldest subscription first."""
        return list(self.channels.get(channel, ()))

    def everybody(self, channel: str) -> Collection[Session]:
        """Who has subscribed to a channel, or to a wide one."""
        subscribers = self.channels.get(channel, {})
        found = self._wide.get(channel.partition(":")[0])
        if found is None:
            return subscribers
        more = [
            session
            for protocol, wide in found.items()
            for session in self.channels.get(wide, ())
            if session.protocol == protocol and session not in subscribers
        ]
        return [*subscribers, *more] if subscribers else more

    # --- who hears an event ---------------------------------------------------------------------------------

    def receivers(
        self, channel: str, name: str, data: Any, besides: Session | None = None, protocol: str = "",
        mute: Collection[str] = (),
    ) -> list[Session]:  # fmt: skip
        """Who hears an event, but for sessions of `mute` protocols; a copy, since a receiver that is full is
        unsubscribed on the way.
        """
        everybody = self.everybody(channel)
        if not everybody:
            return []
        who = _Who({besides} if besides else (), self._mute(name, mute), protocol)
        return _among(everybody, who, self._asked(channel, name, data))

    def hearers(
        self, channel: str, name: str, data: Any, besides: Session | None = None, protocol: str = "",
        mute: Collection[str] = (),
    ) -> Hearers:  # fmt: skip
        """Who hears an event, as `receivers`; in one go where that can be."""
        subscribers, wide = self.channels.get(channel, {}), self._wide.get(channel.partition(":")[0], {})
        if len(subscribers) < self._in_sync and all(
            len(self.channels.get(found, ())) < self._in_sync for found in wide.values()
        ):
            return Hearers([], self.receivers(channel, name, data, besides, protocol, mute))
        filters, mute, heard = self._asked(channel, name, data), self._mute(name, mute), Hearers()
        crowds = [(found, own) for own, found in wide.items() if found in self.channels and protocol in ("", own)]
        twice = [
            session
            for found, own in crowds
            for session in subscribers
            if session.protocol == own and session in self.channels[found]
        ]
        alone = {*twice, besides} if besides else set(twice)
        for session in alone:
            if session.connection is not None:
                session.connection.outbox.leave()
        for found, own in ((channel, protocol), *crowds):
            self._add(heard, found, name, _Who(alone, mute, own), filters)
        heard.sessions += _among(twice, _Who({besides}, mute), filters)
        return heard

    def _add(self, heard: Hearers, channel: str, name: str, who: _Who, filters: Mapping[str, Passes]) -> None:
        """Add those who have subscribed to a channel."""
        subscribers: Collection[Session] = self.channels.get(channel, {})
        if len(subscribers) >= self._in_sync:
            sets = self._sets.get(channel)
            if sets is None:
                sets = self._sets[channel] = Sets(dict.fromkeys(subscribers), self._in_sync)
                for log in self.logs.get(channel, ()):
                    for session in log.members:
                        self.joined_log(session, channel)
            gathered = sets.gather(who.alone)
            subscribers = sets.aside.copy()
            for found in gathered:
                first: Session = found.members[0].connection.session
                passes = filters.get(first.listener)
                if first.protocol in who.mute or who.protocol not in ("", first.protocol):
                    continue
                if (passes is None or found.audience is not None) and not found.policy.tells_apart(name):
                    if passes is None or passes(first):
                        heard.sets.append(found)
                    continue
                members: list[Session] = [place.connection.session for place in found.members]
                heard.sessions += members if passes is None else filter(passes, members)
                for session in members:
                    if session.audience is not found.audience and session.connection is not None:
                        session.connection.outbox.leave()  # it is known now with whom it hears the same
            self._add_logs(heard, channel, who, filters)
        heard.sessions += _among(subscribers, who, filters)

    def _add_logs(self, heard: Hearers, channel: str, who: _Who, filters: Mapping[str, Passes]) -> None:
        """Add away logs; where not all in a log hear the event, those that do are added one by one."""
        for log in self.logs.get(channel, ()):
            first = next(iter(log.members))
            passes = filters.get(first.listener)
            if (passes is not None and log.audience is None) or any(one in log.members for one in who.alone):
                heard.sessions += _among(log.members, who, filters)
            elif (
                first.protocol not in who.mute
                and who.protocol in ("", first.protocol)
                and (passes is None or passes(first))
            ):
                heard.logs.append(log)

    def _asked(self, channel: str, name: str, data: Any) -> Mapping[str, Passes]:
        """What tells who of a listener's sessions hears it, where not all of them do."""
        if not self._filters:
            return {}
        asked = {listener: hears(channel, name, data) for listener, hears in self._filters.items()}
        return {listener: passes for listener, passes in asked.items() if passes is not None}

    def _mute(self, name: str, more: Collection[str] = ()) -> Collection[str]:
        """Protocols without words for such an event, whoever has subscribed their sessions to it; and some more."""
        if not self._says:
            return more
        return {protocol for protocol, says in self._says.items() if not says(name)}.union(more)

    def present(self, channel: str, name: str, protocol: str = "") -> list[tuple[int, Session]]:
        """Those who could be the one receiver of an event, each with how many events wait for its socket."""
        mute = self._mute(name)
        return [
            (session.connection.outbox.events, session)
            for session in self.channels.get(channel, ())
            if session.connection
            and session.connection.open
            and session.protocol not in mute
            and (not protocol or session.protocol == protocol)
        ]


@define
class _Who:
    """Those who are looked for: not `alone`, not of `mute` protocols, of one protocol if that is named."""

    alone: Collection[Session | None]
    mute: Collection[str]
    protocol: str = ""


def _among(sessions: Iterable[Session], who: _Who, filters: Mapping[str, Passes]) -> list[Session]:
    """A copy of those whose filters, if they have any, let the event pass."""
    found = list(sessions)
    if who.alone or who.mute or who.protocol:
        found = [
            session
            for session in found
            if session not in who.alone
            and session.protocol not in who.mute
            and (not who.protocol or session.protocol == who.protocol)
        ]
    if filters:
        found = [session for session in found if (passes := filters.get(session.listener)) is None or passes(session)]
    return found
