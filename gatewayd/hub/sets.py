"""Who of a channel's subscribers is written to in one go: sets of those who keep up, and those who stand aside.

Law 1: every subscriber is a member of one set, or in an away log of the channel, or aside.
Law 2: whoever keeps up again joins with the next event, before that is said.
Law 3: a set is begun by a few at once and goes with its last member: clients cannot make many of them.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable

from attrs import define, field

from gatewayd.core.insync import InSync
from gatewayd.core.session import Session


@define(eq=False)
class Sets:
    """Of one channel. A set takes `fewest` to begin."""

    aside: dict[Session, None]
    _fewest: int
    _sets: dict[Hashable, InSync] = field(factory=dict, init=False)

    def gather(self, besides: Collection[Session | None] = ()) -> Iterable[InSync]:
        """All sets, when everybody who can has joined, except for these."""
        for key in [key for key, found in self._sets.items() if not found.members]:
            del self._sets[key]
        coming: dict[Hashable, list[Session]] = {}
        for session in self.aside:
            connection = session.connection
            if connection is None or not connection.outbox.may_join:
                continue  # of these there may be thousands
            if connection.keeps_up and session not in besides:
                keeps = session.backlog.policy.keeps_all
                key = session.listener, connection.wire, connection.variant, keeps, session.audience
                coming.setdefault(key, []).append(session)
        for key, sessions in coming.items():
            found = self._sets.get(key) or self._begin(key, sessions)
            if found is None or found.pending:
                continue  # what is pending was not said to them
            for session in sessions:
                assert session.connection is not None
                del self.aside[session]
                found.join(session.connection)
        return self._sets.values()

    def _begin(self, key: Hashable, sessions: list[Session]) -> InSync | None:
        like = sessions[0]
        connection = like.connection
        if len(sessions) < self._fewest or connection is None:
            return None
        policy, pace = like.backlog.policy, connection.outbox.pace
        found = InSync(connection.wire, connection.variant, policy, like.audience, pace, self.aside)
        self._sets[key] = found
        return found

    def take(self, session: Session) -> None:
        """One subscriber more."""
        self.aside[session] = None

    def part(self, session: Session) -> None:
        """One subscriber less."""
        if session.connection is not None:
            session.connection.outbox.leave()
        self.aside.pop(session, None)
